"""What a deploy would do on one host, by its facts.  Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..config import Config, Migration
from ..host.words import held, moment, not_live
from ..records.plan import HostPlan, Refusal, direction
from ..text import clean
from . import plan

if TYPE_CHECKING:
    from ..errors import DeployError
    from ..host.contract import ActivationState, Changes, ConfigureAnswer, ConfigureRequest, Facts, Sources
    from .plan import Job, Plan

Counts = tuple[int, int] | None  # commits that only the live, and only the wanted release has
Told = dict[str, str]  # variables by name
# Of a request to switch: what shapes no switch, and what a plan tells by itself.
_LEFT_OUT = ("attempt", "actor", "look", "said", "wait", "sha", "services")


def host_plan(
    job: Job, host: str, facts: Facts, planned: Plan | None, counts: Counts, units: Changes | None
) -> HostPlan:
    """The plan for a host; ``planned`` is None where the deploy would be refused.

    ``units`` are the files that differ between the commits, for a release that is not there yet.
    """
    config, live = job.config, facts["live"]
    behind, ahead = counts or (None, None)
    builds = planned is not None and planned.build
    return HostPlan(
        host=host,
        live=live,
        direction=direction(live, job.sha, counts),
        ahead=ahead,
        behind=behind,
        parts=parts(config) if builds else (),
        activates=planned is None or planned.activate,
        units=None if config.units is None or plan.units_left(job) else facts.get("unit_changes") or units,
        hold=held(facts["hold"]) if facts["hold"] else None,
        drift=tuple(drift(facts)),
        rolled_back=rolled_back(facts["last"], job.sha),
        failed=failed(facts),
        needs_bytes=facts.get("needs_bytes"),
        free_bytes=facts["free_bytes"],
    )


def parts(config: Config) -> tuple[str, ...]:
    """The parts of a build, as its events name them; a host takes those again that it has from earlier builds."""
    frontend = ["frontend"] if config.build.frontend else []
    return (*frontend, *config.build.venvs, *(step.name for step in config.build.steps)) or ("the files alone",)


def drift(facts: Facts) -> Iterator[str]:
    """Where a host is not as its last deploy left it, a sentence each."""
    if plan.unfinished(facts["last"]):
        yield "its last activation did not come to an end: the next one settles it first"
    yield from not_live(facts)
    changed = (name for name, unit in facts["units"].items() if unit.get("stale"))
    yield from (f"{name} was changed on this host, and systemd has not read it since" for name in changed)


def failed(facts: Facts) -> str | None:
    """Why the wanted release failed here before; None when it did not."""
    bad = facts["target"] and facts["target"]["bad"]
    return clean(bad) if bad else None


def rolled_back(last: ActivationState | None, wanted: str) -> str | None:
    """When and by whom a host was rolled back from the wanted release, where its last activation did that."""
    if last is None or (last["kind"], last["phase"], last["source"]) != ("rollback", "committed", wanted):
        return None
    return f"at {moment(last['started_at'])[:16]} UTC by {last['actor']}"


def settings(job: Job) -> str:
    """The digest of what a deploy asks of a switch (the gate and restarts among it), and of --rebuild."""
    config = job.config
    asked = {name: each for name, each in plan.switch_request(job).items() if name not in _LEFT_OUT}
    of_migration = [isinstance(config.migrate, Migration), config.run_as.migrate]
    of_migration += [True] if "migrate" in config.privileged else []  # unset, it is in no digest: older plans stay good
    told = [asked, of_migration, config.skip_restart, config.skip_healthcheck, config.rebuild, config.adopt_units]
    told += ["no_cache"] if config.no_cache else []  # so too
    told += ["parallel", config.parallel] if config.parallel > 1 else []  # so too
    return hashlib.sha256(json.dumps([*told, config.scope], sort_keys=True).encode()).hexdigest()


def refused(found: HostPlan, error: DeployError, code: int) -> HostPlan:
    """The plan for a host that a deploy would be refused for."""
    return replace(found, refusal=Refusal(code, error.message, error.hint))


def question(job: Job, facts: Facts, sources: Sources, file: Told | None, *, complete: bool) -> ConfigureRequest | None:
    """What to ask a host about its configuration; None where nothing is live to compare with.

    Where the release is not there yet, the host reads no file of it: its variables travel with the values.
    """
    if complete:
        return {"sha": job.sha, "env": sources, "dry_run": True}
    if facts["live"] is None:
        return None
    values = {**(file or {}), **sources["values"]}
    return {"sha": None, "env": {**sources, "file": None, "values": values}, "dry_run": True}


def configured(found: HostPlan, answer: ConfigureAnswer) -> HostPlan:
    """The plan with what a host said of its configuration."""
    return replace(found, revision=answer["revision"], names=answer["names"])


def configured_first(found: HostPlan, sources: Sources, file: Told | None) -> HostPlan:
    """The plan where nothing is live, so that every name is new."""
    names = sorted({*(file or {}), *sources["values"], *sources["secrets"]})
    return replace(found, names={"added": names, "changed": [], "removed": []})
