"""The answer of ssh, read."""

from __future__ import annotations

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.ssh.answer import Answer, read


def test_read() -> None:
    """Keywords in lower case, every value in order, also an empty one and one with spaces."""
    found = read("host web1\nIdentityFile ~/my key\nidentityfile b\nkexalgorithms \n")
    assert found == {"host": ("web1",), "identityfile": ("~/my key", "b"), "kexalgorithms": ("",)}


def test_what_is_set() -> None:
    """Set is what differs from what is so anyway."""
    answer = Answer("web1", {"port": ("22",), "user": ("jo",)}, {"port": ("22",), "user": ("me",)})
    assert (answer.is_set("Port"), answer.is_set("User"), answer.is_set("Ciphers")) == (False, True, False)
    assert (answer.chosen("Port"), answer.get("Port"), answer.chosen("User")) == (None, "22", "jo")


def test_a_value_that_is_not_understood() -> None:
    """The error names the host, the keyword and the value."""
    answer = Answer("web1", {"port": ("nine",)}, {})
    with pytest.raises(ConfigError) as caught:
        answer.value("Port", int, 22)
    assert str(caught.value) == (
        "web1: ssh_config: Port nine: this value is not understood\n  → ssh -G web1 shows what it says"
    )
    assert answer.value("Absent", int, 7) == 7
