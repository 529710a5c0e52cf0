"""The web room: the registry as an API, a page and figures, over HTTP, for reading only.

It needs the extra: ``pip install 'oroboros_deploy[web]'``.  In an application of your own:

    from oroboros_deploy.web import router, session_reader

    app.include_router(router(lambda: registry.reader))           # a Registry that you opened, or
    app.include_router(router(reader))                            # your session, by a dependency:

    def reader(session: Session = Depends(get_session)) -> Reader:
        return session_reader(session)

As an application of its own, with the page and the guard of `fab serve`: ``application(registry_url)``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..registry.session import session_reader
    from .api import router
    from .site import application

__all__ = ["application", "router", "session_reader"]

_LAZY = {"application": ".site", "router": ".api", "session_reader": "..registry.session"}


def __getattr__(name: str) -> Any:
    """Import FastAPI when it is first asked for: the tokens in this room do without."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
