"""A host that is deployed to again and again while something is killed: one run, and what has to hold after it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from disposable_host import HostError, ensure_image

import oroboros_deploy
from tests.support import configured, disturbances, unit_kinds
from tests.support.cable import CabledHost
from tests.support.choice import ALL_PHASES, PHASES, RELEASES, Choice
from tests.support.clock import SLOW
from tests.support.configured import Values
from tests.support.oracle import Oracle, processes
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.shop import Scope, Shop
from tests.support.user_shop import give_to_the_login, install_polkit, remove_polkit


@dataclass
class Run:
    """One run: what was asked for, what was hit, and how it ended."""

    choice: Choice
    sha: str = ""
    good: bool = True
    hit: str = ""
    acted_at: float = 0.0  # when somebody else had acted (Unix time)
    mended: bool = False  # what somebody else had done stood at the end, was told, and was undone by a command
    exit: int = 0
    said: str = ""
    ended: str | None = None
    attempt: str | None = None
    live: str | None = None  # what has to be live after it
    values: Values | None = None  # the configuration that was asked for; None for a rollback
    seconds: float = 0.0
    settled: float = 0.0  # seconds from the kill, or the end of `fab` when that came first, until the host was at rest
    length: dict[str, float] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """How the attempt ended on the host."""
        return self.ended or "unchanged"

    def line(self) -> str:
        """One line for people."""
        choice = self.choice
        what = f"{choice.kind} of a {'good' if self.good else 'bad'} release"
        beside = "" if choice.beside == "nothing" else f" + {choice.beside}"
        drawn = {"deploy": f"{choice.configuration}, {choice.units}{beside}", "env": choice.configuration}
        brings = drawn.get(choice.kind, "")
        victim = " ".join(filter(None, (choice.victim, choice.how, "+ client" if choice.alone else "")))
        return (
            f"seed {choice.seed}  {what:26}  {choice.made:9}  {brings:34}  {victim:31}  in {self.hit or '-':10}  "
            f"exit {self.exit:3}  {self.outcome:9}  {self.seconds:5.1f} s, at rest after {self.settled:4.1f} s"
        )


class Violation(Exception):
    """An invariant does not hold; the message has all there is to know."""


SERVED = ("committed", "restored", None)
SERVING = ("deployed", "rolled_back")
IN_PROGRESS = ("deploying", "rollback_in_progress")
# `fab`'s exit code and how the attempt may then have ended on the host (None: nothing was changed).
CONTRACT: dict[int, tuple[str | None, ...]] = {
    0: ("committed",),
    2: (None,),
    10: ("restored",),
    11: ("restore_failed",),
    20: (None,),
    30: (None, "restored"),
    40: (None, "committed", "restored"),
    50: (None,),
    60: (None, "committed"),
    130: (None,),
    -signal.SIGKILL: (None, "committed", "restored", "restore_failed"),
    -signal.SIGTERM: (None, "committed", "restored"),
}
BY_OUTSIDERS = (11, 20)  # exit codes that no failure of ours may have
MARGIN = 0.5  # seconds before its end in which an attempt need not see what somebody does


# Seconds; a machine that is SLOW has more, and so has what waits for it.
GATE_TIMEOUT, RESTART_TIMEOUT = 4 * SLOW, 10 * SLOW
SETTINGS = f"  restart_timeout: {RESTART_TIMEOUT:g}\n  units: infra\n{configured.SETTINGS}"
FIRST = Values("good-0", "good-0", "good-secret-0")
STEPS = ("venvs: {}}", "venvs: {}, steps: [{name: lib, path: ., command: sh ops/build.sh}]}")
GATE = ("timeout: 5, interval: 0.2", f"timeout: {GATE_TIMEOUT:g}, interval: 0.2")
PATIENT = f"Host *\n  ServerAliveInterval 1\n  ServerAliveCountMax {4 * SLOW:.0f}\n"
GATE_SECONDS = GATE_TIMEOUT + 2 * 2
WAY_BACK = RESTART_TIMEOUT + GATE_SECONDS + 30
BOUND = RESTART_TIMEOUT + GATE_SECONDS + 2 * WAY_BACK  # seconds: what host/bound.py says of these settings
FAB_SECONDS = 2 * BOUND  # in which `fab` has to end, however the host is treated
AGE = "UPDATE oroboros_attempts SET seen_at = coalesce(seen_at, started_at) - interval '1 minute'"
LOOK = 0.001
PAUSE = 0.15  # seconds between two looks at a host that comes to rest: each starts some ten programs there
_AS_AN_IMPORT_ENDS = re.compile(
    r"Exception ignored in: <function _get_module_lock[^\n]*\nTraceback [^\n]*\n(?:  [^\n]*\n)+KeyboardInterrupt: ?\n"
)
QUIET = 0.5  # seconds without a movement that are rest: a command may be on its way from sshd to the agent


class Stage:
    """One host with a light application, its registry, and the person who deploys there.

    ``scope`` is whose service manager runs the application; the login of ``user`` may not become root.
    """

    def __init__(self, name: str, scratch: Path, stack: ExitStack, scope: Scope = "system") -> None:
        self.scratch = scratch
        self.scope = scope
        self.host = stack.enter_context(CabledHost(name, ensure_image(_quiet)))
        self.database = PostgresServer()
        stack.callback(self.database.close)
        stack.callback(disturbances.make_mutable, self.host)
        self.oracle = Oracle(self.host, scope)
        self.shop = Shop(scratch / "shop", self.host)
        self.good: dict[str, bool] = {}
        self.values = FIRST  # what was asked for last
        self.number = 0  # of configurations and units
        self.files: dict[str, str] = {}  # what each release's file of the configuration has
        self.refused: set[str] = set()  # releases with a unit that systemd refuses
        self.committed: dict[str, Values] = {}  # what each release was committed with last
        self.immutable: set[str] = set()
        self.polkit = False  # whether the host has it
        self.broken: tuple[float, Callable[[], object]] | None = None  # when to bring something back, and how
        self.lengths: dict[tuple[str, bool], dict[str, float]] = {}
        self._arrange()

    def measure(self) -> None:
        """Deploy and roll back with nothing killed: the first has to work, and tells how long each phase takes."""
        self.deploy_good()
        alone = Choice(0, "deploy", "good", 0.0, "nothing", "", alone=False, aimed=None, moment=0, seconds=0)
        for kind, release in (("deploy", "good"), ("rollback", "good"), ("deploy", "gate fails")):
            run = self.run(replace(alone, kind=kind, release=release, units="changed"))
            self.lengths[kind, run.good] = run.length
        for kind, good in (("rollback", False), ("env", True), ("env", False)):
            self.lengths[kind, good] = self.lengths["deploy", good]

    def deploy_good(self, beside: str = "nothing") -> None:
        """Deploy a release that works."""
        sha = self._release("good", beside=beside)
        self.fab.ok("-H", "prod", "deploy", f"--sha={sha}")
        self.committed[sha] = self.values

    def run(self, choice: Choice) -> Run:
        """One run; raises Violation.

        Nothing is brought back before its time, so the host gets to rest without it when the control node is dead.
        """
        self._have_polkit(self.scope == "user" and choice.seed // 20 % 2 == 1)
        run = self._prepare(choice)
        watch = _Watch(self.oracle, run.sha)
        try:
            self._play(run, watch)
            since, serving = run.settled, choice.victim != "outsider"
            self._rest(serving=serving)
            run.settled = max(0.0, time.monotonic() - QUIET - since)
            if self.broken:
                self._heal(float("inf"))
                self._rest(serving=serving)  # what was on its way may arrive only now
            run.attempt = watch.attempt()
            run.ended = self.oracle.ended(run.attempt) if run.attempt else None
            self._note_committed(run, watch)
            problems = [*self._of_the_attempt(run, watch), *self._passed_over(run, watch)]
            problems += self._of_the_host(run)
            self._make_immutable(run)
        except (HostError, Violation, AssertionError, subprocess.TimeoutExpired) as error:
            problems = [str(error)]
        if problems:
            raise Violation(self._evidence(run, watch, "\n".join(problems)))
        return run

    def _have_polkit(self, wanted: bool) -> None:
        """Twenty seeds without polkit, twenty with it: it is installed once in a while."""
        if wanted is not self.polkit:
            (install_polkit if wanted else remove_polkit)(self.host)
            self.polkit = wanted

    def _arrange(self) -> None:
        settings = self.shop.repository.path / "fabric.yaml"
        settings.write_text(settings.read_text().replace(*GATE).replace(*STEPS) + SETTINGS)
        if self.scope == "user":
            give_to_the_login(self.shop)
        disturbances.arrange(self.host, self.scope)
        configured.write(self.shop.repository, self.values)
        url = self.database.database()
        self.registry = url.rpartition("/")[2]
        self.fab = self.shop.fab(url)
        self.fab.ssh_config.write_text(self.fab.ssh_config.read_text() + PATIENT)
        self.fab.environ["XDG_STATE_HOME"] = str(self.scratch / "state")

    def _release(self, name: str, made: str = "plain", units: str = "plain", beside: str = "nothing") -> str:
        api, check = RELEASES[name]
        self.number += 1
        brought = unit_kinds.texts(units, self.number, self.scope, beside)
        self._use(self.values, unit_kinds.named(brought))
        content = disturbances.files(f"{api}  # {len(self.good)}", check, made)
        content |= {f"infra__{path}": text for path, text in brought.items()}
        content["prod.env"] = (self.shop.repository.path / "prod.env").read_text()
        shutil.rmtree(self.shop.repository.path / "infra", ignore_errors=True)
        sha = self.shop.repository.commit(name, **content)
        self.oracle.brought[sha], self.files[sha] = brought, self.values.FILE
        if units == "refused":
            self.refused.add(sha)
        if made == "adopted":
            disturbances.adopt(self.host, sha, content)
        if made == "immutable":
            self.immutable.add(sha)
        self.good[sha] = name == "good"
        return sha

    def _prepare(self, choice: Choice) -> Run:
        """Make the release, or choose the one to go back to; one that another tool made is there already."""
        if choice.kind == "env":
            return self._to_push(choice)
        if choice.kind == "deploy":
            self.values = configured.drawn(choice.configuration, self.values, self.number + 1)
        if choice.kind == "deploy" or choice.made == "adopted":
            units = "plain" if choice.kind == "rollback" and choice.units == "refused" else choice.units
            sha = self._release(choice.release, choice.made, units, choice.beside)
        else:
            others = [sha for sha in self.good if self._is_there(sha) and sha not in (self.oracle.live, *self.refused)]
            sha = others[-6:][int(choice.target * len(others[-6:]))]
        self._use(self.values, unit_kinds.named(self.oracle.brought[sha]))
        if choice.kind == "rollback":
            return Run(choice, sha, self.good[sha])
        return Run(choice, sha, self.good[sha] and self.values.good and sha not in self.refused, values=self.values)

    def _to_push(self, choice: Choice) -> Run:
        """Other values and secrets for the live release; the file stands in its commit."""
        sha = str(self.oracle.live)
        asked = {"kept": "new", "file breaks": "values break"}.get(choice.configuration, choice.configuration)
        self.number += 1
        of_file = self.files[sha]
        self.values = replace(configured.drawn(asked, replace(self.values, FILE=of_file), self.number), FILE=of_file)
        self._use(self.values, unit_kinds.named(self.oracle.brought[sha]))
        return Run(choice, sha, self.values.good, values=self.values)

    def _use(self, values: Values, services: Sequence[str]) -> None:
        """What the person who deploys has in the settings, and what the secrets' command prints."""
        configured.write(self.shop.repository, values)
        settings = self.shop.repository.path / "fabric.yaml"
        lines = settings.read_text().splitlines()
        line = f"  services: [{', '.join(services)}]"
        settings.write_text("".join(f"{line if each.startswith('  services:') else each}\n" for each in lines))

    def _note_committed(self, run: Run, watch: _Watch) -> None:
        """What the release was committed with: what was asked for, or, of one that never was, what was in use."""
        if run.ended != "committed":
            return
        if run.values:
            self.committed[run.sha] = run.values
        elif run.sha not in self.committed:
            moved = run.choice.how == "moves env"
            self.committed[run.sha] = (configured.in_use(self.oracle.root) if moved else watch.values) or FIRST

    def _is_there(self, sha: str) -> bool:
        release = self.oracle.root / "releases" / sha
        return (release / ".deploy-seal").is_file() or self.oracle.is_adopted(release)

    def _make_immutable(self, run: Run) -> None:
        if run.sha in self.immutable and self._is_there(run.sha):
            disturbances.make_immutable(self.host, run.sha)

    # --- one run ---

    def _play(self, run: Run, watch: _Watch) -> None:
        choice = run.choice
        asked = {"deploy": ("deploy", f"--sha={run.sha}"), "rollback": ("rollback", f"--release={run.sha}")}
        aim = _Aim(choice, run.good, self.lengths.get((choice.kind, run.good), {}))
        began = time.monotonic()
        fab = self.fab.start("-H", "prod", *asked.get(choice.kind, ("env.push",)))
        try:
            while fab.poll() is None:
                phase, now = watch.look(), time.monotonic()
                if not run.hit and aim.due(phase, now - began):
                    run.settled, run.hit = now, self._destroy(run, fab, watch)
                self._heal(now)
                if now - began > FAB_SECONDS:
                    raise Violation(f"fab did not end within {FAB_SECONDS} s")
                time.sleep(LOOK)
        finally:
            fab.kill()
            run.said = "".join(fab.communicate())
        watch.look()
        run.exit, run.seconds, run.length = fab.returncode, time.monotonic() - began, watch.lengths()
        if not run.hit or choice.victim == "nothing":
            run.settled = time.monotonic()

    def _destroy(self, run: Run, fab: subprocess.Popen[str], watch: _Watch) -> str:
        """Kill the victim, and the control node with it when the host is to be alone; returns the phase it was in."""
        choice, hit = run.choice, watch.look()
        if choice.victim == "client":
            fab.send_signal(signal.Signals[choice.how])
        elif choice.victim not in ("nothing", "outsider"):
            back = getattr(self, f"_destroy_{choice.victim}")(choice)
            self.broken = (time.monotonic() + choice.seconds, back)
        if choice.victim == "outsider":
            mailer = self.oracle.services[1]
            back = disturbances.disturb(self.host, choice.how, self._another(run), self.scope, mailer)
            self.broken = (time.monotonic() + choice.seconds, back)
            run.acted_at = time.time()
        if choice.victim in ("agent", "power", "outsider"):
            hit = watch.look()  # nothing moves any more, or somebody has acted: so this is how far it really was
        if choice.alone:
            fab.kill()
        if choice.victim == "power":
            self._heal(float("inf"))
        return hit

    def _another(self, run: Run) -> str | None:
        """A good release that was live, and is neither live nor wanted."""
        good = (sha for sha in self.committed if self.good[sha] and sha not in (run.sha, self.oracle.live))
        return next((sha for sha in good if self._is_there(sha)), None)

    def _heal(self, now: float) -> None:
        """Bring back what was taken, when its time has come."""
        if self.broken and now >= self.broken[0]:
            _, back = self.broken
            self.broken = None
            back()

    def _destroy_link(self, choice: Choice) -> Callable[[], object]:
        self.host.cable.cut(choice.how)  # type: ignore[arg-type]
        return self.host.cable.mend

    def _destroy_agent(self, choice: Choice) -> Callable[[], object]:
        """The activation when there is one, else what the agent does instead; a recovery is spared.

        With the control node goes what follows for it on the host: that would settle the attempt.
        """
        agents = {pid: call for pid, call in self.oracle.agents().items() if call != "recover"}
        activation = [pid for pid, call in agents.items() if call == "run" and not choice.alone]
        _signal(activation or agents, signal.SIGKILL)
        return _nothing

    def _destroy_sshd(self, choice: Choice) -> Callable[[], object]:
        sshds = [pid for pid, argv in processes(self.host).items() if "sshd" in argv[0]]
        _signal(sshds, signal.Signals[choice.how])
        return lambda: _signal(sshds, signal.SIGCONT)

    def _destroy_database(self, choice: Choice) -> Callable[[], object]:
        self.database.kill()
        return self.database.start

    def _destroy_power(self, choice: Choice) -> Callable[[], object]:
        self.host.power_cut()
        return self.host.boot

    # --- after it ---

    def _rest(self, *, serving: bool = True) -> None:
        """Wait until the host is at rest, within the bound; nobody but the host itself works on that."""
        give_up, quiet = time.monotonic() + BOUND, 0.0
        while not quiet or time.monotonic() - quiet < QUIET:
            moving = self._moving(serving)
            quiet = 0.0 if moving else quiet or time.monotonic()
            if moving and time.monotonic() > give_up:
                raise Violation(f"not at rest after {BOUND} s: {moving}")
            time.sleep(PAUSE)

    def _moving(self, serving: bool) -> str | None:
        try:
            return self.oracle.moving(serving=serving)
        except HostError as error:  # a process went away while it was looked at
            return str(error)

    def _of_the_attempt(self, run: Run, watch: _Watch) -> Iterator[str]:
        if run.attempt:
            yield from self.oracle.misremembered(run.attempt)
        yield from watch.problems(moved=run.choice.how in ("moves current", "removes current"))
        yield from self._broken_contract(run)

    def _of_the_host(self, run: Run) -> Iterator[str]:
        yield from self.oracle.violations({sha for sha, good in self.good.items() if not good})
        if run.ended in SERVED and not run.mended and self.oracle.live != run.live:
            yield f"the attempt ended {run.outcome}, but {self.oracle.live} is live, not {run.live}"
        yield from self.not_whole(wait=10 * SLOW)
        if run.attempt:
            yield from self.oracle.leaks(run.attempt, self.values.SECRET)
        yield from self._forgotten()

    def not_whole(self, wait: float = 0.0) -> list[str]:
        """What of configuration and units is not what the live release was committed with.

        A boot may still start some: they are waited for.
        """
        until = time.monotonic() + wait
        while True:
            values = self.committed.get(str(self.oracle.live))
            wrong = list(self.oracle.not_whole(values)) if values else ["what is live was never committed"]
            if not wrong or time.monotonic() >= until:
                return wrong
            time.sleep(0.2)

    def _passed_over(self, run: Run, watch: _Watch) -> Iterator[str]:
        """What somebody else did may stand where no look came after it; then `status` tells it, and a command ends it.

        A unit that somebody stopped stays so, too, where the release gone back to is not known to need it.
        """
        run.live = run.sha if run.ended == "committed" else self.oracle.left(run.attempt) or watch.source
        wrong = [] if run.choice.victim != "outsider" else self._wrong(run)
        if not wrong:
            return
        self._use(self.values, unit_kinds.named(self.oracle.brought[str(run.live)]))
        # Where `current` was moved first, what the attempt found in use was that of another release.
        mixed = run.choice.how == "moves current" and run.live not in (watch.source, run.sha)
        # That was why, and it stays as it is; or it came before a push, which leaves units alone and tells it.
        edited = run.choice.how == "edits a unit" and (
            run.ended == "restored" or self.oracle.told_of_edited(run.attempt)
        )
        may_stand = run.ended in (None, "restore_failed") or run.choice.how == "stops a unit" or mixed or edited
        if not may_stand and self.oracle.ended_at(str(run.attempt)) > run.acted_at + MARGIN:
            yield f"the attempt ended {run.outcome} and passed over what somebody did before: {wrong}"
        status = self.fab("-H", "prod", "status")
        untold = mixed or run.choice.how == "edits a unit"
        if status.code == 0 and "quiet" in status.out and run.ended != "restore_failed" and not untold:
            yield f"fab status says that all is well, but {wrong}: {status.said}"
        back = ("-H", "prod", "rollback", f"--release={run.live}", "--adopt-units")
        if (undone := self.fab(*back)).code:
            yield f"fab {shlex.join(back)}, which is to undo what somebody did, exited {undone.code}: {undone.said}"
            return
        run.mended = True
        self._rest()

    def _wrong(self, run: Run) -> list[str]:
        """What is not as it should be, once a service that ended a moment ago had time to come back."""
        until = time.monotonic() + 2 * SLOW
        while True:
            moved = [] if self.oracle.live == run.live else [f"{self.oracle.live} is live, not {run.live}"]
            wrong = [*moved, *self.oracle.not_serving(), *([] if moved else self.not_whole())]
            if not wrong or time.monotonic() >= until:
                return wrong
            time.sleep(0.2)

    def _broken_contract(self, run: Run) -> Iterator[str]:
        """Invariant 7, and what else an exit code promises."""
        early = was_python(run)
        if run.ended not in ((None,) if early else CONTRACT.get(run.exit, ())):
            yield f"fab exited {run.exit}, but on the host the attempt ended {run.outcome}"
        expected = 0 if run.good else 30 if run.sha in self.refused else 10
        if run.choice.victim == "nothing" and run.exit != expected:
            yield f"nothing was killed, but fab exited {run.exit}"
        if run.exit in BY_OUTSIDERS and run.choice.victim != "outsider":
            yield f"nobody else did anything, but fab exited {run.exit}"
        if "Traceback" in without_pythons(run) and not early:
            yield "fab showed a traceback"
        if PASSWORD in run.said:
            yield "fab showed the registry's password"
        if run.values and run.values.SECRET in run.said:
            yield "fab showed a secret of the configuration"

    def _forgotten(self) -> Iterator[str]:
        """Invariant 8: reconciled, the registry says what the journal says.

        A control node counts as alive for 30 s after its last sign of life; nobody wants to wait for that here.
        """
        self.database.execute(AGE, self.registry)
        ran = self.fab("-H", "prod", "registry.reconcile")
        if ran.code:
            yield f"the next command, fab -H prod registry.reconcile, exited {ran.code}: {ran.said}"
            return
        rows = dict(self.database.execute("SELECT release_id, status FROM releases", self.registry))
        # After a restore that failed nobody is known to serve, until a person has looked.
        unknown = self.oracle.journal[-1]["outcome"] == "restore_failed"
        serving = [sha for sha, status in rows.items() if status in SERVING]
        if serving != [self.oracle.live] and not (unknown and not serving):
            yield f"the registry says that {serving} serve, but {self.oracle.live} is live"
        if open_ended := [sha for sha, status in rows.items() if status in IN_PROGRESS]:
            yield f"the registry says that {open_ended} are on their way, but the host is at rest"

    def _evidence(self, run: Run, watch: _Watch, problem: str) -> str:
        """Everything needed to find the cause, and a copy of the host's tree."""
        kept = Path(tempfile.mkdtemp(prefix=f"destructive-{run.choice.seed}-"))
        shutil.copytree(self.oracle.root, kept / "shop", symlinks=True)
        for name, argv in (("journal", ("journalctl", "--no-pager")), ("units", ("systemctl", "status", "--no-pager"))):
            with suppress(HostError, subprocess.TimeoutExpired):
                (kept / name).write_text(self.host.run(*argv, check=False).stdout)
        path = self.oracle.ours / "attempts" / (watch.attempt() or "none") / "log.jsonl"
        log = path.read_text() if path.exists() else "none"
        return "\n".join(
            (
                f"VIOLATION\n{problem}\n\n{run.line()}\n{run.choice}",
                f"again: python tests/destructive.py --seed {run.choice.seed} --runs 1 --scope {self.scope}",
                f"the host's tree and journal: {kept}",
                f"state: {json.dumps(self.oracle.state)}",
                f"last of the journal: {json.dumps(self.oracle.journal[-1:])}",
                f"log of the attempt {watch.attempt()}:\n{log}",
                f"fab said:\n{run.said}",
            )
        )


_RANK = {phase: number for number, phase in enumerate(ALL_PHASES)}


class _Aim:
    """Tells when a run's moment has come."""

    def __init__(self, choice: Choice, good: bool, lengths: dict[str, float]) -> None:
        phases = PHASES[choice.kind, good]
        self.phase = None if choice.aimed is None else phases[int(choice.aimed * len(phases))]
        whole = sum(lengths.values())
        self.wait = choice.moment * (lengths.get(self.phase, 0.0) if self.phase else whole)
        self.since: float | None = None

    def due(self, phase: str, now: float) -> bool:
        """Whether the moment is now, in this phase and so many seconds after the start."""
        if self.phase in (None, phase) and self.since is None:
            self.since = now if self.phase else 0.0
        elif self.phase and self.since is None and _RANK.get(phase, len(_RANK)) > _RANK[self.phase]:
            self.since = now - self.wait  # it was too short to be seen, or this attempt has none
        return self.since is not None and now >= self.since + self.wait


class _Watch:
    """Looks at a host's files without a pause: which phase it is in, and what `current` names."""

    def __init__(self, oracle: Oracle, sha: str) -> None:
        self.oracle = oracle
        self.sha = sha
        self.source = oracle.live
        self.before = oracle.state.get("attempt")
        self.there = self._release.exists()
        self.attempts = oracle.attempts()
        self.values = configured.in_use(oracle.root)
        self.env, self.units, self.revisions = self._env(), self._stamp(), self._revisions()
        self.known: str | None = None
        self.lives: list[str | None] = [self.source]
        self.times: list[tuple[str, float]] = []

    def look(self) -> str:
        """The phase at this moment."""
        if (live := self.oracle.live) != self.lives[-1]:
            self.lives.append(live)
        phase = self._phase()
        if not self.times or self.times[-1][0] != phase:
            self.times.append((phase, time.monotonic()))
        return phase

    def lengths(self) -> dict[str, float]:
        """Seconds in each phase, up to now."""
        ends = [at for _, at in self.times[1:]] + [time.monotonic()]
        return {phase: end - at for (phase, at), end in zip(self.times, ends, strict=True)}

    def problems(self, *, moved: bool) -> Iterator[str]:
        """Invariants 1, 5 and 9, at every moment: there and back once, nowhere else unless somebody ``moved`` it."""
        way = [self.source, self.sha, self.source]
        if not moved and self.lives not in (way[:1], way[:2], way):
            yield f"current named one after another {self.lives}"
        if len(new := self.oracle.attempts() - self.attempts) > 1:
            yield f"one command made several attempts: {new}"

    def _phase(self) -> str:
        state, ours = self.oracle.state, self.oracle.ours
        if state.get("attempt") != self.before:
            ended = (ours / "attempts" / state["attempt"] / "result.json").exists()
            phase = str(state["phase"])
            return "recording" if ended else self._within_prepared() if phase == "prepared" else phase
        if self._is_asked_for():
            return "starting"
        if self._revisions() != self.revisions:
            return "configured"
        if self.there or not self._release.exists():
            return "connecting"
        return "built" if (self._release / ".deploy-seal").exists() else "building"

    def _within_prepared(self) -> str:
        """How far the switch has come that begins with this phase."""
        if self._env() != self.env:
            return "linked"
        if self._stamp() != self.units:
            waiting = any(self.oracle.units.glob(".*.new"))
            return "installing" if waiting else "reloading"
        return "stopping" if self.oracle.is_putting() else "prepared"

    def _env(self) -> str | None:
        with suppress(OSError):
            return os.readlink(self.oracle.root / "env")
        return None

    def _stamp(self) -> int:
        return self.oracle.units.stat().st_mtime_ns

    def _revisions(self) -> set[str]:
        place = self.oracle.ours / "config"
        return set(os.listdir(place)) if place.is_dir() else set()

    def attempt(self) -> str | None:
        """The attempt that this command made on the host, None before it has."""
        if self.known is None:
            self.known = next(iter(self.oracle.attempts() - self.attempts), None)
        return self.known

    def _is_asked_for(self) -> bool:
        """Whether the activation is; the build makes the attempt's directory, for its logs."""
        attempt = self.attempt()
        return attempt is not None and (self.oracle.ours / "attempts" / attempt / "request.json").exists()

    @property
    def _release(self) -> Path:
        return self.oracle.root / "releases" / self.sha


def was_python(run: Run) -> bool:
    """Whether Ctrl-C came before `fab` had reached the fabfile: Python and Fabric then end in their own way."""
    early = run.choice.how == "SIGINT" and run.exit in (1, -signal.SIGINT)
    return early and not any(ours in run.said for ours in (str(Path(oroboros_deploy.__file__).parent), "fabfile.py"))


def without_pythons(run: Run) -> str:
    """What `fab` said, without what Python shows for a Ctrl-C that comes as an import ends, and then goes on.

    Our own imports are held to more (cli/interrupts.py); before the fabfile is read nobody can prevent it.
    """
    return _AS_AN_IMPORT_ENDS.sub("", run.said) if run.hit == "connecting" else run.said


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _nothing() -> None:
    """Nothing has to be brought back."""


def _quiet(_: str) -> None:
    """The image's progress is of no interest here."""
