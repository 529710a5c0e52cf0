"""What Invoke logs of settings shows no secret."""

from __future__ import annotations

import logging

import pytest

from oroboros_deploy.cli.debug_log import hide_secrets


@pytest.mark.parametrize(
    "said",
    [
        "{'deploy': {'registry_url': 'postgresql://ada:hunter2@db/reg'}}",
        "{'deploy': {'registry_ulr': 'postgresql://ada:hunter2@db/reg'}}",
        "{'connect_kwargs': {'password': 'hunter2', 'passphrase': \"hunter2\"}}",
        "{'url': ['hunter2'], 'token': {'a': 'hunter2'}}",
        "postgresql:/ada:hunter2@db/reg",
        "host=db password=hunter2",
    ],
)
def test_a_secret_is_hidden(said: str, caplog: pytest.LogCaptureFixture) -> None:
    """A password is hidden by its setting's name, in a URL, and as a parameter; the rest of the line stays."""
    hide_secrets()
    with caplog.at_level(logging.DEBUG, logger="invoke"):
        logging.getLogger("invoke").debug("settings: %s", said)
    assert ("hunter2" in caplog.text, "settings: " in caplog.text) == (False, True)
