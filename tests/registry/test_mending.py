"""What reconciling writes: one thing at a time, and nothing over what was changed meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.records.reconcile import AttemptRepair, Repair, RowRepair, ServingRepair
from oroboros_deploy.records.record import Memory, Row
from oroboros_deploy.registry import Registry
from tests.support.databases import bare
from tests.support.samples import A, B, C, host, record

TIME = "2030-01-01T12:00:00+00:00"


def repairs() -> list[Repair]:
    """One of each kind, for a registry that has nothing."""
    one = record(A, host("h1", "live"))
    return [
        RowRepair(A, Row("deployed", TIME, "r1"), None),
        AttemptRepair(one, None),
        ServingRepair("h1", A, one.attempt, TIME, None, None),
    ]


def test_each_repair_is_made_once(registry: Registry) -> None:
    """The registry then says what it was told; told again, it has been changed since."""
    assert [registry.mend(repair) for repair in repairs()] == [True, True, True]
    assert [registry.mend(repair) for repair in repairs()] == [False, False, False]
    memory = registry.memory()
    assert (memory.rows, memory.serving, memory.credited) == (
        {A: Row("deployed", TIME, "r1")},
        {"h1": A},
        {"h1": "attempt"},
    )
    assert memory.records["attempt"] == record(A, host("h1", "live"))


def test_what_was_changed_meanwhile_stays(registry: Registry) -> None:
    """A deploy that ended after the comparison is not undone by what was found before it."""
    row, attempt, serving = repairs()
    registry.finish(record(B, host("h1", "live"), attempt="newer", minute=5))
    registry.upsert(A, A, "deploying")
    registry.begin(record(A, host("h1", "running"), finished_at=None, exit_code=None))
    before = registry.memory()
    assert [registry.mend(repair) for repair in (row, attempt, serving)] == [False, False, False]
    after = registry.memory()
    assert (after.rows, after.serving, after.records) == (before.rows, before.serving, before.records)


def test_an_end_that_was_known_wrongly_is_put_right(registry: Registry) -> None:
    """Also a settled one: the host knows better; what it served in between is left to the order of its journal."""
    registry.finish(record(A, host("h1", "interrupted")))
    registry.finish(record(C, host("h1", "live"), attempt="newer", minute=5))
    right = record(A, host("h1", "live", previous=B), minute=3)
    assert registry.mend(AttemptRepair(right, "failed"))
    assert (registry.memory().records["attempt"], registry.serving()) == (right, {"h1": C})


def test_an_attempt_is_alive_while_its_control_node_is_heard_of(registry: Registry) -> None:
    """One that has just begun is; one that ended, or was not heard of for long, is not."""
    going = record(A, host("h1", "running"), finished_at=None, exit_code=None)
    registry.begin(going)
    registry.finish(record(B, host("h1", "live"), attempt="ended"))
    memory = registry.memory()
    assert (memory.alive, set(memory.seen), memory.records["attempt"]) == ({"attempt"}, {"attempt"}, going)
    registry.database.write(
        lambda db: bare(db).exec_driver_sql("UPDATE oroboros_attempts SET seen_at = '2020-01-01 00:00:00'")
    )
    assert registry.memory().alive == frozenset()


def test_a_database_without_our_tables_is_empty_and_stays_so(sqlite_url: str) -> None:
    """Looking makes no table, and neither older nor newer ones are changed: it says what reads them."""
    with Registry.open(sqlite_url) as registry:
        assert registry.memory() == Memory()
        names = registry.database.read(lambda db: db.exec_driver_sql("SELECT name FROM sqlite_master").all())
        assert names == []
        registry.check()
        for version, hint in (
            (1, "fab registry.list  brings them up to date, as every command that writes does"),
            (99, "pip install --upgrade oroboros_deploy"),
        ):
            sql = f"UPDATE oroboros_schema SET version = {version}"
            registry.database.write(lambda db, sql=sql: bare(db).exec_driver_sql(sql))
            with pytest.raises(RegistryUnavailable, match=f"its tables are of version {version}, not 11") as refused:
                registry.memory()
            assert refused.value.hint == hint


def test_a_lead_time_stays_where_the_commit_is_not_known(registry: Registry) -> None:
    """Whoever repairs an attempt from a machine without its commit takes no figure away; a failed one has none."""
    went = record(A, host("h1", "live", seconds={"activate": 1.0}), committed_at="2030-01-01T11:00:00+00:00")
    failed = replace(went, hosts=(host("h1", "restored", previous=B),), exit_code=10)
    leads = []
    for one, before in ((went, None), (replace(went, committed_at=None), "live"), (failed, "live")):
        assert registry.mend(AttemptRepair(one, before))
        sql = "SELECT lead_seconds FROM oroboros_attempts"
        leads.append(registry.database.read(lambda db, sql=sql: bare(db).exec_driver_sql(sql).scalar()))
    assert leads == [3600.0, 3600.0, None]


def test_times_are_those_of_the_host(registry: Registry) -> None:
    """They are stored as they were told, with the offset of UTC."""
    one = record(A, host("h1", "live"), started_at="2001-02-03T04:05:06+02:00", finished_at="2001-02-03T05:05:06+02:00")
    registry.mend(AttemptRepair(one, None))
    utc = {"started_at": "2001-02-03T02:05:06+00:00", "finished_at": "2001-02-03T03:05:06+00:00"}
    assert registry.memory().records["attempt"] == replace(one, **utc)


def test_a_host_whose_clock_is_ahead_hides_no_later_attempt(registry: Registry) -> None:
    """What is read from its journal happened before it was read, so that what ends after that is newer."""
    _, attempt, serving = repairs()
    hour_ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert [registry.mend(each) for each in (attempt, replace(serving, since=hour_ahead))] == [True, True]
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    registry.finish(record(B, host("h1", "live", previous=A), attempt="newer", finished_at=soon))
    assert registry.serving() == {"h1": B}
