"""Real hosts with the example application, and its repository to deploy from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from application import Application, install_application
from disposable_host import DisposableHost, ensure_image, missing

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def image() -> Path:
    """The hosts' image; the first run builds it in one to two minutes."""
    if lacks := missing():
        pytest.skip(f"a real host needs {', '.join(lacks)}")
    return ensure_image()


@pytest.fixture
def host(image: Path) -> Iterator[DisposableHost]:
    """A host that an administrator prepared for the application; nothing is deployed there."""
    with DisposableHost(f"host{next(_numbers)}", image) as host:
        install_application(host)
        yield host


@pytest.fixture
def app(tmp_path: Path) -> Application:
    """The application's repository, without a commit yet."""
    return Application(tmp_path / "ouroboros")
