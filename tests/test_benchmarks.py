"""What the benchmarks reckon with; what they run is too slow for every day."""

from __future__ import annotations

import errno
import re
import struct
import sys
from itertools import count
from pathlib import Path

import pytest

from benchmarks import core, delay, fleet, output, speed, start, whole
from benchmarks.bounds import BOUNDS
from benchmarks.frames import SYN, Traffic
from benchmarks.kept import Kept, Step
from benchmarks.measure import Spread, in_turn, slope
from benchmarks.section import Section, missed, verdicts

CONTROL, HOST = 0, 1
ACK = 0x10


def frame(flags: int = ACK, payload: bytes = b"") -> bytes:
    """An Ethernet frame with a TCP segment."""
    segment = struct.pack("!HHIIBBHHH", 1, 2, 0, 0, 5 << 4, flags, 0, 0, 0) + payload
    packet = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0, 0, 0) + segment
    return bytes(12) + b"\x08\x00" + packet.ljust(46, b"\0")  # short frames are padded


class ReadOnly(type(Path())):  # type: ignore[misc]
    """A file that nobody can write."""

    def write_text(self, *_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")


def cross(traffic: Traffic, end: int, sent: bytes) -> None:
    traffic.arrived(1 - end, traffic.sent(end, sent))


def test_crossings_one_after_another() -> None:
    """A handshake, a question and its answer are two round trips; what is sent without waiting adds none."""
    traffic = Traffic()
    cross(traffic, CONTROL, frame(SYN))
    cross(traffic, HOST, frame(SYN | ACK))
    cross(traffic, CONTROL, frame())
    for _ in range(3):
        cross(traffic, CONTROL, frame(payload=b"question"))
    for _ in range(3):
        cross(traffic, HOST, frame(payload=b"answer"))
        cross(traffic, CONTROL, frame())
    assert traffic.crossings == [4, 3]
    assert traffic.frames == [8, 4]


def test_slope() -> None:
    """Half a second and ten round trips are ten round trips."""
    assert slope(lambda rtt: 0.5 + 10 * rtt / 1000, (0, 50, 100)) == 10


def test_in_turn() -> None:
    """Each is run as often as the others, and the order is turned round."""
    number = count(1)
    assert in_turn("ab", 3, lambda _: next(number)) == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_what_a_whole_deploy_costs() -> None:
    """Of one changed part its own command and the gate's window are no cost of ours; of a document the build is."""
    part = [whole.Deploy(seconds=4.0, parts=0.5, building=0.8)]
    document = [whole.Deploy(seconds=3.0, parts=0.0, building=0.3)]
    script = [whole.Deploy(seconds=10.0, parts=0.0, building=0.0)]
    found = whole.tell({"one part changed": part, "only a document changed": document, "script": script})
    assert found.values == {"whole.part": 0.15, "whole.document": 0.3}


def test_how_fast_a_core_is() -> None:
    """It is told beside every table, as a number that is larger on a faster core."""
    assert re.fullmatch(r"One core did \d+\.\d million steps of an empty Python loop a second .*\.\n", core.told())
    assert core.speed() > 0


def test_a_run_that_was_ended_is_gone_on_with(tmp_path: Path) -> None:
    """A step is taken as it was measured, of the same source with as many runs alone."""
    step = Step([Section("A title", "| text |\n", {"switch.slope": 5.5})], 12.5, "<svg/>")
    Kept(tmp_path / "steps", "a", 7).put("switch", step)
    others = [Kept(tmp_path / "steps", "b", 7), Kept(tmp_path / "steps", "a", 5)]
    assert Kept(tmp_path / "steps", "a", 7).take("switch") == step
    assert [each.take("switch") for each in others] == [None, None]
    assert Kept(tmp_path / "steps", "a", 7).take("deploy") is None


def test_so_many_hosts_may_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's limit is set back to what it was, however the runs end; where it cannot be set, that is told."""
    limit, seen = tmp_path / "max_user_instances", list[str]()
    limit.write_text("128\n")
    monkeypatch.setattr(fleet, "INSTANCES", limit)

    def measured(*_: object) -> Section:
        seen.append(limit.read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr(fleet, "hosts", measured)
    with pytest.raises(KeyboardInterrupt):
        fleet.thirty(1)
    assert (seen, limit.read_text()) == (["300\n"], "128\n")
    monkeypatch.setattr(fleet, "INSTANCES", ReadOnly(limit))
    why = "fs.inotify.max_user_instances is 128, 30 systemds want 300, and setting it fails: Read-only file system"
    assert fleet.thirty(1).text.startswith(f"Not measured: {why} (`sysctl -w fs.inotify.max_user_instances=300`")


def test_spread() -> None:
    """A spread tells the median, the least and the most."""
    assert str(Spread.of([3, 1, 2])) == "2.00 (1.00–3.00)"


def test_bounds() -> None:
    """A value at its bound keeps it, one beyond it is named, and it is told which have no 15 % to spare."""
    values = {"switch.slope": BOUNDS["switch.slope"].most, "further.slope": BOUNDS["further.slope"].most + 0.1}
    values |= {"deploy.slope": 11.9, "deploy.counted": 8, "deploy.connections": 1}
    assert missed(values) == ["further.slope", "deploy.counted"]
    assert verdicts(values).splitlines()[2:] == [
        "| switch: round trips by the slope | 10  | 10  | kept, by less than 15% |",
        "| a further call on the open connection: round trips by the slope | 3.1  | 3  | **missed** |",
        "| deploy without a build: round trips by the slope | 11.9  | 14  | kept |",
        "| deploy without a build: round trips counted on the line | 8  | 7  | **missed** |",
        "| deploy without a build: connections | 1  | 1  | kept |",
    ]


def test_what_a_machine_lacks_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without sshd, root or a device nothing is begun: one line names all that is missing, and the exit is 2."""
    monkeypatch.setattr(sys, "argv", ["speed.py", "switch"])
    monkeypatch.setattr(speed, "SSHD", str(tmp_path / "sshd"))
    monkeypatch.setattr(speed, "missing_for_hosts", lambda: ["the program nspawn", "root (you are uid 7)"])
    monkeypatch.setattr(delay, "missing", lambda: ["root (you are uid 7)"])
    monkeypatch.setattr(speed, "measure", lambda *_: pytest.fail("it was begun"))
    lacks = f"the program nspawn, root (you are uid 7), {tmp_path}/sshd (apt-get install openssh-server)"
    assert (speed.main(), *capsys.readouterr()) == (2, "", f"nothing was measured: this machine lacks {lacks}\n")


def test_a_section_that_fails_costs_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its reason is in the document instead of a table; it is not kept, and the exit is 1, as for one left out."""
    document = tmp_path / "speed.md"
    arguments = [f"--without={name}" for name in speed.SECTIONS if name not in ("start", "output")]
    monkeypatch.setattr(sys, "argv", ["speed.py", f"--write={document}", *arguments])
    monkeypatch.setattr(speed, "CHECKOUT", tmp_path)
    monkeypatch.setattr(speed, "missing_for_hosts", list)
    monkeypatch.setattr(speed, "SSHD", sys.executable)
    monkeypatch.setattr(speed, "state", lambda: "this one")
    monkeypatch.setattr(delay, "missing", list)
    monkeypatch.setattr(start, "section", lambda: 1 / 0)
    monkeypatch.setattr(output, "section", lambda _: Section("Output", "a table\n", {"output.cpu": 1.0}))
    assert speed.main() == 1
    told = document.read_text()
    assert "## Start\n\nNot measured: it failed: ZeroDivisionError: division by zero.\n\n" in told
    assert "## Output\n\na table\n\nOne core did" in told
    assert "## Thirty\n\nNot measured: it was left out (`--without`)." in told
    assert "processor time of the control node | 1 s | 2 s | kept |" in told
    assert f"Not measured:\n\n- {BOUNDS['switch.wall.0'].what}\n" in told
    assert BOUNDS["everything.counted"].what not in told  # a test measures it
    assert [path.name for path in (tmp_path / "build/benchmarks/steps").iterdir()] == ["output.json"]
    assert "Start: Not measured: it failed" in capsys.readouterr().err
