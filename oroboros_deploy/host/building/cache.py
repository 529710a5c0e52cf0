"""The build cache: what parts made, by content, for the next build whose inputs are the same.

    cache/objects/<sha256>[x][.bits]  every file that a part made; x: executable; bits: what the part closed, in octal;
                                      hard links of releases' files
    cache/entries/<part>.<key>.json   the files of one part, and the inputs they came from

An object is named by its content and read again before it is used, so one that was edited, through any of its links,
or that a power cut left empty, is found out and made anew.  An entry is one file, replaced as a whole, and written
when its objects are there.  Its digest is keyed by the root's secret, and its name is that of its inputs: one that a
build wrote, or renamed, is no entry.  Builds of one host go one after another, so nobody else is at work here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import json
import mmap
import os
import re
import shutil
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .. import durable, seal, trees
from ..annotations import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)
from ..wire import Say
from . import inputs
from .contents import Contents
from .inputs import Inputs
from .within import within

FORMAT = 1  # of entries and of what a part makes of the same inputs; another number forgets all that is there
_SHORT = 7  # characters of a release id that are taken for it
_TELLING = 4  # characters of a version that is more than a number
_DIGITS = 64  # of a sha256
_TASK = 64  # files that one thread looks at in a row


if TYPE_CHECKING:
    from typing import NotRequired, TypedDict

    class KeptRow(TypedDict):
        """A `Row` as it stands in the file of an entry; ``placed`` is `Row.contains_path`."""

        path: str
        kind: str
        content: str
        executable: bool
        placed: bool
        closed: NotRequired[int]  # only where it is not 0

    class KeptEntry(TypedDict):
        """An `Entry` as it stands in its file; ``layer`` is `Entry.base_inputs`, ``own`` is `Entry.added`."""

        part: str
        inputs: Inputs
        layer: Optional[Inputs]
        rows: List[KeptRow]
        gone: List[str]
        own: List[str]


@dataclass(frozen=True)
class Row:
    """One thing that a part made; ``closed`` are the bits that its mode lacks beside those of others of its kind.

    ``contains_path``: it is a text with the release's path in it.  The object has a path that stands for any release's
    in its place, and the text is written anew for each release.
    """

    path: str
    kind: str  # f, d or l, as in a manifest
    content: str = ""
    executable: bool = False
    contains_path: bool = False
    closed: int = 0

    @classmethod
    def of(cls, kept: KeptRow) -> Row:
        """The row that a file in the cache tells."""
        told = (kept["path"], kept["kind"], kept["content"], kept["executable"], kept["placed"])
        return cls(*told, kept.get("closed", 0))

    def as_kept(self) -> KeptRow:
        """What is written of it."""
        kept: KeptRow = {
            "path": self.path,
            "kind": self.kind,
            "content": self.content,
            "executable": self.executable,
            "placed": self.contains_path,
        }
        if self.closed:
            kept["closed"] = self.closed
        return kept

    @property
    def object(self) -> str:
        return self.content + ("x" if self.executable else "") + (f".{self.closed:o}" if self.closed else "")


@dataclass
class Entry:
    """What a part made and removed, and from what.

    ``base_inputs`` is what all but the ``added`` paths came from: a later build with the same ones takes these rows,
    the base, and makes only what is added.
    """

    part: str
    inputs: Inputs
    base_inputs: Optional[Inputs] = None
    rows: List[Row] = field(default_factory=list)
    gone: List[str] = field(default_factory=list)
    added: List[str] = field(default_factory=list)

    @classmethod
    def of(cls, kept: KeptEntry) -> Entry:
        """The entry that a file in the cache tells."""
        rows = [Row.of(row) for row in kept["rows"]]
        return cls(kept["part"], kept["inputs"], kept["layer"], rows, kept["gone"], kept["own"])

    def as_kept(self) -> KeptEntry:
        """What is written of it."""
        return {
            "part": self.part,
            "inputs": self.inputs,
            "layer": self.base_inputs,
            "rows": [row.as_kept() for row in self.rows],
            "gone": self.gone,
            "own": self.added,
        }

    @property
    def slug(self) -> str:
        return re.sub(r"[^A-Za-z0-9_-]", "-", self.part)

    def file(self, base: bool = False) -> str:
        """The name of the entry's file, or the name under which it is found for its base."""
        key = ["layer", self.base_inputs] if base else ["whole", self.inputs]
        return f"{self.slug}.{inputs.digest([FORMAT, self.part, *key])}.json"

    @property
    def base(self) -> List[Row]:
        """The rows of the base: without what is added, and without the directories that hold nothing else."""
        added = set(self.added)
        others = [row.path for row in self.rows if row.path not in added and row.kind != "d"]
        left_out = added | {up for path in added for up in _up(path)} - {up for path in others for up in _up(path)}
        return [row for row in self.rows if row.path not in left_out]


class Cache:
    """The cache of one deploy root, at work for one release, which may go live after the release ``before``."""

    def __init__(
        self, root: Path, release: Path, say: Say, key: bytes, before: Optional[Path] = None, version: str = ""
    ) -> None:
        self.objects = root / "objects"
        self.entries = root / "entries"
        self.release = release
        self._say = say
        self._key = key
        self._before = before
        self._made: List[Entry] = []
        self._copied: List[Entry] = []
        self.contents = Contents()
        self._sound: Set[str] = set()
        self._inside: Set[str] = set()  # directories that were found to be below the release, while rows are laid
        self._id = os.fsencode(release.name)
        self._own_names = [self._id[:_SHORT], *([os.fsencode(version)] if len(version) >= _TELLING else [])]
        self._path = os.fsencode(release)
        self._any_path = os.fsencode(release.parent / ("0" * len(release.name)))  # stands for any release's path
        self._failed = False
        with self._optional():
            for directory in (self.objects, self.entries):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def take(self, entry: Entry, *, linked: bool) -> bool:
        """Put what was made from the same inputs into the release; False when nothing sound is there.

        Its files are ``linked`` into the cache, or copied when commands will still work on them:
        what they wrote into a hard link, they would write into the other releases.
        """
        found = self._find(entry.file())
        if found is None:
            return False
        self._lay(found.rows, found.gone, linked)
        if not linked:
            self._copied.append(found)
        return True

    def take_base(self, entry: Entry, *, linked: bool) -> bool:
        """Put the base of an entry that has the same one into the release; False when there is none."""
        found = self._find(entry.file(base=True)) if entry.base_inputs is not None else None
        if found is None:
            return False
        self._lay(found.base, [], linked)
        return True

    def changed(self, entry: Entry) -> Optional[List[str]]:
        """The inputs that differ from those of the part's last entry; None when there is none."""
        with self._optional():
            known = sorted(self.entries.glob(f"{entry.slug}.*.json"), key=_used)
            last = self._read(known[-1]) if known else None
            return inputs.differing(entry.inputs, last.inputs) if last else None
        return None

    @contextlib.contextmanager
    def watch(
        self,
        entry: Entry,
        roots: Sequence[str],
        made_by_others: Sequence[str],
        *,
        may_contain_path: bool,
        may_lack: Optional[Callable[[str], bool]] = None,
    ) -> Iterator[None]:
        """Note what is made below ``roots`` meanwhile, but not what is below the directories ``made_by_others``.

        Text with the release's path in it can be kept where it ``may_contain_path``. Nothing is kept where anything
        else names the release, but for the paths that the result ``may_lack``.
        """
        before = self._state(roots, made_by_others)
        yield
        after = self._state(roots, made_by_others)
        made = sorted(path for path in after if after[path] != before.get(path))
        rows = _of_each(lambda path: self._row(path, may_contain_path), made)
        named = [path for path, row in zip(made, rows) if row is None and not (may_lack and may_lack(path))]
        if named:
            why = f"{named[0]} has this release's path, id or version in it"
            told = f"the result of {entry.part} is not kept for later builds: {why}"
            self._say("cache.refused", told, level="detail")
            return
        entry.rows = [row for row in rows if row]
        entry.gone = sorted(before.keys() - after.keys())
        self._made.append(entry)

    def leave_out(self, entry: Entry) -> None:
        """Keep nothing of what was noted for an entry."""
        self._made = [each for each in self._made if each is not entry]

    def keep(self) -> None:
        """Make entries of what was noted, and let the release share its files with the cache."""
        with self._optional():
            for entry in self._made:
                if self._share(entry):
                    self._write(entry)
            for entry in self._copied:
                self._share(entry)

    def shared(self) -> Set[seal.Inode]:
        """The files that releases may share with the cache, and so with each other."""
        with self._optional():
            device = self.objects.stat().st_dev
            return {(device, item.inode()) for item in os.scandir(self.objects)}
        return set()

    def prune(self, limit: int) -> None:
        """Forget the entries used longest ago until the cache costs at most ``limit`` bytes.

        A file that a release shares costs nothing.  No more than what is free on the disk
        is ever held: when it fills up, the cache gives way first.
        """
        with self._optional():
            self._forget(min(limit, shutil.disk_usage(self.objects).free))

    @contextlib.contextmanager
    def _optional(self) -> Iterator[None]:
        """A release needs nothing of the cache: an error of the disk is told, once, and no more."""
        try:
            yield
        except OSError as error:
            if not self._failed:
                self._say("cache.refused", f"the build cache fails, which costs time alone: {error}", level="warning")
            self._failed = True

    def _forget(self, limit: int) -> None:
        objects = {item.name: item.stat() for item in os.scandir(self.objects)}
        alone = {name: status.st_size for name, status in objects.items() if status.st_nlink == 1}
        entries = sorted(self.entries.iterdir(), key=_used, reverse=True)
        if sum(alone.values()) + sum(path.stat().st_size for path in entries) <= limit:
            return
        held: Set[str] = set()
        for path in entries:
            entry = self._read(path)
            used = {row.object for row in entry.rows if row.kind == "f"} - held if entry else set()
            limit -= sum(alone.get(name, 0) for name in used) + (path.stat().st_size if entry else 0)
            if limit < 0:
                path.unlink(missing_ok=True)
            else:
                held |= used
        for name in objects.keys() - held:
            (self.objects / name).unlink()

    def _find(self, file: str) -> Optional[Entry]:
        path = self.entries / file
        with self._optional():
            entry = self._read(path)
            if entry and self._is_whole(entry, path):
                with self._optional():
                    os.utime(path)
                return entry
        return None

    def _is_whole(self, entry: Entry, path: Path) -> bool:
        """Whether all that an entry names is sound; one of which it is not is told and removed."""
        damaged = self._damaged({row.object for row in entry.rows if row.kind == "f"})
        if damaged:
            message = f"{entry.part} is built anew: {damaged} of its files in the cache are lost or were changed"
            self._say("cache.damaged", message, level="warning")
            path.unlink()
        return not damaged

    def _read(self, path: Path) -> Optional[Entry]:
        """An entry; one that is not as we wrote it, under the name that we gave it, is told and removed."""
        try:
            kept = json.loads(path.read_bytes())
            told = kept["entry"]
            entry = Entry.of(told)
            if not hmac.compare_digest(kept["digest"], self._digest(told)):
                raise ValueError
            if path.name not in (entry.file(), entry.file(base=True)):
                raise ValueError
            return entry
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            self._say("cache.damaged", f"{path.name} in the cache was changed; it is removed", level="warning")
            path.unlink()
            return None

    def _digest(self, told: KeptEntry) -> str:
        return hmac.new(self._key, json.dumps(told, sort_keys=True).encode(), "sha256").hexdigest()

    def _damaged(self, names: Set[str]) -> int:
        """How many of these objects cannot be used; they are removed."""
        asked = list(names)
        unsound = [name for name, sound in zip(asked, _of_each(self._is_sound, asked)) if not sound]
        for name in unsound:
            (self.objects / name).unlink(missing_ok=True)
        return len(unsound)

    def _is_sound(self, name: str) -> bool:
        """Whether an object is what its name says; it is read once a build."""
        path = f"{self.objects}/{name}"
        if name not in self._sound:
            try:
                status = os.lstat(path)
                if status.st_mode != stat.S_IFREG | _sealed_mode(name):
                    return False
                if self.contents.of(path, status) != name[:_DIGITS]:
                    return False
            except OSError:
                return False
            self._sound.add(name)
        return True

    def _lay(self, rows: Iterable[Row], gone: Iterable[str], linked: bool) -> None:
        self._inside.clear()
        for path in gone:
            self._look_above(path)
            _clear(self.release / path)
        ready: Set[str] = set()  # directories that are there
        for row in rows:
            self._look_above(row.path)
            target = f"{self.release}/{row.path}"
            if row.kind != "d" or os.path.islink(target) or not os.path.isdir(target):
                _make_way(target, ready)
                self._put(row, target, linked)
            elif row.closed:
                os.chmod(target, 0o755 & ~row.closed)

    def _look_above(self, path: str) -> None:
        """Refuse what goes through a link out of the release, which this commit may have above it."""
        above = os.path.dirname(path)
        if above not in self._inside:
            within(self.release, above)
            self._inside.add(above)

    def _put(self, row: Row, target: str, linked: bool) -> None:
        if row.kind == "d":
            os.mkdir(target, 0o755 & ~row.closed)
        elif row.kind == "l":
            os.symlink(row.content, target)
        elif row.contains_path:  # with the time of this build
            text = (self.objects / row.object).read_bytes().replace(self._any_path, self._path)
            Path(target).write_bytes(text)
            os.chmod(target, _open_mode(row.object))
        else:
            self._put_file(row, target, linked)

    def _put_file(self, row: Row, target: str, linked: bool) -> None:
        known = f"{self.objects}/{row.object}"
        status = os.lstat(known)
        if self._looks_older(status, row.path):
            self._renew(Path(known), row.path)
            status = os.lstat(known)
        if linked and _linked(known, target):
            self.contents.follow(status, os.lstat(target))
        else:
            shutil.copy2(known, target)
            os.chmod(target, _open_mode(row.object))

    def _looks_older(self, known: os.stat_result, path: str) -> bool:
        """Whether an object has an earlier time than the file that the release before has at a path."""
        return known.st_mtime_ns < self._time_before(path)

    def _time_before(self, path: str) -> int:
        with contextlib.suppress(OSError):
            return os.lstat(f"{self._before}/{path}").st_mtime_ns if self._before else -1
        return -1

    def _renew(self, known: Path, path: str) -> None:
        """Give an object the time of now; releases that have it keep the file that they have.

        Who saw the file of the release before asks the web server for one that is newer, counted in seconds.
        """
        fresh = known.with_name(f".{known.name}.{threading.get_ident()}")
        shutil.copyfile(known, fresh)
        fresh.chmod(_sealed_mode(known.name))
        now = max(time.time_ns(), self._time_before(path) + 1_000_000_000)
        os.utime(fresh, ns=(now, now))
        fresh.replace(known)

    def _state(self, roots: Sequence[str], made_by_others: Sequence[str]) -> Dict[str, Tuple[int, ...]]:
        """What tells that a file below the roots was touched; of a directory, that it is there, and its mode."""
        found: Dict[str, Tuple[int, ...]] = {}
        for root in roots:
            top = self.release / root
            if os.path.lexists(top):
                found[os.path.relpath(top, self.release)] = _seen(top.lstat())
            if top.is_dir() and not top.is_symlink():
                above = "" if top == self.release else f"{os.path.relpath(top, self.release)}/"
                found.update((above + name, _seen(status)) for name, status in seal.statuses(top))
        others = {path for path in made_by_others if not set(roots).isdisjoint(_up(path))}
        if not others:
            return found
        return {path: seen for path, seen in found.items() if others.isdisjoint([path, *_up(path)[:-1]])}

    def _row(self, path: str, may_contain_path: bool) -> Optional[Row]:
        """What was made; None when it names the release, and so is of no use to another."""
        file = self.release / path
        status = file.lstat()
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            kind, target = "d" if stat.S_ISDIR(status.st_mode) else "l", seal.content(file)
            bits = _closed(status.st_mode) if kind == "d" else 0
            return None if self._names(os.fsencode(target)) else Row(path, kind, target, closed=bits)
        bits, executable = _closed(status.st_mode), bool(status.st_mode & 0o111)
        with seal.opened(file) as opened:
            empty = os.fstat(opened.fileno()).st_size == 0
            if empty or not self._names(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)):
                return Row(path, "f", self.contents.of(file, status), executable, closed=bits)
        text = self._text(file)
        if not may_contain_path or b"\0" in text or self._names(text):
            return None
        return Row(path, "f", hashlib.sha256(text).hexdigest(), executable, contains_path=True, closed=bits)

    def _names(self, content: Union[bytes, mmap.mmap]) -> bool:
        """Whether this is about its release alone: it has the first characters of the id, or the version."""
        return any(content.find(name) >= 0 for name in self._own_names)

    def _text(self, file: Path) -> bytes:
        """What a file that contains the release's path says, whichever release that is."""
        return file.read_bytes().replace(self._path, self._any_path)

    def _share(self, entry: Entry) -> bool:
        """Let the release and the cache have the same files; False when some are no longer what the part made."""
        rows = [row for row in entry.rows if row.kind == "f"]
        unchanged = _of_each(self._is_unchanged, rows)
        rows = [row for row, same in zip(rows, unchanged) if same]
        _of_each(self._is_sound, [row.object for row in rows])  # they are read side by side
        _of_each(self._put_in_place, [row for row in rows if not self._stored(row)])
        return all(unchanged)

    def _is_unchanged(self, row: Row) -> bool:
        file = self.release / row.path
        try:
            status = os.lstat(file)
        except OSError:
            return False
        mode = status.st_mode
        if not stat.S_ISREG(mode) or bool(mode & 0o111) != row.executable or _closed(mode) != row.closed:
            return False
        if row.contains_path:
            return hashlib.sha256(self._text(file)).hexdigest() == row.content
        return self.contents.of(file, status) == row.content

    def _stored(self, row: Row) -> bool:
        """Have an object of a file; False when the file must become a name of the object that there is."""
        file, known = f"{self.release}/{row.path}", f"{self.objects}/{row.object}"
        if not self._is_sound(row.object):
            self._add(row, file, known)
            return True
        mine, ours = os.lstat(file), os.lstat(known)
        if row.contains_path or seal.inode(mine) == seal.inode(ours):
            return True
        if self._looks_older(ours, row.path) and ours.st_mtime_ns < mine.st_mtime_ns:
            self._add(row, file, known)  # releases that have it keep it; this file is the one that is shared now
            return True
        return False

    def _put_in_place(self, row: Row) -> None:
        """Put an object in the place of the file of the release that has the same content."""
        file, known = f"{self.release}/{row.path}", f"{self.objects}/{row.object}"
        beside, status = f"{os.path.dirname(file)}/.{row.object}.{threading.get_ident()}", os.lstat(known)
        if _linked(known, beside):
            os.rename(beside, file)
            self.contents.follow(status, os.lstat(file))

    def _add(self, row: Row, file: str, known: str) -> None:
        """Make an object of a file, in the place of what has its name."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(known)
        status = os.lstat(file)
        if status.st_nlink > 1:  # what has other names is not ours alone
            seal.make_own(Path(file))
        seal.close(file, status.st_mode)
        if row.contains_path:
            Path(known).write_bytes(self._text(Path(file)))
            os.chmod(known, _sealed_mode(row.object))
        elif _linked(file, known):
            self.contents.follow(status, os.lstat(file))
        else:
            shutil.copy2(file, known)

    def _write(self, entry: Entry) -> None:
        path = self.entries / entry.file()
        told = entry.as_kept()
        durable.write(path, json.dumps({"entry": told, "digest": self._digest(told)}).encode())
        if entry.base_inputs is not None:
            base = self.entries / entry.file(base=True)
            base.unlink(missing_ok=True)
            os.link(path, base)


def _of_each(act: Callable[[Any], Any], items: Sequence[Any]) -> List[Any]:
    """What an act says of each item, in their order, by all processors: hashing releases the interpreter lock.

    A task is many items, because a task costs more than the hash of a small file.
    """
    some = [items[start : start + _TASK] for start in range(0, len(items), _TASK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [said for answers in pool.map(lambda each: [act(item) for item in each], some) for said in answers]


def _linked(file: str, name: str) -> bool:
    """Give a file another name; False where that cannot be: another filesystem, another owner, too many names."""
    try:
        os.link(file, name)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        return False
    return True


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        trees.remove(path)
    else:
        path.unlink(missing_ok=True)


def _make_way(target: str, ready: Set[str]) -> None:
    """Let nothing be where something goes, and have the directory there; ``ready`` are those that are."""
    if os.path.lexists(target):
        _clear(Path(target))
    above = os.path.dirname(target)
    if above not in ready:
        os.makedirs(above, exist_ok=True)
        ready.add(above)


def _sealed_mode(name: str) -> int:
    """The mode of an object, by its name."""
    executable, _, bits = name[_DIGITS:].partition(".")
    return (0o555 if executable else 0o444) & ~int(bits or "0", 8)


def _open_mode(name: str) -> int:
    return _sealed_mode(name) | 0o200


def _seen(status: os.stat_result) -> Tuple[int, ...]:
    """What tells that somebody touched this; of a directory, that it is there, and its mode."""
    if stat.S_ISDIR(status.st_mode):
        return (status.st_mode,)
    return status.st_mode, status.st_ino, status.st_size, status.st_ctime_ns


def _closed(mode: int) -> int:
    """The bits that the part took from a file or directory, of those that a seal leaves."""
    whole = 0o555 if stat.S_ISDIR(mode) or mode & 0o111 else 0o444
    return whole & ~seal.closed(mode)


def _used(path: Path) -> int:
    return path.stat().st_mtime_ns


def _up(path: str) -> Sequence[str]:
    return [str(parent) for parent in PurePosixPath(path).parents]
