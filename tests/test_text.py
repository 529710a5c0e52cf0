"""Values as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.ssh.address import Address
from oroboros_deploy.text import clean, columns, duration, moment, plain, short, size, ssh_line, telling


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[32mgreen\x1b[0m", "green"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJmIC8=\x07text", "text"),
        ("10%\r50%\r100%\r\n", "100%"),
        ("a\tb", "a   b"),
        ("a\x1b", "a\\x1b"),
        ("\x9b2Jx", "\\x9b2Jx"),
        ("a\x07\x08\x00b", "a\\x07\\x08\\x00b"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\u2066abc\u2069\u200f", "\\u2066abc\\u2069\\u200f"),
        ("\udcff", "\\udcff"),
        ("ü ✓ 日本", "ü ✓ 日本"),
    ],
)
def test_what_a_host_prints_cannot_move_the_cursor(raw: str, shown: str) -> None:
    """Colours, titles and clipboards are dropped, progress bars shown at their end, anything else made visible."""
    assert clean(raw) == shown


@given(st.text())
def test_every_line_of_any_text_is_printable(text: str) -> None:
    """Nothing that a host or a person wrote moves a cursor, colours, or turns what is read around."""
    assert clean(text).isprintable()
    assert all(line.isprintable() for line in plain(text).split("\n"))


@given(st.text())
def test_cleaned_text_stays_as_it_is(text: str) -> None:
    """To clean twice is to clean once."""
    assert clean(clean(text)) == clean(text)


def test_plain_text_keeps_its_lines() -> None:
    """Several lines stay several lines."""
    assert plain("one\n\x1b[1mtwo\x1b[0m\n") == "one\ntwo\n"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.04, "40 ms"),
        (0.096, "0.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (3599.6, "1 h"),
        (7260, "2 h 1 min"),
        (187200, "2 d 4 h"),
        (86401, "1 d"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    """A duration reads in at most two units, whoever shows it."""
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (1_234_567, "1.23 MB"), (12_300_000_000, "12.3 GB")]
)
def test_sizes(count: int, said: str) -> None:
    """Bytes in the unit that makes a small number of them."""
    assert size(count) == said


def test_shas_and_moments() -> None:
    """A sha is cut to ten digits, also one that is none; a moment is in UTC, to the second."""
    assert (short("3f2a9c1b2d" * 4), short(None), short("\x1b[2J\u202e")) == ("3f2a9c1b2d", "", "\\u202e")
    assert moment(1_800_000_000.9) == "2027-01-15 08:00:00"


def test_columns_are_aligned_by_what_is_seen() -> None:
    """Cells are cleaned before they are measured."""
    assert columns([("A", "B"), ("\x1b[31mlong\x1b[0m", "x\x07"), ("s", "")]) == "A     B\nlong  x\\x07\ns"


HELP = [f"  --flag{number}  does this and that" for number in range(30)]
NPM = ["> shop@1.0.0 build", 'npm error Missing script: "biuld"', "npm error", *HELP]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["one", "two"], ["one", "two"]),
        (HELP, HELP[-20:]),
        (NPM, [*NPM[1:3], "…", *HELP[-10:]]),
        (["SyntaxError: x"] * 40, [*["SyntaxError: x"] * 9, "…", *["SyntaxError: x"] * 10]),
        (["ERR! code 1", *HELP], ["ERR! code 1", "…", *HELP[-10:]]),
        (["fatal: no such ref", "0 errors", *HELP], ["fatal: no such ref", "…", *HELP[-10:]]),
    ],
)
def test_what_failed_shows_its_errors_and_its_end(lines: list[str], told: list[str]) -> None:
    """A help text of a screen's length hides no error that was said before it."""
    assert telling(lines, 20) == told


def test_restarts_hide_no_words_of_the_service() -> None:
    """Of a service that ends again and again its own words are shown, and not what systemd says of each restart."""
    when = "Nov 29 22:54:41"
    restart = [
        f"{when} systemd[1]: shop.service: Scheduled restart job, restart counter is at 6.",
        f"{when} systemd[1]: Stopped shop.service - The shop.",
        f"{when} systemd[1]: Started shop.service - The shop.",
    ]
    words = [
        f"{when} python3[9]: the database is gone",
        f"{when} systemd[1]: shop.service: Failed with result 'exit-code'.",
    ]
    tries = [f"try {number}: refused the connection" for number in range(12)]
    assert telling([*(restart + words) * 4, *tries], 20) == [*words * 4, *tries]


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("web1", "ssh web1"),
        ("deploy@web1", "ssh deploy@web1"),
        ("deploy@10.0.0.5:2222", "ssh -p 2222 deploy@10.0.0.5"),
        ("web1:22", "ssh -p 22 web1"),
        ("::1", "ssh ::1"),
        ("deploy@fe80::1%eth0", "ssh deploy@fe80::1%eth0"),
        ("deploy@[::1]:2222", "ssh -p 2222 deploy@::1"),
        ("[::1]", "ssh ::1"),
        ("ada@example.org@web1:22", "ssh -p 22 ada@example.org@web1"),
    ],
)
def test_the_line_to_log_in_can_be_typed(host: str, line: str) -> None:
    """It goes to the address that the name stands for, with ssh's own flag for the port."""
    assert ssh_line(host) == line
    address = Address.parse(host)
    port = ["-p", str(address.port)] if address.port else []
    place = f"{address.user}@{address.host}" if address.user else address.host
    assert line.split() == ["ssh", *port, place]
