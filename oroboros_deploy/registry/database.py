"""The registry's database: connections, transactions, and words for what goes wrong."""

from __future__ import annotations

import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .. import threads
from ..errors import RegistryUnavailable
from . import place
from .driver import Driver
from .url import LOGIN_WITH_VIA, engine_url, registry_address, safe_url, sqlite_path
from .values import decoded
from .watchdog import Watchdog

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

Result = TypeVar("Result")

# A connection that Ctrl-C cuts off is logged with its traceback; without a handler that lands on stderr.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())

# The write lock comes first in a writing transaction: taken after a read or an upsert it deadlocks on PostgreSQL,
# and SQLite refuses the upgrade at once, without waiting for its busy timeout. The number is ours and arbitrary.
_WRITE_LOCK = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7018261534)"}

_ON_CONNECT = {
    "sqlite": ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"),
    "postgresql": (),
}
# What a transaction begins with.  It ends with the transaction: a pooler such as PgBouncer gives the server's session
# to other programs afterwards.  The write lock comes before everything else, so each statement has to see what was
# committed until it was ours.  The last one frees that lock when a control node is suspended in a transaction.
BEGIN = {
    "sqlite": (),
    "postgresql": (
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET LOCAL statement_timeout = '15s'",
        "SET LOCAL lock_timeout = '15s'",
        "SET LOCAL idle_in_transaction_session_timeout = '15s'",
    ),
}
PATIENCE = 15  # seconds to wait for other writers, and to try again after what passes
SILENCE = 30  # seconds for an answer: tries and the last of them, whose waits the server itself ends
_PATIENCE_WITH_TUNNELS = 1  # for who reads: one that is gone does not come back
IDLE = 15  # connections for reading that are kept open, at most
_POSTGRESQL_DEFAULTS = {  # a parameter of the URL goes before these
    "client_encoding": "utf8",  # names and commit messages may hold any character, whatever PGCLIENTENCODING says
    "application_name": "oroboros_deploy",
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
}

# Serialization failure and deadlock on PostgreSQL. SQLite waits for its locks by itself, but not for the one that it
# needs to make a file WAL: then it is busy at once.
_TRANSIENT = {"40001", "40P01", "SQLITE_BUSY"}
_FULL = "make room: df -h; df -i"
_DAMAGED = "move the file away and rebuild it from the hosts: fab -H HOSTS registry.reconcile"
_HINTS = {
    "42501": "let a database administrator grant that to the registry's user",
    "25006": "point deploy.registry_url (DEPLOY_REGISTRY_URL) at the primary, not at a read-only copy",
    "53100": _FULL,
    "SQLITE_FULL": _FULL,
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_BUSY": "another process holds the file; see which: fuser -v FILE",
}
_BEHIND_A_TUNNEL = {
    "no password supplied": LOGIN_WITH_VIA,
    "no encryption": "to encrypt the connection to the server through via, add sslmode=require to the registry's URL",
}
_HINT = "check that the database is up and that deploy.registry_url (DEPLOY_REGISTRY_URL) names it"
_SNAPSHOT = select(func.txid_current_snapshot())


class Database:
    """One registry database. Every failure surfaces as RegistryUnavailable, without password or parameters."""

    def __init__(self, url: str, near: str | int | None = None) -> None:
        self._shown = safe_url(url)
        self._hint = _HINT
        if path := sqlite_path(url):
            self._hint = f"see who may write the file and its directory: ls -la {path.parent}"
            self._make_file(path)
        self._engine = _engine(url, near)
        self._user = self._engine.url.username
        self._behind_a_tunnel = near is not None
        self._patience = _PATIENCE_WITH_TUNNELS if self._behind_a_tunnel else PATIENCE
        event.listen(self._engine, "connect", self._prepare)
        self._failures = (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error)
        self._readers: list[Driver] = []
        self._schema: str | None = None
        self._closed = False
        self._watchdog = None if path else Watchdog(SILENCE)
        self._watch: Driver | None = None
        self._watching = threading.Lock()
        self._nonce = secrets.token_hex(4)

    @property
    def idle(self) -> int:
        """How many connections for reading are kept open."""
        return len(self._readers)

    def close(self) -> None:
        """Close every connection; one that is being asked through is closed with its answer."""
        self._closed = True
        self._hang_up()
        if self._watchdog:
            self._watchdog.close()
        if self._watch:
            self._watch.connection.close()
        self._engine.dispose()

    def ask(self, work: Callable[[Driver], Result]) -> Result:
        """What ``work`` returns, given a driver's connection that can only read; each statement sees what is there.

        ``work`` is run again when the connection turns out to be lost.
        """
        try:
            return self._patiently(lambda: self._ask(work), self._patience)
        except TimeoutError:
            raise self._silent() from None

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """What ``work`` returns, given a connection."""
        return self._run(work)

    def mark(self) -> str:
        """A text that changes with every transaction that anybody commits to this database."""
        if self._engine.dialect.name == "postgresql":
            return str(self.ask(lambda db: db.value(_SNAPSHOT)))
        with self._watching:
            return f"{self._nonce}.{self._patiently(self._commits_of_others, self._patience)}"

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """What ``work`` returns, given a transaction that holds the registry's write lock.

        ``work`` is run again after a deadlock, or when the connection is lost, perhaps while
        it commits: doing it twice must come to the same as doing it once.
        """
        return self._run(work, _WRITE_LOCK[self._engine.dialect.name])

    def migrate(self, work: Callable[[Connection], Result]) -> Result:
        """The same for what may take as long as it takes."""
        return self._tried(work, _WRITE_LOCK[self._engine.dialect.name], None)

    def write_once(self, work: Callable[[Connection], Result]) -> Result:
        """The same for what must not happen twice, and may not happen at all: it is never tried again."""
        return self._run(work, _WRITE_LOCK[self._engine.dialect.name], patience=0)

    def unavailable(self, cause: str, hint: str | None = None) -> RegistryUnavailable:
        """The error that says that this registry cannot be used, and why."""
        return RegistryUnavailable(f"the registry {self._shown} cannot be used: {cause}", hint=hint or self._hint)

    def _run(
        self, work: Callable[[Connection], Result], lock: str | None = None, patience: float | None = None
    ) -> Result:
        """No server keeps a caller for ever, not even one that takes a question and says nothing."""
        tried = partial(self._tried, work, lock, patience)
        if self._engine.dialect.name == "sqlite":
            return tried()
        try:
            return threads.beside(tried).result(SILENCE)
        except TimeoutError:
            raise self._silent() from None

    def _tried(self, work: Callable[[Connection], Result], lock: str | None, patience: float | None) -> Result:
        return self._patiently(lambda: self._once(work, lock), PATIENCE if patience is None else patience)

    def _patiently(self, work: Callable[[], Result], patience: float) -> Result:
        """What ``work`` returns, which is run again after what passes, for so many seconds."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return work()
            except self._failures as error:
                if not self._transient(error) or time.monotonic() > deadline:
                    raise self._explained(error) from error
            time.sleep(random.uniform(0.01, 0.3))  # noqa: S311

    def _ask(self, work: Callable[[Driver], Result]) -> Result:
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = self._reader()
        try:
            self._find(reader)
            result = work(reader)
        except BaseException:
            # Whatever it was, nobody has to know in which state it left the connection; and when one is
            # lost, so are those that waited beside it.
            reader.connection.close()
            self._hang_up()
            raise
        if len(self._readers) < IDLE and not self._closed:
            self._readers.append(reader)
        else:
            reader.connection.close()
        return result

    def _reader(self) -> Driver:
        """A connection that is no part of the pool: a ping and a transaction would be more than most questions."""
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        if self._engine.dialect.name == "postgresql":
            from .read_only import make_read_only  # psycopg2 is imported for PostgreSQL alone

            make_read_only(connection)
        else:
            _execute(connection, "PRAGMA query_only = ON")
        return Driver(connection, self._engine.dialect, self._watchdog.watch if self._watchdog else None)

    def _find(self, reader: Driver) -> None:
        """Let a reader look for our tables where they are: once in a schema of their own, they stay there."""
        if self._schema is None:
            reader.locate()
            self._schema = reader.schema
        reader.schema = self._schema

    def _hang_up(self) -> None:
        with suppress(IndexError):
            while True:
                self._readers.pop().connection.close()

    def _once(self, work: Callable[[Connection], Result], lock: str | None) -> Result:
        with self._engine.connect() as connection:
            self._begin(connection, lock)
            result = work(connection)
            connection.commit()
            return result

    def _begin(self, connection: Connection, lock: str | None) -> None:
        """Take the lock, and find our tables: in one question, after which nobody moves them."""
        name = self._engine.dialect.name
        asks = [*BEGIN[name], *([lock] if lock else []), *([place.IN_OURS] if name == "postgresql" else [])]
        found = connection.exec_driver_sql("; ".join(asks)) if asks else None
        ours = name == "postgresql" and found is not None and bool(found.scalar())
        self._schema = place.use(connection, place.NAME if ours else None)

    def _silent(self) -> RegistryUnavailable:
        return self.unavailable(f"it has not answered within {SILENCE} s")

    def _explained(self, error: Exception) -> RegistryUnavailable:
        cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        if self._user:  # without a colon after it, the server takes the password for a part of it
            cause = cause.replace(f'"{self._user}"', '"***"')
        behind = (hint for words, hint in _BEHIND_A_TUNNEL.items() if self._behind_a_tunnel and words in cause)
        return self.unavailable(cause, next(behind, _HINTS.get(_code(error))))

    def _transient(self, error: Exception) -> bool:
        return self._is_lost(error) or _code(error) in _TRANSIENT

    def _is_lost(self, error: Any) -> bool:
        if isinstance(error, SQLAlchemyError):
            return isinstance(error, DBAPIError) and error.connection_invalidated
        return self._engine.dialect.is_disconnect(error, None, None)

    def _commits_of_others(self) -> int:
        """SQLite counts them for each connection by itself: one is kept for that."""
        self._watch = self._watch or self._reader()
        count: int = self._watch.connection.execute("PRAGMA data_version").fetchone()[0]
        return count

    def _make_file(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))
        except OSError as error:
            raise self.unavailable(f"{error.filename}: {error.strerror}") from error

    def _prepare(self, connection: Any, _record: object) -> None:
        try:
            if self._engine.dialect.name == "postgresql":
                from .any_time import read_any_time  # psycopg2 is imported for PostgreSQL alone

                read_any_time(connection)
            _execute(connection, *_ON_CONNECT[self._engine.dialect.name])
            connection.commit()
        except self._failures:
            connection.close()  # SQLAlchemy 2.0 leaves it to the garbage collector
            raise


def insert(db: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT, which both databases have."""
    if db.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def clock(db: Connection) -> datetime:
    """Now, by the clock that all control nodes share: the database's, or on SQLite this machine's."""
    return datetime.now(UTC) if db.dialect.name == "sqlite" else db.scalars(select(func.clock_timestamp())).one()


def skew(db: Connection) -> timedelta:
    """How far the database's clock is ahead of this machine's, at least; zero on SQLite, where they are one.

    It was read between question and answer: a time between these two shows no difference, only the way there.
    """
    asked, read, answered = datetime.now(UTC), clock(db), datetime.now(UTC)
    return read - min(max(read, asked), answered)


def _engine(url: str, near: str | int | None) -> Engine:
    target = make_url(engine_url(url))
    connect: dict[str, Any] = {"host": near} if isinstance(near, str) else {}
    if isinstance(near, int):  # the name stays the server's own: it is what its certificate has to name
        connect = {"host": registry_address(url).host, "hostaddr": "127.0.0.1", "port": near}
    is_file = target.get_backend_name() == "sqlite"
    if is_file:
        # isolation_level None: the driver begins no transaction of its own before our write lock.
        connect = {"timeout": PATIENCE, "isolation_level": None}
    else:
        target = target.set(query={**_POSTGRESQL_DEFAULTS, **target.query})
    return create_engine(
        target, connect_args=connect, pool_pre_ping=not is_file, hide_parameters=True, json_deserializer=decoded
    )


def _execute(connection: Any, *statements: str) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def _code(error: Exception) -> str:
    driver = getattr(error, "orig", error)
    return getattr(driver, "pgcode", None) or getattr(driver, "sqlite_errorname", None) or ""
