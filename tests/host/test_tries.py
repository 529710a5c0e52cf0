"""Tries: the transcript of a gate's probes."""

from __future__ import annotations

from oroboros_deploy.host.probes import Tried
from oroboros_deploy.host.tries import Tries

STARTING = Tried(False, "answered 503; 200 is wanted", 0.01, 503, "starting")
WRONG = Tried(False, "answered 404; 200 is wanted", 0.01, 404, "", settles=True)
REFUSED = Tried(False, "refused the connection", 0.0)


def test_what_is_said_again_is_one_line() -> None:
    """With the tries, from when to when, how long they took, and what was answered last."""
    tries = Tries()
    for number, tried in enumerate([REFUSED, STARTING, STARTING._replace(seconds=0.3, text="ready soon"), REFUSED], 1):
        tries.add("api", number, number / 2, tried)
    tries.add("web", 1, 0.5, Tried(True, "answered 200", 0.002, 200, "ok"))
    assert str(tries) == (
        "--- api\n"
        "try 1 at 0.5 s: refused the connection (in 0.000 s)\n"
        "tries 2 to 3, 1.0 s to 1.5 s: answered 503; 200 is wanted (in 0.010 s to 0.300 s): ready soon\n"
        "try 4 at 2.0 s: refused the connection (in 0.000 s)\n"
        "--- web\n"
        "try 1 at 0.5 s: answered 200 (in 0.002 s): ok"
    )


def test_a_probe_that_changes_its_mind_fills_no_screen() -> None:
    """The first and the last lines are told, and how many are left out."""
    tries = Tries()
    for number in range(1, 101):
        tries.add("api", number, number, STARTING if number % 2 else REFUSED)
    lines = str(tries).split("\n")
    assert (len(lines), lines[1][:5], lines[7], lines[-1][:7]) == (
        14, "try 1", "… 88 lines more, which the log of the attempt has", "try 100",
    )  # fmt: skip


def test_the_same_wrong_answer_settles_after_a_time() -> None:
    """Not one that a start gives, not one that changes, and not one that another process gave before."""
    tries = Tries()
    assert tries.settled(10) is None
    for at in (0.0, 20.0):
        tries.add("api", 1, at, STARTING)
    tries.add("web", 1, 15.0, WRONG)
    tries.add("web", 2, 24.9, WRONG)
    assert tries.settled(10) is None
    tries.add("web", 3, 25.0, WRONG)
    assert tries.settled(10) == "web answered 404; 200 is wanted"
    tries.begin_anew()
    assert tries.settled(10) is None
    tries.add("web", 4, 26.0, WRONG)
    assert tries.settled(10) is None
