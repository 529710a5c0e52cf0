"""Deploy a commit to systemd hosts over SSH, and never leave one half-deployed.

from oroboros_deploy import Deployment, load_config

outcome = Deployment(load_config()).deploy(["web1"], sha="HEAD")
outcome.raise_for_status()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    ActivationFailed,
    BuildFailed,
    Busy,
    ConfigError,
    DeployError,
    ExitCode,
    HostNotTrusted,
    HostUnreachable,
    Interrupted,
    InvalidInput,
    JournalDamaged,
    LinkLost,
    OutcomeUnknown,
    RegistryUnavailable,
    UnknownCommit,
    UnknownRelease,
)
from .version import __version__

if TYPE_CHECKING:
    from .config import Config
    from .deployment import Deployment, load_config
    from .events import Event
    from .outcome import HostOutcome, Outcome, State
    from .registry import Registry
    from .ssh import SshOptions

__all__ = [
    "ActivationFailed",
    "BuildFailed",
    "Busy",
    "Config",
    "ConfigError",
    "DeployError",
    "Deployment",
    "Event",
    "ExitCode",
    "HostNotTrusted",
    "HostOutcome",
    "HostUnreachable",
    "Interrupted",
    "InvalidInput",
    "JournalDamaged",
    "LinkLost",
    "Outcome",
    "OutcomeUnknown",
    "Registry",
    "RegistryUnavailable",
    "SshOptions",
    "State",
    "UnknownCommit",
    "UnknownRelease",
    "__version__",
    "load_config",
]

# Imported when first asked for: a fabfile that is only listed should not wait for them.
_LAZY = {
    "Config": "config",
    "Deployment": "deployment",
    "Event": "events",
    "HostOutcome": "outcome",
    "Outcome": "outcome",
    "Registry": "registry",
    "SshOptions": "ssh",
    "State": "outcome",
    "load_config": "deployment",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
