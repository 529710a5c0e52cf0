"""What the ssh_config files say about one host.

The files are evaluated as OpenSSH does it: ``Host`` and ``Match`` open and close
blocks, ``Include`` is read where it stands and inside the block it stands in,
and the first value of a keyword wins.  Every value remembers its file and line.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..user import user_name
from .address import Address
from .patterns import matches
from .tokens import expand

USER_FILE = "~/.ssh/config"
SYSTEM_FILE = "/etc/ssh/ssh_config"
_MAX_DEPTH = 16
_MATCH_EXEC_SECONDS = 30

_LINE = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.*)")
_COMMENT = re.compile(r"(?:^|\s)#.*")
# The rest of such a line is a shell command: no quotes are removed, no comment is cut.
_COMMANDS = {"proxycommand", "localcommand", "remotecommand", "knownhostscommand"}
_RIVALS = {"proxyjump": "proxycommand", "proxycommand": "proxyjump"}
_SYNONYMS = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "dsaauthentication": "pubkeyauthentication",
}


@dataclass(frozen=True)
class Setting:
    """One line: the keyword as written, its words, and the place ``file:line``."""

    keyword: str
    words: tuple[str, ...]
    place: str

    @property
    def value(self) -> str:
        """The first word."""
        return self.words[0]

    def error(self, problem: str) -> ConfigError:
        """The error to raise when this line cannot be followed."""
        return ConfigError(f"{self.place}: {self.keyword} {' '.join(self.words)}: {problem}")


class SshConfig:
    """The settings that apply to one address, from the given file or the usual two.

    Raises ConfigError, with file and line, for a file that cannot be understood.
    """

    def __init__(self, address: Address, path: str | None = None) -> None:
        self._address = address
        self._settings: dict[str, Setting] = {}
        self._identities: dict[tuple[str, ...], Setting] = {}
        self._wants_final_pass = False
        self._final = False
        self._read_all(path)
        if self._wants_final_pass:
            self._final = True
            self._read_all(path)

    def get(self, keyword: str) -> Setting | None:
        """The setting of a keyword (in lower case), if the files have one."""
        return self._settings.get(keyword)

    @property
    def identities(self) -> tuple[Setting, ...]:
        """Every IdentityFile line that applies, in order."""
        return tuple(self._identities.values())

    def __iter__(self) -> Iterator[tuple[str, Setting]]:
        return iter(self._settings.items())

    def _read_all(self, path: str | None) -> None:
        if path is not None:
            self._read(Path(path).expanduser(), Path("~/.ssh").expanduser(), required=True)
            return
        self._read(Path(USER_FILE).expanduser(), Path("~/.ssh").expanduser(), guarded=True)
        self._read(Path(SYSTEM_FILE), Path(SYSTEM_FILE).parent)

    def _read(self, path: Path, base: Path, *, required: bool = False, guarded: bool = False, depth: int = 0) -> None:
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{path}: Include goes deeper than {_MAX_DEPTH} files", hint="look for a loop")
        text = _text(path, required=required, guarded=guarded)
        active = True
        for number, line in enumerate(text.split("\n"), 1):
            setting = _parse(line, f"{path}:{number}")
            if setting is None:
                continue
            keyword = setting.keyword.lower()
            if keyword == "host":
                active = matches(setting.words, self._address.host)
            elif keyword == "match":
                active = self._match(setting)
            elif active and keyword == "include":
                for file in _included(setting, base):
                    self._read(file, base, guarded=guarded, depth=depth + 1)
            elif active:
                self._keep(_SYNONYMS.get(keyword, keyword), setting)

    def _keep(self, keyword: str, setting: Setting) -> None:
        if keyword == "identityfile":
            self._identities.setdefault(setting.words, setting)
        elif _RIVALS.get(keyword) not in self._settings:
            self._settings.setdefault(keyword, setting)

    def _match(self, setting: Setting) -> bool:
        words = iter(setting.words)
        return all(self._criterion(word, words, setting) for word in words)

    def _criterion(self, word: str, words: Iterator[str], setting: Setting) -> bool:
        name = word.removeprefix("!").lower()
        if name in ("all", "canonical", "final"):
            self._wants_final_pass |= name == "final"
            held = {"all": True, "canonical": False, "final": self._final}[name]
        else:
            held = self._compare(name, next(words, ""), setting)
        return held is not word.startswith("!")

    def _compare(self, name: str, argument: str, setting: Setting) -> bool:
        if name == "exec" and argument:
            return _succeeds(argument, self)
        subject = self._subjects().get(name)
        if subject is None or not argument:
            raise setting.error(f"Match {name} is not supported")
        return matches(argument.split(","), subject)

    def _subjects(self) -> dict[str, str]:
        names = self.names()
        return {
            "host": names["h"],
            "originalhost": names["n"],
            "user": names["r"],
            "localuser": names["u"],
        }

    def names(self) -> dict[str, str]:
        """What the tokens %h, %n, %p, %r and %u stand for, as far as the files are read."""
        host, port, user = (self._settings.get(keyword) for keyword in ("hostname", "port", "user"))
        alias = self._address.host
        return {
            "h": host.value.replace("%h", alias) if host else alias,
            "n": alias,
            "p": str(self._address.port or (port.value if port else 22)),
            "r": self._address.user or (user.value if user else user_name()),
            "u": user_name(),
        }


def _text(path: Path, *, required: bool, guarded: bool) -> str:
    try:
        if guarded:
            _refuse_strangers(path)
        return path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        if required:
            raise ConfigError(f"there is no ssh configuration file {path}", hint="check -S / ssh_config_path") from None
        return ""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _refuse_strangers(path: Path) -> None:
    status = path.stat()
    if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022:
        raise ConfigError(f"{path} can be changed by other users", hint=f"chmod go-w {shlex.quote(str(path))}")


def _parse(line: str, place: str) -> Setting | None:
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    found = _LINE.fullmatch(line)
    words = _words(*found.groups()) if found else []
    if not found or not words:
        raise ConfigError(f"{place}: {line!r} is not a setting")
    return Setting(found[1], tuple(words), place)


def _words(keyword: str, rest: str) -> list[str]:
    if keyword.lower() in _COMMANDS:
        return [rest.strip()] if rest.strip() else []
    try:
        return shlex.split(_COMMENT.sub("", rest))
    except ValueError:
        return []


def _included(setting: Setting, base: Path) -> Iterator[Path]:
    for word in setting.words:
        path = base / Path(word).expanduser()
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _succeeds(command: str, config: SshConfig) -> bool:
    line = expand(command, config.names())
    try:
        return (
            subprocess.run(
                ["/bin/sh", "-c", line],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=_MATCH_EXEC_SECONDS,
            ).returncode
            == 0
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"Match exec {command!r} did not end within {_MATCH_EXEC_SECONDS} s") from None
