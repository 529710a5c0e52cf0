"""The file that lets one login ask systemd for what a deploy needs: its name, and how it is put there.  Pure."""

from __future__ import annotations

RULES = "/etc/sudoers.d/oroboros-"
INSTEAD_OF_A_DOT = "+"  # sudo reads no file with a dot in its name, and no login has a plus


def file(login: str) -> str:
    """The file of this login alone."""
    return f"{RULES}{login.replace('.', INSTEAD_OF_A_DOT)}"


def put(login: str, write: str) -> str:
    """The line for root: ``write`` writes the rule, which is checked before it has the name that sudo reads."""
    new = f"{file(login)}.new"
    return f"{write} >{new} && chmod 0440 {new} && visudo -cf {new} && mv {new} {file(login)}"
