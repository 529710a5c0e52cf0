"""A registry with something in it, and our application over it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.web.site import site
from tests.support.samples import A, B, C, host, record


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A went live on two hosts, B failed its gate on the first, C on another in another environment."""
    path = tmp_path_factory.mktemp("filled") / "registry.db"
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.finish(record(A, host("web1", "live", live=A), host("web2", "live", live=A), attempt="one"))
        failed = host("web1", "restored", previous=A, message="the gate failed")
        registry.finish(record(B, failed, attempt="two", minute=1, exit_code=10))
        went = host("stage", "live", live=C)
        registry.finish(record(C, went, attempt="three", minute=2, environment="staging", kind="rollback"))
    return path


@pytest.fixture
def registry_url(filled: Path, tmp_path: Path) -> str:
    """A copy of that registry, of the test's own."""
    return f"sqlite:///{shutil.copy(filled, tmp_path)}"


@pytest.fixture
def registry(registry_url: str) -> Iterator[Registry]:
    """That copy, open."""
    with Registry.open(registry_url) as registry:
        yield registry


@pytest.fixture
def client(registry: Registry) -> TestClient:
    """A client of the application that `fab serve` serves."""
    return TestClient(site(lambda: registry.reader), base_url="http://localhost")
