"""Statements of SQLAlchemy's on the driver's own connection: the answers are those that SQLAlchemy gives."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import bindparam, literal, select

from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.driver import Driver
from oroboros_deploy.registry.schema import attempt_hosts, attempts
from tests.support.samples import A, B, host, record

ROWS = select(attempts.c.attempt, attempts.c.started_at, attempts.c.exit_code).order_by(attempts.c.id)
ONE = ROWS.where(attempts.c.attempt == bindparam("name"))


def filled(registry: Registry) -> Registry:
    for number, release in enumerate((A, B)):
        registry.finish(record(release, host("h1", "live", seconds={"facts": 0.5}), attempt=str(number)))
    return registry


def test_rows_are_those_of_sqlalchemy(registry: Registry) -> None:
    """Times, JSON and numbers come as their types say, in a transaction of SQLAlchemy's and beside it."""
    seconds = select(attempt_hosts.c.seconds)
    for statement in (ROWS, seconds):
        expected = filled(registry).database.read(lambda db, asked=statement: [tuple(row) for row in db.execute(asked)])
        under = registry.database.read(lambda db, asked=statement: Driver.under(db).rows(asked))
        beside = registry.database.ask(lambda db, asked=statement: db.rows(asked))
        assert [tuple(row) for row in under] == [tuple(row) for row in beside] == expected


def test_rows_by_name(registry: Registry) -> None:
    """A row is a dictionary; a parameter that the statement does not have is no error."""
    (found,) = filled(registry).database.ask(lambda db: db.dicts(ONE, {"name": "1", "other": 2}))
    assert found == {"attempt": "1", "started_at": datetime(2030, 1, 1, 11, tzinfo=UTC), "exit_code": 0}


def test_one_value(registry: Registry) -> None:
    """The first of the first row; without a row it is None."""
    names = ("0", "2")
    values = filled(registry).database.ask(lambda db: [db.value(ONE, {"name": name}) for name in names])
    assert (values, registry.database.ask(lambda db: db.value(select(literal(7))))) == (["0", None], 7)


def test_who_watches_is_given_every_question(registry: Registry) -> None:
    """The connection, and the part of the work that waits for the server."""
    watched = []

    def watch(connection: object, work: object) -> object:
        watched.append(connection)
        return work()  # type: ignore[operator]

    def ask(db: Driver) -> object:
        return Driver(db.connection, db.dialect, watch).value(select(literal(1))), db.connection

    value, connection = registry.database.ask(ask)  # type: ignore[misc]
    assert (value, watched) == (1, [connection])
