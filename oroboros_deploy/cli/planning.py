"""A plan as people read it, a deploy by a plan, and the question before a deploy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from json import dumps
from typing import TYPE_CHECKING

from ..records.plan import DAYS, warnings, way
from ..text import changed_names, clean, duration, plain, short, size
from . import confirming
from .arguments import Flags, config
from .typeable import typeable

if TYPE_CHECKING:
    from invoke import Context

    from ..deployment import Deployment
    from ..records.plan import DeployPlan, HostPlan
    from .views import View

_UNBOUND = (
    "no release is live on this host: the plan has the names without their values; a value may change until the deploy"
)


def table(plan: DeployPlan, typed: Callable[[str, str], str], flags: str = "") -> str:
    """The whole plan, and the line that does it, with the ``flags`` that the plan was made with."""
    return "\n".join(_lines(plan, typed, flags))


def as_json(plan: DeployPlan) -> str:
    """All of the plan."""
    return dumps(plan.as_dict(), indent=2)


def _lines(plan: DeployPlan, typed: Callable[[str, str], str], flags: str) -> Iterator[str]:
    subject = f" “{clean(plan.subject)}”" if plan.subject else ""
    yield f"plan {plan.id} of {short(plan.sha)}{subject}, kept for {DAYS} days"
    yield from (f"! {clean(each)}" for each in warnings(plan))
    if flags:
        yield f"with{clean(flags)}"
    for host in plan.hosts:
        yield from _host(plan, host)
    if plan.seconds is not None and len(plan.hosts) > 1:
        yield f"all hosts: about {duration(plan.seconds)}, as earlier deploys took"
    if plan.exit_code:
        yield f"✗ the deploy would be refused, with exit code {plan.exit_code}"
    else:
        hosts = ",".join(clean(host.host) for host in plan.hosts)
        yield f"→ {typeable(typed(hosts, f'deploy --plan={plan.id}{flags}'))}"


def _host(plan: DeployPlan, host: HostPlan) -> Iterator[str]:
    if host.free_bytes is None:
        yield f"{clean(host.host)}: not known"
    else:
        yield f"{clean(host.host)}: {way(host, plan.sha)}"
    yield from (f"  {name:<14} {clean(text)}" for name, text in _rows(plan, host) if text)
    if host.refusal:
        hint = f"\n  → {typeable(host.refusal.hint)}" if host.refusal.hint else ""
        yield plain(f"  ✗ {host.refusal.message}{hint}")


def _rows(plan: DeployPlan, host: HostPlan) -> Iterator[tuple[str, str]]:
    yield "builds", ", ".join(host.parts)
    yield "units", changed_names(host.units)
    yield "configuration", changed_names(host.names)
    yield "", _UNBOUND if host.names and host.revision is None else ""
    yield "migration", (plan.migrate or "") if host.activates and host.free_bytes is not None else ""
    yield "disk", _disk(host)
    yield "hold", host.hold or ""
    yield from (("drift", each) for each in host.drift)
    yield "expected", f"{duration(host.seconds)}, as earlier deploys took" if host.seconds is not None else ""


def _disk(host: HostPlan) -> str:
    if host.free_bytes is None or not host.parts:
        return ""
    needed = f"about {size(host.needs_bytes)} needed, as the live release takes; " if host.needs_bytes else ""
    return f"{needed}{size(host.free_bytes)} free"


def by_plan(context: Context, found: Deployment, given: Flags, plan_id: str) -> tuple[Deployment, DeployPlan]:
    """The plan of this id, and the deployment to its hosts where none were named."""
    plan = found.planned(plan_id)
    if found.config.hosts:
        return found, plan
    names = [host.host for host in plan.hosts]
    return found.with_config(config(context, plan.environment, given, names)), plan


def consent(found: Deployment, view: View, *, yes: bool) -> Callable[[], object] | None:
    """What asks before a deploy, where the settings say `confirm`.

    Raises InvalidInput where nobody can be asked.
    """
    if yes or not found.config.confirm:
        return None
    confirming.need_terminal()

    def ask() -> None:
        with view.at_rest():
            confirming.confirm(f"{found.config.environment or 'these settings'}: `confirm` is set", "Deploy?")

    return ask
