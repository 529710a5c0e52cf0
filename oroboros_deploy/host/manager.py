"""The service manager that runs what is deployed: the system's, or with ``scope: user`` the one of this login.

Everything that differs between the two is said here, and what differs for a login with least privilege (`Helped`): how
systemctl, systemd-run and journalctl are called, whether sudo stands before them, where unit files lie, what root is
asked for, and what keeps this login from using the manager.  A process of the agent
works for one target, so it has one manager: ``choose`` sets it as soon as the target's layout is known.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from . import words
from .annotations import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from .refusal import Refusal

if TYPE_CHECKING:
    import pwd

    from .contract import Scope

RUN = Path("/run")
UNITS = Path("/etc/systemd/system")
USER_UNITS = Path(".config/systemd/user")  # in the login's home
LINGER = Path("/var/lib/systemd/linger")  # a file for each user whose manager runs without a session
HELPER = "/usr/local/sbin/oroboros-helper"  # all that sudo runs for a login with least privilege
HELPED = Path("/etc/oroboros_deploy")  # what root wrote down of each application that has such a login


class Trouble(NamedTuple):
    """What keeps this login from using its manager, and what to do about it."""

    message: str
    hint: str


class Manager(NamedTuple):
    """One service manager, and how this login speaks to it.

    ``asks`` and ``acts`` are what stands before a program that only asks, and before one that changes something;
    ``option`` is what tells the program which manager is meant.  ``runtime`` has the manager's own files while it runs,
    ``units`` the unit files that an administrator (or the login) writes, ``target`` is what a boot starts.
    ``login`` is what systemd-run needs to start a unit as this login.  ``application`` is for `Helped` alone.
    A method that begins with ``helper_`` is the command by which root's helper does that; None where there is no
    helper, and whoever asks has systemd-run do it, or does it alone.
    """

    scope: Scope
    asks: Tuple[str, ...]
    acts: Tuple[str, ...]
    option: Tuple[str, ...]
    runtime: Path
    units: Path
    target: str
    login: Tuple[str, ...]
    application: str = ""

    @property
    def of_the_system(self) -> bool:
        return self.scope == "system"

    @property
    def present(self) -> bool:
        """Whether it runs: what it listens on, or for the system's what it makes first, is there."""
        return (self.runtime / ("system" if self.of_the_system else "private")).exists()

    @property
    def transient(self) -> Path:
        """The files of the units that were started by systemd-run."""
        return self.runtime / "transient"

    def asking(self, program: str, *arguments: str) -> List[str]:
        """The command by which a program of systemd asks the manager."""
        return [*self.asks, program, *self.option, *arguments]

    def acting(self, program: str, *arguments: str) -> List[str]:
        """The command by which it changes something, never with a password prompt."""
        return [*self.acts, program, *self.option, *arguments]

    def typed(self, program: str) -> str:
        """What a person types for the program on the host."""
        return " ".join((program, *self.option))

    def writing(self, script: str) -> List[str]:
        """The command that runs a line of shell with the right to write in ``units``."""
        shell = ("/bin/sh", "-c", script)
        return self.as_root(*shell) or list(shell)

    def as_root(self, *command: str, options: Sequence[str] = ()) -> Optional[List[str]]:
        """The command as root runs it; None where this login asks nobody to become root."""
        if not self.of_the_system:
            return None
        given = ("--quiet", "--pipe", "--wait", "--collect", *options, "--", *literal(command))
        return self.acting("systemd-run", *given)

    def giving(self, path: Path, user: pwd.struct_passwd, *, group_alone: bool) -> Optional[List[str]]:
        """The command by which root gives a path of ours to a user, or to the group alone; None as for `as_root`."""
        owner = "" if group_alone else f"+{user.pw_uid}"
        return self.as_root("/bin/chown", "--no-dereference", f"{owner}:+{user.pw_gid}", "--", str(path))

    def questions(self, lines: Dict[str, Tuple[str, ...]]) -> Dict[str, Tuple[str, ...]]:
        """What sudo is asked whether this login may do all of these lines, by the names that are told of them."""
        return lines

    def rule(self, user: str) -> str:
        """What root types so that sudo lets this login use the manager."""
        return words.sudoers(user)

    @property
    def bound(self) -> bool:
        """Whether nothing of the repository may become root here, whatever the settings or a record say."""
        return False

    @property
    def root_installs(self) -> bool:
        """Whether root put the boot unit there, by ``setup``, so that this login only keeps what it runs."""
        return False

    @property
    def env(self) -> str:
        """Where units read the configuration: a copy of root's; empty where that is `env` itself."""
        return ""

    def named(self, attempt: str) -> str:
        """An attempt in the names of units of its commands."""
        return attempt

    def helper_activates(self, unit: str, agent: Sequence[str], seconds: Sequence[str]) -> Optional[List[str]]:
        """To start the activation of ``agent`` (Python, the file, the attempt) with its two times."""

    def helper_tidies(self, agent: Sequence[str]) -> Optional[List[str]]:
        """To start pruning, for the same ``agent``."""

    def helper_runs(self, user: str, unit: str, seconds: str) -> Optional[List[str]]:
        """To run a program of Python's on standard input as another user."""

    def helper_watches(self, pids: Sequence[int]) -> Optional[List[str]]:
        """To look at these processes, or at all."""

    def helper_copies_env(self) -> Optional[List[str]]:
        """To have root's copy of the configuration follow `env`."""

    def helper_puts(self, seconds: str) -> Optional[List[str]]:
        """To put a set of units in its place, which is on standard input."""

    def helper_judges(self) -> Optional[List[str]]:
        """To hear which units on standard input it would not put there: that takes no root."""

    def troubles(self) -> List[Trouble]:
        """Why the login's own manager cannot run services here; sudo's rules, for the system's, are not looked at."""
        return [] if self.of_the_system else list(_troubles(self))

    def began(self) -> Optional[str]:
        """When the login's manager began, in the kernel's ticks; None for the system's, which begins with the boot."""
        return None if self.of_the_system else _began(self.runtime / "private")


class Helped(Manager):
    """The system's, for a login with least privilege: nothing takes root but by `HELPER`.

    ``application`` is by what name root knows the application of this login.
    """

    __slots__ = ()

    def acting(self, program: str, *arguments: str) -> List[str]:  # noqa: ARG002
        """For what systemctl does, the helper's words are systemctl's."""
        return self.helping(*arguments)

    def helping(self, *arguments: str) -> List[str]:
        """The command that asks the helper for something."""
        return [*self.acts, *self._helper(*arguments)]

    def _helper(self, *arguments: str) -> List[str]:
        return [HELPER, self.application, *arguments]

    def as_root(self, *command: str, options: Sequence[str] = ()) -> Optional[List[str]]:
        """Nothing is run as root but the helper."""

    def giving(self, path: Path, user: pwd.struct_passwd, *, group_alone: bool) -> Optional[List[str]]:
        return self.helping("own-config", "config" if group_alone else "shared", user.pw_name, path.name)

    def questions(self, lines: Dict[str, Tuple[str, ...]]) -> Dict[str, Tuple[str, ...]]:  # noqa: ARG002
        return {"oroboros-helper": tuple(self._helper("ask"))}

    def rule(self, user: str) -> str:
        return words.sudoers(user, HELPER)

    @property
    def bound(self) -> bool:
        return True

    @property
    def root_installs(self) -> bool:
        return True

    @property
    def env(self) -> str:
        return f"{HELPED}/env/{self.application}"

    def named(self, attempt: str) -> str:
        """With the application, which may end them."""
        return f"{self.application}:{attempt}"

    def helper_activates(self, unit: str, agent: Sequence[str], seconds: Sequence[str]) -> List[str]:
        return self.helping("activate", unit, *agent, *seconds)

    def helper_tidies(self, agent: Sequence[str]) -> List[str]:
        return self.helping("tidy", "", *agent)

    def helper_runs(self, user: str, unit: str, seconds: str) -> List[str]:
        return self.helping("run-as", user, unit, seconds)

    def helper_watches(self, pids: Sequence[int]) -> List[str]:
        return self.helping("watch", *map(str, pids))

    def helper_copies_env(self) -> List[str]:
        return self.helping("own-config", "env")

    def helper_puts(self, seconds: str) -> List[str]:
        return self.helping("put", seconds)

    def helper_judges(self) -> List[str]:
        return self._helper("judge")


def literal(command: Sequence[str]) -> List[str]:
    """A command for systemd-run: systemd puts variables in the place of ``${NAME}`` and ``$NAME``, not of ``$$``."""
    return [word.replace("$", "$$") for word in command]


def _troubles(manager: Manager) -> Iterator[Trouble]:
    """Each has one remedy; without lingering the manager may be missing for that alone."""
    user, place = _login()[0], manager.runtime.parent
    if not (LINGER / user).exists():
        what = f"lingering is off for {user}, so that its services end with its last session"
        yield Trouble(what, f"on the host, as root, once: loginctl enable-linger {user}")
    elif not manager.present:
        what = f"the service manager of {user} does not run: there is no {manager.runtime}/private"
        yield Trouble(what, f"on the host, as root: systemctl start user@{place.name}.service")
    elif not (place / "bus").exists():
        what = f"{user} has no bus, which systemd-run needs: there is no {place}/bus"
        hint = "on the host, as root: apt install dbus-user-session; then as"
        yield Trouble(what, f"{hint} {user}: systemctl --user daemon-reload && systemctl --user start dbus.socket")


def _began(listens: Path) -> str:
    """When the process that listens there was started; it stays the same when systemd executes itself anew."""
    import socket
    import struct

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(listens))
        size = struct.calcsize("3i")
        pid, _, _ = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return "0"


def without_sudo(refused: Sequence[str]) -> List[Trouble]:
    """What keeps this login from using the system's manager, where sudo refuses it these commands."""
    user = _login()[0]
    what = f"{user} may not restart units here without a password: sudo refuses {', '.join(refused)}"
    hint = chosen().rule(user)
    if refused and not chosen().bound and any(_said(file).get("login") == user for file in _lists()):
        lists = f"the lists that root made of applications ({HELPED}/*.json)"
        what = f"{user} has least privilege on this host, but none of {lists} names this deploy root"
        hint = words.setup_least(user)  # the rules of sudo would make that login root
    return [Trouble(what, hint)] if refused else []


def keeping_root(kinds: Sequence[str]) -> List[Trouble]:
    """What is wrong where the settings let these become root, and the login has root's helper and nothing else."""
    refused = kinds and chosen().bound
    return [Trouble(words.keeps_root(kinds), words.WITHOUT_ROOT)] if refused else []


def refuse_root(kinds: Sequence[str], state: str) -> None:
    """Raise Refusal for that; ``state`` is what became of the host."""
    for found in keeping_root(kinds):
        raise Refusal("invalid", f"{state}: {found.message}", hint=found.hint)


def _login() -> Tuple[str, Path]:
    import pwd

    user = pwd.getpwuid(os.getuid())
    return user.pw_name, Path(user.pw_dir)


def _system() -> Manager:
    root = os.getuid() == 0
    application = "" if root else _application
    return (Helped if application else Manager)(
        scope="system",
        asks=(),
        acts=() if root else ("sudo", "-n"),
        option=(),
        runtime=RUN / "systemd",
        units=UNITS,
        target="multi-user.target",
        login=() if root else (f"--uid={os.getuid()}",),
        application=application,
    )


def _user() -> Manager:
    """The manager that logind starts for this user, by its fixed places: a session may name others, or none."""
    place = RUN / "user" / str(os.getuid())
    reached = ("/usr/bin/env", f"XDG_RUNTIME_DIR={place}", f"DBUS_SESSION_BUS_ADDRESS=unix:path={place}/bus")
    return Manager(
        scope="user",
        asks=reached,
        acts=reached,
        option=("--user",),
        runtime=place / "systemd",
        units=_login()[1] / USER_UNITS,
        target="default.target",
        login=(),
    )


_chosen: Scope = "system"
_application = ""


def choose(scope: Scope, root: Optional[Path] = None) -> None:
    """Work for a target of this scope, and of this deploy root, from now on."""
    global _chosen, _application
    _chosen = scope
    _application = _helped(root) if root else _application


def _helped(root: Path) -> str:
    """The name by which root knows the application of a deploy root; empty where this login has the rules of sudo."""
    mine = {"root": str(root), "login": _login()[0]}
    return next((file.stem for file in _lists() if mine.items() <= _said(file).items()), "")


def _lists() -> List[Path]:
    return sorted(HELPED.glob("*.json")) if HELPED.is_dir() else []


def listed(kind: str) -> List[str]:
    """The ``units`` or ``users`` of root's list of the application."""
    found = _said(HELPED / f"{chosen().application}.json").get(kind)
    return [str(each) for each in found] if isinstance(found, list) else []


def _said(file: Path) -> Dict[str, object]:
    """What a list has; nothing where it is none."""
    import json

    try:
        said: Dict[str, object] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def chosen() -> Manager:
    """The manager that this process speaks to."""
    return of(_chosen)


def of(scope: Scope) -> Manager:
    """The manager of a scope."""
    return _user() if scope == "user" else _system()


def other() -> Manager:
    """The manager of the scope that was not chosen."""
    return of("system" if _chosen == "user" else "user")


@contextlib.contextmanager
def serving(scope: Scope) -> Iterator[None]:
    """Speak to the manager of a scope for a while, for what an activation of that scope left."""
    before = _chosen
    choose(scope)
    try:
        yield
    finally:
        choose(before)
