"""The build cache: what is taken from it is what a fresh build would have made, or it is not taken."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from oroboros_deploy.host import lock, seal
from oroboros_deploy.host.building import cache
from oroboros_deploy.host.building.cache import Cache, Entry
from oroboros_deploy.host.refusal import Refusal
from tests.support.builds import FRONTEND, PARTS, RECIPE, Site, began, built, hang_up, manifest
from tests.support.rights import require_mount
from tests.support.watching import eventually, inodes, tree

KEY = b"the secret of this root"
ONE, TWO, THREE = (letter * 40 for letter in "abc")


class Store:
    """A cache and its releases, without builds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []
        self.live: str | None = None

    def cache(self, release_id: str) -> Cache:
        releases = self.root / "releases"
        (releases / release_id).mkdir(parents=True, exist_ok=True)
        before = releases / self.live if self.live else None
        return Cache(self.root / "cache", releases / release_id, self.say, KEY, before)

    def say(self, event: str, *_: object, **__: object) -> None:
        self.said.append(event)

    def make(
        self, release_id: str, work: Callable[[Path], object], *, may_contain_path: bool = False, **inputs: Any
    ) -> Entry:
        """What a build does for a part in ``part/``: work, keep, seal."""
        at, entry = self.cache(release_id), Entry("part", {"of": "it"} | inputs)
        with at.watch(entry, ["part"], [], may_contain_path=may_contain_path):
            (at.release / "part").mkdir(exist_ok=True)
            work(at.release / "part")
        at.keep()
        return entry

    def take(self, release_id: str, *, linked: bool = True, **inputs: Any) -> bool:
        at = self.cache(release_id)
        taken = at.take(Entry("part", {"of": "it"} | inputs), linked=linked)
        at.keep()
        return taken

    def part(self, release_id: str) -> Path:
        return self.root / "releases" / release_id / "part"

    def entry(self, entry: Entry) -> Path:
        return self.root / "cache" / "entries" / entry.file()

    @property
    def objects(self) -> list[Path]:
        return sorted((self.root / "cache" / "objects").iterdir())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def several(part: Path) -> None:
    (part / "sub" / "empty").mkdir(parents=True)
    (part / "sub" / "file").write_text("content")
    (part / "sub" / "same").write_text("content")
    (part / "run").write_text("#!/bin/sh\n")
    (part / "run").chmod(0o755)
    (part / "nothing").write_text("")
    (part / "link").symlink_to("sub/file")


def contents(part: Path) -> dict[str, str]:
    return {name: text for name, (_, text) in tree(part).items()}


def sealed(part: Path) -> dict[str, tuple[str, str]]:
    root = part.parents[2]
    seal.seal(part, {}, Cache(root / "cache", part.parent, lambda *_, **__: None, KEY).shared())
    return {name: told for name, told in tree(part).items() if name not in seal.OURS}


def test_a_part_comes_back_as_it_was_made(store: Store) -> None:
    """Files, links, empty directories and modes are the same; every file is the first one's, by another name."""
    store.make(ONE, several)
    assert store.take(TWO)
    assert sealed(store.part(TWO)) == sealed(store.part(ONE))
    names = ("sub/file", "sub/same", "run", "nothing")
    assert all(store.part(ONE).joinpath(name).samefile(store.part(TWO) / name) for name in names)


def a_socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


@pytest.mark.parametrize("make", [os.mkfifo, a_socket])
def test_a_special_file_in_a_part_is_refused(store: Store, make: Callable[[Path], None]) -> None:
    """Nobody opens a pipe that a part left: it would wait for ever for who writes to it."""
    with pytest.raises(Refusal) as caught:
        store.make(ONE, lambda part: make(part / "odd"))
    odd = store.part(ONE) / "odd"
    assert caught.value.message == f"{odd} is a device, pipe or socket; a release holds files and links only"


PAST = 1_000_000_000_000_000_000  # ns


def page(part: Path, content: str, seconds: int) -> None:
    (part / "page").write_text(content)
    os.utime(part / "page", ns=(PAST, PAST + seconds * 1_000_000_000))


@pytest.mark.parametrize("way", ["linked", "copied", "made"])
def test_no_time_goes_back(store: Store, way: str) -> None:
    """What comes back after something newer at its path is newer still, by whole seconds; who has it keeps theirs."""
    store.make(ONE, lambda part: page(part, "good", 1))
    store.live = ONE
    store.make(TWO, lambda part: page(part, "bad!", 2), of="another")
    store.live = TWO
    if way == "made":
        store.make(THREE, lambda part: page(part, "good", 5))
    else:
        assert store.take(THREE, linked=way == "linked")
    one, two, three = ((store.part(each) / "page").stat() for each in (ONE, TWO, THREE))
    assert (store.part(THREE) / "page").read_text() == "good"
    assert (one.st_mtime_ns, two.st_mtime_ns) == (PAST + 1_000_000_000, PAST + 2_000_000_000)
    assert three.st_mtime_ns >= two.st_mtime_ns + 1_000_000_000
    assert three.st_ino in {path.stat().st_ino for path in store.objects}


def test_no_time_goes_back_when_the_clock_does(store: Store) -> None:
    """A live file from the future is followed by a later one."""
    store.make(ONE, lambda part: page(part, "good", 1))
    store.make(TWO, lambda part: page(part, "bad!", 9_000_000_000), of="another")
    store.live = TWO
    assert store.take(THREE)
    times = [(store.part(each) / "page").stat().st_mtime_ns for each in (TWO, THREE)]
    assert times[1] - times[0] == 1_000_000_000


def test_what_stays_the_same_keeps_its_time(store: Store) -> None:
    """A file that the live release shares is neither copied nor given another time."""
    store.make(ONE, several)
    store.live = ONE
    assert store.take(TWO)
    assert (store.part(TWO) / "sub" / "file").samefile(store.part(ONE) / "sub" / "file")


@pytest.mark.slow
def test_a_browser_gets_the_page_of_a_revert(site: Site) -> None:
    """Real builds, a real web server: who saw the bad page asks for a newer one, and is given it."""

    def deployed(content: str) -> None:
        sha = site.commit(frontend__page=content)
        assert site.build(sha).refusal is None
        assert site.host.activate(sha).phases[-1] == "committed"

    where = ["--bind", "127.0.0.1", "--directory", f"{site.host.root}/current", "0"]
    argv = [sys.executable, "-um", "http.server", *where]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        deployed("version GOOD")
        assert server.stdout
        url = re.findall(r"http://[\d.:]+/", server.stdout.readline())[0] + "infra/web/page"
        deployed("version BAD!")
        with urllib.request.urlopen(url) as bad:
            seen = bad.headers["Last-Modified"]
        deployed("version GOOD")
        with urllib.request.urlopen(urllib.request.Request(url, headers={"If-Modified-Since": seen})) as answer:
            assert (answer.status, answer.read()) == (200, b"version GOOD")
    finally:
        server.kill()
        server.communicate()


def test_each_file_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cache has read to know that it is sound, the seal does not read again."""
    monkeypatch.setattr("oroboros_deploy.host.building.contents.MOMENT", -(1 << 62))
    store.make(ONE, several)
    opened, read = seal.opened, list[Path]()

    def noted(path: str | Path) -> contextlib.AbstractContextManager[IO[bytes]]:
        read.append(Path(path))
        return opened(path)

    monkeypatch.setattr(seal, "opened", noted)
    at = store.cache(TWO)
    assert at.take(Entry("part", {"of": "it"}), linked=True)
    assert sorted(read) == store.objects
    seal.seal(at.release, {}, at.shared(), known=at.contents.known)
    assert (len(read), seal.verify(at.release)) == (len(store.objects), None)


def test_what_a_part_removed_is_removed(store: Store) -> None:
    """What was committed where a part puts its output does not come back with a cached one."""
    for release_id in (ONE, TWO):
        store.cache(release_id)
        (store.part(release_id) / "old").mkdir(parents=True)
        (store.part(release_id) / "old" / "file").write_text("committed")
        (store.part(release_id) / "page").write_text("committed")

    def work(part: Path) -> None:
        shutil.rmtree(part / "old")
        (part / "page").unlink()
        (part / "page").mkdir()
        (part / "page").chmod(0o755)  # whatever the umask

    store.make(ONE, work)
    assert store.take(TWO)
    assert tree(store.part(TWO)) == tree(store.part(ONE)) == {"page": ("drwxr-xr-x", "")}


def test_other_inputs_are_another_entry(store: Store) -> None:
    """Nothing is taken for inputs that differ in anything, and what differs can be told."""
    store.make(ONE, several, tools={"node": "1", "npm": "1"}, command="make")
    assert not store.take(TWO, tools={"node": "2", "npm": "1"}, command="make")
    other = Entry("part", {"of": "it", "tools": {"node": "2", "npm": "1"}, "command": "make all"})
    assert store.cache(TWO).changed(other) == ["command", "tools node"]
    assert store.cache(TWO).changed(Entry("other", {})) is None


def test_text_that_names_its_place_names_the_new_one(store: Store) -> None:
    """A script of an environment is written for each release; nothing below it names another."""

    def work(part: Path) -> None:
        (part / "script").write_text(f"#!{part}/python\nimport sys\n")
        (part / "script").chmod(0o755)

    store.make(ONE, work, may_contain_path=True)
    assert store.take(TWO)
    script = store.part(TWO) / "script"
    assert (script.read_text(), os.access(script, os.X_OK)) == (f"#!{store.part(TWO)}/python\nimport sys\n", True)
    assert ONE.encode() not in b"".join(path.read_bytes() for path in store.objects)


@pytest.mark.parametrize(
    ("work", "may_contain_path"),
    [
        (lambda part: (part / "page").write_text(f"<meta name=release content={ONE}>"), False),
        (lambda part: (part / "page").write_text(f"version {ONE[:7]}"), False),
        (lambda part: (part / "page").write_text(f"built in {part}"), False),
        (lambda part: (part / "binary").write_bytes(b"\0" + os.fsencode(part)), True),
        (lambda part: (part / "script").write_text(f"#!{part}/python\nversion = {ONE!r}\n"), True),
        (lambda part: (part / "link").symlink_to(part / "file"), True),
    ],
)
def test_what_names_its_release_is_not_kept(
    store: Store, work: Callable[[Path], object], may_contain_path: bool
) -> None:
    """Taken for another commit it would tell of the wrong one."""
    store.make(ONE, work, may_contain_path=may_contain_path)
    assert (store.said, store.take(TWO), store.objects) == (["cache.refused"], False, [])


def edit_quietly(path: Path) -> None:
    """Through a live release's name for it, keeping size and time."""
    before = path.stat()
    path.chmod(0o644)
    path.write_text("CONTENT")
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 0)
    path.chmod(0o444)


def test_a_sound_entry_is_silent(store: Store) -> None:
    """Nothing is said of what is as it should be."""
    store.make(ONE, several)
    assert (store.take(TWO), store.said) == (True, [])


@pytest.mark.parametrize("damage", [edit_quietly, truncate, lambda path: path.chmod(0o666)])
def test_a_poisoned_file_is_noticed_and_made_anew(store: Store, damage: Callable[[Path], None]) -> None:
    """An edit through any of a file's names, even one that keeps size and time, is never handed on."""
    store.make(ONE, several)
    damage(store.part(ONE) / "sub" / "file")
    assert (store.take(TWO), store.said) == (False, ["cache.damaged"])
    assert not any(path.is_file() for path in store.part(TWO).rglob("*"))
    store.make(TWO, several)
    assert store.take(THREE)
    assert contents(store.part(THREE))["sub/file"] == "content"


def test_a_poisoned_file_does_not_replace_a_good_one(store: Store) -> None:
    """What is made anew shares no file with what was edited."""
    store.make(ONE, several)
    edit_quietly(store.part(ONE) / "sub" / "file")
    store.make(TWO, several, other="inputs")
    assert (contents(store.part(TWO))["sub/file"], contents(store.part(ONE))["sub/file"]) == ("content", "CONTENT")


@pytest.mark.parametrize("left", [b"", b"{", b"3", b"[]", b'{"digest": ""}', b'{"digest": "", "entry": {"rows": [3]}}'])
def test_a_broken_entry_is_as_none(store: Store, left: bytes) -> None:
    """Empty, cut off or of another kind: it is told and removed, and the part is built."""
    path = store.entry(store.make(ONE, several))
    path.write_bytes(left)
    assert (store.take(TWO), path.exists(), store.said) == (False, False, ["cache.damaged"])


def test_a_poisoned_entry_is_noticed(store: Store) -> None:
    """One that has a file less than the part made is never handed on, though all it names is sound."""
    path = store.entry(store.make(ONE, several))
    entry = json.loads(path.read_bytes())
    entry["entry"]["rows"].pop()
    path.write_text(json.dumps(entry))
    assert (store.take(TWO), path.exists(), store.said) == (False, False, ["cache.damaged"])


def test_an_entry_under_another_name_is_noticed(store: Store) -> None:
    """A true entry that was copied to where the inputs of another commit are looked for."""
    first = store.entry(store.make(ONE, several))
    second = store.entry(Entry("part", {"of": "another"}))
    second.write_bytes(first.read_bytes())
    assert (store.take(TWO, of="another"), second.exists(), store.said) == (False, False, ["cache.damaged"])


@pytest.mark.slow
def test_the_file_that_widens_a_part_is_named(site: Site) -> None:
    """A test that names a path above its directory makes any change of the commit one of the frontend."""
    told = []
    for text in ("one", "two"):
        sha = site.commit(frontend__page="hello", frontend__tests__env="read('../../.env')", docs__page=text)
        missed = site.build(sha, venvs={}).said("cache.missed")
        told.append([said for said in missed if said.startswith("frontend: ")])
    why = "it depends on the whole commit, for frontend/tests/env names a path outside (see build.inputs)"
    assert told == [
        [f"frontend: built, for the cache has no earlier result of it; {why}"],
        [f"frontend: changed since it was built last: sources; {why}"],
    ]


# Makes every entry name an object of its own, as one would who knows how entries are written, but no secret.
POISON = """
import hashlib, hmac, json, pathlib
cache = pathlib.Path("../../.deploy/cache")
poison = hashlib.sha256(b"POISONED").hexdigest()
(cache / "objects" / poison).write_bytes(b"POISONED")
(cache / "objects" / poison).chmod(0o444)
for path in (cache / "entries").iterdir():
    entry = json.loads(path.read_bytes())["entry"]
    for row in entry["rows"]:
        row["content"] = poison if row["kind"] == "f" else row["content"]
    text = json.dumps(entry, sort_keys=True).encode()
    for digest in (hashlib.sha256(text).hexdigest(), hmac.new(b"", text, "sha256").hexdigest()):
        path.write_text(json.dumps({"entry": entry, "digest": digest}))
"""


@pytest.mark.slow
def test_a_cache_that_somebody_rewrote_poisons_nothing(site: Site) -> None:
    """What a step wrote where no view keeps it away, with digests of its own, is told and is in no later release."""
    first, honest = (site.commit(frontend__page="hello", docs__page=text) for text in ("nothing", "nothing more"))
    assert built(site.build(first)) == PARTS
    subprocess.run([sys.executable, "-c", POISON], cwd=site.release(first), check=True)
    assert built(site.build(honest)) == PARTS
    assert (site.release(honest) / "infra/web/page").read_text() == "hello"


def test_an_entry_of_an_earlier_version_is_found(store: Store) -> None:
    """Names and keys are those that 0.1.0 wrote; its digests have no key, so each is told and made anew once."""
    told = json.loads(store.entry(store.make(ONE, several)).read_bytes())["entry"]
    assert sorted(told) == ["gone", "inputs", "layer", "own", "part", "rows"]
    assert sorted(told["rows"][0]) == ["content", "executable", "kind", "path", "placed"]
    entry = Entry("a part", {"of": "it"}, {"base": "x"})
    assert [entry.file(), entry.file(base=True)] == [
        "a-part.71398f74d59873bfc6693b6d0650ba1ed8abf008459b30fe5b71ff2e2d865178.json",
        "a-part.0400dee61eac69da5ad64729a7403520a6e8b871756cf5c8c62075ee13ba5e6f.json",
    ]


def test_a_lost_file_is_noticed(store: Store) -> None:
    """An entry whose files are not all there is not used."""
    store.make(ONE, several)
    store.objects[0].unlink()
    assert not store.take(TWO)


def test_one_poisoned_file_of_many_is_noticed(store: Store) -> None:
    """They are looked at many at a time; what is told of one is told of that one."""

    def many(part: Path) -> None:
        for number in range(200):
            (part / f"{number}").write_text(f"content {number}")

    store.make(ONE, many)
    assert store.take(TWO)
    assert contents(store.part(TWO)) == {f"{number}": f"content {number}\n".strip() for number in range(200)}
    edit_quietly(store.part(ONE) / "137")
    assert (store.take("3" * 40), len(store.objects), store.said) == (False, 199, ["cache.damaged"])


def test_a_store_that_is_killed_anywhere_leaves_nothing_wrong(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any number of its steps the next build finds all of the part or nothing, and never half."""
    names = {"link": os.link, "rename": os.rename}
    for count in range(12):
        left = [count]

        def counted(name: str, left: list[int] = left) -> Callable[..., None]:
            def act(*arguments: Any) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
                names[name](*arguments)

            return act

        here = Store(store.root / str(count))
        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(os, name, counted(name))
            try:
                here.make(ONE, several)
                ended = True
            except KeyboardInterrupt:
                ended = False
        assert here.take(TWO) == ended
        if not ended:
            here.make(TWO, several)
            assert here.take(THREE)
            assert contents(here.part(THREE)) == contents(here.part(TWO))
    assert ended


def test_a_part_that_is_changed_later_is_not_kept(store: Store) -> None:
    """A step that edits what a part made would give its edit to builds that do without it."""
    at, entry = store.cache(ONE), Entry("part", {"of": "it"})
    with at.watch(entry, ["part"], [], may_contain_path=False):
        (at.release / "part").mkdir()
        several(at.release / "part")
    (at.release / "part" / "sub" / "file").write_text("edited")
    at.keep()
    assert not store.take(TWO)


def test_copies_are_the_releases_own_until_it_is_complete(store: Store) -> None:
    """A command that writes into what was taken changes no other release; what it left alone is shared again."""
    store.make(ONE, several)
    at = store.cache(TWO)
    assert at.take(Entry("part", {"of": "it"}), linked=False)
    with (store.part(TWO) / "sub" / "file").open("a") as file:
        file.write(" and more")
    at.keep()
    assert contents(store.part(ONE))["sub/file"] == "content"
    assert contents(store.part(TWO))["sub/file"] == "content and more"
    assert (store.part(TWO) / "run").samefile(store.part(ONE) / "run")
    assert store.take(THREE)


@pytest.mark.parametrize("why", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_where_no_link_can_be_made_copies_serve(store: Store, monkeypatch: pytest.MonkeyPatch, why: int) -> None:
    """Another filesystem, another owner or too many names cost space, and nothing else."""

    def refuse(*_: Any) -> None:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(os, "link", refuse)
    store.make(ONE, several)
    assert (store.take(TWO), store.said) == (True, [])
    assert sealed(store.part(TWO)) == sealed(store.part(ONE))


def test_a_disk_that_is_full_only_costs_the_cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release needs nothing of the cache: that it could not be kept is told, and no more."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    store.make(ONE, several)
    assert (store.said, contents(store.part(ONE))["sub/file"]) == (["cache.refused"], "content")


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Make a directory one that even root cannot write to."""
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def test_a_cache_that_is_read_only_serves(store: Store) -> None:
    """What is in it is taken; what cannot be kept, forgotten or thrown away is told once for each build."""
    require_mount()
    store.make(ONE, several)
    with read_only(store.root / "cache"):
        at = store.cache(TWO)
        at.prune(0)
        assert (at.take(Entry("part", {"of": "it"}), linked=True), store.said) == (True, ["cache.refused"])
        assert contents(store.part(TWO)) == contents(store.part(ONE))
        edit_quietly(store.part(ONE) / "sub" / "file")
        store.make(THREE, several)
    assert (contents(store.part(THREE))["sub/file"], store.said) == ("content", ["cache.refused"] * 2)


def test_a_cache_that_cannot_be_made_costs_nothing_else(store: Store) -> None:
    """With a file in its place nothing is taken and nothing is kept, and that is told."""
    (store.root / "cache").write_text("in the way")
    at = store.cache(ONE)
    at.prune(0)
    store.make(TWO, several)
    assert (at.take(Entry("part", {"of": "it"}), linked=True), at.changed(Entry("part", {}))) == (False, None)
    assert (contents(store.part(TWO))["sub/file"], store.said) == ("content", ["cache.refused"] * 2)


def sized(size: int, fill: bytes) -> Callable[[Path], object]:
    return lambda part: (part / "big").write_bytes(fill * size)


def filled(store: Store) -> None:
    """Three entries of 100 kB, the oldest of release one."""
    for at, (release_id, fill) in enumerate([(ONE, b"1"), (TWO, b"2"), (THREE, b"3")]):
        entry = store.make(release_id, sized(100_000, fill), number=at)
        os.utime(store.entry(entry), (at, at))


def test_what_releases_share_costs_nothing(store: Store) -> None:
    """A limit below the size of all that is kept forgets nothing while the releases are there."""
    filled(store)
    store.cache(ONE).prune(50_000)
    assert [store.take("d" * 40, number=number) for number in range(3)] == [True, True, True]


def test_what_was_used_longest_ago_goes_first(store: Store) -> None:
    """Without their releases the entries count, and only the latest within the limit stay."""
    filled(store)
    for release_id in (ONE, TWO, THREE):
        shutil.rmtree(store.root / "releases" / release_id)
    store.cache(ONE).prune(250_000)
    assert [store.take("d" * 40, number=number) for number in range(3)] == [False, True, True]
    assert len(store.objects) == 2


def test_a_hit_is_a_use(store: Store) -> None:
    """An old entry that was taken today outlives a younger one that was not."""
    filled(store)
    assert store.take("d" * 40, number=0)
    for release_id in (ONE, TWO, THREE, "d" * 40):
        shutil.rmtree(store.root / "releases" / release_id)
    store.cache(ONE).prune(150_000)
    assert [store.take("e" * 40, number=number) for number in range(3)] == [True, False, False]


def test_the_cache_gives_way_to_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never holds more than what is free, whatever its limit is."""
    filled(store)
    for release_id in (ONE, TWO, THREE):
        shutil.rmtree(store.root / "releases" / release_id)
    usage = type(shutil.disk_usage("/"))(10**6, 10**6 - 10, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    store.cache(ONE).prune(10**9)
    assert store.objects == []


def test_a_base_has_no_trace_of_what_is_added_to_it(store: Store) -> None:
    """The added files of an entry, and the directories that hold nothing else, are not in its base."""
    entry = Entry("part", {}, added=["part/own/file", "part/both/mine"])
    paths = ["part", "part/both", "part/empty", "part/own"]
    entry.rows = [cache.Row(path, "d") for path in paths]
    entry.rows += [cache.Row(path, "f", "0") for path in ("part/both/mine", "part/both/theirs", "part/own/file")]
    assert [row.path for row in entry.base] == ["part", "part/both", "part/empty", "part/both/theirs"]


@pytest.mark.slow
def test_a_frontend_is_built_once(site: Site) -> None:
    """A commit that changes none of its inputs takes it from the cache, and is what a fresh build makes of it."""
    assert built(site.build(site.commit(), venvs={})) == ["frontend"]
    second = site.commit(docs__notes="nothing is built from this")
    assert built(site.build(second, venvs={})) == []
    taken = manifest(site.release(second))
    assert taken == site.fresh(second, venvs={})


@pytest.mark.slow
def test_nothing_is_built_twice(site: Site) -> None:
    """A commit that changes no part's inputs takes all from the cache, and is what a fresh build makes of it."""
    first = site.commit()
    assert built(site.build(first)) == PARTS
    second = site.commit(docs__notes="nothing is built from this")
    assert built(site.build(second)) == []
    release = site.release(second)
    for script, words in (("backend/.venv/bin/api", "api"), ("worker/.venv/bin/jobs", "jobs")):
        done = subprocess.run([release / script], capture_output=True, text=True)
        assert (done.stdout, done.stderr) == (f"{words} at work\n", "")
        assert (release / script).read_text().startswith(f"#!{(release / script).parent}/python\n")
    named = subprocess.run(["grep", "-rl", first, release], capture_output=True, text=True)
    assert named.stdout == ""
    assert site.host.facts(second)["target"]["state"] == "sealed"
    taken = manifest(release)
    assert taken == site.fresh(second)


@pytest.mark.slow
def test_only_what_changed_is_built(site: Site) -> None:
    """A change of one project builds its wheel and its environments, upon the base of what they need; as if fresh."""
    site.build(site.commit())
    making = (site.repository.path / "worker" / "making.py").read_text()
    second = site.commit(**{"worker/making.py": making.replace("at work", "hard at work")})
    answer = site.build(second)
    assert built(answer) == ["venv worker", "wheel worker"]
    assert [said for said in answer.said("cache.missed") if "wheel" in said] == [
        "wheel worker: changed since it was built last: sources worker"
    ]
    done = subprocess.run([site.release(second) / "worker/.venv/bin/jobs"], capture_output=True, text=True)
    assert done.stdout == "jobs hard at work\n"
    taken = manifest(site.release(second))
    assert taken == site.fresh(second)


@pytest.mark.slow
def test_no_cache_builds_everything(site: Site) -> None:
    """Asked for it, a build takes nothing, says why, and leaves its results to the next."""
    site.build(site.commit())
    second = site.commit(docs__notes="none")
    answer = site.build(second, anew=True)
    assert built(answer) == PARTS
    assert set(answer.said("cache.missed")) == {f"{part}: built anew, as asked" for part in PARTS}


@pytest.mark.slow
def test_a_live_release_that_was_edited_poisons_nothing(site: Site) -> None:
    """The edit is told; the parts that shared the file are built again, and are right."""
    first = site.commit()
    site.build(first, venvs={})
    victim = site.release(first) / "infra/web/page"
    victim.chmod(0o644)
    victim.write_text("HELLO")
    victim.chmod(0o444)
    second = site.commit(docs__notes="none")
    answer = site.build(second, venvs={})
    assert built(answer) == ["frontend"]
    assert len(answer.said("cache.damaged")) == 1
    assert (site.release(second) / "infra/web/page").read_text() == "hello"


@pytest.mark.slow
def test_a_step_of_the_users_own_reaches_no_other_release(site: Site) -> None:
    """It always runs, and what it writes into is the release's own; when it fails, no inode of another is touched."""
    scar = "echo scar >>infra/web/page; echo '# scar' >>backend/.venv/bin/api"
    steps = {"steps": [{"name": "scar", "path": ".", "command": scar}]}
    first = site.commit()
    site.build(first)
    before = tree(site.release(first))
    second = site.commit(docs__notes="none")
    assert built(site.build(second, **steps)) == ["scar"]
    assert (site.release(second) / "infra/web/page").read_text() == "helloscar\n"
    assert tree(site.release(first)) == before
    assert site.host.facts(first)["target"]["state"] == "sealed"
    there = inodes(site.host.paths.releases)
    failed = site.build(site.commit(docs__notes="two"), steps=[{**steps["steps"][0], "command": f"{scar}; false"}])
    assert ((failed.refusal or {})["kind"], inodes(site.host.paths.releases)) == ("build_failed", there)


@pytest.mark.slow
def test_a_failed_build_leaves_what_it_finished(site: Site) -> None:
    """The parts that were good need not be built again when the step that failed is put right."""
    sha = site.commit()
    failing = {"steps": [{"name": "check", "path": ".", "command": "false"}]}
    assert (site.build(sha, venvs={}, **failing).refusal or {})["kind"] == "build_failed"
    assert built(site.build(sha, venvs={})) == []


@pytest.mark.slow
def test_a_frontend_that_may_read_elsewhere_depends_on_all(site: Site) -> None:
    """A path that leads out of its directory makes any change its change, unless the paths that matter are named."""
    config = "export default {alias: '../shared'}\n"
    site.build(site.commit(frontend__page="hello", frontend__vite_config_js=config), venvs={})
    assert built(site.build(site.commit(docs__notes="one"), venvs={})) == ["frontend"]
    assert built(site.build(site.commit(docs__notes="two"), venvs={}, inputs=["shared"])) == ["frontend"]
    assert built(site.build(site.commit(docs__notes="three"), venvs={}, inputs=["shared"])) == []
    assert built(site.build(site.commit(shared__colour="red"), venvs={}, inputs=["shared"])) == ["frontend"]


@pytest.mark.slow
def test_what_is_committed_where_the_frontend_goes_is_an_input(site: Site) -> None:
    """A page that the output replaces is in no release, whether it was committed before the first build or after."""
    site.build(site.commit(frontend__page="hello", infra__web__fallback="committed"), venvs={})
    second = site.commit(infra__web__robots="committed")
    answer = site.build(second, venvs={})
    assert (built(answer), answer.said("cache.missed")) == (
        ["frontend"],
        ["frontend: changed since it was built last: replaced infra/web"],
    )
    assert os.listdir(site.release(second) / "infra/web") == ["page"]


@pytest.mark.slow
def test_a_placeholder_where_the_frontend_goes_is_no_hindrance(site: Site) -> None:
    """A committed file that the output replaced is not looked for in what the wheel may read."""
    into = {**FRONTEND, "into": "backend/static"}
    first = site.commit(frontend__page="hello", backend__static__placeholder="")
    assert built(site.build(first, frontend=into)) == PARTS
    second = site.commit(docs__notes="none")
    assert built(site.build(second, frontend=into)) == []
    taken = manifest(site.release(second))
    assert taken == site.fresh(second, frontend=into)


@pytest.mark.slow
def test_the_environment_of_the_host_is_an_input(site: Site) -> None:
    """A variable that a build may read makes another build of it; those of a login do not."""
    site.build(site.commit())
    site.host.options = {"env": {**os.environ, "SSH_CLIENT": "192.0.2.1 1 22", "API_URL": "https://example.com"}}
    assert built(site.build(site.commit(docs__notes="one"))) == []
    site.host.settled = {"API_URL": "https://example.com"}
    answer = site.build(site.commit(docs__notes="two"))
    assert built(answer) == PARTS
    assert answer.said("cache.missed")[0].endswith("changed since it was built last: environment")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["objects", "entries"])
def test_a_build_that_is_killed_while_it_stores(site: Site, moment: str) -> None:
    """Whatever it left, the next build is complete, and equal to a fresh one."""
    sha = site.commit()
    process = began(site.host, site.host.build_request(sha, RECIPE))
    place = site.host.paths.cache / moment
    assert eventually(lambda: place.is_dir() and any(place.iterdir()), within=120)
    os.kill(process.pid, signal.SIGKILL)
    hang_up(process)
    process.wait(10)
    second = site.commit(docs__notes="none")
    assert site.build(second).refusal is None
    taken = manifest(site.release(second))
    assert taken == site.fresh(second)


@pytest.mark.slow
def test_two_builds_at_once(site: Site) -> None:
    """One stores what the other takes; both are whole."""
    first, second = site.commit(), site.commit(docs__notes="none")
    process = began(site.host, site.host.build_request(first, RECIPE))
    assert eventually(lambda: lock.is_held(site.host.paths.build_lock))
    answer = site.build(second)
    process.communicate(timeout=60)
    assert (answer.said("build.waiting"), built(answer)) == (["another build runs on this host; waiting for it"], [])
    states = [site.host.facts(sha)["target"]["state"] for sha in (first, second)]
    assert states == ["sealed", "sealed"]


@pytest.mark.slow
def test_ten_releases_cost_little_more_than_one(site: Site) -> None:
    """Of a release whose dependencies did not change, the disk holds what is new."""
    big = {"command": "mkdir -p node_modules dist && head -c 5000000 /dev/zero >node_modules/big && cp page dist/"}
    sizes = []
    for number in range(3):
        sha = site.commit(frontend__page=f"page {number}")
        before = _used(site.host.root)
        site.build(sha, frontend=FRONTEND | big)
        sizes.append(_used(site.host.root) - before)
    assert sizes[-1] < sizes[0] / 10, sizes


def _used(root: Path) -> int:
    return int(subprocess.run(["du", "-s", "-B1", root], capture_output=True, text=True, check=True).stdout.split()[0])


def test_what_a_part_closed_comes_back_closed(store: Store) -> None:
    """Linked or copied: files, programs, texts with the release's path and directories have the bits that they had."""

    def work(part: Path) -> None:
        for name, mode in (("secret", 0o600), ("tool", 0o750), ("placed", 0o640), ("open", 0o644)):
            (part / name).write_text("x" if name != "placed" else str(part))
            (part / name).chmod(mode)
        (part / "inner").mkdir(mode=0o700)

    store.make(ONE, work, may_contain_path=True)
    made = {name: mode for name, (mode, _) in sealed(store.part(ONE)).items()}
    assert made["secret"] == "-r--------"
    for release, linked in ((TWO, True), (THREE, False)):
        assert store.take(release, linked=linked)
        assert {name: mode for name, (mode, _) in sealed(store.part(release)).items()} == made


def test_a_file_of_a_store_does_not_become_an_object(store: Store, tmp_path: Path) -> None:
    """The cache has a copy of what is linked from elsewhere, whose mode stays what it was."""
    elsewhere = tmp_path / "store"
    elsewhere.write_text("content")
    elsewhere.chmod(0o644)
    store.make(ONE, lambda part: os.link(elsewhere, part / "file"))
    assert (elsewhere.stat().st_nlink, elsewhere.stat().st_mode & 0o777) == (1, 0o644)
    assert store.take(TWO)


def test_nothing_is_laid_through_a_link(store: Store, tmp_path: Path) -> None:
    """What was made in a directory is not put outside the release where another commit has a link."""
    (tmp_path / "outside").mkdir()
    at, entry = store.cache(ONE), Entry("web", {})
    with at.watch(entry, ["infra/web"], [], may_contain_path=False):
        (at.release / "infra" / "web").mkdir(parents=True)
        (at.release / "infra" / "web" / "page").touch()
    at.keep()
    later = store.cache(TWO)
    (later.release / "infra").symlink_to(tmp_path / "outside")
    with pytest.raises(Refusal, match="infra leads out of the release"):
        later.take(Entry("web", {}), linked=True)
    assert list((tmp_path / "outside").iterdir()) == []
