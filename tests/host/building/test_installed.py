"""What installers leave in an environment: the same wherever and whenever it was made."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from oroboros_deploy.host.building import installed
from tests.support.builds import wheel


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment of this interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv"


def lay(venv: Path, *wheels: Path) -> None:
    """Put the files of wheels where an installer would."""
    for each in wheels:
        with zipfile.ZipFile(each) as archive:
            archive.extractall(installed.packages(venv))


def test_what_a_wheel_needs_decides_about_its_base(tmp_path: Path) -> None:
    """Its description does not; and what it finds on this host's disk cannot be known by a name."""

    def needs(name: str, head: str) -> list[str] | None:
        (tmp_path / name).mkdir(exist_ok=True)
        return installed.metadata(wheel(tmp_path / name, "a", head))

    assert needs("one", "Requires-Dist: b\n") == needs("two", "Summary: other\nRequires-Dist: b\n")
    assert needs("one", "Requires-Dist: b\n") != needs("three", "Requires-Dist: c\n")
    assert needs("four", "Requires-Dist: b @ file:///srv/b\n") is None


def test_the_files_that_wheels_brought(tmp_path: Path, venv: Path) -> None:
    """All that their records list, and the bytecode that any Python made of it; nothing of other distributions."""
    ours, other = wheel(tmp_path, "ours", ours__main="1"), wheel(tmp_path, "other", ours__mainly="2")
    lay(venv, ours, other)
    site = installed.packages(venv)
    source, compiled = site / "ours/main.py", site / "ours/__pycache__"
    compiled.mkdir()
    for name in ("main.cpython-39", "main.cpython-399.opt-1", "main.pypy39", "mainly.cpython-399", "gone.cpython-399"):
        (compiled / f"{name}.pyc").touch()
    assert installed.files(venv, [ours]) == [
        site / "ours-1.0.dist-info/METADATA",
        site / "ours-1.0.dist-info/WHEEL",
        source,
        compiled / "main.cpython-39.pyc",
        compiled / "main.cpython-399.opt-1.pyc",
        compiled / "main.pypy39.pyc",
    ]


@pytest.mark.parametrize(("name", "shared"), [("common", True), ("own", False)])
def test_a_file_of_two_distributions_is_a_conflict(tmp_path: Path, venv: Path, name: str, shared: bool) -> None:
    """Which of the two brought it cannot be told afterwards."""
    ours, other = wheel(tmp_path, "ours", common="1"), wheel(tmp_path, "other", **{name: "2"})
    lay(venv, ours, other)
    assert installed.conflict(venv, [ours]) == shared


def test_a_record_tells_nothing_of_this_build(tmp_path: Path, venv: Path) -> None:
    """Where the wheel lay, and the hash of a script that names its interpreter, are out of it."""
    ours = wheel(tmp_path, "ours", ours="1")
    lay(venv, ours)
    directory = installed.packages(venv) / "ours-1.0.dist-info"
    (directory / "direct_url.json").write_text("{}")
    rows = "ours.py,sha256=00,1\n../../../bin/ours,sha256=11,2\nours-1.0.dist-info/direct_url.json,sha256=22,2\n"
    (directory / "RECORD").write_text(rows)
    installed.settle(venv, [ours])
    assert (directory / "RECORD").read_text() == "ours.py,sha256=00,1\n../../../bin/ours,,\n"
    assert not (directory / "direct_url.json").exists()


def test_bytecode_depends_on_its_source_alone(tmp_path: Path, venv: Path) -> None:
    """Made anew, elsewhere in time, it is byte for byte the same, and names no directory of this host."""
    ours = wheel(tmp_path, "ours", ours="def main(): pass")
    lay(venv, ours)
    source = installed.packages(venv) / "ours.py"
    compiled = Path(cache_from_source(str(source)))
    made = []
    for time in (1, 2):
        os.utime(source, (time, time))
        subprocess.run(installed.compiling(venv, tmp_path, [source]), check=True)
        made.append(compiled.read_bytes())
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in made[0]
