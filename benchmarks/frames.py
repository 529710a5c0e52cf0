"""The delay line's own process: takes Ethernet frames from one TAP device and gives them to the other, later.

    python -I -S frames.py CONTROL HOST        # two descriptors of TAP devices that it inherits

It obeys lines on its standard input: ``delay SECONDS`` (one way), ``reset`` and ``count``, and answers each with one
line of JSON. Only the standard library, and little of it: what it does in between is part of every delay.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import deque
from contextlib import suppress

FRAME = 1 << 16  # bytes that one frame has at most
IPV4, TCP, SYN = b"\x08\x00", 6, 2


class Traffic:
    """What went over the line, and how many crossings of it came one after another.

    The crossings are counted by Lamport's clock: what an end sends has crossed once more than whatever had reached that
    end before. Only what starts a connection or carries data counts: nobody waits for a bare acknowledgement, but for
    Nagle's algorithm, whose price shows in the slope instead.
    """

    def __init__(self) -> None:
        self.crossings = [0, 0]  # of what has reached the control node, the host
        self.frames = [0, 0]  # that left the control node, the host
        self.bytes = [0, 0]

    def sent(self, end: int, frame: bytes) -> int:
        """Note a frame that an end sends; returns its crossings, 0 when it does not count."""
        self.frames[end] += 1
        self.bytes[end] += len(frame)
        return self.crossings[end] + 1 if matters(frame) else 0

    def arrived(self, end: int, crossings: int) -> None:
        """Note a frame that reached an end."""
        self.crossings[end] = max(self.crossings[end], crossings)


def matters(frame: bytes) -> bool:
    """Whether a frame starts a TCP connection or carries data of one."""
    if frame[12:14] != IPV4 or frame[23] != TCP:
        return False
    header = (frame[14] & 15) * 4
    segment = 14 + header
    payload = int.from_bytes(frame[16:18], "big") - header - (frame[segment + 12] >> 4) * 4
    return payload > 0 or bool(frame[segment + 13] & SYN)


class Line:
    """Two ends and what is under way between them."""

    def __init__(self, control: int, host: int) -> None:
        self.ends = (control, host)
        self.delay = 0.0
        self.traffic = Traffic()
        self.under_way: tuple[deque[tuple[float, int, bytes]], ...] = (deque(), deque())  # towards each end

    def run(self) -> None:
        """Forward until standard input ends."""
        while True:
            readable, _, _ = select.select([*self.ends, sys.stdin], [], [], self._until_due())
            for end, device in enumerate(self.ends):
                if device in readable:
                    self._take(end)
            for end in (0, 1):
                self._give(end)
            if sys.stdin in readable and not self._obey():
                return

    def _until_due(self) -> float | None:
        due = [queue[0][0] for queue in self.under_way if queue]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _take(self, end: int) -> None:
        due = time.monotonic() + self.delay
        with suppress(BlockingIOError):
            while True:
                frame = os.read(self.ends[end], FRAME)
                self.under_way[1 - end].append((due, self.traffic.sent(end, frame), frame))

    def _give(self, end: int) -> None:
        queue, now = self.under_way[end], time.monotonic()
        while queue and queue[0][0] <= now:
            _, crossings, frame = queue.popleft()
            self.traffic.arrived(end, crossings)
            with suppress(OSError):  # a device that is down loses frames, like any cable
                os.write(self.ends[end], frame)

    def _obey(self) -> bool:
        command, _, argument = sys.stdin.readline().strip().partition(" ")
        if command == "delay":
            self.delay = float(argument)
        elif command == "reset":
            self.traffic = Traffic()
        print(json.dumps(vars(self.traffic)), flush=True)
        return bool(command)


if __name__ == "__main__":
    Line(*map(int, sys.argv[1:])).run()
