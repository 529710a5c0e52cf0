"""A host's times, by the clock of this machine."""

from __future__ import annotations

import time

import pytest

from oroboros_deploy.remote.host_clock import HostClock


@pytest.mark.parametrize("ahead", [0, 3600, -3600])
def test_what_is_heard_late_has_the_time_at_which_it_happened(ahead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of this machine, whatever that of the host says, also when somebody sets it back."""
    clock = HostClock()
    heard = [(100, 99.9), (200, 110), (200, 190), (210, 209.9), (220, 19.9), (300, 89.9)]
    found = []
    for now, told in heard:
        monkeypatch.setattr(time, "time", lambda now=now: now)
        found.append(round(clock.moment(told + ahead), 3))
    assert found == [100, 110.1, 190.1, 210, 220, 290]
    assert clock.moment(None) == 300
