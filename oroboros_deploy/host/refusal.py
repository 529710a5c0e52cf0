"""Why the host did not do what it was asked: a kind the control node knows, and words."""

from __future__ import annotations

import errno

from .annotations import Any, Dict, Optional

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Refusal(Exception):
    """Ends a call with an answer instead of a result.

    ``kind`` is one of ``invalid`` (nothing was changed), ``missing`` (no such
    release), ``busy``, ``build_failed`` or ``cancelled``.
    """

    def __init__(self, kind: str, message: str, hint: Optional[str] = None, **data: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.data = data

    def as_dict(self) -> Dict[str, Any]:
        """Plain values, for the wire."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint, **self.data}


def of_host(kind: str, what: str, error: OSError) -> Refusal:
    """The host's own trouble, with what helps against it; ``what`` says what did not work."""
    if isinstance(error, FileNotFoundError) and error.filename:
        hint = "put it back on the host, then run the same command again"
        return Refusal(kind, f"{what}: {error.filename} is not there", hint=hint)
    hint = "df -h; df -i" if error.errno in _FULL else "fab -H HOST status  tells what the host serves"
    return Refusal(kind, f"{what}: {error}", hint=hint)
