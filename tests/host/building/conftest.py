"""What several tests of builds need: a site in a short path."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds import Site


@pytest.fixture
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp") as directory:  # the kernel reads 127 bytes of a first line
        yield Site(Path(directory))
