"""Another user: whom a migration or a health command runs as, and who owns shared places, where `run_as` names one.

A command of another user is a unit that systemd starts as that user: this login may ask it for that by the one rule
that it has for `systemd-run`, and systemd ends all that the command started.  The unit's input has the command and its
environment, so neither stands in an argument, in a property of the unit or in a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import sys
import threading
import time
from itertools import count
from pathlib import Path

from . import manager, process
from .annotations import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import Problem, Users
    from .masking import Mask

LATE = 1.0  # seconds after which systemd should have ended what did not end in time
_NAME = "oroboros-command"
_numbers = count(1)
PYTHON = ("-IS", "-X", "utf8", "-")  # a program on the input, and nothing of the user's own

# What python runs as the other user; its last line gives it the command.  What is left of the command's process group
# goes with it; a signal that systemd sends to all is for the command, whose end it is that counts: to systemd, a
# command of a unit that ends by SIGTERM has ended well.
_SOURCE = """\
import fcntl, json, os, signal, sys, termios

POLITE = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)

def run(told):
    for number in POLITE:
        signal.signal(number, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        become(**json.loads(told))
    status = os.waitpid(pid, 0)[1]
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))

def become(shell, line, cwd, env, terminal=False):
    try:
        os.setsid()
        if terminal:
            fcntl.ioctl(1, termios.TIOCSCTTY, 0)
        for number in (*POLITE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        held = os.memfd_create("line")
        os.write(held, line.encode("utf-8", "surrogateescape"))
        os.lseek(held, 0, os.SEEK_SET)
        os.set_inheritable(held, True)
        os.dup2(1 if terminal else os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(cwd)
        os.execve(shell[0], [*shell, "-c", f'eval "$(</dev/fd/{held})" {held}<&-'], env)
    except OSError as error:
        print(f"{env['USER']}: {error.filename or 'the command'}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(126)
"""


def of(name: Optional[str]) -> Optional[pwd.struct_passwd]:
    """Who is meant; None where that is the login.  Raises KeyError where the host has no such user."""
    found = pwd.getpwnam(name) if name else None
    return found if found and found.pw_uid != os.getuid() else None


def owner(name: Optional[str]) -> Optional[pwd.struct_passwd]:
    """Who is to own what is made; None for the login.  Raises Refusal where nobody can be, before a switch."""
    found = problem(name) if name else None
    if found:
        raise Refusal("invalid", f"nothing was switched: run_as.owner: {found['message']}", hint=found["hint"])
    return of(name)


def problems(users: Users) -> Iterator[Problem]:
    """What is wrong with the users that settings name: each has to be there, and none is root."""
    for setting, name in sorted(users.items()):
        found = problem(name)
        if found:
            yield {"message": f"run_as.{setting}: {found['message']}", "hint": found["hint"]}


def problem(name: str) -> Optional[Problem]:
    """Why nothing can run as a user of that name here; None when it can."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        hint = f"on the host, as root: useradd --system --user-group {name}; or correct run_as in fabric.yaml"
        return {"message": f"there is no user {name} on this host", "hint": hint}
    if uid == 0:
        what = f"{name} is root on this host (uid 0), and nothing of a repository may run as root"
        return {"message": what, "hint": "name another user in fabric.yaml"}
    return None


def shell(
    line: str,
    user: pwd.struct_passwd,
    attempt: str,
    *,
    cwd: Path,
    deadline: float,
    env: Dict[str, str],
    mask: Optional[Mask] = None,
    errors: Optional[Path] = None,
    sink: Optional[Callable[[bytes], None]] = None,
    stop: Optional[threading.Event] = None,
    bound: bool = True,
) -> process.Ended:
    """Run one line of the repository by bash, as a unit of ``user``; like `process.shell`.

    systemd ends it at the deadline, all of it: this login could not.
    """
    began, left = time.monotonic(), max(deadline - time.monotonic(), 0.01)
    command = command_for(user, attempt, left, bound=bound)
    with given_to(line, cwd, env) as given:
        late = deadline + process.GRACE + LATE
        options = {"given": given, "mask": mask, "errors": errors, "sink": sink, "stop": stop}
        ended = process.run(command, cwd=Path("/"), deadline=late, **options)  # type: ignore[arg-type]
    if ended.status is None:
        _end(attempt)
    in_time = time.monotonic() < deadline
    return ended._replace(status=ended.status if in_time else None, seconds=time.monotonic() - began, stays=False)


def command_for(user: pwd.struct_passwd, attempt: str, seconds: float, *, bound: bool = True) -> List[str]:
    """What has systemd run the program on its input as a user, for so many seconds at most."""
    unit = unit_of(attempt)
    asked = ["--unit", unit, f"--property=RuntimeMaxSec={seconds:.3f}"]
    helper = manager.chosen().helper_runs(user.pw_name, unit, f"{seconds:.3f}")
    return helper or command_of(user, asked, sys.executable, *PYTHON, bound=bound)


@contextlib.contextmanager
def given_to(
    line: str, cwd: Path, env: Dict[str, str], *, terminal: bool = False, alone: bool = False
) -> Iterator[Path]:
    """The program that runs a line by bash, as the input of a python; ``alone`` that python becomes bash itself.

    With ``terminal`` its output is a terminal, which becomes the line's.
    """
    told = json.dumps({"shell": process.SHELL, "line": line, "cwd": str(cwd), "env": env, "terminal": terminal})
    begin = f"become(**json.loads({told!r}))" if alone else f"run({told!r})"
    with _input(f"{_SOURCE}\n{begin}\n") as given:
        yield given


def unit_of(attempt: str) -> str:
    """A name that no other command has, by which those of an attempt are found."""
    return f"{_named(attempt)}-{os.getpid()}-{next(_numbers)}.service"


def _named(attempt: str) -> str:
    """How names of its commands begin."""
    return f"{_NAME}-{manager.chosen().named(attempt)}"


def stop(attempt: str) -> None:
    """End what runs of the commands of an attempt: where its process was killed, they go on until their deadline."""
    _stop(_running(attempt))


def sweep(kind: str) -> None:
    """End the commands ``KIND-PID`` whose process was killed: nobody waits for them, and nobody else would end them."""
    _stop([name for name in _running(kind) if _is_gone(name[len(f"{_named(kind)}-") :].partition("-")[0])])


def _running(attempt: str) -> List[str]:
    return sorted(path.name for path in manager.chosen().transient.glob(f"{_named(attempt)}-*.service"))


def _is_gone(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return False


def _stop(names: List[str]) -> None:
    if names:
        deadline = time.monotonic() + process.GRACE + process.DYING
        process.run(manager.chosen().acting("systemctl", "stop", *names), cwd=Path("/"), deadline=deadline)


def _end(attempt: str) -> None:
    stop(attempt)


def make_directory(path: Path, user: pwd.struct_passwd) -> None:
    """Make a directory, and what is missing above it, by a user's own rights: the user may have put links there."""
    helper = manager.chosen().helper_runs(user.pw_name, unit_of("mkdir"), "30")
    if helper:
        with _input(f"import os\nos.makedirs({str(path)!r}, exist_ok=True)\n") as given:
            ended = _run(helper, given)
    else:
        ended = _run(command_of(user, [], "/bin/mkdir", "--parents", "--", str(path)))
    if not ended.ok:
        what = f"{user.pw_name} cannot make {path}: {ended.tail}"
        raise Refusal("invalid", what, hint=f"on the host, as root: install -d -o {user.pw_name} {path}")


def give(path: Path, user: pwd.struct_passwd, *, group_alone: bool = False) -> None:
    """Let a path, in a directory in which this login alone may write, belong to a user, or to the group alone."""
    try:
        os.chown(path, -1 if group_alone else user.pw_uid, user.pw_gid, follow_symlinks=False)
    except PermissionError:
        _give_by_root(path, user, group_alone)


def _give_by_root(path: Path, user: pwd.struct_passwd, group_alone: bool) -> None:
    command = manager.chosen().giving(path, user, group_alone=group_alone)
    ended = _run(command) if command else None
    if ended is None or not ended.ok:
        said = ended.tail if ended else "this login cannot become root"
        whose = f"the group of {user.pw_name}" if group_alone else f"the user {user.pw_name}"
        what = f"nothing was switched: {path} could not be given to {whose}: {said}"
        raise Refusal("invalid", what, hint="fab -H HOST doctor  checks what this login may do as root")


def command_of(user: pwd.struct_passwd, options: List[str], *argv: str, bound: bool = True) -> List[str]:
    """What has systemd run a program as a user; what it leaves running is ended.

    The user gets no new privileges, unless the command is not ``bound``.
    """
    kept = {"NoNewPrivileges": "yes"} if bound else {}
    properties = {**kept, "TimeoutStopSec": f"{process.GRACE:g}", "UMask": "0022"}
    return [
        *manager.chosen().acting("systemd-run", "--quiet", "--pipe", "--wait", "--collect"),
        *(f"--property={key}={value}" for key, value in properties.items()),
        f"--description=a command of oroboros_deploy as {user.pw_name}",
        f"--uid={user.pw_uid}",
        *options,
        "--",
        *manager.literal(argv),
    ]


def _run(command: List[str], given: Optional[Path] = None) -> process.Ended:
    return process.run(command, cwd=Path("/"), deadline=time.monotonic() + 30, given=given)


@contextlib.contextmanager
def _input(text: str) -> Iterator[Path]:
    """A file in memory with a text: the user gets it as its input, and nobody else can open it."""
    number: Any = os.memfd_create("command")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(text.encode("ascii", "backslashreplace"))
        yield Path(f"/proc/self/fd/{number}")
    finally:
        os.close(number)
