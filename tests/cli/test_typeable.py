"""Commands in hints, when `fab` was called with flags of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.cli.typeable import typeable
from tests.support.fab import FABFILE, Fab


def test_without_flags_a_hint_is_as_it_was() -> None:
    """As in a program of somebody's own."""
    assert typeable("fab -H web1 status  tells it") == "fab -H web1 status  tells it"


@pytest.mark.slow
def test_flags_of_fab_are_repeated(tmp_path: Path) -> None:
    """The hint finds the same fabfile and ssh_config, and is typed as it stands."""
    (tmp_path / "own dir").mkdir()
    (tmp_path / "own dir/ours.py").write_text(FABFILE)
    config = tmp_path / "ssh_config"
    config.write_text("Host *\n")
    fab = Fab(tmp_path, config, f"sqlite:///{tmp_path}/registry.db")
    ran = fab("--search-root", "own dir", "--collection", "ours", "rollback", "--release=")
    hint = f"  → fab --search-root='own dir' --collection=ours --ssh-config={config} registry.list  shows release ids\n"
    assert (ran.code, ran.err.splitlines(keepends=True)[-1]) == (2, hint)
