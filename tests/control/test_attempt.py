"""Whole deploys and rollbacks over a local connection: real git, real agent, real SQLite, no SSH and no systemd."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.deployment import Deployment
from oroboros_deploy.errors import (
    BuildFailed,
    ExitCode,
    HostUnreachable,
    InvalidInput,
    LinkLost,
    RegistryUnavailable,
    UnknownCommit,
    UnknownRelease,
)
from oroboros_deploy.events import Event
from oroboros_deploy.outcome import Outcome, State
from oroboros_deploy.records.record import Record
from oroboros_deploy.registry import Registry
from oroboros_deploy.remote.host import Host
from oroboros_deploy.source import Commit, Source
from oroboros_deploy.testing import LocalConnection, unreachable
from tests.support.site import GATE, Site, states

if TYPE_CHECKING:
    from oroboros_deploy.host.contract import BuildAnswer

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start


def test_deploy_switches_and_is_recorded(site: Site) -> None:
    """A deploy ends live, with exit code 0, and the registry says deployed."""
    outcome = site.deployment().deploy(["web1"], sha=site.good)
    assert (outcome.exit_code, states(outcome)) == (ExitCode.LIVE, {"web1": State.LIVE})
    assert site.live() == site.good
    assert site.statuses() == {site.good: "deployed"}


def test_failed_gate_restores(site: Site) -> None:
    """A release that fails its gate is taken back, with exit code 10, and both rows say so."""
    site.deployment().deploy(["web1"], sha=site.good)
    outcome = site.deployment().deploy(["web1"], sha=site.bad)
    assert (outcome.exit_code, states(outcome)) == (ExitCode.RESTORED, {"web1": State.RESTORED})
    assert outcome.hosts[0].live == site.live() == site.good
    assert site.statuses() == {site.good: "deployed", site.bad: "deploy_failed"}


def test_first_deploy_that_fails_leaves_nothing_live(site: Site) -> None:
    """With nothing to go back to, a failed release does not stay live and the exit code is 11."""
    outcome = site.deployment().deploy(["web1"], sha=site.bad)
    assert (outcome.exit_code, states(outcome)) == (ExitCode.NOT_RESTORED, {"web1": State.NOT_RESTORED})
    assert site.live() is None
    assert site.statuses() == {site.bad: "deploy_failed"}


def test_rollback_without_hosts_goes_where_the_release_was_live(site: Site) -> None:
    """A rollback finds its hosts in the registry and leaves both rows with the rollback's words."""
    for sha in (site.good, site.better):
        site.deployment().deploy(["web1"], sha=sha)
    outcome = site.deployment().rollback(release=site.good)
    assert (outcome.exit_code, states(outcome)) == (ExitCode.LIVE, {"web1": State.LIVE})
    assert site.live() == site.good
    assert site.statuses() == {site.good: "rolled_back", site.better: "replaced_by_rollback"}


def test_rollback_to_an_unknown_release(site: Site) -> None:
    """A release that no host ever served cannot be gone back to: a clear error, exit code 2, nothing sent."""
    with pytest.raises(UnknownRelease, match="knows no host") as caught:
        site.deployment().rollback(release=site.good)
    assert caught.value.exit_code == 2
    assert site.connections == {}


def test_rollback_target_missing_on_the_host(site: Site) -> None:
    """A release that the host no longer has is refused there and recorded as missing."""
    site.deployment().deploy(["web1"], sha=site.good)
    with pytest.raises(UnknownRelease, match=r"is missing on this host"):
        site.deployment().rollback(["web1"], release=site.better)
    assert site.live() == site.good
    assert site.statuses() == {site.good: "deployed", site.better: "rollback_target_missing"}


def test_rollback_that_fails_its_gate_goes_back(site: Site) -> None:
    """A failing rollback ends where it began, with exit code 10 and the row rollback_failed."""
    healthy = site.deployment()
    object.__setattr__(healthy.config.healthcheck, "command", "true")
    for sha in (site.bad, site.good):
        healthy.deploy(["web1"], sha=sha)
    outcome = site.deployment().rollback(["web1"], release=site.bad)
    assert (outcome.exit_code, site.live()) == (ExitCode.RESTORED, site.good)
    assert site.statuses() == {site.good: "deployed", site.bad: "rollback_failed"}


def test_deploying_the_live_release_does_nothing(site: Site) -> None:
    """The live release asked for again is said to be live, after one command and no switch."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.commands()
    outcome = site.deployment().deploy(["web1"], sha=site.good)
    assert states(outcome) == {"web1": State.ALREADY_LIVE}
    assert site.commands() == ["facts"]


@pytest.mark.parametrize(
    ("act", "commands"),
    [
        (lambda site: site.deployment().rollback(["web1"], release=site.good), ["activate"]),
        (lambda site: site.deployment().deploy(["web1"], sha=site.good), ["facts", "activate"]),
        (lambda site: site.deployment().deploy(["web1"], sha=site.bad), ["facts", "build", "activate"]),
    ],
    ids=["rollback", "deploy of a sealed release", "deploy of a new commit"],
)
def test_commands_are_counted(site: Site, act: Callable[[Site], Outcome], commands: list[str]) -> None:
    """One connection, and one command for a rollback and at most three for a deploy."""
    for sha in (site.good, site.better):
        site.deployment().deploy(["web1"], sha=sha)
    site.connections.clear()
    act(site)
    assert len(site.connections["web1"]) == 1
    assert site.commands() == commands


def test_a_rollback_that_is_not_plain_takes_the_long_way(site: Site) -> None:
    """A release that failed its gate before is switched to in a second command, after the warning."""
    site.deployment().deploy(["web1"], sha=site.good)
    assert site.deployment().deploy(["web1"], sha=site.bad).exit_code == ExitCode.RESTORED
    site.commands()
    site.events.clear()
    assert site.deployment().rollback(["web1"], release=site.bad).exit_code == ExitCode.RESTORED
    assert site.commands() == ["activate", "activate"]
    told = [event.name for event in site.events if event.name in ("facts.read", "warning", "step")]
    assert told[:3] == ["facts.read", "warning", "step"]


def test_a_rollback_to_the_live_release_does_nothing(site: Site) -> None:
    """It is said to be live, after one command; no file of the host changes, and the row stays as it was."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.commands()
    before = tree(site.root())
    assert states(site.deployment().rollback(["web1"], release=site.good)) == {"web1": State.ALREADY_LIVE}
    assert (site.commands(), tree(site.root()), site.statuses()) == (["activate"], before, {site.good: "deployed"})


def test_a_rollback_that_is_refused_changes_nothing(site: Site) -> None:
    """What the host cannot switch to is refused by the one command, and every file is as it was."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.commands()
    before = tree(site.root())
    with pytest.raises(UnknownRelease, match="is missing on this host"):
        site.deployment().rollback(["web1"], release=site.better)
    assert (site.commands(), tree(site.root())) == (["activate"], before)


def test_hosts_switch_one_after_another(site: Site) -> None:
    """Unless told otherwise, a host begins when the one before it is live."""
    site.fleet().deploy(["web1", "web2", "web3"], sha=site.good)
    steps = [(event.host, event.data.get("phase")) for event in site.events if event.name == "phase"]
    assert [host for host, phase in steps if phase == "prepared"] == ["web1", "web2", "web3"]
    assert [host for host, _ in steps] == sorted(host or "" for host, _ in steps)


def test_hosts_switch_side_by_side(site: Site) -> None:
    """With ``parallel`` hosts switch together: each gate waits until it has seen the other host's."""
    meet = f"mkdir -p {site.tmp}/met; touch {site.tmp}/met/$(echo $PWD | tr / _); test $(ls {site.tmp}/met | wc -l) = 2"
    outcome = site.fleet(parallel=2, gate=meet).deploy(["web1", "web2"], sha=site.good)
    assert (outcome.exit_code, states(outcome)) == (ExitCode.LIVE, {"web1": State.LIVE, "web2": State.LIVE})


def test_the_first_failure_stops_the_hosts_that_have_not_begun(site: Site) -> None:
    """Of three hosts, two at a time: the first fails, the second ends all the same, the third is left alone."""
    hosts = ["web1", "web2", "web3"]
    site.fleet().deploy(hosts, sha=site.good)
    (site.root("web1") / ".deploy/tmp/.current.switch/in/the/way").mkdir(parents=True)
    fleet = site.fleet(
        gate=f"test -e {site.tmp}/failed",
        listener=lambda event: (site.tmp / "failed").touch() if event.name == "host.finished" else None,
        parallel=2,
    )
    outcome = fleet.deploy(hosts, sha=site.better)
    assert states(outcome) == {"web1": State.REFUSED, "web2": State.LIVE, "web3": State.SKIPPED}
    assert [site.live(host) for host in hosts] == [site.good, site.better, site.good]


def test_the_migration_runs_alone_before_any_other_host_switches(site: Site) -> None:
    """However many switch together, one host migrates, and when it fails none has switched."""
    hosts = ["web1", "web2", "web3"]
    count = f"echo . >>{site.tmp}/migrations; ls -d {site.tmp}/hosts/*/current | wc -l"
    outcome = site.fleet(parallel=3, migrate=count).deploy(hosts, sha=site.good)
    assert ((site.tmp / "migrations").read_text(), outcome.migration_marker) == (".\n", "0")
    assert [site.live(host) for host in hosts] == [site.good] * 3
    outcome = site.fleet(parallel=3, migrate="false").deploy(hosts, sha=site.better)
    assert set(states(outcome).values()) == {State.NOT_SWITCHED, State.SKIPPED}
    assert [site.live(host) for host in hosts] == [site.good] * 3


def test_a_migration_that_is_not_once_runs_on_every_host(site: Site) -> None:
    """Each host has a database of its own then."""
    hosts, migrate = ["web1", "web2"], {"command": f"echo . >>{site.tmp}/migrations", "once": False}
    outcome = site.fleet(parallel=2, migrate=migrate).deploy(hosts, sha=site.good)
    assert ((site.tmp / "migrations").read_text(), outcome.exit_code) == (".\n.\n", ExitCode.LIVE)


def test_a_step_that_is_once_runs_on_the_first_host_asked(site: Site) -> None:
    """It reads the release, and can change nothing of it."""
    line = f"echo $(basename $(dirname $(dirname $PWD))) >>{site.tmp}/told; ! touch made 2>&-"
    steps = [{"name": "make", "command": "echo made >made"}, {"name": "tell", "command": line, "once": True}]
    build = {"frontend": None, "venvs": {}, "steps": steps}
    outcome = site.fleet(parallel=2, build=build).deploy(["web2", "web1"], sha=site.good)
    assert ((site.tmp / "told").read_text(), outcome.exit_code) == ("web2\n", ExitCode.LIVE)


def test_a_rollback_of_several_hosts_reads_all_before_any_switches(site: Site) -> None:
    """When one host lacks the release, the other is only read."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.commands()
    with pytest.raises(UnknownRelease):
        site.deployment().rollback(["web1", "web2"], release=site.better)
    assert (site.commands(), site.commands("web2")) == (["facts"], ["facts"])


def cut_once(site: Site, monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    """From now on the first connection to each host dies after so many lines of an activation."""
    connect = site.connect

    def cut(name: str) -> LocalConnection:
        connection = connect(name)
        if len(site.connections[name]) == 1:
            connection.cut_after = {"activate": lines}
        return connection

    site.connections.clear()
    monkeypatch.setattr(site, "connect", cut)


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_a_link_lost_during_a_rollback_is_taken_up_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    """Cut before or after the facts, it is switched once, and every phase is heard once."""
    for sha in (site.good, site.better):
        site.deployment().deploy(["web1"], sha=sha)
    cut_once(site, monkeypatch, lines)
    site.events.clear()
    outcome = site.deployment().rollback(["web1"], release=site.good)
    phases = [event.data["phase"] for event in site.events if event.name == "phase"]
    assert (outcome.exit_code, site.commands()) == (ExitCode.LIVE, ["activate", "activate"])
    assert phases == ["prepared", "swapped", "restarted", "gated", "committed"]
    journal = (site.root() / ".deploy/journal.jsonl").read_text().splitlines()
    assert len(journal) == 3


def test_what_passed_while_the_link_was_lost_has_its_own_times(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heard a second later, each event of the activation has the time that the host wrote."""
    site.deployment().deploy(["web1"], sha=site.good)
    cut_once(site, monkeypatch, 2)
    site.events.clear()
    outcome = site.deployment().deploy(["web1"], sha=site.better)
    log = (site.root() / ".deploy/attempts" / outcome.attempt / "log.jsonl").read_text().splitlines()
    wrote = [line["at"] for line in map(json.loads, log) if line["event"] == "phase"]
    heard = [event.at for event in site.events if event.name == "phase"]
    assert heard == pytest.approx(wrote, abs=0.5)
    lost = next(event.at for event in site.events if event.name == "link.lost")
    assert heard[-1] - lost < 0.9  # the next try comes a second after the loss


def test_what_a_host_left_out_is_in_the_outcome(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that a host did without is named in the value, and so in the last line of `--json`."""
    found: BuildAnswer = {"state": "sealed", "seconds": 0.0, "left_out": ["frontend"]}
    made = Host.build
    monkeypatch.setattr(Host, "build", lambda host, *asked: {**made(host, *asked), **found})
    outcome = site.deployment().deploy(["web1"], sha=site.good)
    [end] = outcome.as_dict()["hosts"]
    assert (end["state"], end["left_out"]) == (State.LIVE, ("frontend",))


def test_failed_build_switches_nothing(site: Site) -> None:
    """A build that fails raises with exit code 30; the live release stays and the row says deploy_failed."""
    site.deployment().deploy(["web1"], sha=site.good)
    failing = {"frontend": None, "venvs": {}, "steps": [{"name": "compile", "command": "echo no luck; exit 7"}]}
    with pytest.raises(BuildFailed) as caught:
        site.deployment(build=failing).deploy(["web1"], sha=site.better)
    error, [end] = caught.value, caught.value.outcome.hosts if caught.value.outcome else ()
    attempt = error.outcome.attempt if error.outcome else ""
    assert str(error).splitlines() == [
        "web1: nothing was switched: compile: 'echo no luck; exit 7' exited 7",
        f"  → fix it and deploy again; the log is on the host: {site.root()}/.deploy/attempts/{attempt}/compile.log",
    ]
    assert (error.log, end.log, end.message) == ("no luck", "no luck", error.message)
    assert (error.exit_code, site.live()) == (30, site.good)
    assert site.statuses() == {site.good: "deployed", site.better: "deploy_failed"}


def test_a_release_that_is_complete_is_not_built_anew(site: Site) -> None:
    """Whoever asks for that with --no-cache is told, also when it is live already; a rollback never builds."""
    told = []
    anew = site.deployment(no_cache=True)
    for act, sha in ((anew.deploy, site.good), (anew.deploy, site.good), (anew.deploy, site.better)):
        act(["web1"], sha=sha)
        told.append([event.message for event in site.events if event.name == "build.skipped"])
        site.events.clear()
    anew.rollback(["web1"], release=site.good)
    anew.deploy(["web1"], sha=site.better)
    told.append([event.message for event in site.events if event.name == "build.skipped"])
    skipped = ["not built anew: it is complete on this host; --rebuild makes it again"]
    assert told == [[], skipped, [], skipped]


def making(content: str) -> dict[str, object]:
    """A build of one step, which writes this."""
    step = {"name": "step", "command": f"echo {content} >made"}
    return {"frontend": None, "venvs": {}, "steps": [step]}


def test_corrected_settings_build_the_same_commit_again(site: Site) -> None:
    """After a gate that failed, the same command with a corrected step is all that it takes."""
    gate = "grep -q right made || exit 78"
    outcomes = [
        site.fleet(gate, build=making(word)).deploy(["web1"], sha=site.good).exit_code for word in ("wrong", "right")
    ]
    assert (outcomes, site.live()) == ([ExitCode.NOT_RESTORED, ExitCode.LIVE], site.good)


def test_what_is_live_is_built_again_over_another_release(site: Site) -> None:
    """With other settings it is refused, and what the refusal says to type makes it possible."""
    other = site.deployment(build=making("more"))
    for sha in (site.better, site.good):
        site.deployment().deploy(["web1"], sha=sha)
    before = tree(site.root() / "releases")
    said = rf"other settings of `build`, `shared` or `privileged`\n.* fab -H web1 rollback --release={site.better}"
    with pytest.raises(InvalidInput, match=said):
        other.deploy(["web1"], sha=site.good)
    assert (tree(site.root() / "releases"), site.live()) == (before, site.good)
    other.rollback(["web1"], release=site.better)
    assert states(other.deploy(["web1"], sha=site.good)) == {"web1": State.LIVE}
    assert (site.root() / "current" / "made").read_text() == "more\n"


def test_what_a_service_wrote_into_the_live_release_is_no_hindrance(site: Site) -> None:
    """The live commit asked for again is live, and its files stay while it serves; so does the release before it."""
    for sha in (site.better, site.good):
        site.deployment().deploy(["web1"], sha=sha)
        release = site.root() / "releases" / sha
        release.chmod(0o755)
        (release / "__pycache__").mkdir()
    assert states(site.deployment().deploy(["web1"], sha=site.good)) == {"web1": State.ALREADY_LIVE}
    assert (site.root() / "current" / "__pycache__").is_dir()
    assert states(site.deployment().deploy(["web1"], sha=site.better)) == {"web1": State.LIVE}


def test_a_complete_release_is_built_again_on_demand(site: Site) -> None:
    """With --rebuild, when it is not live."""
    for sha in (site.better, site.good):
        site.deployment().deploy(["web1"], sha=sha)
    again = site.deployment()
    object.__setattr__(again.config, "rebuild", True)
    assert states(again.deploy(["web1"], sha=site.better)) == {"web1": State.LIVE}
    assert [event.message for event in site.events if event.name == "build.again"] == [
        f"{site.better} is built again: --rebuild was said"
    ]


def test_migration_runs_before_the_switch_and_its_revision_is_kept(site: Site) -> None:
    """The migration sees the sealed release while the old one is live; its last line is the marker."""
    migrate = f"echo noise >&2; readlink {site.root()}/current >{site.tmp}/seen; cat ok; echo; echo 4f2a"
    site.deployment().deploy(["web1"], sha=site.good)
    outcome = site.deployment(migrate=migrate).deploy(["web1"], sha=site.better)
    assert outcome.migration_marker == "4f2a"
    assert (site.tmp / "seen").read_text().strip() == f"releases/{site.good}"
    with site.deployment().registry() as registry:
        assert registry.get(site.better)["migration_marker"] == "4f2a"  # type: ignore[index]


def test_a_rollback_says_that_the_database_stays(site: Site) -> None:
    """Where the settings have a migration: it is no part of a rollback."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.deployment().deploy(["web1"], sha=site.better)
    for migrate, release in ((None, site.good), ("true", site.better)):
        site.events.clear()
        assert site.deployment(migrate=migrate).rollback(["web1"], release=release).ok
        told = [event.message for event in site.events if event.name == "database.stays"]
        assert told == (["the database stays as it is: a rollback runs no migration"] if migrate else [])


def test_failed_migration_switches_nothing(site: Site) -> None:
    """A migration that fails ends with exit code 30 and the old release live, its services not restarted."""
    site.deployment().deploy(["web1"], sha=site.good)
    outcome = site.deployment(migrate="echo table is locked; exit 1").deploy(["web1"], sha=site.better)
    assert (outcome.exit_code, states(outcome)) == (ExitCode.BUILD_FAILED, {"web1": State.NOT_SWITCHED})
    assert site.live() == site.good
    assert outcome.hosts[0].log == "table is locked"


def test_no_migration_runs_again_from_a_release_whose_migration_failed(site: Site) -> None:
    """The release is not good: it is never offered, and the same deploy builds it again before it migrates."""
    once = f"test -e {site.tmp}/again || {{ touch {site.tmp}/again; exit 1; }}"
    site.deployment().deploy(["web1"], sha=site.good)
    assert site.deployment(migrate=once).deploy(["web1"], sha=site.better).exit_code == ExitCode.BUILD_FAILED
    with pytest.raises(UnknownRelease) as caught:
        site.deployment().rollback(["web1"], release=site.bad)
    assert caught.value.hint == "no other release is on this host; deploy one"
    site.events.clear()
    assert site.deployment(migrate=once).deploy(["web1"], sha=site.better).exit_code == ExitCode.LIVE
    assert [event.message for event in site.events if event.name == "build.again"] == [
        f"{site.better} is built again: it failed here before: the migration exited 1"
    ]


def test_unreachable_registry_stops_before_the_host(site: Site) -> None:
    """Without its registry a deploy does not start: no command reaches the host."""
    deployment = site.deployment()
    object.__setattr__(deployment.config, "registry_url", "postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(RegistryUnavailable, match="nothing was changed") as caught:
        deployment.deploy(["web1"], sha=site.good)
    assert "secret" not in str(caught.value)
    assert not site.root().exists()
    assert site.commands() == []


def test_without_registry_and_host_the_registry_is_what_is_told(site: Site) -> None:
    """They are tried side by side; whichever fails sooner, the message is always the same."""
    deployment = site.deployment(connect=unreachable)
    object.__setattr__(deployment.config, "registry_url", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(RegistryUnavailable, match="nothing was changed"):
        deployment.deploy(["web1"], sha=site.good)


@pytest.mark.parametrize("kind", ["deploy", "rollback"])
def test_the_intent_is_written_before_a_host_is_changed(site: Site, kind: str) -> None:
    """When the call that changes something is made, the row says what is about to happen."""
    for sha in (site.good, site.better):
        site.deployment().deploy(["web1"], sha=sha)
    seen: list[str] = []

    class Watched(LocalConnection):
        def called(self, name: str) -> int | None:
            seen.append(site.statuses()[site.good])
            return super().called(name)

    watched = site.deployment(connect=lambda name: Watched())
    if kind == "deploy":
        watched.deploy(["web1"], sha=site.good)
    else:
        watched.rollback(["web1"], release=site.good)
    assert seen == {"deploy": ["replaced", "deploying"], "rollback": ["rollback_in_progress"]}[kind]


def test_hosts_that_switch_side_by_side_are_left_to_themselves_by_an_interrupt(site: Site) -> None:
    """Ctrl-C ends the command at once with exit code 40; both hosts go on and end live."""
    hosts = ["web1", "web2"]

    def interrupt(event: Event) -> None:
        site.events.append(event)
        if event.data.get("step") == "gating" and len(phases_of(site, "restarted")) == 2:
            interrupt_main()

    outcome = site.fleet(parallel=2, gate="sleep 0.8", listener=interrupt).deploy(hosts, sha=site.good)
    assert (outcome.exit_code, states(outcome)) == (ExitCode.UNKNOWN, dict.fromkeys(hosts, State.UNKNOWN))
    until = time.monotonic() + 20
    journals = [site.root(host) / ".deploy/journal.jsonl" for host in hosts]
    while not all(journal.exists() for journal in journals) and time.monotonic() < until:
        time.sleep(0.05)
    assert [site.live(host) for host in hosts] == [site.good, site.good]


def test_two_who_cross_are_told(site: Site) -> None:
    """Where somebody else's release went live meanwhile nothing is switched, and the exit code is 20."""
    hosts = ["web1", "web2"]
    for sha in (site.better, site.good):
        site.fleet().deploy(hosts, sha=sha)
    other = site.repository.commit("somebody else's", theirs="1")
    crossed: list[Outcome] = []

    def cross(event: Event) -> None:
        if event.name == "host.finished" and event.host == "web1":
            crossed.append(site.fleet().deploy(["web2"], sha=other))

    outcome = site.fleet(listener=cross).deploy(hosts, sha=site.better)
    assert (crossed[0].exit_code, outcome.exit_code) == (ExitCode.LIVE, ExitCode.BUSY)
    assert {host: site.live(host) for host in hosts} == {"web1": site.better, "web2": other}
    assert outcome.worst.message.startswith(f"nothing was switched: {other} went live here meanwhile")


def test_hosts_whose_turn_had_not_come_are_told_so(site: Site) -> None:
    """Ctrl-C while the first of three switches: that one goes on alone, the others were not touched."""
    hosts = ["web1", "web2", "web3"]

    def interrupt(event: Event) -> None:
        if event.data.get("step") == "gating":
            interrupt_main()

    outcome = site.fleet(gate="sleep 0.8", listener=interrupt).deploy(hosts, sha=site.good)
    assert {host.host: (host.state, host.message.partition(":")[2]) for host in outcome.hosts} == {
        "web1": (State.UNKNOWN, ""),
        "web2": (State.SKIPPED, " somebody interrupted first"),
        "web3": (State.SKIPPED, " somebody interrupted first"),
    }
    assert (outcome.exit_code, site.live("web2"), site.live("web3")) == (ExitCode.UNKNOWN, None, None)


def test_an_impatient_ctrl_c_is_no_other_than_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one, while the connection is closed, changes neither the exit code nor what is recorded."""
    site.deployment().deploy(["web1"], sha=site.good)
    close = LocalConnection.close

    def interrupted(connection: LocalConnection) -> None:
        monkeypatch.setattr(LocalConnection, "close", close)
        close(connection)
        raise KeyboardInterrupt

    def interrupt(event: Event) -> None:
        if event.data.get("phase") == "swapped":
            monkeypatch.setattr(LocalConnection, "close", interrupted)
            raise KeyboardInterrupt

    outcome = site.deployment(listener=interrupt).deploy(["web1"], sha=site.better)
    assert (outcome.exit_code, states(outcome)) == (ExitCode.UNKNOWN, {"web1": State.UNKNOWN})
    assert attempts(site)[0] == (outcome.attempt, "unknown")


def test_ctrl_c_while_the_registry_is_written_keeps_the_record(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release is live, which is told; the record waits here and the next command writes it."""
    finish = Registry.finish

    def interrupted(registry: Registry, record: Record) -> None:
        monkeypatch.setattr(Registry, "finish", finish)
        raise KeyboardInterrupt

    monkeypatch.setattr(Registry, "finish", interrupted)
    outcome = site.deployment().deploy(["web1"], sha=site.good)
    assert (outcome.exit_code, outcome.registry, site.live()) == (ExitCode.REGISTRY, "spooled", site.good)
    assert site.statuses() == {site.good: "deployed"}


def test_ctrl_c_in_the_last_moment_of_all(site: Site) -> None:
    """After the switch nothing ever says that nothing was switched."""

    def interrupt(event: Event) -> None:
        if event.name == "attempt.finished":
            raise KeyboardInterrupt

    with pytest.raises(LinkLost, match="detached: the host goes on alone"):
        site.deployment(listener=interrupt).deploy(["web1"], sha=site.good)
    assert site.live() == site.good


def test_a_listener_that_fails_is_not_the_deploys_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged, and the deploy goes on and is recorded."""

    def listener(event: Event) -> None:
        raise RuntimeError(f"of the listener, on {event.name}")

    assert site.deployment(listener=listener).deploy(["web1"], sha=site.good).exit_code == 0
    assert (site.statuses(), "of the listener, on host.finished" in caplog.text) == ({site.good: "deployed"}, True)


def test_one_host_may_be_given_by_its_name(site: Site) -> None:
    """A name alone is one host, not its letters."""
    assert states(site.deployment().deploy("web1", sha=site.good)) == {"web1": State.LIVE}
    assert list(site.deployment().status("web1")) == ["web1"]
    assert states(site.deployment().rollback("web1", release=site.good)) == {"web1": State.ALREADY_LIVE}


def test_a_host_that_needs_a_person_is_not_live_already(site: Site) -> None:
    """After a restore that failed, the release that `current` names is held to the gate again before it counts."""
    sick = site.root("web1").parent / "sick"
    well = site.fleet(gate=f"test ! -e {sick} || exit 78")
    well.deploy(["web1"], sha=site.good)
    sick.touch()  # what the way back is held to fails, too
    outcome = well.deploy(["web1"], sha=site.better)
    assert (outcome.exit_code, site.live()) == (ExitCode.NOT_RESTORED, site.good)
    again = [well.deploy(["web1"], sha=site.good)]
    sick.unlink()
    again += [well.deploy(["web1"], sha=site.good) for _ in range(2)]
    assert [states(each)["web1"] for each in again] == [State.NOT_RESTORED, State.LIVE, State.ALREADY_LIVE]


def attempts(site: Site) -> list[tuple[str, str]]:
    """The attempts of the registry, the newest first."""
    with site.deployment().registry() as registry:
        return [(each["attempt"], each["hosts"][0]["state"]) for each in registry.reader.attempts(10).items]


def phases_of(site: Site, phase: str) -> list[str | None]:
    return [event.host for event in site.events if event.data.get("phase") == phase]


def test_every_place_can_be_overridden(site: Site) -> None:
    """Root, releases, link and mirror go where the environment variables say, and work from there."""
    places = {
        "DEPLOY_ROOT": site.tmp / "a/root",
        "DEPLOY_RELEASES_DIR": site.tmp / "b/built",
        "DEPLOY_CURRENT_LINK": site.tmp / "c/live",
        "REPO_ROOT": site.tmp / "d/mirror",
    }
    environ = {name: str(path) for name, path in places.items()} | {
        "DEPLOY_SERVICES": "never-started",
        "DEPLOY_HEALTHCHECK_CMD": GATE,
        "DEPLOY_SKIP_SERVICE_RESTART": "1",
        "DEPLOY_REGISTRY_URL": f"sqlite:///{site.tmp}/other.db",
    }
    config = load([("fabric.yaml", {"build": {"frontend": None, "venvs": {}}})], environ)
    deployment = Deployment(config, source=site.repository.path, connect=site.connect)  # type: ignore[arg-type]
    deployment.deploy(["web1"], sha=site.good).raise_for_status()
    deployment.deploy(["web1"], sha=site.better).raise_for_status()
    assert (site.tmp / "c/live").resolve() == site.tmp / "b/built" / site.better
    assert (site.tmp / "c/live/more").read_text() == "1"
    assert (site.tmp / "d/mirror/HEAD").is_file()
    assert (site.tmp / "a/root/.deploy/journal.jsonl").is_file()
    assert (site.tmp / "other.db").is_file()


def test_skipping_the_health_command(site: Site) -> None:
    """With restart and health command skipped, the switch alone decides."""
    settings = {"root": str(site.root()), "build": {"frontend": None, "venvs": {}}}
    environ = {"DEPLOY_SKIP_SERVICE_RESTART": "1", "DEPLOY_SKIP_HEALTHCHECK": "1"}
    config = load([("fabric.yaml", settings)], environ)
    deployment = Deployment(config, source=site.repository.path, connect=site.connect)  # type: ignore[arg-type]
    deployment.deploy(["web1"], sha=site.bad).raise_for_status()
    assert site.live() == site.bad


def test_units_that_are_left_are_told_once(site: Site) -> None:
    """These hosts restart nothing: a deploy of several, and a rollback, say so; not a deploy that has nothing to do."""
    fleet = site.fleet(units="infra")
    for act in (
        lambda: fleet.deploy(["web1", "web2"], sha=site.good),
        lambda: fleet.deploy(["web1"], sha=site.better),
        lambda: fleet.rollback(["web1"], release=site.good),
        lambda: fleet.deploy(["web1", "web2"], sha=site.good),
    ):
        assert act().exit_code == 0
    said = [each.message for each in site.events if "the units of the release are not installed" in each.message]
    assert len(said) == 3


def test_the_host_fetches_from_a_url(site: Site) -> None:
    """With repo_url nothing travels from here: the host fetches the commit itself, a full sha needs no clone here."""
    deployment = site.deployment(source=site.tmp, repo_url=f"file://{site.repository.path}")
    deployment.deploy(["web1"], sha=site.good).raise_for_status()
    assert site.live() == site.good
    assert [event.name for event in site.events if event.name == "source.sent"] == []
    with pytest.raises(UnknownCommit, match="is not in the repository this host fetches from"):
        deployment.deploy(["web1"], sha="f" * 40)
    assert site.live() == site.good


def test_lost_link_is_taken_up_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that dies during the activation is taken up again; every phase is heard exactly once."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.events.clear()
    cut_once(site, monkeypatch, 3)
    outcome = site.deployment().deploy(["web1"], sha=site.better)
    phases = [event.data["phase"] for event in site.events if event.name == "phase"]
    assert (outcome.exit_code, len(site.connections["web1"])) == (ExitCode.LIVE, 2)
    assert phases == ["prepared", "swapped", "restarted", "gated", "committed"]


def test_unreachable_host_changes_nothing(site: Site) -> None:
    """A host that cannot be connected to gives exit code 50 and its outcome is recorded."""
    deployment = site.deployment(connect=unreachable)
    with pytest.raises(HostUnreachable) as caught:
        deployment.deploy(["web1"], sha=site.good)
    assert caught.value.exit_code == 50
    assert caught.value.outcome is not None
    assert states(caught.value.outcome) == {"web1": State.UNREACHABLE}


def test_a_wrong_sha_is_what_is_told_of_a_host_that_cannot_be_reached(site: Site) -> None:
    """They are tried side by side; whichever fails sooner, the message is always the same."""
    deployment = site.deployment(connect=unreachable)
    with pytest.raises(UnknownCommit, match="f" * 40):
        deployment.deploy(["web1"], sha="f" * 40)


def test_a_wrong_sha_leaves_no_connection(site: Site) -> None:
    """The host was logged in to meanwhile; that connection is closed, and no command went over it."""
    closed: list[str] = []

    class Watched(LocalConnection):
        def close(self) -> None:
            super().close()
            closed.append("web1")

    deployment = site.deployment(connect=lambda name: Watched())
    with pytest.raises(UnknownCommit):
        deployment.deploy(["web1"], sha="f" * 40)
    until = time.monotonic() + 10
    while not closed and time.monotonic() < until:
        time.sleep(0.01)
    assert (closed, site.root().exists()) == (["web1"], False)


def test_hosts_are_connected_to_while_the_commit_is_looked_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """git does not have to end before the first host is dialled."""
    dialled = threading.Event()

    def connect(name: str) -> LocalConnection:
        dialled.set()
        return site.connect(name)

    class Patient(Source):
        def resolve(self, text: str) -> Commit:
            assert dialled.wait(10)
            return super().resolve(text)

    monkeypatch.setattr("oroboros_deploy.source.Source", Patient)
    assert site.deployment(connect=connect).deploy(["web1"], sha=site.good).exit_code == ExitCode.LIVE


def test_no_host_named(site: Site) -> None:
    """A deploy that names no host is refused before anything is read."""
    with pytest.raises(InvalidInput, match="no host was named"):
        site.deployment().deploy(sha=site.good)


def test_refused_input_leaves_the_host_as_it_was(site: Site) -> None:
    """What the facts refuse changes no file on the host."""
    site.deployment().deploy(["web1"], sha=site.good)
    current = site.root() / "current"
    current.unlink()
    current.mkdir()
    before = tree(site.root())
    with pytest.raises(InvalidInput, match="real directory"):
        site.deployment().deploy(["web1"], sha=site.better)
    assert tree(site.root()) == before


def tree(root: Path) -> dict[str, str]:
    """Every path below a root with what it is."""
    return {str(path.relative_to(root)): _what(path) for path in sorted(root.rglob("*"))}


def _what(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return "directory" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_moment_of_no_return_is_told(site: Site) -> None:
    """Before a host is asked to switch an event says so; where a build fails none does."""
    site.deployment().deploy(["web1"], sha=site.good)
    names = [event.name for event in site.events]
    assert names.index("release.sealed") < names.index("switch.asked") < names.index("phase")
    site.events.clear()
    with pytest.raises(BuildFailed):
        site.deployment(build={"steps": [{"name": "no", "command": "false"}]}).deploy(["web1"], sha=site.better)
    assert "switch.asked" not in [event.name for event in site.events]


@pytest.mark.slow
def test_a_mirror_that_was_damaged_costs_no_second_deploy(site: Site) -> None:
    """The host makes it anew and has less than it said: it is asked again, and sent the whole history at once."""
    site.deployment().deploy(["web1"], sha=site.good)
    repo = site.root() / "repo"
    (repo / "HEAD").write_text("")
    for pack in (repo / "objects/pack").glob("*"):
        pack.unlink()
    outcome = site.deployment().deploy(["web1"], sha=site.better)
    assert (states(outcome), site.live()) == ({"web1": State.LIVE}, site.better)
