"""The library's door: what is asked of hosts and what they answer, over a local connection."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from oroboros_deploy import registry
from oroboros_deploy.cli.tables import (
    audit_table,
    claim_table,
    lock_table,
    pin_table,
    prune_table,
    unlock_table,
    unpin_table,
)
from oroboros_deploy.errors import Busy, DeployError, ExitCode, InvalidInput, UnknownRelease
from oroboros_deploy.host import seal
from oroboros_deploy.testing import LocalConnection
from tests.support.site import Site, states
from tests.support.watching import eventually, tree

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

WHY = "the database moves"


def answer(answers: dict[str, Any], host: str = "web1") -> dict[str, Any]:
    assert isinstance(answers[host], dict), answers[host]
    return answers[host]  # type: ignore[no-any-return]


def test_a_lock_is_honoured_by_every_workstation(site: Site) -> None:
    """Deploy and rollback by somebody else, with a registry of his own, are refused before anything is touched."""
    for sha in (site.good, site.better):
        site.deployment().deploy(["web1"], sha=sha)
    hold = answer(site.deployment().lock(["web1"], reason=f" {WHY} "))["hold"]
    assert (hold["actor"], hold["reason"]) == ("tester@desk", WHY)
    before = tree(site.root())
    site.commands()
    other = site.deployment(actor="bob@laptop")
    object.__setattr__(other.config, "registry_url", f"sqlite:///{site.tmp}/another.db")
    for act in (
        lambda: other.deploy(["web1"], sha=site.bad),
        lambda: other.rollback(["web1"], release=site.good),
    ):
        with pytest.raises(Busy, match=rf"held by tester@desk since .* UTC: {WHY}\n  → .*fab -H web1 unlock") as caught:
            act()
        assert caught.value.exit_code == ExitCode.BUSY == 20
    assert (tree(site.root()), site.commands()) == (before, ["facts", "activate"])  # both only looked
    assert answer(other.unlock(["web1"])) == {"freed": hold}
    assert other.rollback(["web1"], release=site.good).exit_code == 0


def test_a_root_of_another_machine_is_claimed(site: Site) -> None:
    """Every command is refused there and names the command; after it the root is deployed to, and nothing is lost."""
    site.deployment().deploy(["web1"], sha=site.good)
    place = site.root() / ".deploy" / "id"
    was = {**json.loads(place.read_text()), "machine": "0" * 32, "name": "old1"}
    place.write_text(json.dumps(was))
    with pytest.raises(InvalidInput, match=r"the machine old1, and of that alone\n  → .*fab -H web1 claim$"):
        site.deployment().deploy(["web1"], sha=site.better)
    assert answer(site.deployment().claim(["web1"], dry_run=True)) == {"was": was, "now": None, "claimed": False}
    claimed = answer(site.deployment().claim(["web1"]))
    assert (claimed["was"], claimed["now"], claimed["claimed"]) == (was, json.loads(place.read_text()), True)
    assert site.deployment().deploy(["web1"], sha=site.better).exit_code == 0
    assert [entry["kind"] for entry in answer(site.deployment().audit(["web1"], verify=True))["entries"]] == [
        *("deploy", "claim", "deploy"),
    ]
    assert not site.deployment().reconcile(["web1"]).rows


def test_one_locked_host_of_several_stops_all(site: Site) -> None:
    """Nobody builds or switches anywhere when one host is held."""
    site.deployment().lock(["web1"], reason=WHY)
    with pytest.raises(Busy):
        site.deployment().deploy(["web2", "web1"], sha=site.good)
    assert site.live() is None
    assert not (site.root() / "releases" / site.good).exists()


def test_a_lock_on_a_locked_host(site: Site) -> None:
    """Is an error of that host alone; whose hold it is stays."""
    site.deployment().lock(["web1"], reason=WHY)
    other = site.deployment("web2", actor="bob@laptop")
    object.__setattr__(other.config, "root", str(site.root()))
    (said,) = other.lock(["web1"], reason="mine").values()
    assert isinstance(said, Busy) and said.hint == "end the hold with: fab -H web1 unlock"
    status = answer(site.deployment().status(["web1"]))
    assert (status["hold"]["actor"], status["hold"]["reason"]) == ("tester@desk", WHY)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "\x1b[31mred"])
def test_a_reason_is_a_line_of_text(site: Site, reason: str) -> None:
    """Others read it in their terminals: anything else is refused, and nothing is sent."""
    with pytest.raises(InvalidInput, match="one line of text"):
        site.deployment().lock(["web1"], reason=reason)
    assert site.connections == {}


def test_a_host_must_be_named(site: Site) -> None:
    """What changes a host never finds its hosts by itself."""
    site.deployment().deploy(["web1"], sha=site.good)
    deployment = site.deployment()
    for act in (
        lambda: deployment.lock(reason=WHY),
        deployment.unlock,
        deployment.prune,
        lambda: deployment.pin(release=site.good),
        lambda: deployment.unpin(release=site.good),
    ):
        with pytest.raises(InvalidInput, match="no host was named"):
            act()


def test_a_console_is_on_one_host(site: Site) -> None:
    """Two are refused before any is connected to, with the command for the first."""
    hosts = site.deployment()
    with pytest.raises(InvalidInput) as refused:
        hosts.console(["web1", "web2"], typed=(), terminal={"rows": 24, "columns": 80, "kind": "xterm"}, line="true")
    assert refused.value.message == "nothing was run: a console is on one host, and 2 were asked: web1, web2"
    assert (refused.value.hint, site.commands()) == (hosts.config.typed("web1", "console"), [])


def test_the_audit_shows_attempts_and_locks(site: Site) -> None:
    """What, who, and how it ended, oldest first; found without naming a host, for it only reads."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.deployment().deploy(["web1"], sha=site.bad)
    site.deployment().lock(["web1"], reason=WHY)
    site.deployment().unlock(["web1"])
    found = answer(site.deployment().audit(verify=True))
    assert [(entry["kind"], entry["outcome"], entry["actor"]) for entry in found["entries"]] == [
        ("deploy", "committed", "tester@desk"),
        ("deploy", "restored", "tester@desk"),
        ("lock", "locked", "tester@desk"),
        ("unlock", "unlocked", "tester@desk"),
    ]
    assert (found["count"], found["wrong"], found["verified"]) == (4, None, True)
    assert len(answer(site.deployment().audit(limit=1))["entries"]) == 1


def test_status_looks_at_the_live_release(site: Site) -> None:
    """It answers whether that is as it was built: one that somebody removed is not told as if it served on."""
    site.deployment().deploy(["web1"], sha=site.good)
    found = [answer(site.deployment().status(["web1"]))]
    seal.remove(site.root() / "releases" / site.good)
    found.append(answer(site.deployment().status(["web1"])))
    assert [(each["live"], each["target"]["state"], each["has_commit"]) for each in found] == [
        (site.good, "sealed", None),
        (site.good, "missing", None),
    ]


@pytest.mark.parametrize("see", ["deploy", "status", "audit"])
def test_what_this_machine_saw_cannot_be_taken_back(site: Site, see: str) -> None:
    """A journal that is cut together with its head is found by whoever looked before, in whatever way."""
    for sha in (site.good, site.better):
        site.deployment().deploy(["web1"], sha=sha)
    if see == "deploy":
        site.deployment().rollback(["web1"], release=site.good)
    elif see == "status":
        site.deployment().status(["web1"])
    else:
        site.deployment().audit(["web1"])
    cut(site)
    for _ in range(2):  # having looked does not make it good
        assert found(site, "web1", verify=True)["wrong"] == LOST
        site.deployment().status(["web1"])


@pytest.mark.parametrize("verify", [False, True], ids=["after audit", "at once"])
def test_a_new_id_does_not_hide_a_cut_journal(site: Site, verify: bool) -> None:
    """With an id that this machine never saw a cut journal is found as ever; a look that takes it for new says so."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.deployment().lock(["web1"], reason=WHY)
    site.deployment().audit(["web1"])
    cut(site)
    kept = site.root() / ".deploy/id"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "id": "f" * 32}))
    site.events.clear()
    if verify:
        assert [found(site, "web1", verify=True)["wrong"] for _ in range(2)] == [LOST, LOST]
    else:
        told = found(site, "web1", verify=False)
        assert isinstance(told, dict), told
        assert ["has another id than when" in each.message for each in site.events if each.level == "warning"] == [True]


LOST = {"line": 2, "what": "is missing: entry 2 was seen before by this control node, so the end was cut off"}


def cut(site: Site) -> None:
    """Leave one line of the journal, and the head of that line."""
    journal = site.root() / ".deploy/journal.jsonl"
    first = journal.read_text().splitlines(keepends=True)[0]
    journal.write_text(first)
    journal.with_suffix(".head").write_text(first)


def found(site: Site, name: str, *, verify: bool) -> Any:
    """What `audit` answers of a host under a name."""
    return site.deployment().audit([name], verify=verify)[name]


@pytest.mark.parametrize("other", [False, True], ids=["new", "of another"])
def test_a_host_under_another_name_is_still_known(site: Site, other: bool) -> None:
    """A cut journal is found, also where the name was another target's; removing the file that is told ends it."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.deployment().lock(["web1"], reason=WHY)
    site.deployment().audit(["web1"])
    cut(site)
    hosts = site.deployment()
    if other:
        hosts.node.journal_heads.note("web9", hosts.config.root, {"seq": 1, "hash": "x"}, "another")
    site.events.clear()
    assert found(site, "web9", verify=True)["wrong"] == LOST
    assert [each.level for each in site.events if "has another id than" in each.message] == ["warning"] * other
    told = hosts.node.journal_heads.path("web9", hosts.config.root)
    assert told.exists()
    told.unlink()
    assert found(site, "web9", verify=True)["wrong"] is None


def test_pruning_keeps_what_the_settings_say(site: Site) -> None:
    """Each deploy prunes on its host when it went well; one that failed does not."""
    shas = [site.repository.commit(f"release {number}", ok="yes", n=str(number)) for number in range(4)]
    for sha in shas:
        site.deployment(keep=2).deploy(["web1"], sha=sha)
    releases = site.root() / "releases"
    assert eventually(lambda: {path.name for path in releases.iterdir()} == set(shas[2:]))
    bad = site.repository.commit("bad again", ok="no")
    assert site.deployment(keep=2).deploy(["web1"], sha=bad).exit_code == ExitCode.RESTORED
    found = answer(site.deployment(keep=2).prune(["web1"], dry_run=True))
    assert {each["id"]: each["stays"] for each in found["releases"]} == dict.fromkeys([*shas[2:], bad], True)
    assert site.deployment().rollback(["web1"], release=shas[2]).exit_code == 0


def test_a_pinned_release_is_there_to_go_back_to(site: Site) -> None:
    """Many deploys later."""
    shas = [site.repository.commit(f"release {number}", ok="yes", n=str(number)) for number in range(4)]
    deployment = site.deployment(keep=2)
    deployment.deploy(["web1"], sha=shas[0])
    pinned = answer(deployment.pin(["web1"], release=shas[0]))
    assert (pinned["release"], pinned["pin"]["actor"]) == (shas[0], "tester@desk")
    assert [deployment.deploy(["web1"], sha=sha).hosts[0].back for sha in shas[1:]] == shas[:-1]
    answer(deployment.prune(["web1"]))
    assert states(deployment.rollback(["web1"], release=shas[0])) == {"web1": "live"}
    assert answer(deployment.unpin(["web1"], release=shas[0]))["pin"] == pinned["pin"]
    missing = deployment.pin(["web1"], release=shas[1])["web1"]
    assert isinstance(missing, UnknownRelease) and missing.hint == "fab -H web1 prune --dry-run  shows release ids"


def test_one_host_that_does_not_answer(site: Site) -> None:
    """Is told as itself; the others answer."""
    connect = site.connect

    def broken(name: str) -> LocalConnection:
        if name == "web2":
            raise DeployError("no route", host=name)
        return connect(name)

    answers = site.deployment(connect=broken).lock(["web1", "web2"], reason=WHY)
    assert (answer(answers)["hold"]["reason"], str(answers["web2"])) == (WHY, "web2: no route")


def test_the_registry_is_imported_while_hosts_are_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status does not wait for its answer first and for SQLAlchemy afterwards."""
    imported, real = threading.Event(), registry.__getattr__
    connect = site.connect

    def importing(name: str) -> Any:
        imported.set()
        return real(name)

    def patient(name: str) -> LocalConnection:
        assert imported.wait(10)
        return connect(name)

    monkeypatch.setattr(registry, "__getattr__", importing)
    assert answer(site.deployment(connect=patient).status(["web1"]))["live"] is None


HOLD = {"actor": "ada@desk", "at": 1_800_000_000.0, "reason": WHY}
HELD = f"held by ada@desk since 2027-01-15 08:00:00 UTC: {WHY}"
SHA = "a" * 40
RUNNING = {"kind": "deploy", "target": SHA}
ENTRY = {"seq": 7, "at": 1_800_000_000.0, "actor": "ada@desk", "kind": "deploy", "target": SHA, "outcome": "committed"}
LOCKED = {"seq": 8, "at": 1_800_000_001.0, "actor": "bob@lap", "kind": "lock", "outcome": "locked", "reason": WHY}
AUDIT = {"entries": [ENTRY, LOCKED], "count": 8, "verified": False, "wrong": None}
ID = {"id": "1" * 32, "machine": "2" * 32, "name": "old1", "root": "/srv/shop"}
TIMES = "2027-01-15 08:00:0"


@pytest.mark.parametrize(
    ("table", "said", "lines"),
    [
        (lock_table, {"hold": HOLD, "running": None}, [f"web1  {HELD}"]),
        (
            lock_table,
            {"hold": HOLD, "running": RUNNING},
            [f"web1  {HELD}; the deploy of aaaaaaaaaa that runs there goes on to its end"],
        ),
        (
            lock_table,
            {"hold": HOLD, "running": {}},
            [f"web1  {HELD}; an activation that runs there goes on to its end"],
        ),
        (lock_table, Busy("no"), ["web1  no"]),
        (unlock_table, {"freed": HOLD}, [f"web1  is free; it was {HELD}"]),
        (unlock_table, {"freed": None}, ["web1  was not held"]),
        (
            claim_table,
            {"was": ID, "now": None, "claimed": False},
            ["web1  has the deploy root /srv/shop of the machine old1"],
        ),
        (claim_table, {"was": ID, "now": ID, "claimed": False}, ["web1  is this machine's deploy root already"]),
        (
            claim_table,
            {"was": ID, "now": ID, "claimed": True},
            ["web1  is this machine's deploy root; it was the deploy root /srv/shop of the machine old1"],
        ),
        (
            claim_table,
            {"was": None, "now": ID, "claimed": True},
            ["web1  is this machine's deploy root; it was a deploy root without an id"],
        ),
        (
            pin_table,
            {"release": SHA, "pin": HOLD},
            [f"web1  {SHA} is pinned by ada@desk since 2027-01-15 08:00:00 UTC"],
        ),
        (unpin_table, {"release": SHA, "pin": None}, [f"web1  {SHA} was not pinned"]),
        (
            unpin_table,
            {"release": SHA, "pin": HOLD},
            [f"web1  {SHA} is pinned no more; it was by ada@desk since 2027-01-15 08:00:00 UTC"],
        ),
        (
            prune_table,
            {
                "releases": [
                    {"id": SHA, "stays": True, "why": "live", "bytes": 0},
                    {"id": "b" * 40, "stays": False, "why": "old", "bytes": 1_500_000},
                ],
                "freed": 1_500_000,
                "dry_run": True,
                "complete": False,
            },
            [
                f"HOST  RELEASE   {' ' * 32}          FREED   WHY",
                f"web1  {SHA}  stays             live",
                f"web1  {'b' * 40}  would go  1.5 MB  old",
                f"web1  together{' ' * 32}            1.5 MB  processes of other users were not looked into: "
                "one of them may use a release that prune removes",
            ],
        ),
        (
            audit_table,
            AUDIT,
            [
                "HOST  ENTRY  WHEN (UTC)           WHO       WHAT               OUTCOME",
                f"web1  7      {TIMES}0  ada@desk  deploy aaaaaaaaaa  live",
                f"web1  8      {TIMES}1  bob@lap   lock               locked: {WHY}",
            ],
        ),
        (
            audit_table,
            {**AUDIT, "entries": [], "verified": True},
            ["HOST  ENTRY  WHEN (UTC)  WHO  WHAT  OUTCOME", "web1: 8 entries, as written"],
        ),
        (
            audit_table,
            {**AUDIT, "entries": [], "verified": True, "wrong": {"line": 3, "what": "cannot be read"}},
            ["HOST  ENTRY  WHEN (UTC)  WHO  WHAT  OUTCOME", "web1: 8 entries; line 3 cannot be read"],
        ),
    ],
)
def test_what_is_printed(table: Any, said: Any, lines: list[str]) -> None:
    """Host by host, with the time, the person and the reason."""
    assert table({"web1": said}).splitlines() == lines


def test_answers_are_plain(site: Site) -> None:
    """Every answer can be written as JSON."""
    deployment = site.deployment()
    deployment.deploy(["web1"], sha=site.good)
    answers = [
        deployment.pin(["web1"], release=site.good),
        deployment.unpin(["web1"], release=site.good),
        deployment.prune(["web1"]),
        deployment.audit(["web1"], verify=True),
        deployment.lock(["web1"], reason=WHY),
        deployment.unlock(["web1"]),
    ]
    assert json.loads(json.dumps(answers)) == answers


def test_a_plan_that_is_not_kept(site: Site) -> None:
    """The refusal says whose registry was searched, for an environment may have one of its own (2)."""
    with pytest.raises(InvalidInput) as refused:
        site.deployment().planned("1a2b3c4d")
    assert (refused.value.message, refused.value.hint, refused.value.exit_code) == (
        "nothing was changed: the registry of the settings without an environment has no plan '1a2b3c4d'; "
        "plans are kept for 7 days",
        "fab plan --sha=SHA  makes one; where the plan is of another environment, add --environment=NAME",
        2,
    )
