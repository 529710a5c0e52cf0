"""Which names of the environment `init` asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.init import names
from oroboros_deploy.init.proposal import Proposal
from oroboros_deploy.init.tree import Tree
from tests.support.sources import write_files


def look(top: Path, **files: str) -> list[str]:
    """The names that are found in files, whose names have ``__`` for a slash and ``_`` for a dot."""
    write_files(top, files)
    proposal = Proposal("shop")
    names.look(Tree(top), proposal)
    return proposal.names


@pytest.mark.parametrize(
    "read",
    [
        'os.environ["KEY_ID"]',
        "environ['KEY_ID']",
        'os.getenv("KEY_ID")',
        'os.environ.get(\n    "KEY_ID"\n)',
        'config("KEY_ID", cast=bool)',
        'env("KEY_ID")',
        'env.str("KEY_ID")',
    ],
)
def test_what_code_reads_without_a_default(tmp_path: Path, read: str) -> None:
    """A name without which the application may not start is asked for."""
    assert look(tmp_path, shop__settings_py=f"KEY = {read}\n") == ["KEY_ID"]


@pytest.mark.parametrize(
    "read", ['os.getenv("KEY_ID", "x")', 'env("KEY_ID", default="x")', 'environ["HOME"]', 'Config("KEY_ID")']
)
def test_what_nobody_has_to_answer(tmp_path: Path, read: str) -> None:
    """Nor is a name with a default, or one that every system sets."""
    assert look(tmp_path, shop_py=f"KEY = {read}\n") == []


def test_an_example_of_an_environment_has_the_names(tmp_path: Path) -> None:
    """In its order and once each, with what the code reads after them; its values are for development."""
    example = "# shop\nexport PORT=3000\nDATABASE_URL=x\n#OLD=1\nEMPTY=\n"
    code = 'environ["MAIL"], environ["PORT"]'
    assert look(tmp_path, _env_example=example, shop_py=code) == ["PORT", "DATABASE_URL", "EMPTY", "MAIL"]
