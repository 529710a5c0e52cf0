"""The shapes of the API's answers, for its OpenAPI description.

What the registry returns is sent as it is: these models describe it, they do not change it.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from ..events import Level
from ..outcome import Kind, State
from ..records.status import Status


class Release(BaseModel):
    """A row of the table `releases`."""

    id: int
    release_id: str = Field(description="the full commit sha")
    commit_sha: str
    migration_marker: str | None
    status: Status
    deployed_at: datetime | None = Field(description="when it first went live")


HostState = Literal["running"] | State


class Names(BaseModel):
    """Names of the configuration; never a value."""

    added: list[str]
    changed: list[str]
    removed: list[str]


_REVISION = "the same values have another revision on each target: compare those of one target alone"


class HostPart(BaseModel):
    """One host's part in an attempt."""

    host: str
    state: HostState
    phase: str | None = Field(description="the last one heard of")
    live: str | None = Field(description="the release that served there when the attempt ended")
    previous: str | None = Field(description="the release that served there before")
    message: str
    log: str | None = Field(description="what the build, the migration, the gate or the services said last")
    seconds: dict[str, float] = Field(description="wall time of each phase")
    configuration: str | None = Field(description=f"revision of the configuration in use afterwards; {_REVISION}")
    names: Names | None = Field(description="what the attempt changed in the configuration, or tried to change")


class Commit(BaseModel):
    """A commit that is new against the release that served before."""

    sha: str
    subject: str
    author: str
    committed_at: datetime | None


AttemptState = Literal["running", "live", "restored", "failed", "broken", "unknown", "lost"]


class Attempt(BaseModel):
    """One deploy, rollback, push of the configuration or restart, on its hosts."""

    attempt: str
    application: str = Field(description="empty in records of earlier versions of oroboros_deploy")
    kind: Kind
    release_id: str
    commit_sha: str
    subject: str | None = Field(description="first line of the commit's message")
    environment: str | None
    actor: str
    control_node: str
    tool_version: str
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None = Field(description="wall time of the whole")
    exit_code: int | None
    state: AttemptState = Field(
        description="live: on every host; restored: live on none, what served before serves again; failed: live on "
        "some hosts only, or nothing was switched; broken: no release is known to serve on a host; unknown: the link "
        "to a host was lost while it went on; lost: no sign of life from the control node, and what the hosts did is "
        "not known here"
    )
    migration_marker: str | None
    seen_at: datetime | None = Field(description="last sign of life of the control node")
    hosts: list[HostPart]


class AttemptInFull(Attempt):
    """An attempt with its commits."""

    commits: list[Commit] = Field(description="new against the release before; at most 100")


class AttemptPage(BaseModel):
    """Attempts, newest first."""

    items: list[Attempt]
    next: str | None = Field(description="`after` of the next page; null on the last")


class Event(BaseModel):
    """Something that happened during an attempt."""

    id: int
    attempt: str
    host: str | None
    environment: str | None
    at: datetime
    name: str
    level: Level
    message: str
    data: dict[str, Any]


class EventPage(BaseModel):
    """Events, in the order in which they were recorded."""

    items: list[Event]
    next: int | None = Field(description="`after` of the next page; null on the last")


class Hold(BaseModel):
    """Who holds a host, since when and why."""

    actor: str
    at: datetime
    reason: str


class Host(BaseModel):
    """What a host serves, by the registry and as it was last seen."""

    host: str
    application: str | None = Field(
        description="the one deployed there last; empty in records of earlier versions of oroboros_deploy"
    )
    environment: str | None
    release_id: str | None = Field(description="what the registry says it serves")
    since: datetime | None = Field(description="when that release came there")
    configured_at: datetime | None = Field(
        description="when a push gave it another configuration since; null: none did"
    )
    attempt: str | None = Field(description="the one that put it there")
    observed_release: str | None = Field(description="what the host itself said when it was last asked")
    observed_at: datetime | None
    hold: Hold | None = Field(description="who holds this host for its application, as it was last told; null: nobody")
    split: bool = Field(description="other hosts of its application and environment serve another release")
    drift: bool = Field(
        description="when the host was asked after `since`, it served another release than `release_id`, and no "
        "attempt is bringing that other release there now"
    )
    last_attempt: str | None = Field(description="the newest that named this host")
    last_state: HostState | Literal["lost"] | None = Field(description="how that one went here")
    last_at: datetime | None = Field(description="when it ended or, without an end, began")
    configuration: str | None = Field(description=f"revision of the configuration since `attempt`; {_REVISION}")
    names: Names | None = Field(description="what that attempt changed in the configuration")


class HostPage(BaseModel):
    """Hosts, by name."""

    items: list[Host]
    next: str | None = Field(description="`after` of the next page; null on the last")


class FigureDay(BaseModel):
    """One day of the figures."""

    day: date
    deployments: int
    failures: int
    lead_time_seconds: float | None
    time_to_restore_seconds: float | None


class FigureSet(BaseModel):
    """The four DORA measures over a number of days."""

    environment: str | None
    days: int
    deployment_frequency_per_day: float
    lead_time_seconds: float | None = Field(description="median time from commit to live")
    change_failure_rate: float | None = Field(description="0 to 1")
    time_to_restore_seconds: float | None = Field(description="median")
    deployments: int
    failures: int
    series: list[FigureDay]
    weeks: list[FigureDay] = Field(description="the same for each week, by its Monday, from the first record on")


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str
