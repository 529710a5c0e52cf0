"""What one host's answer says: first what a deploy is refused for, then what will be noticed too late."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING

from ..control import plan
from ..errors import DeployError
from ..host import words
from ..host.constants import FRONTEND_COMMAND
from ..text import clean, duration, size
from . import needs
from .finding import Finding, worst_first
from .mending import apart, as_root, executable, mended, named_in_hosts, on

if TYPE_CHECKING:
    from ..control.plan import Job
    from ..host.contract import DiskFacts, DoctorAnswer, Facts, LastRelease, Problem

_STATE = re.compile(r"^nothing was (?:changed|switched|built): |: nothing was changed$")
_STOPPED = "the host could not go on"
_AHEAD = 10.0  # seconds that two clocks may differ
_REFUSED = "a deploy is refused until then"
_SHELL_START = "~/.bashrc"
_QUIET = f'sed -i "1i [[ \\$- = *i* ]] || return" {_SHELL_START}'  # only a terminal's shell reads on


@dataclass(frozen=True)
class Look:
    """What came of the look at one host.

    ``error`` is why there is no ``answer``.  ``refused`` is what a deploy stops at before the agent runs, ``printed``
    what the login's shell says before that; ``ahead`` is by how many seconds the host's clock is ahead of this one.
    """

    answer: DoctorAnswer | None = None
    error: DeployError | None = None
    refused: Sequence[Problem] = ()
    printed: Sequence[str] = ()
    ahead: float = 0.0
    script: str | None = None  # git's mode of the health script in the next commit
    absent: frozenset[str] = field(default_factory=frozenset)  # paths of the recipe that the next commit has not
    runs: Mapping[str, str] = field(default_factory=dict)  # programs of its units, each with the file that names it


def findings(job: Job, host: str, look: Look) -> tuple[Finding, ...]:
    """All of one host, the worst first."""
    return worst_first(_OneHost(job, host, look).all())


class _OneHost:
    def __init__(self, job: Job, host: str, look: Look) -> None:
        self.job = job
        self.config = job.config
        self.host = host
        self.look = look
        self.user = look.answer["facts"]["user"] if look.answer else None

    def all(self) -> Iterator[Finding]:
        yield from self._refused()
        if self.look.printed:
            yield self._printed()
        if self.look.answer:
            yield from self._notes(self.look.answer)

    # --- what a deploy is refused for ---

    def _refused(self) -> Iterator[Finding]:
        """What deploy itself says, by its own checks; two that one command mends are one."""
        known: set[str | None] = set()
        for problem in self._problems():
            mend = mended(self.config, self.host, problem["hint"], self.user)
            if mend is None or mend not in known:
                yield Finding("refused", _STATE.sub("", problem["message"]), _REFUSED, mend)
            known.add(mend)
        error = self.look.error
        if error:
            first, hint = apart(error.hint)
            before = f"; {'only' if first.startswith('if ') else 'first'} {first}" if first else ""
            why = f"a deploy stops here (exit {int(error.exit_code)}); nothing else could be asked{before}"
            what = _STATE.sub("", error.message)
            yield Finding("refused", what, why, mended(self.config, self.host, hint, self.user))

    def _problems(self) -> Iterator[Problem]:
        yield from self.look.refused
        answer = self.look.answer
        if answer is None:
            return
        # What cannot be read of somebody else's root is told by whose it is.
        yield from (each for each in answer["problems"] if not (self.look.refused and _STOPPED in each["message"]))
        found = plan.problems(self.job, answer["facts"])
        for each in found:
            yield {"message": each.message, "hint": each.hint}
        held = plan.held_by(self.job, answer["facts"], self.host)
        if held:
            yield {"message": held.message, "hint": held.hint}
        yield from self._without_tools(answer)

    def _without_tools(self, answer: DoctorAnswer) -> Iterator[Problem]:
        """Programs without which a build is refused, and not only fails."""
        frontend, lacks = self.config.build.frontend, [name for name, path in answer["tools"].items() if path is None]
        if "npm" in lacks and self._needs_npm and frontend and frontend.required:
            yield {"message": "npm is not installed on this host, and build.frontend.required is set", "hint": _NPM}
        if "uv" in lacks and self.config.build.installer == "uv":
            hint = "install it there, or set build.installer: auto (uv is used only where the host has it)"
            yield {"message": "uv is not installed on this host", "hint": hint}
        if not answer["pip"]:
            what = "no virtual environment can be filled: no pip 22.3 or later, and nothing to make one with"
            shows = f"on the host: {quote(self.config.build.python or '')} -m venv /tmp/venv"
            yield {"message": what, "hint": shows if self.config.build.python else "apt install python3-venv"}

    # --- what else is worth a word ---

    def _printed(self) -> Finding:
        lines = self.look.printed
        more = f", and {len(lines) - 1} more" if len(lines) > 1 else ""
        shell = self.look.answer["shell"].rpartition("/")[2] if self.look.answer else "bash"
        start = "the start-up files of this login's shell: let them print on a terminal alone"
        what = f"the login's shell prints before a command begins: {clean(lines[0])[:60]!r}{more}"
        mend = on(self.host, _QUIET) if shell == "bash" else start
        return Finding("note", what, "what git, scp and rsync say to this host breaks by it", mend)

    def _notes(self, answer: DoctorAnswer) -> Iterator[Finding]:
        facts = answer["facts"]
        parts = (self._unknown(answer), self._disks(answer), self._clock(), self._tools(answer), self._health(answer))
        for part in (*parts, self._services(facts), self._units(answer), self._login(answer), self._name(answer)):
            yield from _readable(part)

    def _unknown(self, answer: DoctorAnswer) -> Iterator[Finding]:
        """What could not be looked at; of somebody else's root whose it is says enough."""
        for each in () if self.look.refused else answer["unknown"]:
            yield Finding(
                "note", f"not known: {each}", "no deploy is refused for it; what it would tell is missing here", None
            )

    def _disks(self, answer: DoctorAnswer) -> Iterator[Finding]:
        for disk in answer["disk"]:
            yield from self._space(disk, answer["last"], len(answer["facts"]["releases"]))

    def _space(self, disk: DiskFacts, last: LastRelease | None, releases: int) -> Iterator[Finding]:
        needed = last or {"bytes": 0, "entries": 0}
        look = on(self.host, f"df -h {quote(disk['path'])}")
        line = self.config.typed(self.host, "prune --keep=2") if releases > 2 else look
        why = "the last release took as much, and a build that finds no space fails"
        if disk["bytes"] < needed["bytes"]:
            what = f"{size(disk['bytes'])} are free at {disk['path']}, {size(needed['bytes'])} are needed"
            yield Finding("note", what, why, line)
        if disk["inodes"] is not None and disk["inodes"] < needed["entries"]:
            what = f"{disk['inodes']} files more fit at {disk['path']}, {needed['entries']} are needed"
            yield Finding("note", what, why, line)

    def _clock(self) -> Iterator[Finding]:
        if abs(self.look.ahead) > _AHEAD:
            way = "ahead of" if self.look.ahead > 0 else "behind"
            what = f"the clock is {duration(abs(self.look.ahead))} {way} that of this machine"
            why = "times in the journal and the registry are wrong, and certificates may be refused"
            yield Finding("note", what, why, as_root(self.host, "timedatectl set-ntp true", self.user))

    def _tools(self, answer: DoctorAnswer) -> Iterator[Finding]:
        frontend = self.config.build.frontend
        for name in (
            name for name, path in answer["tools"].items() if path is None and name not in {"uv", *self.look.runs}
        ):
            left_out = name == "npm" and frontend is not None and frontend.command == FRONTEND_COMMAND
            if left_out and (not self._needs_npm or (frontend and frontend.required)):
                continue
            why = (
                "the frontend is left out" if left_out else f"a command in `build` begins with {name}, so a build fails"
            )
            what = f"{name} is in no directory of a build's PATH, which is not that of the login"
            hint = _NPM if left_out else f"install {name} there, or put its directory into PATH in /etc/environment"
            yield Finding("note", what, why, mended(self.config, self.host, hint, self.user))
        yield from self._programs(answer)

    def _programs(self, answer: DoctorAnswer) -> Iterator[Finding]:
        for name, unit in self.look.runs.items():
            if answer["tools"][name] is None:
                what = f"{unit} runs {name}, which this host has not, or not as an executable"
                mend = f"install it on the host, or correct ExecStart in {unit}"
                yield Finding("note", what, "systemd refuses such a unit, so that a build of HEAD fails", mend)

    @property
    def _needs_npm(self) -> bool:
        """Whether the next commit has a frontend that the default command builds."""
        frontend = self.config.build.frontend
        if frontend is None or frontend.command != FRONTEND_COMMAND:
            return False
        return frontend.path not in self.look.absent

    def _health(self, answer: DoctorAnswer) -> Iterator[Finding]:
        path, runs_itself = needs.script(self.config)
        if answer["script"] == "closed" and runs_itself:
            what = f"{path} of the live release is not executable"
            why = (
                "the health command runs this file, so that a rollback to this release, or a restore of it, would fail"
            )
            yield Finding("note", what, why, self._with_the_script(path or ""))

    def _with_the_script(self, path: str) -> str:
        """What makes another release live: nobody may change one that is whole."""
        deploy = self.config.typed(self.host, "deploy --sha=HEAD")
        return f"{executable(path)} && {deploy}" if self.look.script == "100644" else deploy

    def _services(self, facts: Facts) -> Iterator[Finding]:
        """What runs otherwise than the live release would have it."""
        loaded = {name: unit for name, unit in facts["units"].items() if unit["load"] == "loaded"}
        for name, unit in loaded.items():
            if unit["stale"]:
                what = f"{name} was changed on this host, and systemd has not read it since"
                why = "it runs by its old text until then"
                yield Finding("note", what, why, self._systemctl("daemon-reload"))
        unsound = plan.unsound(facts)
        if unsound:
            why = "a restart is refused, and after a reboot its services may not come up"
            yield Finding("note", unsound, why, plan.another(self.config, facts, self.host))
        if facts["live"]:
            yield from self._not_live({**facts, "units": loaded})

    def _not_live(self, facts: Facts) -> Iterator[Finding]:
        """What does not serve the live release: a link that was moved, a service that does not run from it."""
        for doubt in words.moved_away(facts):
            why = "services are to run the live release; a deploy of it puts that in order"
            yield Finding("note", doubt, why, self.config.typed(self.host, f"deploy --sha={facts['live']}"))
        for doubt in words.not_running(facts):
            why = "users may get no answer, or an old one; when the cause is gone, a restart asks the gate, too"
            yield Finding("note", doubt, why, self.config.typed(self.host, "restart"))

    def _units(self, answer: DoctorAnswer) -> Iterator[Finding]:
        for name in answer["strangers"]:
            why = f"a deploy does not change what it runs; set WorkingDirectory={self.config.current_link} in its unit"
            yield Finding("note", f"{name} runs from no release", why, self._systemctl(f"edit {name}", asks=True))
        for name in answer["as_root"]:
            why = "an intruder in the service controls the whole host; set User= in its unit to a user other than root"
            yield Finding("note", f"{name} runs as root", why, self._systemctl(f"edit {name}", asks=True))

    def _systemctl(self, line: str, *, asks: bool = False) -> str:
        own = self.config.scope == "user"
        if own:
            return on(self.host, f"systemctl --user {line}", asks=asks)
        return as_root(self.host, f"systemctl {line}", self.user)

    def _login(self, answer: DoctorAnswer) -> Iterator[Finding]:
        if self.user == "root":
            why = (
                "all that a build, a migration and the gate run is root's; docs/hosts.md says how another login is made"
            )
            yield Finding("note", "the login is root", why, "log in as another user, who owns the deploy root")
        if answer["only_login"]:
            found = ", ".join(answer["only_login"])
            what = f"the login has variables, or directories in PATH, that no command of a deploy gets: {found}"
            why = (
                "a line that works when you log in may fail in a build or in the gate; /etc/environment is read by both"
            )
            yield Finding("note", what, why, on(self.host, "cat /etc/environment"))
        yield from self._privileged()
        if answer["view"] and "build" not in self.config.privileged:
            what = f"builds see the whole host, because this host cannot limit what a build sees: {answer['view']}"
            why = "their commands can write wherever this login can"
            lacks = "not installed" in answer["view"]
            mend = as_root(self.host, "apt install util-linux", self.user) if lacks else None
            yield Finding("note", what, why, mend)

    def _name(self, answer: DoctorAnswer) -> Iterator[Finding]:
        """That sudo asks DNS for the host's own name; who is root, or has a manager of its own, needs no sudo."""
        name, asks = answer["name_by_dns"], answer["facts"]["systemd"] and self.config.scope == "system"
        if name and asks and self.user != "root":
            what = f"this host finds its own name {name} by DNS alone"
            why = (
                "sudo looks that name up: without the network each sudo of a restart or restore may wait 10 s and more"
            )
            yield Finding("note", what, why, named_in_hosts(self.host, name))

    def _privileged(self) -> Iterator[Finding]:
        """What the settings let become root; a login that is root is told by itself."""
        kinds = [kind for kind in self.config.privileged if kind != "hooks"]
        if kinds and self.user != "root" and not self._refused_root():
            also = ", and a build sees the whole host" if "build" in kinds else ""
            why = f"code of the repository that runs there can do everything on this host by `sudo`{also}"
            mend = "take it out of `privileged` in fabric.yaml where it does not need root"
            yield Finding("note", f"{', '.join(kinds)} may become root: `privileged` says so", why, mend)

    def _refused_root(self) -> bool:
        """Whether the host refuses all of `privileged`, so that nothing becomes root."""
        found = self.look.answer["facts"]["problems"] if self.look.answer else []
        return words.keeps_root(self.config.privileged) in [each["message"] for each in found]


def _readable(part: Iterator[Finding]) -> Iterator[Finding]:
    """A part of what is worth a word; one that cannot be worked with hides no other."""
    try:
        yield from part
    except (LookupError, TypeError, ValueError, AttributeError) as fault:
        what = f"a part of this host's answer cannot be read ({type(fault).__name__}: {fault})"
        yield Finding("note", what, "what it would tell is not known", None)


_NPM = "apt install npm"
