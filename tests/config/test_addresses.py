"""An address is shown only where each of its parts can be told, and never with a user or a password."""

from __future__ import annotations

import pytest

from oroboros_deploy.config.addresses import NOT_SHOWN, is_git_url, shown_registry


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:hunter2@db:5432/reg", "postgresql://***@db:5432/reg"),
        ("postgresql://db/reg?password=hunter2&port=5433", "postgresql://db/reg?password=***&port=5433"),
        ("postgresql://db/reg?unknown=hunter2", "postgresql://db/reg?***"),
        ("sqlite:////srv/registry.db", "sqlite:////srv/registry.db"),
        ("postgresql:/ada:hunter2@db/reg", NOT_SHOWN),
        ("ada:hunter2@db/reg", NOT_SHOWN),
        ("host=db password=hunter2", NOT_SHOWN),
    ],
)
def test_a_registry_is_shown_without_secrets(url: str, shown: str) -> None:
    """What can be read is shown but for user and password; what cannot be read is not shown at all."""
    assert shown_registry(url) == shown


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://git.example.org/shop.git", True),
        ("ssh://deploy@git.example.org/shop.git", True),
        ("deploy@git.example.org:shop.git", True),
        ("https://ada:hunter2@git.example.org/shop.git", False),
        ("https:/ada:hunter2@git.example.org/shop.git", False),
    ],
)
def test_a_git_url_with_a_password_is_none(url: str, plain: bool) -> None:
    """A URL that holds a login which git would send is not taken."""
    assert is_git_url(url) == plain
