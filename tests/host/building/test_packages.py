"""Which of the system's packages decide whether a result of an earlier build is taken again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from oroboros_deploy.host.building import inputs, packages

BASE = {
    "libc6": ("libs", "2.36-9"),
    "gcc-12": ("devel", "12.2.0-14"),
    "libpq-dev": ("libdevel", "15.6-0"),
    "libpq5": ("libs", "15.6-0"),
    "nodejs": ("javascript", "18.19.0"),
    "libssl3": ("libs", "3.0.11-1"),
    "vim": ("editors", "9.0"),
}


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packages, "STATUS", tmp_path / "status")
    return tmp_path / "status"


def write(status: Path, told: dict[str, tuple[str, str]], state: str = "install ok installed") -> None:
    paragraphs = [
        f"Package: {name}\nStatus: {state}\nPriority: optional\nSection: {section}\nInstalled-Size: 7\n"
        f"Architecture: amd64\nVersion: {version}\nDepends: libc6 (>= 2.34)\nDescription: words\n more words\n"
        for name, (section, version) in told.items()
    ]
    status.write_text("\n".join(paragraphs))


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"tree": ("utils", "2.1.0-1")}, False),
        ({"nginx": ("httpd", "1.22.1-9")}, False),
        ({"htop": ("utils", "3.2.2-2"), "libnl-3-200": ("libs", "3.7.0-0")}, False),
        ({"vim": ("editors", "9.1")}, False),
        ({"gcc-12": ("devel", "12.2.0-15")}, True),
        ({"make": ("devel", "4.3-4.1")}, True),
        ({"libc6": ("libs", "2.36-10")}, True),
        ({"libssl3": ("libs", "3.0.13-1")}, True),
        ({"libpq-dev": ("libdevel", "16.1-1"), "libpq5": ("libs", "16.1-1")}, True),
        ({"libjpeg-dev": ("contrib/libdevel", "2.1.5")}, True),
        ({"imagemagick": ("graphics", "6.9")}, True),
        ({"nodejs": ("javascript", "20.1.0")}, True),
    ],
)
def test_a_package_matters_when_a_build_can_see_it(
    status: Path, change: dict[str, tuple[str, str]], matters: bool
) -> None:
    """Compilers, headers, interpreters and what all programs are linked to; not a server, an editor or a tool."""
    write(status, BASE)
    before = inputs.surroundings()
    write(status, BASE | change)
    assert inputs.differing(before, inputs.surroundings()) == (["packages"] if matters else [])


def test_a_package_that_was_taken_away_is_not_there(status: Path) -> None:
    """Its configuration may stay."""
    write(status, BASE, "deinstall ok config-files")
    assert packages.that_builds_use() == []
    write(status, BASE)
    assert [each.partition(":")[0] for each in packages.that_builds_use()] == [
        *("gcc-12", "libc6", "libpq-dev", "libssl3", "nodejs"),
    ]


def test_other_systems_have_none(status: Path) -> None:
    """Where Debian's package manager is not, its file is not."""
    assert (status.exists(), packages.that_builds_use()) == (False, [])


@pytest.mark.skipif(not packages.STATUS.exists(), reason="this is no Debian")
def test_the_packages_of_this_machine_are_read() -> None:
    """The C library is there on each, in the version that dpkg tells."""
    ask = ["dpkg-query", "--show", "--showformat=${Package}:${Architecture} ${Version}", "libc6"]
    told = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert told in packages.that_builds_use()
