"""What a unit of the login's own service manager said, as far as the login may read it.

systemd's journal finds the unit of a line by the process that wrote it; for the login's units nobody tells it
otherwise.  Of a process that ends at once it therefore may not know the unit any more.  So all lines of this user are
read, and those of the unit are taken together with those whose unit nobody knows.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from . import environment, process
from .annotations import Any, Dict, Iterator, List

_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_PID,_TRANSPORT,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,USER_UNIT"
_READ = 1000  # of the newest lines of this user


def recent(unit: str, since: float, lines: int) -> str:
    """Its last lines ``since`` (Unix time), and its manager's about it; none where the login may not read them."""
    output: List[bytes] = []
    asked = ("--quiet", "--no-pager", "--all", "--output=json", f"--output-fields={_FIELDS}", "--reverse")
    wanted = (f"--since=@{since:f}", f"--lines={_READ}", f"_UID={os.getuid()}")
    process.apart(["journalctl", *asked, *wanted], cwd=Path("/"), deadline=time.monotonic() + 10, sink=output.append)
    found = [_line(each) for each in _entries(b"".join(output)) if _is_of(each, unit)][:lines]
    return "\n".join(reversed(found))


def unread() -> str:
    """What to do where the journal shows nothing; to be in the group the manager, and its services, start anew."""
    user = environment.of_this_user()["USER"]
    group = f"usermod -aG systemd-journal {user} && systemctl restart user@{os.getuid()}.service"
    mend = f"on the host, as root (this restarts all services of {user}): {group}"
    return f"the journal shows {user} no line of this unit; {mend}"


def _entries(output: bytes) -> Iterator[Dict[str, Any]]:
    for line in output.splitlines():
        with contextlib.suppress(ValueError):  # it was cut short
            yield json.loads(line)


def _is_of(entry: Dict[str, Any], unit: str) -> bool:
    unknown = entry.get("_TRANSPORT") == "stdout" and "_SYSTEMD_UNIT" not in entry
    return unknown or unit in (entry.get("_SYSTEMD_USER_UNIT"), entry.get("USER_UNIT"))


def text_of(said: Any) -> str:
    """A message; numbers where it is no text, several where an entry has more than one."""
    if not isinstance(said, list):
        return str(said)
    whole = all(isinstance(each, int) for each in said)
    return bytes(said).decode("utf-8", "replace") if whole else "\n".join(map(text_of, said))


def _line(entry: Dict[str, Any]) -> str:
    """As journalctl writes it; a message that is no text comes as numbers."""
    said, at = entry.get("MESSAGE") or "", int(entry["__REALTIME_TIMESTAMP"]) / 1e6
    text = text_of(said)
    who = f"{entry.get('SYSLOG_IDENTIFIER', 'unknown')}[{entry.get('_PID', '?')}]"
    return f"{time.strftime('%b %d %H:%M:%S', time.localtime(at))} {who}: {text}"
