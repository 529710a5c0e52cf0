"""What a host needs before the first deploy, as the settings say it.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..config.settings import Migration
from .least import Least

if TYPE_CHECKING:
    from ..config import Config
    from ..host.contract import Scope

# The packages of Debian and Ubuntu that bring a program; what else a recipe names is an administrator's to install.
_PACKAGES: Mapping[str, str] = {
    **{name: name for name in ("curl", "gcc", "jq", "make", "npm", "rsync", "unzip", "wget", "zip", "composer")},
    "node": "nodejs",
    "npx": "npm",
    "php": "php-cli",
    "go": "golang-go",
    "psql": "postgresql-client",
}
_OF_NODE = {"node", "npm", "npx"}
# A program is named at the beginning of a command; variables may stand before it.
_NAMED = re.compile(r"(?:^|&&|\|\||[;|({\n])\s*(?:\w+=\S*\s+)*(?:exec\s+)?([\w.+-]+)")


@dataclass(frozen=True)
class Need:
    """A package, and the line of shell that succeeds where what it brings is there, whoever brought it."""

    package: str
    test: str


@dataclass(frozen=True)
class Wanted:
    """What one host should have.

    ``login`` is who deploys (None: the user who logs in now), ``key`` the public key that may log in as that user
    (None: none is known).  ``directories`` are those that the login owns, ``shared`` the shared places with their
    kinds, ``owner`` whose they are (None: the login's), ``users`` those of the setting `run_as`.  ``least`` is what
    root lists where the login is not to be as good as root.
    """

    login: str | None
    key: str | None
    scope: Scope = "system"
    directories: tuple[str, ...] = ("/srv/oroboros",)
    shared: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    users: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    least: Least | None = None

    @property
    def root(self) -> str:
        """The deploy root."""
        return self.directories[0]

    @property
    def places(self) -> tuple[str, ...]:
        """The paths that are looked at: the login's directories, `shared`, and what lies in it."""
        below = f"{self.root}/shared"
        firsts = (f"{below}/{PurePosixPath(path).parts[0]}" for path in self.shared)
        inside = (f"{below}/{path}" for path in self.shared)
        return tuple(dict.fromkeys((*self.directories, *((below,) if self.shared else ()), *firsts, *inside)))


def wanted(config: Config, login: str | None, key: str | None, helper: str | None = None) -> Wanted:
    """What the settings need of a host; with the text of a ``helper`` the login gets no more rights than that has."""
    root = PurePosixPath(config.root)
    outside = (config.releases_dir,) if not PurePosixPath(config.releases_dir).is_relative_to(root) else ()
    users = tuple(dict.fromkeys(config.run_as.named.values()))
    name = config.application or root.name
    return Wanted(
        least=None if helper is None else Least(name, config.root, tuple(config.services), users, helper),
        login=login,
        key=key,
        scope=config.scope,
        directories=(config.root, *outside),
        shared=config.shared,
        owner=config.run_as.owner,
        users=users,
        needs=(*_always(config), *_of_the_recipe(config)),
    )


def _always(config: Config) -> Iterator[Need]:
    yield _program("git", "git")
    yield _program("python3", "python3")
    if config.scope == "system":
        yield _program("sudo", "sudo")
    else:
        yield Need("dbus-user-session", "test -e /usr/lib/systemd/user/dbus.socket")
        yield Need("libpam-systemd", "ls /usr/lib/*/security/pam_systemd.so /lib/*/security/pam_systemd.so")


def _of_the_recipe(config: Config) -> Iterator[Need]:
    programs = _programs(config)
    if config.build.venvs:
        yield Need("python3-venv", "python3 -c 'import ensurepip'")
    if config.build.venvs or config.repo_url or programs & (_OF_NODE | {"curl", "wget", "composer", "go"}):
        yield Need("ca-certificates", "test -s /etc/ssl/certs/ca-certificates.crt")
    yield from (_program(name, package) for name, package in _PACKAGES.items() if name in programs)


def _program(name: str, package: str) -> Need:
    return Need(package, f"command -v {name}")


def _programs(config: Config) -> set[str]:
    """The programs that the lines of the settings begin with; those of Node lie elsewhere where its path is set."""
    named = {name for line in _lines(config) for name in _NAMED.findall(line)}
    return named - _OF_NODE if config.build.node else named


def _lines(config: Config) -> Iterator[str]:
    """The lines that somebody wrote: the default ones are left out by a host that cannot run them."""
    migration = config.migrate.command if isinstance(config.migrate, Migration) else config.migrate
    frontend = config.build.frontend
    if frontend and any(_is_set(config, f"build.frontend.{name}") for name in ("path", "command", "required")):
        yield frontend.command
    yield from (step.command for step in config.build.steps)
    yield from filter(None, (migration, config.healthcheck.command))


def _is_set(config: Config, name: str) -> bool:
    return config.provenance.get(name, "default") != "default"
