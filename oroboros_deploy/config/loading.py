"""Where each setting's value comes from.

Precedence: flag > environment variable > ``environments.<name>`` > file > default.
What was written is checked here, as soon as it is read; after that a value has its type.
"""

from __future__ import annotations

import difflib
import posixpath
import re
import reprlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import combinations, product
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from ..errors import ConfigError
from .checks import address, check_hosts, host_name
from .settings import BY_NAME, SECTIONS, SETTINGS, Setting, Settings, Value, section_of

Written: TypeAlias = Mapping[str, object]  # what flags or a caller give: not checked yet
_MAY_BE_OFF = "build.frontend"
_MERGED = "env.values"  # an environment's are merged into the others, name by name
_ONE_NAME = "name one environment alone, or only hosts of one"
_NOTHING: Mapping[str, str] = MappingProxyType({})
_T = TypeVar("_T")


def _typed_value(value: object) -> str:
    return "" if value is True else f"={shlex.quote(str(value))}"


@dataclass(frozen=True)
class Config(Settings):
    """All settings of one attempt, checked, and where each value comes from.

    **Life.** `load_config` makes it from a ``fabric.yaml``, `from_mapping` from a mapping.  It never changes.

    **Fields.** There is one for each setting (docs/settings.md).  Besides, ``environment`` is the one in use,
    ``hosts`` are those to work on (empty: not said), ``environments`` the hosts of each environment, and
    ``provenance`` says of each setting where its value comes from.

    **Errors.** Making it raises ConfigError, for all that is wrong in the settings; the fields raise nothing.
    """

    environment: str | None = None
    hosts: tuple[str, ...] = ()
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def restarts(self) -> bool:
        """Whether there are services, and they are restarted."""
        return bool(self.services) and not self.skip_restart

    def typed(self, host: str, task: str) -> str:
        """The command to type about a host, or several (``a,b``), with the environment and the root of this command.

        When the hosts are exactly those of the environment, the command has the environment's name after ``-H``.
        """
        if self.environment and {*host.split(",")} == {*self.environments[self.environment]}:  # with the same logins
            return f"fab -H {self.environment} {task}{self._root_flag}"
        named = set(map(address, host.split(",")))
        groups = [name for name, hosts in self.environments.items() if named <= set(map(address, hosts))]
        environment = f" --environment={self.environment}" if self.environment and groups != [self.environment] else ""
        return f"fab -H {host} {task}{environment}{self._root_flag}"

    def asks_later(self, host: str) -> str:
        """What to type about a host, or several, when the end of an attempt there is not known."""
        status, reconcile = self.typed(host, "status"), self.typed(host, "registry.reconcile")
        return f"{status}  tells how it ended; then  {reconcile}  writes the end into the history"

    @property
    def or_environments(self) -> str:
        """The end of a hint: it lists the environments of the settings; empty when the settings have none."""
        names = ", ".join(self.environments)
        return f"; the settings have the environments {names}" if names else ""

    @property
    def flags(self) -> str:
        """The flags to add to another command, one without ``-H``: the environment and the root of this command."""
        environment = f" --environment={self.environment}" if self.environment else ""
        return f"{environment}{self._root_flag}"

    @property
    def of_deploy(self) -> str:
        """The deploy flags given to this command, as text to add to another command; empty when none was given.

        The deploy flags are ``--services``, ``--healthcheck``, ``--parallel``, ``--skip-restart``,
        ``--skip-healthcheck``, ``--no-cache``, ``--rebuild`` and ``--adopt-units``.
        """
        given = {name: value for name, value in self._of_deploy() if self._is_flag(name) and value}
        return "".join(f" --{name.replace('_', '-')}{_typed_value(value)}" for name, value in given.items())

    def _of_deploy(self) -> Iterator[tuple[str, object]]:
        yield "services", " ".join(self.services)
        yield "healthcheck", self.healthcheck.command
        for name in ("parallel", "skip_restart", "skip_healthcheck", "no_cache", "rebuild", "adopt_units"):
            yield name, getattr(self, name)

    def _is_flag(self, name: str) -> bool:
        where = self.provenance.get("healthcheck.command" if name == "healthcheck" else name, "")
        return where.startswith("flag --")

    @property
    def _root_flag(self) -> str:
        by_hand = self.provenance.get("root") in ("flag --root", BY_NAME["root"].variable)
        return f" --root={shlex.quote(self.root)}" if by_hand else ""

    def hinted(self, host: str, hint: str | None) -> str | None:
        """The hint about a host, with each ``fab -H`` command in it completed, so that people can type the command.

        The code that wrote the hint knew neither the environment nor the root of this command.  The agent on a host
        does not know how people name the host either; it writes ``HOST``.  All three are put into the command here.
        """
        names = rf"(root@)?(?:HOST|{re.escape(host)})"
        command = re.compile(rf"fab -H {names} ([\w.]++)(?!(?: --(?:'[^']*+'|[^\s'])++)* --(?:environment|root)=)")
        roots = f"root@{host.rpartition('@')[2]}"
        return hint and command.sub(lambda found: self.typed(roots if found[1] else host, found[2]), hint)

    @classmethod
    def from_mapping(
        cls,
        mapping: Written,
        *,
        environ: Mapping[str, str] = _NOTHING,
        hosts: Sequence[str] = (),
        environment: str | None = None,
        **flags: object,
    ) -> Config:
        """The settings of a mapping, which holds what a ``fabric.yaml`` holds under ``deploy:``.

        ``environ`` are the environment variables to read (by default none),
        ``hosts`` and ``environment`` what ``-H`` and ``--environment`` say, and
        ``flags`` settings by name, which win over everything else.

        >>> config = Config.from_mapping({"services": ["shop-api"], "healthcheck": {"timeout": 5}}, root="/srv/shop")
        >>> config.services, config.healthcheck.timeout, config.current_link
        (('shop-api',), 5.0, '/srv/shop/current')
        >>> config.provenance["root"], config.provenance["services"], config.provenance["keep"]
        ('flag --root', 'the mapping', 'default')

        Raises ConfigError for anything unknown, of the wrong type, or unusable.
        """
        return load([("the mapping", mapping)], environ, hosts=hosts, environment=environment, flags=flags)

    @property
    def by_hand(self) -> list[str]:
        """The names of the settings that a flag or an environment variable gave, for this one command."""
        variables = {setting.variable for setting in SETTINGS}
        return [name for name, where in self.provenance.items() if where.startswith("flag --") or where in variables]


class _Found(NamedTuple):
    """A setting's value, and where it comes from."""

    value: Value
    where: str


class _Layer(NamedTuple):
    """Values already checked, and where they come from."""

    where: str
    values: Mapping[str, Value]


class _Environment(NamedTuple):
    hosts: tuple[str, ...] = ()
    layers: tuple[_Layer, ...] = ()

    @property
    def changes_settings(self) -> bool:
        return any(layer.values for layer in self.layers)


def load(
    layers: Sequence[tuple[str, object]],
    environ: Mapping[str, str],
    *,
    hosts: Sequence[str] = (),
    environment: str | None = None,
    flags: Written = _NOTHING,
) -> Config:
    """The settings that hold for these hosts.

    ``layers`` are (file, its ``deploy`` mapping), lowest precedence first. ``hosts``
    are what the operator named: the name of one environment, or hosts; hosts that
    belong to one environment get its settings.  A host name alone, without user and
    port, is the member of that name as it is written. ``flags`` map setting names to
    values, None and False meaning "not given".

    Raises ConfigError for anything unknown, of the wrong type, or unusable.
    """
    environments = _environments(layers)
    named = as_written(_hosts_of(hosts, "-H"), _members(environments, environment))
    chosen = _choose(named, environment, environments)
    used = [_Layer("default", {setting.name: setting.default for setting in SETTINGS})]
    used += [_file_layer(path, data) for path, data in layers]
    _refuse_two_roots(environments, used)
    used += environments[chosen].layers if chosen else ()
    used += [*_variables(environ), *_flags(flags)]
    found = _without_default_command(_derive(_merge(used)))
    _refuse_endless_gate(found)
    _refuse_endless_tries(found)
    _refuse_nested_output(found)
    _refuse_other_users(found)
    _refuse_privileges(found)
    return replace(
        _assemble(Config, found),
        environment=chosen,
        hosts=environments[chosen].hosts if chosen and set(named) <= {chosen} else named,
        environments={name: item.hosts for name, item in environments.items()},
        provenance={name: item.where for name, item in found.items()},
    )


def layers_of(config: object) -> list[tuple[str, object]]:
    """The (file, ``deploy`` mapping) layers of an Invoke or Fabric configuration, lowest precedence first."""
    found = [("the fabfile", _deploy_key(getattr(config, "_collection", None)))]
    for level in ("system", "user", "project", "runtime"):
        path = getattr(config, f"_{level}_path", None)
        found.append((str(path), _deploy_key(getattr(config, f"_{level}", None))))
    return [(path, data) for path, data in found if data is not None]


def without_settings(config: object) -> list[str]:
    """The files of an Invoke or Fabric configuration that were read and say nothing of ours, when none does."""
    if layers_of(config):
        return []
    levels = [level for level in ("system", "user", "project", "runtime") if getattr(config, f"_{level}", None)]
    return [str(getattr(config, f"_{level}_path", level)) for level in levels]


def with_members(hosts: Iterable[Any], layers: Sequence[tuple[str, object]]) -> list[Any]:
    """The hosts, where each name of an environment has become the environment's hosts; what is no name stays.

    A host name alone becomes the member of that name as it is written, with its login and port.
    Raises ConfigError for an environment that cannot be read, when an environment or one of its hosts is named.
    """
    named = list(hosts)
    text = [(name, repr(own)) for _, data in layers for name, own in _written_environments(data).items()]
    if not any(isinstance(host, str) and any(host == name or host in own for name, own in text) for host in named):
        return named
    environments = _environments(layers)
    members = {name: item.hosts for name, item in environments.items()}
    logins = _members(environments)
    return [each for host in named for each in (members.get(host) or as_written([host], logins))]


def as_written(named: Sequence[_T], members: Sequence[str]) -> tuple[_T | str, ...]:
    """The hosts, where a name alone has become the one member that it names, with login and port."""
    each = (_member(host, members) if isinstance(host, str) else host for host in named)
    return tuple(dict.fromkeys(each))


def _written_environments(data: object) -> Mapping[object, object]:
    written = data.get("environments") if isinstance(data, Mapping) else None
    return written if isinstance(written, Mapping) else {}


def _deploy_key(level: object) -> object:
    return level["deploy"] if isinstance(level, Mapping) and "deploy" in level else None


def _file_layer(path: str, data: object) -> _Layer:
    own = {key: value for key, value in _mapping(data, "deploy", path).items() if key != "environments"}
    name = posixpath.basename(path)
    where = path if name == path else f"{name} ({path})"
    return _Layer(where, dict(_flatten(own, "deploy.", path)))


def _variables(environ: Mapping[str, str]) -> Iterator[_Layer]:
    for setting in SETTINGS:
        # An empty variable is an unset one, as for `${DEPLOY_ROOT:-…}` in a shell.
        if setting.variable and (value := environ.get(setting.variable)):
            yield _Layer(setting.variable, {setting.name: _checked(setting, value, setting.variable)})


def _flags(flags: Written) -> Iterator[_Layer]:
    for name, value in flags.items():
        if value is not None and value is not False:
            if name not in BY_NAME:
                raise _refused(f"there is no setting {name!r}", _nearest(name, BY_NAME))
            label = "flag --" + name.replace(".", "-").replace("_", "-")
            yield _Layer(label, {name: _checked(BY_NAME[name], value, label)})


def _environments(layers: Sequence[tuple[str, object]]) -> dict[str, _Environment]:
    found: dict[str, _Environment] = {}
    for path, data in layers:
        written = _mapping(data, "deploy", path).get("environments")
        for name, own in _mapping(written, "deploy.environments", path).items():
            if not isinstance(name, str):
                raise _refused(f"deploy.environments in {path}: the name {name!r} is no text", "put it in quotes")
            found[name] = _extend(found.get(name, _Environment()), name, own, path)
    for name, environment in found.items():
        if not environment.hosts:
            raise _refused(f"deploy.environments.{name} has no hosts", f"add `hosts: [...]` to {name}")
    return found


def _refuse_two_roots(environments: Mapping[str, _Environment], base: Sequence[_Layer]) -> None:
    # By a name the registry knows one target of an application: with a root for each environment it would mix them up.
    roots: dict[tuple[str, object], tuple[str, str]] = {}
    for name, environment in environments.items():
        merged = _merge([*base, *environment.layers])
        root, written = str(merged["root"].value), merged["application"].value
        applications = {written, written or posixpath.basename(root)}  # its default does not tell them apart
        for host, application in product(environment.hosts, applications):
            other, place = roots.setdefault((host, application), (name, root))
            if place != root:
                raise _refused(
                    f"{host} has the root {place} in {other} and {root} in {name}; the registry tells two roots of one"
                    " host apart only when each has another `application`",
                    f"set another `application` in {name}, or give the host a second name in ssh_config, such as"
                    f" {host}-{name}, and use that in {name}",
                )


def _extend(environment: _Environment, name: str, own: object, path: str) -> _Environment:
    at = f"deploy.environments.{name}"
    values = dict(_mapping(own, at, path))
    hosts = _hosts_of(values.pop("hosts", environment.hosts), f"{at}.hosts in {path}")
    layer = _Layer(f"environments.{name} in {path}", dict(_flatten(values, f"{at}.", path)))
    return _Environment(hosts, (*environment.layers, layer))


def _hosts_of(value: object, label: str) -> tuple[str, ...]:
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


def _members(environments: Mapping[str, _Environment], only: str | None = None) -> list[str]:
    """The hosts of all environments, or of one, as they are written."""
    return [host for name, item in environments.items() if only in (None, name) for host in item.hosts]


def _member(host: str, members: Sequence[str]) -> str:
    found = list(dict.fromkeys(member for member in members if host_name(member) == host))
    if host in found or not found:
        return host
    if len(found) > 1:
        both = " or ".join(f"-H {member}" for member in found)
        raise _refused(f"{host} is written with several logins: {', '.join(found)}", f"name one of them: {both}")
    return found[0]


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
        hosts = ", ".join(named)
        if whole:
            raise _refused(f"more than one environment has the hosts {hosts}: {', '.join(whole)}", _ONE_NAME)
        what = f"no environment has all of the hosts {hosts}; some of them are in {', '.join(touched)}"
        raise _refused(what, _ONE_NAME)
    return None


def _flatten(data: object, at: str, path: str, prefix: str = "") -> Iterator[tuple[str, Value]]:
    for key, value in _mapping(data, at + prefix.rstrip("."), path).items():
        name = f"{prefix}{key}"
        if name == _MAY_BE_OFF and value is None:
            yield name, None
        elif name in SECTIONS:
            yield from _flatten(_section_mapping(value, at + name, path), at, path, f"{name}.")
        else:
            yield name, _checked(_known(name, at, path), value, f"{at}{name} in {path}")


def _known(name: str, at: str, path: str) -> Setting:
    setting = BY_NAME.get(name)
    if setting is None:
        special = "environments" if at == "deploy." else "hosts"
        raise _refused(f"unknown setting {at}{name} in {path}", _nearest(name, [*SECTIONS, *BY_NAME, special]))
    if not setting.in_file:
        by_hand = f"set {setting.variable}=1" if setting.variable else f"say --{name.replace('_', '-')}"
        raise _refused(f"{at}{name} in {path} cannot be set in a file", f"{by_hand} for one command")
    return setting


def _checked(setting: Setting, value: object, label: str) -> Value:
    if value is None and setting.default is None:
        return None
    try:
        return setting.check(value)
    except ValueError as why:
        shown = "" if setting.secret else f" (it is {reprlib.repr(value)})"
        raise _refused(f"{label} {why}{shown}") from None


def _mapping(value: object, at: str, path: str) -> Mapping[object, object]:
    return {} if value is None else _section_mapping(value, at, path)


def _section_mapping(value: object, at: str, path: str) -> Mapping[object, object]:
    if isinstance(value, Mapping):
        return value
    # A text is not shown: where somebody means `registry_url`, it holds a password.
    found = "a text" if isinstance(value, str) else reprlib.repr(value)
    raise _refused(f"{at} in {path} must hold settings of its own (it is {found})")


def _merge(layers: Sequence[_Layer]) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for layer in layers:
        if any(name.startswith(f"{_MAY_BE_OFF}.") for name in layer.values):
            found.pop(_MAY_BE_OFF, None)
        found |= {name: _found(name, value, layer.where, found.get(name)) for name, value in layer.values.items()}
    if _MAY_BE_OFF in found:
        return {name: item for name, item in found.items() if not name.startswith(f"{_MAY_BE_OFF}.")}
    return found


def _found(name: str, value: Value, where: str, before: _Found | None) -> _Found:
    """What a layer says: it replaces what was said before, but for names and values that are merged one by one."""
    if name != _MERGED or before is None or not before.value:
        return _Found(value, where)
    merged = {**cast("Mapping[str, str]", before.value), **cast("Mapping[str, str]", value)}
    return _Found(merged, f"{where}; {before.where}" if value else before.where)


def _derive(found: Mapping[str, _Found]) -> dict[str, _Found]:
    root = str(found["root"].value)
    paths = {name: _below(root, found[name]) for name in ("releases_dir", "current_link", "repo_root")}
    places = {"root's shared": f"{root}/shared"} if found["shared"].value else {}
    if any(found[f"env.{name}"].value for name in ("file", "values", "secrets.command", "secrets.names")):
        places["root's env"] = f"{root}/env"
    _refuse_overlap(paths | places | {"root's .deploy": f"{root}/.deploy"})
    return {**found, **{name: _Found(path, found[name].where) for name, path in paths.items()}}


def _without_default_command(found: Mapping[str, _Found]) -> dict[str, _Found]:
    # The default command is a script of one application: whoever names a probe has said what decides instead.
    probed = found["healthcheck.http"].value or found["healthcheck.tcp"].value
    default = found["healthcheck.command"].where == "default"
    return {**found, "healthcheck.command": _Found(None, "default")} if probed and default else dict(found)


def _refuse_endless_tries(found: Mapping[str, _Found]) -> None:
    # So many tries, with the pauses between them, do not fit into the gate: every release would be taken back.
    successes, interval, timeout = (found[f"healthcheck.{name}"] for name in ("successes", "interval", "timeout"))
    needed = (_number(successes) - 1) * _number(interval)
    if needed and needed >= _number(timeout):
        raise _refused(
            f"healthcheck.successes ({successes.value}, {successes.where}) take {needed:g} s with healthcheck.interval"
            f" ({interval.value:g}, {interval.where}), and healthcheck.timeout is {timeout.value:g} ({timeout.where})"
        )


def _number(found: _Found) -> float:
    return cast("float", found.value)


def _refuse_endless_gate(found: Mapping[str, _Found]) -> None:
    # No service can stay for longer than somebody looks: every release would be taken back, and the way back fail.
    stable_for, timeout = (found[f"healthcheck.{name}"] for name in ("stable_for", "timeout"))
    watched = found["services"].value and not found["skip_restart"].value
    if watched and stable_for.value >= timeout.value:  # type: ignore[operator]
        raise _refused(
            f"healthcheck.stable_for ({stable_for.value:g}, {stable_for.where}) must be less than "
            f"healthcheck.timeout ({timeout.value:g}, {timeout.where})"
        )


def _refuse_nested_output(found: Mapping[str, _Found]) -> None:
    # What was at `into` is removed before the output is copied there: one inside the other would be lost.
    path, output, into = (found.get(f"build.frontend.{name}") for name in ("path", "output", "into"))
    if path is None or output is None or into is None or into.value is None:
        return
    made = posixpath.normpath(f"{path.value}/{output.value}")
    if made != into.value and _nested(made, str(into.value)):
        raise _refused(
            f"build.frontend.into ({into.value}, {into.where}) and the output ({made}, {output.where}) must lie apart",
            "to leave the output where it is: build.frontend.into: null",
        )


def _refuse_other_users(found: Mapping[str, _Found]) -> None:
    # The login's own service manager starts nothing as somebody else.
    named = (name for name, item in found.items() if name.startswith("run_as.") and item.value is not None)
    first = next(named, None)
    if first and found["scope"].value == "user":
        raise _refused(
            f"{first} ({found[first].where}) needs the system's service manager, and scope is user"
            f" ({found['scope'].where})",
            "with `scope: user` all runs as the login: take `run_as` out",
        )


def _refuse_privileges(found: Mapping[str, _Found]) -> None:
    asked, scope = found["privileged"], found["scope"]
    if asked.value and scope.value == "user":
        raise _refused(
            f"privileged ({asked.where}) keeps the right to become root, and scope is user ({scope.where})",
            "with `scope: user` nothing becomes root: take `privileged` out",
        )


def _nested(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _below(root: str, path: _Found) -> str:
    """The path, for which a default says how it follows the root."""
    return str(path.value).replace("{root}", root) if path.where == "default" else str(path.value)


def _refuse_overlap(paths: Mapping[str, str]) -> None:
    # Each is created, swept or replaced as a whole, so none may lie within another.
    for (one, path), (other, place) in combinations(paths.items(), 2):
        if _nested(path, place):
            raise _refused(f"{one} ({path}) and {other} ({place}) must lie apart")


def _assemble(kind: type[_T], found: Mapping[str, _Found], prefix: str = "") -> _T:
    parts: dict[str, object] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        name = f"{prefix}{item.name}"
        if name in found:
            parts[item.name] = found[name].value
        elif section := section_of(item):
            parts[item.name] = _assemble(section, found, f"{name}.")
    return kind(**parts)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {match[0]}?" if match else None


def _refused(reason: str, hint: str | None = None) -> ConfigError:
    return ConfigError(f"nothing was changed: {reason}", hint=hint or "correct it and type the same command again")
