"""A project of somebody's: a repository with a fabfile, and the real `fab` and `oroboros` run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.support.repository import Repository

NAMESPACE = "from oroboros_deploy.tasks import ns\n"


def program(name: str, directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in a directory."""
    return subprocess.run(
        [str(Path(sys.executable).with_name(name)), *arguments],
        cwd=directory,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


FAB = Path(sys.executable).with_name("fab")
fab = partial(program, "fab")
oroboros = partial(program, "oroboros")


@pytest.fixture
def project(repository: Repository) -> Path:
    """A repository with the fabfile of the README."""
    (repository.path / "fabfile.py").write_text(NAMESPACE)
    repository.commit("first")
    return repository.path
