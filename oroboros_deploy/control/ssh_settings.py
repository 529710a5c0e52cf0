"""How to log in, by Fabric's own settings and command line; what we do not follow of them is refused by name."""

from __future__ import annotations

import difflib
import os
import reprlib
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import invoke
from invoke.config import DataProxy

from ..errors import ConfigError

if TYPE_CHECKING:
    from invoke import Context

    from ..ssh import SshOptions

T = TypeVar("T")

_RUNNING = ("env", "shell", "user", "password")  # of `run` and `sudo`: what a command of ours does not run with
_TIMES = ("timeout", "banner_timeout", "auth_timeout", "channel_timeout")
_SWITCHES = ("allow_agent", "look_for_keys", "compress")
_TEXTS = ("password", "passphrase")
_FOLLOWED = (*_TIMES, *_SWITCHES, *_TEXTS, "key_filename", "disabled_algorithms")
_GSSAPI = ("gss_auth", "gss_kex", "gss_deleg_creds", "gss_trust_dns", "gss_host")  # never used, so they may be off
_ALGORITHMS = ("ciphers", "macs", "keys", "pubkeys", "kex")


def ssh_options_of(context: Context) -> SshOptions:
    """What Fabric's command line and settings say about logging in.

    Raises ConfigError for what is no such setting, or cannot be followed.
    """
    from ..ssh import SshOptions

    given = context.config
    _refuse_running(given)
    keywords = _checked_keywords(given)
    told: Any = getattr(given, "_overrides", {}).get("connect_kwargs") or {}  # -t, which comes before ssh_config
    usual = {name: keywords.get(name) for name in _TIMES}
    usual["timeout"] = usual["timeout"] or _value(_section(given, "timeouts"), "timeouts", "connect", _seconds)
    return SshOptions(
        config_path=given.get("ssh_config_path") or getattr(given, "_runtime_ssh_path", None),
        identities=_identities(given, keywords),
        password=keywords.get("password"),
        passphrase=keywords.get("passphrase"),
        connect_timeout=told.get("timeout"),
        user=_value(given, "", "user", _text),
        port=_value(given, "", "port", _port),
        gateway=_value(given, "", "gateway", _text) or None,
        usual_timeout=usual["timeout"],
        banner_timeout=usual["banner_timeout"],
        auth_timeout=usual["auth_timeout"],
        channel_timeout=usual["channel_timeout"],
        disabled_algorithms=keywords.get("disabled_algorithms") or {},
        **{name: keywords[name] for name in _SWITCHES if keywords.get(name) is not None},
    )


def _refuse_running(given: Any) -> None:
    usual: Any = invoke.Config.global_defaults()
    if _section(given, "run").get("dry"):  # `--dry`, also after the name of a task: a slip for its own --dry-run
        raise ConfigError(
            "nothing was changed: these tasks have no --dry (run.dry): they would do all their work in spite of it",
            hint="to see what would be done: fab plan for a deploy, --dry-run for setup, prune and registry.reconcile; "
            "to do it: take --dry or run.dry out, and type the command again",
        )
    for section in ("run", "sudo"):
        values = _section(given, section)
        for name in _RUNNING:
            if values.get(name) not in (None, usual[section].get(name)):
                raise ConfigError(
                    f"nothing was changed: {_place(section, name, values[name])} is not followed by these tasks",
                    hint=f"take it out, and give it to the call that needs it: c.{section}(..., {name}=...)",
                )


def _checked_keywords(given: Any) -> Mapping[str, Any]:
    keywords = _section(given, "connect_kwargs")
    checks: dict[str, Callable[[object], Any]] = {
        **dict.fromkeys(_TIMES, _seconds),
        **dict.fromkeys(_SWITCHES, _switch),
        **dict.fromkeys(_TEXTS, _text),
        **dict.fromkeys(_GSSAPI, _off),
        "key_filename": _files,
        "disabled_algorithms": _algorithms,
    }
    for name in keywords:
        if name not in checks:
            near = difflib.get_close_matches(str(name), _FOLLOWED, n=1)
            hint = f"did you mean {near[0]}?" if near else f"followed are {', '.join(_FOLLOWED)}"
            place = _place("connect_kwargs", name, keywords[name])
            raise ConfigError(f"nothing was changed: {place} is not followed", hint=hint)
    return {name: _value(keywords, "connect_kwargs", name, checks[name]) for name in keywords}


def _identities(given: Any, keywords: Mapping[str, Any]) -> tuple[str, ...]:
    named = _value(_section(given, "authentication"), "authentication", "identities", _files) or ()
    return (*named, *(keywords.get("key_filename") or ()))


def _section(given: Any, name: str) -> Any:
    """The settings that one of Fabric's settings holds."""
    found = given.get(name)
    if found is None or isinstance(found, Mapping | DataProxy):
        return {} if found is None else found
    raise ConfigError(f"nothing was changed: fabric.yaml: {name} must hold settings, not {reprlib.repr(found)}")


def _value(values: Any, section: str, name: str, check: Callable[[object], T]) -> T | None:
    value = values.get(name)
    if value is None:
        return None
    try:
        return check(value)
    except ValueError as why:
        shown = "" if name in _TEXTS else f" (it is {reprlib.repr(value)})"
        raise ConfigError(f"nothing was changed: {_place(section, name, value)} {why}{shown}") from None


def _place(section: str, name: object, value: object) -> str:
    """A setting of Fabric's, and what says it: the file, or a variable whose text is in force; flags go before it."""
    setting = f"{section}.{name}" if section else str(name)
    variable = f"FABRIC_{setting.replace('.', '_').upper()}"
    return f"{variable if os.environ.get(variable) == str(value) else 'fabric.yaml'}: {setting}"


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be text")
    return str(value)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _off(value: object) -> None:
    if value:
        raise ValueError("cannot be followed: GSSAPI is not used")


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise ValueError("must be a number of seconds, more than 0 and at most 86400")
    return float(value)


def _port(value: object) -> int:
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("is not a port")
    return int(text)


def _files(value: object) -> tuple[str, ...]:
    files = [value] if isinstance(value, str | PurePath) else value
    if not isinstance(files, list | tuple) or not all(isinstance(file, str | PurePath) and str(file) for file in files):
        raise ValueError("must name one file, or be a list of files")
    return tuple(map(str, files))


def _algorithms(value: object) -> dict[str, list[str]]:
    kinds = {str(kind): names for kind, names in value.items()} if isinstance(value, Mapping | DataProxy) else {}
    if not kinds or not set(kinds) <= set(_ALGORITHMS) or not all(isinstance(names, list) for names in kinds.values()):
        raise ValueError(f"must hold a list for one or more of {', '.join(_ALGORITHMS)}")
    return {kind: list(map(str, names)) for kind, names in kinds.items()}
