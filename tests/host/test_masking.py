"""Masks: no secret is in what is kept or told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oroboros_deploy.host import process
from oroboros_deploy.host.masking import Mask, as_written

SECRET = "s3cret-wörd"


@pytest.mark.parametrize(
    ("secrets", "text", "masked"),
    [
        ([SECRET], f"a {SECRET} b {SECRET}", "a *** b ***"),
        (["abc"], "abc", "abc"),
        (["abcd"], "abcd", "***"),
        (["pass", "password"], "password pass", "*** ***"),
        (["-----BEGIN\nqwertz\nend"], "qwertz\n-----BEGIN\nqwertz\nend", "***\n***"),
    ],
    ids=["every one", "short", "four characters", "one in another", "lines of one"],
)
def test_text(secrets: list[str], text: str, masked: str) -> None:
    """A secret of four characters or more is masked wherever it stands, the longest first, and by its lines too."""
    assert Mask(secrets).text(text) == masked


@pytest.mark.parametrize(
    "write", [str, repr, ascii, json.dumps, lambda text: repr(text.encode()), lambda text: repr({"'": f'"{text}"'})]
)
@pytest.mark.parametrize("secret", ["back\\slash", "quo'te\"s", "it's it", "one\nand two\n", "wörd-☃"])
def test_as_written(write: Callable[[str], str], secret: str) -> None:
    """An error that writes a secret as a literal, as bytes or as JSON shows none of it."""
    masked = Mask(as_written([secret])).text(write(secret))
    assert masked.replace('"', "'") == write("***").replace('"', "'")


def test_values() -> None:
    """What people read is masked, however deep; what programs read is not, for it has a secret's letters by chance."""
    mask, sha = Mask(["store", "5432", "info"]), "ab5432cd" * 5
    value = {"state": {"phase": "restored", "reason": f"{sha}: no store", "log": None}, "live": sha, "at": 5432}
    masked = {"phase": "restored", "reason": "ab***cd" * 5 + ": no ***", "log": None}
    assert mask.value(value) == {"state": masked, "live": sha, "at": 5432}
    assert mask.value([{"problems": ({"message": "store", "hint": None},)}]) == [
        {"problems": [{"message": "***", "hint": None}]}
    ]
    told: list[object] = []
    mask.saying(lambda *given, **more: told.append((given, more)))("phase", "in store", "info", phase="restored")
    assert told == [(("phase", "in ***"), {"level": "info", "phase": "restored"})]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_pieces_of_secrets_that_are_alike(size: int) -> None:
    """One that is the beginning of another, or that another begins in, hides as it does in a whole text."""
    secrets = ["hunter22", "hunter22-prod-key", "abcd", "cdef"]
    text = "key=hunter22-prod-key abcd cdef hunter22-prod abcd abc hunter22"
    stream = Mask(secrets).stream()
    pieces = (text[at : at + size].encode() for at in range(0, len(text), size))
    passed = b"".join([*map(stream.pass_on, pieces), stream.rest()])
    assert passed.decode() == Mask(secrets).text(text) == "key=*** *** *** ***-prod *** abc ***"


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_pieces(size: int) -> None:
    """A secret that comes in pieces is masked, and all that is no secret passes."""
    data = f"s3 {SECRET}s3cre {SECRET[:-1]} {SECRET}".encode()
    stream = Mask([SECRET]).stream()
    passed = b"".join(stream.pass_on(data[at : at + size]) for at in range(0, len(data), size)) + stream.rest()
    assert passed.decode() == f"s3 ***s3cre {SECRET[:-1]} ***"


def test_output(tmp_path: Path) -> None:
    """A command's output is masked on its way, also where what is kept of it begins in the middle of a secret."""
    line = f"print('{SECRET}' * 3000, flush=True)"
    passed = bytearray()
    ended = process.run(
        [sys.executable, "-c", line], cwd=tmp_path, deadline=float("inf"), sink=passed.extend, mask=Mask([SECRET])
    )
    assert (ended.status, set(ended.tail), passed.decode()) == (0, {"*"}, "***" * 3000 + "\n")


def test_errors(tmp_path: Path) -> None:
    """What a command writes into a file that is kept is masked before it is there."""
    kept = tmp_path / "errors"
    with process.masked(kept, Mask([SECRET])) as place:
        process.shell(f"echo {SECRET} >&2", cwd=tmp_path, deadline=float("inf"), errors=place)
        assert not kept.exists() or SECRET not in kept.read_text()
    assert kept.read_text() == "***\n"


@pytest.mark.slow  # much is written
def test_many_errors(tmp_path: Path) -> None:
    """Of any length, they go through a little at a time: what is held meanwhile does not grow with them."""
    kept, line = tmp_path / "errors", "x" * 60 + SECRET
    with process.masked(kept, Mask([SECRET])) as place:
        said = f"yes {line} | head -c 40000000 >&2"
        process.shell(said, cwd=tmp_path, deadline=float("inf"), errors=place)
        held = [text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith("VmRSS")]
    assert int(held[0].split()[1]) < 400_000
    text = kept.read_bytes()
    assert (SECRET.encode() in text, text.count(b"***") > 500_000) == (False, True)
    assert len(process.end_of(kept)) == process.KEPT


def test_who_goes_on_to_write_errors(tmp_path: Path) -> None:
    """A child that keeps the place open after the command ended keeps nobody waiting."""
    kept = tmp_path / "errors"
    with process.masked(kept, Mask([SECRET])) as place:
        ended = process.shell(
            f"echo {SECRET} >&2; setsid sleep 30 >/dev/null & exit 3", cwd=tmp_path, deadline=float("inf"), errors=place
        )
    assert (ended.status, kept.read_text()) == (3, "***\n")
