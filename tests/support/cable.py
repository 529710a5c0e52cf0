"""Hosts with a network of their own, on a cable that can be cut, either way or in one direction only."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

from disposable_host import DisposableHost

Cut = Literal["both ways", "towards the host", "from the host"]
CUTS: tuple[Cut, ...] = ("both ways", "towards the host", "from the host")
_NOBODY = "02:00:00:00:00:00"  # an Ethernet address that no card has


class Cable:
    """A pair of virtual network cards: one in this machine, one in a network namespace made for a host.

    The addresses are of the range that is set aside for testing devices (RFC 2544), so nothing real has them.
    """

    def __init__(self) -> None:
        self.number = next(n for n in range(256) if _is_laid(f"cable{n}"))
        self.name = f"cable{self.number}"  # of the namespace, and of the machine's end
        self.near, self.far = f"198.18.{self.number}.1", f"198.18.{self.number}.2"
        for inside, card, address in (((), self.name, self.near), (("-n", self.name), "host0", self.far)):
            _do(*inside, "address", "add", f"{address}/30", "dev", card)
            _do(*inside, "link", "set", card, "up")
        _do("-n", self.name, "link", "set", "lo", "up")

    def cut(self, cut: Cut) -> None:
        """Let no packet through; in one direction by addressing the frames to nobody."""
        if cut == "both ways":
            _do("-n", self.name, "link", "set", "host0", "down")
        elif cut == "towards the host":
            _do("neighbour", "replace", self.far, "lladdr", _NOBODY, "dev", self.name)
        else:
            _do("-n", self.name, "neighbour", "replace", self.near, "lladdr", _NOBODY, "dev", "host0")

    def mend(self) -> None:
        """Let all packets through again."""
        _do("-n", self.name, "link", "set", "host0", "up")
        _ip("neighbour", "delete", self.far, "dev", self.name)
        _ip("-n", self.name, "neighbour", "delete", self.near, "dev", "host0")

    def remove(self) -> None:
        """Take it away, with the namespace."""
        _ip("link", "delete", self.name)
        _ip("netns", "delete", self.name)


class CabledHost(DisposableHost):
    """A host at the far end of a cable."""

    def __init__(self, name: str, image: Path) -> None:
        super().__init__(name, image)
        self.cable = Cable()
        self.address = self.cable.far
        self.network = (f"--network-namespace-path=/run/netns/{self.cable.name}",)

    def stop(self) -> None:
        """Kill the host and remove every trace of it, the cable too."""
        super().stop()
        self.cable.remove()


def _is_laid(name: str) -> bool:
    """Make a namespace and its card; False where either has that name, as beside a container with this network."""
    if not _ip("netns", "add", name):
        return False
    if _ip("link", "add", name, "type", "veth", "peer", "name", "host0", "netns", name):
        return True
    _ip("netns", "delete", name)
    return False


def _ip(*argv: str) -> bool:
    return subprocess.run(["ip", *argv], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def _do(*argv: str) -> None:
    subprocess.run(["ip", *argv], stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True)
