"""Which directories are members of a workspace of Node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.init import workspace
from oroboros_deploy.init.tree import Tree

PLACES = ("api", "apps", "apps/web", "apps/web/test", "libs/words")


def members(top: Path, above: str = "") -> list[str]:
    """Those of these places that are members."""
    return [place for place in PLACES if workspace.has_member(Tree(top), above, f"{above}/{place}".lstrip("/"))]


@pytest.mark.parametrize(
    ("workspaces", "found"),
    [
        (["apps/*"], ["apps/web"]),
        (["./apps/web/", "api"], ["api", "apps/web"]),
        ({"packages": ["libs/*"], "nohoist": ["**"]}, ["libs/words"]),
        (["{apps,libs}/*"], ["apps/web", "libs/words"]),
        (["**", "!**/test", "!a?i"], ["apps", "apps/web", "libs/words"]),
        (["apps/**"], ["apps", "apps/web", "apps/web/test"]),
        ([], []),
        (["{a,b}" * 40, "{a,b}" * 4000, "**/" * 4000, "apps/*"], ["apps/web"]),
        ({"packages": 5}, []),
        (5, []),
    ],
)
def test_members_that_a_package_json_names(tmp_path: Path, workspaces: Any, found: list[str]) -> None:
    """A star is one directory, two are any number, and what follows an exclamation mark is none."""
    (tmp_path / "package.json").write_text(json.dumps({"workspaces": workspaces}))
    assert members(tmp_path) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("packages: [apps/*, 'libs/*']\n", ["apps/web", "libs/words"]),
        ("# all\npackages:\n  # ours\n  - 'apps/*' # pages\n\n  - api\ncatalog:\n  - libs/*\n", ["api", "apps/web"]),
        ('packages:\n- "**"\n- "!**/test"\n- "!libs/**"\n', ["api", "apps", "apps/web"]),
        ("packages: ['{apps,libs}/*']", ["apps/web", "libs/words"]),
        ("onlyBuiltDependencies:\n  - apps/*\n", []),
        ("", []),
    ],
)
def test_members_that_pnpm_is_told(tmp_path: Path, text: str, found: list[str]) -> None:
    """Its list is read as people write it, on one line or on many."""
    (tmp_path / "pnpm-workspace.yaml").write_text(text)
    assert members(tmp_path) == found


def test_a_workspace_that_is_not_at_the_top(tmp_path: Path) -> None:
    """Its patterns count from its own directory."""
    (tmp_path / "js").mkdir()
    (tmp_path / "js/package.json").write_text('{"workspaces": ["apps/*"]}')
    assert members(tmp_path, "js") == ["apps/web"]
