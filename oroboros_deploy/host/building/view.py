"""What the commands of a build see of the host: all of it read-only but a few places, and nothing of `.deploy`.

Nor do they see where a process outside of it listens that would do for this user what it is asked to.

It is a mount namespace. A process of ours makes it and stays in it while it is used; each command enters it.
Without root the kernel allows that in a user namespace, which also keeps commands from looking into our processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from pathlib import Path

from .. import process
from ..annotations import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

# Directories that tools keep for later builds, in the home directory.
_CACHES = (
    *(".cache", ".npm", ".bun", ".bundle", ".cargo/git", ".cargo/registry", ".composer", ".config/configstore"),
    *(".gem", ".gradle", ".local/share/pnpm", ".local/share/uv", ".m2", ".node-gyp", ".nuget", ".pnpm-store"),
    *(".yarn", "go/pkg"),
)
# A build can make none of them, so these are made before it where they are missing.
_ALWAYS = (".cache", ".npm")
_OF_PROGRAM = {
    ".bun": "bun",
    ".cargo/git": "cargo",
    ".cargo/registry": "cargo",
    ".gradle": "gradle",
    ".local/share/pnpm": "pnpm",
    ".m2": "mvn",
    ".nuget": "dotnet",
    ".yarn": "yarn",
    "go/pkg": "go",
}
# Variables that name such a directory elsewhere.
_ELSEWHERE = (
    *("XDG_CACHE_HOME", "npm_config_cache", "NPM_CONFIG_CACHE", "PIP_CACHE_DIR", "UV_CACHE_DIR", "YARN_CACHE_FOLDER"),
    *("PNPM_HOME", "CARGO_HOME", "GOCACHE", "GOMODCACHE", "GRADLE_USER_HOME", "CCACHE_DIR", "PLAYWRIGHT_BROWSERS_PATH"),
)
# Where ssh wants files of root or of the user: in a user namespace root's are nobody's, and it would end with an error.
_OF_SSH = Path("/etc/ssh/ssh_config.d")
# Open to everybody, so each build has its own.
_EVERYBODYS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
# Where the login's own systemd, systemd by its bus, and screen listen.
_ASKED = ("/run/user", "/run/dbus", "/run/screen")
_SOCKETS = Path("/proc/net/unix")
# From Linux's headers.
_NEWNS, _NEWUSER = 0x20000, 0x10000000
_BIND, _REC, _SLAVE = 0x1000, 0x4000, 0x80000
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1


class View(NamedTuple):
    """What may be written; what may not be, wherever it lies; and a directory of which only some places are seen.

    ``own`` are directories that are seen in the places of others.
    """

    writable: Sequence[Path]
    closed: Sequence[Path]
    hidden: Path
    shown: Sequence[Path]
    own: Mapping[Path, Path]

    @contextlib.contextmanager
    def entered(self, cannot: Callable[[str], None]) -> Iterator[List[str]]:
        """What starts a command in it; nothing, and ``cannot`` is told why, where this host does not allow it."""
        nsenter = process.find("nsenter")
        if nsenter is None:
            cannot("nsenter is not installed")
            yield []
            return
        alive, ready = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            self._stay(alive, ready)
        os.close(alive[0])
        os.close(ready[1])
        try:
            with open(ready[0], "rb") as answer:
                trouble = answer.read().decode()
            if trouble:
                cannot(trouble)
            yield [] if trouble else _entering(nsenter, pid)
        finally:
            os.close(alive[1])
            os.waitpid(pid, 0)

    def _stay(self, alive: Sequence[int], ready: Sequence[int]) -> None:
        """Make it, say so, and stay until nobody needs it any more: a process of its own that never returns."""
        try:
            os.setsid()
            os.close(alive[1])
            try:
                self._build()
            except OSError as error:
                os.write(ready[1], f"{error.filename}: {error.strerror}".encode())
            os.close(ready[1])
            os.read(alive[0], 1)
        finally:
            os._exit(0)

    def _build(self) -> None:
        _unshare()
        _mount(None, "/", None, _REC | _SLAVE)
        below = [path for path in self.writable if path.is_dir() and set(path.parents) & set(self.own)]
        seen = [*self.own.items(), *((path, path) for path in (*self.shown, *below))]
        opened = [(path, os.open(source, os.O_PATH)) for path, source in seen]
        _cover(self.hidden)
        for path, descriptor in opened:
            path.mkdir(parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{descriptor}", str(path), None, _BIND | _REC)
        _leave_nobody_to_ask()
        if os.getuid():
            _make_own(_OF_SSH)
        writable = sorted(str(path) for path in self.writable if path.is_dir())
        for place in (*map(str, filter(Path.is_dir, self.closed)), *writable):  # each a mount, with a mode of its own
            _mount(place, place, None, _BIND | _REC)
        _attribute("/", _AT_RECURSIVE, also=_READ_ONLY)
        for place in writable:
            _attribute(place, 0, no_more=_READ_ONLY)


def own_places(below: Path, needed: Sequence[Path]) -> Dict[Path, Path]:
    """Directories for what is open to everybody, where sockets of the login's own programs lie as well.

    A place stays as it is where something that a build needs lies in it.
    """
    taken = {above for path in map(Path.resolve, needed) for above in (path, *path.parents)}
    free = [place for place in map(Path, _EVERYBODYS) if place.is_dir() and place.resolve() not in taken]
    own = {place: below.joinpath(*place.parts[1:]) for place in free}
    for directory in own.values():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o1777)
    return own


def kept_by_tools(environment: Dict[str, str]) -> List[Path]:
    """The places outside a build that its commands may write to."""
    home = Path(environment["HOME"])
    theirs = (name for name, program in _OF_PROGRAM.items() if process.find_in(environment["PATH"], program))
    for name in (*_ALWAYS, *theirs):
        _make(home, name)
    named = [Path(environment[name]) for name in _ELSEWHERE if environment.get(name, "").startswith("/")]
    of_their_own = [path for path in named if path not in (home, *home.parents)]
    return [*(home / name for name in _CACHES), *of_their_own, *map(Path, _EVERYBODYS)]


def _make(home: Path, name: str) -> None:
    """Make a directory that only its owner can enter, and those above it; a home where nothing can be made stays."""
    path = Path(name)
    above = [*path.parents][-2::-1]  # without the home itself
    with contextlib.suppress(OSError):
        for each in (*above, path):
            (home / each).mkdir(mode=0o700, exist_ok=True)


def _entering(nsenter: str, pid: int) -> List[str]:
    if os.getuid():
        return [nsenter, f"--target={pid}", "--user", "--preserve-credentials", "--mount", "--"]
    setpriv = process.find("setpriv") or "setpriv"
    return [nsenter, f"--target={pid}", "--mount", "--", setpriv, "--bounding-set=-sys_admin", "--"]


def _unshare() -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", _libc.unshare(_NEWNS | (_NEWUSER if user else 0)))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _leave_nobody_to_ask() -> None:
    """Hide where a process listens that would do outside of this view what a command of a build asks it to."""
    sessions = Path(_ASKED[0], str(os.getuid()))
    had_one = sessions.is_dir()
    for place in filter(Path.is_dir, map(Path, _ASKED)):
        _cover(place)
    if had_one:
        sessions.mkdir(mode=0o700)
    for path in _own_sockets() if os.getuid() else []:  # the system's own are root's
        with contextlib.suppress(FileNotFoundError):
            _mount("/dev/null", path, None, _BIND)


def _own_sockets() -> List[str]:
    """Where programs of this user listen, as the kernel tells it: an agent of keys, a multiplexer of terminals."""
    lines = _SOCKETS.read_text("utf-8", "surrogateescape").splitlines() if _SOCKETS.exists() else []
    told = {words[7] for words in (line.split(None, 7) for line in lines) if len(words) == 8}
    return sorted(path for path in told if path.startswith("/") and _is_own_socket(path))


def _is_own_socket(path: str) -> bool:
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        return stat.S_ISSOCK(status.st_mode) and status.st_uid == os.getuid()
    return False


def _cover(directory: Path) -> None:
    _mount("tmpfs", str(directory), "tmpfs", 0, "mode=755")


def _make_own(directory: Path) -> None:
    """Put copies in the place of the files of a directory; what cannot be read is no use to the login either."""
    texts: Dict[str, bytes] = {}
    for path in directory.glob("*"):
        with contextlib.suppress(OSError):
            texts[path.name] = path.read_bytes()
    if texts:
        _cover(directory)
    for name, text in texts.items():
        (directory / name).write_bytes(text)


def _mount(source: Optional[str], target: str, kind: Optional[str], flags: int, data: Optional[str] = None) -> None:
    names = [None if name is None else os.fsencode(name) for name in (source, target, kind)]
    done = _libc.mount(*names, ctypes.c_ulong(flags), None if data is None else data.encode())
    _call(f"mount on {target}", done)


def _attribute(path: str, flags: int, also: int = 0, no_more: int = 0) -> None:
    change = (ctypes.c_uint64 * 4)(also, no_more, 0, 0)
    at = (ctypes.c_long(_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD), os.fsencode(path), ctypes.c_uint(flags))
    _call(f"mount_setattr of {path}", _libc.syscall(*at, change, ctypes.c_size_t(ctypes.sizeof(change))))


def _call(what: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


_libc = ctypes.CDLL(None, use_errno=True)
