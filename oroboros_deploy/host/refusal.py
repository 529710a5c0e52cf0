"""Why the host did not do what it was asked: a kind the control node knows, and words."""

from __future__ import annotations

from .annotations import Any, Dict, Optional


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
