"""The door of the package: what it exports, and what importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import oroboros_deploy

PACKAGE = Path(oroboros_deploy.__file__).parent
NAMES = [
    *("ActivationFailed", "BuildFailed", "Busy", "Config", "ConfigError", "DeployError", "Deployment", "Event"),
    *("ExitCode", "HostNotTrusted", "HostOutcome", "HostUnreachable", "Interrupted", "InvalidInput"),
    *("JournalDamaged", "LinkLost", "Outcome", "Registry", "RegistryUnavailable", "SshOptions", "State"),
    *("UnknownCommit", "UnknownRelease", "__version__", "load_config"),
]


def test_public_names() -> None:
    """The public names are these, and each can be imported."""
    assert sorted(oroboros_deploy.__all__) == sorted(NAMES)
    assert all(getattr(oroboros_deploy, name) is not None for name in NAMES)


def test_the_tasks_do_not_import_what_listing_them_does_not_need() -> None:
    """`fab --list` imports no database, no driver and none of the rooms that work."""
    code = "import sys, oroboros_deploy.tasks; print('\\n'.join(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    ours = {name for name in loaded if name.startswith("oroboros_deploy.")}
    assert loaded.isdisjoint({"sqlalchemy", "psycopg2"})
    assert ours == {
        "oroboros_deploy.cli",
        "oroboros_deploy.errors",
        "oroboros_deploy.cli.program",
        "oroboros_deploy.tasks",
        "oroboros_deploy.version",
    }


def test_the_tasks_can_be_imported_before_fab_runs() -> None:
    """A program that starts `fab` by itself, later, has our executor in it."""
    code = "import fabric.main, oroboros_deploy.tasks; print(fabric.main.program.executor_class.__name__)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("FleetExecutor\n", "")


def test_rooms_import_one_way() -> None:
    """SQLAlchemy stays in the registry's room, paramiko in the SSH room; the agent needs the standard library alone."""
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        imported = _imported(path)
        assert "sqlalchemy" not in imported or room == "registry", path
        assert "paramiko" not in imported or room == "ssh", path
        if room == "host":
            assert imported <= {*sys.stdlib_module_names, "_sha2", "_sha256"}, path  # one until 3.11, the other after


def _imported(path: Path) -> set[str]:
    """The top-level packages a module imports absolutely, and "above" when it reaches out of its own room."""
    found = set()
    depth = len(path.relative_to(PACKAGE).parts) - 1
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not 1 <= node.level <= depth:
            found.add("above" if node.level else (node.module or "").partition(".")[0])
    return found
