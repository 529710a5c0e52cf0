"""What every setting is: its name, default, check, environment variable and help text.

Each setting is declared once, as a field below.  ``fab config`` and the tables of
docs/settings.md are made from ``SETTINGS``, which holds these declarations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ..host.constants import FRONTEND_COMMAND, GATE_INTERVAL, GATE_STABLE_FOR, GATE_TIMEOUT
from .checks import (
    check_below,
    check_below_if_any,
    check_command,
    check_command_if_any,
    check_commit_url,
    check_compare_url,
    check_count,
    check_git_url,
    check_inside,
    check_installer,
    check_into,
    check_kept,
    check_labels,
    check_limit,
    check_line,
    check_lock,
    check_megabytes,
    check_name,
    check_node,
    check_own_path,
    check_owner,
    check_packages,
    check_path,
    check_path_if_any,
    check_paths,
    check_pause,
    check_privileged,
    check_projects,
    check_projects_if_any,
    check_scope,
    check_services,
    check_shared,
    check_switch,
    check_user,
    check_values,
    check_variables,
    check_wait,
)
from .probes import HttpProbe, check_http, check_successes, check_tcp

if TYPE_CHECKING:
    from ..host.contract import Scope

_OF_A_STEP = {"name", "path", "command", "inputs", "outputs", "once"}
_OF_A_NAME = "1 to 64 letters, digits, spaces, '.', '_' and '-', the first a letter or a digit"
_STEP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")


@dataclass(frozen=True)
class Step:
    """A build command of the project's own, run in ``path`` within the release.

    ``inputs`` and ``outputs`` are paths within the release; ``once``: on the first host alone, which sees it read-only.
    """

    name: str
    path: str
    command: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    once: bool = False


@dataclass(frozen=True)
class Migration:
    """A migration that runs on each of several hosts; a plain line runs once, on the first."""

    command: str


@dataclass(frozen=True)
class Venv:
    """What is installed into a virtual environment, where that is more than its projects.

    ``requirements`` are files; None means the requirements.txt of each project.  ``extras`` and ``groups`` are
    those of the projects, ``packages`` are requirements that only production needs.  ``lock`` is ``auto`` (a lock file
    beside a project is installed as locked) or None (it is ignored).
    """

    projects: tuple[str, ...] = ()
    requirements: tuple[str, ...] | None = None
    packages: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    lock: str | None = "auto"


Venvs: TypeAlias = Mapping[str, tuple[str, ...] | Venv]
Places: TypeAlias = Mapping[str, str]  # by path within a release: "dir" or "file"
Value: TypeAlias = (
    str | float | tuple[str, ...] | tuple[Step, ...] | tuple[HttpProbe, ...] | Venvs | Places | Migration | None
)


def _steps(value: object) -> tuple[Step, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of {name, path, command, inputs, outputs, once}")
    steps = tuple(_step(item) for item in value)
    if len({step.name for step in steps}) < len(steps):
        raise ValueError("names a step twice")
    return steps


def _step(value: object) -> Step:
    if not isinstance(value, Mapping) or not {"name", "command"} <= set(value) <= _OF_A_STEP:
        raise ValueError("must hold only {name, path, command, inputs, outputs, once}; name and command are needed")
    if not isinstance(value["name"], str) or not _STEP_NAME.fullmatch(value["name"]):
        raise ValueError(f"must name each step in {_OF_A_NAME}")
    inputs, outputs = (check_paths(value.get(name, ())) for name in ("inputs", "outputs"))
    once = check_switch(value.get("once", False))
    _check_outputs(inputs, outputs, once)
    path, command = check_inside(value.get("path", ".")), check_command(value["command"])
    return Step(value["name"], path, command, inputs, outputs, once)


def _check_outputs(inputs: tuple[str, ...], outputs: tuple[str, ...], once: bool) -> None:
    if inputs and not outputs:
        raise ValueError("must name the outputs of a step that has inputs: they are what is taken again")
    if once and outputs:
        raise ValueError("must not name outputs of a step that is once: it sees the release read-only")
    if any(f"{one}/".startswith(f"{other}/") for one in outputs for other in outputs if one != other):
        raise ValueError("must not name an output inside another one")


def _migration(value: object) -> str | Migration | None:
    """A line, which runs once, or ``{command, once}``; one that runs once, however it was written, is a plain line."""
    if isinstance(value, Migration):
        return value
    if not isinstance(value, Mapping):
        return check_command_if_any(value)
    if not {"command"} <= set(value) <= {"command", "once"}:
        raise ValueError("must be a line, or hold only {command, once}")
    command = check_command(value["command"])
    return command if check_switch(value.get("once", True)) else Migration(command)


_OF_A_VENV: Mapping[str, Callable[[object], tuple[str, ...] | str | None]] = {
    "projects": check_projects_if_any,
    "requirements": check_paths,
    "packages": check_packages,
    "extras": check_labels,
    "groups": check_labels,
    "lock": check_lock,
}


def _venvs(value: object) -> dict[str, tuple[str, ...] | Venv]:
    if not isinstance(value, Mapping):
        raise ValueError("must map each venv's directory to the projects installed into it")
    if "." in value:
        raise ValueError("must be a directory below the release's own: for an environment at its top, name it .venv")
    venvs = {check_below(directory): _venv(written) for directory, written in value.items()}
    if len(venvs) < len(value):
        raise ValueError("names a directory twice")
    return venvs


def _venv(value: object) -> tuple[str, ...] | Venv:
    """What is installed into one; project directories alone, however they were written, are a plain tuple."""
    if isinstance(value, Venv):
        return value
    if not isinstance(value, Mapping):
        return check_projects(value)
    if not set(value) <= set(_OF_A_VENV):
        raise ValueError(f"must hold only {{{', '.join(_OF_A_VENV)}}} for a venv")
    venv = Venv(**{name: _OF_A_VENV[name](written) for name, written in value.items()})  # type: ignore[arg-type]
    if not (venv.projects or venv.requirements or venv.packages):
        raise ValueError("must name at least one project, requirements file or package for each venv")
    return venv.projects if venv == Venv(venv.projects) else venv


class _About(NamedTuple):
    """What a declaration says of a setting besides its name and default."""

    check: Callable[[object], Value]
    help: str
    variable: str | None
    secret: bool
    in_file: bool


@dataclass(frozen=True)
class Setting:
    """One setting: its dotted name under ``deploy:``, its default and what there is to say about it.

    ``check`` takes what was written and returns the value.  ``variable`` is the
    environment variable that overrides the setting.  ``in_file`` is false for what an
    operator decides each time and a file must not make permanent.
    """

    name: str
    default: Value
    help: str
    check: Callable[[object], Value]
    variable: str | None
    secret: bool
    in_file: bool


def _about(
    check: Callable[[object], Value],
    help: str,
    *,
    variable: str | None = None,
    secret: bool = False,
    in_file: bool = True,
) -> dict[str, _About]:
    return {"about": _About(check, help, variable, secret, in_file)}


@dataclass(frozen=True)
class Healthcheck:
    """The gate: command and probes pass together. Times are in seconds."""

    command: str | None = field(
        default="scripts/runtime-health-check.sh",
        metadata=_about(
            check_command_if_any,
            "line run by bash with `current` as its working directory; the gate needs its exit code 0; `null`: no"
            " command. When `http` or `tcp` is set, there is no default command. Without a command, `http` and `tcp`,"
            " the services alone decide",
            variable="DEPLOY_HEALTHCHECK_CMD",
        ),
    )
    timeout: float = field(
        default=GATE_TIMEOUT,
        metadata=_about(
            check_limit,
            "seconds for the whole gate: within this time command and probes (URLs and ports) must pass, and the"
            " services must stay up",
        ),
    )
    interval: float = field(
        default=GATE_INTERVAL, metadata=_about(check_pause, "seconds between two tries of command and probes")
    )
    stable_for: float = field(
        default=GATE_STABLE_FOR,
        metadata=_about(
            check_pause,
            "seconds for which every service must stay the same process; when the setting is not set, 0.5 s are enough"
            " for a release that already served on the host for 10 minutes with the same gate, services and"
            " configuration",
        ),
    )

    http: tuple[HttpProbe, ...] = field(
        default=(),
        metadata=_about(
            check_http,
            "what has to answer on the host itself: `{url, status, contains, header, host, ca, unix, timeout}`, or a"
            " list of them; docs/gate.md",
            secret=True,
        ),
    )
    tcp: tuple[str, ...] = field(
        default=(),
        metadata=_about(check_tcp, "what has to take a connection from the host: `HOST:PORT`, or a list of them"),
    )
    successes: int = field(
        default=1,
        metadata=_about(check_successes, "times in a row that command and probes have to pass together"),
    )

    @property
    def asks(self) -> bool:
        """Whether anything is asked besides the services."""
        return bool(self.command or self.http or self.tcp)


@dataclass(frozen=True)
class Frontend:
    """The frontend of a release: built in ``path``, its ``output`` copied to ``into``."""

    path: str = field(
        default="frontend",
        metadata=_about(
            check_inside, "directory that the command runs in; `build.frontend: null` means that there is no frontend"
        ),
    )
    command: str = field(
        default=FRONTEND_COMMAND,
        metadata=_about(
            check_command,
            "line run by bash in `build.frontend.path`; on a host without npm the default command is left out, and a"
            " message says so",
        ),
    )
    output: str = field(
        default="dist", metadata=_about(check_below, "directory that the command fills, within `build.frontend.path`")
    )
    into: str | None = field(
        default="infra/web-main",
        metadata=_about(
            check_into,
            "directory of the release that the output is copied to; `null`, or the output's own path: it stays there",
        ),
    )
    required: bool = field(
        default=False,
        metadata=_about(
            check_switch, "`true`: on a host without npm the build fails, instead of leaving out the default command"
        ),
    )


@dataclass(frozen=True)
class RegistryTables:
    """The registry's tables."""

    releases: str | None = field(
        default=None,
        metadata=_about(
            check_owner,
            "who makes the table `releases` when it is missing: this tool (`ours`) or another program (`theirs`; until"
            " then the rows wait in a table of this tool). When it is not set: `theirs` when another program has tables"
            " in the database or `migrate` is set, otherwise `ours`",
        ),
    )


def _default_venvs() -> dict[str, tuple[str, ...]]:
    return {"backend": ("backend",), "worker": ("worker",)}


@dataclass(frozen=True)
class Build:
    """What makes a release out of a commit. Times are in seconds."""

    python: str | None = field(
        default=None,
        metadata=_about(
            check_path_if_any,
            "path on the host of the python3 (3.9 or later) that virtual environments and wheels are made with; when"
            " it is not set: the host's own",
        ),
    )
    node: str | None = field(
        default=None,
        metadata=_about(
            check_node,
            "path on the host of a node; its directory comes first in PATH of builds, migrations and health commands",
        ),
    )
    frontend: Frontend | None = field(default_factory=Frontend)
    venvs: Venvs = field(
        default_factory=_default_venvs,
        metadata=_about(
            _venvs,
            "virtual environments: the directory of each environment, with the directories of the projects that are"
            " installed into this environment, or `{projects, requirements, packages, extras, groups, lock}`",
        ),
    )
    steps: tuple[Step, ...] = field(
        default=(),
        metadata=_about(
            _steps,
            "your own commands, a list of `{name, path, command, inputs, outputs, once}`, run one after another,"
            " after all other parts; releases share output files with equal content; with `inputs` the outputs are"
            " taken from an earlier build when no input changed; `once: true`: runs on the first host only, and sees"
            " the release read-only",
        ),
    )
    timeout: float = field(default=1800, metadata=_about(check_limit, "seconds for the whole build"))
    installer: str = field(
        default="auto",
        metadata=_about(
            check_installer,
            "what fills the virtual environments: `pip`, `uv`, or `auto` (uv where the host has it and pip has no"
            " settings of its own)",
        ),
    )
    inputs: tuple[str, ...] = field(
        default=(),
        metadata=_about(check_paths, "paths that every part of the build depends on besides its own directory"),
    )
    cache: int = field(
        default=2000,
        metadata=_about(
            check_megabytes,
            "megabytes of earlier results that a host keeps; files that a release uses do not count",
        ),
    )


@dataclass(frozen=True)
class Secrets:
    """Where the values come from that no file of the repository has."""

    command: str | None = field(
        default=None,
        metadata=_about(
            check_command_if_any,
            "line run by bash on the control node, in the repository; it prints `NAME=value` lines, as systemd reads"
            " them",
        ),
    )
    timeout: float = field(default=60, metadata=_about(check_limit, "seconds for `env.secrets.command`"))
    names: tuple[str, ...] = field(
        default=(),
        metadata=_about(check_variables, "names whose values are taken from the environment of `fab` itself"),
    )


@dataclass(frozen=True)
class Environment:
    """The configuration: what services, migrations and health commands find in their environment.

    Of two values with one name the later wins: ``file``, ``values``, ``secrets``.
    """

    file: str | None = field(
        default=None,
        metadata=_about(
            check_below_if_any, "file of the commit with plain values, `NAME=value`, written as systemd reads them"
        ),
    )
    values: Mapping[str, str] = field(
        default_factory=dict,
        repr=False,
        metadata=_about(
            check_values,
            "plain values by name; a value of an environment replaces the value of this name; other values stay",
            secret=True,
        ),
    )
    secrets: Secrets = field(default_factory=Secrets)
    build: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            check_variables,
            "the only names that a build sees; when one of their values changes, a deploy builds the release again,"
            " or is refused when this release is live",
        ),
    )

    @property
    def given(self) -> bool:
        """Whether there is a configuration."""
        return bool(self.file or self.values or self.secrets.command or self.secrets.names or self.build)


@dataclass(frozen=True)
class RunAs:
    """Users of the host, beside the login, for what runs there for the repository; none is root."""

    owner: str | None = field(
        default=None,
        metadata=_about(
            check_user,
            "user of the host who owns the shared directories that a deploy makes, and whose group may read the"
            " configuration; when it is not set: the login",
        ),
    )
    migrate: str | None = field(
        default=None,
        metadata=_about(check_user, "user of the host that the migration runs as; when it is not set: the login"),
    )
    gate: str | None = field(
        default=None,
        metadata=_about(check_user, "user of the host that the health command runs as; when it is not set: the login"),
    )
    hooks: str | None = field(
        default=None, metadata=_about(check_user, "no effect yet: kept for hooks, which this version does not have")
    )

    @property
    def named(self) -> dict[str, str]:
        """The users that are set, by the name of the setting."""
        users = {"owner": self.owner, "migrate": self.migrate, "gate": self.gate, "hooks": self.hooks}
        return {name: user for name, user in users.items() if user is not None}


@dataclass(frozen=True, init=False, repr=False, eq=False)  # those are made once, for `Config`: all commands wait
class Settings:
    """All settings, each with its default. Paths are paths on the host, times are in seconds."""

    root: str = field(
        default="/srv/oroboros",
        metadata=_about(
            check_own_path,
            "directory on the host that holds releases, `current`, the git mirror and the files of this tool",
            variable="DEPLOY_ROOT",
        ),
    )
    application: str | None = field(
        default=None,
        metadata=_about(
            check_name,
            "name of the application in `root`, for the registry and for commands without `-H`; when it is not set, the"
            " last part of `root`",
        ),
    )
    releases_dir: str = field(
        default="{root}/releases",
        metadata=_about(check_own_path, "directory that the releases are in", variable="DEPLOY_RELEASES_DIR"),
    )
    current_link: str = field(
        default="{root}/current",
        metadata=_about(check_path, "the link that names the live release", variable="DEPLOY_CURRENT_LINK"),
    )
    repo_root: str = field(
        default="{root}/repo",
        metadata=_about(check_path, "bare git mirror that releases are made from", variable="REPO_ROOT"),
    )
    repo_url: str | None = field(
        default=None,
        repr=False,
        metadata=_about(
            check_git_url,
            "git URL that a host fetches from; when it is not set, the control node sends what the host lacks",
            secret=True,
        ),
    )
    registry_url: str | None = field(
        default=None,
        repr=False,
        metadata=_about(
            check_line,
            "URL of the registry's database; when it is not set, a SQLite file in your state directory",
            variable="DEPLOY_REGISTRY_URL",
            secret=True,
        ),
    )
    commit_url: str | None = field(
        default=None,
        metadata=_about(check_commit_url, "where people read a commit, with {sha}: the page of `serve` leads there"),
    )
    compare_url: str | None = field(
        default=None,
        metadata=_about(
            check_compare_url,
            "where people read what is new between two commits, with {before} and {after}: the page of `serve` leads "
            "there",
        ),
    )
    registry: RegistryTables = field(default_factory=RegistryTables)
    services: tuple[str, ...] = field(
        default=(
            "ouroboros-api",
            "ouroboros-worker",
            "ouroboros-web@main",
            "ouroboros-web@preview1",
            "ouroboros-web@preview2",
            "ouroboros-web@preview3",
            "ouroboros-caddy",
        ),
        metadata=_about(
            check_services,
            "systemd units to restart, all in one call; their order here means nothing, systemd's own ordering decides."
            " The name of a target also means the services that the target wants or that are PartOf the target; the"
            " name of a service also means the services that are PartOf that service; the name of a slice means the"
            " services in the slice, and the name of a socket also means its service",
            variable="DEPLOY_SERVICES",
        ),
    )
    scope: Scope = field(
        default="system",
        metadata=_about(
            check_scope,
            "whose service manager runs the services: `system`, by sudo, or `user`: the login's own, and nothing"
            " becomes root; docs/hosts.md says what each needs",
            variable="DEPLOY_SCOPE",
        ),
    )
    healthcheck: Healthcheck = field(default_factory=Healthcheck)
    build: Build = field(default_factory=Build)
    shared: Places = field(
        default_factory=dict,
        metadata=_about(
            check_shared,
            "paths that live in `{root}/shared`, each `dir` or `file`: every release has a link there, services may"
            " write there, and no build or pruning touches them",
        ),
    )
    env: Environment = field(default_factory=Environment)
    units: str | None = field(
        default=None,
        metadata=_about(
            check_below_if_any,
            "directory of the commit with units (`.service`, `.socket`, `.timer`, `.path`, `.target`, drop-ins), which"
            " are installed with the release, and removed when a release no longer has them",
        ),
    )
    run_as: RunAs = field(default_factory=RunAs)
    privileged: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            check_privileged,
            "list of the commands that may become root, by sudo or any other setuid program: `build`, `migrate`,"
            " `healthcheck`, `hooks` (no effect yet: this version has no hooks). No other command of the repository can"
            " become root by such a program. `doctor` names this setting, and a build that may become root sees the"
            " whole host. With `scope: user` and with least privilege the setting is refused",
        ),
    )
    migrate: str | Migration | None = field(
        default=None,
        metadata=_about(
            _migration,
            "line run by bash in the sealed release before the switch, on one host; its last line of output is"
            " recorded as the revision of the database; `{command, once: false}`: on every host",
        ),
    )
    restart_timeout: float = field(
        default=180, metadata=_about(check_limit, "seconds for the one `systemctl restart` of all services")
    )
    migrate_timeout: float = field(default=900, metadata=_about(check_limit, "seconds for the migration"))
    reconnect_timeout: float = field(
        default=600,
        metadata=_about(
            check_limit,
            "seconds for which `fab` tries to connect again when the connection is lost during an activation",
        ),
    )
    keep: int = field(
        default=5,
        metadata=_about(
            check_kept,
            "how many good releases stay on a host when old ones are removed, the live release and the release before"
            " it included; 2 or more",
        ),
    )
    parallel: int = field(
        default=1,
        metadata=_about(
            check_count,
            "how many hosts switch at the same time; when a host fails, the hosts that have not begun are left alone",
        ),
    )
    confirm: bool = field(
        default=False,
        metadata=_about(
            check_switch,
            "`true`: a deploy shows what it will do, and asks on the terminal before it begins; `--yes` answers the"
            " question. Without a terminal and without `--yes` the deploy is refused. An entry of"
            " `environments` can set it for this environment alone",
        ),
    )
    wait: float | None = field(
        default=None,
        metadata=_about(
            check_wait,
            "how many seconds `fab` waits for an activation that already runs on a host; when it is not set: 60 for an"
            " activation of another deploy root, 0 for an activation of this deploy root",
        ),
    )
    no_cache: bool = field(
        default=False,
        metadata=_about(check_switch, "`true`: build every part again, and take nothing from earlier builds"),
    )
    rebuild: bool = field(
        default=False,
        metadata=_about(
            check_switch,
            "`true`: build the release again although it is complete on a host; refused where it is live",
            in_file=False,
        ),
    )
    keep_env: bool = field(
        default=False,
        metadata=_about(
            check_switch,
            "`true`: a rollback keeps the configuration that is in use, instead of the configuration of the release",
            in_file=False,
        ),
    )
    adopt_units: bool = field(
        default=False,
        metadata=_about(
            check_switch,
            "`true`: units that were put on a host by hand, or edited there since, are replaced by those of the"
            " release; the replaced texts are kept",
            in_file=False,
        ),
    )
    skip_restart: bool = field(
        default=False,
        metadata=_about(
            check_switch,
            "`1`: restart nothing; then health command and probes alone decide",
            variable="DEPLOY_SKIP_SERVICE_RESTART",
            in_file=False,
        ),
    )
    skip_healthcheck: bool = field(
        default=False,
        metadata=_about(
            check_switch,
            "`1`: ask neither health command nor probes; the services that are restarted must still stay up",
            variable="DEPLOY_SKIP_HEALTHCHECK",
            in_file=False,
        ),
    )


def section_of(declared: Field[object]) -> type[object] | None:
    """The section that a field holds, when it holds settings of its own."""
    kind = declared.default_factory
    return kind if isinstance(kind, type) and is_dataclass(kind) else None


def _declared(kind: type[object], prefix: str = "") -> Iterator[Setting]:
    for item in fields(kind):  # type: ignore[arg-type]
        if section := section_of(item):
            yield from _declared(section, f"{prefix}{item.name}.")
        else:
            yield _setting(f"{prefix}{item.name}", item)


def _setting(name: str, declared: Field[Value]) -> Setting:
    make = declared.default_factory
    default = make() if callable(make) else declared.default
    return Setting(name, default, **declared.metadata["about"]._asdict())  # type: ignore[arg-type]


SETTINGS: tuple[Setting, ...] = tuple(_declared(Settings))
BY_NAME = {setting.name: setting for setting in SETTINGS}
SECTIONS = {name.rpartition(".")[0] for name in BY_NAME} - {""}
