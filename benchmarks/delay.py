"""The delay line: a cable between a control node and this machine that takes its time, for whole Ethernet frames.

TCP at both ends is the kernel's own, so that its handshake, Nagle's algorithm, delayed acknowledgements and slow start
cost what they cost on a long line. It shows no loss, no jitter and no limit of bandwidth.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.node import ControlNode

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x1002
_MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")  # the control node's, the machine's


def missing() -> list[str]:
    """What this machine lacks for a delay line, in words; empty when it can."""
    lacks = [] if os.geteuid() == 0 else [f"root (you are uid {os.geteuid()})"]
    return lacks if os.access(_TUN, os.W_OK) else [*lacks, f"the device {_TUN}"]


class DelayLine:
    """Up inside its ``with`` block; the machine is reached from the control node at ``address``."""

    def __init__(self, node: ControlNode) -> None:
        self.node = node
        # From the networks that RFC 2544 keeps for benchmarks; several lines can be up at once.
        network = f"198.{random.choice((18, 19))}.{random.randrange(256)}"  # noqa: S311
        quarter = 4 * random.randrange(64)  # noqa: S311
        self.address = f"{network}.{quarter + 1}"
        self._control = f"{network}.{quarter + 2}"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> DelayLine:
        devices = [_tap(), _tap()]
        descriptors = [device for device, _ in devices]
        try:
            self._connect(*(name for _, name in devices))
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("frames.py")), *map(str, descriptors)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=descriptors,
            )
        finally:
            for device in descriptors:
                os.close(device)  # the process has them; they end with it
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process
        self._process.communicate(timeout=10)

    def set_rtt(self, milliseconds: float) -> None:
        """Make a round trip take that long, from now on; nothing may be under way."""
        self._ask(f"delay {milliseconds / 2000}")

    def reset(self) -> None:
        """Count from zero again."""
        self._ask("reset")

    def round_trips(self) -> float:
        """Round trips that came one after another, up to what has reached the control node by now."""
        crossings: int = self._ask("count")["crossings"][0]
        return crossings / 2

    def kilobytes(self) -> tuple[float, float]:
        """What left the control node and the machine, headers included."""
        out, back = self._ask("count")["bytes"]
        return out / 1000, back / 1000

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process and self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], 10)[0]:
            raise TimeoutError("the delay line does not answer")
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def _connect(self, control: str, machine: str) -> None:
        """Put one end into the control node's network; the ends know each other, so nobody has to ask by ARP."""
        inside = ["nsenter", f"--net=/proc/{self.node.pid}/ns/net"]
        _do("ip", "link", "set", control, "netns", str(self.node.pid))
        _do(*inside, "ip", "link", "set", "lo", "up")
        for enter, name, own, peer, mac, other in (
            (inside, control, self._control, self.address, *_MACS),
            ([], machine, self.address, self._control, *_MACS[::-1]),
        ):
            _do(*enter, "ip", "link", "set", name, "address", mac, "addrgenmode", "none")
            _do(*enter, "ip", "address", "add", f"{own}/30", "dev", name)
            _do(*enter, "ip", "link", "set", name, "up")
            _do(*enter, "ip", "neighbour", "replace", peer, "lladdr", other, "nud", "permanent", "dev", name)


def _tap() -> tuple[int, str]:
    """A new TAP device: its descriptor, whose end is its own, and its name."""
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    made = fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"delay%d", _TAP_WITHOUT_HEADER))
    return device, made[:16].rstrip(b"\0").decode()


def _do(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(argv)} failed: {done.stderr.strip()}")
