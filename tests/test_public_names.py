"""The door of the package: what it exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import oroboros_deploy

NAMES = [
    *("ActivationFailed", "BuildFailed", "Busy", "Config", "ConfigError", "DeployError", "Deployment", "Event"),
    *("ExitCode", "HostNotTrusted", "HostOutcome", "HostUnreachable", "Interrupted", "InvalidInput"),
    *("JournalDamaged", "LinkLost", "Outcome", "OutcomeUnknown", "Registry", "RegistryUnavailable", "SshOptions"),
    *("State", "UnknownCommit", "UnknownRelease", "__version__", "load_config"),
]


def test_public_names() -> None:
    """The public names are these, and each can be imported."""
    assert sorted(oroboros_deploy.__all__) == sorted(NAMES)
    assert all(getattr(oroboros_deploy, name) is not None for name in NAMES)


def test_the_tasks_do_not_import_what_listing_them_does_not_need() -> None:
    """`fab --list` imports no database and no driver; tests/test_economy.py names what it imports of ours."""
    code = "import sys, oroboros_deploy.tasks; print('\\n'.join(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert loaded.isdisjoint({"sqlalchemy", "psycopg2"})


def test_the_tasks_can_be_imported_before_fab_runs() -> None:
    """A program that starts `fab` by itself, later, has our executor in it."""
    code = "import fabric.main, oroboros_deploy.tasks; print(fabric.main.program.executor_class.__name__)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("FleetExecutor\n", "")
