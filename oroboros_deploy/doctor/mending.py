"""What to do about a problem, as a line that can be typed here, for this host."""

from __future__ import annotations

import re
from shlex import quote
from typing import TYPE_CHECKING

from ..setup import rules
from ..text import ssh_line

if TYPE_CHECKING:
    from ..config import Config

_ON_THE_HOST = re.compile(r"on the host(?:, as root)?(?:, once)?: (?P<line>\S.*)")
_SUDOERS = re.compile(r"add to sudoers: (?P<rule>(?P<login>[A-Za-z_][\w.-]*) .+)")
_OTHER_LOGIN = re.compile(r"log in as (?P<owner>[A-Za-z_][\w.-]*), as the deploys before: .*")
_WITH = re.compile(r".*\b(?:(?:free|watch) it|end the hold) with: (?P<command>fab .+)")
_COMMAND = re.compile(r"ssh(?:-keygen|-keyscan)? ")
_INSTALL = re.compile(r"apt install \S+")
_OF_ROOT = ("apt ", "chgrp ", "chown ", "loginctl ", "systemctl ", "timedatectl ")
_BARE = re.compile(r"[\w@%+=:,./-]+(?: [\w@%+=:,./-]+)*")


def mended(config: Config, host: str, hint: str | None, user: str | None = None) -> str | None:
    """The line for a hint about a host, where ``user`` is its login; a hint that is no command stays as it is."""
    if hint is None:
        return None
    if found := _SUDOERS.fullmatch(hint):
        return on(host, f"echo {quote(found['rule'])} | {_put(found['login'], user)}", asks=True)
    if found := _OTHER_LOGIN.fullmatch(hint):
        return config.typed(f"{found['owner']}@{host.rpartition('@')[2]}", "doctor")
    if found := _WITH.fullmatch(hint):
        return config.hinted(host, found["command"])
    if found := _ON_THE_HOST.fullmatch(hint):
        return as_root(host, found["line"], user)
    return as_root(host, hint, user) if _INSTALL.fullmatch(hint) else config.hinted(host, hint)


def apart(hint: str | None) -> tuple[str, str | None]:
    """What a person has to do first, and the command after it; two commands are one line."""
    before, then, command = (hint or "").rpartition(", then ")
    if not then or not _COMMAND.match(command):
        return "", hint
    words, colon, line = before.rpartition(": ")
    return (words, f"{line} && {command}") if colon and _COMMAND.match(line) else (before, command)


def as_root(host: str, line: str, user: str | None) -> str:
    """A line on the host, by sudo where it takes root and the login is not root."""
    if line.startswith(_OF_ROOT) and user != "root":
        several = any(sign in line for sign in ("&&", ";", "|"))
        line = f"sudo sh -c {quote(line)}" if several else f"sudo {line}"
    return on(host, line, asks=line.startswith("sudo "))


def named_in_hosts(host: str, name: str) -> str:
    """The line by which a host knows its own name without DNS, as Debian's installer writes it."""
    return on(host, f"echo {quote(f'127.0.1.1 {name}')} | sudo tee -a /etc/hosts", asks=True)


def executable(path: str) -> str:
    """The line that commits a file as executable."""
    return f"git update-index --chmod=+x {quote(path)} && git commit -m executable"


def on(host: str, line: str, *, asks: bool = False) -> str:
    """A line that is run on the host; one that ``asks`` has a terminal there, for a password."""
    return f"{_login(host, asks)} {_quoted(line)}"


def _login(host: str, asks: bool) -> str:
    return ssh_line(host).replace("ssh ", "ssh -t ", 1) if asks else ssh_line(host)


def _put(login: str, user: str | None) -> str:
    """The end of a pipe: the rule comes into the file that `setup` writes, if sudo can read it."""
    return f"{'' if user == 'root' else 'sudo '}sh -c {quote(rules.put(login, 'cat'))}"


def _quoted(line: str) -> str:
    """One argument for ssh: in double quotes where that changes nothing, for these can be broken by a backslash."""
    if _BARE.fullmatch(line):
        return line
    return quote(line) if any(sign in line for sign in '"$`\\!') else f'"{line}"'
