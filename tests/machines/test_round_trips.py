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
from benchmarks.bench import Bench, Job, Run, bench
from benchmarks.bounds import BOUNDS
from benchmarks.delay import DelayLine
from benchmarks.jobs import RTTS, Measured, section
from benchmarks.kept import Kept, Step
from benchmarks.measure import slope
from benchmarks.node import ControlNode

RTT = 100  # milliseconds: on a short line what nobody waits for is overtaken by chance, and counted
TIMES = 3  # the run that counts least is the one with the fewest chances
NOISE = 0.5  # round trips of a slope that a busy machine may add
ECHO = """\
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as line:
    for _ in range(5):
        line.sendall(b"?")
        line.recv(1)
"""
# All that a service is beside its code.
WHOLE = """\
  env: {values: {MODE: plum-and-pear}, secrets: {command: echo PASSWORD=hunter-two}, build: [MODE]}
  units: infra
  shared: {media: dir}
  run_as: {owner: www-data, gate: www-data, migrate: www-data, hooks: www-data}
"""
SECRET, VALUE = "hunter-two", "plum-and-pear"
TIMER = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"
UNITS = {"ours-tick.timer": TIMER, "ours-tick.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n"}

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
    """A switch and a deploy without a build wait no more often than declared, on one connection."""
    runs = [on.run(on.ours, job, RTT) for _ in range(TIMES)]
    round_trips = min(run.round_trips for run in runs)
    print(f"{job}: {round_trips:g} round trips")
    assert round_trips <= BOUNDS[f"{job}.counted"].most
    assert {(run.seen.connections, run.seen.channels) for run in runs} == {
        (BOUNDS[f"{job}.connections"].most, BOUNDS[f"{job}.channels"].most)
    }


def test_the_whole_service_costs_one_more(on: Bench, tmp_path: Path) -> None:
    """A deploy with `env`, `units`, `shared` and `run_as` waits once more than one without; no value of it is kept."""
    [host], source = on.lab.hosts, on.lab.repository.path
    (source / "infra").mkdir()
    for name, text in UNITS.items():
        (source / "infra" / name).write_text(text)
    settings = source / "fabric.yaml"
    before = settings.read_text()
    without = min(on.run(on.ours, "deploy", RTT).round_trips for _ in range(TIMES))
    settings.write_text(before + WHOLE)
    try:
        on.run(on.ours, "deploy", 0)
        assert host.run("systemctl", "is-enabled", "ours-tick.timer").stdout == "enabled\n"
        owner = host.run("stat", "--format=%U", "/srv/ours/shared/media", "/srv/ours/current/media/").stdout
        assert owner.split() == ["www-data", "www-data"]
        runs = [on.run(on.ours, "deploy", RTT) for _ in range(TIMES)]
    finally:
        settings.write_text(before)
    round_trips = min(run.round_trips for run in runs)
    print(f"deploy of the whole service: {round_trips:g} round trips, without: {without:g}")
    assert round_trips <= min(without + 1, BOUNDS["everything.counted"].most)
    assert {(run.seen.connections, run.seen.channels) for run in runs} == {(1, 1)}
    texts = [WHOLE, repr(runs), on.node.said.read_text(), kept_of(runs, tmp_path)]
    for hidden in (SECRET, VALUE):
        assert [hidden in text for text in texts] == [True, False, False, False]


def kept_of(runs: list[Run], place: Path) -> str:
    """What a benchmark keeps of such runs, and writes into its report."""
    measured = Measured("of these runs", dict.fromkeys(RTTS, runs))
    Kept(place, "of this source", TIMES).put("deploy", Step([section("deploy", (measured, measured))], 0.0))
    return (place / "deploy.json").read_text()


def test_a_further_call(on: Bench) -> None:
    """A further call on the open connection takes three round trips at most, by the fastest of ten."""
    by_slope = slope(lambda rtt: min(on.further(rtt)[0]), (0, RTT))
    print(f"a further call: {by_slope:.1f} round trips by the slope")
    assert by_slope <= BOUNDS["further.slope"].most + NOISE


def test_the_line_counts(tmp_path: Path) -> None:
    """Five questions on one connection are six round trips, and take as long."""
    with ControlNode(tmp_path, {}) as node, DelayLine(node) as line, socket.create_server((line.address, 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        line.set_rtt(10 * RTT)
        line.reset()
        cost = node.run([sys.executable, "-c", ECHO, line.address, str(server.getsockname()[1])], tmp_path)
        assert line.round_trips() == 6
    assert cost.seconds * 1000 / (10 * RTT) == pytest.approx(6, abs=NOISE)


def _echo(server: socket.socket) -> None:
    with server.accept()[0] as connection:
        while said := connection.recv(1):
            connection.sendall(said)
