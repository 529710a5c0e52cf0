"""What to ask of a host, and what its facts allow.  Pure: nothing here touches anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import Config, Venv
from ..errors import Busy, InvalidInput, UnknownRelease
from ..host.constants import FINAL, SERVES, SWITCHABLE
from ..host.words import busy, held, sudoers
from ..outcome import Kind

if TYPE_CHECKING:
    from ..host.contract import (
        ActivateRequest,
        ActivationState,
        BuildRequest,
        Facts,
        FactsRequest,
        FrontendRecipe,
        GateRequest,
        Recipe,
        SourceKind,
        VenvRecipe,
    )


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
    return {
        "sha": job.sha,
        "services": list(job.config.services),
        "restart": not job.config.skip_restart,
        "source": job.kind == "deploy",
    }


def build_request(job: Job, source: SourceKind, described: str, *, verbose: bool = False) -> BuildRequest:
    """A release of the job's commit, from where its source is; ``verbose`` when all that it prints is to be heard.

    ``described`` is what git calls the commit.
    """
    return {
        "attempt": job.attempt,
        "sha": job.sha,
        "source": {"kind": source, "url": job.config.repo_url},
        "recipe": recipe(job.config),
        "version": job.version,
        "verbose": verbose,
        "described": described,
    }


def activate_request(job: Job, facts: Facts, *, migrate: bool) -> ActivateRequest:
    """The switch to the job's release; ``migrate`` on one host of several, for they share the database.

    It names the release that the decision was made for: where somebody else switched meanwhile, the host refuses.
    Nobody knows which one that is where the host has to settle an activation first.
    """
    request = _activation(job, migrate=migrate, detached=not (facts["systemd"] and facts["may_manage"]))
    if not unfinished(facts["last"]):
        request["expected"] = facts["live"]
    return request


def switch_request(job: Job) -> ActivateRequest:
    """The switch on a host whose facts are not known: it reads them first, and goes on only when they are plain.

    They are when `decide` would call for the activation and nothing else; the host's `facts.plain` says so.
    """
    request = _activation(job, migrate=False, detached=False)  # how it is run the host knows when it has read them
    request["look"] = facts_request(job)
    return request


def _activation(job: Job, *, migrate: bool, detached: bool) -> ActivateRequest:
    config = job.config
    return {
        "attempt": job.attempt,
        "kind": job.kind,
        "sha": job.sha,
        "services": list(config.services),
        "restart": not config.skip_restart,
        "detached": detached,
        "healthcheck": None if config.skip_healthcheck and config.skip_restart else _gate(config),
        "migrate": config.migrate if migrate and job.kind == "deploy" else None,
        "restart_timeout": config.restart_timeout,
        "migrate_timeout": config.migrate_timeout,
        "actor": job.actor,
        "keep": config.keep,
    }


def decide(job: Job, facts: Facts, host: str) -> Plan:
    """What this host needs for the job.

    Raises InvalidInput, UnknownRelease or Busy when the job cannot or must not be
    done there; nothing was changed then.
    """
    check(job, facts, host)
    whole = facts["target"] is not None and facts["target"]["state"] in SWITCHABLE
    if facts["live"] == job.sha and whole and healthy(facts["last"]):
        return Plan(build=False, activate=False)
    if whole:
        return Plan(build=False, activate=True)
    if job.kind == "rollback":
        raise UnknownRelease(_absent(job, facts), hint=_offer(facts, job.sha), host=host)
    if job.config.repo_url:
        return Plan(build=True, activate=True, source="mirror" if facts["has_commit"] else "fetch")
    return Plan(build=True, activate=True, source="mirror" if facts["has_commit"] else "bundle")


def unfinished(last: ActivationState | None) -> bool:
    """Whether the host's last activation, by its persisted state, did not come to an end."""
    return last is not None and last["phase"] not in FINAL


def healthy(last: ActivationState | None) -> bool:
    """Whether the host's last activation ended on a release that serves."""
    return last is None or last["phase"] in SERVES


def check(job: Job, facts: Facts, host: str) -> None:
    """Refuse what the facts already show to be impossible."""
    for problem in facts["problems"]:
        raise InvalidInput(f"nothing was changed: {problem['message']}", hint=problem["hint"], host=host)
    if facts["running"] is not None:
        hint = f"wait for it, or watch it with: {_command(job, host, 'status')}"
        raise Busy(busy(facts["running"]), hint=hint, host=host)
    # What did not end goes on to the host, which settles it before it refuses: no hold stops a restore.
    if facts["hold"] and not unfinished(facts["last"]):
        raise Busy(
            f"this host is {held(facts['hold'])}", hint=f"free it with: {_command(job, host, 'unlock')}", host=host
        )
    if job.kind == "deploy" and not facts["git"]:
        raise InvalidInput("nothing was changed: git is not installed on this host", hint="apt install git", host=host)
    if not job.config.skip_restart:
        _check_services(facts, host)


def _command(job: Job, host: str, task: str) -> str:
    """What to type about this host, with a root that only a flag of this command named."""
    root = f" --root={job.config.root}" if job.config.provenance.get("root") == "flag --root" else ""
    return f"fab -H {host} {task}{root}"


def _check_services(facts: Facts, host: str) -> None:
    if not facts["systemd"]:
        raise InvalidInput(
            "nothing was changed: this host does not run systemd, so its services cannot be restarted",
            hint="DEPLOY_SKIP_SERVICE_RESTART=1 deploys without restarting anything",
            host=host,
        )
    if not facts["may_manage"]:
        raise InvalidInput(
            f"nothing was changed: {facts['user']} may not restart units here without a password",
            hint=sudoers(facts["user"]),
            host=host,
        )
    absent = [f"{name} ({unit['load']})" for name, unit in facts["units"].items() if unit["load"] != "loaded"]
    if absent:
        raise InvalidInput(
            f"nothing was changed: units that this host cannot start: {', '.join(absent)}",
            hint="install them there, or set `services` in fabric.yaml or DEPLOY_SERVICES",
            host=host,
        )
    refusing = [name for name, unit in facts["units"].items() if unit.get("refuses")]
    if refusing:
        raise InvalidInput(
            f"nothing was changed: units that systemd would refuse to restart: {', '.join(refusing)}",
            hint="take RefuseManualStart= and RefuseManualStop= out of them, or name others in `services`",
            host=host,
        )


def recipe(config: Config) -> Recipe:
    """What a host builds, and what it may take from earlier builds (``cache`` in bytes)."""
    build = config.build
    return {
        "frontend": _frontend(config),
        "venvs": {directory: _venv(venv) for directory, venv in build.venvs.items()},
        "steps": [{"name": step.name, "path": step.path, "command": step.command} for step in build.steps],
        "timeout": build.timeout,
        "installer": build.installer,
        "inputs": list(build.inputs),
        "cache": build.cache * 1_000_000,
        "anew": config.no_cache,
    }


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


def _gate(config: Config) -> GateRequest:
    gate = config.healthcheck
    return {
        "command": None if config.skip_healthcheck else gate.command,
        "timeout": gate.timeout,
        "interval": gate.interval,
        "stable_for": gate.stable_for,
    }


def _absent(job: Job, facts: Facts) -> str:
    target = facts["target"] or {"state": "missing", "damage": None, "bad": None}
    why = target["damage"] or "not there"
    return f"nothing was changed: release {job.sha} is {target['state']} on this host ({why})"


def _offer(facts: Facts, refused: str) -> str:
    good = [
        release["id"]
        for release in sorted(facts["releases"], key=lambda each: each["built_at"] or "", reverse=True)
        if release["state"] in SWITCHABLE and not release["bad"] and release["id"] not in (facts["live"], refused)
    ]
    return f"releases to go back to: {', '.join(good)}" if good else "no other release is on this host; deploy one"
