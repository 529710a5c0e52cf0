"""The line that most likely says why something failed."""

from __future__ import annotations

import pytest

from oroboros_deploy.host.last_words import alike, last_words

CRASH = """\
--- shop
Nov 30 16:57:40 shop[41]: Traceback (most recent call last):
Nov 30 16:57:40 shop[41]: ValueError: invalid literal for int() with base 10: '4 EUR'
Nov 30 16:57:40 shop[41]: Node.js v18.19.0
Nov 30 16:57:40 systemd[1]: shop.service: Failed with result 'exit-code'.
"""
STATUS = """\
× shop.service - The shop
     Active: failed (Result: exit-code)
Nov 30 16:57:40 web1 shop[41]: the address of the database is missing
Nov 30 16:57:40 web1 systemd[1]: Stopped The shop.
"""
COMMAND = """\
asking the database
error: no answer
gave up
--- shop
Nov 30 16:57:40 systemd[1]: Started The shop.
--- http 127.0.0.1:8000
try 1 at 0.0 s: connection refused (in 0.001 s)
"""


@pytest.mark.parametrize(
    ("transcript", "said"),
    [
        (CRASH, "ValueError: invalid literal for int() with base 10: '4 EUR'"),
        (STATUS, "the address of the database is missing"),
        (COMMAND, "error: no answer"),
        ("one\ntwo\n\n", "two"),
        ("--- http 127.0.0.1:8000\ntry 1 at 0.0 s: connection refused (in 0.001 s)\n", ""),
        ("Nov  3 06:57:40 shop[41]: " + "x" * 500, "x" * 160),
        ("", ""),
    ],
)
def test_last_words(transcript: str, said: str) -> None:
    """A service's last error, else its last line; else those of the command; never systemd's, nor a probe's tries."""
    assert last_words(transcript) == said


def test_alike() -> None:
    """Times and numbers of processes make no difference; two that say nothing are not alike."""
    assert alike("[41] 16:57 no database", "[7] 03:02 no database")
    assert not alike("no database", "no disk")
    assert not alike("", "")
