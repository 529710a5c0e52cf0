"""A settings file that Invoke cannot walk through is refused with the place of the fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.cli.settings_file import read_yaml, refuse_unusable


@pytest.mark.parametrize("name", [False, 1, None, 2.5])
def test_a_name_that_is_no_text(name: object) -> None:
    """The message names the place and the name, and how to write it."""
    with pytest.raises(ValueError, match=r"deploy\.environments: the name .* is no text for YAML: put it in quotes"):
        refuse_unusable({"deploy": {"environments": {name: {}}}})


def test_what_holds_itself() -> None:
    """An alias within what it names ends in words, not in a recursion."""
    held: dict[str, Any] = {"steps": []}
    held["steps"].append(held)
    with pytest.raises(ValueError, match=r"deploy\.steps\.0 holds itself, by an alias"):
        refuse_unusable({"deploy": held})


def test_what_is_used_twice_holds_nothing_of_itself() -> None:
    """One mapping under two names is no fault."""
    shared = {"hosts": ["web1"]}
    refuse_unusable({"deploy": {"environments": {"prod": shared, "staging": shared}}})


def test_a_name_that_is_said_twice(tmp_path: Path) -> None:
    """In any mapping; what a merge key brings may be said anew, for that is what it is for."""
    file = tmp_path / "fabric.yaml"
    more = "more: &more\n  <<: *base\n  keep: 4\n"
    file.write_text(f"base: &base {{root: /srv/a, keep: 3}}\n{more}deploy: {{<<: *more, keep: 5}}\n")
    assert read_yaml(str(file)) == {
        "base": {"root": "/srv/a", "keep": 3},
        "more": {"root": "/srv/a", "keep": 4},
        "deploy": {"root": "/srv/a", "keep": 5},
    }
    file.write_text("deploy:\n  environments:\n    prod: {hosts: [a]}\n    prod: {hosts: [b]}\n")
    with pytest.raises(ValueError, match="prod is said twice, in lines 3 and 4: keep one of them"):
        read_yaml(str(file))
