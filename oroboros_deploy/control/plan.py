"""What to ask of a host, and what its facts allow.  Pure: nothing here touches anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, cast

from ..config import Config, Healthcheck, HttpProbe, Migration, Step, Venv
from ..config.recipe import digest
from ..errors import Busy, InvalidInput, UnknownRelease
from ..host.constants import BY_RECORD, FINAL, IN_PLACE, SERVES, SWITCHABLE
from ..host.time_limits import stopping
from ..host.words import (
    OTHER_RECIPE,
    PLAIN_ROOT,
    WAIT,
    busy,
    full_name,
    held,
    interpreted,
    is_plain,
    not_live,
    sudoers,
)
from ..outcome import HostOutcome, Kind, State

if TYPE_CHECKING:
    from ..host.contract import (
        ActivateRequest,
        ActivationState,
        BuildRequest,
        ConfigureAnswer,
        ConfigureRequest,
        Facts,
        FactsRequest,
        FrontendRecipe,
        GateRequest,
        Places,
        Recipe,
        ReleaseFacts,
        Scope,
        SourceKind,
        Sources,
        StepRecipe,
        UnitsRequest,
        VenvRecipe,
    )
    from ..host.contract import (
        HttpProbe as HttpProbeRequest,
    )


_NO_RELEASE = "no release is live on this host, and a push changes the configuration of the live one alone"
_NEW_COMMIT = "git commit --allow-empty -m 'build again'"
# Why what is live cannot be switched to, where the state says it.
_WRONG = {"missing": "it is gone", "unsealed": "it was never completed"}


@dataclass(frozen=True)
class Job:
    """One attempt: the same on every host it goes to."""

    attempt: str
    kind: Kind
    sha: str
    actor: str
    config: Config
    version: str


@dataclass(frozen=True)
class Plan:
    """What has to be done on one host."""

    build: bool
    activate: bool
    source: SourceKind = "mirror"

    @property
    def nothing(self) -> bool:
        """True when the release already serves there."""
        return not (self.build or self.activate)


def facts_request(job: Job) -> FactsRequest:
    """What to read: everything the plan, and the checks below, need."""
    asked: FactsRequest = {
        **_meant(job),
        "services": list(job.config.services),
        "restart": job.config.restarts,
        "source": job.kind == "deploy",
    }
    if job.kind == "deploy" and job.config.shared:
        asked["shared"] = _places(job.config)
    if job.config.wait:
        asked["wait"] = job.config.wait
    if job.config.env.given:
        asked["env"] = True
    if units := _units(job):
        asked |= {"units": units, "recorded": job.kind == "rollback"}
    if job.config.run_as.named:
        asked["run_as"] = job.config.run_as.named
    if kinds := _keeping_root(job):
        asked["privileged"] = kinds
    return asked


def _keeping_root(job: Job) -> list[str]:
    """What of ``privileged`` the job is concerned with: whoever goes back builds and migrates nothing."""
    return [kind for kind in job.config.privileged if job.kind == "deploy" or kind == "healthcheck"]


def configure_request(job: Job, sources: Sources) -> ConfigureRequest:
    """The configuration of the job's release, for the host to keep."""
    request: ConfigureRequest = {"sha": job.sha, "env": sources}
    if job.config.run_as.owner:
        request["owner"] = job.config.run_as.owner
    return request


def _meant(job: Job) -> FactsRequest:
    """Which release to read about: a push and a restart are of the live one, which the host knows alone."""
    return {"live": True} if job.kind in IN_PLACE else {"sha": job.sha}


def build_request(
    job: Job, source: SourceKind, described: str, *, verbose: bool = False, first: bool = True
) -> BuildRequest:
    """A release of the job's commit, from where its source is; ``verbose`` when all that it prints is to be heard.

    ``described`` is what git calls the commit; ``first`` is for the host that also runs what runs once.
    """
    request: BuildRequest = {
        "attempt": job.attempt,
        "sha": job.sha,
        "source": {"kind": source, "url": job.config.repo_url},
        "recipe": recipe(job.config, first=first),
        "version": job.version,
        "verbose": verbose,
        "again": job.config.rebuild,
        "described": described,
    }
    if units := _units(job):
        request["units"] = units
    if job.config.run_as.owner:
        request["owner"] = job.config.run_as.owner
    if "build" in job.config.privileged:
        request["privileged"] = True
    return request


def activate_request(job: Job, facts: Facts, *, migrate: bool) -> ActivateRequest:
    """The switch to the job's release; ``migrate`` on one host of several, for they share the database.

    It names the release that the decision was made for: where somebody else switched meanwhile, the host refuses.
    Nobody knows which one that is where the host has to settle an activation first; a push, which never switches to
    another release, is refused where that changes it.
    """
    request = _activation(job, migrate=migrate, detached=not (facts["systemd"] and facts["may_manage"]))
    if not job.config.skip_restart:
        request["stopping"] = stopping(facts["units"].values(), job.config.restart_timeout)
    if job.kind in IN_PLACE or not unfinished(facts["last"]):
        request["expected"] = facts["live"]
    return request


def switch_request(job: Job, shown: Facts | None = None) -> ActivateRequest:
    """The switch on a host whose facts are not known: it reads them first, and goes on only when they are plain.

    They are when `decide` would call for the activation and nothing else; the host's `facts.plain` says so.
    With facts that were ``shown`` to somebody, what was live then is what the host is to leave.
    """
    request = _activation(job, migrate=False, detached=False)  # how it is run the host knows when it has read them
    request["look"] = facts_request(job)
    if shown and not unfinished(shown["last"]):
        request["expected"] = shown["live"]
    return request


def _activation(job: Job, *, migrate: bool, detached: bool) -> ActivateRequest:
    config = job.config
    request: ActivateRequest = {
        "attempt": job.attempt,
        "kind": job.kind,
        "sha": job.sha,
        "services": list(config.services),
        "restart": config.restarts,
        "detached": detached,
        "healthcheck": _gate(config) if config.restarts or _asks(config) else None,
        "migrate": migration(config) if migrate and job.kind == "deploy" else None,
        "restart_timeout": config.restart_timeout,
        "migrate_timeout": config.migrate_timeout,
        "actor": job.actor,
        "keep": config.keep,
        "said": config.by_hand,
    }
    if config.wait is not None:
        request["wait"] = config.wait
    if job.kind == "rollback" and config.env.given:
        request["recorded"] = not config.keep_env
    if units := _units(job):
        request["units"] = units
    if units_left(job):
        request["units_left"] = True
    if config.run_as.owner:
        request["owner"] = config.run_as.owner
    if request.get("migrate") and config.run_as.migrate:
        request["migrate_as"] = config.run_as.migrate
    if request.get("migrate") and "migrate" in config.privileged:
        request["migrate_privileged"] = True
    return request


def decide(job: Job, facts: Facts, host: str) -> Plan:
    """What this host needs for the job.

    Raises InvalidInput, UnknownRelease or Busy when the job cannot or must not be
    done there; nothing was changed then.
    """
    check(job, facts, host)
    if job.kind == "env":
        return _to_push(job, facts, host)
    if job.kind == "restart":
        return _to_restart(job, facts, host)
    unfit = _unfit(job, facts)
    if unfit and facts["live"] == job.sha:
        raise _refusal_of_live(job, facts, host, unfit)
    whole = facts["target"] is not None and facts["target"]["state"] in SWITCHABLE and not unfit
    same = job.kind == "deploy" or not job.config.env.given or job.config.keep_env or _is_configured(facts)
    same = same and not any((facts.get("unit_changes") or {}).values())
    if facts["live"] == job.sha and whole and healthy(facts["last"]) and same and not any(doubts(job, facts)):
        return Plan(build=False, activate=False)
    if whole:
        _refuse_unusable(job, facts, host)
        return Plan(build=False, activate=True)
    if facts["target"] and facts["target"]["state"] == "building" and job.kind == "rollback":
        hint = "wait for the end of that build, then the same command again"
        raise Busy(f"nothing was changed: release {job.sha} is being built again on this host", hint=hint, host=host)
    if job.kind == "rollback":
        raise UnknownRelease(_absent(job, facts), hint=_offer(facts, job.sha), host=host)
    return _to_build(job, facts)


def _to_push(job: Job, facts: Facts, host: str) -> Plan:
    """What a host needs for its live release to have another configuration, before that is known to differ."""
    live, target, typed = facts["live"], facts["target"], partial(job.config.typed, host)
    if live is None or target is None:
        raise InvalidInput(f"nothing was changed: {_NO_RELEASE}", hint=typed("deploy --sha=SHA"), host=host)
    if target["state"] == "adopted" and target.get("gate") == "never":
        what = (
            f"another tool made {live} live here, so this host has no record of a gate for it, "
            "and a push checks the new configuration with that gate"
        )
        raise InvalidInput(f"nothing was changed: {what}", hint=typed("deploy --sha=SHA"), host=host)
    if target["state"] not in SWITCHABLE:
        raise _refusal_of_live(job, facts, host, _WRONG.get(target["state"]) or target["damage"] or target["state"])
    return Plan(build=False, activate=not healthy(facts["last"]) or any(_not_live(job, facts)))


def _to_restart(job: Job, facts: Facts, host: str) -> Plan:
    """A restart is done wherever a release that is whole is live."""
    live, target = facts["live"], facts["target"]
    if live is None or target is None:
        hint = job.config.typed(host, "deploy --sha=SHA")
        raise InvalidInput("nothing was changed: no release is live on this host", hint=hint, host=host)
    what = unsound(facts)
    if what:
        raise InvalidInput(f"nothing was changed: {what}", hint=another(job.config, facts, host), host=host)
    return Plan(build=False, activate=True)


def another(config: Config, facts: Facts, host: str) -> str:
    """What to type to have another release live than the one that is."""
    good = next(iter(_good(facts, facts["live"] or "")), None)
    return config.typed(host, f"rollback --release={good}" if good else "deploy --sha=SHA")


def unsound(facts: Facts) -> str | None:
    """Why the live release, of which the facts were asked, is not as it was built, in words; None when it is."""
    target = facts.get("target")
    if target is None or target["state"] in SWITCHABLE:
        return None
    why = _WRONG.get(target["state"]) or target["damage"] or target["state"]
    return f"the live release {facts['live']} is not as it was built, and may not start: {why}"


def _to_build(job: Job, facts: Facts) -> Plan:
    elsewhere: SourceKind = "fetch" if job.config.repo_url else "bundle"
    return Plan(build=True, activate=True, source="mirror" if facts["has_commit"] else elsewhere)


def with_configuration(job: Job, facts: Facts, host: str, planned: Plan, found: ConfigureAnswer) -> Plan:
    """The plan for a release that is there, with what the host made of its configuration.

    Raises InvalidInput when it is live and was built with other values.
    """
    if not found["fits"]:
        unfit = "it was built with other values of the names in `env.build`"
        if facts["live"] == job.sha:
            raise _refusal_of_live(job, facts, host, unfit)
        return _to_build(job, facts)
    same = found["revision"] == found["current"]
    return planned if same or not planned.nothing else Plan(build=False, activate=True)


def doubts(job: Job, facts: Facts) -> Iterator[str]:
    """Why the release that `current` names is not known to be live and gated, a sentence each."""
    gate = facts["target"].get("gate") if facts["target"] else None
    if gate == "never":
        yield "it never passed a gate here, for another tool switched to it"
    elif gate == "skipped" and _asks(job.config):
        yield "neither health command nor probes were asked at its last activation here"
    yield from _not_live(job, facts)


def _not_live(job: Job, facts: Facts) -> Iterator[str]:
    """The same without what only another release brings."""
    coming = {name for name, unit in facts["units"].items() if unit["load"] == "not-found" and _by_record(job)}
    units = {name: unit for name, unit in facts["units"].items() if name not in coming}
    return not_live({**facts, "units": units})


def _by_record(job: Job) -> bool:
    """Whether the services of an attempt are those that its release was committed with, and bring their units."""
    return job.kind in BY_RECORD and job.config.units is not None and "services" not in job.config.by_hand


def _unfit(job: Job, facts: Facts) -> str | None:
    """Why the release on the host is not the one that a deploy asks for; None when it is, or none is there.

    What noted no recipe (0.1.0, other tools) fits every recipe.  A live release that failed is not built again, because
    it may not be, but asked again.
    """
    target = facts["target"]
    if target is None or job.kind != "deploy":
        return None
    if target["state"] not in SWITCHABLE:
        return _WRONG.get(target["state"], target["damage"]) if facts["live"] == job.sha else None
    if job.config.rebuild:
        return "--rebuild was said"
    if target["state"] == "sealed" and target.get("recipe") not in (None, recipe_digest(job.config)):
        return OTHER_RECIPE
    if target["state"] == "sealed" and target.get("configured") and not job.config.env.build:
        return "it was built with names in `env.build`, which has none now"
    return target["bad"] if target["state"] == "sealed" and facts["live"] != job.sha else None


def _refuse_unusable(job: Job, facts: Facts, host: str) -> None:
    """Refuse a rollback whose configuration the host has no more: on several hosts, before the first switches."""
    unfit = facts["target"].get("unusable") if facts["target"] and not job.config.keep_env else None
    if unfit and job.kind == "rollback":
        hint = "--keep-env leaves the present configuration in use; a deploy of the release takes today's"
        raise InvalidInput(f"nothing was changed: {unfit}", hint=hint, host=host)


def _is_configured(facts: Facts) -> bool:
    """Whether the configuration in use is the one that the release was committed with, as far as that was noted."""
    noted = facts["target"].get("configuration") if facts["target"] else None
    return noted in (None, facts.get("configuration"))


def _refusal_of_live(job: Job, facts: Facts, host: str, unfit: str) -> InvalidInput:
    """What serves is never taken from under its services: the way goes over another release."""
    good = _good(facts, job.sha) if job.kind == "deploy" else []
    back = job.config.typed(host, f"rollback --release={good[0]}") if good else ""
    hint = f"roll back first, then the same command again: {back}" if good else f"deploy another commit: {_NEW_COMMIT}"
    what = f"release {job.sha} is live here and cannot be built again in its place"
    return InvalidInput(f"nothing was changed: {what}: {unfit}", hint=hint, host=host)


def unfinished(last: ActivationState | None) -> bool:
    """Whether the host's last activation, by its persisted state, did not come to an end."""
    return last is not None and last["phase"] not in FINAL


def healthy(last: ActivationState | None) -> bool:
    """Whether the host's last activation ended on a release that serves."""
    return last is None or last["phase"] in SERVES


def check(job: Job, facts: Facts, host: str) -> None:
    """Refuse what the facts already show to be impossible: all that is missing is told at once."""
    held_up = None if facts["problems"] else held_by(job, facts, host)
    if held_up:
        raise held_up
    _refuse(host, *problems(job, facts))


def problems(job: Job, facts: Facts) -> Iterator[Problem]:
    """What keeps a host from being deployed to, but for who holds it: a deploy stops at it, `doctor` gathers it."""
    yield from (Problem(each["message"], each["hint"]) for each in facts["problems"])
    yield from _missing(job, facts)


class Problem(NamedTuple):
    """What keeps a host from being deployed to, and what mends it."""

    message: str
    hint: str | None


def _refuse(host: str, *problems: Problem) -> None:
    if len(problems) == 1:
        raise InvalidInput(f"nothing was changed: {problems[0].message}", hint=problems[0].hint, host=host)
    if problems:
        told = (f"\n  - {each.message}" + (f"\n    → {each.hint}" if each.hint else "") for each in problems)
        hint = "mend them all, and type the same command again"
        raise InvalidInput(f"nothing was changed: {len(problems)} problems:{''.join(told)}", hint=hint, host=host)


def held_by(job: Job, facts: Facts, host: str) -> Busy | None:
    """The activation or the person that holds the host, as an error."""
    if facts["running"] is not None:
        hint = f"{WAIT}; watch it with: {job.config.typed(host, 'status')}"
        return Busy(busy(facts["running"]), hint=hint, host=host)
    # What did not end goes on to the host, which settles it before it refuses: no hold stops a restore.
    if facts["hold"] and not unfinished(facts["last"]):
        hint = f"end the hold with: {job.config.typed(host, 'unlock')}"
        return Busy(f"this host is {held(facts['hold'])}", hint=hint, host=host)
    return None


def _units(job: Job) -> UnitsRequest | None:
    """The units that a release brings; a push and a restart leave them alone, and whoever may restart nothing."""
    config = job.config
    if config.units is None or config.skip_restart or job.kind in IN_PLACE:
        return None
    application = config.application or PurePosixPath(config.root).name
    units: UnitsRequest = {"directory": config.units, "application": application, "adopt": config.adopt_units}
    if config.run_as.owner:
        units["user"] = config.run_as.owner
    return units


def units_left(job: Job) -> str | None:
    """That the release brings no units although the settings have some, in words; None where that is not so."""
    if job.config.units is None or not job.config.skip_restart or job.kind in IN_PLACE:
        return None
    return "restarts are skipped, so the units of the release are not installed: each host keeps those that it has"


def _may_come(job: Job, facts: Facts, name: str) -> bool:
    """Whether a unit that the host does not have may come with the release; what is not built yet nobody knows."""
    changes = facts.get("unit_changes")
    if _by_record(job):
        return True  # the record may not name it: the host looks at that before it changes anything
    if _units(job) is None:
        return False
    if not changes:
        return True
    from ..host.unit_files import brings  # only for releases that bring units

    return brings(changes["added"], full_name(name))


def _missing(job: Job, facts: Facts) -> Iterator[Problem]:
    if job.kind == "deploy" and not facts["git"]:
        yield Problem("git is not installed on this host", "apt install git")
    if facts["systemd"] and facts["may_manage"] and not is_plain(job.config.root):
        yield Problem(f"the deploy root {interpreted(job.config.root)}", PLAIN_ROOT)
    if job.config.restarts and not facts["systemd"]:
        yield Problem(
            "this host does not run systemd, so its services cannot be restarted",
            "DEPLOY_SKIP_SERVICE_RESTART=1 deploys without restarting anything",
        )
    elif _units(job) and not facts["systemd"]:
        yield Problem(
            "this host does not run systemd, so it has no place for `units`", "take `units` out of fabric.yaml"
        )
    elif job.config.run_as.named and not facts["systemd"]:
        yield Problem("this host does not run systemd, and `run_as` needs systemd", "take `run_as` out of fabric.yaml")
    elif job.config.restarts or job.config.run_as.named:
        yield from _unmanageable(job, facts)


def _unmanageable(job: Job, facts: Facts) -> Iterator[Problem]:
    if facts.get("unmanaged"):
        yield from (Problem(each["message"], each["hint"]) for each in facts["unmanaged"])
    elif not facts["may_manage"]:
        yield Problem(f"{facts['user']} may not restart units here without a password", sudoers(facts["user"]))
    elsewhere = [name for name, unit in facts["units"].items() if unit.get("elsewhere")]
    if elsewhere:
        yield _elsewhere(elsewhere, job.config.scope)
    lacking = {name: unit["load"] for name, unit in facts["units"].items() if unit["load"] != "loaded"}
    coming = [name for name, load in lacking.items() if load == "not-found" and _may_come(job, facts, name)]
    absent = [f"{name} ({load})" for name, load in lacking.items() if name not in elsewhere and name not in coming]
    if absent:
        yield Problem(
            f"units that this host cannot start: {', '.join(absent)}",
            "install them there, or set `services` in fabric.yaml or DEPLOY_SERVICES",
        )
    refusing = [name for name, unit in facts["units"].items() if unit.get("refuses") and name not in coming]
    if refusing:
        yield Problem(
            f"units that systemd would refuse to restart: {', '.join(refusing)}",
            "take RefuseManualStart= and RefuseManualStop= out of them, or name others in `services`",
        )


def _elsewhere(names: list[str], scope: Scope) -> Problem:
    """What to do about units that only the manager of the other scope has."""
    other, place = ("user", "/etc/systemd/system") if scope == "system" else ("system", "~/.config/systemd/user")
    what = f"units that only the service manager of scope {other} has: {', '.join(names)}"
    return Problem(what, f"set `scope: {other}` in fabric.yaml, or install them on the host in {place}")


def recipe_digest(config: Config) -> str:
    """The digest of all settings that shape a release."""
    return digest(config.build, config.shared, config.privileged)


def recipe(config: Config, *, first: bool = True) -> Recipe:
    """What a host builds, and what it may take from earlier builds (``cache`` in bytes).

    What runs once, on the ``first`` host, makes nothing of a release, so the digest is the same on the others.
    """
    build = config.build
    made: Recipe = {
        "frontend": _frontend(config),
        "venvs": {directory: _venv(venv) for directory, venv in build.venvs.items()},
        "steps": [_step(step) for step in build.steps if first or not step.once],
        "timeout": build.timeout,
        "installer": build.installer,
        "inputs": list(build.inputs),
        "cache": build.cache * 1_000_000,
        "anew": config.no_cache,
        "digest": recipe_digest(config),
        "python": build.python,
        "node": build.node,
    }
    if config.shared:
        made["shared"] = _places(config)
    return made


def _places(config: Config) -> Places:
    return {path: "dir" if kind == "dir" else "file" for path, kind in config.shared.items()}


def _step(step: Step) -> StepRecipe:
    told: StepRecipe = {"name": step.name, "path": step.path, "command": step.command}
    if step.outputs:
        told |= {"inputs": list(step.inputs), "outputs": list(step.outputs)}
    return {**told, "once": True} if step.once else told


def _venv(venv: tuple[str, ...] | Venv) -> list[str] | VenvRecipe:
    if isinstance(venv, tuple):
        return list(venv)
    return {
        "projects": list(venv.projects),
        "requirements": None if venv.requirements is None else list(venv.requirements),
        "packages": list(venv.packages),
        "extras": list(venv.extras),
        "groups": list(venv.groups),
        "lock": venv.lock,
    }


def _frontend(config: Config) -> FrontendRecipe | None:
    frontend = config.build.frontend
    if frontend is None:
        return None
    return {
        "path": frontend.path,
        "command": frontend.command,
        "output": frontend.output,
        "into": frontend.into,
        "required": frontend.required,
    }


def migration(config: Config) -> str | None:
    """The line of the migration; None without one."""
    return config.migrate.command if isinstance(config.migrate, Migration) else config.migrate


def _asks(config: Config) -> bool:
    """Whether a health command or a probe decides, and not the services alone."""
    return config.healthcheck.asks and not config.skip_healthcheck


def _gate(config: Config) -> GateRequest:
    """The gate; how long services are watched is left to the host where nobody set it."""
    gate = config.healthcheck
    request: GateRequest = {
        "command": None if config.skip_healthcheck else gate.command,
        "timeout": gate.timeout,
        "interval": gate.interval,
    }
    if not config.skip_healthcheck:
        request |= _probes(gate)
    if config.provenance.get("healthcheck.stable_for") != "default":
        request["stable_for"] = gate.stable_for
    if config.run_as.gate:
        request["user"] = config.run_as.gate
    if request["command"] and "healthcheck" in config.privileged:
        request["privileged"] = True
    return request


def _probes(gate: Healthcheck) -> GateRequest:
    """What is asked besides the command."""
    request: GateRequest = {}
    if gate.http:
        request["http"] = [_http(probe) for probe in gate.http]
    if gate.tcp:
        request["tcp"] = list(gate.tcp)
    if gate.asks and gate.successes > 1:
        request["successes"] = gate.successes
    return request


def _http(probe: HttpProbe) -> HttpProbeRequest:
    asked: HttpProbeRequest = {"url": probe.url, "status": probe.status, "timeout": probe.timeout}
    texts = {"contains": probe.contains, "host": probe.host, "ca": probe.ca, "unix": probe.unix}
    given = {name: text for name, text in texts.items() if text is not None}
    headers = {"header": dict(probe.header)} if probe.header else {}
    return cast("HttpProbeRequest", {**asked, **given, **headers})


def _absent(job: Job, facts: Facts) -> str:
    target = facts["target"] or {"state": "missing", "damage": None, "bad": None}
    why = target["damage"] or "not there"
    return f"nothing was changed: release {job.sha} is {target['state']} on this host ({why})"


def way_back(facts: Facts | None, outcome: HostOutcome) -> str | None:
    """What served before on a host that went live, where these facts call it sealed or adopted, and not bad."""
    left = outcome.previous if outcome.state is State.LIVE and outcome.previous != outcome.live else None
    found = facts["releases"] if facts else []
    return next((release["id"] for release in found if release["id"] == left and _is_good(release)), None)


def _is_good(release: ReleaseFacts) -> bool:
    """Whether a release is sealed or adopted, and did not fail on its host; nobody has verified its files here."""
    return release["state"] in SWITCHABLE and not release["bad"]


def _good(facts: Facts, refused: str) -> list[str]:
    """The releases that one can go to, the newest first."""
    return [
        release["id"]
        for release in sorted(facts["releases"], key=lambda each: each["built_at"] or "", reverse=True)
        if _is_good(release) and release["id"] not in (facts["live"], refused)
    ]


def _offer(facts: Facts, refused: str) -> str:
    good = _good(facts, refused)
    return f"releases to go back to: {', '.join(good)}" if good else "no other release is on this host; deploy one"
