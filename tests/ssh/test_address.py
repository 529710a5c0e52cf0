"""Host strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.ssh.address import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("web1", Address("web1")),
        ("root@web1", Address("web1", "root")),
        ("web1:2222", Address("web1", None, 2222)),
        ("root@web1.example.org:2222", Address("web1.example.org", "root", 2222)),
        ("10.0.0.1:22", Address("10.0.0.1", None, 22)),
        ("::1", Address("::1")),
        ("root@fe80::1%eth0", Address("fe80::1%eth0", "root")),
        ("[::1]", Address("::1")),
        ("root@[::1]:22", Address("::1", "root", 22)),
        (r"CORP\jo@web1", Address("web1", r"CORP\jo")),
        ("jo@corp@web1", Address("web1", "jo@corp")),
    ],
)
def test_forms(text: str, address: Address) -> None:
    """Every form that people write is understood."""
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "web 1", "web1 ", "web1\n", "-web1", "-oProxyCommand=x", "user@-oProxyCommand=x", "-u@web1", "@web1",
        "web1:", "web1:0", "web1:65536", "web1:x", "web1:+22", "web1:٢٢", "[web1]:22", "[::1", "::1]:22", "a:b:c",
        "user@", "ssh://web1", "web1;id", "$(id)", "web1/x", "wéb1", "[::1%$(id)]", "fe80::1%$(id)", "u u@web1",
    ],
)  # fmt: skip
def test_refusals(text: str) -> None:
    """Anything else is refused by a named error that shows it."""
    with pytest.raises(InvalidInput) as caught:
        Address.parse(text)
    assert caught.value.message == f"{text!r} is not a host"


@given(st.text(max_size=30))
def test_nothing_harmful_gets_through(text: str) -> None:
    """Whatever is parsed holds no blank, no quote, no shell character, and starts with no dash."""
    try:
        address = Address.parse(text)
    except InvalidInput:
        return
    for word in (address.host, address.user or "x"):
        assert not set(word) & set(" \t\n'\"`$;&|<>(){}[]*?!#/") and not word.startswith("-")
