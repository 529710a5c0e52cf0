"""What was found decides the exit code, and its order."""

from __future__ import annotations

from oroboros_deploy.doctor.finding import Diagnosis, Finding, worst_first
from oroboros_deploy.errors import ExitCode

NOTE = Finding("note", "a clock", "times", None)
REFUSED = Finding("refused", "no git", "a deploy", "apt")


def test_the_worst_is_first_and_each_is_there_once() -> None:
    """Within a level the order stays."""
    other = Finding("note", "a disk", "space", None)
    assert worst_first([NOTE, REFUSED, other, NOTE]) == (REFUSED, NOTE, other)


def test_the_exit_code() -> None:
    """2 for anything that stops a deploy, wherever it is; notes alone are 0."""
    assert Diagnosis((), {"web1": ()}).exit_code == ExitCode.LIVE
    assert Diagnosis((NOTE,), {"web1": (NOTE,)}).exit_code == ExitCode.LIVE
    assert Diagnosis((), {"web1": (NOTE,), "web2": (REFUSED,)}).exit_code == ExitCode.INVALID
    assert Diagnosis((REFUSED,), {"web1": ()}).exit_code == ExitCode.INVALID
