"""The seal: any change to a finished release is noticed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from oroboros_deploy.host import durable, seal
from tests.support.local_agent import LocalAgent


@pytest.fixture
def release(host: LocalAgent) -> Path:
    sealed = host.paths.release(host.sealed("a", file="content", tool="#!"))
    sealed.chmod(0o755)
    return sealed


def edit(path: Path) -> None:
    before = path.stat()
    path.chmod(0o644)
    path.write_text("CONTENT")
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def truncate(path: Path) -> None:
    before = path.stat()
    path.chmod(0o644)
    os.truncate(path, 0)
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("file", edit, "'file' changed since the seal"),
        ("file", truncate, "'file' changed since the seal"),
        ("file", Path.unlink, "'file' changed since the seal"),
        ("file", lambda path: path.chmod(0o544), "'file' changed since the seal"),
        ("file", replace_by_link, "'file' changed since the seal"),
        (seal.MANIFEST, edit, ".deploy-manifest was changed"),
        (seal.MANIFEST, truncate, ".deploy-manifest was changed"),
        (seal.MANIFEST, Path.unlink, ".deploy-manifest or .deploy-seal cannot be read"),
        (seal.SEAL, truncate, ".deploy-manifest or .deploy-seal cannot be read"),
    ],
)
def test_every_change_is_noticed(release: Path, name: str, change: Callable[[Path], object], words: str) -> None:
    """Edits, losses, modes and types; and changes to the seal's own files."""
    assert seal.verify(release) is None
    change(release / name)
    assert (seal.state_of(release), seal.verify(release)) == ("sealed", words)


def gone(outside: Path) -> None:
    outside.unlink()


def replaced(outside: Path) -> None:
    outside.unlink()
    outside.symlink_to(outside.with_name("python3.99"))


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A sealed release with a virtual environment, whose interpreter is a link to one outside."""
    for name in ("python3.1", "python3.99"):
        (tmp_path / name).touch()
    (tmp_path / "python3").symlink_to("python3.1")
    release = tmp_path / "a"
    (release / "bin").mkdir(parents=True)
    (release / "pyvenv.cfg").touch()
    (release / "bin" / "python3").symlink_to(tmp_path / "python3")
    (release / "bin" / "python").symlink_to("python3")
    (release / "tool").symlink_to(tmp_path / "python3")
    (release / "nowhere").symlink_to("/nowhere")
    seal.seal(release, {})
    return release


def closed(outside: Path) -> None:
    """A name that no system call takes fails as a directory does that somebody closed, for root as well."""
    outside.unlink()
    outside.symlink_to("n" * 300)


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        (gone, "'bin/python' and 2 more"),
        (closed, "'bin/python' and 2 more"),
        (replaced, "'bin/python' and 1 more"),
    ],
)
def test_an_interpreter_outside_that_is_gone_is_damage(
    linked: Path, change: Callable[[Path], object], lost: str
) -> None:
    """So is another version of it; what led to nothing at the seal, and other programs' versions, are nothing to us."""
    outside = linked.parent / "python3"
    assert seal.compare(linked) == seal.WHOLE
    change(outside)
    assert seal.verify(linked) == f"{outside}.1, which the release needs for {lost}, can no longer be reached"


def test_only_an_interpreter_decides_at_the_commit(linked: Path) -> None:
    """Other links may lead to what services make and remove."""
    outside = linked.parent / "python3"
    (linked / "bin").chmod(0o755)
    for name in ("python", "python3"):
        (linked / "bin" / name).unlink()
        (linked / "bin" / name).symlink_to(linked.parent / "python3.1")
    outside.unlink()
    assert (seal.verify(linked) is None, seal.lost(linked)) == (False, None)
    (linked.parent / "python3.1").unlink()
    needed = "which the release needs for 'bin/python' and 1 more"
    assert seal.lost(linked) == f"{outside}.1, {needed}, can no longer be reached"


def test_what_lies_in_run_is_nothing_that_a_release_needs(tmp_path: Path) -> None:
    """Services make and remove it, as a socket, and a boot does."""
    release = tmp_path / "a"
    release.mkdir()
    (release / "run").symlink_to("/run/lock")
    seal.seal(release, {})
    row = json.loads((release / seal.MANIFEST).read_text().splitlines()[0])
    assert row[5:] == ["/run/lock"]


def test_what_becomes_of_a_shared_place_is_no_damage(tmp_path: Path) -> None:
    """Nor is what becomes of a disk that the place leads to; what lies beside it, under a longer name, is no place."""
    release, places, disk = tmp_path / "a", tmp_path / "shared", tmp_path / "disk"
    for path in (release, places / "media", disk / "deep", tmp_path / "shared of others"):
        path.mkdir(parents=True)
    (places / "data").symlink_to(disk)
    links = {"media": places / "media", "data": places / "data", "deep": Path("data/deep"), "all": places}
    for name, target in {**links, "other": tmp_path / "shared of others"}.items():
        (release / name).symlink_to(target)
    seal.seal(release, {}, apart=[places, places / "media", places / "data"])
    (places / "data").unlink()
    disk.rename(tmp_path / "moved")
    (places / "media").rmdir()
    assert seal.compare(release) == seal.WHOLE
    (tmp_path / "shared of others").rmdir()
    needed = f"{tmp_path}/shared of others, which the release needs for 'other'"
    assert seal.verify(release) == f"{needed}, can no longer be reached"


@pytest.mark.parametrize("settings", ["home = {0}/bin\n", "home = /nowhere\nexecutable = {0}/bin/python3\n"])
def test_an_interpreter_that_was_copied_is_damage_when_its_origin_is_gone(tmp_path: Path, settings: str) -> None:
    """A copy in a virtual environment finds no standard library without the interpreter that it was copied from."""
    origin, release = tmp_path / "bin" / "python3", tmp_path / "a"
    for path in (origin, release / "env" / "bin" / "python3"):
        path.parent.mkdir(parents=True)
        path.touch()
    (release / "env" / "pyvenv.cfg").write_text(settings.format(tmp_path))
    seal.seal(release, {})
    assert seal.compare(release) == seal.WHOLE
    origin.unlink()
    assert seal.verify(release) == f"{origin}, which the release needs for 'env/pyvenv.cfg', can no longer be reached"


def test_what_was_only_touched_is_no_damage(release: Path) -> None:
    """`touch app.wsgi` reloads some servers, and a backup keeps whole seconds; a time hides no edit."""
    os.utime(release / "file", ns=(1, 1))
    assert seal.compare(release) == seal.WHOLE
    (release / "file").chmod(0o644)
    (release / "file").write_text("CONTENT")
    (release / "file").chmod(0o444)
    assert seal.verify(release) == "'file' changed since the seal"


def test_a_pipe_in_the_place_of_an_empty_file_is_damage(host: LocalAgent) -> None:
    """Nobody waits for who writes to it."""
    release = host.paths.release(host.sealed("a", empty=""))
    release.chmod(0o755)
    (release / "empty").unlink()
    os.mkfifo(release / "empty", 0o444)
    assert seal.verify(release) == "'empty' changed since the seal"


def test_many_changes_are_counted(release: Path) -> None:
    """The first is named, the others are numbered."""
    for path in (release / "file", release / "tool"):
        path.unlink()
    assert seal.verify(release) == "'file' and 1 more changed since the seal"


def test_additions_are_no_damage(release: Path) -> None:
    """The topmost of each is told; what can be removed is, and the directories above are as they were."""
    for path in (release / "extra", release / "cache"):
        path.mkdir()
        (path / "file").touch()
    (release / "link").symlink_to("/etc")
    found = seal.compare(release)
    assert found == (None, ["cache", "extra", "link"])
    release.chmod(0o555)
    assert (seal.remove_added(release, found.added), seal.compare(release)) == ([], seal.WHOLE)
    assert mode(release) == "555"


def test_the_seal_comes_last(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the marker is written the whole tree is on the disk, and without it the tree is not sealed."""
    seen: list[tuple[str, str]] = []
    again = release.with_name("b" * 40)
    again.mkdir()
    monkeypatch.setattr(durable, "sync_filesystem", lambda path: seen.append(("flushed", seal.state_of(path))))
    seal.seal(again, seal.meta_now(again.name, "test"))
    assert (seen, seal.state_of(again)) == ([("flushed", "unsealed")], "sealed")


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, lambda path: path.symlink_to("/tmp")])
def test_what_is_no_directory_is_no_release(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Absent, a file, or a link: none of them can be activated."""
    make(tmp_path / "x")
    assert seal.state_of(tmp_path / "x") == "missing"


def test_a_tree_that_shuts_its_owner_out_can_be_removed(tmp_path: Path) -> None:
    """Directories without any permission are opened before they are entered."""
    for path in (tmp_path / "r", tmp_path / "r" / "a", tmp_path / "r" / "a" / "b"):
        path.mkdir()
    (tmp_path / "r" / "a").chmod(0)
    (tmp_path / "r").chmod(0o555)
    seal.remove(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def unsealed(tmp_path: Path) -> Path:
    (tmp_path / "releases" / "c").mkdir(parents=True)
    return tmp_path / "releases" / "c"


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:o}"


def test_what_is_linked_from_elsewhere_is_copied(tmp_path: Path) -> None:
    """A file of a store, or of `cp -al`, keeps its mode there; two names within the release stay one file."""
    release, store = unsealed(tmp_path), tmp_path / "store"
    store.write_text("content")
    store.chmod(0o664)
    (release / "shut").mkdir()
    os.link(store, release / "shut" / "linked")
    (release / "shut").chmod(0o555)
    (release / "one").write_text("own")
    os.link(release / "one", release / "two")
    seal.seal(release, {})
    linked = release / "shut" / "linked"
    assert (mode(store), mode(linked), mode(linked.parent), linked.read_text()) == ("664", "444", "555", "content")
    assert (os.path.samefile(store, linked), (release / "one").samefile(release / "two")) == (False, True)
    store.write_text("written through the store")
    assert (linked.read_text(), seal.verify(release)) == ("content", None)


def test_a_copy_in_another_release_is_left_alone(tmp_path: Path) -> None:
    """`cp -al` of a whole tree and back: the seal of one release changes nothing in the other."""
    release, other = unsealed(tmp_path), tmp_path / "releases" / "d"
    (release / "file").write_text("content")
    subprocess.run(["cp", "-al", release, other], check=True)
    seal.seal(other, {})
    (release / "file").chmod(0o600)
    assert (seal.verify(other), mode(release / "file")) == (None, "600")


@pytest.mark.parametrize(
    ("made", "sealed"),
    [(0o600, "400"), (0o640, "440"), (0o644, "444"), (0o755, "555"), (0o6711, "511"), (0o200, "400"), (0o4777, "555")],
)
def test_what_a_build_closed_stays_closed(tmp_path: Path, made: int, sealed: str) -> None:
    """Only write bits and set-id bits go; the owner can read what is to be verified."""
    release = unsealed(tmp_path)
    (release / "file").touch()
    (release / "directory").mkdir()
    (release / "file").chmod(made)
    (release / "directory").chmod(0o2770)
    seal.seal(release, {})
    assert (mode(release / "file"), mode(release / "directory")) == (sealed, "550")
