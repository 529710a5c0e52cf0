"""What must be reached: every bound, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """A value that must not be exceeded, and what it is."""

    what: str
    most: float
    unit: str = ""


BOUNDS: Mapping[str, Bound] = {
    "switch.wall.0": Bound("switch, RTT 0 ms: wall time, times the ssh script's", 1.5),
    "switch.wall.50": Bound("switch, RTT 50 ms: wall time, times the ssh script's", 1.0),
    "switch.wall.100": Bound("switch, RTT 100 ms: wall time, times the ssh script's", 1.0),
    "switch.slope": Bound("switch: round trips by the slope", 10),
    "switch.counted": Bound("switch: round trips counted on the line", 5),
    "switch.connections": Bound("switch: connections", 1),
    "switch.channels": Bound("switch: channels", 1),
    "further.slope": Bound("a further call on the open connection: round trips by the slope", 3),
    "deploy.wall.50": Bound("deploy without a build, RTT 50 ms: wall time, times the ssh script's", 1.1),
    "deploy.wall.100": Bound("deploy without a build, RTT 100 ms: wall time, times the ssh script's", 1.1),
    "deploy.slope": Bound("deploy without a build: round trips by the slope", 14),
    "deploy.counted": Bound("deploy without a build: round trips counted on the line", 7),
    "everything.counted": Bound("a deploy with env, units, shared and run_as: round trips counted on the line", 8),
    "deploy.connections": Bound("deploy without a build: connections", 1),
    "deploy.channels": Bound("deploy without a build: channels", 1),
    "fleet.wall.50": Bound("switch on 8 hosts, RTT 50 ms: wall time, times 8 ssh scripts side by side", 1.1),
    "fleet.wall.100": Bound("switch on 8 hosts, RTT 100 ms: wall time, times 8 ssh scripts side by side", 1.1),
    "fleet.memory.8": Bound("switch on 8 hosts: peak memory of the control node", 45 + 8, "MB"),
    "thirty.wall.50": Bound("switch on 30 hosts, RTT 50 ms: wall time, times 30 ssh scripts side by side", 1.1),
    "thirty.wall.100": Bound("switch on 30 hosts, RTT 100 ms: wall time, times 30 ssh scripts side by side", 1.1),
    "thirty.memory.30": Bound("switch on 30 hosts: peak memory of the control node", 45 + 30, "MB"),
    "whole.part": Bound("one changed part of a large application, less that part and the gate: times the script", 0.15),
    "whole.document": Bound("a changed document of a large application: build without source and seal", 1.0, "s"),
    "fleet.memory.1": Bound("status of 1 endpoint: peak memory of the control node", 45 + 1, "MB"),
    "fleet.memory.100": Bound("status of 100 endpoints: peak memory of the control node", 45 + 100, "MB"),
    "fleet.errors": Bound("status of 100 sshds at once: hosts that did not answer", 0),
    "fleet.crowd": Bound("status by 100 names of one sshd, MaxStartups as shipped: no answer", 0),
    "start.cpu": Bound("`fab --list`: processor time, times that of an empty fabfile", 1.1),
    "start.wall": Bound("`fab --list`: wall time, times that of an empty fabfile", 1.1),
    "start.unused": Bound("third-party packages that a command imports and does not use", 0),
    "output.cpu": Bound("a build step that prints 200 MB: processor time of the control node", 2.0, "s"),
    "output.memory": Bound(
        "a build step that prints 200 MB: peak memory above that of a step that prints 20 MB", 4.0, "MB"
    ),
    "output.wrong": Bound(
        "a build step that prints 200 MB: logs on the host that are not its first 64 MB, byte for byte", 0
    ),
}
