"""Units of the destructive series: what a release of each kind brings, and what systemd has to know of it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.shop import ROOT, Scope

API = """\
[Unit]
Description=Shop api {number}
StartLimitIntervalSec=10
StartLimitBurst=5

[Service]
Type=exec
{user}WorkingDirectory=@root@/current/services
EnvironmentFile=@root@/env
ExecStart=/bin/sh {script}.sh
Restart=always
RestartSec=100ms

[Install]
WantedBy={target}
"""
ONESHOT = "[Service]\nType=oneshot\nExecStart=/bin/true\n"
TIMER = "[Timer]\nOnCalendar={when}\n[Install]\nWantedBy=timers.target\n"
SOCKET = "[Socket]\nListenStream=%t/shop-in.sock\n[Install]\nWantedBy=sockets.target\n"
SLEEPS = "[Service]\nExecStart=/bin/sleep infinity\n"
PATH = "[Path]\nPathExists=%t/shop-inbox\n[Install]\nWantedBy={target}\n"
TARGET = "[Unit]\nWants=shop-extra.service\n[Install]\nWantedBy={target}\n"
DROP_IN, SLOWER = "shop-api.service.d/slow.conf", "150ms"
TARGETS: dict[Scope, str] = {"system": "multi-user.target", "user": "default.target"}
HEADER = re.compile(rf"# oroboros_deploy: shop in {re.escape(ROOT)}, [0-9a-f]{{16}}\n")
# Every unit that any kind has, as systemd is asked for it.
KNOWN = (
    "shop-api.service",
    "shop-mailer.service",
    "shop-post.service",
    "shop-work@1.service",
    "shop-tick.timer",
    "shop-in.socket",
    "shop-seen.path",
    "shop-all.target",
    "shop-extra.service",
)
Known = tuple[str, str, str]  # LoadState, ActiveState, UnitFileState
ON: Known = ("loaded", "active", "enabled")
PULLED_IN: Known = ("loaded", "active", "static")
GONE: Known = ("not-found", "inactive", "")


def texts(kind: str, number: int, scope: Scope, beside: str = "nothing") -> dict[str, str]:
    """The units of a release, by name, as they are committed; ``number`` makes what changes differ.

    ``beside`` is one of ``BESIDE``, or several of them.
    """
    user = "User=nobody\n" if scope == "system" else ""  # of the mailer it is root
    filled = {"target": TARGETS[scope], "number": number if kind == "changed" else 0}
    program = API.replace("/bin/sh", "@root@/current/nothing") if kind == "refused" else API
    mailer = "shop-post.service" if kind == "renamed" else "shop-mailer.service"
    brought = {
        "shop-api.service": program.format(user=user, script="api", **filled),
        mailer: API.format(user="", script="mailer", **filled),
    }
    if kind == "timer":
        when = ("daily", "weekly", "monthly")[number % 3]
        brought |= {"shop-tick.timer": TIMER.format(when=when), "shop-tick.service": ONESHOT}
    if kind == "template":
        brought["shop-work@.service"] = API.format(user=user, script="mailer", **filled)
    if kind == "socket":
        brought |= {"shop-in.socket": SOCKET, "shop-in.service": SLEEPS}
    return brought | _beside(beside, filled, user)


def _beside(beside: str, filled: dict[str, object], user: str) -> dict[str, str]:
    brought: dict[str, str] = {}
    if "path" in beside:
        brought |= {"shop-seen.path": PATH.format(**filled), "shop-seen.service": ONESHOT}
    if "target" in beside:
        service = API.format(user=user, script="mailer", **filled).partition("\n[Install]")[0]
        part = service.replace("[Unit]\n", "[Unit]\nPartOf=shop-all.target\n")
        brought |= {"shop-all.target": TARGET.format(**filled), "shop-extra.service": part}
    if "drop-in" in beside:
        brought[DROP_IN] = f"[Service]\nRestartSec={SLOWER}\n"
    return brought


def services(brought: dict[str, str]) -> tuple[str, ...]:
    """The services of a release that run until they are stopped; API and mailer are the first."""
    started = (name.replace("@.", "@1.") for name, text in brought.items() if "EnvironmentFile=" in text)
    return tuple(name.removesuffix(".service") for name in started)


def named(brought: dict[str, str]) -> tuple[str, ...]:
    """What `services` names of a release's units: a target stands for what it wants."""
    targets = tuple(name for name in brought if name.endswith(".target"))
    return tuple(name for name in services(brought) if name != "shop-extra") + targets


def running(brought: dict[str, str]) -> dict[str, Known]:
    """What systemd has to say of each unit that has to run: what says how it is enabled, and what a target wants."""
    enabled = {name.replace("@.", "@1."): ON for name, text in brought.items() if "[Install]" in text}
    return enabled | ({"shop-extra.service": PULLED_IN} if "shop-extra.service" in brought else {})


def installed(directory: Path) -> dict[str, str]:
    """The units and drop-ins on a host whose first line says that they are the shop's, without that line."""
    files = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    found = {str(path.relative_to(directory)): path.read_text(errors="replace") for path in files}
    return {name: HEADER.sub("", text, count=1) for name, text in found.items() if HEADER.match(text)}


def links(directory: Path) -> set[str]:
    """The links that enable units of the shop."""
    return {f"{path.parent.name}/{path.name}" for path in directory.glob("*.wants/shop-*") if path.is_symlink()}


def wanted_links(brought: dict[str, str]) -> set[str]:
    """The links that there have to be with these units."""
    by = {name: text.rpartition("WantedBy=")[2].strip() for name, text in brought.items() if "[Install]" in text}
    return {f"{target}.wants/{name.replace('@.', '@1.')}" for name, target in by.items()}


def on_the_host(text: str) -> str:
    """A unit as it has to be installed, without its first line."""
    return text.replace("@root@", ROOT)
