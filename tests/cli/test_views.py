"""What people and programs read: JSON lines, plain lines, a real terminal, and the words at the end."""

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
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.cli.views import JsonView, LiveView, PlainView, Steps, story, table, view, write
from oroboros_deploy.events import Event
from oroboros_deploy.outcome import HostOutcome, Outcome, State
from tests.support.watching import eventually

SHA = "3f2a9c1b2d" * 4
OLD = "9c1d0e2f4a" * 4


def happened(name: str, host: str | None = None, at: float = 0, message: str = "", **data: Any) -> Event:
    level = "error" if data.pop("failed", False) else "info"
    return Event(name, message, host=host, level=level, data=data, at=at)  # type: ignore[arg-type]


def lines_of(events: list[Event], *, verbose: bool = False) -> list[str]:
    steps = Steps(verbose)
    return [line.text(steps.width).rstrip() for event in events for line in steps.take(event)]


A_DEPLOY = [
    happened("attempt.started", at=0, message="deploy 3f2a9c1", hosts=["web1", "web2"]),
    happened("host.connected", "web1", 1),
    happened("facts.read", "web1", 1.5),
    happened("build.started", "web1", 2),
    happened("source.sent", "web1", 3, bytes=1_234_567),
    happened("part.started", "web1", 3, part="frontend"),
    happened("part.started", "web1", 3, part="backend"),
    happened("output", "web1", 4, part="frontend", text="added 12 packages\n"),
    happened("part.finished", "web1", 15.3, part="frontend", seconds=12.3),
    happened("part.finished", "web1", 100, part="backend", seconds=97),
    happened("release.sealed", "web1", 101, message="sealed"),
    happened("phase", "web1", 102, phase="prepared"),
    happened("step", "web1", 102, step="migrating"),
    happened("phase", "web1", 104, phase="prepared"),
    happened("step", "web1", 104, step="swapping"),
    happened("phase", "web1", 104.01, phase="swapped"),
    happened("phase", "web1", 107, phase="restarted"),
    happened("gate.try", "web1", 107, tries=2),
    happened("phase", "web1", 111, phase="gated"),
    happened("phase", "web1", 111, phase="committed"),
    happened("host.finished", "web1", 112, state="live"),
    happened("attempt.finished", at=112),
]


# --- what goes on ---


def test_finished_steps_are_told_with_their_times() -> None:
    """Each step of a deploy becomes one line with its duration; output that went well is not shown."""
    assert lines_of(A_DEPLOY) == [
        "· deploy 3f2a9c1",
        "✓ web1  connect                       1.0 s",
        "✓ web1  source 1.23 MB                1.0 s",
        "✓ web1  build frontend               12.3 s",
        "✓ web1  build backend            1 min 37 s",
        "✓ web1  build                    1 min 38 s",
        "✓ web1  migrate                       2.0 s",
        "✓ web1  switch                        0.0 s",
        "✓ web1  restart                       3.0 s",
        "✓ web1  gate                          4.0 s",
        "✓ web1  live                     1 min 52 s",
    ]


def test_what_a_host_is_doing_is_always_known() -> None:
    """After each event there is a word for what the host does now, until it has finished."""
    steps, doing = Steps(), []
    for event in A_DEPLOY:
        steps.take(event)
        doing.append(steps.at_work["web1"].label if "web1" in steps.at_work else None)
    assert doing == [
        "connect", "facts", "waiting", "build", "build", "build frontend", "build frontend, backend",
        "build frontend, backend", "build backend", "build", "waiting", "switch", "migrate", "switch", "switch",
        "restart", "gate", "gate try 2", "commit", "finish", None, None,
    ]  # fmt: skip


def test_a_failed_gate_shows_the_last_output_and_the_way_back() -> None:
    """The step that failed is marked, its last lines follow, then the restore."""
    noise = [happened("output", "web1", 5, part="gate", text=f"line {n}") for n in range(30)]
    told = lines_of(
        [
            happened("attempt.started", at=0),
            happened("phase", "web1", 1, phase="restarted"),
            *noise,
            happened("phase", "web1", 61, message="failed, going back", failed=True, phase="restoring"),
            happened("phase", "web1", 64, phase="restored"),
            happened("host.finished", "web1", 65, message="the gate was not passed", failed=True, state="restored"),
        ]
    )
    assert told == [
        "✗ web1  gate                     1 min 00 s",
        *(f"│ web1  line {n}" for n in range(10, 30)),
        "✗ web1  failed, going back",
        "✓ web1  restore                       3.0 s",
        "✗ web1  restored                 1 min 05 s",
    ]


def test_a_failed_build_shows_only_what_did_not_finish() -> None:
    """The output of a part that went well is forgotten, that of the one that failed is shown."""
    events = [
        happened("attempt.started", at=0),
        happened("build.started", "web1", 0),
        happened("part.started", "web1", 1, part="worker"),
        happened("output", "web1", 1, part="backend", text="fine\n"),
        happened("output", "web1", 1, part="worker", text="no matching\ndistribution\n"),
        happened("part.finished", "web1", 2, part="backend", seconds=1),
        happened("host.finished", "web1", 3, failed=True, state="not_switched"),
    ]
    assert lines_of(events) == [
        "✓ web1  build backend                 1.0 s",
        "✗ web1  build worker                  3.0 s",
        "│ web1  no matching",
        "│ web1  distribution",
        "✗ web1  not switched                  3.0 s",
    ]
    assert [line for line in lines_of(events, verbose=True) if "│" in line] == [
        "│ web1  fine",
        "│ web1  no matching",
        "│ web1  distribution",
    ]


def test_messages_are_marked_by_weight() -> None:
    """Warnings and errors stand out; details are for --verbose."""
    events = [
        Event("commit", "3f2a  Fix it"),
        Event("warning", "disk is 91 % full", host="web1"),
        Event("link.lost", "trying again", host="web1", level="warning"),
        Event("registry.spooled", "kept", level="error"),
        Event("swept", "one build", host="web1", level="detail"),
    ]
    told = ["· 3f2a  Fix it", "! web1  disk is 91 % full", "! web1  trying again", "✗ kept"]
    assert lines_of(events) == told
    assert lines_of(events, verbose=True) == [*told, "· web1  one build"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[32mgreen\x1b[0m", "green"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("10%\r50%\r100%\r\n", "100%"),
        ("a\tb", "a   b"),
        ("a\x1b", "a\\x1b"),
        ("\x9b2Jx", "\\x9b2Jx"),
        ("a\x07\x08\x00b", "a\\x07\\x08\\x00b"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\udcff", "\\udcff"),
        ("ü ✓ 日本", "ü ✓ 日本"),
    ],
)
def test_what_a_host_prints_cannot_move_the_cursor(raw: str, shown: str) -> None:
    """Colours and titles are dropped, progress bars shown at their end, anything else made visible."""
    assert lines_of([happened("output", "h", part="p", text=raw)], verbose=True) == [f"│ h  {shown}"]


@given(st.text())
def test_no_text_brings_control_characters_to_people(text: str) -> None:
    """Whatever a host says, as output, message or name, every line shown is printable."""
    outcome = Outcome("a", "deploy", SHA, (HostOutcome(text, State.RESTORED, live=text, message=text, hint=text),))
    told = lines_of([Event("warning", text, host=text), happened("output", text, text=text)], verbose=True)
    assert all(line.isprintable() for line in [*told, *table(outcome).split("\n"), *story(outcome).split("\n")])


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


def test_a_plain_log_says_what_still_goes_on() -> None:
    """A long step is mentioned again and again, not more often than asked for."""
    stream, began = io.StringIO(), time.monotonic()
    with PlainView(stream, still=0.2) as tell:
        tell(happened("build.started", "web1", time.time()))
        assert eventually(lambda: stream.getvalue().count("\n") >= 2)
    lines = stream.getvalue().splitlines()
    assert len(lines) <= (time.monotonic() - began) / 0.2
    assert all(re.fullmatch(r"\d\d:\d\d:\d\dZ · web1  build, still at it +\d+\.\d s", line) for line in lines)


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


def test_a_terminal_ends_with_the_finished_steps_only() -> None:
    """Moving lines are drawn over and gone at the end; steps stay, in colour."""
    written = in_terminal(2)
    assert [re.sub(r"0\.\d s$", "0.? s", line) for line in screen_of(written, 80)] == [
        "· deploy 3f2a9c1",
        "✓ web1  build frontend               12.3 s",
        "✓ web1  live                          0.? s",
        "✓ web2  build frontend               12.3 s",
        "✓ web2  live                          0.? s",
        "",
    ]
    assert "\x1b[32m✓\x1b[0m web1" in written
    assert "build a part with a lon" in written


def test_an_abandoned_terminal_is_left_clean() -> None:
    """When the work ends early, no moving line stays behind as if it went on."""
    stream = io.StringIO()
    with LiveView(stream) as tell:
        tell(happened("build.started", "web1", time.time()))
        assert eventually(lambda: "build" in stream.getvalue())
    assert screen_of(stream.getvalue(), 80) == [""]


def test_a_terminal_is_redrawn_at_most_ten_times_a_second() -> None:
    """A crowd of events does not become a crowd of drawings."""
    began = time.monotonic()
    drawings = in_terminal(8).count("\x1b[J")
    assert 2 <= drawings <= 10 * (time.monotonic() - began) + 2  # of the 32 events each would be one


def test_narrow_and_low_terminals_are_respected() -> None:
    """No moving line wraps at 40 columns, and more hosts than rows do not scroll away."""
    written = in_terminal(30, columns=40, rows=10)
    frames = written.split("\x1b[J")[1:-1]
    assert len(frames) >= 2
    assert all(len(line) < 40 for frame in frames for line in frame.split("\r\n"))
    assert all(frame.count("\r\n") == 8 for frame in frames)
    assert all(re.search(r"\d\.\d s\r\n", frame) for frame in frames)
    assert "· and 23 more" in written


def test_no_color_is_honoured() -> None:
    """NO_COLOR leaves the moving lines and takes the colours."""
    written = in_terminal(1, NO_COLOR="1")
    assert "\x1b[J" in written
    assert not re.search(r"\x1b\[\d*m", written)


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"CI": "true"}])
def test_dumb_terminals_and_ci_get_plain_lines(environ: dict[str, str]) -> None:
    """Where nobody watches, or nothing can move, there is not one escape."""
    written = in_terminal(1, columns=80, rows=24, **environ)
    assert "\x1b" not in written
    assert re.match(r"\d\d:\d\d:\d\dZ · deploy", written)


def test_a_locale_without_the_signs_gets_ascii() -> None:
    """Signs that cannot be written are replaced, and nothing fails."""
    written = in_terminal(1, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii", PYTHONCOERCECLOCALE="0")
    assert "- deploy 3f2a9c1" in written
    assert "+\x1b[0m web1" in written


# --- streams that fail ---


def test_the_view_fits_the_stream() -> None:
    """JSON when asked for, plain lines for anything that is no terminal, nothing at all without a stream."""
    closed = io.StringIO()
    closed.close()
    assert isinstance(view(io.StringIO(), True, "deploy", SHA, environ={}), JsonView)
    for stream in (io.StringIO(), closed, None):
        with view(stream, False, "deploy", SHA, environ={"TERM": "xterm"}) as tell:
            assert isinstance(tell, PlainView)
            tell(Event("warning", "to nobody"))


@pytest.mark.parametrize("redirect", ["| head -c 1 >/dev/null", ">/dev/full", ">&-"])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_stream_that_goes_away_changes_nothing(redirect: str, as_json: bool) -> None:
    """A closed pipe, a full disk or no stdout neither stop a deploy nor change its exit code."""
    program = (
        "import sys\nfrom oroboros_deploy.events import Event\nfrom oroboros_deploy.cli.views import view\n"
        f"with view(sys.stdout, {as_json}, 'deploy', None) as tell:\n"
        "    for n in range(20000): tell(Event('warning', 'x' * 50))\nsys.exit(7)"
    )
    script = f'"$0" -c "$1" {redirect}; echo "${{PIPESTATUS[0]}}" >&2'
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
    done = subprocess.run(["bash", "-c", script, sys.executable, program], capture_output=True, text=True, env=env)
    assert done.stderr == "7\n"


def test_text_is_written_as_far_as_the_encoding_goes(tmp_path: Path) -> None:
    """Signs have ASCII forms, other letters become question marks."""
    path = tmp_path / "log"
    with path.open("w", encoding="ascii") as stream:
        write(stream, "✗ é → …\n")
    assert path.read_text() == "x ? -> ...\n"


# --- the words at the end ---


def outcome_of(*hosts: HostOutcome, **more: Any) -> Outcome:
    return Outcome("attempt", more.pop("kind", "deploy"), SHA, hosts, **more)


def test_the_table_has_a_row_for_each_host() -> None:
    """Host, state, live release, time and the first line of the message, in columns."""
    outcome = outcome_of(
        HostOutcome("web1", State.LIVE, live=SHA, seconds={"build": 40.2, "activate": 65}),
        HostOutcome("web20", State.RESTORED, live=OLD, message="gate failed\nmore", seconds={"build": 3}),
        HostOutcome("web3", State.UNREACHABLE, message="no route"),
    )
    assert table(outcome) == (
        "HOST   STATE        LIVE        TIME        MESSAGE\n"
        "web1   live         3f2a9c1b2d  1 min 45 s\n"
        "web20  restored     9c1d0e2f4a  3.0 s       gate failed\n"
        "web3   unreachable  -           0.0 s       no route"
    )


def test_success_is_one_line() -> None:
    """When all is well there is nothing else to read."""
    live = [HostOutcome(f"web{n}", State.LIVE, live=SHA) for n in (1, 2)]
    assert story(outcome_of(*live)) == "✓ 3f2a9c1b2d is live on web1, web2"
    again = HostOutcome("web1", State.ALREADY_LIVE, live=SHA)
    assert story(outcome_of(again)) == "✓ 3f2a9c1b2d was live already on web1"


def test_a_failure_says_state_cause_and_next_step() -> None:
    """For each host that failed: what it serves, what went wrong, what to type."""
    outcome = outcome_of(
        HostOutcome("web1", State.LIVE, live=SHA),
        HostOutcome(
            "web2", State.RESTORED, live=OLD, message="the gate failed\nexit 7", hint="fab -H web2 log", log="no route"
        ),
    )
    assert story(outcome) == (
        "✗ deploy of 3f2a9c1b2d failed on 1 of 2 hosts\n"
        "web1 serves 3f2a9c1b2d\n"
        "web2 serves 9c1d0e2f4a again\n"
        "  the gate failed\n"
        "  exit 7\n"
        "  │ no route\n"
        "  → fab -H web2 log"
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State.RESTORED, "web1 serves 9c1d0e2f4a again"),
        (State.NOT_RESTORED, "web1 NEEDS A PERSON: it is not known to serve any release"),
        (State.NOT_SWITCHED, "web1 still serves 9c1d0e2f4a; nothing was switched"),
        (State.BUSY, "web1 was left alone; somebody else holds it"),
        (State.UNKNOWN, "web1 goes on by itself; how it ended is not known here"),
        (State.UNREACHABLE, "web1 was not reached; nothing was changed there"),
        (State.REFUSED, "web1 cannot do this; nothing was changed there"),
        (State.INTERRUPTED, "web1 still serves 9c1d0e2f4a; stopped before the switch"),
        (State.SKIPPED, "web1 was not touched"),
    ],
)
def test_every_bad_state_has_its_words(state: State, said: str) -> None:
    """Each way to end badly has a sentence, and a next step even when none was given."""
    told = story(outcome_of(HostOutcome("web1", state, live=OLD, message="why"), kind="rollback"))
    assert told == f"✗ rollback of 3f2a9c1b2d failed\n{said}\n  why\n  → fab -H web1 status"


def test_a_host_that_never_served_is_said_so() -> None:
    """After a failed first deploy no release serves, and the story does not invent one."""
    assert "\nweb1 serves no release, as before\n" in story(outcome_of(HostOutcome("web1", State.RESTORED)))


def test_an_unwritten_registry_is_told_beside_the_success() -> None:
    """The release is live, and the record waits."""
    told = story(outcome_of(HostOutcome("web1", State.LIVE, live=SHA), registry="spooled"))
    assert told == (
        "✓ 3f2a9c1b2d is live on web1\n"
        "The registry was not written; the record is kept here.\n"
        "  → fab registry.list (any command that reaches the registry writes it)"
    )


def test_a_record_that_was_lost_is_told_with_the_way_to_write_it() -> None:
    """The release is live, and its host has what the registry lacks."""
    told = story(outcome_of(HostOutcome("web1", State.LIVE, live=SHA), registry="lost"))
    assert told == (
        "✓ 3f2a9c1b2d is live on web1\n"
        "The registry was not written, and the record could not be kept here; the hosts have it.\n"
        "  → fab -H web1 registry.reconcile (writes it from their journals)"
    )


def test_all_states_can_be_told() -> None:
    """No state is without words, in lines, table and story."""
    tellers: list[Callable[[State], object]] = [
        lambda state: story(outcome_of(HostOutcome("h", state))),
        lambda state: table(outcome_of(HostOutcome("h", state))),
        lambda state: lines_of([happened("host.finished", "h", state=str(state))]),
    ]
    assert all(tell(state) for tell in tellers for state in State)
