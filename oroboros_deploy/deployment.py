"""The library's door: deploys, rollbacks, and what else is asked of hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from .control.asking import ask, asked_now, audited, remember, remember_holds, told
from .control.node import Connect, ControlNode
from .control.resolving import named_hosts, required_hosts
from .errors import ConfigError, DeployError, InvalidInput
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
        TerminalSize,
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
    """Read the settings from the ``fabric.yaml`` in a directory and from environment variables, as ``fab`` does.

    ``environment`` names one of the environments in the settings: the hosts and overrides of this environment are
    used.  ``flags`` are settings by name (``root=...``), which win over everything else.
    Raises ConfigError when the file cannot be read, and for a setting that is unknown or cannot be used.
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
    """Deploys, rolls back, and asks hosts, with the settings of one `Config`.

    **Life.** A deployment holds nothing open: each method connects to the hosts that it needs, opens the registry
    when it needs it, and closes both before it returns or raises.  So there is nothing to close, and one deployment
    can be used any number of times.  `with_config` gives a copy with other settings.

    **Arguments.**

    - ``config``: the settings; `load_config` reads them from a ``fabric.yaml``, `Config.from_mapping` from a mapping.
    - ``source``: the path of the git repository that commits come from (default: the working directory).
    - ``ssh``: how to log in, besides what ssh_config says; `SshOptions` describes each option.
    - ``listener``: a function that is called with every `Event`, from several threads.  What it raises is logged.
    - ``actor``: who the registry and the hosts' journals will name (default: user and machine).
    - ``verbose``: let the listener hear every line of a build.  Without ``verbose``, the listener hears only some of
      the lines when a build prints fast.  The log on the host always has all lines.
    - ``connect``: opens the connection to a host, in the place of SSH (`oroboros_deploy.testing` does that).
    - ``state``: the directory for records that wait for the registry, for the last entries seen of the hosts'
      journals, and for the default registry (default: the user's state directory).

    **Hosts.** ``hosts`` of the methods are names as they are typed after ``-H``.  Without it, the methods go to the
    hosts of the configuration's environment.

    **Errors.** Every method raises a `DeployError`: InvalidInput when no host is named or an argument is wrong, and
    what its own description names.  `deploy`, `rollback`, `push_env` and `restart` raise only while nothing live has
    changed.  From then on they return an `Outcome`, whose ``raise_for_status()`` raises what fits.  Some methods
    return `Answers`: for each host its answer, or the DeployError that it met; an error on one host does not stop
    the others.  `setup` looks at all hosts first; when one of them has an error then, `setup` changes none.

    >>> from oroboros_deploy import Config
    >>> deployment = Deployment(Config.from_mapping({"services": ["shop"]}, hosts=["web1"]))
    >>> deployment.config.services
    ('shop',)
    >>> deployment.lock(reason="")
    Traceback (most recent call last):
        ...
    oroboros_deploy.errors.InvalidInput: nothing was changed: the reason must be one line of text
      → --reason="why"

    A deploy, with hosts that can be reached::

        outcome = deployment.deploy(sha="main")
        for host in outcome.hosts:
            print(host.host, host.state, host.live)
        outcome.raise_for_status()
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
        """Return a copy of this deployment that uses another configuration."""
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

        ``sha`` is a full sha, an unambiguous prefix or a ref of the source repository.  With a ``plan`` the deploy is
        refused when a fact has changed since the plan was made.  ``consent`` is called when the hosts have been read,
        before anything is done; what it raises stops the deploy.  Returns an Outcome once something live was changed.
        Raises before that: UnknownCommit, InvalidInput, Busy, BuildFailed, HostUnreachable, RegistryUnavailable,
        Interrupted.
        """
        names = required_hosts(self.config, hosts)
        with self.node.dialing(names) as node:
            commit = resolving.commit(node, sha)
            if plan is None:
                return _attempt(node, "deploy", commit, names, consent)
            from .control.bound import Bound

            return Bound(node, plan, commit, names, node.configuration(), consent).run()

    def plan(self, hosts: Sequence[str] | None = None, *, sha: str) -> DeployPlan:
        """Say what a deploy of the commit would do on each host; change nothing, and keep the plan for 7 days.

        ``exit_code`` of the plan is 0 when nothing was found for which a deploy would be refused.  Raises what a deploy
        would raise before it asks a host: UnknownCommit, InvalidInput, RegistryUnavailable.
        """
        names = required_hosts(self.config, hosts)
        with self.node.dialing(names) as node:
            from .control.planning import Planning  # while the hosts are being connected to

            return Planning(node, resolving.commit(node, sha), node.configuration()).run(names)

    def planned(self, plan_id: str) -> DeployPlan:
        """Return the plan that `plan` made with this id.

        Raises InvalidInput when the registry keeps no such plan, and RegistryUnavailable.
        """
        return resolving.planned(self.node, plan_id)

    def rollback(
        self, hosts: Sequence[str] | None = None, *, release: str | None = None, agree: Agree | None = None
    ) -> Outcome:
        """Switch back to a release that the hosts still have, with the activation of a deploy.

        ``release`` is a release id, or the beginning of one that the registry knows.  Without ``release`` the rollback
        chooses the newest release that meets two conditions.  First: the release passed its gate on every host, and no
        host notes it as bad.  Second: on at least one host, the release went live before the present release of that
        host did.  For both of these releases, the first time that they went live on that host counts.
        Before this rollback changes anything, it calls ``agree`` with a `WayBack`, which describes the chosen release;
        what ``agree`` raises stops the rollback.  With ``release`` it is not called.

        Without ``hosts``: the environment's.  When there are none: with ``release``, the hosts where the registry saw
        this release live; without ``release``, the hosts of which the registry knows what they serve.
        Returns an Outcome once something live was changed.  Raises before that: UnknownRelease, InvalidInput, Busy,
        HostUnreachable, RegistryUnavailable, Interrupted.
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

        This is the activation of a deploy, without another release.  Every host stores the new configuration before the
        first host switches to it.  The services are restarted, and gated as the live release was.  When the gate fails,
        the previous configuration comes back.  A host that uses the configuration already is left alone.  Returns an
        Outcome once something in use was changed.  Raises before that: InvalidInput when the settings have no `env`,
        Busy, HostUnreachable, RegistryUnavailable, Interrupted.
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
        least_privilege: bool = False,
        agree: AgreeToSetup | None = None,
        password: Password = _no_password,
    ) -> Answers[SetupAnswer]:
        """Make bare hosts ready for their first deploy: login, deploy root, rules of sudo, packages, shared places.

        It logs in as root, or as a user of sudo: ``password`` is called, once, with the hosts whose sudo wants one.
        ``login`` is who will deploy (default: who logs in); a new one is let in by the key that logged in now.
        With ``least_privilege`` that login gets one rule of sudo instead of two: it may run one program as root.
        ``agree`` is called with what is to be done on each host, and raises when it is not wanted; without it nothing
        is done.  ``ready`` in the answer says that nothing is left to do, ``actions`` what was done, or would be.
        Where one host refuses, nothing is done on any.  Raises InvalidInput when no host is named.
        """
        names = required_hosts(self.config, hosts)
        with self.node.dialing(names) as node:
            from .control.setup import Setup  # while the hosts are being connected to

            return Setup(node, login, password, agree, least_privilege=least_privilege).run(names)

    def restart(self, hosts: Sequence[str] | None = None) -> Outcome:
        """Restart the services of the release that is live on each host, host after host, and gate them.

        The gate is the one that the release passed when it went live; a flag or a variable can change it.  No release
        is changed, so none is restored: a host whose gate fails ends `NOT_RESTORED`, and the hosts after it are
        skipped.  Returns an Outcome once a service was restarted.  Raises before that: InvalidInput, Busy,
        HostUnreachable, RegistryUnavailable, Interrupted.
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
        """Read what the services of the settings said on each host; the listener hears a ``log.line`` for each line.

        ``since`` is a time as journalctl on the host reads it; without it, the last ``lines`` of each host are read.
        ``grep`` is a regular expression.  With ``follow`` the reading goes on until the program is interrupted.
        Without ``hosts``: the environment's, else those that the registry knows.  Raises InvalidInput when there are
        none, and RegistryUnavailable when the registry is needed for that.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        request: LogsRequest = {"services": list(self.config.services), "lines": lines, "follow": follow}
        request |= {"since": since, "grep": grep}
        return ask(self.node, names, lambda host: host.logs(request))

    def run(self, hosts: Sequence[str] | None = None, *, line: str, service: str | None = None) -> Answers[RunAnswer]:
        """Have a line run by bash on each host: in `current`, as a service's user, with its configuration.

        ``service`` says whose user runs the line (default: the first of the settings).  For a service that runs as
        root, the login runs it.  The listener hears a ``run.output`` for what the line prints; ``status`` in the
        answer is its exit status.  Each host writes the line into its journal.  Without ``hosts``: the
        environment's, else those that the registry knows.  Raises InvalidInput when there are none, and
        RegistryUnavailable when the registry is needed for that.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        chosen = service or next(iter(self.config.services), None)
        request: RunRequest = {"actor": self.node.actor, "line": line, "service": chosen}
        return ask(self.node, names, lambda host: host.run(request))

    def console(
        self,
        hosts: Sequence[str] | None = None,
        *,
        typed: Iterable[bytes],
        terminal: TerminalSize,
        line: str,
        service: str | None = None,
    ) -> RunAnswer:
        """Have a line run by bash on one host, like `run`, at a terminal of its own.

        The argument ``typed`` yields blocks of bytes; they are sent to the host from the event ``console.began`` on.
        A block of ``typed`` is ``t`` and what was typed, or ``s`` and the new size of the terminal.  The block
        ``s24 80`` says 24 rows and 80 columns.
        The listener hears ``console.began``, and a ``console.output`` for what the terminal shows: ``shown`` of that
        event has the bytes, in base64.  Without ``hosts``: the environment's, else those that the registry knows.
        Raises InvalidInput when there is none or more than one, RegistryUnavailable when the registry is needed for
        that, and the error of the host.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        if len(names) > 1:
            what = f"nothing was run: a console is on one host, and {len(names)} were asked: {', '.join(names)}"
            raise InvalidInput(what, hint=self.config.typed(names[0], "console"))
        chosen = service or next(iter(self.config.services), None)
        request: RunRequest = {"actor": self.node.actor, "line": line, "service": chosen, "terminal": terminal}
        (answer,) = ask(self.node, names, lambda host: host.console(request, typed)).values()
        if isinstance(answer, DeployError):
            raise answer
        return answer

    def whereabouts(self, release: str | None = None) -> list[str]:
        """Say where a command without ``-H`` goes: the name of one environment, or the names of hosts.

        When the settings have exactly one environment, the command goes to that environment.  Otherwise, with a
        ``release``, the command goes to the environment in which the release was last live; when the settings do not
        have that environment, the command goes to the hosts where the release was live.  Without a ``release``, the
        command goes to all hosts of which the registry knows what they serve.
        A name of an environment stands for its settings, too: give it to `load_config` as ``environment``.
        Raises UnknownRelease and RegistryUnavailable.
        """
        return resolving.whereabouts(self.node, release)

    def known_hosts(self) -> dict[str, str | None]:
        """Return the hosts that the registry knows, each with the environment of its last deploy.

        Raises RegistryUnavailable.
        """
        return resolving.known_hosts(self.node)

    def status(self, hosts: Sequence[str] | None = None) -> Answers[Facts]:
        """What each host serves, has and remembers, read from the hosts themselves.

        Of the keys of `Facts`, ``live`` is the release that serves (None: none), ``releases`` are those
        that are there, ``last`` is the last activation, ``running`` the one that goes on, ``hold`` who
        holds the host on purpose, ``journal`` has the last five entries, and ``target`` says whether the live
        release is as it was built.  Without ``hosts``: the environment's, else those that the registry knows.
        Raises InvalidInput when there are none, and RegistryUnavailable when the registry is needed for that.
        """
        names = required_hosts(self.config, named_hosts(self.config, hosts) or resolving.serving_hosts(self.node))
        services, restart = list(self.config.services), self.config.restarts
        request: FactsRequest = {"live": True, "services": services, "restart": restart, "history": 5}
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
        """Hold the deploy root of hosts on purpose: until `unlock`, whatever changes it there is refused.

        Refused are deploys, rollbacks, pushes of the configuration, restarts and prunings.

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

        ``pin`` in the answer is the pin of the ``release`` that ended, None when there was none.
        Raises InvalidInput, UnknownRelease and RegistryUnavailable, as `pin` does.
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

        Today's configuration is made for the live release: when `env` names a ``file``, the host reads this file of
        that release.  ``names`` in the answer are those that would be added, changed and removed; ``origins`` says
        where each name comes from.  Nothing is changed, and no value is told.  Raises InvalidInput when no host is
        named, when the settings have no `env`, or when a secret cannot be had.
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
        """Give a deploy root a new id when its id names another machine or another root, as the id of a copy does.

        The new id names the machine that the root is on.  ``was`` in the answer is the id that the root had, ``now``
        the one that it has; ``claimed`` says whether the root got a new id.  When the root is on a disk that
        two machines share, a deploy to this root on the machine that it belonged to before is refused from then on.
        With ``dry_run`` nothing is changed.  The answer of a host where an activation runs is Busy.
        Raises InvalidInput when no host is named.
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

        With ``verify`` the whole journal is checked.  ``wrong`` in the answer describes the first line that is
        not what was written: ``line`` is its number, ``what`` says what is wrong with it.  When no line is
        wrong, ``wrong`` is None.  An end of the journal that this machine saw earlier, and that is missing
        now, is wrong too.  Without ``hosts``: the environment's, else
        those that the registry knows.  Raises InvalidInput when there are none, and RegistryUnavailable
        when the registry is needed for that.
        """
        names = named_hosts(self.config, hosts) or resolving.serving_hosts(self.node)
        return self._ask(names, lambda host: audited(self.node, host, verify=verify, limit=limit))

    def reconcile(self, hosts: Sequence[str] | None = None, *, dry_run: bool = False) -> Repairs:
        """Make the registry say what the hosts' journals say, and return what differed.

        When one call has written all that differed, a second call finds nothing to correct.
        ``hosts`` defaults to those of the environment, else to those that the registry
        knows.  ``dry_run`` compares and writes nothing.  Raises RegistryUnavailable.  A
        host that cannot be read is among the doubts, and its part of the registry is kept.
        """
        from .control.reconciling import reconcile

        return reconcile(self.node, hosts, dry_run=dry_run)

    def forget(self, host: str) -> Forgotten:
        """Tell the registry that a host is gone: this application serves nothing any more on the host of this name.

        Its attempts stay in the history.  A method without ``hosts`` does not go to this host any more, unless the
        configuration names the host.  ``served`` in the answer are the releases that were live there, ``replaced``
        those of them that nothing serves any more.  No host is asked.  Raises InvalidInput for a name that the
        registry does not know, and RegistryUnavailable.
        """
        with self.node.registry() as registry:
            return registry.forget(host, self.node.application, control_node=gethostname())

    def registry(self) -> AbstractContextManager[Registry]:
        """Return a context manager: its ``with`` block opens the registry, and the end of the block closes it.

        Records that wait for the registry on this machine are written when the block begins.
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
