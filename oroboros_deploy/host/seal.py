"""Seals: what makes a finished build immutable, and how it is known to be unchanged later."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import time
from pathlib import Path

from . import durable, sha256, trees
from .annotations import (
    IO,
    TYPE_CHECKING,
    Any,
    Callable,
    Container,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import ReleaseState

META = ".deploy-meta"
MANIFEST = ".deploy-manifest"
SEAL = ".deploy-seal"
OURS = (META, MANIFEST, SEAL)
BUILDER = "oroboros_deploy"
_ASIDE = r"\.[0-9a-f]{40,64}\.\d+-[0-9a-f]+"  # compiled where it is used: by builds and prunings

# One manifest line: path, type (f, d or l), mode, size, mtime in ns, sha256 of the content or the link's target; and
# what a link out of the release led to, or what a virtual environment's interpreter was copied from, when it was there.
Row = Tuple[object, ...]
Inode = Tuple[int, int]  # device and number of a file, whatever its names are
Known = Callable[[os.stat_result], Optional[str]]  # the sha256 of a file with this status, where somebody knows it
_BLOCK = 1 << 17  # bytes
_TASK = 64  # entries that one thread looks at in a row: a task costs more than the hash of a small file


def state_of(release: Path, release_id: Optional[str] = None) -> ReleaseState:
    """``sealed``, ``adopted`` (made by another tool, complete, unverified), ``unsealed`` or ``missing``.

    ``release_id`` is needed where the directory has another name.
    """
    if release.is_symlink() or not release.is_dir():
        return "missing"
    if (release / SEAL).is_file():
        return "sealed"
    meta = read_meta(release)
    return "adopted" if meta.get("commit_sha") == (release_id or release.name) and "builder" not in meta else "unsealed"


def read_meta(release: Path) -> Dict[str, str]:
    """The ``key=value`` lines of a release's ``.deploy-meta``; empty when there is none."""
    path = release / META
    if not path.is_file():
        return {}
    lines = path.read_text("utf-8", "replace").splitlines()
    pairs = (line.partition("=") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def seal(
    release: Path,
    meta: Dict[str, str],
    shared: Container[Inode] = (),
    apart: Sequence[Path] = (),
    known: Optional[Known] = None,
) -> int:
    """Make a complete build a release; returns the number of entries in its manifest.

    ``shared`` are the files that may be hard links although they have names elsewhere: those of our cache.
    What becomes of the places ``apart``, and of what is below them, is no damage to a release whose links lead there.
    A file whose sha256 is ``known`` is not read again.
    The marker is written last and only after the whole tree reached the disk, so a
    directory that has it is complete even after a power cut.
    """
    entries = [(f"{release}/{name}", status) for name, status in statuses(release)]
    for path in _foreign(entries, shared):
        make_own(path)
    for name, status in entries:
        close(name, status.st_mode)
    rows = _manifest(release, apart, known)
    manifest = "".join(json.dumps(row) + "\n" for row in rows).encode()
    durable.write(release / META, _format(meta), 0o444)
    durable.write(release / MANIFEST, manifest, 0o444)
    durable.sync_filesystem(release)
    durable.write(release / SEAL, json.dumps(_marker(manifest)).encode() + b"\n", 0o444)
    release.chmod(0o555)
    durable.sync_directory(release)  # its entry in releases/ was made to last together with its tree
    return len(rows)


class Found(NamedTuple):
    """What a release has become since its seal: ``damage`` in words, and the topmost paths that were ``added``."""

    damage: Optional[str]
    added: List[str]


WHOLE = Found(None, [])


def verify(release: Path) -> Optional[str]:
    """What was changed or lost since the seal, in words; None when nothing was.  Additions are no damage."""
    return compare(release).damage


def compare(release: Path) -> Found:
    """A release beside its manifest.

    Compares type, mode, size and modification time of every entry, which finds edits,
    losses and files that a crash left empty.  A content is read again only where the time alone
    differs, as after a `touch` or in what came back from a backup: the same content is no damage.
    Looks where links out of the release lead: a release whose interpreter is gone cannot run.
    """
    try:
        manifest, marker = (release / MANIFEST).read_bytes(), json.loads((release / SEAL).read_bytes())
    except (OSError, ValueError):
        return Found(f"{MANIFEST} or {SEAL} cannot be read", [])
    if marker != _marker(manifest):
        return Found(f"{MANIFEST} was changed", [])
    rows = _rows(manifest)
    recorded = {row[0]: tuple(row[1:5]) for row in rows}
    found = {name: _facts(status) for name, status in statuses(release, lenient=True)}
    other = (row for row in rows if recorded[row[0]] != found.get(row[0]))
    differing = sorted(row[0] for row in other if not _only_touched(release, row, found.get(row[0])))
    added = sorted(found.keys() - recorded.keys())
    topmost = [name for name in added if os.path.dirname(name) in recorded or "/" not in name]
    if differing:
        return Found(f"{counted(differing)} changed since the seal", topmost)
    return Found(_unreachable(release, rows), topmost)


def lost(release: Path) -> Optional[str]:
    """The interpreter outside that a sealed release runs by and cannot reach any more, in words; None when it can.

    Nothing else is looked at: who asks this has verified the release a moment ago, and other links may lead to what
    services make and remove, as a socket.
    """
    with contextlib.suppress(OSError, ValueError):
        manifest, marker = (release / MANIFEST).read_bytes(), json.loads((release / SEAL).read_bytes())
        if marker == _marker(manifest):
            return _unreachable(
                release, [row for row in _rows(manifest) if len(row) > 6 and _is_of_an_interpreter(release / row[0])]
            )
    return None


def _is_of_an_interpreter(path: Path) -> bool:
    """Whether a path is the link of a virtual environment to its interpreter, or the file that names that."""
    home = path if path.name == "pyvenv.cfg" else path.parent.parent / "pyvenv.cfg"
    return path in (home, home.parent / "bin" / path.name) and home.is_file()


def _rows(manifest: bytes) -> List[List[Any]]:
    rows: List[List[Any]] = json.loads(b"[%s]" % b",".join(manifest.splitlines()))
    return rows


def _unreachable(release: Path, rows: Iterable[List[Any]]) -> Optional[str]:
    gone = {row[0]: row[6] for row in rows if len(row) > 6 and not _leads_there(release / row[0], row[6])}
    if not gone:
        return None
    return f"{next(iter(gone.values()))}, which the release needs for {counted(list(gone))}, can no longer be reached"


def _only_touched(release: Path, row: List[str], found: Optional[Tuple[str, int, int, int]]) -> bool:
    """Whether an entry has its type, mode, size and content, and another time."""
    if found is None or [*found[:3]] != row[1:4]:
        return False
    with contextlib.suppress(OSError, Refusal):  # what cannot be read is not known to be the same
        return content(release / row[0]) == row[5]
    return False


def counted(names: Sequence[str]) -> str:
    """The first of several names, and how many there are beside it."""
    return f"{names[0]!r} and {len(names) - 1} more" if len(names) > 1 else f"{names[0]!r}"


def remove_added(release: Path, added: Iterable[str]) -> List[str]:
    """Delete what was added to a sealed release; returns what cannot be deleted."""
    return [name for name in added if not _removed(release / name)]


def _removed(path: Path) -> bool:
    try:
        mode = stat.S_IMODE(path.parent.stat().st_mode)
        path.parent.chmod(mode | 0o700)
        try:
            if path.is_dir() and not path.is_symlink():
                trees.remove(path)
            else:
                path.unlink()
        finally:
            path.parent.chmod(mode)
    except OSError:
        return False
    return True


def unmake(release: Path) -> None:
    """Take away what makes a directory a release: from here on it is an incomplete build."""
    release.chmod(0o700)
    for name in (SEAL, META):
        (release / name).unlink(missing_ok=True)


def set_aside(release: Path, release_id: Optional[str] = None) -> Path:
    """Move a release, or what is left of one, to a name that is none of a release; the new path is returned.

    That needs no right in the release itself, where others may have written.  ``release_id`` is needed where the
    directory has another name.
    """
    aside = release.with_name(f".{release_id or release.name}.{os.getpid()}-{time.monotonic_ns():x}")
    release.rename(aside)
    durable.sync_directory(release.parent)
    return aside


def discard_set_aside(releases: Path) -> None:
    """Try again to delete what was set aside; it was told when that failed first."""
    for path in set_aside_before(releases):
        with contextlib.suppress(OSError):
            remove(path)


def set_aside_before(releases: Path) -> List[Path]:
    """What was set aside and is there still."""
    return [path for path in releases.glob(".*") if re.fullmatch(_ASIDE, path.name)]


def remove(release: Path) -> None:
    """Delete a release directory, sealed or not, never following a link out of it.

    Interrupted, it leaves an incomplete build, which the next build or pruning removes.
    """
    if release.is_symlink() or not release.is_dir():
        release.unlink(missing_ok=True)
        return
    unmake(release)
    durable.sync_directory(release)  # before the first of its files is gone
    trees.remove(release)


def meta_now(sha: str, version: str) -> Dict[str, str]:
    """What every release says of itself."""
    return {
        "commit_sha": sha,
        "built_at_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "build_host": os.uname().nodename,
        "builder": f"{BUILDER}/{version}",
    }


def walk(release: Path) -> Iterator[Path]:
    """Every entry below a release (or a directory in it) but our own three files, links not followed."""
    for path in trees.walk(release):
        if path.name not in OURS or path.parent != release:
            yield path


def statuses(top: Path, lenient: bool = False) -> Iterator[Tuple[str, os.stat_result]]:
    """The name below ``top`` and the status of every entry of `walk`, in a third of its time: nothing is asked twice.

    To the ``lenient`` a directory that cannot be read holds nothing.
    """
    places = [""]
    while places:
        place = places.pop()
        with contextlib.suppress(*[OSError] if lenient else []), os.scandir(f"{top}/{place}") as entries:
            for entry in entries:
                name = place + entry.name
                if name not in OURS:
                    status = entry.stat(follow_symlinks=False)
                    yield name, status
                    if stat.S_ISDIR(status.st_mode):
                        places.append(f"{name}/")


def close(path: Union[str, Path], mode: int) -> None:
    """Take away write bits and set-id bits; what the build closed to the group or to others stays closed."""
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        if stat.S_IMODE(mode) != closed(mode):
            os.chmod(path, closed(mode))
    elif not stat.S_ISLNK(mode):
        raise _special(path)


def closed(mode: int) -> int:
    """The mode that a file or directory has in a release; its owner can always read it."""
    return mode & 0o555 | (0o500 if stat.S_ISDIR(mode) else 0o400)


def make_own(path: Path) -> None:
    """Put a copy in the place of a file that has names elsewhere: its mode is not ours alone to change."""
    import shutil

    above, mode = path.parent, stat.S_IMODE(path.parent.stat().st_mode)
    above.chmod(mode | 0o700)  # a build may have closed it
    beside = path.with_name(f".{sha256.digest(os.fsencode(path.name))}")
    try:
        shutil.copy2(path, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
        above.chmod(mode)


def _foreign(entries: Sequence[Tuple[str, os.stat_result]], shared: Container[Inode]) -> List[Path]:
    """The files that have names outside the release, as package managers link them from their stores."""
    linked = [(path, status) for path, status in entries if stat.S_ISREG(status.st_mode) and status.st_nlink > 1]
    within: Dict[Inode, int] = {}
    for _, status in linked:
        within[inode(status)] = within.get(inode(status), 0) + 1
    return [
        Path(path) for path, status in linked if status.st_nlink > within[inode(status)] and inode(status) not in shared
    ]


def inode(status: os.stat_result) -> Inode:
    """Which file this is the status of."""
    return status.st_dev, status.st_ino


def facts(path: Path) -> Tuple[str, int, int, int]:
    """Type (f, d or l), mode, size and modification time in ns."""
    return _facts(path.lstat())


def _facts(status: os.stat_result) -> Tuple[str, int, int, int]:
    if stat.S_ISDIR(status.st_mode):  # size and time of a directory are the filesystem's business
        return ("d", stat.S_IMODE(status.st_mode), 0, 0)
    kind = "l" if stat.S_ISLNK(status.st_mode) else "f"
    return (kind, stat.S_IMODE(status.st_mode), status.st_size, status.st_mtime_ns)


def _manifest(release: Path, apart: Sequence[Path], known: Optional[Known]) -> List[Row]:
    real = tuple(f"{os.path.realpath(place)}/" for place in apart)

    def row(name: str, status: os.stat_result) -> Row:
        path = f"{release}/{name}"
        text = known(status) if known and stat.S_ISREG(status.st_mode) else None
        outside = _outside(path, release, status)
        if stat.S_ISLNK(status.st_mode) and f"{outside}/".startswith(real):
            outside = None
        return (name, *_facts(status), content(path) if text is None else text, *([outside] if outside else []))

    from concurrent.futures import ThreadPoolExecutor

    found = sorted(statuses(release))
    some = [found[start : start + _TASK] for start in range(0, len(found), _TASK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing releases the interpreter lock
        return [made for rows in pool.map(lambda each: [row(*one) for one in each], some) for made in rows]


def content(path: Union[str, Path]) -> str:
    """The sha256 of a file, the target of a link, nothing for a directory."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if stat.S_ISDIR(mode):
        return ""
    import hashlib

    digest = hashlib.sha256()
    with opened(path) as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def opened(path: Union[str, Path]) -> Iterator[IO[bytes]]:
    """A file that a build made, to be read; refuses a pipe, whose opening would wait for ever for who writes to it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _special(path) if error.errno == errno.ENXIO else error from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _special(path)
        yield file


def _special(path: Union[str, Path]) -> Refusal:
    what = f"{path} is a device, pipe or socket; a release holds files and links only"
    return Refusal("build_failed", what, hint="let the build remove it at its end, or make it when the service starts")


def _outside(path: str, release: Path, status: os.stat_result) -> Optional[str]:
    """What a link leads to, or a virtual environment needs; None when it is inside the release, or nothing is there.

    What lies in /run is no need either: services make and remove it, and a boot does.
    An environment that has a copy of its interpreter, and no link to it, still needs what was copied.
    """
    if stat.S_ISLNK(status.st_mode):
        found: Optional[str] = os.path.realpath(path)
    else:
        found = _copied_from(Path(path)) if os.path.basename(path) == "pyvenv.cfg" else None
    if found is None:
        return None
    inside = found.startswith(f"{os.path.realpath(release)}/")
    return None if inside or found.startswith("/run/") or not os.path.exists(found) else found


def _copied_from(settings: Path) -> Optional[str]:
    """The interpreter that a virtual environment was made of, as its settings name it."""
    lines = settings.read_text("utf-8", "replace").splitlines()
    told = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    home = told.get("executable") or (told["home"] + "/python3" if told.get("home") else None)
    return home and os.path.realpath(home)


def _leads_there(path: Path, outside: str) -> bool:
    """Whether a link still leads to something; that of a virtual environment to an interpreter of the same name.

    Its packages lie below the version of the interpreter: another version finds none of them.
    """
    if not path.is_symlink():
        return os.path.exists(outside)
    if not os.path.exists(path):  # `Path.exists` raises an error where somebody closed a directory on the way
        return False
    return not _is_of_an_interpreter(path) or os.path.basename(os.path.realpath(path)) == os.path.basename(outside)


def knows_manifest(release: Path) -> bool:
    """Whether the manifest of a release is the one that its seal was made for."""
    with contextlib.suppress(OSError, ValueError):
        known: object = json.loads((release / SEAL).read_bytes())
        return known == _marker((release / MANIFEST).read_bytes())
    return False


def _marker(manifest: bytes) -> Dict[str, object]:
    return {"manifest": sha256.digest(manifest), "entries": manifest.count(b"\n")}


def _format(meta: Dict[str, str]) -> bytes:
    return "".join(f"{key}={value}\n" for key, value in meta.items()).encode()
