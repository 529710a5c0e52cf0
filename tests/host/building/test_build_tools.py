"""What a project declares to be built with: known for good, or left to pip."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oroboros_deploy.host import seal
from oroboros_deploy.host.building import build_tools
from tests.support.builds import Site, built

BACKEND = 'build-backend = "setuptools.build_meta"'


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads TOML, which Python does from 3.11 on")
@pytest.mark.parametrize(
    ("system", "known"),
    [
        (f'[build-system]\nrequires = ["setuptools", "wheel"]\n{BACKEND}', True),
        (f"[build-system]\nrequires = []\n{BACKEND}", True),
        ('[build-system]\nrequires = ["setuptools"]', False),
        (f'[build-system]\nrequires = ["setuptools"]\n{BACKEND}\nbackend-path = ["."]', False),
        (f'[build-system]\nrequires = ["tools @ file:///srv/tools"]\n{BACKEND}', False),
        (f'[build-system]\nrequires = [["setuptools"]]\n{BACKEND}', False),
        (f'[build-system]\nrequires = "setuptools"\n{BACKEND}', False),
        (f"[build-system]\nrequires = 3\n{BACKEND}", False),
        ('[build-system]\nrequires = ["setuptools"]\nbuild-backend = 3', False),
        ("build-system = 3", False),
        ("[build-system", False),
        ("", False),
    ],
)
def test_tools_that_are_declared_for_good(tmp_path: Path, system: str, known: bool) -> None:
    """Only package indexes' names and a backend, as strings; of anything else pip says what it is."""
    (tmp_path / "pyproject.toml").write_text(system)
    assert (build_tools.declared(tmp_path / "pyproject.toml") is not None) == known


@pytest.mark.slow
def test_a_build_marks_the_tools_of_its_recipe_when_it_is_over(site: Site, tmp_path: Path) -> None:
    """So none is older than the release that was built with it, also where all is taken from the cache."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "python"], check=True)
    recipe = {"python": str(tmp_path / "python/bin/python")}
    assert site.build(site.commit(), **recipe).refusal is None
    (made,) = site.host.paths.tools.glob("pip-*")
    os.utime(made, (0, 0))
    again = site.commit(docs__notes="none")
    assert built(site.build(again, **recipe)) == []
    said = seal.read_meta(site.release(again))["built_at_utc"]
    marked = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made.stat().st_mtime))
    assert marked >= said
