"""The boot unit: settles what a power cut left of an activation, before the services start.

Each deploy root has its own.  It belongs to root (with ``scope: user`` to the login), but runs as the login of the
deploys, from a copy of the agent that later agents do not take away; while no activation is
unfinished, its condition fails and a boot starts no process for it.  Before it runs the
copy, the unit looks at its hash, and that nobody but the login can write there: what it
looks for stands in the unit, which only its owner can change.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path

from . import durable, environment, manager, process, records, units, words
from .annotations import TYPE_CHECKING, List, Optional
from .layout import Layout
from .refusal import Refusal
from .sha256 import digest
from .wire import Say

if TYPE_CHECKING:
    from .contract import ActivateRequest

_TEXT = """\
[Unit]
Description=Settle an activation in {root} that a power cut interrupted
ConditionPathExists={unfinished}
RequiresMountsFor={mounts}
Before={services}

[Service]
Type=oneshot
{user}UMask=0022
ExecStartPre=/bin/sh -c '{check}'
ExecStart={python} -IS {agent} boot
TimeoutStartSec=30

[Install]
WantedBy={target}
"""
# `$$` is systemd's word for `$`.
_CHECK = """\
[ -z "$$(find -H {ours} {boot} {agent} -maxdepth 0 ! -user {user} -o -perm /022)" ] && \
echo "{digest}  {agent}" | sha256sum --check --status || \
{{ echo "at this boot, no interrupted activation is settled: {agent} is not the file that a deploy put there, or other \
users can write there; look at the host: fab -H HOST status ; the next deploy settles \
what was interrupted" >&2; exit 1; }}\
"""

_WITHOUT = "after a power cut, an interrupted activation may be settled only when the next command reaches this host"


def unit_name(root: Path) -> str:
    """The name of the boot unit of a deploy root."""
    return words.boot_unit(str(root))


def install(layout: Layout, request: ActivateRequest, say: Say) -> None:
    """Have the unit on this host as it should be; one that an administrator disabled stays disabled.

    A host that cannot take it is deployed to all the same: there the next contact settles.
    """
    unit = manager.chosen().units / unit_name(layout.root)
    try:
        agent = Path(sys.argv[0]).read_bytes()
        if manager.chosen().root_installs:
            _keep_for_setup(layout, unit, agent, say)
            return
        known = digest(agent)
        wanted = _text(layout, units.names(_services(layout, request)), known)
        _keep_agent(layout, agent, known)
        if unit.is_symlink() or _read(unit) == wanted.encode():  # a link: masked by an administrator
            return
        ended = _place(layout, unit, wanted)
        if ended.ok:
            _forget_others(layout, known)
        trouble = None if ended.ok else f"{ended.reason}: {ended.tail}"
    except OSError as error:
        trouble = str(error)
    if trouble:
        say("warning", f"the boot unit {unit.name} is not installed: {trouble}; {_WITHOUT}", level="warning")
    else:
        what = f"at a boot, {unit.name} settles an activation that a power cut interrupted"
        say("boot.installed", what, level="detail", unit=unit.name)


def _keep_for_setup(layout: Layout, unit: Path, agent: bytes, say: Say) -> None:
    """With least privilege `setup` has put the unit there, which runs what has this name."""
    kept = layout.boot / "agent.pyz"
    if _read(kept) != agent:
        durable.write(kept, agent)
    if not os.path.lexists(unit):
        mend = words.setup_least(environment.of_this_user()["USER"])
        what = f"the boot unit {unit.name} is not installed: {_WITHOUT}; to install it: {mend}"
        say("warning", what, level="warning")


def _services(layout: Layout, request: ActivateRequest) -> List[str]:
    """The services that have to wait for the unit: of the attempt, and of the release that it may go back to.

    A boot would start those of the other release too, from what `current` names until the unit has run.
    """
    live = None
    with contextlib.suppress(Refusal):
        live = layout.live()
    record = records.found(layout, live) if live else None
    asked = records.asked(layout, request)["services"]
    return sorted({*request["services"], *asked, *(record["services"] if record else ())})


def _keep_agent(layout: Layout, agent: bytes, known: str) -> None:
    """The unit runs the agent that wrote the state it is to settle, by a name of its own: an older unit has its own."""
    kept = _agent(layout, known)
    if _read(kept) != agent:
        durable.write(kept, agent)


def _forget_others(layout: Layout, known: str) -> None:
    """Remove the copies that no unit runs any more: all but the one with this digest."""
    for other in {*layout.boot.glob("*.pyz")} - {_agent(layout, known)}:
        other.unlink()


def _place(layout: Layout, unit: Path, text: str) -> process.Ended:
    """Enable the unit for the next boot, which needs no reload of this one, then put it in its place.

    In this order, so that a unit that is there was enabled once, whatever happened in between.
    """
    import shlex

    source, new = layout.boot / unit.name, unit.with_name(f".{unit.name}")
    wants = unit.parent / f"{manager.chosen().target}.wants"
    durable.write(source, text.encode())
    enable = [["mkdir", "-p", str(wants)], ["ln", "-sf", str(unit), str(wants)]]
    steps: List[List[str]] = [
        ["mkdir", "-p", str(unit.parent)],
        ["install", "-m", "0644", str(source), str(new)],
        ["sync", str(new)],
        *([] if unit.exists() else enable),
        ["mv", str(new), str(unit)],
        ["sync", "-f", str(unit)],
    ]
    script = " && ".join(" ".join(map(shlex.quote, step)) for step in steps)
    return process.run(manager.chosen().writing(script), cwd=Path("/"), deadline=time.monotonic() + 30)


def _text(layout: Layout, services: List[str], agent: str) -> str:
    """The unit, for the agent with this digest."""
    mounts = dict.fromkeys((layout.root, layout.releases, layout.current.parent))
    return _TEXT.format(
        root=layout.root,
        unfinished=layout.unfinished,
        mounts=" ".join(json.dumps(str(path), ensure_ascii=False).replace("%", "%%") for path in mounts),
        services=" ".join(words.waiting_for_boot(map(units.full_name, services))),
        user=f"User={os.getuid()}\n" if manager.chosen().of_the_system else "",
        target=manager.chosen().target,
        python=sys.executable,
        agent=_agent(layout, agent),
        check=_CHECK.format(
            ours=layout.ours, boot=layout.boot, agent=_agent(layout, agent), user=os.getuid(), digest=agent
        ),
    )


def _agent(layout: Layout, agent: str) -> Path:
    return layout.boot / f"{agent[:32]}.pyz"


def _read(path: Path) -> Optional[bytes]:
    return path.read_bytes() if path.exists() else None
