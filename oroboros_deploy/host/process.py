"""Running commands: each in a process group of its own that ends, with all its children, at a deadline."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import threading
import time
from pathlib import Path

from . import environment
from .annotations import IO, TYPE_CHECKING, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

if TYPE_CHECKING:
    from .masking import Mask

KEPT = 16 * 1024  # bytes of a command's last output that are kept for its report
GRACE = 2.0  # seconds between TERM and KILL
DYING = 2.0  # seconds after KILL for which its end is waited for; one that hangs in the kernel does not come to it
LOOK = 0.05  # seconds between two looks at the deadline
PIPE = 1 << 20  # bytes that a pipe holds at most
SHELL = ("/bin/bash", "--noprofile", "--norc")  # it reads no start-up files


class Ended(NamedTuple):
    """How a command ended: its exit status (None: killed at the deadline) and its last output.

    ``said`` is what it said on standard error, where that was kept apart; ``stays`` that it could not even be killed;
    ``whole_lines`` whether its output, where there was any, ended with the end of a line.
    """

    status: Optional[int]
    tail: str
    seconds: float
    said: str = ""
    stays: bool = False
    whole_lines: bool = True

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def reason(self) -> str:
        if self.status is None:
            end = "cannot be killed" if self.stays else "was killed"
            return f"did not end within {self.seconds:.1f} s and {end}"
        if self.status < 0:
            return f"was killed by signal {-self.status}"
        return f"exited {self.status}"


def find(name: str, node: Optional[str] = None) -> Optional[str]:
    """Where a command of that name is found, None when it is not on this host; ``node`` as in `of_this_user`."""
    return find_in(environment.of_this_user(node)["PATH"], name)


def find_in(directories: str, name: str) -> Optional[str]:
    """The same for directories as PATH has them."""
    paths = (os.path.join(directory, name) for directory in directories.split(":"))
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    deadline: float,
    env: Optional[Dict[str, str]] = None,
    sink: Optional[Callable[[bytes], None]] = None,
    stop: Optional[threading.Event] = None,
    errors: Optional[Path] = None,
    line: Optional[str] = None,
    bound: bool = False,
    entering: Sequence[str] = (),
    given: Optional[Path] = None,
    mask: Optional[Mask] = None,
) -> Ended:
    """Run a command until it ends, ``deadline`` (``time.monotonic()``) passes or ``stop`` is set.

    Standard output and error are one stream, given to ``sink`` as it comes, unless a
    file for the ``errors`` is named.  A child that keeps the stream open after the
    command ended does not keep us waiting.  ``line`` is for a ``SHELL``.  A command that
    is ``bound`` cannot become another user, by sudo or any other program.  Without ``env`` it is a tool of ours.
    ``entering`` is the command that starts it in another view of the host, ``given`` a file for its input.
    No secret of ``mask`` is in what is kept or given of the stream.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        script = () if line is None else (stack.enter_context(_held(line)),)
        stderr = stack.enter_context(errors.open("wb")) if errors else subprocess.STDOUT
        process = subprocess.Popen(
            [
                *entering,
                *(binding() if bound else ()),
                *_moving(entering, cwd),
                *argv,
                *(word for number in script for word in _reading(number)),
            ],
            cwd=cwd,
            env=env or environment.of_our_tools(),
            stdin=stack.enter_context(given.open("rb")) if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            pass_fds=script,
        )
    return _heard(process, began, deadline, sink, stop, mask)


def begin(argv: Sequence[str], *, env: Dict[str, str], deadline: float) -> Callable[[], Ended]:
    """Begin a command whose standard output is an answer; what is returned waits for its end.

    Nothing reads it meanwhile, so it costs no thread.  Its standard error is nobody's.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        argv,
        cwd="/",
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return lambda: _heard(process, began, deadline)


def _heard(
    process: subprocess.Popen[bytes],
    began: float,
    deadline: float,
    sink: Optional[Callable[[bytes], None]] = None,
    stop: Optional[threading.Event] = None,
    mask: Optional[Mask] = None,
) -> Ended:
    """How a command ends that began at that time, and what it says."""
    assert process.stdout is not None
    tail = bytearray()

    def keep(data: bytes) -> None:
        tail.extend(data)
        del tail[:-KEPT]
        if sink:
            sink(data)

    stream = mask.stream() if mask else None
    taken = (lambda data: keep(stream.pass_on(data))) if stream else keep
    try:
        in_time = _pump(process, process.stdout, deadline, stop, taken)
    finally:
        end_group(process)
        process.stdout.close()
        if stream:
            keep(stream.rest())
    text = bytes(tail).decode("utf-8", "replace").strip()
    stays, whole_lines = process.returncode is None, not tail or tail.endswith(b"\n")
    status, seconds = process.returncode if in_time else None, time.monotonic() - began
    return Ended(status, text, seconds, stays=stays, whole_lines=whole_lines)


def apart(argv: Sequence[str], **options: object) -> Ended:
    """Run a command whose output is an answer: sudo, git and systemd speak of other things on standard error."""
    beside = os.memfd_create("standard error")
    try:
        ended = run(argv, errors=Path(f"/proc/self/fd/{beside}"), **options)  # type: ignore[arg-type]
        return ended._replace(said=os.pread(beside, KEPT, 0).decode("utf-8", "replace").strip())
    finally:
        os.close(beside)


def shell(line: str, **options: object) -> Ended:
    """Run one line of the repository by bash, bound unless the option ``bound`` is False."""
    return run(SHELL, line=line, **{"bound": True, **options})  # type: ignore[arg-type]


@contextlib.contextmanager
def masked(path: Path, mask: Mask) -> Iterator[Path]:
    """Where a command can write what is kept in the file: no secret is ever in that, not while the command runs."""
    if not mask:
        yield path
        return
    near, far = os.pipe()
    over = threading.Event()
    thread = threading.Thread(target=_mask, args=(near, path, mask, over), name="masked", daemon=True)
    thread.start()
    try:
        yield Path(f"/proc/self/fd/{far}")
    finally:
        over.set()
        os.close(far)
        thread.join()
        os.close(near)


def _mask(near: int, path: Path, mask: Mask, over: threading.Event) -> None:
    """Write what comes through a pipe into a file, masked, a piece at a time; what is there once it is ``over`` too.

    On a full disk it goes nowhere: the command is not kept waiting.
    """
    stream = mask.stream()
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for data in _pieces(near, over):
            file.write(stream.pass_on(data))
        file.write(stream.rest())
    for _ in _pieces(near, over):
        pass


def _pieces(near: int, over: threading.Event) -> Iterator[bytes]:
    """What comes, until everybody has closed the other end, or nothing is there any more and it is over."""
    while True:
        last = over.is_set()
        readable, _, _ = select.select([near], [], [], 0.0 if last else LOOK)
        data = os.read(near, PIPE) if readable else b""
        if data:
            yield data
        elif readable or last:
            return


def whole_lines(text: str, most: int = 4000) -> str:
    """The end of a text, so many characters at most, from the beginning of a line on."""
    end = text[-most:]
    return end.partition("\n")[2] or end if len(text) > most else text


def end_of(path: Path) -> str:
    """The last that a file has, as much as is kept of output; nothing where there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - KEPT))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _held(line: str) -> Iterator[int]:
    """A descriptor with the line: arguments can be read by every user of the host, and a line may have a token."""
    number = os.memfd_create("line")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(os.fsencode(line))
        yield number
    finally:
        os.close(number)


def _reading(number: int) -> List[str]:
    """The arguments by which bash runs what the descriptor has, closed to what it runs."""
    return ["-c", f'eval "$(</dev/fd/{number})" {number}<&-']


def _moving(entering: Sequence[str], cwd: Path) -> List[str]:
    """What brings a command that enters another view to the directory of that name there."""
    return ["/usr/bin/env", f"--chdir={cwd}"] if entering else []


def binding() -> List[str]:
    """What starts a command without the privileges that set-id programs and file capabilities would give it.

    It comes with util-linux, which every systemd needs; the same call by ``ctypes`` would cost each activation more.
    """
    found = find("setpriv")
    if found is None:
        raise FileNotFoundError(
            errno.ENOENT, "not on this host, so no command can be kept from becoming root", "setpriv"
        )
    return [found, "--no-new-privs", "--"]


def _pump(
    process: subprocess.Popen[bytes],
    stream: IO[bytes],
    deadline: float,
    stop: Optional[threading.Event],
    keep: Callable[[bytes], None],
) -> bool:
    """Move output until the command has ended; False when time or patience ran out first.

    One read takes all that the pipe holds, so the one after the end is the last: a
    child that goes on writing cannot hold us.
    """
    while True:
        ended = process.poll() is not None
        readable, _, _ = select.select([stream], [], [], 0.0 if ended else LOOK)
        data = os.read(stream.fileno(), PIPE) if readable else b""
        if data:
            keep(data)
        if ended:
            return True
        if time.monotonic() >= deadline or (stop and stop.is_set()):
            return False
        if readable and not data:
            _wait(process, LOOK)  # its output is closed, but it still runs


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the command's group: asked first, then killed; what hangs in the kernel is left."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        _wait(process, GRACE)
    _signal_group(process, signal.SIGKILL)
    _wait(process, DYING)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
