"""The contract: everything that crosses the border between the control node and the agent on a host, in types.

The control node sends requests.  The agent sends events, and one answer to each request.
It keeps its state, its journal, its holds and its results in files of the same types.

mypy reads this module; the agent never imports it.  A module in ``host/`` takes its names under
``if TYPE_CHECKING:``, so that a call pays nothing for them and the agent runs on Python 3.9.
The plain values that both sides need when they run are in ``host/constants.py``.

Times are Unix times of the host's clock, durations are seconds, unless something else is said.
"""

from __future__ import annotations

from typing import Dict, List, Literal, NotRequired, Optional, TypedDict, Union

# --- words -------------------------------------------------------------------------------------------------------

AttemptKind = Literal["deploy", "rollback", "env", "restart"]
Scope = Literal["system", "user"]
EntryKind = Literal["deploy", "rollback", "env", "restart", "lock", "unlock", "claim", "run"]
FinalPhase = Literal["committed", "restored", "restore_failed"]
Phase = Literal["prepared", "swapped", "restarted", "gated", "restoring", "committed", "restored", "restore_failed"]
EntryOutcome = Literal["committed", "restored", "restore_failed", "locked", "unlocked", "claimed", "ran"]
Switchable = Literal["sealed", "adopted"]
ReleaseState = Literal["sealed", "adopted", "unsealed", "missing"]
TargetState = Literal["sealed", "adopted", "unsealed", "missing", "damaged", "building"]
GateOfRelease = Literal["passed", "skipped", "never"]
SourceKind = Literal["mirror", "bundle", "fetch"]
PlaceKind = Literal["dir", "file"]
ScriptState = Literal["ready", "closed", "missing"]
Places = Dict[str, PlaceKind]  # by path within a release
Users = Dict[str, str]  # names of users of the host, by the name of the setting under `run_as`
Level = Literal["info", "detail", "warning", "error"]
RefusalKind = Literal["invalid", "missing", "missing_commit", "busy", "build_failed", "cancelled", "unknown"]
Call = Literal[
    "facts",
    "configure",
    "build",
    "activate",
    "follow",
    "lock",
    "unlock",
    "pin",
    "unpin",
    "prune",
    "audit",
    "claim",
    "logs",
    "run_line",
    "doctor",
]


# --- requests ----------------------------------------------------------------------------------------------------


class LayoutPaths(TypedDict):
    """Where a host keeps what is deployed: absolute paths on the host.

    ``scope`` is whose service manager runs it (default: the system's).
    """

    root: str
    releases: str
    current: str
    repo: str
    scope: NotRequired[Scope]


class Asked(TypedDict):
    """What every request has when it is sent: `Host.call` adds it, and a kept request keeps it."""

    layout: NotRequired[LayoutPaths]


class UnitsRequest(TypedDict):
    """The units that a release brings: those in ``directory``, a path in the commit.

    ``application`` and ``user`` (default: the login) are put into their texts.  ``adopt`` is true when units that were
    put there by hand, or edited since, may be replaced.
    """

    directory: str
    application: str
    adopt: bool
    user: NotRequired[str]


class FactsRequest(Asked):
    """What to read.  Facts that no key asks for are left empty.

    ``sha`` is the release that is meant; with ``live`` it is the one that serves.
    ``services`` are looked at when ``restart`` is true, ``shared`` places when a release with them is to be built.
    ``restart`` is there when somebody means to activate, ``source`` is true when a build may be needed.
    ``history`` is how many journal entries to answer, of those before the number ``before`` where it is given.
    ``wait`` is for how many seconds an activation of this deploy root is waited for before anything is read.
    ``env`` is true when a configuration is to be put in use; then the facts say where each name of the present one is
    from.
    ``run_as`` are the users that the host needs to have, by the names of their settings.
    ``privileged`` is what the settings let keep the right to become root: with least privilege that is a problem.
    ``starts`` is set by the agent: the activation is started right after these facts were read.
    ``units`` is there when a release is to bring its units; with ``recorded`` it is a rollback, which brings those that
    the release was committed with.
    ``served`` is true when one of the releases is to be gone back to: then the facts say how each served here.
    ``space`` is true when the facts are to say what the live release takes on the disk.
    """

    sha: NotRequired[Optional[str]]
    live: NotRequired[bool]
    services: NotRequired[List[str]]
    shared: NotRequired[Places]
    restart: NotRequired[bool]
    source: NotRequired[bool]
    env: NotRequired[bool]
    history: NotRequired[int]
    before: NotRequired[int]
    wait: NotRequired[float]
    run_as: NotRequired[Users]
    privileged: NotRequired[List[str]]
    starts: NotRequired[bool]
    units: NotRequired[UnitsRequest]
    recorded: NotRequired[bool]
    served: NotRequired[bool]
    space: NotRequired[bool]


class Source(TypedDict):
    """Where the commit comes from: it is in the mirror, it is sent as a bundle, or it is fetched from ``url``."""

    kind: SourceKind
    url: Optional[str]


class FrontendRecipe(TypedDict):
    """The frontend: ``command`` is run in ``path``, and its ``output`` is copied to ``into`` (None: it stays there).

    ``required`` (default: false): a host without npm fails, and does not leave the default command out.
    """

    path: str
    command: str
    output: str
    into: Optional[str]
    required: NotRequired[bool]


class VenvRecipe(TypedDict):
    """What is installed into one virtual environment; ``requirements`` None: the requirements.txt of each project.

    ``lock`` is ``auto`` (a lock file beside a project is installed as locked) or None (it is ignored).
    """

    projects: List[str]
    requirements: Optional[List[str]]
    packages: List[str]
    extras: List[str]
    groups: List[str]
    lock: Optional[str]


class StepRecipe(TypedDict):
    """One command of the project's own, run in ``path``.

    Its ``outputs`` are shared by content; with ``inputs`` they are taken again when those are the same.  One that is
    ``once`` sees the release read-only, and is in the request to the first host alone.
    """

    name: str
    path: str
    command: str
    inputs: NotRequired[List[str]]
    outputs: NotRequired[List[str]]
    once: NotRequired[bool]


class Recipe(TypedDict):
    """What a build makes.

    ``venvs`` are the project directories of each virtual environment, or all that is installed into it.  ``cache`` is
    in bytes, and ``anew`` is true when no result of an earlier build may be taken.
    ``digest`` is of the settings that shape the result: a release that has another one is not what was asked for.
    ``shared`` are the paths that become links to shared places (default: none).
    ``python`` (default: the agent's) makes environments and wheels; the directory of ``node`` comes first in PATH.
    """

    frontend: Optional[FrontendRecipe]
    venvs: Dict[str, Union[List[str], VenvRecipe]]
    steps: List[StepRecipe]
    timeout: float
    installer: str
    inputs: List[str]
    cache: int
    anew: bool
    digest: str
    shared: NotRequired[Places]
    python: NotRequired[Optional[str]]
    node: NotRequired[Optional[str]]


class Sources(TypedDict):
    """Where the values of a configuration come from; of two that have a name, the later wins.

    ``file`` is a path in the release (None: none), ``values`` and ``secrets`` are values by name, and ``build`` are the
    names of which a build sees the values.  No request with values is kept, and none travels in a command line.
    """

    file: Optional[str]
    values: Dict[str, str]
    secrets: Dict[str, str]
    build: List[str]


class ConfigureRequest(Asked):
    """Keep the configuration of the release ``sha``, which is complete, so that an activation can put it in use.

    Without ``sha`` it is the live release.  With ``dry_run`` nothing is kept.  The group of ``owner`` may read it
    (default: the login alone).
    """

    sha: Optional[str]
    env: Sources
    dry_run: NotRequired[bool]
    owner: NotRequired[str]


class BuildRequest(Asked):
    """Make the sealed release of the commit ``sha``; a bundle is sent as a stream after the request.

    ``version`` is that of oroboros_deploy on the control node; ``verbose`` (default: true) asks for all output.
    ``again`` (default: false) asks for it although it is complete; what is live is never built again.
    ``described`` is what `git describe` calls the commit (default: ``sha``).  ``env`` is there when a build sees some
    of the configuration; it has the values of these names alone.  ``units`` are those that the release brings.
    Shared directories that are made belong to ``owner`` (default: the login).  With ``privileged`` (default: false) the
    commands of the build keep the right to become root.
    """

    attempt: str
    sha: str
    source: Source
    recipe: Recipe
    version: str
    verbose: NotRequired[bool]
    again: NotRequired[bool]
    described: NotRequired[str]
    env: NotRequired[Sources]
    units: NotRequired[UnitsRequest]
    owner: NotRequired[str]
    privileged: NotRequired[bool]


class HttpProbe(TypedDict):
    """What is asked by HTTP on the host: ``url`` has to answer ``status``, with ``contains`` in what it says.

    ``header`` are further headers of the request, ``host`` is the name that is asked for (in the Host header, and of
    the certificate), ``ca`` a file of the host with the certificates that are trusted, ``unix`` a socket of the host
    that is connected to.  It has ``timeout`` seconds.
    """

    url: str
    status: int
    timeout: float
    contains: NotRequired[str]
    header: NotRequired[Dict[str, str]]
    host: NotRequired[str]
    ca: NotRequired[str]
    unix: NotRequired[str]


class GateRequest(TypedDict):
    """The gate: ``command``, and what is asked by ``http`` and ``tcp`` (``HOST:PORT`` that has to take a connection).

    With none of them it is held to the services alone.  They pass together, ``successes`` (default: 1) times in a row.
    `constants` has the defaults of the times.  ``user`` is who the command runs as (default: the login);
    with ``privileged`` (default: false) it keeps the right to become root.
    """

    command: NotRequired[Optional[str]]
    http: NotRequired[List[HttpProbe]]
    tcp: NotRequired[List[str]]
    successes: NotRequired[int]
    user: NotRequired[str]
    privileged: NotRequired[bool]
    timeout: NotRequired[float]
    interval: NotRequired[float]
    stable_for: NotRequired[float]


class Origin(TypedDict, total=False):
    """What a journal entry keeps of the attempt as a whole, so that the registry can be rebuilt from journals.

    ``host`` is the name that the control node has for the host; ``started_at`` is ISO 8601.  Early entries of
    0.1.0 have nothing of it.
    """

    host: str
    hosts: List[str]
    environment: Optional[str]
    control_node: str
    tool_version: str
    started_at: str


class ActivateRequest(Asked):
    """Switch to the release ``sha``, gate it, and restore what served before when it fails.

    ``detached`` is true where systemd cannot run the activation.  ``keep`` is how many good releases stay.
    ``expected`` is the live release that the control node decided for.  With ``look`` the agent reads those
    facts first, and activates only when they leave nothing to decide.  ``after`` is how many events of the
    attempt the control node has heard already.  ``said`` names the settings that a flag or a variable gave: a rollback
    and a push are held to the record of their release in all others.  ``stopping`` is how long a service may take to
    stop, where that is longer than ``restart_timeout``: a restore waits so long for a stop that systemd has begun.
    ``wait`` is for how many seconds somebody else's activation is waited for (default: 60 for that of another deploy
    root, 0 for one of this).
    ``configuration`` is the revision to put in use with the release; with ``recorded`` it is the one that the record of
    the release has.  With neither the configuration in use stays in use (``recorded`` false: that was asked for).
    ``units`` are those that the release brings; a rollback brings those that the release was committed with.  Without
    it the host's units stay as they are; ``units_left`` is true where the control node has said that, for restarts are
    skipped (default: false).
    ``migrate_as`` is who the migration runs as, and the group of ``owner`` may read the configuration (default of both:
    the login).  With ``migrate_privileged`` (default: false) the migration keeps the right to become root.
    """

    attempt: str
    kind: AttemptKind
    sha: str
    services: List[str]
    restart: bool
    detached: bool
    healthcheck: Optional[GateRequest]
    migrate: NotRequired[Optional[str]]
    restart_timeout: float
    migrate_timeout: float
    actor: str
    keep: NotRequired[Optional[int]]
    expected: NotRequired[Optional[str]]
    look: NotRequired[FactsRequest]
    origin: NotRequired[Origin]
    after: NotRequired[int]
    said: NotRequired[List[str]]
    stopping: NotRequired[float]
    wait: NotRequired[float]
    configuration: NotRequired[str]
    recorded: NotRequired[bool]
    units: NotRequired[UnitsRequest]
    units_left: NotRequired[bool]
    migrate_as: NotRequired[str]
    migrate_privileged: NotRequired[bool]
    owner: NotRequired[str]


class FollowRequest(Asked):
    """Follow an attempt that was asked for before, from its event ``after`` on."""

    attempt: str
    after: NotRequired[int]


class LockRequest(Asked):
    """Hold the target for ``reason``."""

    actor: str
    reason: str


class UnlockRequest(Asked):
    """End the hold."""

    actor: str


class PinRequest(Asked):
    """Keep ``release`` (a release id) from being pruned."""

    actor: str
    release: str


class UnpinRequest(Asked):
    """Let ``release`` be pruned like any other."""

    release: str


class PruneRequest(Asked):
    """Keep the ``keep`` newest good releases; with ``dry_run`` remove nothing."""

    keep: int
    dry_run: bool


class ClaimRequest(Asked):
    """Give the root an id of this machine's; with ``dry_run`` only say whose it is."""

    actor: str
    dry_run: bool


class LogsRequest(Asked):
    """What ``services`` said, as systemd's journal has it: the last ``lines``, or all ``since`` a time.

    journalctl reads that time.  ``grep`` is a regular expression that a line has to match; with ``follow`` it goes on
    until nobody listens.
    """

    services: List[str]
    lines: int
    follow: bool
    since: NotRequired[Optional[str]]
    grep: NotRequired[Optional[str]]


class TerminalSize(TypedDict):
    """Who asks sits at a terminal of this many ``rows`` and ``columns``, and of this ``kind`` (TERM)."""

    rows: int
    columns: int
    kind: str


class RunRequest(Asked):
    """Run ``line`` by bash in `current`, as the user of ``service`` (None, and root's: the login).

    With ``terminal`` it has one: after the event ``console.began`` blocks of the input are what is typed there.
    """

    actor: str
    line: str
    service: Optional[str]
    terminal: NotRequired[Optional[TerminalSize]]


class DoctorRequest(Asked):
    """Look for what a deploy would stop at or stumble over, and change nothing.

    ``facts`` is what a deploy would ask for.  ``tools`` are the programs that the recipe names, ``python`` and ``node``
    the paths that it chose, ``venvs`` is true when it makes virtual environments; ``script`` is the health script, a
    path in the release (None: the health command names none).
    """

    facts: FactsRequest
    tools: List[str]
    python: Optional[str]
    node: Optional[str]
    venvs: bool
    script: Optional[str]


class JournalHead(TypedDict):
    """Number and hash of a journal's last entry."""

    seq: int
    hash: str


class AuditRequest(Asked):
    """The last ``limit`` entries.  With ``verify`` the whole journal is checked, also against what was ``seen``."""

    verify: bool
    limit: int
    seen: NotRequired[Optional[JournalHead]]


# --- what a host keeps -------------------------------------------------------------------------------------------


class Changes(TypedDict):
    """The names in which two configurations differ, or two sets of units, each sorted; never a value."""

    added: List[str]
    changed: List[str]
    removed: List[str]


class ActivationEnd(TypedDict):
    """What is told of an activation that ended.

    ``source`` is the release that it left (None: there was none), ``seconds`` is how long each step took,
    ``switched`` is true once `current` was changed, ``transcript`` is what a failed step said last.
    ``ran`` has the services that ran before the switch, each with systemd's id of that start (None: nobody looked),
    ``foreign`` where the link led that another program had at `current`.  ``enabled`` is what the record will have.
    ``configuration`` is the revision in use with the target, ``configuration_before`` the one before (None: none), and
    ``names`` are those in which they differ.  ``units`` is the set of units with the target, ``units_before`` the one
    before (None: none), and ``unit_changes`` are the files in which they differ; ``units_begun`` is true once ours may
    be in their place.
    """

    target: str
    source: Optional[str]
    phase: Phase
    seconds: Dict[str, float]
    reason: str
    transcript: str
    migration_marker: Optional[str]
    switched: bool
    ran: NotRequired[Optional[Dict[str, str]]]
    foreign: NotRequired[Optional[str]]
    enabled: NotRequired[Optional[List[str]]]
    configuration: NotRequired[Optional[str]]
    configuration_before: NotRequired[Optional[str]]
    names: NotRequired[Optional[Changes]]
    units: NotRequired[Optional[str]]
    units_before: NotRequired[Optional[str]]
    unit_changes: NotRequired[Optional[Changes]]
    units_begun: NotRequired[bool]


class ActivationState(ActivationEnd):
    """One activation at one moment: ``.deploy/state.json``, and ``state`` in the answer to an activation.

    ``boot`` is the kernel's id of the boot that it runs in, ``sequence`` counts the phases that were entered.
    """

    attempt: str
    kind: AttemptKind
    boot: str
    started_at: float
    actor: str
    sequence: int


class ReleaseRecord(TypedDict):
    """What a host keeps of a release that was committed on it: ``.deploy/records/<release id>``.

    A restore of the release is held to it.  ``services`` are the units that were restarted and watched, empty unless
    ``restarted``; ``healthcheck`` is the gate that it passed; ``skipped``: no command and no probe was asked.
    ``attempt`` is the one that committed it, and ``at`` is when.  ``enabled`` are the units that ran and that systemd
    starts at boot; a unit that later attempts left alone stays in it (None: nobody looked).
    ``configuration`` is the revision that was in use (None: none, or nobody noted it).
    ``units`` is the set of units that it brought (None: it brought none).
    ``skipped_since``: the release was switched to again with its gate skipped by hand.  Gate, configuration,
    ``attempt`` and ``at`` are still those of the time when it passed.
    """

    attempt: str
    at: float
    services: List[str]
    restarted: bool
    healthcheck: Optional[GateRequest]
    skipped: bool
    enabled: NotRequired[Optional[List[str]]]
    scope: NotRequired[Scope]
    configuration: NotRequired[Optional[str]]
    units: NotRequired[Optional[str]]
    skipped_since: NotRequired[bool]


class JournalEntry(TypedDict):
    """One line of ``.deploy/journal.jsonl``: an attempt that ended, or a hold that began or ended.

    ``hash`` is over all other keys, ``previous`` is the hash of the entry before.  Entries of attempts have the
    keys from ``attempt`` on; early entries of 0.1.0 lack ``switched`` and ``origin``.  A first deploy has
    ``ran`` and ``foreign``.  ``clock`` is when it ended by the monotonic clock of its ``boot``;
    an attempt whose process died has none.
    ``configuration`` is the revision in use at the end (None: none), and ``names`` what the attempt changed in it, or
    tried to change.  ``units`` is the set of units at the end (None: none is ours), ``unit_changes`` likewise.
    """

    kind: EntryKind
    outcome: EntryOutcome
    actor: str
    reason: str
    boot: str
    at: float
    seq: NotRequired[int]
    previous: NotRequired[str]
    hash: NotRequired[str]
    attempt: NotRequired[str]
    target: NotRequired[str]
    source: NotRequired[Optional[str]]
    switched: NotRequired[bool]
    live: NotRequired[Optional[str]]
    seconds: NotRequired[Dict[str, float]]
    migration_marker: NotRequired[Optional[str]]
    origin: NotRequired[Optional[Origin]]
    ran: NotRequired[Optional[Dict[str, str]]]
    foreign: NotRequired[Optional[str]]
    clock: NotRequired[float]
    configuration: NotRequired[Optional[str]]
    names: NotRequired[Optional[Changes]]
    units: NotRequired[Optional[str]]
    unit_changes: NotRequired[Optional[Changes]]


class TargetId(TypedDict):
    """Which target a deploy root is, and of which machine: ``.deploy/id``.

    ``machine`` is a name made from its machine-id (empty: it has none), ``name`` its host name when the id was made.
    """

    id: str
    machine: str
    name: str
    root: str


class Hold(TypedDict):
    """Who holds a target on purpose, since when and why: ``.deploy/hold``."""

    actor: str
    at: float
    reason: str


class Pin(TypedDict):
    """Who pinned a release, and when: ``.deploy/pins/<release id>``."""

    actor: str
    at: float


class RefusalDetails(TypedDict, total=False):
    """What some refusals add: what a failed build printed last, or who is in the way."""

    log: Optional[str]
    running: Running
    hold: Hold


class Refusal(RefusalDetails):
    """Why the agent did not do what it was asked."""

    kind: RefusalKind
    message: str
    hint: Optional[str]


class Result(TypedDict):
    """``result.json`` of an attempt: its final ``state`` and the release that is live, or the ``refusal``."""

    state: NotRequired[ActivationState]
    live: NotRequired[Optional[str]]
    refusal: NotRequired[Refusal]


# --- facts -------------------------------------------------------------------------------------------------------


class ReleaseFacts(TypedDict):
    """One release on the host; ``built_at`` is ISO 8601 in UTC, ``bad`` is true when it failed.

    It failed when its gate did, or its migration.  ``gate``, ``first`` and ``undone`` are there where ``served`` was
    asked for.
    ``gate``: whether it passed a gate here when it was committed last.  ``first`` orders the releases by when each
    was committed here first (an adopted one: served), and is None for one that never was.  ``undone`` is when a
    rollback left the release, and nobody made it live since (Unix time; None: none did).
    """

    id: str
    state: ReleaseState
    built_at: Optional[str]
    bad: bool
    gate: NotRequired[GateOfRelease]
    first: NotRequired[Optional[int]]
    undone: NotRequired[Optional[float]]


class TargetFacts(TypedDict):
    """How far the wanted release is; ``damage`` says what differs from its seal, ``bad`` why it failed here.

    ``recipe`` is the digest of the recipe that it was built by, None where nobody noted one.  ``building``: it was
    complete, and is built again at this moment.  ``gate``: of the live release, whether it passed a gate here
    (skipped: only its services decided; never: this tool never committed it).  ``configuration`` is the revision in its
    record, and ``configured`` is true when its build saw some of a configuration.  ``unusable`` says why that revision
    cannot be put in use here (None: it can, or there is none); it is there where `env` was asked for.
    """

    state: TargetState
    damage: Optional[str]
    bad: Optional[str]
    recipe: NotRequired[Optional[str]]
    gate: NotRequired[Optional[GateOfRelease]]
    configuration: NotRequired[Optional[str]]
    configured: NotRequired[bool]
    unusable: NotRequired[Optional[str]]


class StrayFacts(TypedDict):
    """A process of a service that runs from another release than the live one.

    ``release`` is None for one that started before `current` was switched and does not show its release.
    """

    pid: int
    release: Optional[str]


class UnitFacts(TypedDict):
    """What systemd says of a unit; ``condition`` is for people, ``stale`` asks for a daemon-reload.

    ``refuses``: systemd would not restart it.  ``serving``: it is up, is a oneshot that did its work, or ended with
    success and is about to start again.
    ``stops_within``: the seconds that it may take to stop (None: no limit).  ``elsewhere``: this manager does not know
    it, and the manager of the other scope does.
    ``put_away``: it ran when a release was committed last, was stopped and disabled since, and stays so.
    ``behind``: its main process began before the configuration in use was put in use.
    """

    load: str
    active: str
    condition: str
    stale: bool
    refuses: NotRequired[bool]
    serving: NotRequired[bool]
    strays: NotRequired[List[StrayFacts]]
    stops_within: NotRequired[Optional[float]]
    put_away: NotRequired[bool]
    behind: NotRequired[bool]
    elsewhere: NotRequired[bool]


class Running(TypedDict, total=False):
    """The activation that holds the host; empty while it has not said yet what it is."""

    attempt: str
    kind: AttemptKind
    target: str
    actor: str
    since: float
    phase: Phase


class Problem(TypedDict):
    """One reason why nothing can be deployed, with what to do about it."""

    message: str
    hint: Optional[str]


class Facts(TypedDict):
    """What a host is, has and serves: the answer to ``facts``.

    ``live`` is the release that `current` names, ``configuration`` the revision that `env` names, and ``origins`` says
    of each of its names where it comes from: ``file``, ``values`` or ``secrets``.  ``target`` is None when no release
    was asked for, ``has_commit`` also for the live one; ``tips`` are commits that the mirror has.  ``unmanaged`` says
    why this login cannot use its service manager (for scope ``system``: what sudo refuses); ``may_manage`` is false
    then.  ``last`` is the last activation, ``journal`` the newest attempts and ``head`` the last entry of any kind;
    ``problems`` are what a deploy would be refused for.  ``unit_changes`` are the files of units that an activation of
    the release would change (None: it is to bring none, or is not there yet).  ``needs_bytes`` is what the live release
    takes beside what others share with it (None: nobody asked, or there is none).
    """

    hostname: str
    user: str
    python: str
    boot: str
    systemd: bool
    scope: NotRequired[Scope]
    may_manage: bool
    git: bool
    live: Optional[str]
    releases: List[ReleaseFacts]
    target: Optional[TargetFacts]
    has_commit: Optional[bool]
    tips: List[str]
    units: Dict[str, UnitFacts]
    free_bytes: int
    running: Optional[Running]
    hold: Optional[Hold]
    last: Optional[ActivationState]
    journal: List[JournalEntry]
    head: Optional[JournalHead]
    clock: float
    problems: List[Problem]
    unmanaged: NotRequired[List[Problem]]
    configuration: NotRequired[Optional[str]]
    origins: NotRequired[Dict[str, str]]
    unit_changes: NotRequired[Optional[Changes]]
    needs_bytes: NotRequired[Optional[int]]


# --- answers -----------------------------------------------------------------------------------------------------


class BuildAnswer(TypedDict):
    """The release is there: it was made now, or it was complete already; ``seconds`` is how long that took.

    ``left_out`` names the parts that this host could not make and did without.
    """

    state: Switchable
    seconds: float
    left_out: NotRequired[List[str]]


class ConfigureAnswer(TypedDict):
    """The ``revision`` that was kept, the one in use (``current``; None: none), and the names in which they differ.

    ``origins`` says where each name comes from: ``file``, ``values`` or ``secrets``.
    ``fits`` is false when the release was built with other values of the names that a build sees.
    """

    revision: str
    current: Optional[str]
    names: Changes
    origins: Dict[str, str]
    fits: bool


class ActivateAnswer(TypedDict):
    """How the activation ended; ``state`` is None when the agent looked first and changed nothing."""

    state: Optional[ActivationState]
    live: NotRequired[Optional[str]]


class LockAnswer(TypedDict):
    """The hold that began, and the activation that still runs (None: none)."""

    hold: Hold
    running: Optional[Running]


class UnlockAnswer(TypedDict):
    """The hold that ended, None when there was none."""

    freed: Optional[Hold]


class PinAnswer(TypedDict):
    """The pin; ``new`` is false when the release was pinned already."""

    release: str
    pin: Pin
    new: bool


class UnpinAnswer(TypedDict):
    """The pin that was taken away, None when there was none."""

    release: str
    pin: Optional[Pin]


class LogsAnswer(TypedDict):
    """How many ``lines`` were told, one event each."""

    lines: int


class RunAnswer(TypedDict):
    """The exit ``status`` of a line (128 and more: a signal ended it; None: it was ended), its user and release."""

    status: Optional[int]
    user: str
    release: str


class ClaimAnswer(TypedDict):
    """The id that the root had (None: none that can be read), and the one that it has now.

    ``now`` is None where it was only looked at and is not this machine's; ``claimed`` is true when it was changed.
    """

    was: Optional[TargetId]
    now: Optional[TargetId]
    claimed: bool


class DiskFacts(TypedDict):
    """A file system that a deploy writes to, by a ``path`` on it: what is free of it for this login.

    ``inodes`` is None where the file system counts none.
    """

    path: str
    bytes: int
    inodes: Optional[int]


class LastRelease(TypedDict):
    """What the newest whole release takes: what the next one is likely to need."""

    bytes: int
    entries: int


class DoctorAnswer(TypedDict):
    """What the host looks like to a deploy.

    ``facts`` are what a deploy reads; where the root cannot be read, all of them that do not depend on it, and
    ``problems`` says why; where nothing can be read, ``problems`` says that too.  ``problems`` are reasons to refuse
    that are not in the facts.  ``unknown`` is what could not be looked at, and why, though no deploy asks it: the
    answer is as if there were nothing to tell of it.  ``last`` is None without a release.  ``tools`` has the path of
    each program that was asked for, as a build finds it (None: it does not); ``pip`` is false when environments
    cannot be filled.  ``script`` is ``ready``, ``closed`` (not executable) or ``missing`` in the live release (None:
    none is live, or none was asked for).  ``only_login`` names what the login's environment has and builds do not
    get; ``shell`` is the login's.  ``strangers`` are services that run from no release, ``as_root`` those whose unit
    names no user, among them what releases brought and nobody named.  ``view`` says why builds get no view of their
    own (None: they do).  ``name_by_dns`` is the host's own name where only DNS can tell its address (None: this host
    knows it by itself).  ``clock`` is the host's time at the end.
    """

    facts: Facts
    problems: List[Problem]
    disk: List[DiskFacts]
    last: Optional[LastRelease]
    tools: Dict[str, Optional[str]]
    pip: bool
    script: Optional[ScriptState]
    only_login: List[str]
    shell: str
    strangers: List[str]
    as_root: List[str]
    view: Optional[str]
    name_by_dns: Optional[str]
    unknown: List[str]
    clock: float


class PruneVerdict(TypedDict):
    """Whether a release stays, why, and the bytes that removing it frees."""

    id: str
    stays: bool
    why: str
    bytes: int


class PruneAnswer(TypedDict):
    """What stays and what goes, the newest first; ``freed`` is in bytes.

    ``complete`` is false when processes of other users could not be looked into.
    """

    releases: List[PruneVerdict]
    freed: int
    dry_run: bool
    complete: bool


class WrongLine(TypedDict):
    """The first line of a journal that is not what was written, and what is wrong with it."""

    line: int
    what: str


class AuditAnswer(TypedDict):
    """The last entries of a journal, the oldest first; ``count`` is of all, ``wrong`` is None where nothing is."""

    entries: List[JournalEntry]
    count: int
    head: Optional[JournalHead]
    verified: bool
    wrong: Optional[WrongLine]


# --- the channel -------------------------------------------------------------------------------------------------


class SentEvent(TypedDict):
    """One line about what happens: ``alive``, ``facts`` (its ``data`` are `Facts`), or an event for people.

    ``at`` is there in the log of an attempt.
    """

    event: str
    message: str
    level: Level
    data: Dict[str, object]
    at: NotRequired[float]


class SentCall(TypedDict):
    """A further call in a session; the first call and its request travel in the command line."""

    call: Call
    request: Request


class SentAnswer(TypedDict):
    """The last line of a call: its ``result`` or its ``refusal``.

    ``format`` is the number of the contract (`constants.FORMAT`) that the agent keeps to; a refusal that comes
    before the agent runs has none.  ``target`` is the id of the deploy root that answered, None before it has one.
    """

    format: NotRequired[int]
    result: NotRequired[Answer]
    target: NotRequired[Optional[str]]
    refusal: NotRequired[Refusal]


Request = Union[
    FactsRequest,
    ConfigureRequest,
    BuildRequest,
    ActivateRequest,
    FollowRequest,
    LockRequest,
    UnlockRequest,
    PinRequest,
    UnpinRequest,
    PruneRequest,
    AuditRequest,
    ClaimRequest,
    LogsRequest,
    RunRequest,
    DoctorRequest,
]
Answer = Union[
    Facts,
    ConfigureAnswer,
    BuildAnswer,
    ActivateAnswer,
    LockAnswer,
    UnlockAnswer,
    PinAnswer,
    UnpinAnswer,
    PruneAnswer,
    AuditAnswer,
    ClaimAnswer,
    LogsAnswer,
    RunAnswer,
    DoctorAnswer,
]
