"""OpenSSH pattern lists."""

from __future__ import annotations

import pytest

from oroboros_deploy.ssh.patterns import matches


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        (["web1"], "web1", True),
        (["web?"], "web1", True),
        (["web?"], "web", False),
        (["*.example.org"], "a.b.example.org", True),
        (["*", "!web1"], "web1", False),
        (["!web1", "*"], "web2", True),
        (["!web1"], "web2", False),
        (["[10.0.0.*]:22"], "[10.0.0.7]:22", True),
        (["web[12]"], "web1", False),
        (["a.b"], "axb", False),
        ([], "web1", False),
    ],
)
def test_matches(patterns: list[str], name: str, expected: bool) -> None:
    """Stars, question marks and denials mean what they mean to OpenSSH, brackets mean nothing."""
    assert matches(patterns, name) is expected
