"""A project of somebody's: a repository with a fabfile, and the real `fab` program run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import Repository

FAB = Path(sys.executable).with_name("fab")
NAMESPACE = "from oroboros_deploy.tasks import ns\n"


def fab(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `fab` in a directory."""
    return subprocess.run(
        [str(FAB), *arguments],
        cwd=directory,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def project(repository: Repository) -> Path:
    """A repository with the fabfile of the README."""
    (repository.path / "fabfile.py").write_text(NAMESPACE)
    repository.commit("first")
    return repository.path
