"""A deploy and a rollback, from what was asked to what came of it: the one place where all rooms meet."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from . import threads
from .config import Config, layers_of, load
from .errors import (
    ConfigError,
    DeployError,
    HostUnreachable,
    InvalidInput,
    RegistryUnavailable,
    UnknownCommit,
    UnknownRelease,
)
from .events import Event, Level, Listener, fan_out, guarded
from .release import parse_release_id
from .remote.dialing import Dialing
from .remote.host import Host
from .user import user_name

if TYPE_CHECKING:
    from .control.journal_heads import Witness
    from .control.spool import Spool
    from .host.contract import (
        AuditAnswer,
        Facts,
        FactsRequest,
        LockAnswer,
        PinAnswer,
        PruneAnswer,
        UnlockAnswer,
        UnpinAnswer,
    )
    from .outcome import Kind, Outcome
    from .records.reconcile import Repairs
    from .records.record import Record
    from .registry import Registry
    from .source import Commit, Source
    from .ssh import HostConnection, SshOptions

T = TypeVar("T")
Answers = dict[str, T | DeployError]  # by the names of the hosts
_OFTEN = 100  # repairs between two signs of life
_REMEMBERING = 2.0  # seconds that `status` waits for the registry


def load_config(directory: str | Path = ".", *, environment: str | None = None, **flags: Any) -> Config:
    """The settings of the ``fabric.yaml`` in a directory, with the environment's overrides, as ``fab`` reads them.

    ``flags`` are settings by name (``root=...``), which win over everything else.
    Raises ConfigError.
    """
    import fabric

    files = fabric.Config(lazy=True)
    try:
        files.load_base_conf_files()
        files.set_project_location(str(directory))
        files.load_project()
    except Exception as error:  # of YAML, mostly, whose errors have no common class of their own in Invoke
        raise ConfigError(f"nothing was changed: the settings cannot be read: {error}") from error
    return load(layers_of(files), os.environ, environment=environment, flags=flags)


def _ssh(options: SshOptions | None, listener: Listener) -> Callable[[str], HostConnection]:
    def warn(message: str) -> None:
        listener(Event("warning", message, level="warning"))

    def connect(name: str) -> HostConnection:
        from . import ssh

        return ssh.connect(name, options, warn=warn)

    return connect


def _ignore(_: Event) -> None:
    """Listen to nothing."""


class Deployment:
    """Deploys and rolls back with one configuration; keeps no state between calls.

    ``source`` is the control node's git repository (default: the working directory),
    ``ssh`` what to know for logging in, ``listener`` hears every event, ``actor`` is
    who the registry and the hosts' journals will name.  Of what builds print fast, ``listener``
    hears all only when ``verbose``; it is whole in the hosts' logs.  ``connect`` opens the connection
    to a host, where ours is not wanted.
    """

    def __init__(
        self,
        config: Config,
        *,
        source: str | Path = ".",
        ssh: SshOptions | None = None,
        listener: Listener = _ignore,
        actor: str | None = None,
        verbose: bool = False,
        connect: Callable[[str], HostConnection] | None = None,
    ) -> None:
        self.config = config
        self._source_path = source
        self.listener = guarded(listener)
        self._open = connect or _ssh(ssh, self.listener)
        self.verbose = verbose
        self._actor = actor or f"{user_name()}@{socket.gethostname()}"

    def with_config(self, config: Config) -> Deployment:
        """The same, with another configuration."""
        changed = copy(self)
        changed.config = config
        return changed

    def deploy(self, hosts: Sequence[str] | None = None, *, sha: str) -> Outcome:
        """Build the commit on every host, then switch host after host; stop at the first that fails.

        ``hosts`` defaults to those of the configuration's environment; ``sha`` is a full
        sha, an unambiguous prefix or a ref of the source repository.  Raises a
        DeployError while nothing live has changed; returns an Outcome from then on.
        """
        names = self._hosts(hosts)
        with self._dialing(names) as dialing:
            commit = self._commit(sha)
            return dialing._attempt("deploy", commit, names)

    def rollback(self, hosts: Sequence[str] | None = None, *, release: str) -> Outcome:
        """Switch back to a release that the hosts still have; the same activation as a deploy's.

        Without ``hosts``: the environment's, else those where the registry saw the release live.
        """
        names = self._named(hosts)
        release_id, found, _ = self._recorded(release, wanted=not names)
        names = self._hosts(names or found)
        with self._dialing(names) as dialing:
            return dialing._attempt("rollback", dialing._described(release_id), names)

    def whereabouts(self, release: str | None = None) -> list[str]:
        """Where to go when nobody said: the one environment there is, else that of the release, else its hosts.

        Without a release: all hosts that the registry knows.  An environment's name stands
        for its settings too, so it is to be given to ``load`` like a name after ``-H``.
        """
        if len(self.config.environments) == 1:
            return list(self.config.environments)
        if release is None:
            return self._serving()
        _, hosts, environment = self._recorded(release, wanted=True)
        return [environment] if environment and environment in self.config.environments else hosts

    def status(self, hosts: Sequence[str] | None = None) -> Answers[Facts]:
        """What each host serves, has and remembers, read from the hosts themselves."""
        names = self._named(hosts) or self._serving()
        request: FactsRequest = {
            "services": list(self.config.services),
            "restart": not self.config.skip_restart,
            "history": 5,
        }
        with self._dialing(self._hosts(names)) as dialing:
            threads.beside(_import_registry)  # it is waited for at the end
            return dialing._ask(names, lambda host: host.facts(request), self._remember)

    def lock(self, hosts: Sequence[str] | None = None, *, reason: str) -> Answers[LockAnswer]:
        """Hold hosts on purpose: nothing is deployed, rolled back or pruned there until somebody unlocks them.

        An activation that runs goes on to its end (``running`` in the answer).  A host that
        is locked already answers Busy; whose lock it is stays as it was.
        """
        if not reason.strip() or not reason.isprintable():
            raise InvalidInput("nothing was changed: the reason must be one line of text", hint='--reason="why"')
        return self._ask(hosts, lambda host: host.lock(self.actor, reason.strip()))

    def unlock(self, hosts: Sequence[str] | None = None) -> Answers[UnlockAnswer]:
        """Free hosts; ``freed`` in the answer is the lock that ended, None when there was none."""
        return self._ask(hosts, lambda host: host.unlock(self.actor))

    def pin(self, hosts: Sequence[str] | None = None, *, release: str) -> Answers[PinAnswer]:
        """Keep a release that the hosts have from being pruned."""
        release_id = self._recorded(release, wanted=False)[0]
        return self._ask(hosts, lambda host: host.pin(self.actor, release_id))

    def unpin(self, hosts: Sequence[str] | None = None, *, release: str) -> Answers[UnpinAnswer]:
        """Let a release be pruned like any other."""
        release_id = self._recorded(release, wanted=False)[0]
        return self._ask(hosts, lambda host: host.unpin(release_id))

    def prune(self, hosts: Sequence[str] | None = None, *, dry_run: bool = False) -> Answers[PruneAnswer]:
        """Remove the releases beyond the ``keep`` of the configuration; the answer says of each why it stays or goes.

        The live release, the one that served before it, pinned ones and those in use stay.
        With ``dry_run`` nothing is removed.
        """
        return self._ask(hosts, lambda host: host.prune(self.config.keep, dry_run=dry_run))

    def audit(
        self, hosts: Sequence[str] | None = None, *, verify: bool = False, limit: int = 20
    ) -> Answers[AuditAnswer]:
        """The last entries of the hosts' journals; with ``verify`` also the first ``wrong`` line of the whole.

        What this machine remembers of earlier looks is held against them too: a host
        cannot take back what was seen.
        """
        names = self._named(hosts) or self._serving()

        def look(host: Host) -> AuditAnswer:
            seen = self.witness.seen(host.name, self.config.root)
            answer = host.audit(verify=verify, limit=limit, seen=seen)
            if answer["wrong"] is None:
                self.witness.note(host.name, self.config.root, answer["head"])
            return answer

        return self._ask(names, look)

    def reconcile(self, hosts: Sequence[str] | None = None, *, dry_run: bool = False) -> Repairs:
        """Make the registry say what the hosts' journals say, and return what differed; once is enough.

        ``hosts`` defaults to those of the environment, else to those that the registry
        knows.  ``dry_run`` compares and writes nothing.  Raises RegistryUnavailable.  A
        host that cannot be read is among the doubts, and its part of the registry is kept.
        """
        from .records.reconcile import compare

        with ExitStack() as stack:
            works = [self.connect(name) for name in dict.fromkeys(self._named(hosts))]
            registry = stack.enter_context(self.registry(works, write=not dry_run))
            memory = registry.memory()
            works = works or [self.connect(name) for name in memory.hosts]
            stack.callback(lambda: _close(works))
            self._hosts([work.name for work in works])
            self.tell("journals", f"reading the journals of {len(works)} hosts")
            read = threads.on_each(works, lambda host: host.journal(), lambda: _leave(works))
            unread = {work.name: each for work, each in zip(works, read, strict=True) if isinstance(each, DeployError)}
            repairs = compare(memory, [each for each in read if not isinstance(each, DeployError)])
            repairs = self._completed(repairs, unread, waiting=self.spool.pending(registry.key))
            return repairs if dry_run else self._mend(registry, repairs)

    def connect(self, name: str, *listeners: Listener) -> Host:
        """A host to work with; connected when it is first used.  ``listeners`` hear its events as well."""
        return Host(name, self.config, lambda: self._connect(name), fan_out(self.listener, self._see, *listeners))

    def known_hosts(self) -> dict[str, str | None]:
        """The hosts that the registry knows, each with the environment it was last deployed to in."""
        with self.registry(write=False) as registry:
            return dict(registry.memory().hosts)

    @contextmanager
    def registry(self, hosts: Sequence[Host] = (), *, write: bool = True) -> Iterator[Registry]:
        """The open registry, through an SSH connection when its URL says ``via``; what was spooled is replayed first.

        Without ``write`` it is opened as it is: nothing is replayed, no table is made.
        Raises RegistryUnavailable when the database does not answer.
        """
        from .registry import Registry
        from .registry.url import registry_address

        url, via = self.registry_url, self.registry_via
        with ExitStack() as stack:
            directory = None
            if via is not None:
                connection = self._gateway(via, hosts, stack).open()
                directory = stack.enter_context(_forwarded(connection, *registry_address(url)))
            registry = stack.enter_context(Registry.open(url, socket_dir=directory))
            if write:
                registry.check()
                self.spool.replay(registry)
            yield registry

    @property
    def registry_url(self) -> str:
        """The registry in use: the configured one, else a file of this user's own."""
        from .registry.url import default_url

        return self.config.registry_url or default_url()

    @property
    def registry_via(self) -> str | None:
        """The host that the registry is reached through, as its URL names it; None when it is reached from here."""
        from .registry.url import registry_via

        return registry_via(self.registry_url)

    @property
    def spool(self) -> Spool:
        """Where records wait that the registry could not take."""
        from .control.spool import Spool
        from .registry.url import state_directory

        return Spool(state_directory() / "spool")

    @property
    def witness(self) -> Witness:
        """What this machine remembers of the hosts' journals."""
        from .control.journal_heads import Witness
        from .registry.url import state_directory

        return Witness(state_directory() / "journals")

    def tell(self, name: str, message: str = "", *, level: Level = "info", **data: Any) -> None:
        """Emit an event about the attempt as a whole."""
        self.listener(Event(name, message, level=level, data=data))

    @property
    def actor(self) -> str:
        """Who acts, as it is recorded."""
        return self._actor

    def source(self) -> Source:
        """The control node's repository."""
        from .source import Source

        return Source(self._source_path)

    @contextmanager
    def _dialing(self, names: Sequence[str]) -> Iterator[Deployment]:
        """The same, connecting already."""
        with Dialing(self._open, names) as opening:
            dialing = copy(self)
            dialing._open = opening
            yield dialing

    def _connect(self, name: str) -> HostConnection:
        try:
            return self._open(name)
        except HostUnreachable as error:
            if near := get_close_matches(name, self.config.environments, 1):
                error.hint = f"if {near[0]} was meant: fab -H {near[0]}; otherwise {error.hint}"
            raise

    def _attempt(self, kind: Kind, commit: Commit, names: Sequence[str]) -> Outcome:
        from .control.attempt import Attempt  # while it is being connected

        return Attempt(self, kind, commit, names).run()

    def _gateway(self, via: str, hosts: Sequence[Host], stack: ExitStack) -> Host:
        known = {host.name: host for host in hosts}
        if via != "ssh":
            gateway = known.get(via) or self.connect(via)
        elif hosts or self.config.hosts:
            gateway = hosts[0] if hosts else self.connect(self.config.hosts[0])
        else:
            raise InvalidInput(
                "the registry is reached through a host (via=ssh), and no host was named",
                hint="add -H HOST, or name the host in the URL: ?via=HOST",
            )
        if gateway not in hosts:
            stack.callback(gateway.close)
        return gateway

    def _named(self, hosts: Sequence[str] | None) -> list[str]:
        """The hosts, of which one may be given by its name alone; else those of the configuration."""
        return [hosts] if isinstance(hosts, str) else list(hosts or self.config.hosts)

    def _hosts(self, hosts: Sequence[str] | None) -> list[str]:
        names = list(dict.fromkeys(self._named(hosts)))
        if not names:
            raise InvalidInput("nothing was changed: no host was named", hint="add -H HOST or -H ENVIRONMENT")
        return names

    def _ask(
        self,
        hosts: Sequence[str] | None,
        work: Callable[[Host], T],
        then: Callable[[Sequence[Host], Answers[T]], None] | None = None,
    ) -> Answers[T]:
        """Do the work on every host, side by side; an error is the answer of its host alone."""
        works = [self.connect(name) for name in self._hosts(hosts)]
        try:
            found = threads.on_each(works, work, lambda: _leave(works))
            answers: Answers[T] = dict(zip((host.name for host in works), found, strict=True))
            if then:
                then(works, answers)
        finally:
            _close(works)
        return answers

    def _see(self, event: Event) -> None:
        if event.name == "facts.read" and event.host:
            self.witness.note(event.host, self.config.root, event.data["head"])

    def _remember(self, works: Sequence[Host], answers: Answers[Facts]) -> None:
        """Tell the registry what the hosts serve; an answer about the hosts does not wait long for that."""
        live = {name: answer["live"] for name, answer in answers.items() if not isinstance(answer, DeployError)}

        def observe() -> None:
            # Whatever goes wrong, also because the connections are closed meanwhile, is no news for whoever asked.
            with suppress(Exception), self.registry(works) as registry:
                registry.observe(live, self.config.environment)

        thread = Thread(target=observe, name="observe", daemon=True)
        thread.start()
        thread.join(_REMEMBERING)

    def _completed(self, found: Repairs, unread: Mapping[str, DeployError], waiting: Sequence[Record]) -> Repairs:
        """The repairs, with what this machine can add to them and what else is doubtful."""
        from .records.reconcile import Doubt

        doubts = [Doubt(name, f"it was not read, its part is kept as it is: {e.message}") for name, e in unread.items()]
        if waiting:
            doubts.append(
                Doubt(None, f"{len(waiting)} records wait here; the next command that writes writes them first")
            )
        commits = {each.record.attempt: self._described(each.record.commit_sha) for each in found.attempts}
        nameless = {commit.sha for commit in commits.values() if not commit.subject}
        if nameless:
            doubts.append(
                Doubt(None, f"subjects and times of {len(nameless)} commits: this repository does not have them")
            )
        attempts = [
            replace(each, record=_with_commit(each.record, commits[each.record.attempt])) for each in found.attempts
        ]
        return replace(found, attempts=tuple(attempts), doubts=(*found.doubts, *doubts), unread=tuple(unread))

    def _mend(self, registry: Registry, repairs: Repairs) -> Repairs:
        """Write the repairs one by one.  Rows first, hosts last: whatever is not reached is found again next time."""
        from .records.reconcile import Doubt, Repair

        changed = 0
        for number, repair in enumerate(chain[Repair](repairs.rows, repairs.attempts, repairs.serving), 1):
            changed += not registry.mend(repair)
            if number % _OFTEN == 0:
                self.tell("registry.mended", f"{number} of {len(repairs)} repairs are written")
        late = Doubt(
            None, f"{changed} repairs were not made: the registry was changed meanwhile; once more finds the rest"
        )
        return replace(repairs, written=True, doubts=(*repairs.doubts, *([late] if changed else [])))

    def _commit(self, text: str) -> Commit:
        if self.config.repo_url:
            return self._commit_by_url(text)
        commit = self.source().resolve(text)
        level: Level = "detail" if commit.ref is None else "info"
        self.tell(
            "commit",
            f"{text} is {commit.sha}: {commit.subject}",
            level=level,
            sha=commit.sha,
            subject=commit.subject,
        )
        return commit

    def _commit_by_url(self, text: str) -> Commit:
        """With a repository URL the hosts know what exists; a full sha needs no clone here."""
        try:
            return self._described(parse_release_id(text))
        except InvalidInput:
            try:
                return self.source().resolve(text)
            except InvalidInput as error:
                raise UnknownCommit(error.message, hint="with repo_url and no clone here, give the full sha") from error

    def _described(self, sha: str) -> Commit:
        """The commit, with its subject and time when this repository has it."""
        from .source import Commit

        with suppress(InvalidInput):
            commit = self.source().resolve(sha)
            if commit.sha == sha:  # a release id that is no sha could be the name of a branch
                return commit
        return Commit(sha, "", "")

    def _recorded(self, release: str, *, wanted: bool) -> tuple[str, list[str], str | None]:
        """The release id that was meant and, when wanted, the hosts and the environment it was live on."""
        try:
            release_id = parse_release_id(release)
            if not wanted:
                return release_id, [], None
        except InvalidInput:
            release_id = ""
        with self.registry() as registry:
            release_id = release_id or _only(registry.find(release.lower()), release)
            hosts = registry.hosts_of(release_id)
            environment = registry.environment_of(release_id)
        if wanted and not hosts:
            raise UnknownRelease(
                f"nothing was changed: the registry knows no host where release {release_id} was live",
                hint=f"name the hosts: fab -H HOST rollback --release={release_id}",
            )
        return release_id, hosts, environment

    def _serving(self) -> list[str]:
        with self.registry() as registry:
            return list(registry.serving())


def _import_registry() -> None:
    from .registry import Registry  # noqa: F401


def _with_commit(record: Record, commit: Commit) -> Record:
    return replace(record, subject=record.subject or commit.subject or None, committed_at=commit.committed_at or None)


def _only(candidates: Sequence[str], text: str) -> str:
    if len(candidates) == 1:
        return candidates[0]
    found = f"fits {len(candidates)} releases: {', '.join(candidates)}" if candidates else "is no recorded release"
    raise UnknownRelease(
        f"nothing was changed: {text!r} {found}", hint="fab registry.list  shows them; give the full id"
    )


@contextmanager
def _forwarded(connection: HostConnection, host: str, port: int) -> Iterator[str]:
    """A tunnel to the registry; when the database does not listen, that is the registry's trouble, not the host's."""
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(connection.forward(host, port))
        except HostUnreachable as error:
            raise RegistryUnavailable(error.message, hint=error.hint, host=error.host) from error
        yield directory


def _leave(hosts: Sequence[Host]) -> None:
    for host in hosts:
        host.leave()


def _close(hosts: Sequence[Host]) -> None:
    for host in hosts:
        host.close()
