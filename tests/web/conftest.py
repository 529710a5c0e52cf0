"""A registry with something in it, and our application over it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.web import conditional
from oroboros_deploy.web.site import site
from oroboros_deploy.web.tokens import Tokens
from tests.support.history import History, write
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


class Shown:
    """The application that `fab serve` serves, made once: a tenth of a second; each test gives it a registry."""

    registry: Registry

    def __init__(self) -> None:
        self.app = site(lambda: self.registry.reader)


@pytest.fixture(scope="session")
def shown() -> Shown:
    return Shown()


@pytest.fixture
def client(shown: Shown, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A client of that application over a registry of its own; however slow the machine is, each answer is a new one.

    A first answer also imports what it needs: the processor time of that may be enough to have it given again.
    """
    monkeypatch.setattr(conditional, "MUCH", math.inf)
    shown.registry = registry
    return TestClient(shown.app, base_url="http://localhost")


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens")


@pytest.fixture
def closed(registry: Registry, tokens: Tokens) -> TestClient:
    """A client of an application that asks for a token."""
    return TestClient(site(lambda: registry.reader, tokens=tokens), base_url="http://localhost")


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    history = History(f"sqlite:///{tmp_path_factory.mktemp('pages')}/registry.db")
    yield history
    history.close()


@pytest.fixture(scope="session")
def made(history: History) -> dict[str, str]:
    return write(history)


@pytest.fixture(scope="session")
def past(history: History) -> TestClient:
    return TestClient(site(lambda: history.registry.reader), base_url="http://localhost")
