"""One host, as the control node works with it: the agent's calls over one SSH connection."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import wait
from contextlib import suppress
from pathlib import PurePosixPath
from threading import Event as Flag
from threading import Lock, Thread
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar, cast

from .. import threads
from ..errors import (
    BuildFailed,
    Busy,
    DeployError,
    HostUnreachable,
    Interrupted,
    InvalidInput,
    LinkLost,
    OutcomeUnknown,
    UnknownCommit,
    UnknownRelease,
)
from ..events import Event, Level, Listener
from ..host import time_limits
from ..host.constants import FORMAT
from ..host.masking import Mask
from ..text import time_of_day
from . import agent
from .dialing import close
from .session import AgentEnded, Impeded, NotUnderstood, Session

if TYPE_CHECKING:
    from ..config import Config
    from ..host.contract import (
        ActivateAnswer,
        ActivateRequest,
        Answer,
        AuditAnswer,
        BuildAnswer,
        BuildRequest,
        Call,
        ClaimAnswer,
        ConfigureAnswer,
        ConfigureRequest,
        DoctorAnswer,
        DoctorRequest,
        Facts,
        FactsRequest,
        JournalHead,
        LayoutPaths,
        LockAnswer,
        LogsAnswer,
        LogsRequest,
        PinAnswer,
        Problem,
        PruneAnswer,
        Refusal,
        RefusalKind,
        Request,
        RunAnswer,
        RunRequest,
        SentAnswer,
        SentEvent,
        UnlockAnswer,
        UnpinAnswer,
    )
    from ..records.history import HostJournal
    from ..ssh import HostConnection

Said = TypeVar("Said", "SentEvent", "SentAnswer")

_MARGIN = 30.0  # seconds that the start of an activation and the last reconnection may take
PATIENCE = 120.0  # seconds for a call that only reads
_ENDLESS = 30 * 86400.0  # seconds: what a person looks at ends when the person leaves
_PRUNING = 1800.0  # seconds that removing releases may take
PART = 1000  # entries of a journal that one answer holds
_UNTOUCHED = "nothing was changed"
_ALONE = (
    "the connection was lost; this host goes on, and finishes the attempt by itself. This program tries to reach it "
    "until {}. Ctrl-C is safe: only the watching stops, and no other host is begun"
)
_PARTS = 100  # at most, so that no host keeps us for ever

_KINDS: Mapping[RefusalKind, type[DeployError]] = MappingProxyType(
    {
        "invalid": InvalidInput,
        "missing": UnknownRelease,
        "missing_commit": UnknownCommit,
        "busy": Busy,
        "build_failed": BuildFailed,
        "cancelled": Interrupted,
        "unknown": OutcomeUnknown,
    }
)


class Host:
    """A connected host.  ``connect`` makes a new connection to it, for going on after a lost link.

    ``known`` are its facts as they were last read, ``target`` the id that it last gave itself; None before.
    ``heard_at`` is when it last said something (Unix time of this machine).
    ``witness`` is given the last entry of its journal, as often as facts were read.
    ``refused`` is what `doctor` heard that every other call is refused for before the agent runs, ``printed`` are the
    first lines that the login's shell printed before it.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        connect: Callable[[], HostConnection],
        listener: Listener,
        witness: Callable[[Host, JournalHead | None], object] | None = None,
    ) -> None:
        self.name = name
        self._config = config
        self._connect = connect
        self._listener = listener
        self._witness = witness
        self._heard: Facts | None = None
        self._connection: HostConnection | None = None
        self._session: Session | None = None
        self._opening = Lock()
        self._left = Flag()
        self._asked_at = 0.0
        self._clock = HostClock()
        self.heard_at = time.time()
        self.known: Facts | None = None
        self.target: str | None = None
        self.refused: list[Problem] = []
        self.printed: list[str] = []
        self._mask = Mask()

    def hide(self, mask: Mask) -> None:
        """Pass on nothing with these secrets in it, whatever the host says."""
        self._mask = mask

    def typed(self, task: str) -> str:
        """The command to type about this host."""
        return self._config.typed(self.name, task)

    def asks_later(self) -> str:
        """What to type when the end of an attempt on this host is not known."""
        return self._config.asks_later(self.name)

    def explain(self, error: DeployError) -> None:
        """Let the hint of an error on this host be one that can be typed as it stands."""
        error.hint = self._config.hinted(self.name, error.hint)

    def open(self) -> HostConnection:
        """The connection, made when it is first needed."""
        with self._opening:
            if self._connection is None:
                if self._left.is_set():
                    raise LinkLost("interrupted: this host was not waited for any longer", host=self.name)
                self._connection = self._dial()
                self.tell("host.connected", "connected", level="detail")
            return self._connection

    def _dial(self) -> HostConnection:
        """Connect; whoever leaves does not wait for a host that says nothing."""
        dialing = threads.beside(self._connect)
        agent.packed()  # the first call needs it, and a host that is far away leaves the time
        try:
            while wait([dialing], 0.2).not_done:
                if self._left.is_set():
                    raise LinkLost("interrupted: this host was not waited for any longer", host=self.name)
        except BaseException:
            dialing.add_done_callback(close)
            raise
        return dialing.result()

    def close(self) -> None:
        """End the connection; calls that still run are cut off."""
        connection, self._connection, self._session = self._connection, None, None
        if connection is not None:
            connection.close()

    def leave(self) -> None:
        """Close for good: whoever still follows something there stops, and the host goes on alone."""
        self._left.set()
        self.close()

    def wait(self, seconds: float) -> bool:
        """Let time pass; False when the host was left meanwhile."""
        return not self._left.wait(seconds)

    def tell(self, name: str, message: str = "", *, level: Level = "info", **data: object) -> None:
        """Emit an event about this host."""
        self._listener(Event(name, message, host=self.name, level=level, data=data))

    def facts(self, request: FactsRequest) -> Facts:
        """Read what the host is and has."""
        facts = self._learn(cast("Facts", self._quiet_call("facts", request, PATIENCE + request.get("wait", 0.0))))
        self._remember()
        return facts

    def lock(self, actor: str, reason: str) -> LockAnswer:
        """Hold the host; raises Busy when somebody holds it already."""
        return cast("LockAnswer", self._quiet_call("lock", {"actor": actor, "reason": reason}, PATIENCE))

    def unlock(self, actor: str) -> UnlockAnswer:
        """End the hold."""
        return cast("UnlockAnswer", self._quiet_call("unlock", {"actor": actor}, PATIENCE))

    def pin(self, actor: str, release: str) -> PinAnswer:
        """Keep a release from being pruned."""
        return cast("PinAnswer", self._quiet_call("pin", {"actor": actor, "release": release}, PATIENCE))

    def unpin(self, release: str) -> UnpinAnswer:
        """Let a release be pruned like any other."""
        return cast("UnpinAnswer", self._quiet_call("unpin", {"release": release}, PATIENCE))

    def prune(self, keep: int, *, dry_run: bool) -> PruneAnswer:
        """Remove releases beyond the ``keep`` newest good ones; with ``dry_run`` only say which."""
        return cast("PruneAnswer", self._quiet_call("prune", {"keep": keep, "dry_run": dry_run}, _PRUNING))

    def audit(self, *, verify: bool, limit: int, seen: JournalHead | None) -> AuditAnswer:
        """The journal's last entries; with ``verify`` also whether it is what was written, and what was ``seen``."""
        request: Request = {"verify": verify, "limit": limit, "seen": seen}
        return cast("AuditAnswer", self._quiet_call("audit", request, PATIENCE))

    def claim(self, actor: str, *, dry_run: bool) -> ClaimAnswer:
        """Make a root that another machine's id is in this host's; with ``dry_run`` only look."""
        return cast("ClaimAnswer", self._quiet_call("claim", {"actor": actor, "dry_run": dry_run}, PATIENCE))

    def logs(self, request: LogsRequest) -> LogsAnswer:
        """Hear what services said, an event a line; with ``follow`` until the host is left."""
        return cast("LogsAnswer", self._quiet_call("logs", request, _ENDLESS))

    def run(self, request: RunRequest) -> RunAnswer:
        """Have a line run beside the services; its output comes in events."""
        return cast("RunAnswer", self.call("run_line", request, _ENDLESS))

    def console(self, request: RunRequest, typed: Iterable[bytes]) -> RunAnswer:
        """Have a line run at a terminal there; what it shows comes in events, and blocks of what is typed are sent."""
        typing = Thread(target=self._type, args=(typed,), name="typing", daemon=True)

        def begin() -> None:
            if typing.ident is None:
                typing.start()

        try:
            return cast("RunAnswer", self.call("run_line", request, _ENDLESS, on_event=begin))
        finally:
            self._drop(Session.end)  # what is typed after the end is no call

    def _type(self, typed: Iterable[bytes]) -> None:
        with suppress(LinkLost):
            for block in typed:
                if session := self._session:
                    session.send(block)

    def doctor(self, request: DoctorRequest) -> DoctorAnswer:
        """Have the host looked at; what it heard before an error is in ``refused`` and ``printed``."""
        return cast("DoctorAnswer", self._quiet_call("doctor", request, PATIENCE))

    def journal(self) -> HostJournal:
        """Read the host's whole journal, and what it is to be compared with; a long one in parts."""
        from ..records.history import of_facts

        facts = self.facts({"history": PART, "before": sys.maxsize})
        ahead = facts["clock"] - time.time()
        entries = part = facts["journal"]
        while len(part) == PART and len(entries) < PART * _PARTS:
            part = self.facts({"history": PART, "before": part[0]["seq"]})["journal"]
            entries = [*part, *entries]
        return of_facts(self.name, facts, entries, ahead, self.target)

    def configure(self, request: ConfigureRequest) -> ConfigureAnswer:
        """Have the host keep the configuration of a release that it has."""
        return cast("ConfigureAnswer", self._quiet_call("configure", request, PATIENCE))

    def build(self, request: BuildRequest, stream: Iterable[bytes] | None) -> BuildAnswer:
        """Make the sealed release; ``stream`` is the bundle, when one has to travel."""
        self.tell("build.started", "building")
        patience = self._config.build.timeout + PATIENCE
        return cast("BuildAnswer", self._quiet_call("build", request, patience, stream))

    def activate(self, request: ActivateRequest) -> ActivateAnswer:
        """Switch to the release and stay until the host says how it ended.

        A request that asks the host to look first may end without a ``state``: then it
        changed nothing, and ``known`` says why.

        A lost link is taken up again, for ``reconnect_timeout`` or until the host has
        surely ended by itself; raises LinkLost when it could not be reached until then.
        """
        follower = _Follower(self, request, self._config.reconnect_timeout)
        return follower.result()

    def call(
        self,
        command: Call,
        request: Request,
        deadline: float,
        stream: Iterable[bytes] | None = None,
        on_event: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Make one call; the calls on one connection go to one agent, one after another."""
        try:
            session = self._ask(command, cast("Request", {"layout": self._layout(), **request}), deadline)
            if stream is not None:
                self._send(session, stream)
            said = self._masked(session.answer(lambda event: self._hear(self._masked(event), on_event)))
            self.printed = session.printed
        except KeyboardInterrupt:
            self.close()  # the agent sees that nobody is there, stops and tidies up; a signal would cut that short
            raise
        except BaseException:
            self._drop(Session.kill)
            raise
        if said.get("format", 0) > FORMAT:
            self._drop(Session.end)
            raise _newer(command, said["format"], self.name)
        if "refusal" in said:
            self._drop(Session.end)
            raise _error(said["refusal"], self.name, self._config)
        self.target = said.get("target") or self.target
        self._remember()
        return said["result"]

    def _masked(self, said: Said) -> Said:
        """What the host said, without secrets."""
        return cast("Said", self._mask.value(said))

    def _ask(self, command: Call, request: Request, deadline: float) -> Session:
        connection = self.open()
        if self._session is not None and not self._session.open:
            self._drop(Session.end)
        if self._session is None and _is_private(request):  # the first request of a session is in a command line
            self.call("facts", {"source": False}, PATIENCE)
        self._asked_at = time.time()
        if self._session is None:
            root = PurePosixPath(self._config.root)
            self._session = Session(self.name, connection, root, command, request, deadline)
        else:
            self._session.ask(command, request, deadline)
        return self._session

    def _drop(self, end: Callable[[Session], None]) -> None:
        session, self._session = self._session, None
        if session is not None:
            end(session)

    def _quiet_call(
        self, command: Call, request: Request, deadline: float, stream: Iterable[bytes] | None = None
    ) -> Answer:
        """A call that changes nothing live: when its link is lost, the outcome is known all the same."""
        try:
            return self.call(command, request, deadline, stream)
        except AgentEnded as ended:
            failed = command == "build" and not isinstance(ended, Impeded)
            kind = BuildFailed if failed else HostUnreachable
            raise kind(f"nothing was switched: {ended.message}", hint=ended.hint, host=self.name) from ended
        except NotUnderstood as wrong:
            raise HostUnreachable(f"nothing was switched: {wrong.message}", hint=wrong.hint, host=self.name) from wrong
        except LinkLost as lost:
            what, hint = f"the connection was lost during '{command}' ({lost.message})", "the same command again"
            if command != "logs":
                what, hint = f"nothing was switched: {what}", f"{hint} carries on"
            raise HostUnreachable(what, hint=hint, host=self.name) from lost

    def _send(self, session: Session, stream: Iterable[bytes]) -> None:
        sent = 0
        for block in filter(None, stream):
            session.send(block)
            sent += len(block)
        session.send(b"")
        self.tell("source.sent", f"{sent / 1000:.0f} kB of history sent", level="detail", bytes=sent)

    def _hear(self, said: SentEvent, on_event: Callable[[], None]) -> None:
        self.heard_at = time.time()
        if said["event"] == "facts":
            self._learn(cast("Facts", said["data"]))
        elif said["event"] == "refused":
            self.refused.append({"message": str(said["data"].get("message")), "hint": _text(said["data"].get("hint"))})
        elif said["event"] != "alive":
            if said["event"] != "waiting":  # it is said before the attempt has a log, whose lines are counted
                on_event()
            at = self._clock.moment(said.get("at"))
            self._listener(Event(said["event"], said["message"], self.name, said["level"], said["data"], at))

    def _learn(self, facts: Facts) -> Facts:
        live, head, hold, at = facts["live"], facts["head"], facts.get("hold"), self._asked_at
        self.known = facts
        self._clock.moment(facts["clock"])
        what = f"live: {live or 'nothing'}"
        self.tell("facts.read", what, level="detail", live=live, head=head, hold=hold, asked_at=at)
        return facts

    def _remember(self) -> None:
        """Have the end of the journal remembered, once for all facts, when it is known which target they are of."""
        if self._witness and self.known is not None and self.known is not self._heard:
            self._heard = self.known
            self._witness(self, self.known["head"])

    def _layout(self) -> LayoutPaths:
        config = self._config
        return {
            "root": config.root,
            "releases": config.releases_dir,
            "current": config.current_link,
            "repo": config.repo_root,
            "scope": config.scope,
        }


class HostClock:
    """A host's clock, by which its log has times.  What is heard late keeps the time at which it happened."""

    def __init__(self) -> None:
        self._last = self._ahead = -math.inf  # how far it is ahead of ours: the most that anything heard says

    def moment(self, told: float | None) -> float:
        """When something happened that is heard now, by the clock of this machine; ``told`` is its time there."""
        now = time.time()
        if told is None:
            return now
        if told < self._last - 1:  # somebody set it back
            self._ahead = -math.inf
        self._last, self._ahead = told, max(self._ahead, told - now)
        return told - self._ahead


class _Follower:
    """Stays with one activation over as many connections as it takes."""

    def __init__(self, host: Host, request: ActivateRequest, patience: float) -> None:
        self.host = host
        self.request = request
        self.patience = patience
        self.until = time.monotonic() + time_limits.turn(request) + time_limits.whole(request) + _MARGIN
        self.lost_at = 0.0
        self.heard_at = -math.inf  # when the host was last heard of, before the link was lost
        self.seen = 0
        self.tries = 0

    def result(self) -> ActivateAnswer:
        for pause in _back_off():
            try:
                return self._call()
            except NotUnderstood as wrong:
                self.host.close()
                what = f"the host goes on alone, how it ends is not known here: {wrong.message}"
                raise self._unknown(what) from wrong
            except (LinkLost, HostUnreachable) as lost:
                if isinstance(lost, HostUnreachable) and not self.tries:
                    raise  # the host did not even take the command
                self.tries += 1
                self._wait(pause, lost)
        raise AssertionError("the back-off never ends")

    def _call(self) -> ActivateAnswer:
        request: ActivateRequest = {**self.request, "after": self.seen}
        answer = self.host.call("activate", request, self.until - time.monotonic(), on_event=self._count)
        return cast("ActivateAnswer", answer)

    def _count(self) -> None:
        self.seen += 1

    def _wait(self, pause: float, lost: DeployError) -> None:
        """Close what is left of the connection and wait; the attempt id makes asking again harmless."""
        self.host.close()
        first = self.host.heard_at > self.heard_at
        if first:
            self.lost_at, self.heard_at = time.monotonic(), self.host.heard_at
        left = min(self.until, self.lost_at + self.patience) - time.monotonic()
        if pause > left or not self.host.wait(0):
            what = "the connection was lost after the activation was asked for; the host finishes alone"
            raise self._unknown(what) from lost
        self._tell(f"{lost.message}; trying again in {pause:.0f} s", time.time() + left, first=first)
        self.host.wait(pause)

    def _tell(self, what: str, until: float, *, first: bool) -> None:
        """Say that the link is lost; when it has just been lost, also that nobody has to do anything."""
        if first:
            what = f"{_ALONE.format(time_of_day(until))}\n{what}"
        self.host.tell("link.lost", what, level="warning", heard_at=self.heard_at, until=until)

    def _unknown(self, what: str) -> LinkLost:
        return LinkLost(what, hint=self.host.asks_later(), host=self.host.name)


def _is_private(request: Request) -> bool:
    """Whether a request has values that nobody else on the host may see."""
    return isinstance(request.get("env"), dict) or "line" in request


def _back_off() -> Iterable[float]:
    pause = 1.0
    while True:
        yield pause
        pause = min(pause * 2, 15.0)


def _error(refusal: Refusal, host: str, config: Config) -> DeployError:
    kind = _KINDS.get(refusal["kind"], InvalidInput)
    state = "nothing was switched: " if kind is BuildFailed else ""
    # The host does not know what we call it, nor by which environment.
    hint = config.hinted(host, refusal.get("hint")) or ("fix it and deploy again" if state else None)
    error = kind(f"{state}{refusal['message']}", hint=hint, host=host)
    error.log = refusal.get("log")
    return error


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _newer(command: Call, number: int, host: str) -> DeployError:
    """The agent that answered keeps to a later contract than this version knows: its answer may mean anything."""
    kind, state = (DeployError, "the outcome is not known") if command == "activate" else (InvalidInput, _UNTOUCHED)
    return kind(
        f"{state}: the agent on this host is of a later version (format {number})",
        hint=f"install oroboros_deploy 0.{number}.0 or later on this control node",
        host=host,
    )
