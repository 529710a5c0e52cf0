"""What hosts say while a command listens: one stream, in order, and nothing in it moves a cursor."""

from __future__ import annotations

import json

import pytest

from oroboros_deploy.cli.streaming import Stream, cut_by_ctrl_c, ended_by_ctrl_c, failed, log_line, refuse_all
from oroboros_deploy.errors import HostUnreachable, Interrupted, InvalidInput, LinkLost
from oroboros_deploy.events import Event


def line(host: str, at: float, message: str) -> Event:
    return Event("log.line", message, host=host, data={"said_at": at, "who": "api", "pid": "7", "unit": "api.service"})


def test_kept_lines_are_told_in_the_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Several hosts tell theirs side by side: one stream, each line with its host, all cleaned."""
    stream = Stream("log.line", log_line, kept=True)
    stream.hosts = ("web1", "web10")
    for each in (line("web10", 2.0, "two\x1b[2J"), line("web1", 3.0, "three\nmore"), line("web1", 1.0, "one")):
        stream(each)
    assert capsys.readouterr().out == ""
    stream.finish()
    assert capsys.readouterr().out.splitlines() == [
        "web1   1970-01-01 00:00:01 api[7]: one",
        "web10  1970-01-01 00:00:02 api[7]: two",
        "web1   1970-01-01 00:00:03 api[7]: three",
        "web1   1970-01-01 00:00:03 api[7]: more",
    ]


def test_a_stream_of_one_host(capsys: pytest.CaptureFixture[str]) -> None:
    """No host stands before a line, lines come at once, and warnings go beside them."""
    stream = Stream("run.output", lambda event: event.message)
    stream.hosts = ("web1",)
    stream(Event("run.output", "a\nb", host="web1"))
    stream(Event("warning", "look out", host="web1", level="warning"))
    stream(Event("facts.read", "live", host="web1", level="detail"))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("a\nb\n", "look out\n")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line."""
    Stream("log.line", log_line, as_json=True)(line("web1", 1.5, "one"))
    told = {"host": "web1", "message": "one", "said_at": 1.5, "who": "api", "pid": "7", "unit": "api.service"}
    assert json.loads(capsys.readouterr().out) == told


def test_how_lines_failed() -> None:
    """Each host where a line did not exit 0 is named; one that was not reached is told elsewhere."""
    ends = {"a": 0, "b": 3, "c": 137, "d": None}
    answers = {host: {"status": status, "user": "app", "release": "a" * 40} for host, status in ends.items()}
    told = failed({**answers, "e": LinkLost("gone")})  # type: ignore[dict-item]
    assert told == ["b: the line exited 3", "c: the line was ended by signal 9", "d: the line was ended"]


def test_ctrl_c_cuts_a_line_that_runs() -> None:
    """What it did stays, on which hosts, and the command that shows where it was begun."""
    with (
        pytest.raises(Interrupted) as cut,
        cut_by_ctrl_c(("web1", "web2"), lambda hosts, task: f"fab -H {hosts} {task}"),
    ):
        raise KeyboardInterrupt
    error = cut.value
    assert (int(error.exit_code), error.message, error.hint) == (
        130,
        "interrupted: the line is ended where it ran (web1, web2); what it did until then stays",
        "fab -H web1,web2 audit  shows where it was begun",
    )


def test_of_several_errors_each_is_told_and_the_worst_decides(capsys: pytest.CaptureFixture[str]) -> None:
    """Not the first host's, which may be the least of them."""
    answers = {
        "a": InvalidInput("no release is live", host="a"),
        "b": HostUnreachable("no route", host="b"),
        "c": {"lines": 3},
    }
    with pytest.raises(HostUnreachable, match="b: no route"):
        refuse_all(answers)  # type: ignore[arg-type]
    assert capsys.readouterr().err == "a: no release is live\n"
    refuse_all({"c": {"lines": 3}})


def test_ctrl_c_is_the_end_of_what_is_followed() -> None:
    """Of what would end by itself it is an interrupt."""
    with ended_by_ctrl_c(True):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), ended_by_ctrl_c(False):
        raise KeyboardInterrupt
