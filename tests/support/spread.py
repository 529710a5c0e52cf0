"""A pytest plugin: an order of files in which the workers of pytest-xdist end together.

    python -m pytest -p tests.support.spread -n 3 --dist loadscope --no-loadscope-reorder

Files with hosts or a browser wait much and take minutes; they stand evenly among those with builds and deploys, and
those with most tests come first.  Files of quick tests alone come last: no worker is left with a long one in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

import pytest

File = list[pytest.Item]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for file in spread(_files(items)) for item in file]


def spread(files: list[File]) -> list[File]:
    """The same files in another order."""
    waiting = sorted((file for file in files if _has(file, "host", "browser")), key=len, reverse=True)
    others = [file for file in files if not _has(file, "host", "browser")]
    working = [file for file in others if _has(file, "slow")]
    mixed = sorted((*_placed(waiting), *_placed(working)), key=itemgetter(0))
    return [*(file for _, file in mixed), *(file for file in others if not _has(file, "slow"))]


def _placed(files: list[File]) -> Iterator[tuple[float, File]]:
    """Each file with the share of their tests that come before it."""
    count, before = sum(map(len, files)), 0
    for file in files:
        yield before / count, file
        before += len(file)


def _files(items: list[pytest.Item]) -> list[File]:
    files: dict[str, File] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    return list(files.values())


def _has(file: File, *marks: str) -> bool:
    return any(item.get_closest_marker(mark) for item in file for mark in marks)
