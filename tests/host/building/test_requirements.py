"""Requirements files: which there are, and whether their text says all that they install."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.host.building import requirements


@pytest.mark.parametrize(
    ("line", "self_contained"),
    [
        ("flask", True),
        ("flask[async] >= 3, < 4 ; python_version > '3'  # why", True),
        ("flask==3 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11", True),
        ("", True),
        ("./vendor/tools", False),
        ("-e .", False),
        ("-r base.txt", False),
        ("--constraint=limits.txt", False),
        ("tools @ file:///srv/tools", False),
        ("wheels/tools-1.0-py3-none-any.whl", False),
        ("--find-links ./wheels", False),
    ],
)
def test_requirements_whose_text_says_all(tmp_path: Path, line: str, self_contained: bool) -> None:
    """Those that name another file are not: it may change when they do not."""
    (tmp_path / "requirements.txt").write_text(f"# first\n{line}\n")
    assert requirements.are_self_contained([tmp_path / "requirements.txt"]) == self_contained


def test_the_files_of_projects_that_have_one(tmp_path: Path) -> None:
    """Named as the release names them, in the order of the projects."""
    for project in ("worker", "backend", "bare"):
        (tmp_path / project).mkdir()
    for project in ("worker", "backend"):
        (tmp_path / project / "requirements.txt").touch()
    found = requirements.of(tmp_path, ["worker", "bare", "nowhere", "backend"])
    assert found == ["worker/requirements.txt", "backend/requirements.txt"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("flask\n", "."),
        ("./vendor/tools\n", "backend"),
        ("-e .\n", "backend"),
        ("tools[extra] @ file:vendor/tools\n", "backend"),
        ("-r more.txt\n", "backend"),
        ("./shared/tools\n", "."),
        ("--find-links=./shared\n", "."),
        ("-r other.txt\n", "."),
        ("./nowhere\n", "backend"),
    ],
)
def test_paths_count_from_the_project(tmp_path: Path, text: str, place: str) -> None:
    """As by hand, in the project's directory; from the release where they lead somewhere only from there."""
    for directory in ("backend/vendor/tools", "shared/tools"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "backend/more.txt").write_text("./vendor/tools\n-r more.txt\n")
    (tmp_path / "backend/other.txt").write_text("./shared/tools\n")
    (tmp_path / "backend/requirements.txt").write_text(text)
    assert requirements.place(tmp_path / "backend/requirements.txt", tmp_path) == tmp_path / place


@pytest.mark.parametrize(("text", "hashed"), [("flask==3\n", False), ("flask==3 \\\n  --hash=sha256:00\n", True)])
def test_hashes_are_noticed(tmp_path: Path, text: str, hashed: bool) -> None:
    """One file with hashes among several is enough: pip then demands a hash of all that it installs."""
    (tmp_path / "one").write_text("\n")
    (tmp_path / "two").write_text(text)
    assert requirements.are_hashed([tmp_path / "one", tmp_path / "two"]) == hashed
