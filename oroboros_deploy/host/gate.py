"""The gate: does what `current` names serve, and go on serving?

What it says of a failure becomes the reason in the last lines; those are made by the package's outcome.py, and
printed by cli/summary.py.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from . import environment, line, strays, units, words
from .annotations import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple
from .constants import GATE_INTERVAL, GATE_STABLE_FOR, GATE_STABLE_FOR_PROVEN, GATE_TIMEOUT
from .tries import Tries
from .wire import Say

if TYPE_CHECKING:
    from .contract import GateRequest
    from .masking import Mask
    from .probes import Asking, Probe
    from .process import Ended

_FINAL = (78, 126, 127)  # exit codes that no later try changes: a wrong configuration; not executable; not there
_RESTARTS = 3  # so many restarts of one unit after it failed are enough
_SHELLS = ("bash", "dash", "exec", "python3", "sh")  # what may stand before a file
# Compiled where they are used: only a health command needs them.
_ASSIGNMENT = r"\w+="
_RELATIVE = r"[\w.][\w./+@:-]*"  # no word that bash would make another of
_STARTS = r"\bsystemd\[\d+\]: Start(?:ed|ing) "  # what systemd logs of a start, in every language
LOOK = 0.1  # seconds between two looks at the services
SETTLED = 10.0  # seconds after which the same wrong HTTP status decides


class GateFailed(Exception):
    """The release may not stay; the message says what was seen, ``transcript`` what command and probes said."""

    def __init__(self, message: str, transcript: str = "") -> None:
        super().__init__(message)
        self.transcript = transcript


def _as_it_is(env: Dict[str, str]) -> Dict[str, str]:
    return env


class Configured(NamedTuple):
    """What a command gets ``over`` the environment of its release, and what hides the secrets in its words.

    ``attempt`` is whose command it is.
    """

    over: Callable[[Dict[str, str]], Dict[str, str]] = _as_it_is
    mask: Optional[Mask] = None
    attempt: str = ""


class Gate(NamedTuple):
    """Health command and probes must pass, and the services stay the same processes for ``stable_for`` seconds.

    ``timeout`` and ``interval`` are seconds; without command and probes only the services
    decide, without services only these.  ``proven``: ``stable_for`` is short, for the release served before.
    ``user`` is who the command runs as (None: the login); ``privileged``: it keeps the right to become root.  Command
    and probes pass together ``successes`` times in a row.
    """

    command: Optional[str]
    services: Tuple[str, ...]
    timeout: float
    interval: float
    stable_for: float
    proven: bool = False
    user: Optional[str] = None
    probes: Tuple[Probe, ...] = ()
    successes: int = 1
    privileged: bool = False

    @property
    def asks(self) -> bool:
        """Whether more than the services is looked at."""
        return bool(self.command or self.probes)

    def unproven(self) -> Gate:
        """The same for a release that never served here."""
        return self._replace(stable_for=GATE_STABLE_FOR, proven=False) if self.proven else self

    def baseline(self, seconds: float, mask: Mask) -> List[str]:
        """What the probes find wrong with what serves now, a sentence each; they are asked once."""
        if not self.probes:
            return []
        from . import probes

        asking = probes.Asking(self.probes, time.monotonic() + seconds, mask)
        return [f"{probe.name} {tried.said}" for probe, tried in asking.tries() if not tried.ok]

    def hold(
        self,
        current: Path,
        say: Say,
        since: float,
        seen: Optional[Dict[str, units.Unit]] = None,
        recurring: Sequence[str] = (),
        configured: Optional[Configured] = None,
    ) -> None:
        """Return once the gate is passed; raises GateFailed when it is not within ``timeout``.

        ``since`` (Unix time) is when the services were restarted, ``seen`` how they were right after that, when
        somebody looked.  ``recurring`` are services that may end, as long as each end is a success and systemd
        starts them again.  ``configured`` is what the command gets of the configuration in use.
        """
        _Watch(self, current, say, since, recurring, configured or Configured()).hold(seen)


class _Watch:
    """One holding of a gate: what was seen so far."""

    def __init__(
        self, gate: Gate, current: Path, say: Say, since: float, recurring: Sequence[str], configured: Configured
    ) -> None:
        self.gate = gate
        self.current = current
        self.release = current.resolve()
        self.say = say
        self.since = since
        self.configured = configured
        self.deadline = time.monotonic() + gate.timeout
        self.identities: Dict[str, Tuple[str, str, str]] = {}
        self.unchanged_since = time.monotonic()
        self.restarts: Dict[str, int] = {}  # of each service, when it was looked at first
        self.failing: Set[str] = set()  # services that were seen to have ended otherwise than well
        self.restless: Set[str] = set()  # services that ended, or were not up
        self.began = time.monotonic()
        self.in_a_row = 0  # of tries in which command and probes passed
        self.seen: Dict[str, units.Unit] = {}
        self.strays: List[strays.Stray] = []
        self.recurring = set(recurring)
        self.starts: Dict[str, Set[str]] = {}  # of each recurring service, the starts that were seen
        self.tries = 0
        self.reason = "no look was possible"
        self.transcript = ""  # what the command said last
        self.answers = Tries()

    @property
    def passed(self) -> bool:
        """Whether command and probes have passed, for the processes that run now."""
        return not self.gate.asks or self.in_a_row >= self.gate.successes

    def hold(self, seen: Optional[Dict[str, units.Unit]]) -> None:
        if self.gate.proven:
            said = f"this release served here for a long time: its services are watched for {self.gate.stable_for:g} s"
            self.say("gate.proven", said, level="detail", stable_for=self.gate.stable_for)
        self._judge(seen or units.show(self.gate.services))
        while True:
            if not self.passed:
                self._try()
            serving = self._look()
            if self.passed and serving and self._stable() and self._all_run_the_release() and self._ended_well():
                self._tell_of_strangers()
                return
            self._pause()
            if time.monotonic() >= self.deadline:
                raise GateFailed(f"{self.reason} (gave up after {self.gate.timeout:g} s)", self._evidence())

    def _try(self) -> None:
        """Ask the command and all probes at the same time: they pass together."""
        self.tries += 1
        at, asking = time.monotonic() - self.began, self._asking()
        ended = self._try_command() if self.gate.command else None
        wrong = self._heard(asking, at) if asking else []
        self.in_a_row = self.in_a_row + 1 if not wrong and (ended is None or ended.ok) else 0
        if self.tries == 1 or not self._cut_short(ended):  # such a try says less than the one before
            self.reason = "; ".join([*self._told_of(ended, wrong), *wrong])
            self.transcript = ended.tail if ended else ""
        if ended and ended.status in _FINAL:
            raise GateFailed(f"the health command {ended.reason}, which no later try changes", self._evidence())
        settled = self.answers.settled(SETTLED)
        if settled:
            raise GateFailed(f"{settled} (the same answer for {SETTLED:g} s: not tried any longer)", self._evidence())

    def _cut_short(self, ended: Optional[Ended]) -> bool:
        """Whether the end of the gate fell into the last try."""
        command = bool(ended and ended.status is None and ended.seconds < self.gate.interval)
        return command or bool(self.gate.probes and time.monotonic() >= self.deadline)

    def _told_of(self, ended: Optional[Ended], wrong: Sequence[str]) -> List[str]:
        """What is told of a try besides what its probes found wrong."""
        if self.in_a_row and self.gate.successes > 1:
            return [f"command and probes passed {self.in_a_row} times in a row, {self.gate.successes} are wanted"]
        if ended is None:
            return [] if wrong else ["the probes passed"]
        return [] if ended.ok and wrong else [f"the health command {ended.reason}"]

    def _try_command(self) -> Ended:
        assert self.gate.command is not None
        env = self.configured.over(environment.of_release(self.current.resolve(), self.gate.user))
        ended = line.run(
            self.gate.command,
            self.gate.user,
            self.configured.attempt,
            cwd=self.current,
            deadline=self.deadline,
            env=env,
            mask=self.configured.mask,
            bound=not self.gate.privileged,
        )
        said = f"the health command {ended.reason}"
        self.say("gate.try", said, level="detail", tries=self.tries, passed=ended.ok, seconds=ended.seconds)
        return ended

    def _asking(self) -> Optional[Asking]:
        """The probes, which are being asked from now on; None where there are none."""
        if not self.gate.probes:
            return None
        from . import probes

        return probes.Asking(self.gate.probes, self.deadline, self.configured.mask)

    def _heard(self, asking: Asking, at: float) -> List[str]:
        """Wait for the probes, which were asked ``at`` seconds; what those say that failed."""
        wrong: List[str] = []
        for probe, tried in asking.tries():
            said = f"{probe.name} {tried.said}"
            cut_short = tried.status is None and not tried.ok and time.monotonic() >= self.deadline
            if self.tries == 1 or not cut_short:
                self.answers.add(probe.name, self.tries, at, tried)
            self.say(
                "gate.try",
                said,
                level="detail",
                tries=self.tries,
                passed=tried.ok,
                seconds=tried.seconds,
                probe=probe.name,
                status=tried.status,
                text=tried.text,
            )
            wrong += [] if tried.ok else [said]
        return wrong

    def _all_run_the_release(self) -> bool:
        """Whether no process of the services runs from another release; an old one that ends is waited for."""
        found = strays.find(self.seen.values(), self.release.parent, self.release.name, self.since)
        self.strays = [each for each in found if each.release]
        if self.strays:
            self.reason = "; ".join(words.stray(*each) for each in self.strays)
        return not self.strays

    def _tell_of_strangers(self) -> None:
        """Say which services run from no release at all: no deploy changes what they run."""
        for name in strays.strangers(self.seen.values(), self.release.parent, self.current):
            self.say("warning", words.stranger(name, str(self.current)), level="warning")

    def _ended_well(self) -> bool:
        """Whether each end of a recurring service was a success, as its log says, for a look may miss one; told."""
        ended = sorted(name for name, starts in self.starts.items() if len(starts) > 1)
        failed = [name for name in ended if units.FAILED in self._log_of_starts(name)]
        self.recurring.difference_update(failed)
        for name in ended if not failed else ():
            said = f"{name} ended with success and was started again, which counts as stable"
            self.say("warning", said, level="warning")
        return not failed

    def _log_of_starts(self, name: str) -> str:
        """What is logged of a service from its first start on: before it, the process of the release before ended."""
        return re.split(_STARTS, units.recent_log(name, self.since, 200), maxsplit=1)[-1]

    def _may_end(self, unit: units.Unit) -> bool:
        return unit.name in self.recurring and unit.result in ("", "success")

    def _look(self) -> bool:
        return self._judge(units.show(self.gate.services))

    def _judge(self, seen: Dict[str, units.Unit]) -> bool:
        """A new process starts the stability window, and the command, again."""
        self.seen = seen
        identities = {name: ("", "", "") if self._may_end(unit) else unit.identity for name, unit in seen.items()}
        ended = {name for name, before in self.identities.items() if identities[name] != before}
        self.restless |= ended | {name for name, unit in seen.items() if not unit.serving}
        if identities != self.identities:
            self.identities, self.unchanged_since = identities, time.monotonic()
            self.in_a_row = 0
            self.answers.begin_anew()
        for unit in seen.values():
            if unit.dead:
                raise GateFailed(f"{unit.name} is {unit.condition}", self._told(self._said_by(unit.name)))
            self._count(unit)
        waiting = [unit for unit in seen.values() if not (unit.serving or (self._may_end(unit) and unit.between))]
        if waiting:
            self.reason = "; ".join(f"{unit.name} is {unit.condition}" for unit in waiting)
        elif self.passed and not self.strays:
            self.reason = f"the services did not stay the same processes for {self.gate.stable_for:g} s"
        return not waiting

    def _count(self, unit: units.Unit) -> None:
        """Fail when systemd has started a service that fails again and again; ends that it calls a success do not."""
        if unit.name in self.recurring:
            self.starts.setdefault(unit.name, set()).add(unit.invocation)
        restarts = int(unit.restarts or 0)
        more = restarts - self.restarts.setdefault(unit.name, restarts)
        if unit.result not in ("", "success"):
            self.failing.add(unit.name)
        if more >= _RESTARTS and unit.name in self.failing:
            raise GateFailed(
                f"{unit.name} is restarted again and again: it failed {more} times",
                self._told(self._said_by(unit.name)),
            )

    def _evidence(self) -> str:
        """The command's last words, all tries of the probes, and the last words of services that may be the reason."""
        return self._told(*map(self._said_by, sorted(self.restless)), command=self.transcript)

    def _said_by(self, name: str) -> str:
        return f"{words.SAID_BY}{name}\n{units.recent_log(name, self.since)}"

    def _told(self, *logs: str, command: str = "") -> str:
        """Logs stand last, where they are read, and where a cut leaves them."""
        return "\n".join(filter(None, [command, str(self.answers), *logs]))

    def _stable(self) -> bool:
        return not self.gate.services or time.monotonic() - self.unchanged_since >= self.gate.stable_for

    def _pause(self) -> None:
        wish = LOOK if self.passed and not self.strays else self.gate.interval
        time.sleep(max(0.0, min(wish, self.deadline - time.monotonic())))


def file_of(command: str) -> Optional[str]:
    """The file of the release that a health command runs, where its line names one plainly by a relative path."""
    words = [word for word in command.split() if not re.match(_ASSIGNMENT, word)]
    if words[:1] and words[0] in _SHELLS:
        words = words[1:]
    return words[0] if words and "/" in words[0] and re.fullmatch(_RELATIVE, words[0]) else None


def of(request: Optional[GateRequest], services: Sequence[str], proven: bool = False) -> Optional[Gate]:
    """The gate a request asks for; None when there is nothing to hold.

    A release that is ``proven`` is watched for a shorter time, unless the request says for how long.
    """
    settings: GateRequest = request or {}
    command, probes = settings.get("command"), _probes(settings)
    if not (command or probes or services):
        return None
    return Gate(
        command,
        tuple(services),
        settings.get("timeout", GATE_TIMEOUT),
        settings.get("interval", GATE_INTERVAL),
        settings.get("stable_for", GATE_STABLE_FOR_PROVEN if proven else GATE_STABLE_FOR),
        proven and bool(services) and "stable_for" not in settings,
        settings.get("user"),
        probes,
        settings.get("successes", 1),
        settings.get("privileged", False),
    )


def _probes(settings: GateRequest) -> Tuple[Probe, ...]:
    if not (settings.get("http") or settings.get("tcp")):
        return ()
    from . import probes

    return probes.of(settings)
