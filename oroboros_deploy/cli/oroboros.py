"""``oroboros``: ``fab`` with the tasks of this package, for repositories that have no fabfile."""

from __future__ import annotations

from pathlib import Path

import fabric
from fabric import main as fabric_main

from .. import tasks
from ..version import __version__
from .program import FleetExecutor, prepare

_FILES = ("fabric.yaml", "fabric.yml", "fabric.json")  # fabric.py would run: it is refused by name


class Oroboros(fabric_main.Fab):
    """Fabric's program, whose tasks are ours and whose settings are the nearest ones; ``typed`` is what people type."""

    typed = "oroboros"

    def create_config(self) -> None:
        """Read the settings of the machine and of the user; those that cannot be read are named."""
        self.config = self.config_class(lazy=True)
        prepare(self.config)
        self.config.load_base_conf_files()
        self.config.merge()

    def parse_collection(self) -> None:
        """Take our tasks, and the settings in or above the working directory."""
        super().parse_collection()
        place = nearest(Path.cwd())
        self.config.set_project_location(str(place or Path.cwd()))
        if place:
            self.config.load_project()

    def print_version(self) -> None:
        """Print the versions of all that takes part."""
        super().print_version()
        print(f"Fabric {fabric.__version__}")


def nearest(directory: Path) -> Path | None:
    """The directory with settings that is nearest: this one, or one above it; None when there is none."""
    return next((place for place in (directory, *directory.parents) if _has_settings(place)), None)


def _has_settings(place: Path) -> bool:
    return any((place / name).is_file() for name in _FILES)


def program() -> Oroboros:
    """The program, ready to run."""
    return Oroboros(
        name="oroboros_deploy",
        binary="oroboros",
        binary_names=["oroboros"],
        version=__version__,
        namespace=tasks.ns,
        executor_class=FleetExecutor,
        config_class=fabric.Config,
    )


def main() -> None:
    """Run the program in place of Fabric's own, which hints and settings look at."""
    fabric_main.program = program()
    fabric_main.program.run()
