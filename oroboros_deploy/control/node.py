"""The control node: the machine that commands run on, with what it has and remembers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from difflib import get_close_matches
from functools import cache, partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import HostUnreachable, InvalidInput, RegistryUnavailable
from ..events import Event, Level, Listener, fan_out, guarded
from ..remote.dialing import Begin, Dialing
from ..user import user_name
from .state_directory import default_registry_url, state_directory

if TYPE_CHECKING:
    from ..config import Config
    from ..host.contract import JournalHead, Sources
    from ..registry import Registry
    from ..remote.host import Host
    from ..source import Source
    from ..ssh import HostConnection
    from .journal_heads import JournalHeads
    from .spool import Spool

Connect = Callable[[str], "HostConnection"]


class ControlNode:
    """Opens the registry, connects to hosts, finds commits, and keeps what has to outlive a command.

    ``config`` are the settings of the command, ``source`` is the path of the git repository,
    ``connect`` opens the connection to a host, ``begin`` is for `Dialing`, ``listener`` hears every event and
    ``actor`` (default: user and machine) is who the registry and the hosts' journals will name.
    ``verbose`` says that all output of builds is to be heard.  ``state`` is the directory of what is
    remembered between commands (default: `state_directory`).
    """

    def __init__(
        self,
        config: Config,
        *,
        source: str | Path,
        connect: Connect,
        listener: Listener,
        begin: Begin | None = None,
        actor: str | None = None,
        verbose: bool = False,
        state: str | Path | None = None,
    ) -> None:
        self.config = config
        self.listener = guarded(listener)
        self.actor = actor or f"{user_name()}@{socket.gethostname()}"
        self.verbose = verbose
        self.state = Path(state or state_directory())
        self._source = source
        self._repository: Callable[[], Source] = partial(_repository, source)
        self._connect = connect
        self._begin = begin

    def with_config(self, config: Config) -> ControlNode:
        """This control node, with other settings."""
        changed = copy(self)
        changed.config = config
        return changed

    # --- hosts ---

    def host(self, name: str, *listeners: Listener) -> Host:
        """A host to work with; connected when it is first used.  ``listeners`` hear its events as well."""
        from ..remote.host import Host  # while the hosts are being connected to

        listener = fan_out(self.listener, *listeners)
        return Host(name, self.config, lambda: self._open(name), listener, self.note_head)

    @contextmanager
    def dialing(self, names: Sequence[str]) -> Iterator[ControlNode]:
        """This control node, connecting to these hosts already."""
        with Dialing(self._connect, names, self._begin) as opening:
            dialing = copy(self)
            dialing._connect = opening
            dialing._repository = cache(self._repository)  # for one command: git is asked once what it is
            yield dialing

    def _open(self, name: str) -> HostConnection:
        try:
            return self._connect(name)
        except HostUnreachable as error:
            if near := get_close_matches(name, self.config.environments, 1):
                error.hint = f"if {near[0]} was meant: fab -H {near[0]}; otherwise {error.hint}"
            elif "has no address" in error.message and name not in chain(*self.config.environments.values()):
                error.hint = f"{error.hint}{self.config.or_environments}"
            raise

    # --- the registry ---

    @contextmanager
    def registry(self, hosts: Sequence[Host] = (), *, write: bool = True) -> Iterator[Registry]:
        """The open registry, through an SSH connection when its URL says ``via``; what was spooled is replayed first.

        ``hosts`` are those in use: one of them is the way to the registry, where its URL leaves that open.
        Without ``write`` the registry is opened as it is: nothing is replayed, no table is made.
        Raises RegistryUnavailable when the database does not answer.
        """
        from ..registry import Registry
        from ..registry.url import check_via

        url, via = self.registry_url, self.registry_via
        with ExitStack() as stack:
            near = None
            if via is not None:
                check_via(url, os.environ)
                near = stack.enter_context(_forwarded(self._gateway(via, hosts, stack).open(), url))
            registry = stack.enter_context(Registry.open(url, near=near, owner=self._releases_owner))
            if write:
                registry.check()
                if registry.notice:
                    self.tell("warning", registry.notice, level="warning")
                self.spool.replay(registry)
            yield registry

    @property
    def registry_url(self) -> str:
        """The registry in use: the configured one, else a file of this user's own."""
        return self.config.registry_url or default_registry_url(self.state)

    @property
    def application(self) -> str:
        """The name of what the root serves, as the registry knows it."""
        return self.config.application or PurePosixPath(self.config.root).name

    @property
    def registry_via(self) -> str | None:
        """The host that the registry is reached through, as its URL names it; None when it is reached from here."""
        from ..registry.url import registry_via

        return registry_via(self.registry_url)

    @property
    def _releases_owner(self) -> str | None:
        """Who makes the table `releases` where it is missing: with a migration of its own, the application."""
        return self.config.registry.releases or ("theirs" if self.config.migrate else None)

    def _gateway(self, via: str, hosts: Sequence[Host], stack: ExitStack) -> Host:
        known = {host.name: host for host in hosts}
        if via != "ssh":
            gateway = known.get(via) or self.host(via)
        elif names := [host.name for host in hosts] or self.config.hosts or self._only_environment():
            gateway = hosts[0] if hosts else self.host(names[0])
        else:
            raise InvalidInput(
                "the registry is reached through a host (via=ssh), and no host was named",
                hint="add -H HOST, or name the host in the URL: ?via=HOST",
            )
        if gateway not in hosts:
            stack.callback(gateway.close)
        return gateway

    def _only_environment(self) -> tuple[str, ...]:
        """The hosts of the one environment there is: where commands go when nobody named a host."""
        environments = list(self.config.environments.values())
        return environments[0] if len(environments) == 1 else ()

    # --- what it remembers ---

    @property
    def spool(self) -> Spool:
        """Where records wait that the registry could not take."""
        from .spool import Spool

        return Spool(self.state / "spool")

    @property
    def journal_heads(self) -> JournalHeads:
        """What this machine remembers of the hosts' journals."""
        from .journal_heads import JournalHeads

        return JournalHeads(self.state / "journals")

    def note_head(self, host: Host, head: JournalHead | None) -> None:
        """Remember where a target's journal ends; it is told when a name leads to another target than before."""
        heads, root = self.journal_heads, self.config.root
        before = heads.target(host.name, root)
        heads.note(host.name, root, head, host.target)
        if before and host.target and before != host.target:
            what = f"the deploy root {root} on {host.name} has another id than when this machine saw it last"
            does = "its journal is not compared with the one from before"
            why = (
                f"this is expected when the host was set up anew, or after a claim; otherwise see {host.typed('audit')}"
            )
            host.tell("warning", f"{what}: {does}; {why}", level="warning")

    # --- commits and events ---

    def configuration(self) -> Sources | None:
        """The values that services find in their environment, secrets too; None where the settings have no `env`.

        Raises InvalidInput.
        """
        from .faults import hide
        from .secrets import sources

        found = sources(self.config, self._source, os.environ)
        hide(found["secrets"].values() if found else ())
        return found

    def source(self) -> Source:
        """The git repository.  Raises InvalidInput when there is none."""
        return self._repository()

    def tell(self, name: str, message: str = "", *, level: Level = "info", **data: Any) -> None:
        """Emit an event about the attempt as a whole."""
        self.listener(Event(name, message, level=level, data=data))


def _repository(path: str | Path) -> Source:
    from ..source import Source

    return Source(path)


@contextmanager
def _forwarded(connection: HostConnection, url: str) -> Iterator[str | int]:
    """A tunnel to the registry; when the database does not listen, that is the registry's trouble, not the host's."""
    with ExitStack() as stack:
        try:
            near = stack.enter_context(_tunnel(connection, url))
        except HostUnreachable as error:
            problem = f"the registry cannot be reached: {error.message}"
            raise RegistryUnavailable(problem, hint=error.hint, host=error.host) from error
        yield near


def _tunnel(connection: HostConnection, url: str) -> AbstractContextManager[str | int]:
    """A socket, which other users of this machine cannot use; a port for who asks for encryption to the server.

    PostgreSQL's client encrypts nothing on a socket, and says so nowhere.
    """
    from ..registry.url import registry_address, wants_tls

    address = registry_address(url)
    return connection.forward_port(*address) if wants_tls(url, os.environ) else connection.forward(*address)
