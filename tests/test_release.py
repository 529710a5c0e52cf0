"""Release ids are full commit shas and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.release import parse_release_id

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("text", [SHA, SHA.upper(), "f" * 64])
def test_a_full_sha_is_a_release_id_in_lower_case(text: str) -> None:
    """SHA-1 and SHA-256 names are accepted in either case and have one spelling."""
    assert parse_release_id(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "~",
        "current",
        "a/b",
        SHA[:-1],
        SHA + "0",
        SHA + "\n",
        " " + SHA,
        "\0" * 40,
        "a" * 300,
        "g" * 40,
        "０" * 40,  # full-width digits
        "٠" * 40,  # Arabic digits
        "-" + SHA[1:],
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """What is not a full sha is refused, with words that show it harmlessly."""
    with pytest.raises(InvalidInput) as refused:
        parse_release_id(text)
    assert refused.value.message.startswith("nothing was changed: ")
    assert refused.value.message.isascii()
    assert refused.value.message.isprintable()
    assert refused.value.hint


@given(st.text(max_size=70))
def test_no_text_gets_through_that_is_not_hexadecimal(text: str) -> None:
    """An accepted id is safe as the name of a directory, whatever was typed."""
    try:
        accepted = parse_release_id(text)
    except InvalidInput:
        return
    assert set(accepted) <= set("0123456789abcdef")
    assert len(accepted) in (40, 64)
