"""A shell of root on a host that may have nothing of ours yet: scripts in, what they say out, by one SSH command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from shlex import quote
from typing import TYPE_CHECKING

from ..errors import InvalidInput, LinkLost
from ..text import clean

if TYPE_CHECKING:
    from ..ssh import Command, HostConnection

_PATIENCE = 60.0  # seconds for a script that only reads
_THINKING = 3600.0  # seconds that somebody may take to answer a question
_STATUS = re.compile("[0-9]{1,3}")
_PROMPT, _ROOT, _NO_SUDO, _END = "oroboros-password", "oroboros-root", "oroboros-no-sudo", "oroboros-end"

# What a script says goes through a reader that outlives the connection: a package manager that cannot write stops
# half-way.  Both have a session of their own, and go on where this shell is ended.
_WORK = f"""\
pass() {{
  trap '' PIPE
  while IFS= read -r line || [ -n "$line" ]; do printf '%s\\n' "$line" 2>/dev/null; done
}}
{{ (eval "$1") </dev/null; echo "{_END} $?"; }} 2>&1 | pass
"""
# Root's part: the first script is there with the start, the others come as their size and their bytes.
_LOOP = f"""\
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
export PATH LC_ALL
umask 022
cd /
script=$1
echo {_ROOT}
while :; do
  setsid -w /bin/sh -c {quote(_WORK)} sh "$script"
  read -r size || exit 0
  script=$(head -c "$size")
done
"""
# sudo takes the password from its input, so that it stands in no argument; -k has it asked for although it was
# given a moment ago elsewhere, and keeps nothing.
_START = f"""\
if [ "$(id -u)" = 0 ]; then exec /bin/sh -c {{loop}} sh {{first}} 2>&1; fi
command -v sudo >/dev/null || {{{{ echo {_NO_SUDO}; exit 1; }}}}
exec sudo -k -S -p '{_PROMPT}
' -- /bin/sh -c {{loop}} sh {{first}} 2>&1
"""


class RootShell:
    """Becomes root by what the host allows: the login is root, or sudo is asked, with a password where it wants one.

    ``first`` is run at once when that is done; ``answer`` waits for what it says.  ``otherwise`` is what to type where
    this login may not become root.
    """

    def __init__(self, connection: HostConnection, first: str, host: str, otherwise: str) -> None:
        script = _START.format(loop=quote(_LOOP), first=quote(first))
        self._host = host
        self._otherwise = otherwise
        self._command: Command = connection.command(script, deadline=_PATIENCE)
        self._lines = self._command.lines()
        self._last = ""
        self.wants_password = self._opened() == _PROMPT
        if self.wants_password:
            self._command.extend(_THINKING)

    def enter(self, password: str) -> None:
        """Give sudo the password.  Raises InvalidInput where it does not take it."""
        self._command.extend(_PATIENCE)
        self._command.write(f"{password}\n".encode())
        if self._opened() == _PROMPT:
            self.close()
            raise self._refused("sudo did not take the password")
        self.wants_password = False

    def answer(self) -> list[str]:
        """The lines of the first script; the shell stays for as long as somebody may think about them."""
        _, lines = self._until_its_end(lambda _: None)
        self._command.extend(_THINKING)
        return lines

    def run(self, script: str, deadline: float, hear: Callable[[str], object]) -> tuple[int, list[str]]:
        """Run a script with nothing to read; ``hear`` gets each line as it comes.  Returns its status and its lines."""
        self._command.extend(deadline)
        data = script.encode()
        self._command.write(f"{len(data)}\n".encode() + data)
        return self._until_its_end(hear)

    def close(self) -> None:
        """End the shell; a script that it was at goes on."""
        self._command.kill()

    def _opened(self) -> str:
        """What stands at the door: root, or sudo's question; whatever else is said is sudo's explanation."""
        for line in self._texts():
            if line in (_ROOT, _PROMPT):
                return line
            if line == _NO_SUDO:
                raise self._refused("this login is not root, and there is no sudo")
            self._last = line or self._last
        raise self._refused(f"this login may not become root: {self._last or 'sudo said nothing'}")

    def _until_its_end(self, hear: Callable[[str], object]) -> tuple[int, list[str]]:
        lines: list[str] = []
        for line in self._texts():
            word, _, status = line.partition(" ")
            if word == _END and _STATUS.fullmatch(status):
                return int(status), lines
            lines.append(line)
            hear(line)
        said = "".join(f": {line}" for line in lines[-1:])
        raise LinkLost(f"the shell of root ended before its work did{said}", host=self._host)

    def _texts(self) -> Iterator[str]:
        while (line := next(self._lines, None)) is not None:
            yield clean(line.decode(errors="replace"))

    def _refused(self, what: str) -> InvalidInput:
        return InvalidInput(f"nothing was changed: {what}", hint=self._otherwise, host=self._host)
