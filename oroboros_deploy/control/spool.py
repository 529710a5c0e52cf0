"""Records that a registry could not take: kept on this machine until it can.

One file a record, named ``<key of the registry>.<hash of the record>.json``, so
that putting a record twice keeps it once. A record leaves the spool after the
registry has committed it.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RegistryUnavailable
from ..records.record import Record

if TYPE_CHECKING:
    from ..registry import Registry

_log = logging.getLogger(__name__)


class Spool:
    """A directory of records that wait for their registry; made when the first one comes."""

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)

    def put(self, record: Record, url_key: str) -> Path:
        """Keep a record for the registry with this key, on disk and synced when it returns."""
        text = record.to_json()
        path = self._directory / f"{url_key}.{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        with self._explained():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_synced(path, text)
        return path

    def pending(self, url_key: str = "*") -> list[Record]:
        """The records that wait, for the registry with this key or for any, those that ended first first."""
        with self._explained():
            return [record for _, record in self._load(url_key)]

    def replay(self, registry: Registry) -> int:
        """Finish each record that waits for this registry, and return how many; none while another process does it.

        RegistryUnavailable when the registry fails again: what it did not take goes on waiting.
        """
        with self._explained(), self._alone() as alone:
            waiting = self._load(registry.key) if alone else []
            for path, record in waiting:
                registry.finish(record)
                path.unlink()
        return len(waiting)

    def _load(self, key: str) -> list[tuple[Path, Record]]:
        loaded = [(path, _read(path)) for path in self._directory.glob(f"{key}.*.json")]
        found = [(path, record) for path, record in loaded if record]
        return sorted(found, key=lambda each: each[1].finished_at or each[1].started_at)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cause = f"the spool {self._directory} cannot be used: {error.strerror}"
            raise RegistryUnavailable(cause, hint=f"ls -ld {self._directory}") from error

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        if not self._directory.is_dir():
            yield False
            return
        lock = os.open(self._directory, os.O_RDONLY)
        try:
            yield _locked(lock)
        finally:
            os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> Record | None:
    try:
        return Record.from_json(path.read_text())
    except FileNotFoundError:  # replayed by another process meanwhile
        return None
    except ValueError as error:
        path.rename(path.with_suffix(".bad"))
        _log.warning(
            "the record of an attempt cannot be read (%s), and is now in %s: fab registry.reconcile  writes the attempt"
            " into the registry from the journals of the hosts",
            error,
            path.with_suffix(".bad"),
        )
        return None


def _write_synced(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".new-", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).rename(path)
        finally:
            Path(file.name).unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
