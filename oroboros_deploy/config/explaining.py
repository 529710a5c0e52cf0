"""What is shown of the settings: each one's value, where it comes from, and no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from operator import attrgetter

from .addresses import shown_registry
from .loading import Config
from .probes import HttpProbe
from .settings import BY_NAME, Migration, Step, Venv


def explain(config: Config) -> list[tuple[str, str, str]]:
    """(setting, value, where it comes from) for every setting in use, in the order of declaration."""
    names = sorted(config.provenance, key=_place)
    rows = [(name, _safe(name, attrgetter(name)(config)), config.provenance[name]) for name in names]
    where = f"environment {config.environment}" if config.environment else "-H"
    return [*rows, ("hosts", shown(config.hosts), where if config.hosts else "default")]


def masked(text: str) -> str:
    """The text with user names, passwords and tokens in its URLs hidden."""
    text = re.sub(r"(?<=://)\S*@", "***@", text)
    return re.sub(r"(?i)([?&][^=&\s]*(?:password|token|secret|key)[^=&\s]*=)[^&\s]*", r"\1***", text)


def _safe(name: str, value: object) -> str:
    if name == "env.values" and isinstance(value, Mapping):
        return " ".join(value) or "none"  # what they are may be secret all the same
    if name == "registry_url" and isinstance(value, str):
        return shown_registry(value)
    return masked(shown(value))


def _place(name: str) -> int:
    return next(place for place, known in enumerate(BY_NAME) if known.startswith(name))


def shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
        case Step():
            more = [f"{name} {' '.join(each)}" for name in ("inputs", "outputs") if (each := getattr(value, name))]
            where = ", ".join([f"in {value.path}", *more, *(["once"] if value.once else [])])
            return f"{value.name}: {value.command} ({where})"
        case HttpProbe():
            return "{" + ", ".join(f"{name}: {shown(each)}" for name, each in value.told) + "}"
        case Migration():
            return f"{value.command} (on every host)"
        case Venv():
            told = ((item.name, getattr(value, item.name)) for item in fields(value))
            return (
                "{"
                + ", ".join(f"{name}: {shown(each)}" for name, each in told if each or each != getattr(Venv, name))
                + "}"
            )
        case tuple():
            return " ".join(map(shown, value)) or "none"
        case Mapping():
            return ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) or "none"
    return str(value)
