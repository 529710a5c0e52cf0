"""The version."""

from __future__ import annotations

from importlib.metadata import version

import oroboros_deploy
from oroboros_deploy.version import __version__


def test_the_package_and_its_metadata_say_one_version() -> None:
    """What `pip show` prints is what the program records in the registry."""
    assert oroboros_deploy.__version__ == __version__ == version("oroboros_deploy")
