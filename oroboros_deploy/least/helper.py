#!/usr/bin/python3 -I
"""The one command that the login of an application may run as root (`setup --least-privilege` put it here).

    sudo oroboros-helper APPLICATION VERB [ARGUMENT...]

/etc/oroboros_deploy/APPLICATION.json says what the application is: its login, its deploy root, its units and the users
that these may run as.  Root alone can change that file.  Whatever the login asks for is held to it:

    ask                                says that it would obey
    restart, stop, reset-failed, status, is-system-running      systemctl, for units of the application
    judge, put SECONDS                 units, in JSON on the input: what is wrong with them; have them installed
    activate, tidy                     the agent of the application in a transient unit, as the login
    run-as USER UNIT SECONDS           the Python program on the input, as a listed user without new privileges
    own-config config|shared USER NAME, own-config env      who reads the configuration, who owns a shared place
    move-env                           units that were installed with more rights read root's copy of the configuration
    watch [PID...]                     which programs, directories and mounts processes use

Root runs nothing that the login can write, and opens nothing below the deploy root by a path that the login can move.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import math
import os
import pwd
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, NoReturn

ETC = "/etc/oroboros_deploy"
UNITS = "/etc/systemd/system"
RUN = "/run"
OTHERS = (  # where systemd finds units that no deploy installed
    *("/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system"),
    *("/etc/systemd/system.control", "/etc/systemd/system.attached", "/run/systemd/system.control"),
    *("/run/systemd/system.attached", "/run/systemd/transient", "/run/systemd/system"),
    *("/run/systemd/generator.early", "/run/systemd/generator", "/run/systemd/generator.late"),
)
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "cat"}
WAITS = 30.0  # seconds for the lock, where nobody said how long
INPUT = 30.0  # seconds for all of an input
LONGEST = 3600  # seconds that anything may last
LAST = LONGEST + 300  # seconds for the helper and what it becomes, whatever its caller keeps from it
LARGEST = 4 << 20  # bytes of an input, and of a configuration
OURS = "# oroboros_deploy: "  # begins what was installed for an application

STEM = r"[A-Za-z0-9:_.\\@-]+"
UNIT = rf"{STEM}\.(?:service|socket|timer|path|target)"
PATH = rf"({UNIT})(\.d/{STEM}\.conf)?"  # of a unit or a drop-in, within the directory of units
MASKED = "/dev/null"
Files = Mapping[str, "str | None"]  # texts by path within the directory of units; None: nothing is there
WORD = r"[A-Za-z0-9_./:@+,=-]+"  # nothing that systemd or a shell interprets


class Refused(Exception):
    """What was asked for is not for this login."""


# --- what root wrote down --------------------------------------------------------------------------------------------


class Application(NamedTuple):
    """``units`` are names without a suffix, in which ``*`` stands for any letters; ``users`` are names."""

    name: str
    login: str
    root: str
    units: tuple[str, ...]
    users: tuple[str, ...]

    def owns(self, unit: str) -> bool:
        """Whether a full name is in the list; what is in `x-.service.d` would count for all units that begin so."""
        stem = unit.rpartition(".")[0]
        odd = stem.startswith("oroboros-") or stem.endswith("-") or "-@" in stem
        return bool(re.fullmatch(UNIT, unit)) and not odd and any(_fits(each, stem) for each in self.units)

    @property
    def env(self) -> str:
        """Where the units read the configuration: a copy of root's, for `env` can be a link to anything."""
        return f"{ETC}/env/{self.name}"

    def user(self, name: str) -> pwd.struct_passwd:
        """A listed user, who is never root."""
        if name not in self.users:
            raise Refused(f"{name!r} is none of the users of {self.name}: {', '.join(self.users)}")
        found = _known(name)
        if found.pw_uid == 0 or found.pw_gid == 0:
            raise Refused(f"{name} is root on this host, or its group is (uid or gid 0)")
        return found

    def groups(self) -> set[str]:
        """The groups of the listed users."""
        return {grp.getgrgid(self.user(name).pw_gid).gr_name for name in self.users}


def _fits(pattern: str, stem: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9:_.\\@-]*".join(map(re.escape, pattern.split("*"))), stem))


def _known(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise Refused(f"this host has no user {name}") from None


def application(name: str) -> Application:
    """What root wrote down of an application; a file that others could have written is not believed."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise Refused("that is no name of an application")
    number = _open(ETC, f"{name}.json")
    with open(number, encoding="utf-8") as file:
        for each in (os.fstat(number), os.stat(ETC)):
            if each.st_uid != 0 or each.st_mode & 0o022:
                raise Refused(f"{ETC}/{name}.json can be written by others than root")
        said = json.load(file)
    return Application(name, said["login"], said["root"], tuple(said["units"]), tuple(said["users"]))


def _refuse_changed(app: Application) -> None:
    """Refuse what root allowed no more while the helper waited for its input, or for another helper."""
    if application(app.name) != app:
        raise Refused(f"{ETC}/{app.name}.json was changed meanwhile")


def refuse_others(app: Application) -> None:
    """Refuse whoever is not the login of the application; sudo says who asked."""
    asked = os.environ.get("SUDO_UID")
    if asked is not None and asked not in ("0", str(_known(app.login).pw_uid)):
        raise Refused(f"{app.name} is not deployed by this login")


# --- files, by descriptors: no link is followed ----------------------------------------------------------------------


def _directory(path: str) -> int:
    number = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    for part in path.strip("/").split("/"):
        inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=number)
        os.close(number)
        number = inner
    return number


def _open(directory: str, name: str, kind: int = 0) -> int:
    if not re.fullmatch(r"[^/\0]+", name) or name in (".", ".."):
        raise Refused(f"{name!r} is no name of a file")
    above = _directory(directory)
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | kind, dir_fd=above)
    finally:
        os.close(above)


def _revision(app: Application, name: str) -> int:
    """A configuration: a file with one name that the login made."""
    if not re.fullmatch("[0-9a-f]{16}", name):
        raise Refused(f"{name!r} is no configuration")
    number = _open(f"{app.root}/.deploy/config", name)
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != _known(app.login).pw_uid:
        raise Refused(f"the configuration {name} is no file of {app.login}'s")
    return number


def own_config(app: Application, what: str, user: str = "", name: str = "") -> None:
    """Give a configuration its reader, or a shared place its owner; nothing else is given to anybody."""
    if what == "env":
        keep_env(app)
    elif what == "config":
        os.fchown(_revision(app, name), -1, app.user(user).pw_gid)
    elif what == "shared":
        number = _open(f"{app.root}/shared", name, os.O_DIRECTORY)
        if os.fstat(number).st_uid != _known(app.login).pw_uid or os.listdir(number):
            raise Refused(f"{name} is no empty directory of {app.login}'s")
        os.fchown(number, app.user(user).pw_uid, app.user(user).pw_gid)
    else:
        raise Refused(f"own-config {what} is not known")


def keep_env(app: Application) -> None:
    """Keep what `env` names where the units read it: as root they would follow the login's links to any file."""
    with locked(app, time.monotonic() + WAITS):
        copy_env(app)


def copy_env(app: Application) -> None:
    """Keep it as whoever has the lock already."""
    above = _directory(app.root)
    try:
        named = os.readlink("env", dir_fd=above).rpartition("/")[2]
    except OSError:
        named = "none"
    if named == "none":
        _write(app.env, None)
        return
    with open(_revision(app, named), "rb") as file:
        _write(app.env, file.read(LARGEST), 0o600)


def move_env(app: Application) -> None:
    """Have what was installed before this host had least privilege read the copy; what somebody edited is left."""
    with locked(app, time.monotonic() + WAITS):
        copy_env(app)
        _move(app)
    _do("/usr/bin/systemctl", "daemon-reload")


def _move(app: Application) -> None:
    named = rf"(?m)^(\s*EnvironmentFile\s*=\s*-?){re.escape(app.root)}/env(?=\s*$)"
    for unit in filter(app.owns, os.listdir(UNITS)):
        if os.path.islink(os.path.join(UNITS, unit)):
            continue  # the unit that it leads to has its turn
        for path, text in [(unit, _there(unit) or ""), *_drop_ins(unit)]:
            first, _, body = text.partition("\n")
            moved = re.sub(named, rf"\g<1>{app.env}", body)
            if first.startswith(OURS) and first.endswith(f", {_digest(body)}") and moved != body:
                _write(os.path.join(UNITS, path), f"{first[:-16]}{_digest(moved)}\n{moved}".encode())


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _write(path: str, text: bytes | None, mode: int = 0o644) -> None:
    """Have a text, or nothing, at a path in a directory of root's, whole at any moment.  The caller has the lock."""
    if text is None:
        _remove(path)
        return
    with _above(path, make=True) as (above, name):
        new = f".{name}.new"
        _unlink(new, above)
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=above)
        with open(number, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(number)
        os.replace(new, name, src_dir_fd=above, dst_dir_fd=above)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError), _above(path) as (above, name):
        _unlink(name, above)
        _unlink(f".{name}.new", above)


def _unlink(name: str, above: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=above)


@contextlib.contextmanager
def _above(path: str, make: bool = False) -> Iterator[tuple[int, str]]:
    """The directory of a path, opened without following a link, and the name in it."""
    directory, _, name = path.rpartition("/")
    if make:
        _make(directory)
    above = _directory(directory)
    try:
        yield above, name
    finally:
        os.close(above)


def _make(directory: str) -> None:
    with _above(directory) as (above, name), contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=above)


def _lock(app: Application) -> int:
    """The file of the lock, which root alone may open: whoever can read a file can lock it."""
    number = os.open(f"{RUN}/oroboros-helper-{app.name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.fchmod(number, 0o600)
    return number


@contextlib.contextmanager
def locked(app: Application, ends: float) -> Iterator[None]:
    """One helper at a time writes for an application; whoever waits too long is refused."""
    with open(_lock(app), "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise Refused(
                        f"another oroboros-helper still works for {app.name}: try again when it has ended"
                    ) from None
                time.sleep(0.05)
        yield


# --- units: all that is not allowed here is refused ------------------------------------------------------------------

# By section and by check: the keys whose values may be anything come first.
ALLOWED = {
    "Unit": {
        "any": "Description Documentation StartLimitIntervalSec StartLimitBurst StopWhenUnneeded"
        " RefuseManualStart RefuseManualStop AllowIsolate IgnoreOnIsolate CollectMode JobTimeoutSec"
        " ConditionHost ConditionVirtualization",
        "condition": "ConditionPathExists ConditionPathIsDirectory ConditionFileNotEmpty AssertPathExists",
        "names": "After",
        "before": "Before",
        "pulls": "Wants Requires BindsTo",
        "known": "Requisite PartOf",
        "units": "Upholds Conflicts OnFailure OnSuccess PropagatesReloadTo ReloadPropagatedFrom PropagatesStopTo",
        "below": "RequiresMountsFor",
    },
    "Service": {
        "any": "Type Restart RestartSec RestartPreventExitStatus RestartForceExitStatus SuccessExitStatus TimeoutSec"
        " TimeoutStartSec TimeoutStopSec TimeoutAbortSec RuntimeMaxSec WatchdogSec NotifyAccess RemainAfterExit"
        " GuessMainPID KillMode KillSignal RestartKillSignal FinalKillSignal SendSIGKILL SendSIGHUP OOMPolicy"
        " Environment UnsetEnvironment WorkingDirectory UMask IOSchedulingClass CPUWeight CPUQuota"
        " MemoryMax MemoryHigh MemorySwapMax TasksMax IOWeight LimitNOFILE LimitNPROC LimitCORE LimitAS LimitFSIZE"
        " SyslogIdentifier SyslogLevel LogLevelMax LogRateLimitIntervalSec LogRateLimitBurst IgnoreSIGPIPE"
        " PrivateTmp PrivateDevices PrivateNetwork PrivateUsers PrivateIPC ProtectSystem ProtectHome"
        " ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectClock ProcSubset"
        " ProtectHostname ProtectProc LockPersonality MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID"
        " RestrictNamespaces RestrictAddressFamilies SystemCallArchitectures"
        " RemoveIPC IPAddressAllow IPAddressDeny CapabilityBoundingSet RuntimeDirectoryMode RuntimeDirectoryPreserve"
        " StateDirectoryMode CacheDirectoryMode LogsDirectoryMode",
        "true": "NoNewPrivileges",
        "calls": "SystemCallFilter",
        "modest": "OOMScoreAdjust Nice",
        "user": "User",
        "groups": "Group SupplementaryGroups",
        "command": "ExecStart ExecStartPre ExecStartPost ExecCondition ExecReload ExecStop ExecStopPost",
        "env": "EnvironmentFile",
        "output": "StandardInput StandardOutput StandardError",
        "directory": "RuntimeDirectory StateDirectory CacheDirectory LogsDirectory",
        "units": "Sockets",
    },
    "Socket": {
        "any": "Accept Backlog MaxConnections MaxConnectionsPerSource KeepAlive NoDelay BindIPv6Only"
        " SocketMode FileDescriptorName TriggerLimitIntervalSec TriggerLimitBurst",
        "listen": "ListenStream ListenDatagram",
        "user": "SocketUser",
        "groups": "SocketGroup",
        "units": "Service",
    },
    "Timer": {
        "any": "OnCalendar OnActiveSec OnBootSec OnStartupSec OnUnitActiveSec OnUnitInactiveSec AccuracySec Persistent"
        " RandomizedDelaySec FixedRandomDelay RemainAfterElapse OnClockChange OnTimezoneChange",
        "units": "Unit",
    },
    "Path": {
        "any": "TriggerLimitIntervalSec TriggerLimitBurst",
        "below": "PathExists PathChanged PathModified DirectoryNotEmpty",
        "units": "Unit",
    },
    "Install": {"units": "Alias Also RequiredBy UpheldBy", "late": "WantedBy", "instance": "DefaultInstance"},
}
# A setuid program whose calls are filtered can take itself for root's: systemd 255 and later let it run all the same.
FILTERS = re.compile(
    "SystemCall.*|Restrict.*|MemoryDenyWriteExecute|LockPersonality|PrivateDevices|CapabilityBoundingSet"
    "|ProtectClock|ProtectKernel.*|ProtectHostname"
)
WHO = re.compile("User|Exec.*|PermissionsStartOnly|RootDirectoryStartOnly|NoNewPrivileges")  # an administrator's, too
NEVER_EMPTY = ("user", "groups", "true")
TARGETS = {
    *("network.target", "network-online.target", "nss-lookup.target", "remote-fs.target", "local-fs.target"),
    *("time-sync.target", "basic.target", "sysinit.target", "multi-user.target", "graphical.target"),
    *("default.target", "timers.target", "sockets.target", "paths.target"),
}
# What a unit may start with itself.  A target that is not active (graphical.target on most servers, all of them after
# `systemctl isolate rescue.target`) starts the services, sockets, timers and mounts that anybody enabled there.
PULLED = {
    *("network.target", "network-online.target", "nss-lookup.target", "time-sync.target"),
    *("local-fs.target", "sysinit.target"),  # which every service starts anyway
}
ENDS = {"multi-user.target", "graphical.target", "default.target"}  # nothing of the boot waits for what comes before
LATE = ENDS | {"timers.target", "sockets.target", "paths.target"}
# systemd starts sockets and paths before basic.target, and a service after it.  If a socket waited for a service, that
# would be a cycle, and systemd ends a cycle by leaving out units, those of others too.
EARLY = {"Socket", "Path"}
FIRST = {"sysinit.target", "local-fs.target"}
OF_A_KIND = {"sockets.target": "Socket", "paths.target": "Path", "timers.target": "Timer"}
# A command begins with its program: what systemd unquotes there could be a `+`.  After ` ; ` begins another one.
COMMAND = r"[-@:]*[/A-Za-z0-9_].*"
CHECKS: dict[str, Callable[[Application, str], bool]] = {
    "any": lambda app, value: True,
    "true": lambda app, value: value.lower() in ("1", "yes", "y", "true", "t", "on"),
    "calls": lambda app, value: bool(re.fullmatch(r"~?[A-Za-z0-9_@ \t-]*", value)),  # no `getuid:0`, which lies
    "names": lambda app, value: all(re.fullmatch(rf"{STEM}\.[a-z]+", each) for each in value.split()),
    "known": lambda app, value: all(each in TARGETS or _is_ours(app, each) for each in value.split()),
    "pulls": lambda app, value: all(each in PULLED or _is_ours(app, each) for each in value.split()),
    "before": lambda app, value: all(each in ENDS or _is_ours(app, each) for each in value.split()),
    "late": lambda app, value: all(each in LATE or _is_ours(app, each) for each in value.split()),
    "modest": lambda app, value: bool(re.fullmatch("[0-9]{1,4}", value)),
    "condition": lambda app, value: _is_below(app.root, re.sub(r"^\|?!?", "", value)),
    "units": lambda app, value: all(_is_ours(app, each) for each in value.split()),
    "below": lambda app, value: all(_is_below(app.root, each) for each in value.split()),
    "user": lambda app, value: value in app.users and app.user(value).pw_uid != 0,
    "groups": lambda app, value: bool(value) and {*value.split()} <= app.groups(),
    "command": lambda app, value: all(re.fullmatch(COMMAND, each) for each in re.split(r"[ \t];[ \t]+", value)),
    "env": lambda app, value: value.lstrip("-") in ("", app.env, f"/etc/default/{app.name}"),
    "output": lambda app, value: value in ("null", "journal", "inherit", "socket"),
    "directory": lambda app, value: all(_is_directory(app, each) for each in value.split()),
    "listen": lambda app, value: _is_place(app, value),
    "instance": lambda app, value: bool(re.fullmatch(r"[A-Za-z0-9:_.-]+", value)),
}


def _is_ours(app: Application, unit: str) -> bool:
    return app.owns(unit) and not _elsewhere(unit)


def _elsewhere(*units: str) -> str | None:
    """The file of a unit, or of its template, that systemd finds in another place than that of the administrator."""
    names = {name: None for unit in units for name in (unit, _template(unit))}
    places = (f"{place}/{name}" for place in OTHERS for name in names)
    return next(filter(os.path.lexists, places), None)


def _template(unit: str) -> str:
    """`web@.service` of `web@1.service`; a unit that is no instance itself."""
    return re.sub(r"@.*\.", "@.", unit)


def _is_below(root: str, path: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_./@+*-]+", path)) and ".." not in path and f"{path}/".startswith(f"{root}/")


def _is_directory(app: Application, name: str) -> bool:
    """Whether a directory of systemd's (/run/NAME and its like), which root gives to the user, has a name of ours."""
    return bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name)) and (name == app.name or _is_named(app, name))


def _is_named(app: Application, name: str) -> bool:
    stems = {each.partition("@")[0].rstrip("*").rstrip("-") for each in app.units}
    return name in stems or app.owns(f"{name}.service")


def _is_place(app: Application, value: str) -> bool:
    """A port that everybody may have, or a socket directly in /run by a name of ours."""
    port = re.fullmatch(r"(?:[0-9.]+:|\[[0-9a-fA-F:]+\]:)?([0-9]{4,5})", value)
    path = re.fullmatch(r"/run/([A-Za-z0-9_-]+)\.sock(?:et)?", value)
    return bool((port and int(port[1]) >= 1024) or (path and _is_directory(app, path[1])))


def read(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line, section, key and value of each assignment, as systemd reads them.  Raises Refused for what is ambiguous."""
    section, rest, began = "", "", 0
    if odd := re.search(r"[^\n\t\x20-\x7e\x80-\U0010ffff]|[\x80-\xa0\u2028\u2029\ufeff]", text):
        at = text.count("\n", 0, odd.start()) + 1
        raise Refused(f"line {at} has the character {odd[0]!a}, which is not allowed in a unit")
    for number, raw in enumerate(text.split("\n"), 1):
        comment = raw.strip(" \t")[:1] in ("#", ";")
        if comment and (rest or raw.rstrip(" \t").endswith("\\")):
            raise Refused(f"line {number}: a comment in a line that is continued")
        began = began if rest else number
        line, goes_on = (rest + raw, False) if not comment else ("", False)
        if (len(line) - len(line.rstrip("\\"))) % 2:
            rest, goes_on = f"{line[:-1]} ", True
        if goes_on:
            continue
        rest, line = "", line.strip(" \t")
        if re.fullmatch(r"\[[A-Za-z]+\]", line):
            section = line[1:-1]
        elif line:
            key, equals, value = line.partition("=")
            if not equals or not section:
                what = "neither a header such as [Service] (letters alone) nor KEY=VALUE below one"
                raise Refused(f"line {began}: {line[:60]!r} is {what}")
            yield began, section, key.strip(" \t"), value.strip(" \t")
    if rest:
        raise Refused("its last line is continued")


def wrong(app: Application, path: str, text: str) -> Iterator[str]:
    """All that keeps a text from being installed as a unit, or a drop-in, of the application, in words."""
    found = re.fullmatch(PATH, path)
    if not found or not app.owns(found[1]):
        yield f"{path} is none of the units of {app.name}: {', '.join(app.units)}"
        return
    kind = _kind(found[1])
    known: set[str] = set()
    try:
        for number, section, key, value in read(text):
            check = _check(section, key)
            if check is None or section not in ("Unit", "Install", kind):
                yield f"{path}:{number}: {key}= in [{section}] is not for an application without root"
            elif (value or check in NEVER_EMPTY) and not CHECKS[check](app, value):
                yield f"{path}:{number}: {key}={value[:80]} is not for this application"
            elif why := _cycle(kind, key, value):
                yield f"{path}:{number}: {key}={value[:80]} could keep units of others from starting at a boot: {why}"
            known.add(key)
    except (Refused, KeyError) as refused:
        yield f"{path}: {refused}"
        return  # what stands below was not read, so nothing is said to be missing
    if kind == "Service" and not found[2] and "User" not in known:
        yield f"{path} has no User=, so that it would run as root: add User= with one of {', '.join(app.users)}"
    if "NoNewPrivileges" not in known and (filters := sorted(filter(FILTERS.fullmatch, known))):
        yield f"{path} has {filters[0]}=, which wants the line NoNewPrivileges=yes in the same file"


def _kind(unit: str) -> str:
    """Of a unit, as its section is called."""
    return unit.rpartition(".")[2].title()


def _cycle(kind: str, key: str, value: str) -> str | None:
    """Why a line of a unit would order a socket or a path after a service; None where it orders none."""
    names = value.split()
    if kind in EARLY and key in ("After", "RequiresMountsFor") and not {*names} <= FIRST:
        return f"a .{kind.lower()} starts before all services, and waits for {' and '.join(sorted(FIRST))} alone"
    if key in ("Before", "Unit") and any(_kind(each) in EARLY for each in names):
        return "a .socket or .path starts before all services, and waits for no unit of the application"
    if key == "WantedBy" and (others := [each for each in names if not _may_want(each, kind)]):
        return f"{others[0]} is for a .{OF_A_KIND[others[0]].lower()} alone"
    return None


def _may_want(target: str, kind: str) -> bool:
    return OF_A_KIND.get(target, kind) == kind


def _check(section: str, key: str) -> str | None:
    return next((check for check, keys in ALLOWED.get(section, {}).items() if key in keys.split()), None)


def wrong_beside(app: Application, path: str, text: str) -> Iterator[str]:
    """What an administrator's drop-in says of who runs what: it was written for a unit that was not the login's."""
    try:
        for number, section, key, value in read(text):
            check = _check(section, key)
            if WHO.fullmatch(key) and (
                check is None or ((value or check in NEVER_EMPTY) and not CHECKS[check](app, value))
            ):
                yield f"{path}:{number}: {key}={value[:80]} is not for an application without root"
    except (Refused, KeyError) as refused:
        yield f"{path}: {refused}"


def _there(path: str) -> str | None:
    """The text at a path of the directory of units; an alias is what it leads to, None where nothing is."""
    place = os.path.join(UNITS, path)
    if os.path.islink(place):
        path = os.path.basename(os.readlink(place))
        place = os.path.join(UNITS, path)
    if os.path.islink(place) or not os.path.isfile(place):
        return None
    with open(place, encoding="utf-8", errors="replace") as file:
        return file.read()


def _main(unit: str, files: Files) -> tuple[str, str | None]:
    """The file that systemd takes for a unit, with these files in place; of an instance that is its template's."""
    texts = ((path, files[path] if path in files else _there(path)) for path in (unit, _template(unit)))
    return next(((path, text) for path, text in texts if text is not None), (unit, None))


def problems(app: Application, files: Files, units: Sequence[str] = (), starts: bool = False) -> list[str]:
    """What is wrong with files that are to be installed, and with what is there of these units.

    What is installed or started can start all other units of the list, and instances that have but drop-ins.
    """
    if strange := [path for path in files if not re.fullmatch(PATH, path)]:
        return [f"{path} is none of the units of {app.name}: {', '.join(app.units)}" for path in sorted(strange)]
    # Nothing is installed beside a unit of root's in the list, which another unit could start.
    found = [each for path, text in files.items() if text is not None for each in wrong(app, path, text)]
    there = os.listdir(UNITS) if files or starts else []
    for unit in {*units, *filter(app.owns, there), *(path.partition(".d/")[0] for path in files)}:
        found += _wrong_with(app, unit, files)
    for unit in (each.removesuffix(".d") for each in there if each.endswith(".d")):
        found += _judged(app, unit) if app.owns(unit) else ()
    found += [each for path in files for each in _of_others(app, path)]
    return sorted({*found})


def _wrong_with(app: Application, unit: str, files: Files) -> Iterator[str]:
    """What is wrong with one unit as systemd would see it with these files in place."""
    path, _ = _main(unit, files)
    if not app.owns(unit):
        yield f"{unit} is none of the units of {app.name}: {', '.join(app.units)}"
    elif other := _elsewhere(unit, _target(unit)):
        what = f"{unit} is also in {other}, where no deploy installs units"
        yield f"{what}: rename the unit in the repository, or have root take that file away"
    elif away := next((each for each in (unit, path, _template(unit)) if _leads_away(app, each)), None):
        what = f"{UNITS}/{away} on the host is a link that leads to no file of a unit of {app.name} there"
        yield f"{what}: root has to take the link away, or put the file itself there"
    elif kept := [each for each in _orphans(app, unit, files) if _main(each, files)[1] is None]:
        gone = "has drop-ins, but the unit itself is not on the host, or is taken away by this release"
        mend = f"keep the unit, or take its drop-ins away, too, which lie or would lie in {UNITS}"
        yield from (f"{each} {gone}: {mend}/{each}.d" for each in kept)
    else:
        yield from _judged(app, unit, path)


def _judged(app: Application, *units: str) -> Iterator[str]:
    """What is wrong with files that are there, and with the drop-ins of the first unit."""
    for path in {*units}:
        text = _there(path)
        yield from wrong(app, path, text) if text is not None else ()
    for path, text in _drop_ins(units[0]):
        yield from (wrong if text.startswith(OURS) else wrong_beside)(app, path, text)


def before(app: Application) -> list[str]:
    """What is wrong with all units of the list that are there: `setup` asks before the login may start them."""
    units = {name for name in (each.removesuffix(".d") for each in os.listdir(UNITS)) if app.owns(name)}
    return sorted({found for unit in units for found in _judged(app, unit)})


def _orphans(app: Application, unit: str, files: Files) -> list[str]:
    """The unit, and the instances of a template, that have drop-ins with these files in place, whoever's they are."""
    start, at, kind = unit.partition("@.")
    named = {unit, *(path.partition(".d/")[0] for path in files), *(each[:-2] for each in os.listdir(UNITS))}
    mine = [each for each in named if each == unit or (at and each.startswith(f"{start}@") and each.endswith(kind))]
    return sorted(each for each in mine if app.owns(each) and _has_drop_ins(each, files))


def _has_drop_ins(unit: str, files: Files) -> bool:
    place = os.path.join(UNITS, f"{unit}.d")
    there = os.listdir(place) if os.path.isdir(place) else ()
    left = [name for name in there if name.endswith(".conf") and files.get(f"{unit}.d/{name}", "") is not None]
    return bool(left) or any(path.startswith(f"{unit}.d/") and text is not None for path, text in files.items())


def _of_others(app: Application, path: str) -> Iterator[str]:
    """Whether what is replaced or taken away was installed for another application, or by an administrator."""
    text = _there(path)
    was = re.match(rf"{re.escape(OURS)}([^\n]+?) in (/[^\n]*), ", text or "")
    if text is not None and not was:
        yield f"{path} was installed by no deploy: root alone may replace it, or take it away"
    elif was and was.groups() != (app.name, app.root):
        yield f"{path} belongs to the application {was[1]} in {was[2]}"


def _target(unit: str) -> str:
    """The name that a unit has behind its alias; its own where it is none."""
    with contextlib.suppress(OSError):
        leads = os.readlink(os.path.join(UNITS, unit))
        return unit if leads == MASKED else os.path.basename(leads)
    return unit


def _leads_away(app: Application, unit: str) -> bool:
    """Whether a file of the directory of units is a link to something else than a unit of the application in there."""
    place = os.path.join(UNITS, unit)
    if not os.path.islink(place) or os.readlink(place) == MASKED:
        return False
    leads = os.path.normpath(os.path.join(UNITS, os.readlink(place)))
    return os.path.dirname(leads) != UNITS or not app.owns(os.path.basename(leads)) or os.path.islink(leads)


def _drop_ins(unit: str) -> Iterator[tuple[str, str]]:
    """The drop-ins for a unit, whoever installed them.

    They lie in directories of the unit, of what it is an alias of, of its template, and of what their names begin with.
    """
    known = {unit, os.path.basename(os.path.realpath(os.path.join(UNITS, unit)))}
    known |= {re.sub(r"@.*\.", "@.", each) for each in known}
    kinds = {each.rpartition(".")[2] for each in known}
    starts = {f"{each[: at.end()]}.{kind}" for each in known for at in re.finditer("-", each) for kind in kinds}
    for directory in sorted(f"{each}.d" for each in known | kinds | starts):
        place = os.path.join(UNITS, directory)
        for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
            text = _there(f"{directory}/{name}")
            if text and name.endswith(".conf"):
                yield f"{directory}/{name}", text


# --- the verbs -------------------------------------------------------------------------------------------------------


def _do(*command: str, seconds: float = 30) -> None:
    subprocess.run(command, env=CLEAN, stdin=subprocess.DEVNULL, check=True, timeout=seconds)


def _become(*command: str) -> NoReturn:
    sys.stdout.flush()
    os.execve(command[0], command, CLEAN)


def systemctl(app: Application, verb: str, *arguments: str) -> None:
    """Start, stop or show units of the application; what has no user of the list is refused."""
    names = [each for each in arguments if not each.startswith("--")]
    options = [each for each in arguments if each.startswith("--") and each != "--"]
    known = r"--job-mode=ignore-requirements|--no-pager|--full|--lines=[0-9]{1,4}"
    if not all(re.fullmatch(known, each) for each in options):
        raise Refused(f"{verb} {' '.join(options)} is not known")
    _refuse(problems(app, {}, [each for each in names if not _is_command(app, each)], verb == "restart"))
    if not names and verb != "is-system-running":
        raise Refused(f"{verb} of what?")
    if verb == "restart":
        keep_env(app)
    _become("/usr/bin/systemctl", "--no-pager", verb, *options, *(["--", *names] if names else []))


def _is_command(app: Application, unit: str) -> bool:
    """Whether a unit has the name of a command of another user, which `run-as` gives it."""
    return bool(re.fullmatch(rf"oroboros-command-{re.escape(app.name)}:{STEM}\.service", unit))


def _refuse(found: Sequence[str]) -> None:
    if found:
        raise Refused("; ".join(found))


class Asked(NamedTuple):
    """What is to be put in place: texts by path, and links by path (None: nothing); what is to stop, and the rest."""

    files: Files
    links: Files
    stop: tuple[str, ...]
    enable: tuple[str, ...]
    start: tuple[str, ...]
    patience: float | None


def judge(app: Application) -> None:
    """Say all that is wrong with units, a line each."""
    print("\n".join(problems(app, _asked().files)))


def _asked() -> Asked:
    with _within(INPUT):
        given = sys.stdin.buffer.read(LARGEST)
    said = json.loads(given.decode("utf-8"))
    files, links = (
        {str(path): _text(text) for path, text in said.get(name, {}).items()} for name in ("files", "links")
    )
    stop, enable, start = (tuple(map(str, said.get(name, ()))) for name in ("stop", "enable", "start"))
    patience = said.get("patience")
    return Asked(files, links, stop, enable, start, None if patience is None else _seconds(patience))


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Refuse a caller who keeps root waiting longer; what ends the helper itself is put off meanwhile."""

    def late(*_: object) -> NoReturn:
        raise Refused(f"the input did not end within {seconds:g} seconds")

    left, began = signal.getitimer(signal.ITIMER_REAL)[0], time.monotonic()
    alarm(seconds, late)
    try:
        yield
    finally:
        alarm(max(0.001, left - (time.monotonic() - began)) if left else 0)


def alarm(seconds: float, then: Callable[..., object] | signal.Handlers = signal.SIG_DFL) -> None:
    """Ring once, however the caller has the signal: blocked or ignored.  By default that ends what runs then."""
    signal.signal(signal.SIGALRM, then)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _seconds(said: str | float) -> float:
    """How long something may last: with `nan`, which nothing is later than, it would last for ever."""
    if not math.isfinite(float(said)):
        raise Refused(f"{said!r} are no seconds")
    return min(float(said), LONGEST)


def _text(text: object) -> str | None:
    if isinstance(text, str):
        text.encode()  # what is no UTF-8 is refused before anything is written
        return text
    if text is None:
        return None
    raise Refused("that is no set of units")


def put(app: Application, seconds: str) -> None:
    """Stop what goes, have units and links as they are asked for, let systemd know, and start what is new."""
    lasts, asked = _seconds(seconds), _asked()
    ends = time.monotonic() + lasts
    with locked(app, ends):
        _refuse_changed(app)
        _refuse(problems(app, asked.files, (*asked.stop, *asked.enable, *asked.start), bool(asked.start)))
        _refuse([_of_root(app, *link) for link in asked.links.items() if not _is_link(app, link[0], asked)])
        _refuse([f"{path} is masked" for path in asked.files if os.path.islink(os.path.join(UNITS, path))])
        _stop(asked.stop, asked.patience, ends)
        try:
            _install(app, asked)
        finally:
            os.sync()
            _do("/usr/bin/systemctl", "daemon-reload", seconds=max(1.0, ends - time.monotonic()))
        if asked.start:
            subprocess.run(["/usr/bin/systemctl", "start", "--no-block", "--", *asked.start], env=CLEAN, check=False)


def _install(app: Application, asked: Asked) -> None:
    for path, text in asked.files.items():
        _write(os.path.join(UNITS, path), None if text is None else text.encode())
    for path, leads in asked.links.items():
        _link(os.path.join(UNITS, path), leads)
    for directory in {os.path.dirname(path) for path, text in asked.files.items() if text is None} - {""}:
        _leave(os.path.join(UNITS, directory))
    copy_env(app)
    if asked.enable:
        _do("/usr/bin/systemctl", "enable", "--quiet", "--no-reload", "--", *asked.enable)


def _stop(names: Sequence[str], patience: float | None, ends: float) -> None:
    """Patterns, for of a name that systemd does not know it would make an error."""
    patterns = [name.replace("@.", "@*.") if "@." in name else f"{name[:-1]}[{name[-1]}]" for name in names]
    try:
        left = max(1.0, ends - time.monotonic())
        _do("/usr/bin/systemctl", "stop", "--", *patterns, seconds=patience or left) if names else None
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        if patience is None:
            raise


def _of_root(app: Application, path: str, leads: str | None) -> str:
    """What is said of a link that the login may not make, or not take away."""
    goes = f"root has to take it away (ls -l {UNITS}/{path})"
    mend = "take what asks for it (Alias=, WantedBy= or RequiredBy=) out of the unit" if leads else goes
    return f"the link {UNITS}/{path} is none that a deploy of {app.name} may make or take away: {mend}"


def _is_link(app: Application, path: str, asked: Asked) -> bool:
    """Whether a link in the directory of units enables a unit of ours, or gives it another name of ours."""
    found = re.fullmatch(rf"(?:({UNIT})\.(wants|requires|upholds)/)?({UNIT})", path)
    leads = asked.links[path]
    to = re.fullmatch(rf"(?:{UNITS}/|\.\./)?({UNIT})", leads or "")
    if not found or not _is_ours(app, found[3]) or (leads is not None and not (to and _is_ours(app, to[1]))):
        return False
    if found[1] is None:
        away = (leads or "").startswith("..") or (to and _kind(to[1]) != _kind(path))
        return not away and _is_alias(app, path, to[1] if to else None, asked.files)
    late = found[1] in LATE and found[2] == "wants" and (leads is None or _may_want(found[1], _kind(found[3])))
    return app.owns(found[1]) or late


def _is_alias(app: Application, path: str, to: str | None, files: Files) -> bool:
    """Whether another name of a unit may come, or go: a mask and a link to something else are not the login's."""
    place = os.path.join(UNITS, path)
    if os.path.islink(place):
        goes = os.readlink(place) != MASKED and not _leads_away(app, path)
    else:
        goes = path in files if os.path.lexists(place) else True
    return goes and files.get(path) is None and (to is None or (to != path and _is_file(to, files)))


def _is_file(unit: str, files: Files) -> bool:
    """Whether the directory of units has a unit itself, with these files in place."""
    place = os.path.join(UNITS, unit)
    return files[unit] is not None if unit in files else os.path.isfile(place) and not os.path.islink(place)


def _leave(directory: str) -> None:
    with contextlib.suppress(OSError), _above(directory) as (above, name):
        os.rmdir(name, dir_fd=above)


def _link(place: str, leads: str | None) -> None:
    with contextlib.suppress(FileNotFoundError), _above(place, make=leads is not None) as (above, name):
        if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=above)
    if leads is not None:
        with _above(place) as (above, name):
            os.symlink(leads, name, dir_fd=above)


def activate(app: Application, verb: str, unit: str, python: str, agent: str, attempt: str, *seconds: str) -> None:
    """The agent, which is the login's, run by systemd as the login; no line of it is free."""
    words = (python, agent, attempt)
    plain = all(re.fullmatch(rf"/?{WORD}", word) for word in words) and python.startswith("/")
    if not plain or not all(re.fullmatch("[0-9]{1,9}", each) for each in seconds):
        raise Refused("activate takes plain words alone")
    if not agent.startswith(f"{app.root}/") or unit not in (
        "",
        "oroboros-activate.service",
        "oroboros-activate-2.service",
    ):
        raise Refused(f"{agent} is not the agent of {app.name}")
    settle = f"/bin/sh -c '[ \"$EXIT_STATUS\" = 0 ] || exec {python} -IS {agent} recover {attempt}'"
    properties = {"Nice": "10", "IOSchedulingClass": "idle", "RuntimeMaxSec": "900"}
    if verb == "activate":
        there, back = (str(min(int(each), LONGEST)) for each in seconds)
        properties = {"Type": "exec", "ExecStopPost": settle, "RuntimeMaxSec": there, "TimeoutStopSec": back}
        properties.update(KillSignal="SIGKILL", OOMScoreAdjust="-500")
    _become(
        *("/usr/bin/systemd-run", "--quiet", "--no-block", "--collect"),
        *([f"--unit={unit}"] if unit else []),
        f"--description={verb} of {app.name} in {app.root}",
        *(f"--property={key}={value}" for key, value in properties.items()),
        *("--property=UMask=0022", f"--uid={_not_root(app).pw_uid}", "--"),
        *(python, "-IS", agent, "run" if verb == "activate" else "tidy", attempt),
    )


def _not_root(app: Application) -> pwd.struct_passwd:
    found = _known(app.login)
    if found.pw_uid == 0:
        raise Refused(f"the login of {app.name} is root")
    return found


def run_as(app: Application, user: str, unit: str, seconds: str) -> None:
    """The Python program on the input, as a listed user who gets no new privileges; what it leaves running is ended."""
    if not _is_command(app, unit):
        raise Refused(f"{unit!r} is no name of a command")
    if not re.fullmatch(r"[0-9]{1,8}(?:\.[0-9]{1,6})?", seconds):
        raise Refused(f"{seconds!r} are no seconds")
    properties = {"NoNewPrivileges": "yes", "TimeoutStopSec": "2", "UMask": "0022", "RuntimeMaxSec": seconds}
    alarm(0)  # systemd ends that program in time
    _become(
        *("/usr/bin/systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={unit}"),
        *(f"--property={key}={value}" for key, value in properties.items()),
        f"--description=a command of oroboros_deploy as {user}",
        *(f"--uid={app.user(user).pw_uid}", "--", "/usr/bin/python3", "-IS", "-X", "utf8", "-"),
    )


def watch(app: Application, *pids: str) -> None:
    """What processes use: links, mounts, and the paths of releases in what they mapped and were started with."""
    if not all(re.fullmatch("[0-9]{1,10}", pid) for pid in pids):
        raise Refused("watch takes numbers of processes")
    known: set[str] = set()
    for pid in pids or sorted(filter(str.isdigit, os.listdir("/proc"))):
        names = ("cwd", "exe", "ns/mnt") if pids else ("cwd", "root", "exe", "ns/mnt")
        links = {name: _leads(f"/proc/{pid}/{name}") for name in names}
        told = [f"/proc/{pid}/{name.split('/')[0]}:{leads}" for name, leads in links.items() if leads]
        if pids or links["ns/mnt"] not in known:
            told += [f"/proc/{pid}/mountinfo:{line}" for line in _mounts(pid)]
            known.add(links["ns/mnt"])
        for name in () if pids else ("maps", "cmdline", "environ"):
            words = [each for each in _bytes(pid, name).split(b"\0") if not each.startswith((b"PWD=", b"OLDPWD="))]
            paths = {path for word in words for path in re.findall(rb"/[^\x00-\x20:;=]*/[0-9a-f]{40,64}", word)}
            shown = (path.decode("utf-8", "replace") for path in paths)
            told += [f"/proc/{pid}/{name}:{path}" for path in shown if name != "environ" or _is_release(app, path)]
        print("\n".join(told))
    print("looked")


def _mounts(pid: str) -> list[str]:
    """The lines of its mounts; any user can have one whose name is no UTF-8."""
    return _bytes(pid, "mountinfo").decode("utf-8", "replace").splitlines()


def _is_release(app: Application, path: str) -> bool:
    """Whether a path of an environment, in which secrets can look like one, is that of a release of the application."""
    above, name = os.path.split(app.root)
    return path.startswith(tuple(f"{each}/{name}/releases/" for each in (above, os.path.realpath(above))))


def _leads(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _bytes(pid: str, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def main(name: str, verb: str, *arguments: str) -> None:
    """Do what one verb says, as it says."""
    app = application(name)
    if verb == "judge":
        judge(app)
        return
    refuse_others(app)
    os.environ.clear()
    os.umask(0o022)
    os.chdir("/")
    if verb in ("restart", "stop", "reset-failed", "status", "is-system-running"):
        systemctl(app, verb, *arguments)
    elif verb in ("activate", "tidy"):
        activate(app, verb, *arguments)
    elif verb in VERBS:
        VERBS[verb](app, *arguments)
    else:
        raise Refused(f"{verb!r} is not known")


VERBS: dict[str, Callable[..., None]] = {
    "ask": lambda app: print("ready"),
    "put": put,
    "own-config": own_config,
    "move-env": move_env,
    "run-as": run_as,
    "watch": watch,
}


def ask(*arguments: str) -> None:
    """What the login asks for, done, or refused in a line.

    A caller who does not read what is said to it would keep root waiting: after `LAST` seconds the kernel ends that.
    """
    alarm(LAST)
    try:
        main(*arguments)
    except subprocess.CalledProcessError as failed:
        sys.exit(f"oroboros-helper: {' '.join(failed.cmd)} exited {failed.returncode}")
    except subprocess.TimeoutExpired as late:
        sys.exit(f"oroboros-helper: {' '.join(late.cmd)} did not end in time")
    except (Refused, OSError, ValueError, TypeError, KeyError, AttributeError) as refused:
        sys.exit(f"oroboros-helper: refused: {refused}")
    except (OverflowError, RecursionError) as refused:
        sys.exit(f"oroboros-helper: refused: {refused}")


if __name__ == "__main__":
    ask(*sys.argv[1:])
