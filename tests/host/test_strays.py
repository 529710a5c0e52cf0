"""Which processes of the services run from another release, asked of the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipapp
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import in_use, strays
from oroboros_deploy.host.refusal import Refusal
from oroboros_deploy.host.strays import Stray
from oroboros_deploy.host.units import Unit
from tests.support.rights import require_mount

LIVE, OLD = "a" * 40, "b" * 40
Start = Callable[..., int]


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    for sha in (LIVE, OLD):
        (tmp_path / "releases" / sha / "backend").mkdir(parents=True)
    return tmp_path / "releases"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that stays; returns its number."""
    started: list[subprocess.Popen[bytes]] = []

    def run(cwd: Path = Path("/"), program: str = "sleep", **env: str) -> int:
        started.append(subprocess.Popen([program, "600"], cwd=cwd, env={"PATH": os.environ["PATH"], **env}))
        return started[-1].pid

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Unit]:
    """Makes a unit whose control group has these processes, the first of them the main one."""
    monkeypatch.setattr(strays, "CGROUPS", (str(tmp_path / "none"), str(tmp_path / "cgroup")))

    def unit(*pids: int, below: tuple[int, ...] = ()) -> Unit:
        group = tmp_path / "cgroup/system.slice/api.service"
        (group / "worker").mkdir(parents=True)
        for place, members in ((group, pids), (group / "worker", below)):
            (place / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in members))
        return of(pids[0], group="/system.slice/api.service")

    return unit


def of(pid: int, group: str = "") -> Unit:
    return Unit("api", "loaded", "active", "running", "simple", "success", str(pid), "i", "0", False, "0", group=group)


def find(unit: Unit, releases: Path, since: float = 0.0) -> list[Stray]:
    return strays.find([unit], releases, LIVE, since)


def test_every_process_of_the_control_group_is_looked_at(
    releases: Path, start: Start, grouped: Callable[..., Unit]
) -> None:
    """Not the main process alone, and those of groups below it too."""
    main, worker, helper = start(releases / LIVE), start(releases / OLD), start(releases / OLD / "backend")
    found = find(grouped(main, worker, below=(helper,)), releases)
    assert sorted(found) == sorted([Stray("api", worker, OLD), Stray("api", helper, OLD)])


def test_without_a_control_group_the_main_process_decides(releases: Path, start: Start) -> None:
    """A unit that has none runs nothing; a group that cannot be read hides the others, not the main one."""
    main = start(releases / OLD)
    assert find(of(main, group="/not/there.service"), releases) == [Stray("api", main, OLD)]
    assert find(of(0), releases) == []


def test_a_program_of_a_release_gives_it_away(releases: Path, start: Start) -> None:
    """Also when the process works somewhere else, and when the release is gone meanwhile."""
    program = releases / OLD / "server"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    main = start(program=str(program))
    assert find(of(main), releases) == [Stray("api", main, OLD)]
    program.unlink()
    assert find(of(main), releases) == [Stray("api", main, OLD)]


def test_the_environment_tells_what_place_and_program_do_not(releases: Path, start: Start) -> None:
    """One that names both was told of the live one; where somebody was before says nothing."""
    old, both = start(VIRTUAL_ENV=f"{releases}/{OLD}/.venv"), start(A=f"{releases}/{OLD}", B=f"{releases}/{LIVE}")
    before = start(OLDPWD=f"{releases}/{OLD}")
    time.sleep(0.05)  # until then it may be the environment of this process
    assert find(of(old), releases) == [Stray("api", old, OLD)]
    assert (find(of(both), releases), find(of(before), releases)) == ([], [])


def test_a_main_process_that_shows_nothing_is_believed_when_it_started_after_the_switch(
    releases: Path, start: Start, grouped: Callable[..., Unit]
) -> None:
    """An older one may run anything; of its children nobody says so."""
    unit = grouped(start(), start())
    assert find(unit, releases, since=time.time() - 5) == []
    assert find(unit, releases, since=time.time() + 5) == [Stray("api", int(unit.pid), None)]


ARCHIVED = {
    "the archive": lambda archive: ([archive], {}),
    "a module of the archive": lambda archive: (["-m", "worker"], {"PYTHONPATH": f"/nowhere:{archive}"}),
    "the archive, unpacked": lambda archive: ([archive.with_name("source")], {}),
}


@pytest.fixture
def archived(releases: Path) -> Iterator[Callable[..., int]]:
    """Starts an interpreter that runs an archive of a release, and works elsewhere; returns its number."""
    started: list[subprocess.Popen[bytes]] = []

    def run(how: str, sha: str, called: Path | None = None) -> int:
        source = releases / sha / "source"
        source.mkdir(exist_ok=True)
        for name in ("__main__.py", "worker.py"):
            (source / name).write_text("import time\nprint('there', flush=True)\ntime.sleep(600)\n")
        zipapp.create_archive(source, releases / sha / "worker.pyz")
        arguments, variables = ARCHIVED[how]((called or releases / sha) / "worker.pyz")
        argv = [sys.executable, *map(str, arguments)]
        started.append(subprocess.Popen(argv, cwd="/", stdout=subprocess.PIPE, env=variables))
        output = started[-1].stdout
        assert output and output.readline() == b"there\n"
        return started[-1].pid

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", ARCHIVED)
def test_an_archive_of_a_release_gives_it_away(
    releases: Path, grouped: Callable[..., Unit], archived: Callable[..., int], how: str
) -> None:
    """An interpreter that runs one works in no release, and maps and keeps open nothing of one."""
    live, old = archived(how, LIVE), archived(how, OLD)
    assert find(grouped(live, old), releases) == [Stray("api", old, OLD)]


@pytest.mark.parametrize("how", ARCHIVED)
def test_an_archive_that_runs_keeps_its_release(releases: Path, archived: Callable[..., int], how: str) -> None:
    """Pruning sees whose it is, too."""
    old = archived(how, OLD)
    assert in_use.find(releases).processes == {OLD: old}


def test_what_was_started_through_current_before_the_switch_is_told(
    releases: Path, grouped: Callable[..., Unit], archived: Callable[..., int], start: Start
) -> None:
    """Which release that was nobody can see; what started after the switch runs the live one."""
    current = releases.parent / "current"
    current.symlink_to(f"releases/{OLD}")
    main, worker, other = start(releases / LIVE), archived("the archive", OLD, current), start()
    unit = grouped(main, worker, other)
    told = [strays.find([unit], releases, LIVE, time.time() + ahead, current) for ahead in (5, -5)]
    assert told == [[Stray("api", worker, None)], []]


MOUNT = 'mount --bind "$1" "$2"; cd "$2"; echo there; exec sleep 600'


@pytest.fixture
def behind(releases: Path, tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts a process that works in a release behind a mount of its own, as of `BindPaths=`; returns its number."""
    require_mount()
    started: list[subprocess.Popen[bytes]] = []

    def run(sha: str) -> int:
        app = tmp_path / f"app {sha[0]}"
        app.mkdir()
        argv = ["unshare", "--mount", "sh", "-ec", MOUNT, "sh", str(releases / sha), str(app)]
        started.append(subprocess.Popen(argv, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}))
        output = started[-1].stdout
        assert output and output.readline() == b"there\n"
        return started[-1].pid

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("looks", ["itself", "as root"])
def test_a_process_behind_a_mount_is_found(
    releases: Path,
    start: Start,
    grouped: Callable[..., Unit],
    behind: Callable[[str], int],
    looks: str,
    request: pytest.FixtureRequest,
) -> None:
    """The kernel names its directory as it is seen there; the mount says which release that is."""
    main, old, live = start(releases / LIVE), behind(OLD), behind(LIVE)
    unit = grouped(main, old, live)
    if looks == "as root":
        request.getfixturevalue("hidden")
    assert find(unit, releases, since=time.time() + 5) == [Stray("api", old, OLD)]


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nobody but root may look into a process; what root was asked."""
    scripts: list[str] = []

    def as_root(script: str) -> list[str]:
        scripts.append(script)
        return subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True).stdout.splitlines()[:-1]

    def refuse(path: str) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(in_use, "look_as_root", as_root)
    monkeypatch.setattr(os, "readlink", refuse)
    return scripts


def test_a_process_of_another_user_is_looked_into_as_root(releases: Path, start: Start, hidden: list[str]) -> None:
    """Only when it started before the switch: one that started after it costs nothing."""
    old, live = start(releases / OLD), start(releases / LIVE)
    assert (find(of(old), releases, since=time.time() - 5), hidden) == ([], [])
    later = time.time() + 5
    assert (find(of(old), releases, later), find(of(live), releases, later)) == ([Stray("api", old, OLD)], [])
    assert len(hidden) == 2


def test_what_another_user_started_it_with_is_seen_by_all(
    releases: Path, archived: Callable[..., int], hidden: list[str]
) -> None:
    """An archive of the old release that was started after the switch is found without a look as root."""
    old = archived("the archive", OLD)
    assert (find(of(old), releases, since=time.time() - 5), hidden) == ([Stray("api", old, OLD)], [])


def test_where_nobody_may_look_an_older_main_process_is_told(
    releases: Path, start: Start, hidden: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for one of the live release."""

    def refused(script: str) -> list[str]:
        raise Refusal("invalid", "no sudo here")

    monkeypatch.setattr(in_use, "look_as_root", refused)
    main = start(releases / LIVE)
    assert find(of(main), releases, since=time.time() + 5) == [Stray("api", main, None)]


def test_a_process_that_ended_is_none(releases: Path) -> None:
    """Between the list and the look it may be gone."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert find(of(ended.pid), releases, since=time.time() + 5) == []


def test_the_switch_is_when_the_link_was_renamed(tmp_path: Path) -> None:
    """Not when it was made: it waits for its rename while the migration runs."""
    staged, current = tmp_path / "staged", tmp_path / "current"
    staged.symlink_to("release")
    time.sleep(0.05)
    before = time.time() - 0.02  # the kernel's clock for files ticks more slowly
    staged.rename(current)
    assert before <= strays.switched_at(current) <= time.time()


def test_who_runs_from_no_release(releases: Path, start: Start, grouped: Callable[..., Unit]) -> None:
    """A unit of which one process shows a release, or was started with `current`, is none; nor one without a group."""
    current = releases.parent / "current"
    alien, again, named = start(), start(), start(VIRTUAL_ENV=f"{current}/.venv")
    time.sleep(0.05)  # until then it may be the environment of this process

    def strangers(*units: Unit) -> list[str]:
        return strays.strangers(units, releases, current)

    unit = grouped(alien, below=(again,))
    assert strangers(unit) == ["api"]
    assert strangers(of(alien), of(0, group="/system.slice/api.service")) == ["api"]
    groups = Path(strays.CGROUPS[1]) / "system.slice/api.service/cgroup.procs"
    for other in (start(releases / LIVE), start(releases / OLD), named):
        groups.write_text(f"{alien}\n{other}\n")
        assert strangers(unit) == []
    assert strangers(of(alien)) == []
