"""The control plane's rows: found, listed and written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.samples import A, B, C


def test_releases_are_found_by_prefix(registry):
    """A prefix finds exactly the ids that begin with it, and its signs mean nothing else."""
    for release_id in ("abc", "abd", "b_c", "bxc"):
        registry.upsert(release_id, A, "deployed")
    found = [registry.find(prefix) for prefix in ("ab", "abc", "b_", "%", "AB", "x\0", "")]
    assert found == [["abc", "abd"], ["abc"], ["b_c"], [], [], [], ["abc", "abd", "b_c", "bxc"]]


def test_the_newest_rows_come_first(registry):
    """A release on its way up stands on top, one that never went live at its place; limit and status choose."""
    registry.upsert("r1", A, "deployed")
    registry.upsert("r2", A, "deploy_failed")
    registry.upsert("r3", A, "deployed")
    registry.upsert("r4", A, "deploying")
    registry.upsert("r1", A, "replaced")
    chosen = (
        registry.list(),
        registry.list(limit=2),
        registry.list(status="deployed"),
        registry.list(status="replaced"),
    )
    ids = [[row["release_id"] for row in rows] for rows in chosen]
    assert ids == [["r4", "r3", "r2", "r1"], ["r4", "r3"], ["r3"], ["r1"]]


def test_upsert_keeps_what_it_is_not_given(registry):
    """The first time live and the marker stay; an explicit time goes over them, in UTC."""
    assert registry.upsert(A, B, "deploying")["deployed_at"] is None
    first = registry.upsert(A, B, "deployed", migration_marker="r1")
    age = datetime.now(UTC) - datetime.fromisoformat(first["deployed_at"])
    assert (abs(age) < timedelta(seconds=5), first["deployed_at"][-6:]) == (True, "+00:00")
    assert registry.upsert(A, C, "replaced") == first | {"commit_sha": C, "status": "replaced"}
    assert registry.upsert(A, C, "rolled_back")["deployed_at"] == first["deployed_at"]
    explicit = registry.upsert(A, C, "replaced", "r2", "2001-02-03T04:05:06+02:00")
    assert (explicit["deployed_at"], explicit["migration_marker"]) == ("2001-02-03T02:05:06+00:00", "r2")
    assert registry.get(A) == explicit


def test_an_odd_id_names_no_release(registry):
    """Whatever is asked for, the answer is that there is none."""
    for release_id in ("", "a\0", "\ud800", "a" * 1000, "'; DROP TABLE releases; --"):
        assert (registry.get(release_id), registry.hosts_of(release_id), registry.environment_of(release_id)) == (
            None,
            [],
            None,
        )
