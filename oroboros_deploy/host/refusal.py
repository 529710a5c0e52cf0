"""Why the host did not do what it was asked: a kind the control node knows, and words."""

from __future__ import annotations

import errno

from .annotations import TYPE_CHECKING, Optional, cast

if TYPE_CHECKING:
    from typing import Unpack

    from . import contract
    from .contract import RefusalDetails, RefusalKind

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Refusal(Exception):
    """Ends a call with a refusal instead of a result.

    ``kind`` is one of ``invalid`` (nothing was changed), ``missing`` (no such
    release), ``busy``, ``build_failed``, ``cancelled``, or ``unknown`` (an activation began, and cannot be told of).
    """

    def __init__(
        self, kind: RefusalKind, message: str, hint: Optional[str] = None, **details: Unpack[RefusalDetails]
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.details = details

    def as_dict(self) -> contract.Refusal:
        """Plain values, for the wire and for the result of an attempt."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint, **self.details}


class Failed(Exception):
    """A step of an activation failed; the host is to be restored."""

    def __init__(self, message: str, transcript: str = "") -> None:
        super().__init__(message)
        self.transcript = transcript


def read(said: contract.Refusal) -> Refusal:
    """The refusal that `as_dict` made plain values of."""
    details = {name: value for name, value in said.items() if name not in ("kind", "message", "hint")}
    return Refusal(said["kind"], said["message"], said["hint"], **cast("RefusalDetails", details))


def of_host(kind: RefusalKind, what: str, error: OSError) -> Refusal:
    """The host's own trouble, with what helps against it; ``what`` says what did not work."""
    if isinstance(error, FileNotFoundError) and error.filename:
        hint = "put it back on the host, then run the same command again"
        return Refusal(kind, f"{what}: {error.filename} is not there", hint=hint)
    room = "fab -H HOST prune  removes old releases; on the host, df -h and df -i tell what is full"
    hint = room if error.errno in _FULL else "fab -H HOST status  tells what the host serves"
    return Refusal(kind, f"{what}: {error}", hint=hint)
