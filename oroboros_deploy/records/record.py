"""One attempt, as the registry remembers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypedDict, get_args

from ..host.constants import IN_PLACE
from ..outcome import Kind, State
from .names import Names

if TYPE_CHECKING:
    from ..host.contract import Changes


class AttemptState(StrEnum):
    """How an attempt stands as a whole; its worst host decides."""

    RUNNING = "running"
    LIVE = "live"
    RESTORED = "restored"  # it is live nowhere, and what served before serves again
    FAILED = "failed"  # it is live on some hosts only, or switched nothing
    BROKEN = "broken"  # a host could not be restored
    UNKNOWN = "unknown"  # the link was lost while a host went on
    LOST = "lost"  # no end was recorded, and the control node gives no sign of life


RUNNING = "running"
_OPEN = frozenset({RUNNING, State.UNKNOWN})
_OK = frozenset(state for state in State if state.ok)
_STATES = frozenset({RUNNING, *State})
_SWITCHED = frozenset({State.LIVE, State.RESTORED, State.NOT_RESTORED})
_LOG_LENGTH = 16_000


@dataclass(frozen=True)
class HostRecord:
    """One host's part in an attempt: the fields of `HostOutcome` worth remembering.

    ``state`` is a `State` value, or "running" while the attempt goes on;
    ``seconds`` the wall time of each phase; ``target_missing`` is True when a
    rollback was refused because the host does not have the release; ``log`` what the
    build, the migration, the gate or the services said last, of which the end is kept;
    ``target_id`` the id that the host has minted for its deploy root, None when it is not known;
    ``configuration`` the revision in use there after the attempt, ``names`` those that it changed, or tried to.
    """

    host: str
    state: str = RUNNING
    live: str | None = None
    previous: str | None = None
    message: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    migration_marker: str | None = None
    target_missing: bool = False
    log: str | None = None
    target_id: str | None = None
    configuration: str | None = None
    names: Changes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "log", self.log and self.log[-_LOG_LENGTH:])

    @property
    def ok(self) -> bool:
        """True when the asked-for release is live and gated here."""
        return self.state in _OK

    @property
    def open(self) -> bool:
        """True while it is not known how the attempt ended here."""
        return self.state in _OPEN

    @property
    def switched(self) -> bool:
        """True when the attempt switched, or tried to switch, what this host serves."""
        return self.state in _SWITCHED


@dataclass(frozen=True)
class CommitRecord:
    """One commit of a release; ``committed_at`` is ISO 8601 with an offset."""

    sha: str
    subject: str
    author: str
    committed_at: str


@dataclass(frozen=True)
class Record:
    """One attempt, as the registry remembers it.

    Times are ISO 8601 with an offset, by the control node's clock; ``finished_at``
    and ``exit_code`` are None while the attempt goes on.  ``subject`` and
    ``committed_at`` are those of the release's commit, ``commits`` what is new in it
    against the release that served before, the newest first; unknown without a clone.
    ``application`` and ``root`` are empty in records of earlier versions of oroboros_deploy.
    """

    attempt: str
    kind: Kind
    release_id: str
    commit_sha: str
    environment: str | None
    actor: str
    control_node: str
    tool_version: str
    started_at: str
    finished_at: str | None = None
    exit_code: int | None = None
    hosts: tuple[HostRecord, ...] = ()
    migration_marker: str | None = None
    subject: str | None = None
    committed_at: str | None = None
    commits: tuple[CommitRecord, ...] = ()
    application: str = ""
    root: str = ""

    def __post_init__(self) -> None:
        _refuse_unless(self.kind in get_args(Kind), "kind", self.kind)
        for host in self.hosts:
            _refuse_unless(host.state in _STATES, "state", host.state)
        for time in filter(None, (self.started_at, self.finished_at, self.committed_at)):
            _refuse_unless(datetime.fromisoformat(time).tzinfo is not None, "time without an offset", time)

    @property
    def moves(self) -> bool:
        """True of an attempt that brings a release to hosts; False of one with the release that serves there."""
        return self.kind not in IN_PLACE

    @property
    def settled(self) -> bool:
        """True when it is known of every host how the attempt ended there."""
        return not any(host.open for host in self.hosts)

    @property
    def state(self) -> AttemptState:
        """How the attempt stands as a whole."""
        states = {host.state for host in self.hosts}
        if self.finished_at is None:
            return AttemptState.RUNNING
        if State.NOT_RESTORED in states:
            return AttemptState.BROKEN
        if not self.settled:
            return AttemptState.UNKNOWN
        if State.RESTORED in states and not states & _OK:
            return AttemptState.RESTORED
        return AttemptState.LIVE if states and states <= _OK else AttemptState.FAILED

    @property
    def previous(self) -> str | None:
        """The release that served before, on the first host of which it is known."""
        return next((host.previous for host in self.hosts if host.previous), None)

    @property
    def activation_seconds(self) -> float | None:
        """The slowest activation that switched a host, None when none did."""
        return max((host.seconds.get("activate", 0.0) for host in self.hosts if host.switched), default=None)

    @property
    def served(self) -> dict[str, str | None]:
        """The release that serves on each host the attempt has switched or tried to switch."""
        ends: dict[str, str | None] = {}
        for host in self.hosts:
            if host.ok:
                ends[host.host] = self.release_id if self.moves else host.live
            elif host.state in (State.RESTORED, State.NOT_RESTORED):
                ends[host.host] = host.live if host.state == State.RESTORED else None
        return ends

    def part(self, host: str) -> HostRecord | None:
        """One host's part, None when the attempt did not go there."""
        return next((part for part in self.hosts if part.host == host), None)

    def to_json(self) -> str:
        """The record as one line of JSON, for `from_json`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that `to_json` wrote, also by a later version; ValueError when it is none."""
        try:
            values = _known(cls, json.loads(text))
            hosts = tuple(HostRecord(**_known(HostRecord, host)) for host in values["hosts"])
            commits = tuple(CommitRecord(**_known(CommitRecord, commit)) for commit in values.get("commits", ()))
            return cls(**values | {"hosts": hosts, "commits": commits})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a record: {error}") from error


@dataclass(frozen=True)
class Row:
    """What a row of `releases` says, besides its ids; ``deployed_at`` is ISO 8601."""

    status: str
    deployed_at: str | None
    migration_marker: str | None


@dataclass(frozen=True)
class Memory:
    """What the registry remembers, to be compared with the hosts' journals.

    ``records`` are its attempts by id, without their commits; ``alive`` those whose control node
    still works on them, ``seen`` the last sign of life of those without an end.  ``serving`` is
    the release of each known host, ``credited`` the attempt that this is known from, ``intents``
    the status that a release's row had when an attempt put its own there.  Hosts and releases are
    those of one ``application`` and ``root`` (None: of any); ``elsewhere`` are the releases that others serve,
    ``unreadable`` the attempts whose rows are no records.
    """

    records: Mapping[str, Record] = field(default_factory=dict)
    alive: frozenset[str] = frozenset()
    seen: Mapping[str, str] = field(default_factory=dict)
    serving: Mapping[str, str | None] = field(default_factory=dict)
    credited: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)
    intents: Mapping[str, str | None] = field(default_factory=dict)
    application: str | None = None
    elsewhere: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()
    root: str | None = None
    names: Names = field(default_factory=Names)

    @property
    def own(self) -> dict[str, Record]:
        """The attempts of this application, and those of which an earlier version did not say whose they are."""
        return {name: each for name, each in self.records.items() if self._owns(each)}

    def _owns(self, record: Record) -> bool:
        return self.application is None or record.application in ("", self.application)

    @property
    def hosts(self) -> dict[str, str | None]:
        """All hosts, by the names that they have now, with the environment of the newest attempt on each."""
        parts = ((part, record.environment) for record in self.own.values() for part in record.hosts)
        newest = {self.names.now(part.host, part.target_id): environment for part, environment in parts}
        known = {name: environment for name, environment in newest.items() if name}
        return dict(sorted({**dict.fromkeys(self._served), **known}.items()))

    @property
    def _served(self) -> list[str]:
        """The names that the hosts have now which serve something: two roots of one name may have two here."""
        last = self.names.last
        called = [self.names.now(host, target) for target, host in last.items() if host in self.serving]
        return [*filter(None, called), *(host for host in self.serving if host not in last.values())]


class Asked(NamedTuple):
    """Of which application and root hosts were asked, and when, by this machine's clock (None: just now)."""

    application: str = ""
    root: str = ""
    at: datetime | None = None


JUST_NOW = Asked()


class Forgotten(TypedDict):
    """What ended when a host was forgotten; ``replaced`` are the releases that nothing serves any more."""

    host: str
    application: str
    served: list[str]
    replaced: list[str]


def _known(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(cls)}
    return {name: value for name, value in values.items() if name in names}


def _refuse_unless(condition: bool, what: str, value: str) -> None:
    if not condition:
        raise ValueError(f"not a record: {what} {value!r}")
