"""The version of this package, as the host's agent and the registry record it."""

__version__ = "0.2.0"
