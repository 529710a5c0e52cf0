"""The words that a host and the control node share."""

from __future__ import annotations

from oroboros_deploy.host.state import FINAL, TRANSITIONS
from oroboros_deploy.host.words import PHASES, busy, held, moment, put_away, stays_disabled, sudoers


def test_every_phase_has_words() -> None:
    """Each phase of the state machine is told when it is reached, and what follows each that is not the last."""
    assert set(PHASES) == set(TRANSITIONS)
    assert {phase for phase, words in PHASES.items() if words.following is None} == set(FINAL)


def test_who_is_in_the_way_is_named() -> None:
    """An activation and a person's hold are told with who, since when and what for."""
    running = {"kind": "deploy", "target": "a" * 40, "actor": "eve", "since": 1_800_000_000.0, "phase": "gated"}
    assert busy(running) == f"deploy of {'a' * 40} by eve holds this host since 08:00:00 UTC (gated)"
    assert busy({}) == "another activation holds this host (just begun, or of another deploy root)"
    hold = {"actor": "ada@desk", "at": 1_800_000_000.0, "reason": "the fair"}
    assert held(hold) == "held by ada@desk since 2027-01-15 08:00:00 UTC: the fair"


def test_what_comes_back_disabled() -> None:
    """It is told with the command that enables it."""
    told = "a.timer was disabled by somebody before a release took it away: it stays disabled"
    assert stays_disabled("a.timer", "systemctl") == f"{told} (systemctl enable --now a.timer enables it)"


def test_what_starts_a_service_again() -> None:
    """The command is for the manager that runs the unit."""
    told = "api was stopped and disabled since the last good attempt: it is left so and not watched"
    assert put_away("api") == f"{told} (systemctl enable --now api starts it)"
    assert put_away("api", "systemctl --user") == f"{told} (systemctl --user enable --now api starts it)"


def test_what_sudo_has_to_allow() -> None:
    """The line can be pasted."""
    assert sudoers("deploy").endswith(" deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run")
    assert moment(0) == "1970-01-01 00:00:00"
