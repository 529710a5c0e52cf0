"""Lock files that nothing is installed from are told by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host.building import passed_over
from oroboros_deploy.host.building.needs import Needs
from tests.support.builds import FRONTEND, Site

QUIET = "set lock: null in build.venvs.shop to turn this warning off"
NEWEST = "the newest of what shop asks for is installed"


def told(release: Path, needs: Needs | None = None, **files: str) -> list[str]:
    """What is said of a commit with these files (``a/b``)."""
    for name, text in files.items():
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_text(text)
    return list(passed_over.of_venv("shop", needs or Needs(["shop"]), release))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Pipfile.lock", "let the tool that wrote it (pipenv requirements --hash) write shop/requirements.txt"),
        ("pylock.toml", "write what it pins to shop/requirements.txt"),
        ("pylock.linux.toml", "write what it pins to shop/requirements.txt"),
        ("conda-lock.yml", "write what it pins to shop/requirements.txt"),
        ("pixi.lock", "write what it pins to shop/requirements.txt"),
        ("requirements.lock", "name it in the requirements of build.venvs.shop"),
    ],
)
def test_a_lock_that_no_tool_of_ours_reads(tmp_path: Path, name: str, wanted: str) -> None:
    """What is installed instead, what to do, and how to have it so without a word."""
    (said,) = told(tmp_path, **{f"shop/{name}": "", "shop/pyproject.toml": ""})
    assert said == f"shop/{name} is passed over: {NEWEST} ({wanted}; {QUIET})"


def test_what_is_installed_instead_is_named(tmp_path: Path) -> None:
    """A requirements file, or a lock that is read."""
    (said,) = told(tmp_path, **{"shop/Pipfile.lock": "", "shop/requirements.txt": "flask\n"})
    assert said.startswith("shop/Pipfile.lock is passed over: what shop/requirements.txt says is installed (")
    assert told(tmp_path, **{"shop/uv.lock": ""}) == [
        "shop/Pipfile.lock is passed over: shop/uv.lock is installed (remove the one that is not meant)"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", '[[package]]\nname = "shop"\nsource = { editable = "apps/shop" }\n'),
        ("poetry.lock", '[package.source]\ntype = "directory"\nurl = "apps/shop"\n'),
        ("pdm.lock", 'path = "./apps/shop"\n'),
        ("Pipfile.lock", '"shop": {"editable": true, "path": "./apps/shop"}\n'),
    ],
)
def test_the_lock_of_a_workspace_above_its_member(tmp_path: Path, name: str, text: str) -> None:
    """It is told where it names the project; one above that is about other projects is none of this one's."""
    needs = Needs(["apps/shop"])
    (said,) = told(tmp_path, needs, **{name: text, "apps/shop/pyproject.toml": ""})
    assert said.startswith(f"{name} is passed over: the newest of what apps/shop asks for is installed (let the tool ")
    assert told(tmp_path, needs, **{name: text.replace("apps/shop", "apps/shopping")}) == []


def test_what_the_settings_decide_is_not_told(tmp_path: Path) -> None:
    """Neither where a lock is ignored on purpose, nor where requirements are named or have the hashes of a lock."""
    files = {"shop/Pipfile.lock": "", "shop/requirements.txt": "flask==3 --hash=sha256:0\n"}
    assert told(tmp_path, **files) == []
    (tmp_path / "shop/requirements.txt").write_text("flask==3\n")
    assert told(tmp_path, Needs(["shop"], requirements=["shop/requirements.txt"])) == []
    assert told(tmp_path, Needs(["shop"], lock=None)) == []
    assert len(told(tmp_path)) == 1


@pytest.mark.parametrize(
    ("command", "files", "said"),
    [
        ("npm ci && npm run build", "package-lock.json pnpm-lock.yaml", "pnpm-lock.yaml: npm reads package-lock.json"),
        ("npm ci", "npm-shrinkwrap.json package-lock.json", "package-lock.json: npm reads npm-shrinkwrap.json"),
        ("npm install", "yarn.lock", "yarn.lock: npm reads no lock file"),
        (
            "CI=1 pnpm i --frozen-lockfile",
            "package-lock.json pnpm-lock.yaml",
            "package-lock.json: pnpm reads pnpm-lock.yaml",
        ),
        ("corepack yarn install", "yarn.lock bun.lockb", "bun.lockb: yarn reads yarn.lock"),
        ("npm i -g pnpm && pnpm i", "package-lock.json pnpm-lock.yaml", ""),
        ("make", "package-lock.json yarn.lock", ""),
        ("npm ci", "package-lock.json", ""),
    ],
)
def test_locks_of_node_that_the_command_does_not_read(tmp_path: Path, command: str, files: str, said: str) -> None:
    """By the tools in the frontend's command; a command that names none says nothing of what it reads."""
    settings: Any = {**FRONTEND, "command": command}
    (tmp_path / "frontend").mkdir()
    for name in files.split():
        (tmp_path / "frontend" / name).touch()
    name, _, reads = said.partition(": ")
    tool, _, instead = reads.partition(" reads ")
    hint = f"remove {name} from the commit, or set build.frontend.command to the tool that wrote {name}"
    expected = [f"frontend/{name} is passed over: {tool} in {command!r} reads {instead} ({hint})"] if said else []
    assert list(passed_over.of_frontend(settings, tmp_path)) == expected


@pytest.mark.slow
def test_a_build_tells_it(site: Site) -> None:
    """As a warning, and goes on."""
    answer = site.build(site.commit(**{"backend/Pipfile.lock": "{}", "frontend/page": "hello"}))
    assert answer.refusal is None
    said = [line.partition(" is passed over") for line in answer.said("warning")]
    assert [name for name, passed_over, _ in said if passed_over] == [
        "backend/Pipfile.lock"
    ] * 2  # for each environment
