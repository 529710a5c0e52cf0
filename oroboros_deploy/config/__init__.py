"""Settings: what each one is, where its value comes from, and whether it can be used."""

from __future__ import annotations

from .explaining import explain, masked
from .loading import Config, as_written, layers_of, load, with_members, without_settings
from .probes import HttpProbe
from .settings import (
    SETTINGS,
    Build,
    Environment,
    Frontend,
    Healthcheck,
    Migration,
    RegistryTables,
    Secrets,
    Setting,
    Step,
    Venv,
)

__all__ = [
    "SETTINGS",
    "Build",
    "Config",
    "Environment",
    "Frontend",
    "Healthcheck",
    "HttpProbe",
    "Migration",
    "RegistryTables",
    "Secrets",
    "Setting",
    "Step",
    "Venv",
    "as_written",
    "explain",
    "layers_of",
    "load",
    "masked",
    "with_members",
    "without_settings",
]
