"""Environment variables as text: what we read of a file is what systemd reads of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.host import env_file

# What systemd's own reader makes of each, which a test on a booted host asks it.
READ = {
    "A=1": {"A": "1"},
    "\n  A=1\n\n\tB=2\n": {"A": "1", "B": "2"},
    "# one\n; two\nA=1": {"A": "1"},
    "# a comment \\\\\nA=1": {"A": "1"},
    "A=": {"A": ""},
    "A =  one two  ": {"A": "one two"},
    "A='one $x \" \\ '": {"A": 'one $x " \\ '},
    'A="one \\" \\\\ \\$ \\` \\n"': {"A": 'one " \\ $ ` \\n'},
    'A="one\ntwo"': {"A": "one\ntwo"},
    'A="one\\\ntwo"': {"A": "onetwo"},
    "A='one\ntwo'": {"A": "one\ntwo"},
    "A=one\\\ntwo": {"A": "onetwo"},
    "A=one\\ \\\"two\\'\\\\": {"A": "one \"two'\\"},
    "A=one\\ ": {"A": "one "},
    "A=\"one\" 'two' three ": {"A": "onetwothree"},
    'A=one "two"': {"A": 'one "two"'},
    "A=one # two": {"A": "one # two"},
    "A=one=two": {"A": "one=two"},
    "A=1\r\nB=2\r\n": {"A": "1", "B": "2"},
    "A=ä€\t🙂": {"A": "ä€\t🙂"},
}
REFUSED = {
    "A=1\nB\n": "line 2 has no NAME=value",
    "A": "line 1 has no NAME=value",
    "=1": "line 1 has no NAME=value",
    "export A=1": "line 1 has no NAME=value",
    "1A=1": "line 1 has no NAME=value",
    "A=1\nB=2\nA=3": "line 3 has A for the second time",
    'A=1\nB="two': "line 2 begins a quote that does not end",
    "B='two": "line 1 begins a quote that does not end",
    "# comment \\\nA=1": "line 1 is a comment that ends with a backslash",
    "A=\x07": "the value of A has control characters",
    "A=\0": "the value of A has control characters",
}


@pytest.mark.parametrize("text", READ)
def test_reading(text: str) -> None:
    """Quotes, escapes, comments and blanks mean what they mean to systemd."""
    assert env_file.parse(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(text: str) -> None:
    """What systemd would pass over, or read in a way that nobody meant, is refused by its line, without any value."""
    with pytest.raises(env_file.Wrong, match=REFUSED[text]) as caught:
        env_file.parse(text)
    assert "two" not in str(caught.value)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\t\n")),
    )
)
def test_what_is_written_is_read(variables: dict[str, str]) -> None:
    """Whatever the values are, reading what was written gives them again, and the comments too."""
    text = env_file.render(variables, ["file: A B", "values: C"])
    assert env_file.parse(text) == variables
    assert list(env_file.comments(text)) == ["file: A B", "values: C"]


@pytest.mark.parametrize(
    "text", ["c2VjcmV0==", "A=1\nc2VjcmV0==\n", "aGVsbG8gd29ybGQhIQ=", "MFRGGZDFMZTWQ2LK====", "  c2VjcmV0=  "]
)
def test_a_value_without_a_name(text: str) -> None:
    """Base64 that a command prints is refused by its line; nothing of it is told, for it is the secret."""
    with pytest.raises(env_file.Wrong, match=rf"^line {2 if text.startswith('A') else 1} looks like a value") as wrong:
        env_file.printed(text)
    assert not any(part in str(wrong.value) for part in ("c2Vj", "aGVs", "MFRG"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("EMPTY=\nhttp_proxy=\n", {"EMPTY": "", "http_proxy": ""}),
        ("KEY=c2VjcmV0==\n", {"KEY": "c2VjcmV0=="}),
        ('MyName=""\nQ="="\n', {"MyName": "", "Q": "="}),
        ('PEM="-----BEGIN\nc2VjcmV0==\n-----END"\n', {"PEM": "-----BEGIN\nc2VjcmV0==\n-----END"}),
    ],
)
def test_a_name_with_such_a_value(text: str, found: dict[str, str]) -> None:
    """Names without a value, and values that end with '=', are what they are."""
    assert env_file.printed(text) == found
