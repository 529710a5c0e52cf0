"""Registry URLs: what they name, and how they may be shown.

    postgresql://user:password@host:port/database?via=web1&sslmode=require
    sqlite:////absolute/path.db

``via`` is ours: the SSH host through which the database is reached, and from
which ``host:port`` is seen. Every other parameter goes to the driver.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from ..config.addresses import shown_registry
from ..errors import ConfigError
from ..user import expanded

# SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3 and no version knows postgres://, so the driver is named.
_DRIVERS = {
    "postgresql": "postgresql+psycopg2",
    "postgres": "postgresql+psycopg2",
    "postgresql+psycopg2": "postgresql+psycopg2",
    "sqlite": "sqlite",
}
# The second branch is for a password with an unescaped "?": it hides too much rather than too little.
_PASSWORD = re.compile(r"(://[^:/@?\[]*):(?:[^?]*|(?!\d+[/?]).*)@", re.DOTALL)
# A "=" may stand in a password alone: elsewhere it says that a "?" or "&" before a password is missing.
_PARAMETER = re.compile(r"(\w*password=.*|\w+=[^=]*)?", re.IGNORECASE | re.DOTALL)
_ELSEWHERE = {"host", "hostaddr", "port", "service"}  # parameters of libpq, which leads nowhere through SSH by them
_ENCRYPTED = ("require", "verify-ca", "verify-full")  # values of `sslmode` that promise something
_PASSWORD_PARAMETER = re.compile(r"([?&][^=&]*password=)[^&]*", re.IGNORECASE)

_NO_PASSFILE = (
    "with via, the parameter passfile cannot be used, because the lines of a password file name the server, "
    "and the connection goes to a tunnel: leave out passfile, and"
)
_ENCODED = "special characters in a password percent-encoded, such as @ as %40, / as %2F and # as %23"
LOGIN_WITH_VIA = "put the password into the registry's URL, or into PGPASSWORD"


class Address(NamedTuple):
    """Where a PostgreSQL server listens."""

    host: str
    port: int


def registry_via(url: str) -> str | None:
    """The SSH host the database is reached through, None for none; ConfigError when the URL is wrong."""
    parts = _split(url)
    named = [value for name, value in parse_qsl(parts.query, keep_blank_values=True) if name == "via"]
    if named and (parts.scheme == "sqlite" or len(named) > 1 or not named[0]):
        raise _wrong("via is empty, is there twice, or is in a sqlite URL: write one via=HOST, in a postgresql URL")
    if named and _ELSEWHERE.intersection(name for name, _ in parse_qsl(parts.query)):
        raise _wrong("with via, host and port stand before the database's name and not among the parameters")
    if named and "," in parts.netloc.rpartition("@")[2]:
        raise _wrong("via leads to one server, and several are named")
    if named and any(name == "passfile" for name, _ in parse_qsl(parts.query)):
        raise _wrong(f"{_NO_PASSFILE} {LOGIN_WITH_VIA}")
    return named[0] if named else None


def check_via(url: str, environ: Mapping[str, str]) -> None:
    """Raise ConfigError where libpq would take from the environment what leads past the host of ``via``, or nowhere."""
    parts = _split(url)
    given: dict[str, object] = {"host": parts.hostname, "port": parts.port}
    given.update(parse_qsl(parts.query))
    for name, instead in (("PGSERVICE", ""), ("PGHOSTADDR", ""), ("PGHOST", "host"), ("PGPORT", "port")):
        if environ.get(name) and not given.get(instead):
            hint = f"unset {name}; with via, host and port of the server stand in the registry's URL"
            raise ConfigError(f"{name} is set, and leads past the host that the registry is reached through", hint=hint)


def wants_tls(url: str, environ: Mapping[str, str]) -> bool:
    """Whether the connection has to be encrypted to the server itself, or the user said how that is to be done."""
    given = {name[2:].lower(): value for name, value in environ.items() if name.startswith("PGSSL") and value}
    given.update(parse_qsl(_split(url).query))
    mode = given.pop("sslmode", "prefer")
    return mode in _ENCRYPTED or (mode != "disable" and any(name.startswith("ssl") for name in given))


def registry_address(url: str) -> Address:
    """Where the PostgreSQL server listens, as seen from the host it is reached through; ConfigError for SQLite."""
    parts = _split(url)
    if parts.scheme == "sqlite":
        raise _wrong("a SQLite file has no address")
    return Address(parts.hostname or "localhost", parts.port or 5432)


def safe_url(url: str) -> str:
    """The URL without user and passwords, for messages; anything at all may be passed."""
    return shown_registry(url)


def engine_url(url: str) -> str:
    """The URL as SQLAlchemy takes it: its driver named, ``via`` gone, a SQLite path made absolute."""
    parts = _split(url)
    registry_via(url)
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "via"]
    return _join(parts, urlencode(query))


def url_key(url: str) -> str:
    """A short hash that says which registry a spooled record is for, whatever the password is now."""
    parts = _split(url)
    public = _PASSWORD_PARAMETER.sub("", _PASSWORD.sub(r"\1@", _join(parts, parts.query)))
    return hashlib.sha256(public.encode()).hexdigest()[:16]


def sqlite_path(url: str) -> Path | None:
    """The file a SQLite URL names, None for PostgreSQL."""
    parts = _split(url)
    return expanded(parts.path[1:]).absolute() if parts.scheme == "sqlite" else None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip(), allow_fragments=False)
        _ = parts.port
    except ValueError as error:
        port = "write the port as a number of at most 65535"
        raise _wrong(f"it cannot be read: {port}, and write {_ENCODED}") from error
    if parts.scheme not in _DRIVERS or not url.strip()[len(parts.scheme) :].startswith("://"):
        raise _wrong("supported are postgresql://user@host:port/database and sqlite:////path/to/file.db")
    if parts.scheme == "sqlite" and (parts.netloc or parts.path in ("", "/", "/:memory:")):
        raise _wrong("after sqlite:/// comes a file's path: sqlite:////path/to/file.db (the fourth / begins it)")
    # Otherwise this parser and SQLAlchemy's could split it differently, and show the rest of a password as a host.
    if parts.scheme != "sqlite" and ("@" in parts.path or parts.netloc.count("@") > 1):
        raise _wrong(f"write {_ENCODED}")
    if parts.scheme != "sqlite" and (parts.netloc.endswith(":") or parts.path[:1] not in ("", "/")):
        raise _wrong("it cannot be read; after the host come :port and /database")
    if (parts.scheme != "sqlite" and "=" in parts.path) or not all(map(_PARAMETER.fullmatch, parts.query.split("&"))):
        what = "write its parameters as ?name=value&name=value, and special characters in a value percent-encoded"
        raise _wrong(f"{what}, such as = as %3D")
    return parts


def _join(parts: SplitResult, query: str) -> str:
    path = f"/{expanded(parts.path[1:]).absolute()}" if parts.scheme == "sqlite" else parts.path
    return f"{_DRIVERS[parts.scheme]}://{parts.netloc}{path}" + (f"?{query}" if query else "")


def _wrong(why: str) -> ConfigError:
    hint = "set deploy.registry_url in fabric.yaml, or DEPLOY_REGISTRY_URL"
    return ConfigError(f"the registry URL is wrong: {why}", hint=hint)
