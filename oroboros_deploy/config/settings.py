"""Settings: where each value comes from, and whether it can be used.

Precedence: flag > environment variable > ``environments.<name>`` > file > default.
Each setting is declared once, as a field below; names, defaults, checks and help
text everywhere else (``fab config``, the documentation) are read from ``SETTINGS``.
"""

from __future__ import annotations

import difflib
import posixpath
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from itertools import combinations
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeVar

from ..errors import ConfigError
from .checks import (
    address,
    check_below,
    check_command,
    check_count,
    check_git_url,
    check_hosts,
    check_inputs,
    check_inside,
    check_installer,
    check_kept,
    check_limit,
    check_line,
    check_megabytes,
    check_own_path,
    check_path,
    check_pause,
    check_services,
    check_switch,
    check_venvs,
)

_STEP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_MAY_BE_OFF = "build.frontend"
_ONE_NAME = "name one environment alone, or only hosts of one"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_T = TypeVar("_T")


def _steps(value: Any) -> tuple[Step, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of {name, path, command}")
    steps = tuple(_step(item) for item in value)
    if len({step.name for step in steps}) < len(steps):
        raise ValueError("names a step twice")
    return steps


def _step(value: Any) -> Step:
    if not isinstance(value, Mapping) or not {"name", "command"} <= set(value) <= {"name", "path", "command"}:
        raise ValueError("must hold only {name, path, command}; path may be left out")
    if not isinstance(value["name"], str) or not _STEP_NAME.fullmatch(value["name"]):
        raise ValueError("must name each step in letters, digits, spaces, '.', '_' and '-'")
    return Step(value["name"], check_inside(value.get("path", ".")), check_command(value["command"]))


# --- declarations ---


@dataclass(frozen=True)
class Setting:
    """One setting: its dotted name under ``deploy:``, its default and what there is to say about it.

    ``variable`` is the environment variable that overrides it; ``in_file`` is false
    for what an operator decides each time and a file must not make permanent.
    """

    name: str
    default: Any
    help: str
    check: Callable[[Any], Any]
    variable: str | None
    secret: bool
    in_file: bool


def _setting(
    check: Callable[[Any], Any],
    help: str,
    *,
    variable: str | None = None,
    secret: bool = False,
    in_file: bool = True,
) -> dict[str, Any]:
    return {"check": check, "help": help, "variable": variable, "secret": secret, "in_file": in_file}


@dataclass(frozen=True)
class Healthcheck:
    """The gate. Times are in seconds."""

    command: str = field(
        default="scripts/runtime-health-check.sh",
        metadata=_setting(check_command, "line run by bash in `current`", variable="DEPLOY_HEALTHCHECK_CMD"),
    )
    timeout: float = field(default=60, metadata=_setting(check_limit, "seconds within which the command must pass"))
    interval: float = field(default=1, metadata=_setting(check_pause, "seconds between two tries"))
    stable_for: float = field(default=2, metadata=_setting(check_pause, "seconds every service must stay up after it"))


@dataclass(frozen=True)
class Frontend:
    """The frontend of a release: built in ``path``, its ``output`` copied to ``into``."""

    path: str = field(default="frontend", metadata=_setting(check_inside, "directory with package.json"))
    command: str = field(default="npm ci && npm run build", metadata=_setting(check_command, "line run by bash in it"))
    output: str = field(default="dist", metadata=_setting(check_below, "directory the command fills, within path"))
    into: str = field(default="infra/web-main", metadata=_setting(check_below, "where the output is copied to"))


@dataclass(frozen=True)
class Step:
    """A build command of the project's own, run in ``path`` within the release."""

    name: str
    path: str
    command: str


def _default_venvs() -> dict[str, tuple[str, ...]]:
    return {"backend": ("backend",), "worker": ("worker",)}


@dataclass(frozen=True)
class Build:
    """What makes a release out of a commit. Times are in seconds."""

    frontend: Frontend | None = field(default_factory=Frontend)
    venvs: Mapping[str, tuple[str, ...]] = field(
        default_factory=_default_venvs,
        metadata=_setting(check_venvs, "directory of each venv: project directories installed into it"),
    )
    steps: tuple[Step, ...] = field(default=(), metadata=_setting(_steps, "your own commands: {name, path, command}"))
    timeout: float = field(default=1800, metadata=_setting(check_limit, "seconds for the whole build"))
    installer: str = field(default="auto", metadata=_setting(check_installer, "what fills the venvs: pip, uv, or auto"))
    inputs: tuple[str, ...] = field(
        default=(), metadata=_setting(check_inputs, "paths that all parts depend on besides their own directories")
    )
    cache: int = field(default=2000, metadata=_setting(check_megabytes, "megabytes of earlier results to keep"))


@dataclass(frozen=True)
class Config:
    """All settings of one attempt, checked. Made by ``load``; paths are paths on the host, times are in seconds.

    ``environment`` is the one in use, ``hosts`` where to work (empty: not said),
    ``environments`` the hosts of each known one, and ``provenance`` says for each
    setting where its value comes from.
    """

    root: str = field(
        default="/srv/oroboros",
        metadata=_setting(check_own_path, "directory that holds everything below", variable="DEPLOY_ROOT"),
    )
    releases_dir: str = field(
        default="{root}/releases",
        metadata=_setting(check_own_path, "where releases are", variable="DEPLOY_RELEASES_DIR"),
    )
    current_link: str = field(
        default="{root}/current",
        metadata=_setting(check_path, "the link that names the live release", variable="DEPLOY_CURRENT_LINK"),
    )
    repo_root: str = field(
        default="{root}/repo",
        metadata=_setting(check_path, "bare git mirror that releases are made from", variable="REPO_ROOT"),
    )
    repo_url: str | None = field(
        default=None,
        repr=False,
        metadata=_setting(check_git_url, "where a host fetches from; none: this repository is sent", secret=True),
    )
    registry_url: str | None = field(
        default=None,
        repr=False,
        metadata=_setting(
            check_line,
            "the registry's database; none: SQLite in the user's state directory",
            variable="DEPLOY_REGISTRY_URL",
            secret=True,
        ),
    )
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
        metadata=_setting(check_services, "systemd units to restart, in this order", variable="DEPLOY_SERVICES"),
    )
    healthcheck: Healthcheck = field(default_factory=Healthcheck)
    build: Build = field(default_factory=Build)
    migrate: str | None = field(
        default=None, metadata=_setting(check_command, "line run by bash in the sealed release before the switch")
    )
    restart_timeout: float = field(default=180, metadata=_setting(check_limit, "seconds for one service to restart"))
    migrate_timeout: float = field(default=900, metadata=_setting(check_limit, "seconds for the migration"))
    reconnect_timeout: float = field(
        default=600,
        metadata=_setting(check_limit, "seconds for which a host that was lost after the switch is tried again"),
    )
    keep: int = field(default=5, metadata=_setting(check_kept, "good releases that stay on a host when it is pruned"))
    parallel: int = field(default=1, metadata=_setting(check_count, "hosts that switch at the same time"))
    no_cache: bool = field(default=False, metadata=_setting(check_switch, "build every part anew"))
    skip_restart: bool = field(
        default=False,
        metadata=_setting(check_switch, "restart nothing", variable="DEPLOY_SKIP_SERVICE_RESTART", in_file=False),
    )
    skip_healthcheck: bool = field(
        default=False,
        metadata=_setting(check_switch, "switch without a gate", variable="DEPLOY_SKIP_HEALTHCHECK", in_file=False),
    )
    environment: str | None = None
    hosts: tuple[str, ...] = ()
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict, repr=False)


def _section(declared: Field[Any]) -> type[Any] | None:
    kind = declared.default_factory
    return kind if isinstance(kind, type) and is_dataclass(kind) else None


def _declared(kind: type[Any], prefix: str = "") -> Iterator[Setting]:
    for item in fields(kind):
        if section := _section(item):
            yield from _declared(section, f"{prefix}{item.name}.")
        elif item.metadata:
            default = item.default_factory() if callable(item.default_factory) else item.default
            yield Setting(f"{prefix}{item.name}", default, **item.metadata)


SETTINGS: tuple[Setting, ...] = tuple(_declared(Config))
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_SECTIONS = {name.rpartition(".")[0] for name in _BY_NAME} - {""}

# --- loading ---


@dataclass(frozen=True)
class _Layer:
    """Values already checked, and where they come from."""

    where: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class _Environment:
    hosts: tuple[str, ...] = ()
    layers: tuple[_Layer, ...] = ()

    @property
    def changes_settings(self) -> bool:
        return any(layer.values for layer in self.layers)


def load(
    layers: Sequence[tuple[str, Mapping[str, Any]]],
    environ: Mapping[str, str],
    *,
    hosts: Sequence[str] = (),
    environment: str | None = None,
    flags: Mapping[str, Any] = _NOTHING,
) -> Config:
    """The settings that hold for these hosts.

    ``layers`` are (file, its ``deploy`` mapping), lowest precedence first. ``hosts``
    are what the operator named: the name of one environment, or hosts; hosts that
    belong to one environment get its settings. ``flags`` map setting names to
    values, None and False meaning "not given".

    Raises ConfigError for anything unknown, of the wrong type, or unusable.
    """
    environments = _environments(layers)
    named = _hosts_of(hosts, "-H")
    chosen = _choose(named, environment, environments)
    used = [_Layer("default", {setting.name: setting.default for setting in SETTINGS})]
    used += [_file_layer(path, data) for path, data in layers]
    _refuse_two_roots(environments, used)
    used += environments[chosen].layers if chosen else ()
    used += [*_variables(environ), *_flags(flags)]
    found = _derive(_merge(used))
    return replace(
        _assemble(Config, found),
        environment=chosen,
        hosts=environments[chosen].hosts if chosen and set(named) <= {chosen} else named,
        environments={name: item.hosts for name, item in environments.items()},
        provenance={name: where for name, (_, where) in found.items()},
    )


def layers_of(config: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """The (file, ``deploy`` mapping) layers of an Invoke or Fabric configuration, lowest precedence first."""
    found = [("the fabfile", _deploy_key(getattr(config, "_collection", None)))]
    for level in ("system", "user", "project", "runtime"):
        path = getattr(config, f"_{level}_path", None)
        found.append((str(path), _deploy_key(getattr(config, f"_{level}", None))))
    return [(path, data) for path, data in found if data is not None]


def explain(config: Config) -> list[tuple[str, str, str]]:
    """(setting, value, where it comes from) for every setting in use, in the order of declaration."""
    names = sorted(config.provenance, key=_place)
    rows = [(name, masked(_shown(attrgetter(name)(config))), config.provenance[name]) for name in names]
    where = f"environment {config.environment}" if config.environment else "-H"
    return [*rows, ("hosts", _shown(config.hosts), where if config.hosts else "default")]


def masked(text: str) -> str:
    """The text with user names, passwords and tokens in its URLs hidden."""
    text = re.sub(r"(?<=://)\S*@", "***@", text)
    return re.sub(r"(?i)([?&][^=&\s]*(?:password|token|secret|key)[^=&\s]*=)[^&\s]*", r"\1***", text)


def _place(name: str) -> int:
    return next(place for place, known in enumerate(_BY_NAME) if known.startswith(name))


def _deploy_key(level: Any) -> Any:
    return level["deploy"] if isinstance(level, Mapping) and "deploy" in level else None


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
        case Step():
            return f"{value.name}: {value.command} (in {value.path})"
        case tuple():
            return " ".join(map(_shown, value)) or "none"
        case Mapping():
            return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) or "none"
    return str(value)


def _file_layer(path: str, data: Any) -> _Layer:
    own = {key: value for key, value in _mapping(data, "deploy", path).items() if key != "environments"}
    name = posixpath.basename(path)
    where = path if name == path else f"{name} ({path})"
    return _Layer(where, dict(_flatten(own, "deploy.", path)))


def _variables(environ: Mapping[str, str]) -> Iterator[_Layer]:
    for setting in SETTINGS:
        # An empty variable is an unset one, as for `${DEPLOY_ROOT:-…}` in a shell.
        if setting.variable and (value := environ.get(setting.variable)):
            yield _Layer(setting.variable, {setting.name: _checked(setting, value, setting.variable)})


def _flags(flags: Mapping[str, Any]) -> Iterator[_Layer]:
    for name, value in flags.items():
        if value is not None and value is not False:
            if name not in _BY_NAME:
                raise _refused(f"there is no setting {name!r}", _nearest(name, _BY_NAME))
            label = "flag --" + name.replace(".", "-").replace("_", "-")
            yield _Layer(label, {name: _checked(_BY_NAME[name], value, label)})


def _environments(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, _Environment]:
    found: dict[str, _Environment] = {}
    for path, data in layers:
        written = _mapping(data, "deploy", path).get("environments")
        for name, own in _mapping(written, "deploy.environments", path).items():
            found[str(name)] = _extend(found.get(str(name), _Environment()), str(name), own, path)
    for name, environment in found.items():
        if not environment.hosts:
            raise _refused(f"deploy.environments.{name} has no hosts", f"add `hosts: [...]` to {name}")
    return found


def _refuse_two_roots(environments: Mapping[str, _Environment], base: Sequence[_Layer]) -> None:
    # The registry knows a host by its name: with a root for each environment it would mix them up.
    roots: dict[str, tuple[str, str]] = {}
    for name, environment in environments.items():
        root = _merge([*base, *environment.layers])["root"][0]
        for host in environment.hosts:
            other, place = roots.setdefault(host, (name, root))
            if place != root:
                raise _refused(
                    f"{host} has the root {place} in {other} and {root} in {name}; the registry knows it by its name",
                    f"give it a second name in ssh_config, such as {host}-{name}, and use that in {name}",
                )


def _extend(environment: _Environment, name: str, own: Any, path: str) -> _Environment:
    at = f"deploy.environments.{name}"
    values = dict(_mapping(own, at, path))
    hosts = _hosts_of(values.pop("hosts", environment.hosts), f"{at}.hosts in {path}")
    layer = _Layer(f"environments.{name} in {path}", dict(_flatten(values, f"{at}.", path)))
    return _Environment(hosts, (*environment.layers, layer))


def _hosts_of(value: Any, label: str) -> tuple[str, ...]:
    try:
        return check_hosts(value)
    except ValueError as why:
        raise _refused(f"{label} {why}") from None


def _choose(named: Sequence[str], asked: str | None, environments: Mapping[str, _Environment]) -> str | None:
    names = {name for name in named if name in environments}
    if asked is not None:
        names.add(asked)
    if not names:
        return _environment_of(named, environments)
    name = min(names)
    if name not in environments:
        known = ", ".join(environments) or "none"
        raise _refused(f"there is no environment {name!r} (known: {known})", _nearest(name, environments))
    if len(names) > 1 or (name in named and len(named) > 1):
        raise _refused(f"the environment {name!r} was named together with {_others(named, asked, name)}", _ONE_NAME)
    return name


def _others(named: Sequence[str], asked: str | None, name: str) -> str:
    return ", ".join(dict.fromkeys(other for other in (asked, *named) if other and other != name))


def _environment_of(named: Sequence[str], environments: Mapping[str, _Environment]) -> str | None:
    wanted = {address(host) for host in named}
    members = {name: {address(host) for host in item.hosts} for name, item in environments.items()}
    touched = [name for name in environments if wanted & members[name]]
    whole = [name for name in touched if wanted <= members[name]]
    if len(whole) == 1:
        return whole[0]
    if any(environments[name].changes_settings for name in touched):
        raise _refused(f"{', '.join(named)}: no single environment, but {', '.join(touched)} have settings", _ONE_NAME)
    return None


def _flatten(data: Any, at: str, path: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in _mapping(data, at + prefix.rstrip("."), path).items():
        name = f"{prefix}{key}"
        if name == _MAY_BE_OFF and value is None:
            yield name, None
        elif name in _SECTIONS:
            yield from _flatten(_section_mapping(value, at + name, path), at, path, f"{name}.")
        else:
            yield name, _checked(_known(name, at, path), value, f"{at}{name} in {path}")


def _known(name: str, at: str, path: str) -> Setting:
    setting = _BY_NAME.get(name)
    if setting is None:
        special = "environments" if at == "deploy." else "hosts"
        raise _refused(f"unknown setting {at}{name} in {path}", _nearest(name, [*_SECTIONS, *_BY_NAME, special]))
    if not setting.in_file:
        raise _refused(f"{at}{name} in {path} cannot be set in a file", f"set {setting.variable}=1 for one command")
    return setting


def _checked(setting: Setting, value: Any, label: str) -> Any:
    if value is None and setting.default is None:
        return None
    try:
        return setting.check(value)
    except ValueError as why:
        shown = "" if setting.secret else f" (it is {reprlib.repr(value)})"
        raise _refused(f"{label} {why}{shown}") from None


def _mapping(value: Any, at: str, path: str) -> Mapping[Any, Any]:
    return _NOTHING if value is None else _section_mapping(value, at, path)


def _section_mapping(value: Any, at: str, path: str) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    raise _refused(f"{at} in {path} must hold settings of its own (it is {reprlib.repr(value)})")


def _merge(layers: Sequence[_Layer]) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for layer in layers:
        if any(name.startswith(f"{_MAY_BE_OFF}.") for name in layer.values):
            found.pop(_MAY_BE_OFF, None)
        found |= {name: (value, layer.where) for name, value in layer.values.items()}
    if _MAY_BE_OFF in found:
        return {name: item for name, item in found.items() if not name.startswith(f"{_MAY_BE_OFF}.")}
    return found


def _derive(found: Mapping[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    root = found["root"][0]
    derived = dict(found)
    for name in ("releases_dir", "current_link", "repo_root"):
        value, where = found[name]
        derived[name] = (value.replace("{root}", root) if where == "default" else value, where)
    paths = {name: derived[name][0] for name in ("releases_dir", "current_link", "repo_root")}
    _refuse_overlap(paths | {"root's .deploy": f"{root}/.deploy"})
    return derived


def _refuse_overlap(paths: Mapping[str, str]) -> None:
    # Each is created, swept or replaced as a whole, so none may lie within another.
    for (one, path), (other, place) in combinations(paths.items(), 2):
        if f"{path}/".startswith(f"{place}/") or f"{place}/".startswith(f"{path}/"):
            raise _refused(f"{one} ({path}) and {other} ({place}) must lie apart")


def _assemble(kind: type[_T], found: Mapping[str, tuple[Any, str]], prefix: str = "") -> _T:
    parts: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        name = f"{prefix}{item.name}"
        if name in found:
            parts[item.name] = found[name][0]
        elif section := _section(item):
            parts[item.name] = _assemble(section, found, f"{name}.")
    return kind(**parts)


def _nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str | None:
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {match[0]}?" if match else None


def _refused(reason: str, hint: str | None = None) -> ConfigError:
    return ConfigError(f"nothing was changed: {reason}", hint=hint or "correct it and type the same command again")
