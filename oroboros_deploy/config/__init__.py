"""Settings: what each one is, where its value comes from, and whether it can be used."""

from __future__ import annotations

from .explaining import explain, masked
from .loading import Config, layers_of, load, with_members, without_settings
from .settings import SETTINGS, Build, Frontend, Healthcheck, Migration, RegistryTables, Setting, Step, Venv

__all__ = [
    "SETTINGS",
    "Build",
    "Config",
    "Frontend",
    "Healthcheck",
    "Migration",
    "RegistryTables",
    "Setting",
    "Step",
    "Venv",
    "explain",
    "layers_of",
    "load",
    "masked",
    "with_members",
    "without_settings",
]
