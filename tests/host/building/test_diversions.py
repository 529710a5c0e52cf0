"""Settings of uv and pip that send what is installed elsewhere are found wherever they may stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.host import environment
from oroboros_deploy.host.building import diversions
from oroboros_deploy.host.building.diversions import Diversion
from tests.support.builds import wheel

UV = str(Path(sys.executable).with_name("uv"))
WAYS = [
    ("uv.toml", '[pip]\nindex-url = "https://index.example/simple"\n{name} = "{value}"\n'),
    ("uv.toml", 'pip.{name} = "{value}"\n'),
    ("uv.toml", 'pip = {{ strict = true, {name} = "{value}" }}\n'),
    ("uv.toml", '[ pip ]\n  "{name}"="{value}"\n'),
    ("pyproject.toml", '[tool.uv.pip]\n{name} = "{value}"\n'),
    ("pyproject.toml", '[tool.uv]\npip.{name} = "{value}"\n'),
    ("pyproject.toml", '[tool."uv"]\npip = {{{name} = "{value}"}}\n'),
    ("pyproject.toml", '[tool]\nuv.pip.{name} = "{value}"\n'),
]


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This host's /etc/environment, with settings of the login and of the system in places of the test's own."""
    (tmp_path / "environment").write_text(
        f"XDG_CONFIG_HOME={tmp_path}/login\nXDG_CONFIG_DIRS=/none:{tmp_path}/system\n"
    )
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(("file", "text"), WAYS)
@pytest.mark.parametrize("name", ["target", "prefix"])
def test_it_is_found_in_whichever_way_it_is_written(settled: Path, file: str, text: str, name: str) -> None:
    """In each of them the real uv installs elsewhere, although it is given the environment's Python."""
    place, elsewhere = settled / "release" / "shop", settled / "elsewhere"
    found = write(place.parent / file, text.format(name=name, value=elsewhere))
    place.mkdir()
    assert diversions.of_uv(place) == Diversion(found, name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", settled / "venv"], check=True)
    argv = [UV, "pip", "install", "--quiet", "--no-cache", "--python", settled / "venv/bin/python"]
    subprocess.run([*argv, wheel(settled, "ours", ours="1")], cwd=place, check=True)
    assert ([*settled.glob("venv/lib/python3*/site-packages/ours.py")], len([*elsewhere.rglob("ours.py")])) == ([], 1)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("uv.toml", '[pip]\n# target = "x"\nindex-url = "https://target"\nno-deps = false\n'),
        ("uv.toml", '[[index]]\nname = "pip"\nurl = "https://index.example/simple"\n'),
        ("pyproject.toml", '[tool.ruff]\ntarget-version = "py39"\n[tool.uv]\nrequired-version = ">0.1"\n'),
        ("pyproject.toml", '[tool.pip]\ntarget = "x"\n[tool.uv]\n'),
        ("pyproject.toml", '[pip]\ntarget = "x"\n[tool.uv]\n'),
        ("pyproject.toml", '[tool.other.pip]\ntarget = "x"\n'),
    ],
)
def test_what_only_looks_like_it_is_not_found(settled: Path, file: str, text: str) -> None:
    """Comments, other tables, other keys, other tools, and what is switched off."""
    write(settled / file, text)
    assert diversions.of_uv(settled) is None


@pytest.mark.parametrize("name", ["no-deps", "python-platform", "python-version"])
def test_what_leaves_out_or_takes_others_is_found_too(settled: Path, name: str) -> None:
    """An environment without dependencies, or with those of another system or Python."""
    value = "true" if name == "no-deps" else '"3.9"'
    found = write(settled / "uv.toml", f"[pip]\n{name} = {value}\n")
    assert diversions.of_uv(settled) == Diversion(found, name)


def test_all_places_that_uv_reads_are_looked_at(settled: Path) -> None:
    """The directory's or the nearest above it, the login's, the system's; the one that a variable names; or none."""
    place = settled / "release" / "shop"
    system = write(settled / "system/uv/uv.toml", 'pip.target = "x"\n')
    assert diversions.of_uv(place) == Diversion(system, "target")
    login = write(settled / "login/uv/uv.toml", 'pip.prefix = "x"\n')
    assert diversions.of_uv(place) == Diversion(login, "prefix")
    above = write(settled / "release/uv.toml", "pip.no-deps = true\n")
    assert diversions.of_uv(place) == Diversion(above, "no-deps")
    write(place / "pyproject.toml", "[tool.uv]\n")  # the nearest counts
    assert diversions.of_uv(place) == Diversion(login, "prefix")
    with (settled / "environment").open("a") as file:
        file.write(f"UV_CONFIG_FILE={write(settled / 'named.toml', '')}\n")
    assert diversions.of_uv(place) is None
    (settled / "named.toml").write_text("pip.no-deps = true\n")
    assert diversions.of_uv(place) == Diversion(settled / "named.toml", "no-deps")
    with (settled / "environment").open("a") as file:
        file.write("UV_NO_CONFIG=1\n")
    assert diversions.of_uv(place) is None
