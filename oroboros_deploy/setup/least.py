"""Least privilege: what root puts on a host so that the login of the deploys is not root, each file as text.  Pure.

/usr/local/sbin/oroboros-helper              the one program that sudo runs for the login
/etc/oroboros_deploy/<application>.json      whose deploys it obeys: login, deploy root, units, users
/etc/systemd/system/oroboros-boot-….service  settles an activation after a power cut, which no deploy may install
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from ..host.words import boot_unit, waiting_for_boot

HELPER = "/usr/local/sbin/oroboros-helper"
LISTS = "/etc/oroboros_deploy"
JOURNAL = "systemd-journal"  # the group that may read what services said
KINDS = (".service", ".socket", ".timer", ".path", ".target")
# Where systemd finds units that no deploy installed.
OTHERS = (
    *("/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system"),
    *("/etc/systemd/system.control", "/run/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late"),
)
_BOOT = """\
[Unit]
Description=Settle an activation in {root} that a power cut interrupted
ConditionPathExists={root}/.deploy/unfinished
RequiresMountsFor={root}
Before={services}

[Service]
Type=oneshot
User={login}
UMask=0022
ExecStart=/usr/bin/python3 -IS {root}/.deploy/boot/agent.pyz boot
TimeoutStartSec=30

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Least:
    """One application as root lists it; ``helper`` is the text of the program."""

    application: str
    root: str
    services: tuple[str, ...]
    users: tuple[str, ...]
    helper: str

    @property
    def list_file(self) -> str:
        return f"{LISTS}/{self.application}.json"

    @property
    def boot_file(self) -> str:
        return f"/etc/systemd/system/{boot_unit(self.root)}"

    @property
    def units(self) -> tuple[str, ...]:
        """Names of units without a suffix: those that begin with the application's, and its services with instances."""
        return tuple(dict.fromkeys((*_beginning(self.application), *_of_services(self.services))))

    def files(self, login: str) -> dict[str, str]:
        """The text of each file."""
        said = {"login": login, "root": self.root, "units": self.units, "users": [*dict.fromkeys((*self.users, login))]}
        services = (each if each.endswith(KINDS) else f"{each}.service" for each in self.services)
        boot = _BOOT.format(root=self.root, login=login, services=" ".join(waiting_for_boot(services)))
        return {HELPER: self.helper, self.list_file: f"{json.dumps(said, indent=2)}\n", self.boot_file: boot}


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _beginning(name: str) -> tuple[str, ...]:
    return (name, f"{name}-*", f"{name}@*")


def _of_services(services: tuple[str, ...]) -> Iterator[str]:
    for service in services:
        stem = service.rpartition(".")[0] if service.endswith(KINDS) else service
        name = stem.partition("@")[0]
        yield from (name, f"{name}@*")


def overlap(one: str, other: str) -> bool:
    """Whether a name can be in two patterns, each of which has a star at its end at most."""
    starts = one.rstrip("*"), other.rstrip("*")
    if one.endswith("*") and other.endswith("*"):
        return starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])
    return one == other or any(a.endswith("*") and b.startswith(a[:-1]) for a, b in ((one, other), (other, one)))
