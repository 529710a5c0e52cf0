"""The boot unit: settles what a power cut left of an activation, before the services start.

Each deploy root has its own.  It belongs to root, but runs as the login of the deploys,
from a copy of the agent that later agents do not take away; while no activation is
unfinished, its condition fails and a boot starts no process for it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

from . import durable, process, units
from .annotations import TYPE_CHECKING, List, Optional
from .layout import Layout
from .wire import Say

if TYPE_CHECKING:
    from .contract import ActivateRequest

UNITS = Path("/etc/systemd/system")
_TEXT = """\
[Unit]
Description=Settle an activation in {root} that a power cut interrupted
ConditionPathExists={unfinished}
RequiresMountsFor={mounts}
Before={services}

[Service]
Type=oneshot
User={user}
UMask=0022
ExecStart={python} -IS {agent} boot
TimeoutStartSec=30

[Install]
WantedBy=multi-user.target
"""


def unit_name(root: Path) -> str:
    """``/srv/my-app`` → ``oroboros-boot-srv-my\\x2dapp.service``: escaped as systemd does, so no two roots share it."""
    plain = re.sub(rb"[^\w.:/]", lambda found: b"\\x%02x" % ord(found[0]), os.fsencode(str(root).strip("/")))
    return f"oroboros-boot-{os.fsdecode(plain).replace('/', '-')}.service"


def install(layout: Layout, request: ActivateRequest, say: Say) -> None:
    """Have the unit on this host as it should be; one that an administrator disabled stays disabled.

    A host that cannot take it is deployed to all the same: there the next contact settles.
    """
    unit = UNITS / unit_name(layout.root)
    try:
        _keep_agent(layout)
        wanted = _text(layout, units.names(request["services"]))
        if unit.is_symlink() or _read(unit) == wanted.encode():  # a link: masked by an administrator
            return
        ended = _place(layout, unit, wanted)
        trouble = None if ended.ok else f"{ended.reason}: {ended.tail}"
    except OSError as error:
        trouble = str(error)
    if trouble:
        say("warning", f"{unit.name}, which settles after a power cut, is not installed: {trouble}", level="warning")
    else:
        say("boot.installed", f"{unit.name} settles what a power cut leaves", level="detail", unit=unit.name)


def _keep_agent(layout: Layout) -> None:
    """The unit runs the agent that wrote the state it is to settle."""
    agent = Path(sys.argv[0]).read_bytes()
    if _read(_agent(layout)) != agent:
        durable.write(_agent(layout), agent)


def _place(layout: Layout, unit: Path, text: str) -> process.Ended:
    """Enable the unit for the next boot, which needs no reload of this one, then put it in its place.

    In this order, so that a unit that is there was enabled once, whatever happened in between.
    """
    import shlex

    source, new, wants = layout.boot / unit.name, unit.with_name(f".{unit.name}"), UNITS / "multi-user.target.wants"
    durable.write(source, text.encode())
    enable = [["mkdir", "-p", str(wants)], ["ln", "-sf", str(unit), str(wants)]]
    steps: List[List[str]] = [
        ["install", "-m", "0644", str(source), str(new)],
        ["sync", str(new)],
        *([] if unit.exists() else enable),
        ["mv", str(new), str(unit)],
        ["sync", "-f", str(unit)],
    ]
    script = " && ".join(" ".join(map(shlex.quote, step)) for step in steps)
    as_root = units.privileged("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--", "/bin/sh", "-c", script)
    return process.run(as_root, cwd=Path("/"), deadline=time.monotonic() + 30)


def _text(layout: Layout, services: List[str]) -> str:
    mounts = dict.fromkeys((layout.root, layout.releases, layout.current.parent))
    return _TEXT.format(
        root=layout.root,
        unfinished=layout.unfinished,
        mounts=" ".join(json.dumps(str(path), ensure_ascii=False).replace("%", "%%") for path in mounts),
        services=" ".join(map(units.full_name, services)),
        user=os.getuid(),
        python=sys.executable,
        agent=_agent(layout),
    )


def _agent(layout: Layout) -> Path:
    return layout.boot / "agent.pyz"


def _read(path: Path) -> Optional[bytes]:
    return path.read_bytes() if path.exists() else None
