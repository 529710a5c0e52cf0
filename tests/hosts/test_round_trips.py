"""How often the control node and a host wait for each other, on a line that delays frames; never how long that takes.

The short form of ``benchmarks/speed.py``, which has the seconds.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import delay
from benchmarks.bench import Bench, Job, bench
from benchmarks.bounds import BOUNDS
from benchmarks.delay import DelayLine
from benchmarks.measure import slope
from benchmarks.node import ControlNode

RTTS = (0, 200)  # milliseconds: so much that what a busy machine adds is little beside it
TIMES = 3  # the fastest run counts, for the same reason
NOISE = 0.5  # round trips that a busy machine may still add to the slope
ECHO = """\
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as line:
    for _ in range(5):
        line.sendall(b"?")
        line.recv(1)
"""

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(bool(delay.missing()), reason=f"a delay line needs {', '.join(delay.missing())}"),
]


@pytest.fixture(scope="module")
def on(image: Path) -> Iterator[Bench]:
    with bench() as on:
        yield on


@pytest.mark.parametrize("job", ["switch", "deploy"])
def test_round_trips(on: Bench, job: Job) -> None:
    """A switch and a deploy without a build wait no more often than declared, by the slope and counted on the line."""
    runs = {rtt: [on.run(on.ours, job, rtt) for _ in range(TIMES)] for rtt in RTTS}
    by_slope = slope(lambda rtt: min(run.cost.seconds for run in runs[int(rtt)]), RTTS)
    far = runs[max(RTTS)]
    counted = min(run.round_trips for run in far)
    print(f"{job}: {by_slope:.1f} round trips by the slope, {counted:g} counted")
    assert counted <= BOUNDS[f"{job}.counted"].most
    assert by_slope <= BOUNDS[f"{job}.slope"].most + NOISE
    assert {(run.seen.connections, run.seen.channels) for run in far} == {
        (BOUNDS[f"{job}.connections"].most, BOUNDS[f"{job}.channels"].most)
    }


def test_a_further_call(on: Bench) -> None:
    """A further call on the open connection takes three round trips at most."""
    by_slope = slope(lambda rtt: min(on.further(rtt)[0]), RTTS)
    print(f"a further call: {by_slope:.1f} round trips by the slope")
    assert by_slope <= BOUNDS["further.slope"].most + NOISE


def test_the_line_counts(tmp_path: Path) -> None:
    """Five questions on one connection are six round trips on the line, however long it is, and take as many."""
    with ControlNode(tmp_path, {}) as node, DelayLine(node) as line, socket.create_server((line.address, 0)) as server:
        threading.Thread(target=_echo, args=(server, len(RTTS)), daemon=True).start()
        seconds = {}
        for rtt in RTTS:
            line.set_rtt(rtt)
            line.reset()
            cost = node.run([sys.executable, "-c", ECHO, line.address, str(server.getsockname()[1])], tmp_path)
            seconds[rtt] = cost.seconds
            assert line.round_trips() == 6
    assert slope(lambda rtt: seconds[int(rtt)], RTTS) == pytest.approx(6, abs=NOISE)


def _echo(server: socket.socket, times: int) -> None:
    for _ in range(times):
        with server.accept()[0] as connection:
            while said := connection.recv(1):
                connection.sendall(said)
