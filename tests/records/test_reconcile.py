"""What the journals say and the registry does not, compared without touching either."""

from __future__ import annotations

from oroboros_deploy.records.history import HostJournal
from oroboros_deploy.records.reconcile import compare
from oroboros_deploy.records.record import Memory
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
