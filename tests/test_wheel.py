"""The package as it is shipped."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from oroboros_deploy import __version__
from oroboros_deploy.remote import agent

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what is under version control, as a release would be."""
    directory = tmp_path_factory.mktemp("wheel")
    tree = directory / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0")
    for name in filter(None, tracked):
        path = tree / name.decode()
        if (ROOT / name.decode()).is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((ROOT / name.decode()).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(directory), str(tree)]
    subprocess.run(build, check=True, capture_output=True, text=True, timeout=300)
    return next(directory.glob("*.whl"))


def test_the_wheel_is_the_package_and_nothing_else(wheel: Path) -> None:
    """The wheel holds every module, template and typing marker of the package, no tests and no examples."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "oroboros_deploy"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert names == set(tracked.stdout.split())


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
