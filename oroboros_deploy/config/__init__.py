"""Settings: what each one is, where its value comes from, and whether it can be used."""

from __future__ import annotations

from .explaining import explain, masked
from .loading import Config, layers_of, load
from .settings import SETTINGS, Build, Frontend, Healthcheck, RegistryTables, Setting, Step

__all__ = [
    "SETTINGS",
    "Build",
    "Config",
    "Frontend",
    "Healthcheck",
    "RegistryTables",
    "Setting",
    "Step",
    "explain",
    "layers_of",
    "load",
    "masked",
]
