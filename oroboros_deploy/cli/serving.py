"""What `fab serve` and `fab token` need of the ``web`` extra."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .typeable import typed

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..web.tokens import Tokens


def serve(
    deployment: Deployment,
    address: str,
    port: int,
    *,
    authenticate: bool,
    allowed_hosts: Sequence[str],
    root_path: str,
    show: Callable[[str], None],
    access_log: bool = False,
) -> None:
    """Serve the deployment's registry until Ctrl-C.

    ``root_path`` is the path that a proxy shows it under; ``show`` hears the URL,
    with ``access_log`` standard error gets a line for each request.
    Raises ConfigError without the extra.
    """
    with _web_extra():
        from ..registry.reopening import StandingRegistry
        from ..web import serve as server
        from ..web.links import Links
    opened = StandingRegistry(deployment.registry)
    with opened as registry, server.listen(address, port) as listener:
        app = server.guarded(
            lambda: registry.reader,
            listener,
            tokens(),
            name=address,
            authenticate=authenticate,
            allowed_hosts=allowed_hosts,
            root_path=root_path,
            show=_log if access_log else None,
            program=typed(),
            links=Links(deployment.config.commit_url, deployment.config.compare_url),
        )
        show(server.url(listener))
        server.run(app, listener)


def _log(line: str) -> None:
    """A line beside what the command prints."""
    from .stream import write

    write(sys.stderr, f"{line}\n")


def tokens() -> Tokens:
    """The tokens that open the registry's page, kept on this machine."""
    from ..control.state_directory import state_directory
    from ..web.tokens import Tokens

    return Tokens(state_directory() / "tokens")


@contextmanager
def _web_extra() -> Iterator[None]:
    """Say which extra is missing, when one of its packages is."""
    from ..errors import ConfigError

    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("oroboros_deploy"):
            raise
        raise ConfigError(
            f"nothing is served: {error.name} is not installed", hint="pip install 'oroboros_deploy[web]'"
        ) from error
