"""What a directory says of itself as a Python project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from oroboros_deploy.host.building import project
from oroboros_deploy.host.refusal import Refusal

pytestmark = pytest.mark.slow  # whole builds and activations


@pytest.mark.parametrize(
    ("files", "packaged"),
    [
        ({"pyproject.toml": "[project]\nname = 'x'\n"}, True),
        ({"pyproject.toml": "[ project.scripts ]\n"}, True),
        ({"pyproject.toml": "[build-system]\nrequires = []\n"}, True),
        ({"pyproject.toml": "[build-system\n"}, True),
        ({"pyproject.toml": "build-system.requires = []\n"}, True),
        ({"pyproject.toml": "[tool.poetry]\nname = 'x'\n"}, True),
        ({"pyproject.toml": "[tool.ruff]\nline-length = 120\nproject = 'x'\n"}, False),
        ({"pyproject.toml": "[dependency-groups]\ndev = []\n"}, False),
        ({"pyproject.toml": "[tool.ruff]\n", "setup.py": ""}, True),
        ({"setup.py": ""}, True),
        ({"requirements.txt": "flask\n"}, False),
        ({}, False),
    ],
)
def test_a_project_is_what_describes_one(tmp_path: Path, files: dict[str, str], packaged: bool) -> None:
    """A pyproject.toml that only configures tools describes none."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert project.is_packaged(tmp_path) == packaged


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no reader of TOML")
def test_a_group_has_its_members_and_those_of_the_groups_it_includes(tmp_path: Path) -> None:
    """Names are compared as package indexes compare them; a group that includes itself ends."""
    groups = "Prod_Only = ['a', {include-group = 'base'}]\nbase = ['b>=1', {include-group = 'prod-only'}]\n"
    (tmp_path / "pyproject.toml").write_text(f"[dependency-groups]\n{groups}")
    assert project.grouped([tmp_path], ["prod-only"]) == ["a", "b>=1"]
    assert project.grouped([tmp_path, tmp_path], ["base", "prod.only"]) == ["b>=1", "a"]
    assert project.grouped([tmp_path], []) == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no reader of TOML")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[project]\n", "build.venvs: no project of the virtual environment has the dependency group 'prod'"),
        ("[project\n", "backend/pyproject.toml cannot be read: "),
    ],
)
def test_a_group_that_is_not_declared_is_refused(tmp_path: Path, text: str, why: str) -> None:
    """It is named, and so is a file that is no TOML."""
    directory = tmp_path / "backend"
    directory.mkdir()
    (directory / "pyproject.toml").write_text(text)
    with pytest.raises(Refusal) as refused:
        project.grouped([directory], ["prod"])
    assert (refused.value.kind, refused.value.message[: len(why)]) == ("build_failed", why)
