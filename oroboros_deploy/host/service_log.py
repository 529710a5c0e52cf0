"""What the services of this application said: systemd's journal, line by line, also while it goes on."""

from __future__ import annotations

import contextlib
import gc
import grp
import json
import os
import pwd
import time
from pathlib import Path

from . import manager, process, units
from .annotations import TYPE_CHECKING, Any, Dict, List, Optional
from .layout import Layout
from .refusal import Refusal
from .user_commands import LONGEST, ended_by_hang_up, hidden

if TYPE_CHECKING:
    from .contract import LogsAnswer, LogsRequest
    from .masking import Mask
    from .wire import Say

_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_PID,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,UNIT,USER_UNIT"
_WARNS = (b"sudo: unable to resolve host ", b"sudo: setrlimit(")  # how lines begin after which sudo goes on
_READERS = ("systemd-journal", "adm", "wheel")  # the groups that journald lets read everything


def logs(layout: Layout, request: LogsRequest, say: Say) -> LogsAnswer:
    """Tell what was asked for; one that is to ``follow`` ends when nobody listens any more."""
    gc.enable()  # it may live long
    lines = _Lines(say, hidden(layout))
    name = f"logs-{os.getpid()}"
    with ended_by_hang_up() as stop:
        deadline = time.monotonic() + LONGEST
        ended = process.run(_command(request, name), cwd=Path("/"), deadline=deadline, stop=stop, sink=lines.take)
    if stop.is_set():
        _end(name)
    elif ended.status and lines.strange:
        said = " | ".join(lines.strange)
        raise Refusal("invalid", f"the journal was not read: {said}", hint=_to_read_it(request, said))
    return {"lines": lines.told}


def _to_read_it(request: LogsRequest, said: str) -> str:
    """What to type: an option may be wrong where one was given, and sudo may refuse whoever may not read."""
    if said.startswith("sudo:") or not (request.get("since") or request.get("grep")):
        return "fab -H HOST doctor  checks what this login may do as root"
    return "man journalctl  has the times that --since takes, and --grep takes a regular expression"


def _command(request: LogsRequest, name: str) -> List[str]:
    """The journal of these services and nothing else, as somebody who may read it."""
    services = [units.full_name(service) for service in units.names(request["services"])]
    if not services:
        raise Refusal("invalid", "no service is named", hint="name them in fabric.yaml, or with --services")
    asked = ["journalctl", "--quiet", "--no-pager", "--all", "--output=json", f"--output-fields={_FIELDS}"]
    system = manager.chosen().of_the_system
    asked += [f"--{'unit' if system else 'user-unit'}={service}" for service in services]
    asked += ["--namespace=*"] if system else []
    wanted: Dict[str, Optional[str]] = {"since": request.get("since"), "grep": request.get("grep")}
    asked += [f"--{option}={value}" for option, value in wanted.items() if value is not None]
    asked += [] if request.get("since") else [f"--lines={request['lines']}"]
    asked += ["--follow"] if request["follow"] else []
    return asked if _may_read() or not system else _as_a_reader(name, asked)


def _may_read() -> bool:
    """Whether this login sees what others' services said."""
    return os.getuid() == 0 or any(_number(group) in os.getgroups() for group in _READERS)


def _number(group: str) -> Optional[int]:
    with contextlib.suppress(KeyError):
        return grp.getgrnam(group).gr_gid
    return None


def _as_a_reader(name: str, asked: List[str]) -> List[str]:
    """The command as a unit of this login with the group that may read the journal; sudo has a rule for that."""
    from . import another_user

    if manager.chosen().bound:
        user = pwd.getpwuid(os.getuid()).pw_name
        hint = f"on the host, as root: usermod --append --groups {_READERS[0]} {user}"
        raise Refusal("invalid", f"{user} may not read the journal", hint=hint)
    another_user.sweep("logs")
    options = ["--unit", another_user.unit_of(name), f"--property=SupplementaryGroups={_READERS[0]}"]
    return another_user.command_of(pwd.getpwuid(os.getuid()), options, *asked)


def _end(name: str) -> None:
    """End the unit, which outlives the program that started it."""
    from . import another_user

    another_user.stop(name)


class _Lines:
    """The entries of the journal, as they come, told one by one."""

    def __init__(self, say: Say, mask: Mask) -> None:
        self.told = 0
        self.strange: List[str] = []  # what is no entry: an error of journalctl, or of what was to start it
        self._say, self._mask, self._rest = say, mask, b""

    def take(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            if line and not line.startswith(_WARNS):
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            self._tell(json.loads(line))
        except (ValueError, KeyError, TypeError):
            self.strange = [*self.strange, line.decode("utf-8", "replace")][-5:]

    def _tell(self, entry: Dict[str, Any]) -> None:
        from .user_log import text_of

        unit = next((entry[each] for each in ("UNIT", "USER_UNIT", "_SYSTEMD_UNIT") if entry.get(each)), "")
        at, who = int(entry["__REALTIME_TIMESTAMP"]) / 1e6, str(entry.get("SYSLOG_IDENTIFIER", "unknown"))
        text = self._mask.text(text_of(entry.get("MESSAGE") or ""))
        self._say("log.line", text, unit=str(unit), who=who, pid=str(entry.get("_PID", "")), said_at=at)
        self.told += 1
