"""What people and programs read while an attempt runs: JSON lines, plain lines, a real terminal."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from oroboros_deploy.cli.views import JsonView, LiveView, PlainView, view
from oroboros_deploy.events import Event
from tests.support.events import A_DEPLOY, SHA, happened


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


# --- JSON ---


def test_json_lines_have_the_documented_keys() -> None:
    """One object a line: the contract's keys in order, then host, level and the event's own data."""
    stream = io.StringIO()
    with view(stream, True, "deploy", SHA, environ={"TRACE_ID": "t", "OUROBOROS_RUN_ID": "r", "SLOT_ID": ""}) as tell:
        tell(Event("source.sent", "é sent", host="web1", level="detail", data={"bytes": 5, "event": "x"}, at=1.25))
    assert stream.getvalue().count("\n") == 1
    assert list(json.loads(stream.getvalue()).items()) == [
        ("timestamp_utc", "1970-01-01T00:00:01.250Z"),
        ("component", "deploy"),
        ("event", "source.sent"),
        ("message", "é sent"),
        ("trace_id", "t"),
        ("run_id", "r"),
        ("slot_id", None),
        ("commit_sha", SHA),
        ("host", "web1"),
        ("level", "detail"),
        ("bytes", 5),
    ]
    assert stream.getvalue().isascii()


def test_json_learns_the_sha_when_it_is_resolved() -> None:
    """A view opened before the ref was resolved names the commit from then on."""
    stream = io.StringIO()
    with JsonView(stream, "rollback", None, {}) as tell:
        for event in (Event("a"), Event("commit", data={"sha": SHA}), Event("b")):
            tell(event)
    assert [json.loads(line)["commit_sha"] for line in stream.getvalue().splitlines()] == [None, SHA, SHA]


def test_json_lines_from_many_threads_stay_whole() -> None:
    """Hosts report from threads of their own; no line is ever broken by another."""
    stream = io.StringIO()
    with JsonView(stream, "deploy", SHA, {}) as tell:

        def speak() -> None:
            for _ in range(50):
                tell(Event("output", "x" * 500))

        threads = [threading.Thread(target=speak) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len([json.loads(line) for line in stream.getvalue().splitlines()]) == 400


# --- plain lines ---


def test_plain_lines_carry_the_time_and_no_escapes() -> None:
    """A log has one line for each finished step, with the UTC time of day."""
    stream = io.StringIO()
    with PlainView(stream) as tell:
        for event in A_DEPLOY[:2]:
            tell(event)
    assert stream.getvalue() == "00:00:00Z · deploy 3f2a9c1\n00:00:01Z ✓ web1  connect                       1.0 s\n"


@pytest.mark.slow
def test_a_plain_log_says_what_still_goes_on() -> None:
    """A long step is mentioned again and again, not more often than asked for."""
    stream = io.StringIO()
    with PlainView(stream, still=0.3) as tell:
        tell(happened("build.started", "web1", time.time()))
        wait_until(lambda: stream.getvalue().count("\n") >= 3)
    line = re.compile(r"\d\d:\d\d:\d\dZ · web1  build, still at it +([\d.]+) s")
    told = [float(line.fullmatch(each)[1]) for each in stream.getvalue().splitlines()]  # type: ignore[index]
    assert all(later - sooner >= 0.2 for sooner, later in pairwise([0, *told])), told


def test_no_thread_is_left_behind() -> None:
    """Closing a view ends its thread, also when the work inside failed."""
    for made in (PlainView(io.StringIO()), LiveView(io.StringIO())):
        with pytest.raises(ZeroDivisionError), made:
            raise ZeroDivisionError
    assert [thread.name for thread in threading.enumerate() if thread.name == "output"] == []


# --- a real terminal ---

PROGRAM = """
import sys, time
from oroboros_deploy.events import Event
from oroboros_deploy.cli.views import view
with view(sys.stdout, False, "deploy", None) as tell:
    hosts = [f"web{n}" for n in range(1, int(sys.argv[1]) + 1)]
    tell(Event("attempt.started", "deploy 3f2a9c1", data={"hosts": hosts}))
    for host in hosts:
        tell(Event("build.started", host=host))
        tell(Event("part.started", host=host, data={"part": "a part with a long name"}))
    time.sleep(0.45)
    for host in hosts:
        tell(Event("part.finished", host=host, data={"part": "frontend", "seconds": 12.3}))
        tell(Event("host.finished", host=host, data={"state": "live"}))
"""


def in_terminal(hosts: int, *, columns: int = 80, rows: int = 24, **environ: str) -> str:
    """What a program writes to a terminal of this size."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(hosts)], stdout=theirs, env=env | environ) as program:
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 65536):
                written += chunk
        except OSError:  # how a terminal says that the last program has gone
            pass
    os.close(ours)
    assert program.returncode == 0
    return written.decode()


def screen_of(written: str, columns: int) -> list[str]:
    """The lines that a terminal would show at the end; fails when one would have wrapped."""
    screen, row = [""], 0
    for up, clear, end, text in re.findall(r"\x1b\[(\d+)A|(\x1b\[J)|(\r?\n)|\r|\x1b\[\d*m|([^\x1b\r\n]+)", written):
        if up:
            row = max(row - int(up), 0)
        elif clear:
            screen[row:] = [""]
        elif end:
            row += 1
            screen += [""] * (row + 1 - len(screen))
        elif text:
            screen[row] += text
            assert len(screen[row]) <= columns, screen[row]
    return screen


@pytest.mark.slow
def test_a_terminal_ends_with_the_finished_steps_only() -> None:
    """Moving lines are drawn over and gone at the end; steps stay, in colour."""
    written = in_terminal(2)
    assert [re.sub(r"live .* m?s$", "live ?", line) for line in screen_of(written, 80)] == [
        "· deploy 3f2a9c1",
        "✓ web1  build frontend                 12 s",
        "✓ web1  live ?",
        "✓ web2  build frontend                 12 s",
        "✓ web2  live ?",
        "",
    ]
    assert "\x1b[32m✓\x1b[0m web1" in written
    assert "build a part with a lon" in written


def test_a_long_build_says_what_it_is_at() -> None:
    """Below the part that runs stands its last line, beside its time what it usually takes."""
    stream = io.StringIO()
    now = time.time()
    with LiveView(stream) as tell:
        tell(happened("build.started", "web1", now))
        tell(happened("part.started", "web1", now, part="frontend"))
        tell(happened("build.usual", at=now, seconds={"web1": {"frontend": 40.2, "backend": 9}}))
        tell(happened("output", "web1", now, part="frontend", text="[41/100] a\n\x1b[32m[42/100] Compiling\n\n"))
        wait_until(lambda: "42/100" in stream.getvalue())
    drawn = stream.getvalue().split("\r\x1b[2A")[0].splitlines()
    assert re.sub(r"^. | +[\d.]+ m?s ", "", drawn[0]) == "web1  build frontend(usually 40 s)"
    assert drawn[1:] == ["        │ [42/100] Compiling"]


def test_many_hosts_hide_no_host_by_what_they_print() -> None:
    """Where there is no room for both, every host keeps its line."""
    stream = io.StringIO()
    with LiveView(stream) as tell:
        for at in range(20):
            tell(happened("output", f"web{at}", time.time(), part="p", text="said"))
            tell(happened("part.started", f"web{at}", time.time(), part="p"))
            tell(happened("output", f"web{at}", time.time(), part="p", text="said"))
        wait_until(lambda: "web19" in stream.getvalue())
    assert "│" not in stream.getvalue()


def test_a_log_says_what_a_long_build_is_at() -> None:
    """Every now and then, in one line: the part, how long, the usual time and its last line."""
    stream = io.StringIO()
    with PlainView(stream, still=0.05) as tell:
        tell(happened("part.started", "web1", time.time(), part="frontend"))
        tell(happened("build.usual", at=time.time(), seconds={"web1": {"frontend": 40.2}}))
        tell(happened("output", "web1", time.time(), part="frontend", text="[42/100] Compiling\n"))
        wait_until(lambda: "still at it" in stream.getvalue())
    assert re.search(r"build frontend, still at it +\S+ m?s \(usually 40 s\) \[42/100\] Compiling\n", stream.getvalue())


@pytest.mark.parametrize("view", [lambda to: PlainView(to, still=0.05), LiveView])
def test_no_step_is_said_to_go_on_while_the_link_is_lost(view: Callable[[io.StringIO], PlainView | LiveView]) -> None:
    """A log and a terminal say since when nothing was heard of the host, and how long that is."""
    stream, now = io.StringIO(), time.time()
    away = time.strftime("not heard of since %H:%M:%SZ, it goes on by itself", time.gmtime(now - 90))
    tell = view(stream)
    tell(happened("step", "web1", now - 100, step="gating"))
    tell(happened("link.lost", "web1", now, heard_at=now - 90))
    with tell:
        wait_until(lambda: away in stream.getvalue())
    assert "still at it" not in stream.getvalue()
    assert re.search(r" 1 min 3\d s\b", stream.getvalue())


def test_an_abandoned_terminal_is_left_clean() -> None:
    """When the work ends early, no moving line stays behind as if it went on."""
    stream = io.StringIO()
    with LiveView(stream) as tell:
        tell(happened("build.started", "web1", time.time()))
        wait_until(lambda: "build" in stream.getvalue())
    assert screen_of(stream.getvalue(), 80) == [""]


@pytest.mark.slow
def test_a_terminal_is_redrawn_at_most_ten_times_a_second() -> None:
    """A crowd of events does not become a crowd of drawings."""
    began = time.monotonic()
    written = in_terminal(8)
    assert 2 <= written.count("\x1b[J") <= 10 * (time.monotonic() - began) + 2


@pytest.mark.slow
def test_narrow_and_low_terminals_are_respected() -> None:
    """No moving line wraps at 40 columns, and more hosts than rows do not scroll away."""
    written = in_terminal(30, columns=40, rows=10)
    frames = written.split("\x1b[J")[1:-1]
    assert len(frames) >= 2
    assert all(len(line) < 40 for frame in frames for line in frame.split("\r\n"))
    assert all(frame.count("\r\n") == 8 for frame in frames)
    assert all(re.search(r"\d m?s\r\n", frame) for frame in frames)
    assert "· and 23 more" in written


@pytest.mark.slow
def test_a_wide_terminal_shows_whole_labels() -> None:
    """Where there is room, what a host does is not cut off."""
    assert "build a part with a long name " in in_terminal(1, columns=160)


@pytest.mark.slow
def test_no_color_is_honoured() -> None:
    """NO_COLOR leaves the moving lines and takes the colours."""
    written = in_terminal(1, NO_COLOR="1")
    assert "\x1b[J" in written
    assert not re.search(r"\x1b\[\d*m", written)


@pytest.mark.slow
@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"CI": "true"}])
def test_dumb_terminals_and_ci_get_plain_lines(environ: dict[str, str]) -> None:
    """Where nobody watches, or nothing can move, there is not one escape."""
    written = in_terminal(1, columns=80, rows=24, **environ)
    assert "\x1b" not in written
    assert re.match(r"\d\d:\d\d:\d\dZ · deploy", written)


@pytest.mark.slow
def test_a_locale_without_the_signs_gets_ascii() -> None:
    """Signs that cannot be written are replaced, and nothing fails."""
    written = in_terminal(1, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii", PYTHONCOERCECLOCALE="0")
    assert "- deploy 3f2a9c1" in written
    assert "+\x1b[0m web1" in written


def test_the_view_fits_the_stream() -> None:
    """JSON when asked for, plain lines for anything that is no terminal, nothing at all without a stream."""
    closed = io.StringIO()
    closed.close()
    assert isinstance(view(io.StringIO(), True, "deploy", SHA, environ={}), JsonView)
    for stream in (io.StringIO(), closed, None):
        with view(stream, False, "deploy", SHA, environ={"TERM": "xterm"}) as tell:
            assert isinstance(tell, PlainView)
            tell(Event("warning", "to nobody"))
