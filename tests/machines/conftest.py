"""Real hosts with the example application, and its repository to deploy from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from application import Application, fabric_yaml
from disposable_host import DisposableHost, ensure_image

from tests.support.fab import Fab
from tests.support.rights import require_hosts
from tests.support.shop import Shop

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def image() -> Path:
    """The hosts' image; the first run builds it in one to two minutes."""
    require_hosts()
    return ensure_image()


@pytest.fixture
def host(image: Path) -> Iterator[DisposableHost]:
    """A host with the login and the rules of sudo that an administrator makes; nothing is deployed there."""
    with DisposableHost(f"host{next(_numbers)}", image) as host:
        yield host


@pytest.fixture
def app(tmp_path: Path, host: DisposableHost, monkeypatch: pytest.MonkeyPatch) -> Application:
    """The application's repository, without a commit yet; its secret is in the environment that `fab` will have."""
    monkeypatch.setenv("UPLOAD_KEY", "which-only-the-api-knows")
    return Application(tmp_path / "ouroboros", {"fabric.yaml": fabric_yaml(host)})


@pytest.fixture
def shop(tmp_path: Path, host: DisposableHost) -> Shop:
    """A light application on the host, and its repository."""
    return Shop(tmp_path / "shop", host)


@pytest.fixture
def fab(tmp_path: Path, shop: Shop) -> Iterator[Fab]:
    """`fab` in the repository of the shop, with a registry of the test's own."""
    fab = shop.fab(f"sqlite:///{tmp_path}/registry.db")
    yield fab
    fab.end()
