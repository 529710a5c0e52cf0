"""What a project declares to be built with: known for good, or left to pip."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from oroboros_deploy.host.building import build_tools

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
