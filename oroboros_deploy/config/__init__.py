"""Settings: what each one is, where its value comes from, and whether it can be used."""

from __future__ import annotations

from .settings import SETTINGS, Build, Config, Frontend, Healthcheck, Setting, Step, explain, layers_of, load, masked

__all__ = [
    "SETTINGS",
    "Build",
    "Config",
    "Frontend",
    "Healthcheck",
    "Setting",
    "Step",
    "explain",
    "layers_of",
    "load",
    "masked",
]
