"""One attempt on its hosts, from the intent to the record of what came of it."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .. import threads
from ..config import Migration
from ..errors import (
    DeployError,
    Interrupted,
    InvalidInput,
    LinkLost,
    RegistryUnavailable,
    UnknownCommit,
)
from ..outcome import HostOutcome, Kind, NewCommit, Outcome, State, ended, state_of
from ..records.record import CommitRecord, HostRecord, Record
from ..registry.recorder import Recorder
from ..remote.host import Host
from ..text import short
from ..version import __version__
from . import plan
from . import secrets as secrets_of
from .asking import close
from .faults import HostFault, told_of
from .plan import Job, Plan

if TYPE_CHECKING:
    from ..host.contract import ActivateRequest, ConfigureAnswer, Facts, Origin, SourceKind, Sources
    from ..registry import Registry
    from ..source import Commit
    from .node import ControlNode

_CALLED = {"env": "env.push"}  # kinds of attempt that are typed otherwise
_COMMITS = 100  # of a release are kept at most
_IN_A_FILE = 'DEPLOY_REGISTRY_URL="sqlite:///$HOME/night.db"'
_CHANGED = (State.LIVE, State.RESTORED, State.NOT_RESTORED, State.UNKNOWN)


@dataclass
class Work:
    """One host within one attempt: what was read, what is to be done, how it ended."""

    host: Host
    job: Job  # with the release of this host
    facts: Facts | None = None
    plan: Plan | None = None
    outcome: HostOutcome | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    configured: ConfigureAnswer | None = None
    asked: bool = False  # to switch: from then on the host goes on alone
    left_out: tuple[str, ...] = ()  # parts of the build that the host could not make

    @property
    def live(self) -> str | None:
        """The release that served when the facts were read; None also when they were not."""
        return self.facts["live"] if self.facts else None

    def time(self, phase: str, do: Callable[[Work], object]) -> None:
        """Do a phase and note how long it took, also when it fails."""
        began = time.monotonic()
        try:
            do(self)
        finally:
            self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.monotonic() - began, 3)


class Attempt:
    """One attempt on its hosts: a deploy or a rollback; `push.Push` is one more."""

    # A whole attempt:     connect → facts → decide ═ intent ═ build ═ activate, host after host or some at once
    # A switch at once:    connect ═ intent ═ activate, which reads the facts first and goes on when they are plain;
    #   (a rollback on one host)              when they are not: decide ═ build ═ activate, as in a whole attempt
    #
    # ═ is a barrier: all hosts are there before any goes on.  An error before `activate` ends all, as raised.

    def __init__(
        self,
        node: ControlNode,
        kind: Kind,
        commit: Commit,
        names: Sequence[str],
        configuration: Sources | None = None,
        consent: Callable[[], object] | None = None,
    ) -> None:
        """``configuration`` are the values that the hosts do not find in the release (None: there are none).

        ``consent`` is called when it is known what a deploy will do, and raises when somebody does not want that.
        """
        self.node = node
        self.config = node.config
        self.started = datetime.now(UTC)
        attempt = f"{self.started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self.commit = commit
        self.job = Job(attempt, kind, commit.sha, node.actor, self.config, __version__)
        self.recorder = Recorder(attempt, node.listener, names, self.config.root)
        self.works = [Work(node.host(name, self.recorder), self.job) for name in names]
        self.configuration = configuration
        self.consent = consent
        for work in self.works:
            work.host.hide(secrets_of.mask(configuration))
        self._new: dict[str, tuple[CommitRecord, ...]] = {}
        self.interrupted = False
        self.error: DeployError | None = None

    def run(self) -> Outcome:
        """Everything, in order; the registry hears of it before and after."""
        self._announce()
        outcome = None
        try:
            with ExitStack() as stack:
                stack.callback(self._close)
                registry = self._open_registry(stack)
                with self.recorder.writing(registry):
                    self._until_error(lambda: self._work(registry))
                    self._end_the_rest()
                outcome = self._finish(registry)
        except KeyboardInterrupt:
            if outcome is None:
                raise self._stopped() from None
        return outcome

    def _announce(self) -> None:
        names = [work.host.name for work in self.works]
        what = " ".join(filter(None, (_CALLED.get(self.job.kind, self.job.kind), self.job.sha)))
        sha = self.job.sha or None
        self._tell("attempt.started", f"{what} on {', '.join(names)}", attempt=self.job.attempt, sha=sha, hosts=names)

    def _open_registry(self, stack: ExitStack) -> Registry:
        """Before any host is asked for anything: without the registry an attempt does not start."""
        registry = self._reach_registry(stack)
        self._begin(registry)
        return registry

    def _reach_registry(self, stack: ExitStack) -> Registry:
        with _nothing_changed(self._without_registry()):
            return stack.enter_context(self.node.registry([work.host for work in self.works]))

    def _begin(self, registry: Registry) -> None:
        with _nothing_changed(self._without_registry()):
            registry.begin(self._record())

    def _without_registry(self) -> str:
        """What can be done while the registry is down, for somebody who cannot wait."""
        names = ",".join(work.host.name for work in self.works)
        status, reconcile = (self.config.typed(names, task) for task in ("status", "registry.reconcile"))
        later = f"{reconcile}  writes it into the database when that is back"
        return f"{status}  shows what is live; if this cannot wait, type {_IN_A_FILE}  before the same command; {later}"

    def _until_error(self, work: Callable[[], None]) -> None:
        try:
            work()
        except KeyboardInterrupt:
            self._interrupted()
        except DeployError as error:
            self.error = error

    def _work(self, registry: Registry) -> None:
        """On several hosts none is changed before the facts of all are known; one alone needs no such barrier."""
        if self.job.kind == "rollback" and len(self.works) == 1:
            self._connect()
            self._tell_what_stays()
            _intend(registry, self._record())
            self._switch_at_once(self.works[0])
        else:
            self._meet()
            if all(work.plan and work.plan.nothing for work in self.works):
                self._tell_of_files()
            else:
                self._foresee()
                self._tell_what_stays()
                _intend(registry, self._with_commits(self._record()))
        self._on_each(build=self._build)
        self._activate()

    def _foresee(self) -> None:
        """Say what a deploy will do, before any of it is done, and ask where somebody is to be asked."""
        if self.job.kind == "deploy":
            from ..records import plan as planned
            from .planning import Planning

            known = [(each.host.name, each.facts, each.plan) for each in self.works if each.facts and each.plan]
            made = Planning(self.node, self.commit).brief(known)
            self._tell(
                "plan", planned.short_form(made), sha=made.sha, hosts=[planned.brief(each) for each in made.hosts]
            )
            for warning in planned.warnings(made):
                self._tell("warning", warning, level="warning")
        if self.consent:
            self.consent()

    def _tell_of_files(self) -> None:
        """Say which files nobody deployed, where the release is live already and somebody may think that they are."""
        if self.job.kind == "deploy":
            from ..records.plan import not_committed
            from .planning import Planning

            for warning in not_committed(Planning(self.node, self.commit).dirty(self.job.sha)):
                self._tell("warning", warning, level="warning")

    def _tell_what_stays(self) -> None:
        left = plan.units_left(self.job)
        if left:
            self._tell("warning", left, level="warning")
        if self.job.kind == "rollback" and self.config.migrate:
            self._tell("database.stays", "the database stays as it is: a rollback runs no migration")

    def _connect(self) -> None:
        self._on_each(connect=connect)

    def _meet(self) -> None:
        """Connect to all hosts, read their facts, and decide what each needs."""
        request = plan.facts_request(self.job)
        self._on_each(connect=connect, facts=lambda work: self._decide(work, work.host.facts(request)))

    def _on_each(self, **phases: Callable[[Work], object]) -> None:
        """Do phases on all hosts; a barrier: when one fails, none goes on."""

        def work(item: Work) -> None:
            with told_of(item.host.name):
                for phase, do in phases.items():
                    item.time(phase, do)
                    if phase == "connect":  # begun before, beside other things: what was left of it is no time
                        item.seconds[phase] = self._seconds

        pending = [item for item in self.works if item.outcome is None]
        answers = threads.on_each(pending, work, self._leave)
        errors = [(item, answer) for item, answer in zip(pending, answers, strict=True) if answer is not None]
        for item, error in errors:
            self._fail(item, error)
        if errors:
            raise errors[0][1]

    def _decide(self, work: Work, facts: Facts) -> None:
        work.facts = facts
        work.plan = plan.decide(work.job, facts, work.host.name)
        if self.configuration and not work.plan.build:
            found = self._configure(work, self.configuration)
            work.plan = plan.with_configuration(work.job, facts, work.host.name, work.plan, found)
        if self.config.no_cache and self.job.kind == "deploy" and not work.plan.build:
            work.host.tell("build.skipped", "not built anew: it is complete on this host; --rebuild makes it again")
        if facts["live"] == work.job.sha:
            for reason in plan.doubts(work.job, facts):
                work.host.tell("warning", f"{reason}, although {short(work.job.sha)} is live", level="warning")
        if work.plan.nothing:
            self._end(work, self._already(work))
        elif facts["target"] and facts["target"]["bad"] and not work.plan.build:
            work.host.tell("warning", f"this release failed here before: {facts['target']['bad']}")

    def _configure(self, work: Work, configuration: Sources) -> ConfigureAnswer:
        """Have the host keep the configuration, so that the activation puts it in use; the release is there."""
        work.configured = work.host.configure(plan.configure_request(work.job, configuration))
        revision, names = work.configured["revision"], work.configured["names"]
        told = [f"{len(found)} {what}" for what, found in names.items() if isinstance(found, list) and found]
        changed = ", ".join(told) or "nothing changed"
        message = f"configuration {revision}: {changed}"
        work.host.tell("configuration.kept", message, level="detail", revision=revision, names=names)
        return work.configured

    def _already(self, work: Work) -> HostOutcome:
        sha, used = work.job.sha, work.facts.get("configuration") if work.facts else None
        message = f"{sha} is live already; nothing was done"
        if self.job.kind == "env":
            message = f"{sha} has today's configuration already; nothing was done"
        return HostOutcome(work.host.name, State.ALREADY_LIVE, sha, sha, message, configuration=used)

    def _build(self, work: Work) -> None:
        assert work.plan is not None
        if work.plan.build:
            try:
                self._ask_for_release(work, work.plan.source)
            except UnknownCommit:
                if not self._has_less(work):
                    raise
                self._ask_for_release(work, work.plan.source)
        if self.configuration and work.configured is None:
            self._configure(work, self.configuration)

    def _ask_for_release(self, work: Work, source: SourceKind) -> None:
        stream = self._bundle(work) if source == "bundle" else None
        first = work is self.works[0]
        request = plan.build_request(self.job, source, self._described(), verbose=self.node.verbose, first=first)
        if self.configuration and self.configuration["build"]:
            request["env"] = secrets_of.of_build(self.configuration)
        work.left_out = tuple(work.host.build(request, stream).get("left_out", ()))

    def _has_less(self, work: Work) -> bool:
        """Whether the host made its mirror anew, and has less than it said: what to send is then decided again."""
        assert work.facts is not None
        known = (work.facts["has_commit"], work.facts["tips"])
        work.facts = work.host.facts(plan.facts_request(self.job))
        work.plan = plan.decide(self.job, work.facts, work.host.name)
        if work.configured:
            work.plan = plan.with_configuration(self.job, work.facts, work.host.name, work.plan, work.configured)
        return known != (work.facts["has_commit"], work.facts["tips"])

    def _described(self) -> str:
        """What git calls the commit; its id, where no repository here has it."""
        with suppress(InvalidInput):
            return self.node.source().describe(self.job.sha)
        return self.job.sha

    def _bundle(self, work: Work) -> Iterator[bytes]:
        return self.node.source().bundle(self.job.sha, work.facts["tips"] if work.facts else [])

    def _activate(self) -> None:
        """The seam for waves and canaries: the order, how many at once, and what to do after a failure, live here."""
        waiting = [work for work in self.works if work.outcome is None]
        # The hosts share the database, so it is changed on one before the others, unless the migration says otherwise.
        each = isinstance(self.config.migrate, Migration)
        first = 1 if self.config.migrate and not each else 0
        for works, migrate in ((waiting[:first], True), (waiting[first:], each)):
            threads.on_each(works, partial(self._switch_next, migrate=migrate), self._leave, self.config.parallel)

    def _switch_next(self, work: Work, *, migrate: bool) -> None:
        """Switch one host more, unless one has failed."""
        if all(other.outcome is None or other.outcome.state.ok for other in self.works):
            assert work.facts is not None
            request = plan.activate_request(work.job, work.facts, migrate=migrate)
            if work.configured:
                request["configuration"] = work.configured["revision"]
            self._switch(work, request)

    def _switch_at_once(self, work: Work) -> None:
        """Read the facts and switch in one call; a host where they ask for a decision has changed nothing."""
        self._switch(work, plan.switch_request(self.job, work.facts))
        if work.outcome is None:
            work.asked = False
            self._on_each(facts=self._decide_by_known)

    def _decide_by_known(self, work: Work) -> None:
        assert work.host.known is not None  # it answered that they are not plain
        self._decide(work, work.host.known)

    def _switch(self, work: Work, request: ActivateRequest) -> None:
        work.asked = True
        request["origin"] = self._origin(work)
        work.host.tell("switch.asked", "asked to switch", level="detail")
        began = time.monotonic()
        logs = f"{self.config.root}/.deploy/attempts/{self.job.attempt}"
        try:
            with told_of(work.host.name, asked=True):
                state = work.host.activate(request)["state"]
                outcome = ended(work.host.name, state, logs, self.job.kind) if state is not None else None
                if outcome is not None:
                    hint = self.config.hinted(work.host.name, outcome.hint)
                    outcome = replace(outcome, hint=hint, back=plan.way_back(work.facts or work.host.known, outcome))
        except DeployError as error:
            self.error = self.error or error
            work.facts = work.host.known
            work.seconds["activate"] = round(time.monotonic() - began, 3)
            return self._fail(work, error)
        if outcome is not None:
            work.seconds["activate"] = round(time.monotonic() - began, 3)
            self._end(work, outcome)
        return None

    def _origin(self, work: Work) -> Origin:
        """What a host's journal keeps of the attempt as a whole, so that the registry can be rebuilt from it."""
        return {
            "host": work.host.name,
            "hosts": [each.host.name for each in self.works],
            "environment": self.config.environment,
            "control_node": socket.gethostname(),
            "tool_version": self.job.version,
            "started_at": self.started.isoformat(),
        }

    def _interrupted(self) -> None:
        """A person pressed Ctrl-C, perhaps again because it takes a moment."""
        self.interrupted, self.error = True, self._stopped()
        with suppress(KeyboardInterrupt):
            self._close()

    def _stopped(self) -> DeployError:
        """What an interrupt means now: before the switch everything stops, after it the host goes on alone."""
        if any(work.asked for work in self.works):
            names = ",".join(work.host.name for work in self.works)
            return LinkLost(f"detached: {alone(self.job.kind)}", hint=self.config.asks_later(names))
        return Interrupted("interrupted before the switch; nothing was switched", hint=None)

    def _end_the_rest(self) -> None:
        for work in self.works:
            if work.outcome is None:
                self._end(work, self._unreached(work))

    def _finish(self, registry: Registry) -> Outcome:
        """Give the registry its record, and the caller the value or the error."""
        record = self._with_commits(self._record(self._outcome()))
        outcome = self._outcome(record)
        outcome = replace(outcome, registry=self._write(registry, record))
        self._tell("attempt.finished", f"exit code {int(outcome.exit_code)}", level="detail", outcome=outcome.as_dict())
        if self.error is None or any(host.state in _CHANGED for host in outcome.hosts):
            return outcome
        self.error.outcome = outcome
        raise self.error

    def _unreached(self, work: Work) -> HostOutcome:
        if self.error is not None and (work.asked or isinstance(self.error, Interrupted)):
            return _failed(work, self.error)
        why = "not begun"
        if isinstance(self.error, RegistryUnavailable):
            why = "not switched: the registry failed first"
        elif self.interrupted:
            why = "not switched: somebody interrupted first"
        elif any(other.outcome and not _went_on(other.outcome.state) for other in self.works):
            why = "not switched: another host failed first"
        return HostOutcome(work.host.name, State.SKIPPED, work.live, work.live, why)

    def _write(self, registry: Registry, record: Record) -> Literal["written", "spooled", "lost"]:
        """Record the outcome; when the database died meanwhile, keep the record until it is back."""
        try:
            registry.finish(record)
        except RegistryUnavailable as error:
            return self._write_anew(record, error)
        except KeyboardInterrupt:
            return self._spool(record, _stopped_writing())
        return "written"

    def _write_anew(self, record: Record, cause: RegistryUnavailable) -> Literal["written", "spooled", "lost"]:
        """Connect anew where an interrupt closed the connection that led to the registry; else keep the record."""
        if not (self.interrupted and self.node.registry_via):
            return self._spool(record, cause)
        hosts = [self.node.host(work.host.name) for work in self.works]
        try:
            with ExitStack() as stack:
                stack.callback(close, hosts)
                stack.enter_context(self.node.registry(hosts)).finish(record)
        except DeployError as error:
            return self._spool(record, RegistryUnavailable(error.message))
        except KeyboardInterrupt:
            return self._spool(record, _stopped_writing())
        return "written"

    def _spool(self, record: Record, cause: RegistryUnavailable) -> Literal["spooled", "lost"]:
        from ..registry.url import url_key

        try:
            self.node.spool.put(record, url_key(self.node.registry_url))
        except RegistryUnavailable as error:  # the hosts' journals have what matters
            self._tell("registry.lost", f"{cause.message}; {error.message}", level="error")
            return "lost"
        self._tell("registry.spooled", f"{cause.message}; the record is kept and the next command writes it")
        return "spooled"

    def _with_commits(self, record: Record) -> Record:
        """The record with what is new in the release, as far as this repository can tell."""
        return replace(record, commits=self._new_since(record.previous)) if record.previous else record

    def _new_since(self, previous: str) -> tuple[CommitRecord, ...]:
        """The release's commits that another does not have; asked once, when it is known what serves."""
        if previous not in self._new:
            found: list[Commit] = []
            with suppress(DeployError):
                found = self.node.source().log(previous, self.job.sha, limit=_COMMITS)
            self._new[previous] = tuple(
                CommitRecord(each.sha, each.subject, each.author, each.committed_at) for each in found
            )
        return self._new[previous]

    def _outcome(self, record: Record | None = None) -> Outcome:
        """What came of it; with its record, what people want to know of the release too."""
        hosts = tuple(work.outcome for work in self.works if work.outcome is not None)
        outcome = Outcome(self.job.attempt, self.job.kind, self.job.sha, hosts)
        if record is None:
            return outcome
        commits = tuple(NewCommit(each.sha, each.subject) for each in record.commits)
        return replace(outcome, subject=record.subject, commits=commits, seconds=self._seconds)

    @property
    def _seconds(self) -> float:
        """How long it has taken so far."""
        return round((datetime.now(UTC) - self.started).total_seconds(), 3)

    def _record(self, outcome: Outcome | None = None) -> Record:
        job = self.job
        return Record(
            attempt=job.attempt,
            application=self.node.application,
            root=self.config.root,
            kind=job.kind,
            release_id=job.sha,
            commit_sha=job.sha,
            environment=self.config.environment,
            actor=job.actor,
            control_node=socket.gethostname(),
            tool_version=job.version,
            started_at=self.started.isoformat(),
            finished_at=datetime.now(UTC).isoformat() if outcome else None,
            exit_code=int(outcome.exit_code) if outcome else None,
            hosts=tuple(_host_record(job, work) for work in self.works),
            migration_marker=outcome.migration_marker if outcome else None,
            subject=self.commit.subject or None,
            committed_at=self.commit.committed_at or None,
        )

    def _fail(self, work: Work, error: DeployError) -> None:
        work.host.explain(error)
        if isinstance(error, HostFault):
            work.facts = None  # what the host said cannot be worked with
        self._end(work, _failed(work, error))

    def _end(self, work: Work, outcome: HostOutcome) -> None:
        seconds = {**work.seconds, **outcome.seconds}
        work.outcome = replace(outcome, seconds=seconds, left_out=work.left_out)
        level: Literal["info", "error"] = "info" if outcome.state.ok else "error"
        work.host.tell("host.finished", outcome.message, level=level, state=str(outcome.state))

    def _leave(self) -> None:
        for work in self.works:
            work.host.leave()

    def _close(self) -> None:
        for work in self.works:
            work.host.close()

    def _tell(self, name: str, message: str, **data: Any) -> None:
        self.node.tell(name, message, **data)


def alone(kind: Kind) -> str:
    """What a host that nobody waits for any more does: a restart has nothing to go back to."""
    if kind == "restart":
        return "the host goes on alone; a restart that fails there needs a person, for nothing is restored"
    return "the host goes on alone and ends on a healthy release"


def _stopped_writing() -> RegistryUnavailable:
    return RegistryUnavailable("interrupted while the registry was written")


def connect(work: Work) -> None:
    """Connect to a host."""
    work.host.open()


def _intend(registry: Registry, record: Record) -> None:
    with _nothing_changed():
        registry.intend(record)


@contextmanager
def _nothing_changed(look: str = "") -> Iterator[None]:
    """Say, when the registry fails, that no host was touched yet, and how to ``look`` what these serve."""
    try:
        yield
    except RegistryUnavailable as error:
        error.message = f"nothing was changed: {error.message}"
        error.hint = "; ".join(filter(None, (error.hint, look)))
        raise


def _went_on(state: State) -> bool:
    """Whether a host that ended so kept no other from its turn."""
    return state.ok or state is State.SKIPPED


def _failed(work: Work, error: DeployError) -> HostOutcome:
    """The outcome of a host whose work raised an error."""
    before = isinstance(error, HostFault) and not error.asked
    state = State.NOT_SWITCHED if before else state_of(error)
    live = None if state is State.UNKNOWN else work.live
    return HostOutcome(work.host.name, state, live, work.live, error.message, error.hint, log=error.log)


def _host_record(job: Job, work: Work) -> HostRecord:
    if work.outcome is None:
        return HostRecord(work.host.name, previous=work.live, target_id=work.host.target)
    end = work.outcome
    target = work.facts["target"] if work.facts else None
    missing = target is not None and target["state"] == "missing"
    absent = job.kind == "rollback" and end.state is State.REFUSED and missing
    return HostRecord(
        host=end.host,
        state=str(end.state),
        live=end.live,
        previous=end.previous,
        message=end.message,
        seconds=end.seconds,
        migration_marker=end.migration_marker,
        target_missing=absent,
        log=end.log,
        target_id=work.host.target,
        configuration=end.configuration,
        names=end.names,
    )
