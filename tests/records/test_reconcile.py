"""What the journals say and the registry does not, compared without touching either."""

from __future__ import annotations

from oroboros_deploy.records.history import HostJournal
from oroboros_deploy.records.reconcile import compare
from oroboros_deploy.records.record import HostRecord, Memory, Row
from tests.support.journals import chained
from tests.support.samples import A, B, host, record


def test_what_a_journal_lacks_is_only_believed_of_one_that_lost_nothing() -> None:
    """An attempt without an end is given up when its host never heard of it, not when the host forgot others too."""
    running = record(A, host("web1", "running"), finished_at=None, exit_code=None)
    known = record(B, host("web1", "live"), attempt="known")
    seen = {"attempt": "2030-01-01T11:00:00+00:00"}
    alone = compare(Memory(records={"attempt": running}, seen=seen), [HostJournal("web1", [])])
    beside = compare(Memory(records={"attempt": running, "known": known}, seen=seen), [HostJournal("web1", [])])
    assert [part.state for each in alone.attempts for part in each.record.hosts] == ["interrupted"]
    assert (len(beside), [doubt.host for doubt in beside.doubts]) == (0, ["web1", None])


def test_what_an_earlier_version_did_not_record_of_the_configuration() -> None:
    """The registry gets from the journal which configuration was in use; where it knows one, that is what it has."""
    said = {"attempt": "attempt", "kind": "deploy", "target": A, "source": None, "outcome": "committed", "live": A}
    said |= {"reason": "", "actor": "ada", "at": 1.0, "seconds": {}, "migration_marker": None, "switched": True}
    journals = [HostJournal("web1", chained([{**said, "configuration": "0123456789abcdef"}]), A, "attempt", 1)]

    def repaired(known: str | None) -> list[str | None]:
        memory = Memory(records={"attempt": record(A, host("web1", "live", live=A, configuration=known))})
        found = compare(memory, journals)
        return [part.configuration for each in found.attempts for part in each.record.hosts]

    assert (repaired(None), repaired("0123456789abcdef")) == (["0123456789abcdef"], [])


def test_a_push_that_never_was_is_no_success() -> None:
    """The release is live either way; the journal has no push, so nothing was put in use."""
    known = {
        "deploy": record(A, host("web1", "live", live=A), attempt="deploy"),
        "push": record(A, HostRecord("web1"), attempt="push", kind="env", minute=1, exit_code=None),
    }
    said = {"attempt": "deploy", "kind": "deploy", "target": A, "source": None, "outcome": "committed", "live": A}
    said |= {"reason": "", "actor": "ada", "at": 1.0, "seconds": {}, "migration_marker": None, "switched": True}
    found = compare(Memory(records=known), [HostJournal("web1", chained([said]), A, "deploy", 1)])
    ends = {each.record.attempt: [part.state for part in each.record.hosts] for each in found.attempts}
    assert ends["push"] == ["interrupted"]


def test_a_push_that_could_not_be_taken_back_leaves_the_row() -> None:
    """Nothing is known to serve there, and the release's row stays as the deploy left it."""
    known = {
        "deploy": record(A, host("web1", "live", live=A), attempt="deploy"),
        "push": record(A, host("web1", "not_restored", previous=A), attempt="push", kind="env", minute=1),
    }
    said = {"target": A, "reason": "", "actor": "ada", "seconds": {}, "migration_marker": None, "switched": True}
    deployed = {
        **said,
        "attempt": "deploy",
        "kind": "deploy",
        "source": None,
        "outcome": "committed",
        "live": A,
        "at": 1.0,
    }
    pushed = {**said, "attempt": "push", "kind": "env", "source": A, "outcome": "restore_failed", "live": A, "at": 2.0}
    rows = {A: Row("deployed", "2030-01-01T12:00:00+00:00", None)}
    memory = Memory(records=known, serving={"web1": None}, credited={"web1": "push"}, rows=rows)
    found = compare(memory, [HostJournal("web1", chained([deployed, pushed]), A, "push", 2)])
    assert (found.serving, found.rows) == ((), ())
