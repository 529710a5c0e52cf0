"""The package as it is shipped."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from oroboros_deploy import __version__
from oroboros_deploy.remote import agent

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def tracked(*below: str) -> set[str]:
    """The files under version control that are there."""
    said = subprocess.run(
        ["git", "ls-files", "-z", *below], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return {name for name in said.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, and the wheel made of it, from a copy of what is under version control."""
    directory = tmp_path_factory.mktemp("built")
    for name in tracked():
        path = directory / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--outdir", str(directory), str(directory / "source")]
    subprocess.run(build, check=True, capture_output=True, text=True, timeout=300)
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def test_the_source_distribution_is_the_repository(built: Path) -> None:
    """It has every file under version control, tests and documents too, but for those that a forge reads."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names if ".egg-info/" in name} | {"PKG-INFO"}
    assert names - made == {name for name in tracked() if not name.startswith(".")}


def test_the_wheel_is_the_package_and_nothing_else(wheel: Path) -> None:
    """The wheel holds every module, template and typing marker of the package, no tests and no examples."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == tracked("oroboros_deploy")


def test_the_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """Installed away from the source, it lists its tasks and packs the same agent."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120)
    (tmp_path / "fabfile.py").write_text("from oroboros_deploy.tasks import ns\n")
    show = "print(o.__file__, o.__version__, agent.packed().digest)"
    code = f"import oroboros_deploy as o; from oroboros_deploy.remote import agent; {show}"
    environ = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"}
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, check=True, capture_output=True)
    place = str(tmp_path / "site/oroboros_deploy/__init__.py")
    assert said.stdout.decode().split() == [place, __version__, agent.packed().digest]
    fab = [str(Path(sys.executable).with_name("fab")), "--list"]
    listed = subprocess.run(fab, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True).stdout
    assert "rollback" in listed
