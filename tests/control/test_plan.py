"""What the facts of a host allow, decided without touching anything."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.config.recipe import digest
from oroboros_deploy.config.settings import Build
from oroboros_deploy.control.plan import (
    Job,
    Plan,
    activate_request,
    build_request,
    configure_request,
    decide,
    doubts,
    facts_request,
    migration,
    recipe,
    switch_request,
    units_left,
)
from oroboros_deploy.errors import Busy, DeployError, InvalidInput, UnknownRelease
from oroboros_deploy.host.facts import plain
from oroboros_deploy.outcome import Kind

SHA = "a" * 40
OLD = "b" * 40
UP = {"load": "loaded", "serving": True, "condition": "active (running)", "strays": []}
DOWN = UP | {"serving": False, "condition": "inactive (dead)"}
STRAY = UP | {"strays": [{"pid": 7, "release": OLD}]}
OLDER = UP | {"strays": [{"pid": 7, "release": None}]}
STATES = ("sealed", "adopted", "unsealed", "damaged", "missing")


def job(kind: Kind = "deploy", **settings: Any) -> Job:
    config = load([("fabric.yaml", {"services": ["api"], **settings})], {})
    return Job("attempt", kind, SHA, "tester", config, "1.0")


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "live": OLD,
        "releases": [{"id": OLD, "state": "sealed", "built_at": "2026-01-01T00:00:00Z", "bad": False}],
        "target": {"state": "missing", "damage": None, "bad": None},
        "has_commit": False,
        "last": None,
        "journal": [],
        "problems": [],
        "running": None,
        "hold": None,
        "git": True,
        "systemd": True,
        "may_manage": True,
        "user": "deploy",
        "units": {"api": {"load": "loaded"}},
    } | changes


def target(state: str, damage: str | None = None, **more: Any) -> dict[str, Any]:
    return {"target": {"state": state, "damage": damage, "bad": None, **more}}


def again() -> Job:
    """A deploy with --rebuild."""
    return replace(job(), config=load([("fabric.yaml", {"services": ["api"]})], {}, flags={"rebuild": True}))


DEFAULT = digest(Build(), {})
LIVE = f"nothing was changed: release {SHA} is live here and cannot be built again in its place: "
BACK = f"roll back first, then the same command again: fab -H web1 rollback --release={OLD}"


@pytest.mark.parametrize(
    ("work", "seen", "plan"),
    [
        (job(), facts(), Plan(build=True, activate=True, source="bundle")),
        (job(), facts(has_commit=True), Plan(build=True, activate=True, source="mirror")),
        (job(repo_url="git@git.example.com:app"), facts(), Plan(build=True, activate=True, source="fetch")),
        (job(), facts(**target("sealed")), Plan(build=False, activate=True)),
        (job(), facts(**target("adopted")), Plan(build=False, activate=True)),
        (job(), facts(**target("unsealed")), Plan(build=True, activate=True, source="bundle")),
        (job(), facts(**target("damaged")), Plan(build=True, activate=True, source="bundle")),
        (job(), facts(live=SHA, **target("sealed")), Plan(build=False, activate=False)),
        (job(), facts(live=SHA, last={"phase": "swapped"}, **target("sealed")), Plan(build=False, activate=True)),
        (job(), facts(live=SHA, last={"phase": "committed"}, **target("sealed")), Plan(build=False, activate=False)),
        (job(), facts(live=SHA, last={"phase": "restored"}, **target("sealed")), Plan(build=False, activate=False)),
        (
            job(),
            facts(live=SHA, last={"phase": "restore_failed"}, **target("sealed")),
            Plan(build=False, activate=True),
        ),
        *(
            (job(kind), facts(live=SHA, units={"api": unit}, **target("sealed")), Plan(build=False, activate=True))
            for kind in ("deploy", "rollback")
            for unit in (DOWN, STRAY, OLDER)
        ),
        (job(), facts(live=SHA, units={"api": UP}, **target("sealed")), Plan(build=False, activate=False)),
        # Live and gated: what another tool switched to, or was committed without its health command, is activated.
        *(
            (
                job(healthcheck={"command": command}),
                facts(live=SHA, **target(state, gate=gate)),
                Plan(build=False, activate=activate),
            )
            for state, gate, command, activate in (
                ("adopted", "never", "true", True),
                ("adopted", "never", None, True),
                ("adopted", "passed", "true", False),
                ("sealed", "skipped", "true", True),
                ("sealed", "skipped", None, False),
                ("sealed", None, "true", False),
            )
        ),
        (
            job(),
            facts(live=SHA, units={"api": DOWN | {"put_away": True}}, **target("sealed")),
            Plan(build=False, activate=False),
        ),
        (job(), facts(live=SHA, journal=[{"live": SHA}], **target("sealed")), Plan(build=False, activate=False)),
        (job(), facts(live=SHA, journal=[{"live": OLD}], **target("sealed")), Plan(build=False, activate=True)),
        (job("rollback"), facts(**target("sealed")), Plan(build=False, activate=True)),
        # A release is what was asked for: the commit by this recipe, and not what failed.
        (job(), facts(has_commit=True, **target("sealed", recipe=DEFAULT)), Plan(build=False, activate=True)),
        (job(), facts(has_commit=True, **target("sealed", recipe="0" * 64)), Plan(build=True, activate=True)),
        (job(), facts(has_commit=True, **target("sealed", bad="it crashed")), Plan(build=True, activate=True)),
        (job(), facts(has_commit=True, **target("adopted", bad="it crashed")), Plan(build=False, activate=True)),
        (job(), facts(has_commit=True, **target("building")), Plan(build=True, activate=True)),
        (again(), facts(has_commit=True, **target("sealed")), Plan(build=True, activate=True)),
        (again(), facts(has_commit=True, **target("adopted")), Plan(build=True, activate=True)),
        (job("rollback"), facts(**target("sealed", recipe="0" * 64)), Plan(build=False, activate=True)),
        (  # it may not be built again while it serves, so it is asked again
            job(),
            facts(live=SHA, last={"phase": "restore_failed"}, **target("sealed", bad="it crashed")),
            Plan(build=False, activate=True),
        ),
        (  # the host settles first and then refuses: a hold keeps nobody from a restore
            job(),
            facts(hold={"actor": "ada", "at": 0.0, "reason": "x"}, last={"phase": "swapped"}, **target("sealed")),
            Plan(build=False, activate=True),
        ),
    ],
)
def test_decide(work: Job, seen: dict[str, Any], plan: Plan) -> None:
    """A host builds only what it lacks, and does nothing when every service serves the release and all is finished."""
    assert decide(work, seen, "web1") == plan


@pytest.mark.parametrize(
    ("work", "seen", "error", "words"),
    [
        (job("rollback"), facts(), UnknownRelease, "is missing on this host"),
        (job("rollback"), facts(**target("damaged", "'x' changed")), UnknownRelease, "'x' changed"),
        (job("rollback"), facts(**target("building")), Busy, f"{SHA} is being built again on this host\n  → wait for"),
        (job(), facts(live=SHA, **target("missing")), InvalidInput, LIVE + "it is gone\n  → " + BACK),
        (job(), facts(live=SHA, **target("damaged", "'x' changed")), InvalidInput, LIVE + "'x' changed\n  → " + BACK),
        (
            job(),
            facts(live=SHA, **target("sealed", recipe="0" * 64)),
            InvalidInput,
            f"{LIVE}it was built with other settings of `build`, `shared` or `privileged`\n  → {BACK}",
        ),
        (again(), facts(live=SHA, **target("sealed")), InvalidInput, f"{LIVE}--rebuild was said\n  → {BACK}"),
        (
            again(),
            facts(live=SHA, releases=[], **target("sealed")),
            InvalidInput,
            "→ deploy another commit: git commit --allow-empty -m 'build again'$",
        ),
        (job(), facts(git=False), InvalidInput, "git is not installed"),
        (job(), facts(systemd=False), InvalidInput, "does not run systemd"),
        (job(), facts(may_manage=False), InvalidInput, "may not restart units"),
        (job(root="/srv/100%"), facts(), InvalidInput, "the deploy root '/srv/100%' holds characters that systemd"),
        (job(root="/srv/my shop"), facts(), InvalidInput, "→ name a `root` of letters, digits and _ . /"),
        (job(), facts(units={"api": {"load": "masked"}}), InvalidInput, r"api \(masked\)"),
        (job(), facts(problems=[{"message": "current is odd", "hint": None}]), InvalidInput, "current is odd"),
        (
            job(),
            facts(
                running={"kind": "deploy", "target": OLD, "actor": "eve", "phase": "gated", "since": 1_800_000_000.0}
            ),
            Busy,
            rf"deploy of {OLD} by eve holds this host since 08:00:00 UTC \(gated\)\n  → .* fab -H web1 status$",
        ),
        (job(), facts(running={}), Busy, "another activation holds this host"),
        (
            replace(job(), config=load([("fabric.yaml", {"services": ["api"]})], {}, flags={"root": "/srv/other"})),
            facts(hold={"actor": "ada", "at": 1_800_000_000.0, "reason": "the fair"}),
            Busy,
            "end the hold with: fab -H web1 unlock --root=/srv/other$",
        ),
        (
            job("rollback"),
            facts(hold={"actor": "ada", "at": 1_800_000_000.0, "reason": "the fair"}, last={"phase": "committed"}),
            Busy,
            "held by ada since 2027-01-15 08:00:00 UTC: the fair\n  → end the hold with: fab -H web1 unlock$",
        ),
    ],
)
def test_refusals(work: Job, seen: dict[str, Any], error: type[Exception], words: str) -> None:
    """What cannot work is refused with the reason, before anything is changed."""
    with pytest.raises(error, match=words):
        decide(work, seen, "web1")


def test_all_that_is_missing_is_told_at_once() -> None:
    """One run tells what to mend, each with its remedy."""
    seen = facts(
        git=False,
        may_manage=False,
        units={"api": {"load": "not-found"}, "worker": {"load": "loaded", "refuses": True}},
        problems=[{"message": "current is odd", "hint": None}],
        running={},
    )
    with pytest.raises(InvalidInput) as refused:
        decide(job(), seen, "web1")
    assert str(refused.value) == (
        "web1: nothing was changed: 5 problems:\n"
        "  - current is odd\n"
        "  - git is not installed on this host\n    → apt install git\n"
        "  - deploy may not restart units here without a password\n"
        "    → add to sudoers: deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run\n"
        "  - units that this host cannot start: api (not-found)\n"
        "    → install them there, or set `services` in fabric.yaml or DEPLOY_SERVICES\n"
        "  - units that systemd would refuse to restart: worker\n"
        "    → take RefuseManualStart= and RefuseManualStop= out of them, or name others in `services`\n"
        "  → mend them all, and type the same command again"
    )


LINGER = {"message": "lingering is off for deploy", "hint": "loginctl enable-linger deploy"}


@pytest.mark.parametrize(
    ("scope", "seen", "message", "hint"),
    [
        ("user", {"may_manage": False, "unmanaged": [LINGER]}, LINGER["message"], LINGER["hint"]),
        (
            "user",
            {"units": {"api": {"load": "not-found", "elsewhere": True}}},
            "units that only the service manager of scope system has: api",
            "set `scope: system` in fabric.yaml, or install them on the host in ~/.config/systemd/user",
        ),
        (
            "system",
            {"units": {"api": {"load": "not-found", "elsewhere": True}}},
            "units that only the service manager of scope user has: api",
            "set `scope: user` in fabric.yaml, or install them on the host in /etc/systemd/system",
        ),
    ],
)
def test_what_keeps_a_scope_from_working(scope: str, seen: dict[str, Any], message: str, hint: str) -> None:
    """Each has its one remedy, and no sudo is asked for where the login's own manager is meant."""
    with pytest.raises(InvalidInput) as caught:
        decide(job(scope=scope), facts(**seen), "web1")
    assert (caught.value.message, caught.value.hint) == (f"nothing was changed: {message}", hint)


def test_without_restarts_a_login_needs_no_manager() -> None:
    """What would keep its services from living on refuses nothing: the activation is a process of its own."""
    work = without_services(scope="user")
    seen = facts(may_manage=False, unmanaged=[LINGER], units={}, **target("sealed"))
    assert decide(work, seen, "web1") == Plan(build=False, activate=True)
    assert activate_request(work, seen, migrate=False)["detached"] is True


def without_services(**written: Any) -> Job:
    """A deploy of an application that has no services."""
    return replace(job(), config=load([("fabric.yaml", {"services": [], **written})], {}))


def test_no_services_ask_for_no_sudo_and_no_systemd() -> None:
    """Nothing is restarted, so nothing is asked for that a restart needs."""
    work, seen = without_services(), facts(may_manage=False, systemd=False, units={}, **target("sealed"))
    assert decide(work, seen, "web1") == Plan(build=False, activate=True)
    assert facts_request(work)["restart"] is False
    assert activate_request(work, seen, migrate=False)["restart"] is False


def test_a_gate_may_have_no_command() -> None:
    """The services alone decide; where there are none either, there is no gate."""
    with_services = replace(job(), config=load([("fabric.yaml", {"healthcheck": {"command": None}})], {}))
    gate = activate_request(with_services, facts(), migrate=False)["healthcheck"]
    assert gate is not None
    assert gate["command"] is None
    bare = without_services(healthcheck={"command": None})
    assert activate_request(bare, facts(), migrate=False)["healthcheck"] is None


def test_probes_travel_as_plain_values() -> None:
    """What was written and nothing else; the default command stays at home, and skipping leaves all of it out."""
    url = "https://127.0.0.1:8443/health"
    probe = {"url": url, "contains": "ok", "header": {"X": "y"}, "host": "shop", "ca": "/ca.pem", "unix": "/run/a"}
    asked = {"http": [probe, {"url": "http://127.0.0.1/", "status": 204}], "tcp": "127.0.0.1:80", "successes": 2}
    gate = activate_request(job(healthcheck=asked), facts(), migrate=False)["healthcheck"]
    assert gate == {
        "command": None,
        "timeout": 60,
        "interval": 1,
        "http": [{**probe, "status": 200, "timeout": 5.0}, {"url": "http://127.0.0.1/", "status": 204, "timeout": 5.0}],
        "tcp": ["127.0.0.1:80"],
        "successes": 2,
    }
    skipped = replace(job(healthcheck=asked), config=replace(job(healthcheck=asked).config, skip_healthcheck=True))
    silent = {"command": None, "timeout": 60, "interval": 1}
    assert activate_request(skipped, facts(), migrate=False)["healthcheck"] == silent
    bare = without_services(healthcheck={"tcp": "127.0.0.1:80"})
    assert (activate_request(bare, facts(), migrate=False)["healthcheck"] or {})["tcp"] == ["127.0.0.1:80"]


def test_a_release_whose_gate_was_skipped_is_asked_by_a_probe() -> None:
    """A deploy of what is live does nothing only where nothing more is asked now."""
    live: Any = facts(live=SHA, target={**target("sealed")["target"], "gate": "skipped"}, units={})
    said = ["neither health command nor probes were asked at its last activation here"]
    assert [*doubts(job(healthcheck={"http": {"url": "http://127.0.0.1/"}}), live)] == said
    assert [*doubts(job(healthcheck={"command": None}), live)] == []


POSSIBLE: dict[str, list[Any]] = {
    "live": [OLD, SHA, None],
    "target": [target(state)["target"] | {"bad": bad} for state in STATES for bad in (None, "it crashed")],
    "last": [None, {"phase": "swapped"}, {"phase": "committed"}, {"phase": "restore_failed"}],
    "journal": [[], [{"live": OLD}]],
    "problems": [[], [{"message": "current is odd", "hint": None}]],
    "running": [None, {}],
    "hold": [None, {"actor": "ada", "at": 0.0, "reason": "the fair"}],
    "systemd": [True, False],
    "may_manage": [True, False],
    "units": [{"api": UP}, {"api": {"load": "masked"}}, {"api": DOWN}, {"api": STRAY}],
}


def activates(work: Job, seen: dict[str, Any]) -> bool:
    """Whether the activation is all that a host with these facts needs, and nothing is to be said before it."""
    try:
        return decide(work, seen, "web1") == Plan(build=False, activate=True) and not seen["target"]["bad"]
    except DeployError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("restart", [True, False])
def test_a_host_goes_on_alone_only_where_there_is_nothing_to_decide(restart: bool) -> None:
    """Of all combinations of facts, those with a finished last activation are plain where a rollback only activates."""
    flags = {} if restart else {"skip_restart": True}
    work = replace(job("rollback"), config=load([("fabric.yaml", {"services": ["api"]})], {}, flags=flags))
    for values in product(*POSSIBLE.values()):
        seen = facts(**dict(zip(POSSIBLE, values, strict=True)))
        settled = seen["last"] != {"phase": "swapped"} and seen["live"] != SHA
        assert plain(seen, switch_request(work)) == (activates(work, seen) and settled), seen


def test_a_rollback_asks_to_look_first() -> None:
    """One request holds what to read and what to do, without the repository that only a build needs."""
    request = switch_request(job("rollback"))
    assert request.pop("look") == {"sha": SHA, "services": ["api"], "restart": True, "source": False}
    assert request | {"expected": OLD, "stopping": 0.0} == activate_request(job("rollback"), facts(), migrate=False)


def test_what_runs_once_is_asked_of_the_first_host_alone() -> None:
    """The digest of the recipe is the same for all: what runs once makes nothing of a release."""
    made = {"name": "css", "path": "ui", "command": "make", "inputs": ["ui/src"], "outputs": ["ui/made"]}
    tell = {"name": "tell", "command": "make told", "once": True}
    work = job(build={"steps": [made, tell]})
    first, other = (build_request(work, "mirror", "v1", first=each)["recipe"] for each in (True, False))
    assert first["steps"] == [made, {**tell, "path": "."}]
    assert {**first, "steps": [made]} == other


def test_requests_are_whole() -> None:
    """What a host is asked to build and to activate holds every setting it needs, and no registry URL."""
    work = job(migrate="./migrate", build={"venvs": {"worker": ["backend", "worker"]}})
    assert build_request(work, "bundle", "v1.2") == {
        "attempt": "attempt",
        "sha": SHA,
        "source": {"kind": "bundle", "url": None},
        "recipe": {
            "frontend": {
                "path": "frontend",
                "command": "npm ci && npm run build",
                "output": "dist",
                "into": "infra/web-main",
                "required": False,
            },
            "venvs": {"worker": ["backend", "worker"]},
            "steps": [],
            "timeout": 1800,
            "installer": "auto",
            "inputs": [],
            "cache": 2_000_000_000,
            "anew": False,
            "digest": digest(work.config.build, {}),
            "python": None,
            "node": None,
        },
        "version": "1.0",
        "verbose": False,
        "again": False,
        "described": "v1.2",
    }
    assert activate_request(work, facts(), migrate=True) == {
        "attempt": "attempt",
        "kind": "deploy",
        "sha": SHA,
        "services": ["api"],
        "restart": True,
        "detached": False,
        "healthcheck": {
            "command": "scripts/runtime-health-check.sh",
            "timeout": 60,
            "interval": 1,
        },
        "migrate": "./migrate",
        "restart_timeout": 180,
        "migrate_timeout": 900,
        "actor": "tester",
        "keep": 5,
        "said": [],
        "stopping": 0.0,
        "expected": OLD,
    }
    assert activate_request(work, facts(), migrate=False)["migrate"] is None
    said = job(healthcheck={"stable_for": 2})  # the default's value, and somebody's word
    assert (activate_request(said, facts(), migrate=False)["healthcheck"] or {})["stable_for"] == 2


def test_a_venv_travels_as_plain_values() -> None:
    """Projects alone are a list, as ever; more is an object with every key."""
    venvs = {"a": ["one"], "b": {"projects": ["two"], "packages": ["x"], "extras": ["e"], "groups": ["g"]}}
    assert recipe(job(build={"venvs": venvs}).config)["venvs"] == {
        "a": ["one"],
        "b": {
            "projects": ["two"],
            "requirements": None,
            "packages": ["x"],
            "extras": ["e"],
            "groups": ["g"],
            "lock": "auto",
        },
    }


def test_only_a_known_live_release_is_expected() -> None:
    """What is live is not known where an activation has to be settled first, nor where nobody asked."""
    assert activate_request(job(), facts(live=None), migrate=False)["expected"] is None
    assert "expected" not in activate_request(job(), facts(last={"phase": "swapped"}), migrate=False)
    assert "expected" not in switch_request(job("rollback"))
    interrupted = facts(last={"phase": "swapped"})
    assert activate_request(job("env"), interrupted, migrate=False)["expected"] == OLD  # never another release


def test_what_a_rollback_may_go_to_is_offered_newest_first() -> None:
    """Neither the live release nor one that failed its gate here is offered."""
    built = [("a", "2026-01-03", False), ("b", "2026-01-05", True), ("c", "2026-01-04", False), ("d", None, False)]
    releases = [{"id": name, "state": "sealed", "built_at": at, "bad": bad} for name, at, bad in built]
    live = {"id": OLD, "state": "sealed", "built_at": "2026-01-06", "bad": False}
    with pytest.raises(UnknownRelease) as refused:
        decide(job("rollback"), facts(releases=[*releases, live]), "web1")
    assert refused.value.hint == "releases to go back to: c, a, d"


def test_what_is_refused_is_not_offered() -> None:
    """A damaged release is sealed in the list of releases."""
    damaged = {"id": SHA, "state": "sealed", "built_at": "2026-01-06", "bad": False}
    target = {"state": "damaged", "damage": "'file' changed since the seal", "bad": None}
    with pytest.raises(UnknownRelease) as refused:
        decide(job("rollback"), facts(releases=[damaged], target=target), "web1")
    assert refused.value.hint == "no other release is on this host; deploy one"


def test_shared_places_are_asked_of_a_deploy() -> None:
    """The facts look at them before anything is built, and the build makes links; without any nothing is said."""
    places = {"media": "dir", "local.yml": "file"}
    shared, unset = job(shared=places), job()
    made, usual = build_request(shared, "mirror", "v1")["recipe"], build_request(unset, "mirror", "v1")["recipe"]
    assert (facts_request(shared)["shared"], made["shared"]) == (places, places)
    rollback = facts_request(job("rollback", shared=places))
    assert ["shared" in each for each in (rollback, facts_request(unset), usual)] == [False, False, False]
    assert made["digest"] != usual["digest"]


def test_how_long_others_are_waited_for_is_the_host_s_to_decide_unless_it_is_said() -> None:
    """A number goes with the facts, which wait for this root alone, and with the switch; a flag gives it as text."""
    silent, said, none = job(), job(wait=600), job(wait=0)
    assert ["wait" in each for each in (facts_request(silent), switch_request(silent))] == [False, False]
    assert (facts_request(said)["wait"], switch_request(said)["wait"]) == (600.0, 600.0)
    assert ("wait" in facts_request(none), switch_request(none)["wait"]) == (False, 0.0)
    assert load([], {}, flags={"wait": "90"}).wait == 90.0


UNITS = {"directory": "infra", "application": "oroboros", "adopt": False}
NO_CHANGES: dict[str, list[str]] = {"added": [], "changed": [], "removed": []}


def test_units_are_asked_of_every_call() -> None:
    """What a release brings is in the facts, the build and the activation; a rollback brings what was recorded."""
    bring, back, unset = job(units="infra"), job("rollback", units="infra"), job()
    asked = (facts_request(bring), facts_request(back))
    assert [(each["units"], each["recorded"]) for each in asked] == [(UNITS, False), (UNITS, True)]
    requests: list[Any] = [build_request(bring, "mirror", "v1"), activate_request(bring, facts(), migrate=False)]  # type: ignore[arg-type]
    assert [each["units"] for each in requests] == [UNITS, UNITS]
    others: list[Any] = [facts_request(unset), build_request(unset, "mirror", "v1"), switch_request(unset)]
    assert ["units" in each for each in others] == [False, False, False]


def test_units_are_left_alone_with_restarts_skipped() -> None:
    """Nobody would see whether they can be started; a push of the configuration brings none either."""
    config = load([("fabric.yaml", {"services": ["api"], "units": "infra"})], {}, flags={"skip_restart": True})
    assert "units" not in facts_request(replace(job(), config=config))
    assert "units" not in facts_request(replace(job(units="infra"), kind="env"))


@pytest.mark.parametrize(
    ("kind", "units", "skipped", "told"),
    [
        ("deploy", "infra", True, True),
        ("rollback", "infra", True, True),
        ("env", "infra", True, False),
        ("deploy", "infra", False, False),
        ("deploy", None, True, False),
    ],
)
def test_units_that_a_release_does_not_bring_are_told(kind: Kind, units: str | None, skipped: bool, told: bool) -> None:
    """With restarts skipped, also of the first release that has some; what no attempt brings anyway is not told."""
    work = job(kind, units=units)
    said = units_left(replace(work, config=replace(work.config, skip_restart=skipped)))
    words = "restarts are skipped, so the units of the release are not installed: each host keeps those that it has"
    assert said == (words if told else None)
    asked = switch_request(replace(work, config=replace(work.config, skip_restart=skipped)))
    assert asked.get("units_left", False) == told


@pytest.mark.parametrize(("changed", "activate"), [([], False), (["api.service"], True)])
def test_a_changed_unit_alone_is_a_deploy(changed: list[str], activate: bool) -> None:
    """A live release whose units are not those of the host is activated."""
    seen = facts(live=SHA, unit_changes=NO_CHANGES | {"changed": changed}, **target("sealed"))
    assert decide(job(units="infra"), seen, "web1") == Plan(build=False, activate=activate)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "changes", "refused"),
    [
        ({}, None, True),
        ({"units": "infra"}, None, False),
        ({"units": "infra"}, NO_CHANGES | {"added": ["api.service"]}, False),
        ({"units": "infra"}, NO_CHANGES | {"added": ["web.service"]}, True),
    ],
)
def test_a_unit_that_comes_with_the_release(
    settings: dict[str, Any], changes: dict[str, list[str]] | None, refused: bool
) -> None:
    """Is not missing on a host that does not have it yet; of what is not built nobody knows what it brings."""
    seen = facts(units={"api": {"load": "not-found", "refuses": True}}, unit_changes=changes, **target("sealed"))
    if refused:
        with pytest.raises(InvalidInput, match="cannot start: api"):
            decide(job(**settings), seen, "web1")  # type: ignore[arg-type]
    else:
        assert decide(job(**settings), seen, "web1").activate  # type: ignore[arg-type]


def test_users_travel_with_what_needs_them() -> None:
    """The facts name all of them; the build, the configuration and the switch get those that they act for."""
    users = {"owner": "www-data", "migrate": "shop", "gate": "watcher", "hooks": "shop"}
    work, sources = job(run_as=users, migrate="./migrate"), {"file": None, "values": {}, "secrets": {}, "build": []}
    assert facts_request(work)["run_as"] == users
    made = build_request(work, "mirror", "v1"), configure_request(work, sources)  # type: ignore[arg-type]
    assert [each["owner"] for each in made] == ["www-data", "www-data"]
    asked = activate_request(work, facts(), migrate=True)  # type: ignore[arg-type]
    assert (asked["owner"], asked["migrate_as"], (asked["healthcheck"] or {})["user"]) == (
        "www-data",
        "shop",
        "watcher",
    )
    rollback = switch_request(job("rollback", run_as=users, migrate="./migrate"))
    assert (rollback["owner"], "migrate_as" in rollback) == ("www-data", False)


@pytest.mark.parametrize("kind", [None, "build", "migrate", "healthcheck", "hooks"])
def test_a_right_travels_with_what_keeps_it(kind: str | None) -> None:
    """Each kind is asked for apart; a request has no word of it where nothing keeps the right."""
    work = job(privileged=[kind] if kind else [], migrate="./migrate")
    made, asked = build_request(work, "mirror", "v1"), activate_request(work, facts(), migrate=True)  # type: ignore[arg-type]
    keys = (made, "privileged"), (asked, "migrate_privileged"), (asked["healthcheck"] or {}, "privileged")
    found = [key in request and request[key] for request, key in keys]  # type: ignore[literal-required]
    assert found == [kind == "build", kind == "migrate", kind == "healthcheck"]
    assert (recipe(work.config)["digest"] == recipe(job(migrate="./migrate").config)["digest"]) == (kind != "build")


def test_a_host_is_asked_whether_it_lets_anything_become_root() -> None:
    """For a deploy of all that keeps the right; who goes back builds and migrates nothing."""
    kinds = ["build", "migrate", "healthcheck", "hooks"]
    asked = [facts_request(job(kind, privileged=kinds)).get("privileged") for kind in ("deploy", "rollback")]
    assert asked == [kinds, ["healthcheck"]]
    assert "privileged" not in facts_request(job())
    problem = {"message": "with least privilege nothing", "hint": "take it out"}
    with pytest.raises(InvalidInput, match="nothing was changed: with least privilege nothing"):
        decide(job(privileged=["build"]), facts(problems=[problem]), "web1")  # type: ignore[arg-type]


def test_without_systemd_nothing_runs_as_somebody_else() -> None:
    """Also where nothing is restarted: a command of another user is a unit."""
    for lacking in ({"systemd": False}, {"may_manage": False}):
        with pytest.raises(InvalidInput):
            decide(job(services=[], run_as={"gate": "shop"}), facts(**lacking), "web1")  # type: ignore[arg-type]


ABSENT = {"api": {"load": "loaded"}, "new": {"load": "not-found", "serving": False, "condition": "inactive (dead)"}}


@pytest.mark.parametrize(("units", "refused"), [("infra", False), (None, True)])
def test_a_push_does_not_wait_for_the_next_release(units: str | None, refused: bool) -> None:
    """A service whose unit only the next release brings is no matter of the live one, whose record does not name it."""
    push, seen = job("env", services=["api", "new"], units=units), facts(units=ABSENT, **target("sealed"))
    if refused:
        with pytest.raises(InvalidInput, match=r"cannot start: new \(not-found\)"):
            decide(push, seen, "web1")  # type: ignore[arg-type]
    else:
        assert decide(push, seen, "web1") == Plan(build=False, activate=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["deploy", "env"])
def test_services_that_have_another_configuration(kind: Kind) -> None:
    """What was not restarted since the configuration in use was put in use is, by the next push or deploy."""
    units = {"api": {"load": "loaded", "behind": True}}
    seen = facts(live=SHA, configuration="c" * 16, units=units, **target("sealed"))
    assert decide(job(kind), seen, "web1") == Plan(build=False, activate=True)  # type: ignore[arg-type]
    said = f"api was not restarted since the configuration {'c' * 16} was put in use"
    assert [*doubts(job(kind), seen)] == [said]  # type: ignore[arg-type]


def test_the_line_of_the_migration() -> None:
    """Whether it runs once or on each host."""
    assert migration(job(migrate={"command": "./m", "once": False}).config) == "./m"
    assert (migration(job(migrate="./m").config), migration(job().config)) == ("./m", None)
