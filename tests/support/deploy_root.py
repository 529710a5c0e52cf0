"""A deploy root of the test's own, driven by the real agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository


@pytest.fixture
def host(tmp_path: Path) -> LocalAgent:
    return LocalAgent(tmp_path / "srv")


@pytest.fixture
def mirrored(host: LocalAgent, repository: Repository) -> Repository:
    """A repository whose commits the host has: push again after a commit with ``host.mirror``."""
    repository.commit("the first", file="content\n", run__me="#!/bin/sh\n")
    host.mirror(repository)
    return repository
