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
)


def texts(kind: str, number: int, scope: Scope) -> dict[str, str]:
    """The units of a release, by name, as they are committed; ``number`` makes what changes differ."""
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
    return brought


def services(brought: dict[str, str]) -> tuple[str, ...]:
    """What `services` names of a release's units."""
    started = (name.replace("@.", "@1.") for name, text in brought.items() if "EnvironmentFile=" in text)
    return tuple(name.removesuffix(".service") for name in started)


def running(brought: dict[str, str]) -> set[str]:
    """What has to be loaded, active and enabled: all that says how it is enabled."""
    return {name.replace("@.", "@1.") for name, text in brought.items() if "[Install]" in text}


def installed(directory: Path) -> dict[str, str]:
    """The units on a host whose first line says that they are the shop's, without that line."""
    files = (path for path in directory.iterdir() if path.is_file() and not path.is_symlink())
    found = {path.name: path.read_text() for path in files}
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
