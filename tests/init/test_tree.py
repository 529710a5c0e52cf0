"""A repository as `init` looks at it: by files, whatever is in them."""

from __future__ import annotations

import os
from pathlib import Path

from oroboros_deploy.init.tree import Tree, below, table


def test_what_is_broken_holds_nothing(tmp_path: Path) -> None:
    """A file that is no JSON, no TOML, no text, or not there is as good as empty."""
    (tmp_path / "a.json").write_text("[1")
    (tmp_path / "b.json").write_text("[1]")
    (tmp_path / "c.toml").write_text("= 1")
    (tmp_path / "long.toml").write_text(f"a = {'9' * 5000}")
    (tmp_path / "deep.toml").write_text(f"a = {'[' * 5000}")
    (tmp_path / "d").write_bytes(b"\xff\xfe")
    (tmp_path / "e").mkdir()
    os.mkfifo(tmp_path / "f")
    tree = Tree(tmp_path)
    assert (tree.json("a.json"), tree.json("b.json"), tree.toml("c.toml"), tree.json("no")) == ({}, {}, {}, {})
    assert (tree.toml("long.toml"), tree.toml("deep.toml")) == ({}, {})
    assert (tree.text("no"), tree.text("e"), len(tree.text("d")), tree.has("e")) == ("", "", 2, False)
    assert tree.text("f") == ""  # whoever opens a pipe waits


def test_the_nearest_level_counts(tmp_path: Path) -> None:
    """Files in the top directory, else in directories of it; what is not the application's own is passed over."""
    tree = Tree(tmp_path)
    for place in ("apps/api", "apps/web", "node_modules/x", "docs", ".hidden"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "package.json").write_text("{}")
    assert tree.places("package.json") == ["apps/api", "apps/web"]
    assert tree.files(r".*\.json") == ["apps/api/package.json", "apps/web/package.json"]
    (tmp_path / "package.json").write_text("{}")
    assert tree.places("package.json") == [""]
    assert [*tree.levels("package.json")] == [[""], ["apps/api", "apps/web"]]


def test_the_directories_that_hold_something(tmp_path: Path) -> None:
    """A file is none, and of an empty one a repository knows nothing."""
    for place in ("api/empty", "api/full/deep"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "api/Makefile").write_text("")
    assert (Tree(tmp_path).directories("api"), Tree(tmp_path).directories("no")) == (["full"], [])


def test_a_directory_that_leads_back_is_no_place(tmp_path: Path) -> None:
    """Links to directories are not followed."""
    (tmp_path / "again").symlink_to(tmp_path)
    assert (Tree(tmp_path).files(".*"), Tree(tmp_path).places("x")) == ([], [])


def test_paths_and_tables() -> None:
    """A path from the top, and a key that holds no table."""
    assert (below("", "a"), below("b", "a"), table(5), table({"a": 1})) == ("a", "b/a", {}, {"a": 1})
