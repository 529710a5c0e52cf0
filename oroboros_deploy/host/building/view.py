"""What the commands of a build see of the host: all of it read-only but a few places, and nothing of `.deploy`.

It is a mount namespace. A process of ours makes it and stays in it while it is used; each command enters it.
Without root the kernel allows that in a user namespace, which also keeps commands from looking into our processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from .. import process
from ..annotations import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

# Directories that tools keep for later builds, in the home directory. The first two are made where they are missing.
_CACHES = (
    *(".cache", ".npm", ".bun", ".bundle", ".cargo/git", ".cargo/registry", ".composer", ".config/configstore"),
    *(".gem", ".gradle", ".local/share/pnpm", ".local/share/uv", ".m2", ".node-gyp", ".nuget", ".pnpm-store"),
    *(".yarn", "go/pkg"),
)
# Variables that name such a directory elsewhere.
_ELSEWHERE = (
    *("XDG_CACHE_HOME", "npm_config_cache", "NPM_CONFIG_CACHE", "PIP_CACHE_DIR", "UV_CACHE_DIR", "YARN_CACHE_FOLDER"),
    *("PNPM_HOME", "CARGO_HOME", "GOCACHE", "GOMODCACHE", "GRADLE_USER_HOME", "CCACHE_DIR", "PLAYWRIGHT_BROWSERS_PATH"),
)
# Where ssh wants files of root or of the user: in a user namespace root's are nobody's, and it would end with an error.
_OF_SSH = Path("/etc/ssh/ssh_config.d")
_EVERYBODYS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
# From Linux's headers.
_NEWNS, _NEWUSER = 0x20000, 0x10000000
_BIND, _REC, _SLAVE = 0x1000, 0x4000, 0x80000
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1


class View(NamedTuple):
    """What may be written; what may not be, wherever it lies; and a directory of which only some places are seen."""

    writable: Sequence[Path]
    closed: Sequence[Path]
    hidden: Path
    shown: Sequence[Path]

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
        opened = [(path, os.open(path, os.O_PATH)) for path in self.shown]
        _cover(self.hidden)
        for path, descriptor in opened:
            path.mkdir(parents=True)
            _mount(f"/proc/self/fd/{descriptor}", str(path), None, _BIND | _REC)
        sessions = Path(f"/run/user/{os.getuid()}")  # the login's own systemd would start what a build asks it to
        if sessions.is_dir():
            _cover(sessions)
        if os.getuid():
            _make_own(_OF_SSH)
        writable = sorted(str(path) for path in self.writable if path.is_dir())
        for place in (*map(str, filter(Path.is_dir, self.closed)), *writable):  # each a mount, with a mode of its own
            _mount(place, place, None, _BIND | _REC)
        _attribute("/", _AT_RECURSIVE, also=_READ_ONLY)
        for place in writable:
            _attribute(place, 0, no_more=_READ_ONLY)


def kept_by_tools(environment: Dict[str, str]) -> List[Path]:
    """The places outside a build that its commands may write to."""
    home = Path(environment["HOME"])
    for name in _CACHES[:2]:
        with contextlib.suppress(OSError):
            (home / name).mkdir(mode=0o700, exist_ok=True)
    named = [Path(environment[name]) for name in _ELSEWHERE if environment.get(name, "").startswith("/")]
    of_their_own = [path for path in named if path not in (home, *home.parents)]
    return [*(home / name for name in _CACHES), *of_their_own, *map(Path, _EVERYBODYS)]


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
