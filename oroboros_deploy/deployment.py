"""The library's door: deploys, rollbacks, and what else is asked of hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, TypeVar

from . import threads
from .config import Config, layers_of, load
from .control import resolving
from .control.asking import Answers as Answers  # the type of what the methods here return
from .control.asking import ask, asked_now, remember, remember_holds, told
from .control.node import Connect, ControlNode
from .control.resolving import named_hosts, required_hosts
from .errors import ConfigError, InvalidInput
from .events import Event, Listener, guarded

if TYPE_CHECKING:
    from invoke import Context

    from .control.back import Agree
    from .control.setup import Agree as AgreeToSetup
    from .control.setup import Password, SetupAnswer
    from .doctor.finding import Diagnosis
    from .host.contract import (
        AuditAnswer,
        ClaimAnswer,
        ConfigureAnswer,
        Facts,
        FactsRequest,
        LockAnswer,
        LogsAnswer,
        LogsRequest,
        PinAnswer,
        PruneAnswer,
        RunAnswer,
        RunRequest,
        Sources,
        UnlockAnswer,
        UnpinAnswer,
    )
    from .outcome import Kind, Outcome
    from .records.plan import DeployPlan
    from .records.reconcile import Repairs
    from .records.record import Forgotten
    from .registry import Registry
    from .remote.dialing import Begin
    from .remote.host import Host
    from .source import Commit
    from .ssh import HostConnection, SshOptions

T = TypeVar("T")


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


def _ssh(options: SshOptions | None, listener: Listener) -> Begin:
    def warn(message: str) -> None:
        listener(Event("warning", message, level="warning"))

    def begin(name: str) -> Callable[[], HostConnection]:
        from . import ssh

        return ssh.begin(name, options, warn=warn)

    return begin


def _ignore(_: object) -> None:
    """Listen to nothing."""


def _no_password(hosts: Sequence[str]) -> str:
    """Say that nobody knows a password."""
    raise InvalidInput(f"nothing was changed: sudo asks for a password on {', '.join(hosts)}", hint="log in as root")


class Deployment:
    """Deploys and rolls back with one configuration; keeps no state between calls.

    ``source`` is the path of the git repository that commits come from (default: the working
    directory), ``ssh`` what to know for logging in, ``listener`` hears every event, ``actor`` is
    who the registry and the hosts' journals will name (default: user and machine).  Of what builds
    print fast, ``listener`` hears all only when ``verbose``; it is whole in the hosts' logs.
    ``connect`` opens the connection to a host, where SSH is not wanted; ``state`` is the directory of
    unwritten records, journal heads and the default registry (default: the user's state directory).

    ``hosts`` of the methods are names as they are typed after ``-H`` and default to those of the
    configuration's environment.  Methods that ask hosts return `Answers`: the answer of each host,
    or the error that it came to; an error on one host does not stop the others.
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
        connect: Connect | None = None,
        state: str | Path | None = None,
    ) -> None:
        begin = _ssh(ssh, guarded(listener))
        self.node = ControlNode(
            config,
            source=source,
            connect=connect or (lambda name: begin(name)()),
            begin=None if connect else begin,
            listener=listener,
            actor=actor,
            verbose=verbose,
            state=state,
        )

    @classmethod
    def of(
        cls,
        context: Context,
        *,
        environment: str | None = None,
        flags: Mapping[str, object] | None = None,
        **options: Any,
    ) -> Deployment:
        """A deployment with what Fabric's context of a task says: hosts, settings, and how to log in.

        ``environment`` is one of the settings' environments, ``flags`` are settings by name, which win over
        everything else, and ``options`` those of `Deployment` but for ``ssh``.  Raises ConfigError.
        """
        from .control.context import settings_of
        from .control.ssh_settings import ssh_options_of

        return cls(settings_of(context, environment, flags or {}), ssh=ssh_options_of(context), **options)

    @property
    def config(self) -> Config:
        """The settings in use."""
        return self.node.config

    def with_config(self, config: Config) -> Deployment:
        """This deployment, with another configuration."""
        changed = copy(self)
        changed.node = self.node.with_config(config)
        return changed

    def deploy(
        self,
        hosts: Sequence[str] | None = None,
        *,
        sha: str,
        plan: DeployPlan | None = None,
        consent: Callable[[], object] | None = None,
    ) -> Outcome:
        """Build the commit on every host, then switch host after host; stop at the first that fails.

        ``sha`` is a full sha, an unambiguous prefix or a ref of the source repository.  With a ``plan`` it is refused
        (InvalidInput) where a fact has changed since; ``consent`` is called when the hosts have been read, before
        anything is done, and raises when somebody does not want it.  Raises a DeployError while nothing live has
        changed; returns an Outcome from then on.
        """
        names = required_hosts(self.config, hosts)
        with self.node.dialing(names) as node:
            commit = resolving.commit(node, sha)
            if plan is None:
                return _attempt(node, "deploy", commit, names, consent)
            from .control.bound import Bound

            return Bound(node, plan, commit, names, node.configuration(), consent).run()

    def plan(self, hosts: Sequence[str] | None = None, *, sha: str) -> DeployPlan:
        """What a deploy of the commit would do on each host; nothing is changed, and the registry keeps it for 7 days.

        ``exit_code`` of the plan is 0 when the deploy would be accepted.  What a deploy would be refused for before it
        asks a host is raised.
        """
        names = required_hosts(self.config, hosts)
        with self.node.dialing(names) as node:
            from .control.planning import Planning  # while the hosts are being connected to

            return Planning(node, resolving.commit(node, sha), node.configuration()).run(names)

    def planned(self, plan_id: str) -> DeployPlan:
        """The plan that was made with this id.  Raises InvalidInput when none is kept, and RegistryUnavailable."""
        with self.node.registry() as registry:
            found = registry.plan(plan_id)
        if found is None:
            name = self.config.environment
            where = f"environment {name}" if name else "the settings without an environment"
            what = f"the registry of {where} has no plan {plan_id!r}; plans are kept for 7 days"
            again = f"fab plan --sha=SHA{self.config.flags}  makes one"
            hint = f"{again}; where the plan is of another environment, add --environment=NAME"
            raise InvalidInput(f"nothing was changed: {what}", hint=hint)
        return found

    def rollback(
        self, hosts: Sequence[str] | None = None, *, release: str | None = None, agree: Agree | None = None
    ) -> Outcome:
        """Switch back to a release that the hosts still have, with the activation of a deploy.

        ``release`` is a release id, or the beginning of one that the registry knows.  Without it, it is the newest
        one that passed its gate on every host, is not bad there, and was committed on one of them before what is live
        there now; ``agree`` is called with that `WayBack` first, and raises when it is not wanted.  Without
        ``hosts``: the environment's, else those where the registry saw the release live.  Raises a
        DeployError while nothing live has changed; returns an Outcome from then on.
        """
        if release is None:
            return self._roll_back(hosts, agree or _ignore)
        names = named_hosts(self.config, hosts)
        if names:
            release = resolving.release_id(self.node, release)
        else:
            release, names, _ = resolving.recorded_release(self.node, release)
        names = required_hosts(self.config, names)
        with self.node.dialing(names) as node:
            return _attempt(node, "rollback", resolving.described_commit(node, release), names)

    def _roll_back(self, hosts: Sequence[str] | None, agree: Agree) -> Outcome:
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        with self.node.dialing(names) as node:
            from .control.back import Back  # while the hosts are being connected to

            return Back(node, names, agree).run()

    def push_env(self, hosts: Sequence[str] | None = None) -> Outcome:
        """Put the configuration of today's settings and secrets in use with the release that is live on each host.

        An activation as that of a deploy, with the same code: every host keeps the configuration before the first
        switches, its services are restarted and held to what the release was committed with, and the configuration
        before comes back when the gate fails.  A host that has it already is left alone.  Raises a DeployError while
        nothing in use has changed (InvalidInput where the settings have no `env`); returns an Outcome from then on.
        """
        names = required_hosts(self.config, hosts)
        configuration = self._sources()
        with self.node.dialing(names) as node:
            from .control.push import Push  # while the hosts are being connected to

            return Push(node, names, configuration).run()

    def setup(
        self,
        hosts: Sequence[str] | None = None,
        *,
        login: str | None = None,
        agree: AgreeToSetup | None = None,
        password: Password = _no_password,
    ) -> Answers[SetupAnswer]:
        """Make bare hosts ready for their first deploy: login, deploy root, rules of sudo, packages, shared places.

        It logs in as root, or as a user of sudo: ``password`` is called, once, with the hosts whose sudo wants one.
        ``login`` is who will deploy (default: who logs in); a new one is let in by the key that logged in now.
        ``agree`` is called with what is to be done on each host, and raises when it is not wanted; without it nothing
        is done.  ``ready`` in the answer says that nothing is left to do, ``actions`` what was done, or would be.
        Where one host refuses, nothing is done on any.  Raises InvalidInput when no host is named.
        """
        names = required_hosts(self.config, hosts)
        with self.node.dialing(names) as node:
            from .control.setup import Setup  # while the hosts are being connected to

            return Setup(node, login, password, agree).run(names)

    def restart(self, hosts: Sequence[str] | None = None) -> Outcome:
        """Restart the services of the release that is live on each host, host after host, and gate them.

        They are held to what the release was committed with, but for what a flag or a variable says.  Nothing is
        restored, for nothing was changed: a host whose gate fails ends `NOT_RESTORED`, and stops the rest.  Raises a
        DeployError while nothing was restarted; returns an Outcome from then on.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        with self.node.dialing(names) as node:
            from .control.restarting import Restart  # while the hosts are being connected to

            return Restart(node, names).run()

    def logs(
        self,
        hosts: Sequence[str] | None = None,
        *,
        since: str | None = None,
        grep: str | None = None,
        lines: int = 100,
        follow: bool = False,
    ) -> Answers[LogsAnswer]:
        """What the services of the settings said on each host; the listener hears a ``log.line`` for each line.

        Without ``since``, a time as journalctl reads it, they are the last ``lines`` of each host; ``grep`` is a
        regular expression.  With ``follow`` they go on until the program is interrupted.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        request: LogsRequest = {"services": list(self.config.services), "lines": lines, "follow": follow}
        request |= {"since": since, "grep": grep}
        return ask(self.node, names, lambda host: host.logs(request))

    def run(self, hosts: Sequence[str] | None = None, *, line: str, service: str | None = None) -> Answers[RunAnswer]:
        """Have a line run by bash on each host: in `current`, as a service's user, with its configuration.

        ``service`` is the first of the settings where none is given; of one that is root's the login runs it.  The
        listener hears a ``run.output`` for what it prints; ``status`` in the answer is its exit status.  Each host's
        journal has the line.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        chosen = service or next(iter(self.config.services), None)
        request: RunRequest = {"actor": self.node.actor, "line": line, "service": chosen}
        return ask(self.node, names, lambda host: host.run(request))

    def whereabouts(self, release: str | None = None) -> list[str]:
        """Where to go when nobody said: the one environment there is, else that of the release, else its hosts.

        Without a release: all hosts that the registry knows.  An environment's name stands
        for its settings too, so it is to be given to ``load`` like a name after ``-H``.
        Raises UnknownRelease and RegistryUnavailable.
        """
        return resolving.whereabouts(self.node, release)

    def known_hosts(self) -> dict[str, str | None]:
        """The hosts that the registry knows, each with the environment it was last deployed to in."""
        return resolving.known_hosts(self.node)

    def status(self, hosts: Sequence[str] | None = None) -> Answers[Facts]:
        """What each host serves, has and remembers, read from the hosts themselves.

        Of the keys of `Facts`, ``live`` is the release that serves (None: none), ``releases`` are those
        that are there, ``last`` is the last activation, ``running`` the one that goes on, ``hold`` who
        holds the host on purpose, and ``journal`` has the last five entries.  Without ``hosts``: the
        environment's, else those that the registry knows.  Raises InvalidInput when there are none, and
        RegistryUnavailable when the registry is needed for that.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        services, restart = list(self.config.services), self.config.restarts
        request: FactsRequest = {"services": services, "restart": restart, "history": 5}
        with self.node.dialing(names) as node:
            threads.beside(_import_registry)  # it is waited for at the end
            return ask(node, names, lambda host: host.facts(request), partial(remember, node, asked_now(self.node)))

    def doctor(self, hosts: Sequence[str] | None = None) -> Diagnosis:
        """All that a deploy to these hosts would be refused for, or stumble over, each with the command that mends it.

        The checks are those of a deploy; nothing is changed, and a host that cannot be reached is one more finding.
        Without ``hosts``: the environment's, else those that the registry knows.  Raises InvalidInput when there are
        none, and RegistryUnavailable when the registry is needed for that.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        with self.node.dialing(names) as node:
            from .control.doctor import diagnose  # while the hosts are being connected to

            return diagnose(node, names)

    def lock(self, hosts: Sequence[str] | None = None, *, reason: str) -> Answers[LockAnswer]:
        """Hold hosts on purpose: nothing is deployed, rolled back or pruned there until somebody unlocks them.

        ``hold`` in the answer is who holds the host, since when and why; ``running`` is an activation that
        runs there (None: none), which goes on to its end.  The answer of a host that is held already is
        Busy; that hold stays as it was.  Raises InvalidInput when no host is named, or when ``reason``
        is not one line of text.
        """
        if not reason.strip() or not reason.isprintable():
            raise InvalidInput("nothing was changed: the reason must be one line of text", hint='--reason="why"')

        def note(asked: Sequence[Host], answers: Answers[LockAnswer]) -> None:
            remember_holds(self.node, asked, {name: each["hold"] for name, each in told(answers).items()})

        return self._ask(hosts, lambda host: host.lock(self.node.actor, reason.strip()), note)

    def unlock(self, hosts: Sequence[str] | None = None) -> Answers[UnlockAnswer]:
        """Free hosts; ``freed`` in the answer is the hold that ended, None when there was none.

        Raises InvalidInput when no host is named.
        """

        def note(asked: Sequence[Host], answers: Answers[UnlockAnswer]) -> None:
            remember_holds(self.node, asked, dict.fromkeys(told(answers)))

        return self._ask(hosts, lambda host: host.unlock(self.node.actor), note)

    def pin(self, hosts: Sequence[str] | None = None, *, release: str) -> Answers[PinAnswer]:
        """Keep a release that the hosts have from being pruned.

        ``pin`` in the answer is who pinned the ``release``, and when; ``new`` is False when it was pinned
        before.  The answer of a host that does not have the release is UnknownRelease.  Raises InvalidInput
        when no host is named, UnknownRelease when ``release`` is not the beginning of one id in the
        registry, and RegistryUnavailable when the registry is needed for that.
        """
        found = resolving.release_id(self.node, release)
        return self._ask(hosts, lambda host: host.pin(self.node.actor, found))

    def unpin(self, hosts: Sequence[str] | None = None, *, release: str) -> Answers[UnpinAnswer]:
        """Let a release be pruned like any other.

        ``pin`` in the answer is the pin of the ``release`` that ended, None when there was none.  Raises
        what `pin` raises.
        """
        found = resolving.release_id(self.node, release)
        return self._ask(hosts, lambda host: host.unpin(found))

    def show_env(self, hosts: Sequence[str] | None = None) -> Answers[Facts]:
        """The configuration in use on each host.

        Of the keys of `Facts`, ``configuration`` is its revision (None: none), ``origins`` says of each name where it
        came from.  Raises InvalidInput when no host is named.
        """
        return self._ask(hosts, lambda host: host.facts({"env": True, "source": False}))

    def diff_env(self, hosts: Sequence[str] | None = None) -> Answers[ConfigureAnswer]:
        """How the configuration of today's settings and secrets differs from the one in use on each host.

        It is that of the live release, whose file the host reads.  ``names`` in the answer are those that would be
        added, changed and removed; ``origins`` says where each name comes from.  Nothing is changed, and no value is
        told.  Raises InvalidInput when no host is named, when the settings have no `env`, or when a secret cannot be
        had.
        """
        names = required_hosts(self.config, hosts)
        sources = self._sources()
        return ask(self.node, names, lambda host: host.configure({"sha": None, "env": sources, "dry_run": True}))

    def _sources(self) -> Sources:
        """Today's configuration, where the settings have one.  Raises InvalidInput."""
        found = self.node.configuration()
        if found is None:
            hint = 'in fabric.yaml, under deploy:  env: {values: {NAME: "value"}}  (docs/configuration.md)'
            raise InvalidInput("nothing was changed: the settings have no `env`", hint=hint)
        return found

    def claim(self, hosts: Sequence[str] | None = None, *, dry_run: bool = False) -> Answers[ClaimAnswer]:
        """Give deploy roots whose id names another machine, such as copies, an id of the machine they are on.

        ``was`` in the answer is the id that the root had, ``now`` the one that it has; ``claimed`` is False where it
        was this machine's before.  The machine that had the root is refused there from then on.  With ``dry_run``
        nothing is changed.  The answer of a host where an activation runs is Busy.  Raises InvalidInput when no host
        is named.
        """
        return self._ask(hosts, lambda host: host.claim(self.node.actor, dry_run=dry_run))

    def prune(self, hosts: Sequence[str] | None = None, *, dry_run: bool = False) -> Answers[PruneAnswer]:
        """Remove the releases beyond the ``keep`` of the configuration.

        The live release, the one that served before it, pinned ones and those in use stay.  ``releases``
        in the answer says of each whether it ``stays`` and ``why``; ``freed`` is in bytes.  With
        ``dry_run`` nothing is removed.  The answer of a host that is held, or where an activation runs, is
        Busy.  Raises InvalidInput when no host is named.
        """
        return self._ask(hosts, lambda host: host.prune(self.config.keep, dry_run=dry_run))

    def audit(
        self, hosts: Sequence[str] | None = None, *, verify: bool = False, limit: int = 20
    ) -> Answers[AuditAnswer]:
        """The last ``limit`` entries of each host's journal, the oldest first; ``count`` is of all.

        With ``verify`` the whole journal is checked: ``wrong`` is the first ``line`` that is not what was
        written, and ``what`` is wrong with it (None: nothing is).  An end of the journal that this machine
        saw earlier, and that is missing now, is wrong too.  Without ``hosts``: the environment's, else
        those that the registry knows.  Raises InvalidInput when there are none, and RegistryUnavailable
        when the registry is needed for that.
        """
        names, heads = named_hosts(self.config, hosts) or resolving.serving_hosts(self.node), self.node.journal_heads

        def look(host: Host) -> AuditAnswer:
            answer = host.audit(verify=verify, limit=limit, seen=heads.seen(host.name, self.config.root))
            if answer["wrong"] is None:
                heads.note(host.name, self.config.root, answer["head"])
            return answer

        return self._ask(names, look)

    def reconcile(self, hosts: Sequence[str] | None = None, *, dry_run: bool = False) -> Repairs:
        """Make the registry say what the hosts' journals say, and return what differed; once is enough.

        ``hosts`` defaults to those of the environment, else to those that the registry
        knows.  ``dry_run`` compares and writes nothing.  Raises RegistryUnavailable.  A
        host that cannot be read is among the doubts, and its part of the registry is kept.
        """
        from .control.reconciling import reconcile

        return reconcile(self.node, hosts, dry_run=dry_run)

    def forget(self, host: str) -> Forgotten:
        """End what this application serves, as the registry knows it, by this name of a host that is gone.

        Its attempts stay in the history; nothing goes there any more by itself.  ``served`` in the answer are
        the releases that were live there, ``replaced`` those of them that nothing serves any more.  No host is
        asked.  Raises InvalidInput for a name that the registry does not know, and RegistryUnavailable.
        """
        with self.node.registry() as registry:
            return registry.forget(host, self.node.application, control_node=gethostname())

    def registry(self) -> AbstractContextManager[Registry]:
        """The open registry; records that wait for it on this machine are written first.

        Raises RegistryUnavailable when the database does not answer.
        """
        return self.node.registry()

    def _ask(
        self,
        hosts: Sequence[str] | None,
        work: Callable[[Host], T],
        then: Callable[[Sequence[Host], Answers[T]], None] | None = None,
    ) -> Answers[T]:
        return ask(self.node, required_hosts(self.config, hosts), work, then)


def _attempt(
    node: ControlNode,
    kind: Kind,
    commit: Commit,
    names: Sequence[str],
    consent: Callable[[], object] | None = None,
) -> Outcome:
    from .control.attempt import Attempt  # while the hosts are being connected to

    configuration = node.configuration() if kind == "deploy" else None
    return Attempt(node, kind, commit, names, configuration, consent).run()


def _import_registry() -> None:
    from .registry import Registry  # noqa: F401
