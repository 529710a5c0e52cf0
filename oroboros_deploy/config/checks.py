"""What a setting's value has to be: each check takes what was written and returns the value.

Raises ValueError saying what it must be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import TYPE_CHECKING

from ..host import env_file
from .addresses import is_git_url

if TYPE_CHECKING:
    from ..host.contract import Scope

_LONGEST = 86_400  # seconds; a longer limit is a typing error
_MOST = 1000  # releases or hosts; more are a typing error as well
PRIVILEGED = ("build", "migrate", "healthcheck", "hooks")  # what may keep the right to become root
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}")  # no number: what it stands for is no name
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.\\-]*(@[A-Za-z0-9:_.\\-]+)?")


def check_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def check_command(value: object) -> str:
    text = check_text(value).strip()
    # A lone surrogate is how Python reads a variable that is not UTF-8.
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("must be valid text without NUL")
    return text


def check_command_if_any(value: object) -> str | None:
    return None if value is None else check_command(value)


def check_line(value: object) -> str:
    text = check_text(value)
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text


def check_parts(value: object) -> list[str]:
    parts = check_line(value).split("/")
    if ".." in parts:
        raise ValueError("must not contain '..'")
    return [part for part in parts if part not in ("", ".")]


def check_path(value: object) -> str:
    parts = check_parts(value)
    if not str(value).startswith("/"):
        raise ValueError("must be an absolute path")
    if not parts:
        raise ValueError("must not be the file system's root")
    return "/" + "/".join(parts)


def check_path_if_any(value: object) -> str | None:
    return None if value is None else check_path(value)


def check_node(value: object) -> str | None:
    path = check_path_if_any(value)
    if path is not None and (":" in path or not path.endswith("/node")):  # its directory becomes a part of PATH
        raise ValueError("must be the path of a program named node, without ':' in it")
    return path


def check_own_path(value: object) -> str:
    path = check_path(value)
    # Whole directories below it are swept: `/srv` or `/home` would not be ours alone.
    if path.count("/") < 2:
        raise ValueError("must not be a top-level directory: name one below it")
    return path


def check_inside(value: object) -> str:
    parts = check_parts(value)
    if str(value).startswith(("/", "-")):
        raise ValueError("must be a path inside the release, not absolute and not starting with '-'")
    return "/".join(parts) or "."


def check_below(value: object) -> str:
    path = check_inside(value)
    if path == ".":
        raise ValueError("must be a directory below the release's own")
    return path


def check_into(value: object) -> str | None:
    return None if value is None else check_below(value)


def check_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number of seconds")
    if not 0 <= value <= _LONGEST:  # refuses NaN too
        raise ValueError(f"must be between 0 and {_LONGEST} seconds")
    return value


def check_limit(value: object) -> float:
    seconds = check_number(value)
    if seconds == 0:
        raise ValueError("must be more than 0 seconds")
    return float(seconds)


def check_pause(value: object) -> float:
    return float(check_number(value))


def check_wait(value: object) -> float | None:
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():  # as a flag gives it
        value = int(value)
    return None if value is None else check_pause(value)


def check_count(value: object, least: int = 1) -> int:
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():  # as a flag gives it
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise ValueError(f"must be a whole number from {least} to {_MOST}")
    return value


def check_kept(value: object) -> int:
    return check_count(value, least=2)  # the live release and the one to go back to always stay


def check_switch(value: object) -> bool:
    if value in ("", "0", "1"):
        return bool(value == "1")
    if not isinstance(value, bool):
        raise ValueError("must be 1 (on) or 0 (off)")
    return value


def check_names(value: object) -> tuple[str, ...]:
    names = value.split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError("must be a list, or names separated by spaces")
    return tuple(check_line(name) for name in names)


def check_services(value: object) -> tuple[str, ...]:
    units = check_names(value)
    if not units and isinstance(value, str):  # an empty list in a file is meant, an empty variable hardly
        raise ValueError("must not be empty: name a unit, or use --skip-restart to restart nothing")
    plain = [unit.removesuffix(".service") for unit in units]
    for unit, name in zip(units, plain, strict=True):
        if len(unit) > 255 or not _UNIT.fullmatch(name):
            raise ValueError(f"must hold plain systemd unit names, which {unit!r} is not")
        if plain.count(name) > 1:
            raise ValueError(f"names {name!r} twice")
    return units


def check_hosts(value: object) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(check_names(value)))
    for host in hosts:
        if host.split() != [host] or address(host).startswith("-") or host.startswith("-"):
            raise ValueError(f"must hold host names, which {host!r} is not")
    return hosts


def check_git_url(value: object) -> str:
    url = check_line(value)
    # `ext::` and its like are git transports that run a command.
    if url.split() != [url] or url.startswith("-") or re.match(r"[\w+.-]*::", url):
        raise ValueError("must be a plain git URL")
    # git shows its URL to everybody on the host, in the arguments of its helpers.
    if re.match(r"https?://[^/]*@", url):
        raise ValueError("must not hold a user or token: give the host a credential helper or an SSH key")
    if not is_git_url(url):
        raise ValueError("must be a git URL such as ssh://git@host/path, git@host:path or https://host/path")
    return url


def check_commit_url(value: object) -> str:
    return _check_link(value, ("{sha}",), "https://forge/shop/commit/{sha}")


def check_compare_url(value: object) -> str:
    return _check_link(value, ("{before}", "{after}"), "https://forge/shop/compare/{before}...{after}")


def _check_link(value: object, holes: Sequence[str], example: str) -> str:
    url = check_line(value)
    if not re.fullmatch(r"https?://[^\s@]+", url) or any(hole not in url for hole in holes):
        raise ValueError(f"must be an http or https address with {' and '.join(holes)}, such as {example}")
    return url


def check_projects(value: object) -> tuple[str, ...]:
    if not value:
        raise ValueError("must name at least one project directory for each venv")
    return check_projects_if_any(value)


def check_projects_if_any(value: object) -> tuple[str, ...]:
    projects = [value] if isinstance(value, str) else value
    if not isinstance(projects, list | tuple):
        raise ValueError("must be a list of project directories for each venv")
    return tuple(check_inside(project) for project in projects)


def check_paths(value: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_below(path) for path in check_names(value)))


def check_packages(value: object) -> tuple[str, ...]:
    written = [value] if isinstance(value, str) else value
    if not isinstance(written, list | tuple):
        raise ValueError("must be a list of requirements, such as 'gunicorn==23.0.0'")
    packages = tuple(check_line(each).strip() for each in written)
    if any(package.startswith("-") for package in packages):
        raise ValueError("must hold requirements, no options of an installer")
    return packages


def check_lock(value: object) -> str | None:
    if value not in ("auto", None):
        raise ValueError("must be auto or null for the lock of a venv")
    return "auto" if value else None


def check_labels(value: object) -> tuple[str, ...]:
    names = check_names(value)
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
            raise ValueError(f"must hold plain names, which {name!r} is not")
    return names


def check_installer(value: object) -> str:
    if value not in ("auto", "pip", "uv"):
        raise ValueError("must be auto, pip or uv")
    return str(value)


def check_name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError("must be 1 to 64 letters, digits, '.', '_' and '-', the first a letter or a digit")
    return value


def check_owner(value: object) -> str | None:
    if value not in ("ours", "theirs", None):
        raise ValueError("must be ours, theirs or null")
    return None if value is None else str(value)


def check_shared(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("must map each path to dir or file")
    places = {check_below(path): _check_kind(kind) for path, kind in value.items()}
    if len(places) < len(value):
        raise ValueError("names a path twice")
    for one, other in permutations(places, 2):
        if other.startswith(f"{one}/"):
            raise ValueError(f"names {other}, which lies in {one}")
    return places


def _check_kind(kind: object) -> str:
    if kind not in ("dir", "file"):
        raise ValueError("must say dir or file for each path")
    return str(kind)


def check_values(value: object) -> dict[str, str]:
    """Values by name, as they stand in a file; none of them is told, for it may be secret."""
    if not isinstance(value, Mapping):
        raise ValueError("must map each name to its value")
    for name, each in value.items():
        if not isinstance(name, str):
            raise ValueError(f"has the name {name!r}, which is no text: put it in quotes")
        if not isinstance(each, str):
            raise ValueError(f"has no text as the value of {name}: put it in quotes")
    values = {str(name): str(each) for name, each in value.items()}
    try:
        env_file.check(values)
    except env_file.Wrong as wrong:
        raise ValueError(f"cannot be given to a service: {wrong}") from None
    return values


def check_variables(value: object) -> tuple[str, ...]:
    names = check_names(value)
    for name in names:
        if not env_file.NAME.fullmatch(name):
            raise ValueError(f"must hold names of variables, which {name!r} is not")
        if names.count(name) > 1:
            raise ValueError(f"names {name} twice")
    return names


def check_user(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _USER.fullmatch(value):
        raise ValueError("must be the name of a user of the host")
    if value == "root":
        raise ValueError("must not be root: nothing of a repository may run as root")
    return value


def check_privileged(value: object) -> tuple[str, ...]:
    kinds = check_names(value)
    for kind in kinds:
        if kind not in PRIVILEGED:
            raise ValueError(f"must hold only {', '.join(PRIVILEGED)}, and not {kind!r}")
    return tuple(kind for kind in PRIVILEGED if kind in kinds)


def check_below_if_any(value: object) -> str | None:
    return None if value is None else check_below(value)


def check_scope(value: object) -> Scope:
    if value == "system":
        return "system"
    if value == "user":
        return "user"
    raise ValueError("must be system or user")


def check_megabytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number of megabytes")
    return value


def address(host: str) -> str:
    """A host without the user it was named with."""
    return host.rpartition("@")[2]


def host_name(host: str) -> str:
    """A host without the user and the port it was named with."""
    place = address(host)
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.partition(":")[0] if place.count(":") == 1 else place
