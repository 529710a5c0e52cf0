"""A short series of the destructive runner, and what shows that its oracle sees what it is there to see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import ClassVar

import pytest

import oroboros_deploy
from tests.destructive import Series
from tests.support import unit_kinds
from tests.support.choice import BESIDE, CONFIGURATIONS, KINDS, MADE, OUTSIDERS, UNITS, Choice, choose
from tests.support.disturbances import make_immutable, make_mutable
from tests.support.oracle import processes
from tests.support.postgres import why_not
from tests.support.rights import require_immutable
from tests.support.stage import Run, Stage, Violation, was_python, without_pythons

pytestmark = [pytest.mark.host, pytest.mark.postgres]
SEEDS = range(20261201, 20261241)  # the first of those in docs/destructive.md, which says how to run them by hand
DOCUMENTED = range(20261201, 20261701)


@pytest.fixture(scope="module")
def stage(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if reason := why_not():
        pytest.skip(reason)
    with ExitStack() as stack:
        stage = Stage("tampered", tmp_path_factory.mktemp("stage"), stack)
        for _ in range(2):
            stage.deploy_good(beside=" ".join(BESIDE))
        yield stage


def test_something_is_killed_at_any_moment(image: Path, record_property: Callable[[str, object], None]) -> None:
    """Whatever is killed and whenever, every invariant holds afterwards, on a host of either scope."""
    if reason := why_not():
        pytest.skip(reason)
    series = Series(SEEDS[0], len(SEEDS), jobs=2, scopes=("system", "user"))
    series.go()
    print(series.report())
    assert not series.violated, "\n\n".join(map(str, series.violated.values()))
    assert len(series.runs) == len(SEEDS)


def test_a_seed_decides_everything() -> None:
    """The same seed makes the same choices; a thousand choose every victim in every way, alone and followed."""
    assert [choose(seed) for seed in range(50)] == [choose(seed) for seed in range(50)]
    chosen = [*map(choose, range(1000))]
    assert len({(choice.victim, choice.how, choice.alone) for choice in chosen}) == 20 + 2 * len(OUTSIDERS)
    assert {(choice.made, choice.kind) for choice in chosen} == {*product(MADE, KINDS)}
    assert {(choice.configuration, choice.kind) for choice in chosen} == {*product(CONFIGURATIONS, KINDS)}
    assert {(choice.units, choice.made) for choice in chosen} == {*product(UNITS, MADE)}
    assert {(choice.units, choice.beside) for choice in chosen} == {*product(UNITS, BESIDE)}


def test_the_documented_seeds_stay() -> None:
    """They draw what they drew when they ran, but for what came beside later."""
    drawn = [[each for name, each in vars(choose(seed)).items() if name != "beside"] for seed in DOCUMENTED]
    digest = "c8e8355f9ee98ebdfb8b7976b85a490b9ec0bd4f39ab67b5b17fd8d3313288ec"
    assert sha256(repr(drawn).encode()).hexdigest() == digest


class BadOnce:
    """A stage on which the third run is bad."""

    made = 0
    lengths: ClassVar[dict[tuple[str, bool], dict[str, float]]] = {}

    def __init__(self, *_: object) -> None:
        type(self).made += 1

    def measure(self) -> None:
        """All is well."""

    def run(self, choice: Choice) -> Run:
        if choice.seed == 3:
            raise Violation("VIOLATION\nnothing serves\n\nand more")
        return Run(choice)


def test_a_bad_run_ends_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its seed and what was wrong are in the report, and the seeds after it run on a new host."""
    monkeypatch.setattr("tests.destructive.Stage", BadOnce)
    series = Series(1, 5, jobs=1, say=lambda _: None)
    series.go()
    assert ([run.choice.seed for run in series.runs], [*series.violated], BadOnce.made) == ([1, 2, 4, 5], [3], 2)
    assert "| 3 | nothing serves |" in series.report()
    assert series.verdict == "in 1 of them an invariant was violated"


class Noting:
    """A stage that notes in which scope each seed runs."""

    noted: ClassVar[dict[int, str]] = {}
    lengths: ClassVar[dict[tuple[str, bool], dict[str, float]]] = {}

    def __init__(self, name: str, scratch: Path, stack: ExitStack, scope: str) -> None:
        self.scope = scope

    def measure(self) -> None:
        """All is well."""

    def run(self, choice: Choice) -> Run:
        self.noted[choice.seed] = self.scope
        return Run(choice)


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_seed_has_its_scope(monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    """However many hosts there are: what runs here are the first seeds of the documented series, each in its scope."""
    monkeypatch.setattr("tests.destructive.Stage", Noting)
    noted = []
    for seeds, hosts in ((SEEDS, 2), (DOCUMENTED, 2 * jobs)):
        Noting.noted.clear()
        Series(seeds[0], len(seeds), hosts, lambda _: None, ("system", "user")).go()
        noted.append([Noting.noted.get(seed) for seed in SEEDS])
    assert noted == [["system", "user"] * (len(SEEDS) // 2)] * 2


def other_release(stage: Stage) -> Callable[[], object]:
    """`current` names a release that the services do not run."""
    oracle = stage.oracle
    live = oracle.live
    other = next(sha for sha in stage.good if sha != live)
    stage.host.run("ln", "-sfn", f"releases/{other}", "/srv/shop/current")
    return lambda: stage.host.run("ln", "-sfn", f"releases/{live}", "/srv/shop/current")


def edited_release(stage: Stage) -> Callable[[], object]:
    """Somebody edits the live release."""
    path = stage.oracle.root / "releases" / str(stage.oracle.live) / "ops/check.sh"
    before = path.read_text()
    path.write_text("true\n")
    return lambda: path.write_text(before)


def edited_journal(stage: Stage) -> Callable[[], object]:
    """Somebody edits an old entry."""
    path = stage.oracle.ours / "journal.jsonl"
    before = path.read_text()
    path.write_text(before.replace('"outcome": "committed"', '"outcome": "restored"', 1))
    return lambda: path.write_text(before)


def cut_journal(stage: Stage) -> Callable[[], object]:
    """The last entry is lost."""
    path = stage.oracle.ours / "journal.jsonl"
    before = path.read_text()
    path.write_text("".join(before.splitlines(keepends=True)[:-1]))
    return lambda: path.write_text(before)


def unfinished_state(stage: Stage) -> Callable[[], object]:
    """The last activation never came to its end."""
    path = stage.oracle.ours / "state.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "phase": "restarted"}))
    return lambda: path.write_text(before)


def stopped_service(stage: Stage) -> Callable[[], object]:
    """A service does not run."""
    stage.host.run("systemctl", "stop", "shop-mailer")
    return lambda: stage.host.run("systemctl", "start", "shop-mailer")


def moved_env(stage: Stage) -> Callable[[], object]:
    """`env` leads to another configuration than that of the release."""
    link = stage.oracle.root / "env"
    leads = link.readlink()
    (stage.oracle.ours / "config/0123456789abcdef").write_text(
        'FILE="good-1"\nVALUE="good-1"\nSECRET="good-secret-1"\n'
    )
    stage.host.run("ln", "-sfn", ".deploy/config/0123456789abcdef", "/srv/shop/env")
    return lambda: stage.host.run("ln", "-sfn", str(leads), "/srv/shop/env")


def older_environment(stage: Stage) -> Callable[[], object]:
    """A process has another value than the configuration in use."""
    path = stage.oracle.root / "env"
    before = path.read_text()
    path.write_text(before.replace("good-0", "good-9"))
    stage.host.run("systemctl", "restart", "shop-mailer")
    path.write_text(before)
    return lambda: stage.host.run("systemctl", "restart", "shop-mailer")


def edited_unit(stage: Stage) -> Callable[[], object]:
    """Somebody wrote into a unit, and systemd has not read it."""
    path = stage.oracle.units / "shop-api.service"
    before = path.read_text()
    path.write_text(f"{before}# by hand\n")

    def repair() -> None:
        path.write_text(before)
        stage.host.run("systemctl", "daemon-reload")

    return repair


def lost_drop_in(stage: Stage) -> Callable[[], object]:
    """Somebody removed a drop-in, and systemd has read that."""
    path = stage.oracle.units / unit_kinds.DROP_IN
    before = path.read_text()
    path.unlink()
    stage.host.run("systemctl", "daemon-reload")

    def repair() -> None:
        path.write_text(before)
        stage.host.run("systemctl", "daemon-reload")

    return repair


def stopped_path(stage: Stage) -> Callable[[], object]:
    """Nobody watches any more for a file."""
    stage.host.run("systemctl", "stop", "shop-seen.path")
    return lambda: stage.host.run("systemctl", "start", "shop-seen.path")


def stopped_part(stage: Stage) -> Callable[[], object]:
    """A service that only a target wants does not run."""
    stage.host.run("systemctl", "stop", "shop-extra")
    return lambda: stage.host.run("systemctl", "start", "shop-extra")


def stray_unit(stage: Stage) -> Callable[[], object]:
    """A unit of another release was left."""
    path = stage.oracle.units / "shop-tick.timer"
    path.write_text((stage.oracle.units / "shop-api.service").read_text())
    return path.unlink


def disabled_unit(stage: Stage) -> Callable[[], object]:
    """A boot would not start a service."""
    stage.host.run("systemctl", "disable", "--quiet", "shop-api")
    return lambda: stage.host.run("systemctl", "enable", "--quiet", "shop-api")


def stray_process(stage: Stage) -> Callable[[], object]:
    """A process in the control group of a service runs in an old release, beside the main process in the live one."""
    old = next(sha for sha in stage.good if sha != stage.oracle.live)
    in_old = f"--property=WorkingDirectory=/srv/shop/releases/{old}"
    sleep = ("/bin/sleep", "86399")
    stage.host.run("systemd-run", "--quiet", "--collect", "--unit=stray", "--property=Type=exec", in_old, *sleep)
    pid = next(pid for pid, argv in processes(stage.host).items() if argv[-1] == sleep[-1])
    for group in (stage.host.directory / "cgroups").read_text().splitlines():
        (service,) = Path(group).rglob("shop-mailer.service")
        (service / "cgroup.procs").write_text(f"{pid}\n")
    return lambda: stage.host.run("systemctl", "stop", "stray")


@pytest.mark.parametrize(
    ("tamper", "seen"),
    [
        (moved_env, "env leads to Values"),
        (older_environment, "the process of shop-mailer.service has Values"),
        (edited_unit, "shop-api.service is not what"),
        (edited_unit, "systemd has not read shop-api.service"),
        (stray_unit, "shop-tick.timer is not what"),
        (lost_drop_in, "shop-api.service.d/slow.conf is not what"),
        (lost_drop_in, "systemd waits 100ms before it restarts shop-api.service, not 150ms"),
        (stopped_path, "systemd says of shop-seen.path ('loaded', 'inactive', 'enabled')"),
        (stopped_part, "systemd says of shop-extra.service ('loaded', 'inactive', 'static')"),
        (stopped_part, "shop-extra runs None, but current names"),
        (disabled_unit, "what is enabled is ['multi-user.target.wants/shop-all.target', "),
        (disabled_unit, "systemd says of shop-api.service ('loaded', 'active', 'disabled')"),
        (other_release, "but current names"),
        (edited_release, "is not what was sealed"),
        (edited_journal, "the journal's chain breaks at entry 1"),
        (cut_journal, "the journal has 0 entries for"),
        (unfinished_state, "which is no end"),
        (stopped_service, "shop-mailer runs None"),
        (stray_process, "a process of shop-mailer runs in "),
    ],
)
def test_the_oracle_sees(stage: Stage, tamper: Callable[[Stage], Callable[[], object]], seen: str) -> None:
    """Each kind of damage is a violation, and there is none without it."""
    attempt = str(stage.oracle.state["attempt"])
    assert list(problems(stage, attempt)) == []
    repair = tamper(stage)
    try:
        assert [line for line in problems(stage, attempt) if seen in line]
    finally:
        repair()


def test_what_is_immutable_cannot_be_removed(stage: Stage) -> None:
    """Root of the host can neither change nor remove a file of a release that was made so, and can again later."""
    require_immutable(stage.oracle.root)
    release = f"/srv/shop/releases/{stage.oracle.live}"
    make_immutable(stage.host, str(stage.oracle.live))
    removed = stage.host.run("rm", "-f", f"{release}/ops/build.sh", check=False)
    changed = stage.host.run("sh", "-c", f"echo false >>{release}/ops/build.sh", check=False)
    make_mutable(stage.host)
    assert (removed.returncode, changed.returncode, list(stage.oracle.violations(bad=set()))) == (1, 2, [])
    moved = stage.host.run("sh", "-c", f"cd {release}/ops && mv build.sh moved && mv moved build.sh", check=False)
    assert moved.returncode == 0


def test_the_oracle_sees_a_bad_release(stage: Stage) -> None:
    """A live release that cannot pass its gate is a violation."""
    live = str(stage.oracle.live)
    assert list(stage.oracle.violations({live})) == [f"{live} cannot pass its gate, but is live"]


@pytest.mark.parametrize(
    ("how", "code", "said", "python"),
    [
        ("SIGINT", -2, "from fabric.main import program\nKeyboardInterrupt", True),
        ("SIGINT", 1, "", True),
        ("SIGINT", -2, f"{oroboros_deploy.__file__}\nKeyboardInterrupt", False),
        ("SIGINT", -2, "fabfile.py\nKeyboardInterrupt", False),
        ("SIGINT", 130, "interrupted", False),
        ("SIGTERM", 1, "KeyboardInterrupt", False),
    ],
)
def test_the_oracle_excuses_python_alone(how: str, code: int, said: str, python: bool) -> None:
    """Ctrl-C before our code is loaded may end in Python's own way; a traceback that names ours may not."""
    choice = replace(choose(0), victim="client", how=how)
    assert was_python(Run(choice, exit=code, said=said)) is python


IGNORED = """\
Exception ignored in: <function _get_module_lock.<locals>.cb at 0x7f0000000000>
Traceback (most recent call last):
  File "<frozen importlib._bootstrap>", line 451, in cb
KeyboardInterrupt:
"""


def test_the_oracle_excuses_an_import_that_ends() -> None:
    """A Ctrl-C that Python shows and forgets is no traceback of ours while Python loads, and is one later."""
    run = Run(choose(0), hit="connecting", said=f"live on web1\n{IGNORED}")
    assert without_pythons(run) == "live on web1\n"
    assert without_pythons(replace(run, hit="recording")) == run.said
    assert "Traceback" in without_pythons(replace(run, said=f"{IGNORED}Traceback (most recent call last):\n"))


def problems(stage: Stage, attempt: str) -> Iterator[str]:
    yield from stage.oracle.violations(bad=set())
    yield from stage.oracle.misremembered(attempt)
    yield from stage.not_whole()
