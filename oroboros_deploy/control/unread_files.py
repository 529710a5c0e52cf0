"""Settings files that lie where one expects Fabric to look, and that it does not read: they are refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ConfigError

_ENDINGS = ("yaml", "yml", "json", "py")  # as Fabric looks for them: of each place it reads the first one alone
_SURELY_SETTINGS = _ENDINGS[:2]  # fabric.json and fabric.py may be another program's where Fabric does not look
_LEVELS = ("system", "user", "project")


def refuse_unread(config: object) -> None:
    """Raise ConfigError for the first settings file that this Fabric or Invoke configuration has passed over."""
    if not getattr(config, "_runtime_found", None):  # else it was read, wherever a task is now
        _refuse_missing(getattr(config, "_runtime_path", None))
    read = _read(config)
    for file in _candidates(config):
        if os.path.lexists(file) and not os.path.isdir(file) and os.path.realpath(file) not in read:
            why, hint = _why(config, file)
            raise ConfigError(f"nothing was changed: {file} is not read: {why}", hint=hint)


def _refuse_missing(named: str | Path | None) -> None:
    """Fabric goes on without a file of ``-f`` that is not there."""
    if named is not None and not os.path.exists(named):
        hint = "name a file that is there, or leave -f and INVOKE_RUNTIME_CONFIG out"
        raise ConfigError(f"nothing was changed: {named}, the settings file that was named, is not there", hint=hint)


def _read(config: object) -> set[str]:
    """The files that were read; their settings are followed under every name that they have."""
    return {os.path.realpath(path) for path in _found(config, *_LEVELS, "runtime")}


def _found(config: object, *levels: str) -> list[str]:
    """Where there is no file, Fabric takes the last of the names for found."""
    paths = [getattr(config, f"_{level}_path", None) for level in levels]
    return [path for path in paths if path and os.path.exists(path)]


def _candidates(config: object) -> Iterator[str]:
    """Where Fabric looks; also hidden files in the project, and what is between it and the working directory.

    `inv` and programs of one's own have settings of another name; where they have none, Fabric's are meant.
    """
    name = _name(config)
    looked = [level for level in ("system", "user") if getattr(config, f"_{level}_found", None) is not None]
    yield from _endings(os.path.expanduser(getattr(config, f"_{level}_prefix")) + name for level in looked)
    names = [name, f".{name}", *([] if _found(config, "project") else ["fabric"])]
    for place in _places(config):
        endings = _ENDINGS if place == _project(config) else _SURELY_SETTINGS
        yield from _endings((f"{place / each}" for each in names), endings)


def _endings(stems: Iterable[str], endings: Iterable[str] = _ENDINGS) -> Iterator[str]:
    return (f"{stem}.{ending}" for stem in stems for ending in endings)


def _name(config: object) -> str:
    return getattr(config, "file_prefix", None) or getattr(config, "prefix", None) or "fabric"


def _places(config: object) -> list[Path]:
    """The project's directory, and those between it and the working directory."""
    project = _project(config)
    if project is None:
        return []
    here = Path.cwd()
    return [project, *(place for place in (here, *here.parents) if project in place.parents)]


def _project(config: object) -> Path | None:
    prefix = getattr(config, "_project_prefix", None)
    return None if prefix is None else Path(prefix).resolve()


def _why(config: object, file: str) -> tuple[str, str]:
    """Why a file is not read, and what to do."""
    path = Path(file)
    away = f"give {file} another name" if path.suffix == ".py" else f"rm {file}"  # Python, which may be anybody's
    if not os.path.exists(file):
        return "it is a link to nothing that can be read here", f"put {os.readlink(file)} there, or {away}"
    first = _goes_before(config, path)
    if first:
        return f"{first} goes before it", f"put the settings of both into {first}, and {away}"
    if path.parent.resolve() == _project(config):
        return "a file of this name is not looked at here", f"put its settings into {path.parent / _name(config)}.yaml"
    place = _project(config)
    return f"the settings are those in {place}", f"cd {place}, or add the settings of this file: -f {file}"


def _goes_before(config: object, file: Path) -> str | None:
    """The file in the same place that was read."""
    return next((path for path in _found(config, *_LEVELS) if _named(Path(path)) == _named(file)), None)


def _named(file: Path) -> tuple[Path, str]:
    """Place and name without the ending."""
    return file.parent.resolve(), file.stem
