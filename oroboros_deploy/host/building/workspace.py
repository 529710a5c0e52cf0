"""The directory that a build works in; and the end of builds that were killed, with everything they had started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from .. import lock, trees
from ..annotations import Callable, Iterator, List, Set
from ..environment import MARK
from ..layout import Layout
from ..refusal import Refusal
from ..wire import Say

PATIENCE = 10.0  # seconds for killed processes to be gone


@contextlib.contextmanager
def make(layout: Layout, attempt: str) -> Iterator[Path]:
    """A directory that is locked while its build lives: before it has its name, so none is taken for a dead one's."""
    tmp = layout.tmp / f"build-{attempt}-{os.getpid()}"
    fresh = tmp.with_name(f".{tmp.name}")
    fresh.mkdir(mode=0o700)
    with lock.take(fresh / "lock"):
        fresh.rename(tmp)
        os.environ[MARK] = str(tmp)
        try:
            yield tmp
        finally:
            del os.environ[MARK]
            trees.discard(tmp)


@contextlib.contextmanager
def all_ended(outlived: Callable[[], None]) -> Iterator[None]:
    """Nothing that is started in this block outlives it, whatever session it made itself: orphans become our children.

    ``outlived`` is called when there was something to end, which may have worked until then.
    The cause of a failure is worth more than what goes on after it.
    """
    spared = set(_children())  # a login shell may have left us some, such as the tee that our output goes through
    _adopt_orphans()
    try:
        yield
    finally:
        if _end_children(spared):
            outlived()


def sweep(layout: Layout, say: Say) -> None:
    """End what killed builds left running, which would write into the next release; then remove their directories."""
    dead = [path for path in layout.tmp.glob("build-*") if _is_dead(path)]
    if dead:
        _end({os.fsencode(f"{MARK}={path}") for path in dead})
    for path in dead:
        say("swept", f"removed what a killed build left in {path}", level="detail")
        trees.discard(path)


def _adopt_orphans() -> None:
    import ctypes

    set_child_subreaper = 36  # of prctl
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def _end_children(spared: Set[str]) -> bool:
    """Kill until none is left, and say whether there was any: the children of one that ends become ours."""
    any_left = False
    until = time.monotonic() + PATIENCE
    while True:
        left = [child for child in _children() if child not in spared]
        if not left:
            return any_left
        any_left = True
        if time.monotonic() > until:
            raise _endless("this build", left)
        _kill(left)
        for child in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(child), os.WNOHANG)
        time.sleep(0.01)


def _endless(whose: str, left: List[str]) -> Refusal:
    look = f"on the host: ps -o pid,user,stat,args -p {','.join(left)}"
    hint = f"{look} ; when these processes have ended, deploy again"
    return Refusal("build_failed", f"processes of {whose} do not end: {' '.join(left)}", hint=hint)


def _children() -> List[str]:
    """The numbers of our children, as `/proc` tells them: the parent stands behind the name and the state."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            stat = Path("/proc", number, "stat").read_text("utf-8", "replace")
            if stat.rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(number)
    return found


def _is_dead(tmp: Path) -> bool:
    try:
        return not lock.is_held(tmp / "lock")
    except FileNotFoundError:
        return False  # it ended at this moment


def _end(marks: Set[bytes]) -> None:
    """Kill until none is left: one may have started another after we looked."""
    until = time.monotonic() + PATIENCE
    while True:
        left = [process for process in os.listdir("/proc") if process.isdigit() and _has_one_of(marks, process)]
        if not left:
            return
        if time.monotonic() > until:
            raise _endless("a killed build", left)
        _kill(left)
        time.sleep(0.02)


def _has_one_of(marks: Set[bytes], process: str) -> bool:
    try:
        return not marks.isdisjoint(Path("/proc", process, "environ").read_bytes().split(b"\0"))
    except OSError:
        return False  # it is gone, or somebody else's


def _kill(processes: List[str]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)
