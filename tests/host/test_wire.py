"""What travels to the agent is read whole or not at all."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest

from oroboros_deploy.host import wire


def told(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_blocks_are_read_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block comes as it was sent, and the empty one ends the stream."""
    told(monkeypatch, b"3\nabc2\n\n\n0\n")
    assert [wire.read_block(), wire.read_block(), wire.read_block()] == [b"abc", b"\n\n", None]


@pytest.mark.parametrize("cut", [b"", b"3\n", b"3\nab"])
def test_a_cut_stream_is_no_end(monkeypatch: pytest.MonkeyPatch, cut: bytes) -> None:
    """A stream that ends before its end is an error, never a shorter stream."""
    told(monkeypatch, cut)
    with pytest.raises(EOFError):
        wire.read_block()


def test_an_event_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever an event says, it is one line that any locale can carry."""
    wire.Wire().say("output", "ü\n✓", level="detail", part="frontend")
    line = capsys.readouterr().out
    assert (line.count("\n"), line.isascii()) == (1, True)
    assert json.loads(line) == {
        "event": "output",
        "message": "ü\n✓",
        "level": "detail",
        "data": {"part": "frontend"},
    }
