"""The registry is a replay of the journals: what it lost comes back, what is wrong is put right, nothing is made up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.deployment import Deployment
from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.host.journal import Journal
from oroboros_deploy.records.reconcile import Repairs
from oroboros_deploy.testing import LocalConnection, unreachable
from tests.support.journals import chained
from tests.support.repository import Repository
from tests.support.samples import host, record
from tests.support.site import GATE, Site

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

BOTH = ["web1", "web2"]
ALIKE = (
    *("kind", "release_id", "commit_sha", "environment", "actor", "control_node", "tool_version", "started_at"),
    *("state", "subject", "migration_marker"),
)


class FleetSite(Site):
    """A site whose hosts share their settings, so that they can be in one attempt; some may be down."""

    down: frozenset[str] = frozenset()

    def deployment(self, host: str = "HOST", **settings: Any) -> Deployment:
        deployment = super().deployment(host, **settings)
        object.__setattr__(deployment.config.healthcheck, "command", GATE)
        return deployment

    def connect(self, name: str) -> LocalConnection:
        return unreachable(name) if name in self.down else super().connect(name)

    def journal(self, host: str) -> Path:
        return self.root(host) / ".deploy" / "journal.jsonl"


@pytest.fixture
def site(tmp_path: Path, repository: Repository) -> FleetSite:
    return FleetSite(tmp_path, repository)


def dump(site: FleetSite) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with sqlite3.connect(f"file:{site.tmp}/registry.db?mode=ro", uri=True) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        tables = {name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in names}
    db.close()
    return tables


def change(site: FleetSite, *statements: str) -> None:
    """Do something to the registry behind its back."""
    db = sqlite3.connect(f"{site.tmp}/registry.db")
    with db:
        for statement in statements:
            db.execute(statement)
    db.close()


def shown(site: FleetSite) -> dict[str, Any]:
    """What has to be the same after a rebuild: the rows, what hosts serve, and each attempt but for its wall times."""
    with site.deployment().registry() as registry:
        rows, serving, found = registry.list(), registry.serving(), registry.memory().records
    attempts = {
        record.attempt: {
            **{name: getattr(record, name) for name in ALIKE},
            "hosts": [(part.host, part.state, part.live, part.previous) for part in record.hosts],
        }
        for record in found.values()
    }
    return {"rows": rows, "serving": serving, "attempts": attempts}


def deployed_at(state: dict[str, Any]) -> list[datetime | None]:
    times = [row.pop("deployed_at") for row in state["rows"]]
    return [time and datetime.fromisoformat(time) for time in times]


def history(site: FleetSite) -> Deployment:
    """Deploys and rollbacks on two hosts, together and alone, good and bad."""
    deployment = site.deployment()
    deployment.deploy(BOTH, sha=site.good)
    deployment.deploy(BOTH, sha=site.better)
    deployment.deploy(BOTH, sha=site.bad)
    deployment.rollback(BOTH, release=site.good)
    deployment.deploy(["web2"], sha=site.better)
    deployment.deploy(BOTH, sha=site.better)
    deployment.deploy(["web1"], sha=site.bad)
    deployment.rollback(["web2"], release=site.good)
    return deployment


def test_a_deleted_registry_is_rebuilt_from_the_hosts(site: FleetSite) -> None:
    """Rows, hosts and attempts are what they were; the first time live to the second; then there is nothing to do."""
    began = datetime.now(UTC)
    deployment = history(site)
    before = shown(site)
    (site.tmp / "registry.db").unlink()
    over = datetime.now(UTC)
    made = deployment.reconcile(BOTH)
    after = shown(site)
    for was, now in zip(deployed_at(before), deployed_at(after), strict=True):
        assert was == now or (
            was and now and began < now <= was < over
        )  # a host ends before the control node has heard it
    assert after == before
    assert (len(made.attempts), len(made.serving), len(made.rows), made.doubts) == (8, 2, 3, ())
    known = dump(site)
    assert (len(deployment.reconcile(BOTH)), dump(site)) == (0, known)


def test_one_host_after_the_other_rebuilds_the_same(site: FleetSite) -> None:
    """A host that could not be read is named, its attempts are not guessed, and reading it later adds its parts."""
    deployment = history(site)
    before = shown(site)
    (site.tmp / "registry.db").unlink()
    site.down = frozenset({"web2"})
    first = deployment.reconcile(BOTH)
    assert first.unread == ("web2",)
    assert {"web2"} == {doubt.host for doubt in first.doubts}
    assert shown(site)["serving"] == {"web1": site.better}
    site.down = frozenset()
    deployment.reconcile(BOTH)
    after = shown(site)
    deployed_at(before), deployed_at(after)
    assert (after["serving"], after["attempts"]) == (before["serving"], before["attempts"])
    statuses = [{row["release_id"]: row["status"] for row in each["rows"]} for each in (after, before)]
    assert statuses[0] == statuses[1]


def test_a_dry_run_shows_the_same_and_changes_nothing(site: FleetSite) -> None:
    """The repairs are those of the real run; the database is the same to the last row, and no table is made."""
    deployment = history(site)
    change(
        site, "DELETE FROM oroboros_hosts", "DELETE FROM oroboros_targets", "UPDATE releases SET status = 'deploying'"
    )
    before = dump(site)
    told = deployment.reconcile(dry_run=True)
    assert (told.written, dump(site)) == (False, before)
    made = deployment.reconcile()
    assert (made.written, told.as_dict() | {"written": True}) == (True, made.as_dict())
    (site.tmp / "registry.db").unlink()
    assert len(deployment.reconcile(BOTH, dry_run=True)) > 0
    assert dump(site) == {}


def test_another_application_on_the_host_is_left_alone(site: FleetSite) -> None:
    """Each reads its own root's journal, finds nothing to do, and rebuilds its own part of an empty registry."""
    shop, blog = site.deployment(), site.deployment(root=f"{site.root('HOST')}-blog", application="blog")
    shop.deploy(["web1"], sha=site.good)
    blog.deploy(["web1"], sha=site.better)
    assert [(len(each), each.doubts) for each in (shop.reconcile(), blog.reconcile())] == [(0, ()), (0, ())]
    live = dict.fromkeys((site.good, site.better), "deployed")
    assert site.statuses() == live
    (site.tmp / "registry.db").unlink()
    shop.reconcile(["web1"])
    blog.reconcile(["web1"])
    assert (site.statuses(), len(shop.reconcile()), len(blog.reconcile())) == (live, 0, 0)
    with site.deployment().registry() as registry:
        served = registry.serving("shop"), registry.serving("blog")
    assert served == ({"web1": site.good}, {"web1": site.better})


DRIFT = {
    "a row that says it serves": "UPDATE releases SET status = 'deployed'",
    "a row that says it does not": "UPDATE releases SET status = 'deploy_failed' WHERE status = 'deployed'",
    "a row in progress": "UPDATE releases SET status = 'rollback_in_progress'",
    "a row that is gone": "DELETE FROM releases",
    "a time that is gone": "UPDATE releases SET deployed_at = NULL",
    "a host that serves another": "UPDATE oroboros_targets SET release_id = 'x'",
    "a host that is gone": "DELETE FROM oroboros_targets WHERE host = 'web2'",
    "an unknown end": "UPDATE oroboros_attempt_hosts SET state = 'unknown', live = NULL;"
    "UPDATE oroboros_attempts SET state = 'unknown', settled = 0, exit_code = 40",
    "no end": "UPDATE oroboros_attempt_hosts SET state = 'running', live = NULL;"
    "UPDATE oroboros_attempts SET state = 'running', settled = 0, exit_code = NULL, finished_at = NULL,"
    " seen_at = '2020-01-01 00:00:00.000000'",
    "a wrong end": "UPDATE oroboros_attempt_hosts SET state = 'interrupted', live = NULL WHERE state <> 'skipped';"
    "UPDATE oroboros_attempts SET state = 'failed'",
}


@pytest.mark.parametrize("drift", DRIFT)
def test_drift_is_repaired_once(site: FleetSite, drift: str) -> None:
    """Whatever was done to the registry, one run puts it right, and the next finds nothing to do."""
    deployment = site.deployment()
    deployment.deploy(BOTH, sha=site.good)
    deployment.deploy(BOTH, sha=site.bad)
    before = shown(site)
    change(site, *DRIFT[drift].split(";"))
    assert shown(site) != before
    made = deployment.reconcile()
    after = shown(site)
    deployed_at(before), deployed_at(after)
    for state in (before, after):
        state["rows"] = {row["release_id"]: row["status"] for row in state["rows"]}
    assert (len(made) > 0, after) == (True, before)
    assert len(deployment.reconcile()) == 0


def lost(site: FleetSite, attempt_of: str) -> None:
    """Make the newest attempt at a release look as if its control node had been killed."""
    own = f"attempt_id = (SELECT max(id) FROM oroboros_attempts WHERE release_id = '{attempt_of}')"
    change(
        site,
        f"UPDATE oroboros_attempt_hosts SET state = 'running' WHERE {own}",
        "UPDATE oroboros_attempts SET state = 'running', settled = 0, exit_code = NULL, finished_at = NULL,"
        f" seen_at = '2020-01-01 00:00:00.000000' WHERE {own.replace('attempt_id', 'id')}",
    )


def test_an_attempt_that_no_host_heard_of_is_given_up(site: FleetSite) -> None:
    """A control node that died while it built: nothing was switched, and the release has the status it had before."""
    deployment = site.deployment()
    deployment.deploy(BOTH, sha=site.good)
    with deployment.registry() as registry:
        one = record(site.better, host("web1", "running"), host("web2", "running"), finished_at=None, exit_code=None)
        registry.begin(one)
        registry.intend(one)
    lost(site, site.better)
    assert site.statuses() == {site.good: "deployed", site.better: "deploying"}
    deployment.reconcile()
    known = shown(site)["attempts"]["attempt"]
    assert (known["state"], [part[1] for part in known["hosts"]]) == ("failed", ["interrupted", "interrupted"])
    assert site.statuses() == {site.good: "deployed", site.better: "deploy_failed"}


def test_an_attempt_whose_control_node_lives_is_left_alone(site: FleetSite) -> None:
    """Its host is named with the reason, and nothing of it is changed."""
    deployment = site.deployment()
    deployment.deploy(["web1"], sha=site.good)
    lost(site, site.good)
    change(site, "UPDATE oroboros_attempts SET seen_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')")
    before = dump(site)
    made = deployment.reconcile()
    assert (len(made), ["goes on" in doubt.message for doubt in made.doubts]) == (0, [True])
    assert dump(site) == before


def rewritten(path: Path, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(entry, sort_keys=True) + "\n" for entry in edit(entries)))


def rebuilt(site: FleetSite, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Repairs:
    """Four attempts on one host, whose journal is then edited, and a registry that is made anew from it."""
    deployment = site.deployment()
    for sha in (site.good, site.better, site.bad):
        deployment.deploy(["web1"], sha=sha)
    deployment.rollback(["web1"], release=site.good)
    (site.tmp / "registry.db").unlink()
    rewritten(site.journal("web1"), edit)
    return deployment.reconcile(["web1"])


@pytest.mark.parametrize(
    ("edit", "kept", "serving"),
    [
        (lambda e: [e[0], e[1] | {"target": "f" * 40}, *e[2:]], 3, True),  # edited
        (lambda e: [e[0], *e[2:]], 2, True),  # cut out: the one after it does not follow
        (lambda e: [e[0], e[2], e[1], e[3]], 1, False),  # reordered
        (lambda e: e[:3], 3, False),  # cut off: the host remembers a later one
        (lambda e: [e[0] | {"hash": "0"}, *e[1:3], e[3] | {"live": None}], 1, False),
    ],
    ids=["edited", "missing", "reordered", "cut off", "the last one edited"],
)
def test_what_was_done_to_a_journal_is_told_and_not_trusted(
    site: FleetSite, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], kept: int, serving: bool
) -> None:
    """Only entries that are whole and in their place become attempts; without a trusted end nothing serves."""
    made = rebuilt(site, edit)
    assert (len(made.attempts), bool(made.serving)) == (kept, serving)
    assert any("trusted" in doubt.message for doubt in made.doubts)
    assert "f" * 40 not in json.dumps(made.as_dict())


def test_entries_of_other_kinds_and_earlier_versions_are_read(site: FleetSite) -> None:
    """A lock or an unlock is passed over; without its origin an attempt is known less well, but known."""

    def older(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        entries = [{key: value for key, value in e.items() if key not in ("origin", "switched")} for e in entries]
        return chained([entries[0], {"kind": "lock", "reason": "the fair", "attempt": "lock-1"}, *entries[1:]])

    made = rebuilt(site, older)
    ends = [[(part.host, part.state) for part in each.record.hosts] for each in made.attempts]
    assert ends == [[("web1", state)] for state in ("live", "live", "restored", "live")]
    assert {(each.record.environment, each.record.control_node) for each in made.attempts} == {(None, "")}
    assert (made.serving[0].release_id, site.statuses()[site.good]) == (site.good, "rolled_back")


def test_a_host_that_was_changed_by_hand_is_told_and_not_believed(site: FleetSite) -> None:
    """The registry follows the journal; that `current` names something else is said."""
    deployment = history(site)
    current = site.root("web1") / "current"
    current.unlink()
    current.symlink_to(f"releases/{site.good}")
    made = deployment.reconcile()
    assert (len(made), [doubt.host for doubt in made.doubts]) == (0, ["web1"])
    assert f"the link `current` names {site.good}, but by the last switch" in made.doubts[0].message


def test_a_journal_that_lost_what_the_registry_has(site: FleetSite) -> None:
    """A host that was set up anew keeps its history in the registry, and no end is made up for what it forgot."""
    deployment = history(site)
    before = dump(site)
    site.journal("web1").unlink()
    for name in ("state.json", "journal.head"):
        (site.root("web1") / ".deploy" / name).unlink()
    made = deployment.reconcile()
    assert (len(made), {doubt.host for doubt in made.doubts}) == (0, {"web1"})
    assert dump(site) == before


def test_the_same_host_under_another_name_is_not_counted_twice(site: FleetSite, tmp_path: Path) -> None:
    """The attempts stay with the name that the registry has; the other name is told."""
    deployment = history(site)
    (tmp_path / "hosts" / "alias").symlink_to(site.root("web1"))
    made = deployment.reconcile(["alias"])
    assert len(made.attempts) == 0
    assert any("another name" in doubt.message for doubt in made.doubts)


def test_a_long_journal_is_read_in_parts(site: FleetSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out, and a journal that fits takes one call."""
    deployment = history(site)
    site.commands("web1")
    deployment.reconcile(["web1"])
    assert site.commands("web1") == ["facts"]
    monkeypatch.setattr("oroboros_deploy.remote.host.PART", 2)
    host = deployment.node.host("web1")
    read = host.journal()
    host.close()
    assert read.entries == Journal(site.journal("web1")).entries()
    assert len(site.commands("web1")) == len(read.entries) // 2 + 1


def test_nobody_to_ask(site: FleetSite) -> None:
    """An empty registry knows no host: it says how to name them."""
    with pytest.raises(InvalidInput, match="no host was named"):
        site.deployment().reconcile()


def minted(site: FleetSite, host: str) -> str:
    """The id of a host's target, as it lies there."""
    return str(json.loads((site.root(host) / ".deploy" / "id").read_text())["id"])


def test_an_alias_of_another_workstation_is_no_other_host(site: FleetSite) -> None:
    """The host itself says which target it is: one serves, a rollback finds it, and there is nothing to reconcile."""
    deployment = site.deployment(connect=lambda name: site.connect(name.removesuffix(".example.org")))
    deployment.deploy(["web1"], sha=site.good)
    deployment.deploy(["web1.example.org"], sha=site.better)
    assert site.statuses() == {site.good: "replaced", site.better: "deployed"}
    with deployment.registry() as registry:
        assert registry.memory("shop").names.last == {minted(site, "web1"): "web1.example.org"}
        assert registry.hosts_of(site.good, "shop") == ["web1.example.org"]
    found = deployment.reconcile(), deployment.reconcile(["web1"])
    assert [(len(each), [doubt.message for doubt in each.doubts]) for each in found] == [
        (0, []),
        (0, ["the registry knows this target as web1.example.org, another name of the same host"]),
    ]
    outcome = deployment.rollback(release=site.good)
    assert [(each.host, str(each.state)) for each in outcome.hosts] == [("web1.example.org", "live")]
    (site.tmp / "registry.db").unlink()
    deployment.reconcile(["web1"])
    assert shown(site)["serving"] == {"web1": site.good}


def test_a_machine_that_is_made_anew_under_its_name_is_another(site: FleetSite) -> None:
    """What the one before it served is live nowhere, and its attempts are no doubt about the new one's journal."""
    deployment = site.deployment()
    deployment.deploy(["web1"], sha=site.good)
    (site.root("web1")).rename(site.tmp / "gone")
    deployment.deploy(["web1"], sha=site.better)
    assert site.statuses() == {site.good: "replaced", site.better: "deployed"}
    assert [(len(each), each.doubts) for each in (deployment.reconcile(),)] == [(0, ())]


def test_a_machine_that_is_gone_is_forgotten(site: FleetSite) -> None:
    """Reconciling names the command that ends it; then nothing goes there any more by itself."""
    deployment = site.deployment()
    deployment.deploy(BOTH, sha=site.good)
    site.down = frozenset({"web2"})
    found = deployment.reconcile()
    assert found.unread == ("web2",)
    assert found.doubts[0].message.endswith("(if it is gone for good: fab registry.forget --host=web2)")
    of_prod = site.deployment()
    object.__setattr__(of_prod.config, "environment", "prod")
    (doubt,) = of_prod.reconcile(["web2"]).doubts
    assert doubt.message.endswith("(if it is gone for good: fab registry.forget --host=web2 --environment=prod)")
    served = [site.good]
    assert deployment.forget("web2") == {"host": "web2", "application": "shop", "served": served, "replaced": []}
    assert (deployment.reconcile().hosts, list(deployment.status())) == (("web1",), ["web1"])
    deployment.deploy(["web1"], sha=site.better)
    assert [each.host for each in deployment.rollback(release=site.good).hosts] == ["web1"]
