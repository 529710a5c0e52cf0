"""Reading the registry inside a session that an application has open already."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import cast

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ..errors import RegistryUnavailable
from .database import Database, Result
from .driver import Driver
from .reading import Reader

_LOOK_AT = (
    "check that the application's database answers, that it is the database of DEPLOY_REGISTRY_URL, and that the "
    "application's user may read the registry's tables; missing tables are made by: fab registry.list"
)


def session_reader(session: Session) -> Reader:
    """A reader that asks through a session and never commits, closes or writes.

    The tables must be there: they are made by the first command that uses the registry.
    """
    return _SessionReader(session)


class _SessionReader(Reader):
    """A reader that asks through a session."""

    def __init__(self, session: Session) -> None:
        super().__init__(cast(Database, _InSession(session)), lambda: None)
        self._session = session

    def apart(self) -> Reader:
        """One that asks beside the session, and so sees only what was committed."""
        return Reader(cast(Database, _BesideSession(self._session)), lambda: None)


class _InSession:
    """The part of `Database` that a reader uses."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def ask(self, work: Callable[[Driver], Result]) -> Result:
        """What ``work`` returns, given the session's connection, in its transaction."""
        # The application's driver raises ValueError for a time that Python has not, or for JSON that is none.
        failures = (SQLAlchemyError, ValueError, self._session.get_bind().dialect.loaded_dbapi.Error)
        try:
            driver = Driver.under(self._session.connection())
            driver.locate()
            return work(driver)
        except failures as error:
            what = f"the registry cannot be read in the application's own database session: {type(error).__name__}"
            raise RegistryUnavailable(what, hint=_LOOK_AT) from error

    def mark(self) -> str:
        """Always another: inside a session nothing says cheaply what others have committed."""
        return secrets.token_hex(8)


class _BesideSession(_InSession):
    """Asks as the session would, in a short one for each question: a stream would keep its connection busy."""

    def ask(self, work: Callable[[Driver], Result]) -> Result:
        """What ``work`` returns, given a connection that is free again afterwards."""
        with Session(self._session.get_bind()) as session:
            return _InSession(session).ask(work)
