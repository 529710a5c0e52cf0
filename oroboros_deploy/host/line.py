"""A line of the repository that an activation runs: a migration, a health command."""

from __future__ import annotations

from . import manager, process
from .annotations import Optional


def run(line: str, user: Optional[str], attempt: str, **options: object) -> process.Ended:
    """Run it by bash; as another user than the login, where one is named, as a command of the attempt.

    It cannot become root unless the option ``bound`` is False; with least privilege it never can.
    """
    if manager.chosen().bound:  # the way back leads to what was recorded before root took the right away
        options["bound"] = True
    if user:
        from . import another_user

        other = another_user.of(user)
        if other:
            return another_user.shell(line, other, attempt, **options)  # type: ignore[arg-type]
    return process.shell(line, **options)
