"""The registry room: the only one that speaks to the database of the registry."""

import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .registry import Registry

__all__ = ["Registry"]


def __getattr__(name: str) -> Any:
    """Import `Registry` when it is first asked for: SQLAlchemy costs more than the rest together."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    collecting = gc.isenabled()
    gc.disable()  # of thousands of new classes none is garbage: looking for it costs a fifth of the import
    try:
        from .registry import Registry
    finally:
        if collecting:
            gc.enable()
    return Registry
