"""Shared places: linked into every release, written by services, never touched by builds or pruning."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import seal, shared, state
from oroboros_deploy.host.layout import Layout
from oroboros_deploy.source import Source
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository
from tests.support.watching import tree

PLACES = {"media": "dir", "config/local.yml": "file"}


def a_build(host: LocalAgent, sha: str, places: dict[str, str], command: str = "true") -> Any:
    return host.build(sha, {"shared": places, "steps": [{"name": "step", "path": ".", "command": command}]})


def put(host: LocalAgent, path: str, text: str = "ours\n") -> Path:
    place = host.paths.shared / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def told(host: LocalAgent, places: dict[str, str] = PLACES) -> dict[str, str]:
    """The problems that facts tell, each with the command that is typed on the host."""
    problems = host.facts("a" * 40, shared=places)["problems"]
    return {problem["message"]: problem["hint"].partition(": ")[2] for problem in problems}


@pytest.mark.slow
def test_releases_have_links_there(host: LocalAgent, mirrored: Repository) -> None:
    """A directory is made, a file was put there; the build sees both, and a second release has the same content."""
    put(host, "config/local.yml")
    first = mirrored.git("rev-parse", "HEAD")
    answer = a_build(host, first, PLACES, "cat config/local.yml media/* 2>/dev/null >seen || true")
    assert answer.refusal is None
    release = host.paths.release(first)
    links = {path: os.readlink(release / path) for path in PLACES}
    assert links == {path: str(host.paths.shared / path) for path in PLACES}
    assert ((release / "seen").read_text(), os.listdir(host.paths.shared / "media")) == ("ours\n", [])
    (release / "media/upload").write_text("a service's")
    host.mirror(mirrored)
    second = mirrored.commit("a second one", other="text")
    host.mirror(mirrored)
    assert a_build(host, second, PLACES).refusal is None
    assert (host.paths.release(second) / "media/upload").read_text() == "a service's"
    assert host.facts(first)["target"]["state"] == "sealed"


@pytest.mark.slow
def test_a_build_cannot_write_there(host: LocalAgent, mirrored: Repository) -> None:
    """Neither through the link nor by its own path, where the host gives builds a view of their own."""
    sha, place = mirrored.git("rev-parse", "HEAD"), host.paths.shared / "media"
    commands = f"touch media/one; touch {shlex.quote(str(place))}/two; rm -r media; ln -s /tmp media; true"
    answer = a_build(host, sha, {"media": "dir"}, commands)
    if any("cannot limit what a build sees" in message for message in answer.said("warning")):
        pytest.skip(f"needs a mount namespace for builds: {answer.said('warning')}")
    assert os.listdir(place) == []


REMOVING = "test -L var/media && rm -r var"


@pytest.mark.slow
def test_a_link_that_a_part_removed_is_there_again(host: LocalAgent, mirrored: Repository) -> None:
    """A part that empties the directory of the link, as frontends do with their output, takes no place away."""
    places = {"var/media": "dir", "var/log": "dir"}
    sha = mirrored.git("rev-parse", "HEAD")
    assert a_build(host, sha, places, f"{REMOVING}; mkdir var; touch var/made").refusal is None
    release = host.paths.release(sha)
    assert sorted(os.listdir(release / "var")) == ["log", "made", "media"]
    links = {path: os.readlink(release / path) for path in places}
    assert links == {path: str(host.paths.shared / path) for path in places}
    assert host.facts(sha)["target"] | {"recipe": None} == {
        "state": "sealed",
        "damage": None,
        "bad": None,
        "recipe": None,
        "gate": None,
        "configuration": None,
        "configured": False,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "made"),
    [("mkdir -p var/media", "var/media"), ("mkdir var; ln -s /tmp var/media", "var/media"), ("ln -s /tmp var", "var")],
)
def test_what_a_part_put_in_the_place_of_a_link(
    host: LocalAgent, mirrored: Repository, command: str, made: str
) -> None:
    """It is refused by name: services would write into the release, or elsewhere; nothing is left of the build."""
    answer = a_build(host, mirrored.git("rev-parse", "HEAD"), {"var/media": "dir"}, f"{REMOVING}; {command}")
    assert answer.refusal == {
        "kind": "build_failed",
        "message": f"a part of the build made {made}, and `shared` keeps var/media outside of releases",
        "hint": "let the build make it elsewhere, or take var/media out of `shared`",
    }
    assert list(host.paths.release_ids()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("path", "taken"), [("run", "run"), ("run/me", "run/me"), ("run/me/deeper", "run/me")])
def test_what_the_commit_has_too(host: LocalAgent, mirrored: Repository, path: str, taken: str) -> None:
    """It is refused by name, with the line that takes it out of the commit; nothing is left of the build."""
    answer = a_build(host, mirrored.git("rev-parse", "HEAD"), {path: "dir"})
    assert answer.refusal == {
        "kind": "invalid",
        "message": f"the commit has {taken}, and `shared` keeps {path} outside of releases",
        "hint": f"git rm -r --cached {taken}, or take {path} out of `shared`",
    }
    assert list(host.paths.release_ids()) == []


@pytest.mark.slow
def test_a_link_of_the_commit_leads_nowhere_else(host: LocalAgent, mirrored: Repository, tmp_path: Path) -> None:
    """A directory of the commit that is a link out of it gets no link of ours."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (mirrored.path / "var").symlink_to(outside)
    sha = mirrored.commit("a link")
    host.mirror(mirrored)
    answer = a_build(host, sha, {"var/media": "dir"})
    assert (answer.refusal or {})["message"] == "the commit has var, and `shared` keeps var/media outside of releases"
    assert os.listdir(outside) == []


@pytest.mark.slow
def test_a_place_beside_what_the_commit_has(host: LocalAgent, mirrored: Repository) -> None:
    """A directory of the commit can hold a link of ours."""
    sha = mirrored.git("rev-parse", "HEAD")
    assert a_build(host, sha, {"run/beside": "dir"}).refusal is None
    assert sorted(os.listdir(host.paths.release(sha) / "run")) == ["beside", "me"]


@pytest.mark.slow
def test_a_missing_file_stops_it_before_the_build(host: LocalAgent) -> None:
    """The facts say so, with a line that puts the file there; a directory needs nobody."""
    host.root.mkdir(parents=True)
    place = host.paths.shared / "config/local.yml"
    before = tree(host.root)
    assert told(host) == {f"the shared file {place} is missing": f"install -D -m 600 local.yml {place}"}
    assert tree(host.root) == before
    put(host, "config/local.yml")
    assert told(host) == {}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["media", "config/local.yml"])
def test_what_the_live_release_has_is_not_left_behind(host: LocalAgent, path: str) -> None:
    """What services wrote into a release before the path was shared is copied first; the line that is told does it."""
    old = host.sealed("old")
    release = host.paths.release(old)
    release.chmod(0o755)
    content = release / path / "upload" if path == "media" else release / path
    content.parent.mkdir(parents=True)
    content.write_text("a service's")
    host.paths.current.symlink_to(release)
    places = {path: PLACES[path]}
    (told_of,) = told(host, places).items()
    assert told_of[0] == f"{host.paths.current}/{path} has what {host.paths.shared}/{path} has not: " + (
        "the next release would not see it"
    )
    subprocess.run(["sh", "-ec", told_of[1]], check=True)
    assert told(host, places) == {}
    copied = host.paths.shared / path
    assert (copied / "upload" if path == "media" else copied).read_text() == "a service's"


@pytest.mark.slow
def test_what_is_copied_out_of_a_release_can_be_written(host: LocalAgent) -> None:
    """Nobody may write in a sealed release; the line that is told leaves directories and files that services can."""
    release = host.paths.release(host.sealed("old"))
    release.chmod(0o755)
    (release / "media/deep").mkdir(parents=True)
    (release / "media/deep/upload").touch()
    seal.seal(release, {})
    host.paths.current.symlink_to(release)
    (line,) = told(host, {"media": "dir"}).values()
    subprocess.run(["sh", "-ec", line], check=True)
    copied = [host.paths.shared / path for path in ("media", "media/deep", "media/deep/upload")]
    assert [f"{path.stat().st_mode & 0o777:o}" for path in copied] == ["755", "755", "644"]


@pytest.fixture
def closed(a_login: LocalAgent) -> LocalAgent:
    """A host whose login may not look into a shared directory, nor into a disk that a shared place leads to."""
    for path in ("var", "disk"):
        (a_login.paths.shared / path / "media").mkdir(parents=True)
    (a_login.paths.shared / "link").symlink_to(a_login.paths.shared / "disk/media")
    for path in ("var", "disk"):
        (a_login.paths.shared / path).chmod(0o700)
    return a_login


CLOSED = {"var": "dir", "var/media": "dir", "var/local.yml": "file", "link": "dir", "link/deep": "dir"}


def test_a_directory_that_a_service_closed_is_no_problem(closed: LocalAgent) -> None:
    """Nobody but the service can tell what is in there, and the facts do not end there."""
    assert told(closed, CLOSED) == {}


def test_what_newer_pythons_say_of_it(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.14 on `Path.exists` and its like say no of what may not be looked at: it counts as there."""
    stat = Path.stat

    def closed(path: Path, **options: Any) -> os.stat_result:
        if "closed" in path.parts:
            raise PermissionError
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", closed)
    for name in ("exists", "is_dir", "is_file"):
        usual = getattr(Path, name)
        monkeypatch.setattr(Path, name, lambda path, usual=usual: "closed" not in path.parts and usual(path))
    (host.paths.shared / "closed").mkdir(parents=True)
    places: Any = {"closed/media": "dir", "closed/local.yml": "file"}
    assert [*shared.problems(host.paths, places)] == []
    assert state.known(host.paths, "closed")


@pytest.mark.slow
def test_a_directory_that_a_service_closed_stops_no_build(closed: LocalAgent, repository: Repository) -> None:
    """The release has its links, and what others may look at is used as it is."""
    sha = repository.commit("first")
    places = {path: CLOSED[path] for path in ("var/media", "var/local.yml", "link")}
    bundle = b"".join(Source(repository.path).bundle(sha, []))
    assert closed.build(sha, {"shared": places}, bundle).refusal is None
    links = {path: os.readlink(closed.paths.release(sha) / path) for path in places}
    assert links == {path: str(closed.paths.shared / path) for path in places}
    assert (closed.facts(sha)["target"] or {})["damage"] is None


@pytest.mark.slow
@pytest.mark.parametrize(("path", "above"), [("var/media", "var"), ("var/deep/media", "var/deep"), ("media", "")])
def test_a_file_above_a_shared_directory_is_a_problem(host: LocalAgent, path: str, above: str) -> None:
    """It is named before a build begins, which would have no place for the directory."""
    blocking = host.paths.shared / above
    blocking.parent.mkdir(parents=True)
    blocking.touch()
    assert told(host, {path: "dir"}) == {f"{blocking} is no directory": f"ls -ld {blocking}"}


@pytest.mark.slow
def test_a_place_of_another_kind(host: LocalAgent) -> None:
    """A file where a directory is meant, and the other way around, are named."""
    (host.paths.shared / "config/local.yml").mkdir(parents=True)
    put(host, "media")
    assert list(told(host)) == [
        f"{host.paths.shared}/config/local.yml is no file",
        f"{host.paths.shared}/media is no directory",
    ]


@pytest.mark.slow
def test_what_is_there_is_used_as_it_is(host: LocalAgent, tmp_path: Path) -> None:
    """A link to another disk stays one, with the modes that it has."""
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    host.paths.shared.mkdir(parents=True)
    (host.paths.shared / "media").symlink_to(disk)
    assert told(host, {"media": "dir"}) == {}
    shared.create(host.paths, {"media": "dir"})
    assert ((host.paths.shared / "media").readlink(), disk.stat().st_mode & 0o777) == (disk, 0o700)


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("PermissionError: [Errno 13] Permission denied: 'uploads'", "uploads"),
        ("PermissionError: [Errno 13] Permission denied: '{current}/var/cache/x.bin'", "var"),
        ("Error: EACCES: permission denied, mkdir '{release}/uploads/2026'", "uploads"),
        ("open {current}/data.db: permission denied", "data.db"),
        ("mkdir: cannot create directory \u2018{current}/uploads\u2019: Permission denied", "uploads"),
        ("OSError: [Errno 30] Read-only file system: 'known/deep/new.txt'", "known/deep"),
        ("mkdir: cannot create directory 'known/new': Permission denied", "known"),
        ("Nov 29 01:54:19 app[5]: touch: cannot touch '{current}/pid': Permission denied", "pid"),
        ("PermissionError: [Errno 13] Permission denied: '/var/lib/other/x'", None),
        ("PermissionError: [Errno 13] Permission denied: '{current}/media/new.jpg'", None),
        ("PermissionError: [Errno 13] Permission denied: 'known/media/deep/new.jpg'", None),
        ("bash: line 1: known/script: Permission denied", None),
        ("PermissionError: [Errno 13] Permission denied: 'known/script'", None),
        ("PermissionError: [Errno 13] Permission denied: '../x'", None),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'uploads'", None),
        ("GET 'uploads' 200\nPermission denied (publickey)", None),
        ("connection to ('127.0.0.1', 80) failed: [Errno 13] Permission denied", None),
        ("PermissionError: [Errno 13] Permission denied: ('localhost', 80)", None),
        ("PermissionError: [Errno 13] Permission denied: ('::', 80, 0, 0)", None),
        ('Permission denied - bind(2) for "localhost" port 80 (Errno::EACCES)', None),
        ("cannot bind '0.0.0.0:80': Permission denied", None),
        ('FATAL:  permission denied for database "shop"', None),
        ("PermissionError: [Errno 13] Permission denied: '2026.10.11.txt'", "2026.10.11.txt"),
        ("", None),
    ],
)
def test_what_a_service_wanted_to_write(tmp_path: Path, said: str, path: str | None) -> None:
    """The path is found in what it said of a right that it lacks; a path that is there was not to be made."""
    layout = Layout(tmp_path, tmp_path / "releases", tmp_path / "current", tmp_path / "repo")
    release = layout.release("a" * 40)
    (release / "known/deep").mkdir(parents=True)
    (release / "known/script").touch()
    for link in ("media", "known/media"):
        (release / link).symlink_to(tmp_path)
    layout.current.symlink_to(release)
    line = said.format(current=layout.current, release=release)
    assert shared.wanted(layout, release, f"before\n{line}\nafter", str) == path


@pytest.mark.parametrize(
    ("directory", "said", "path"),
    [
        ("{current}/api", "uploads/one", "api/uploads"),
        ("{release}/api", "../uploads", "uploads"),
        ("/", "uploads", None),
        ("/var/lib/api", "uploads", None),
        ("/var/lib/api", "{current}/uploads", "uploads"),
    ],
)
def test_a_relative_path_of_a_unit(tmp_path: Path, directory: str, said: str, path: str | None) -> None:
    """It counts from the WorkingDirectory of the unit that said it, of which systemd is asked."""
    layout = Layout(tmp_path, tmp_path / "releases", tmp_path / "current", tmp_path / "repo")
    release = layout.release("a" * 40)
    (release / "api").mkdir(parents=True)
    layout.current.symlink_to(release)
    places = {"current": layout.current, "release": release}
    units = {"web": "/nowhere", "api": directory.format(**places)}
    words = f"the health command failed\n--- web\nall is well\n--- api\nPermission denied: '{said.format(**places)}'"
    assert shared.wanted(layout, release, words, units.__getitem__) == path


@pytest.mark.parametrize(
    ("mode", "said", "lacks"),
    [
        (0o555, "django.db.utils.OperationalError: unable to open database file\n", True),
        (0o755, "django.db.utils.OperationalError: unable to open database file\n", False),
        (0o555, "django.db.utils.OperationalError: no such table: shop\n", False),
    ],
)
def test_a_database_that_cannot_be_opened(tmp_path: Path, mode: int, said: str, lacks: bool) -> None:
    """SQLite names no path; in a release that nobody can write that is what it lacks."""
    tmp_path.chmod(mode)
    assert shared.lacks_database(tmp_path, said) is lacks


@pytest.mark.slow
def test_a_failed_gate_that_could_not_open_its_database(host: LocalAgent) -> None:
    """The reason says what to share, without a path that nobody knows."""
    good, bad = host.sealed("good"), host.sealed("bad")
    host.activate(good)
    gate = {"command": "echo unable to open database file; exit 78", "timeout": 5, "interval": 0.05, "stable_for": 0}
    answer = host.activate(bad, healthcheck=gate)
    told = "; a release is read-only: name the directory of the database under `shared` in fabric.yaml"
    assert (answer.result or {})["state"]["reason"].endswith(told)


@pytest.mark.slow
def test_a_failed_gate_names_what_to_share(host: LocalAgent) -> None:
    """A health command that could not write beside its code: the reason says which setting mends it."""
    good, bad = host.sealed("good"), host.sealed("bad")
    host.activate(good)
    command = f"echo \"PermissionError: [Errno 13] Permission denied: '{host.paths.current}/uploads'\"; exit 78"
    gate = {"command": command, "timeout": 5, "interval": 0.05, "stable_for": 0}
    answer = host.activate(bad, healthcheck=gate)
    assert (answer.result or {})["state"]["reason"].endswith(
        "; a release is read-only: name uploads under `shared` in fabric.yaml"
    )
    assert host.live == good
