"""The version of this package, as the host's agent and the registry record it."""

__version__ = "0.1.0"
