"""A registry that is read for days: opened again when the way to it was lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Self, cast

from sqlalchemy import literal, select

from ..errors import DeployError, RegistryUnavailable
from .database import Database, Result
from .driver import Driver
from .reading import Reader
from .registry import Registry

_PAUSE = 2.0  # seconds between two tries to open it
_ANYTHING = select(literal(1))


class StandingRegistry:
    """Opens a registry by ``open_registry``, and again when it does not answer; a context manager.

    A reader asks again, once, when that helped.  It raises RegistryUnavailable at once while another
    is opening the registry, and for two seconds after that has failed.
    """

    def __init__(self, open_registry: Callable[[], AbstractContextManager[Registry]]) -> None:
        self._open_registry = open_registry
        self._opened = ExitStack()
        self._registry: Registry | None = None
        self._opening = threading.Lock()
        self._failed_at = -_PAUSE

    def __enter__(self) -> Self:
        self._registry = self._opened.enter_context(self._open_registry())
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def reader(self) -> Reader:
        """What there is to show, read-only."""
        return Reader(cast(Database, self), lambda: None)

    # The part of `Database` that a reader uses.

    def ask(self, work: Callable[[Driver], Result]) -> Result:
        """What ``work`` returns, given a driver's connection that can only read."""
        return self._surely(lambda database: database.ask(work))

    def mark(self) -> str:
        """A text that changes with every transaction that anybody commits."""
        return self._surely(Database.mark)

    def _surely(self, use: Callable[[Database], Result]) -> Result:
        registry = self._registry
        if registry is not None:
            try:
                return use(registry.database)
            except RegistryUnavailable:
                if _answers(registry):
                    raise
        return use(self._another(registry).database)

    def _another(self, lost: Registry | None) -> Registry:
        """The registry that takes the place of one that was lost."""
        if not self._opening.acquire(blocking=False):
            raise RegistryUnavailable("the registry is being opened again", hint="ask again in some seconds")
        try:
            if self._registry is None or self._registry is lost:
                self._close()
                self._registry = self._open()
            return self._registry
        finally:
            self._opening.release()

    def _open(self) -> Registry:
        if time.monotonic() < self._failed_at + _PAUSE:
            raise RegistryUnavailable("the registry could not be opened a moment ago", hint="ask again in some seconds")
        try:
            return self._opened.enter_context(self._open_registry())
        except DeployError as error:
            self._failed_at = time.monotonic()
            raise RegistryUnavailable(error.message, hint=error.hint, host=error.host) from error

    def _close(self) -> None:
        self._registry = None
        with suppress(DeployError, OSError):  # what it went through is gone
            self._opened.close()


def _answers(registry: Registry) -> bool:
    with suppress(RegistryUnavailable):
        registry.database.ask(lambda db: db.value(_ANYTHING))
        return True
    return False
