"""Which projects of Python `init` asks about, because no wheel can be built of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.init import wheel
from oroboros_deploy.init.proposal import Proposal
from oroboros_deploy.init.tree import Tree

PROJECT = "[project]\nname = 'my-shop'\n"
POETRY = "[build-system]\nbuild-backend = 'poetry.core.masonry.api'\n[tool.poetry]\nname = 'my-shop'\n"
HATCHLING = PROJECT + "[build-system]\nbuild-backend = 'hatchling.build'\n"
SETUPTOOLS = PROJECT + "[build-system]\nbuild-backend = 'setuptools.build_meta'\n"


def asked(top: Path, pyproject: str, files: str, lock: str | None = None) -> list[str]:
    """The lines that are named for a project with these files."""
    (top / "pyproject.toml").write_text(pyproject)
    for name in files.split():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("/media/\n" if name == ".gitignore" else "")
    proposal = Proposal("shop")
    wheel.look(Tree(top), proposal, "", lock)
    return [each.rpartition(": ")[2] for each in proposal.questions.get("build.venvs", [])]


@pytest.mark.parametrize(
    ("pyproject", "files", "line"),
    [
        (PROJECT, "app/main.py static/page.css", "py-modules = []"),
        (SETUPTOOLS, "main.py models.py Makefile", "py-modules = []"),
        (POETRY, "manage.py config/settings.py", "package-mode = false"),
        (POETRY.replace("my-shop", "MyShop"), "MyShop/__init__.py", "package-mode = false"),
        (HATCHLING, "app/main.py", "bypass-selection = true"),
    ],
)
def test_an_application_that_is_no_package(tmp_path: Path, pyproject: str, files: str, line: str) -> None:
    """Its build would fail: the line is named with which only what it needs is installed."""
    assert asked(tmp_path, pyproject, files) == [line]


@pytest.mark.parametrize(
    ("pyproject", "files"),
    [
        (SETUPTOOLS, "app/main.py tests/test.py docs/index.md main.py other.py"),
        (PROJECT, "shop/__init__.py LICENSE Makefile Dockerfile"),
        (PROJECT, "shop/__init__.py node_modules/x/index.js media/photo.png .gitignore"),
        (PROJECT, "main.py gunicorn.conf.py"),
        (SETUPTOOLS, "main.py setup.cfg models.py"),
        (SETUPTOOLS, "src/a/b.py app/main.py static/page.css"),
        (SETUPTOOLS + "[tool.setuptools]\npackages = ['app']\n", "app/main.py static/page.css"),
        (POETRY, "my_shop/main.py"),
        (POETRY + "packages = [{include = 'app'}]\n", "app/main.py"),
        (POETRY + "package-mode = false\n", "app/main.py"),
        (HATCHLING, "src/my_shop/main.py"),
        (HATCHLING.replace("my-shop", "My-Shop"), "My_Shop/__init__.py"),
        (HATCHLING.replace("my-shop", "MyShop"), "MyShop/__init__.py"),
        (HATCHLING + "[tool.hatch.build.targets.wheel]\npackages = ['app']\n", "app/main.py"),
        ("[build-system]\nbuild-backend = 'flit_core.buildapi'\n", "app/main.py static/page.css"),
        ("", "app/main.py static/page.css"),
    ],
)
def test_a_package_is_built(tmp_path: Path, pyproject: str, files: str) -> None:
    """Nothing is asked about it, nor about what another tool builds."""
    assert asked(tmp_path, pyproject, files) == []


def test_of_a_locked_project_without_a_build_system_no_wheel_is_built(tmp_path: Path) -> None:
    """A build installs what is locked, and that alone."""
    assert asked(tmp_path, PROJECT, "app/main.py static/page.css", "uv.lock") == []


def test_only_packages_and_modules_are_named(tmp_path: Path) -> None:
    """The files beside them are none, and neither is a directory that holds nothing."""
    (tmp_path / "uploads").mkdir()
    asked(tmp_path, PROJECT, "main.py models.py Makefile")
    proposal = Proposal("shop")
    wheel.look(Tree(tmp_path), proposal, "", None)
    (question,) = proposal.questions["build.venvs"]
    assert question == (
        "pyproject.toml: setuptools finds more than one module in it, and builds none of main.py and models.py. "
        "Is it an application, and no package? Then let a build install its dependencies "
        "alone: write below [tool.setuptools] of pyproject.toml: py-modules = []"
    )
