"""What may be written to a row of the control plane's, and what may not."""

from __future__ import annotations

import pytest

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.records.status import Status
from oroboros_deploy.registry import Registry
from tests.support.samples import A, record


def test_every_status_of_the_control_plane_is_taken(registry):
    """A row may have any status that the control plane knows."""
    assert [registry.upsert(A, A, status)["status"] for status in Status] == list(Status)


@pytest.mark.parametrize(
    "wrong",
    [{"release_id": value} for value in ("", ".", "..", "a/b", "-a", "a" * 65, "a\n", "a\0", "a b", "\u0661")]
    + [{"commit_sha": value} for value in ("", "a" * 6, "a" * 65, "A" * 40, "g" * 40, "a" * 40 + "\n", "\u0661" * 40)]
    + [{"status": value} for value in ("", "live", "DEPLOYED", "deployed ")]
    + [{"migration_marker": value} for value in ("", "r" * 129, "r\n", "r\0", "\ud800")]
    + [{"deployed_at": value} for value in ("", "now", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "12:00Z")]
    + [{"deployed_at": "0001-01-01T00:00:00+01:00"}],
)
def test_what_does_not_fit_a_row_is_refused_and_changes_nothing(sqlite_url, wrong):
    """Each wrong value raises InvalidInput that shows it, and there is no row afterwards."""
    with Registry.open(sqlite_url) as registry:
        with pytest.raises(InvalidInput) as caught:
            registry.upsert(**{"release_id": A, "commit_sha": A, "status": "deployed"} | wrong)
        assert repr(next(iter(wrong.values()))) in caught.value.message
        assert registry.list() == []


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"limit": 501}, {"status": "live"}])
def test_what_cannot_be_listed_is_refused(sqlite_url, wrong):
    """A limit out of range and an unknown status raise InvalidInput."""
    with Registry.open(sqlite_url) as registry, pytest.raises(InvalidInput):
        registry.list(**wrong)


def test_an_attempt_with_ids_that_cannot_be_stored_does_not_begin(registry):
    """It is refused before a host is touched, not when it has gone live."""
    for call in (registry.begin, registry.intend):
        with pytest.raises(InvalidInput):
            call(record("a" * 65))
