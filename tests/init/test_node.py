"""What `init` makes of Node projects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.init import node
from oroboros_deploy.init.proposal import Proposal
from oroboros_deploy.init.tree import Tree


def look(top: Path, package: dict[str, Any], **files: str) -> Proposal:
    """What is found beside a package.json."""
    (top / "package.json").write_text(json.dumps(package))
    for name, text in files.items():
        (top / name.replace("__", "-").replace("_", ".")).write_text(text)
    proposal = Proposal("shop")
    node.look(Tree(top), proposal)
    return proposal


@pytest.mark.parametrize(
    ("needs", "output"),
    [
        ("vite", "dist"),
        ("react-scripts", "build"),
        ("gatsby", "public"),
        ("@11ty/eleventy", "_site"),
        ("astro", "dist"),
    ],
)
def test_the_output_is_that_of_the_tool(tmp_path: Path, needs: str, output: str) -> None:
    """Where a known tool writes its pages is known, too."""
    proposal = look(tmp_path, {"devDependencies": {needs: "1"}, "scripts": {"build": "x"}}, package__lock_json="{}")
    assert (proposal.frontend or {})["output"] == output
    assert (proposal.page, proposal.questions) == (f"{output}/index.html", {})


def test_an_output_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    """And so is a lock file that is missing."""
    proposal = look(tmp_path, {"scripts": {"build": "make pages"}})
    assert (proposal.frontend or {})["command"] == "npm install && npm run build"
    assert set(proposal.questions) == {"build.frontend", "build"}


def test_an_unknown_output_of_a_second_place_is_asked_for_at_its_step(tmp_path: Path) -> None:
    """The frontend of the first place is known, and has no question above it."""
    for place, needs in (("admin", {"vite": "1"}), ("shop", {})):
        (tmp_path / place).mkdir()
        package = {"scripts": {"build": "x"}, "devDependencies": needs}
        (tmp_path / place / "package.json").write_text(json.dumps(package))
        (tmp_path / place / "package-lock.json").write_text("{}")
    proposal = Proposal("shop")
    node.look(Tree(tmp_path), proposal)
    asked = "into which directory does `run build` of shop/package.json write? dist is a guess, correct it below:"
    assert proposal.questions == {"build.steps": [asked]}


def test_an_export_of_next_has_no_server(tmp_path: Path) -> None:
    """Its pages are in `out`."""
    package = {"dependencies": {"next": "15"}, "scripts": {"build": "next build", "start": "next start"}}
    proposal = look(tmp_path, package, next_config_js="module.exports = { output: 'export' }", yarn_lock="")
    assert ((proposal.frontend or {})["output"], proposal.run) == ("out", False)


def test_a_later_yarn_has_other_flags(tmp_path: Path) -> None:
    """Its lock file has the same name, and its settings another one."""
    (tmp_path / ".yarnrc.yml").write_text("")
    proposal = look(tmp_path, {"dependencies": {"koa": "3"}, "scripts": {"build": "tsc"}}, yarn_lock="")
    assert [step["command"] for step in proposal.steps] == ["yarn install --immutable", "yarn run build"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"scripts": {"postinstall": "node patch.js"}}, "a script postinstall"),
        ({"scripts": {"prepare": "husky"}}, "a script prepare"),
        ({"devDependencies": {"@prisma/client": "6"}}, "@prisma/client"),
        ({"optionalDependencies": {"words": "file:lib/words"}}, "words from file:lib/words"),
        ({"workspaces": ["lib/*"]}, "workspaces"),
        ({"devDependencies": {"words": "file:words-1.0.0.tgz"}}, None),
    ],
)
def test_packages_are_kept_where_the_lock_file_says_all(tmp_path: Path, more: dict[str, Any], told: str | None) -> None:
    """What an installation reads of the repository besides may change when the lock file does not: it always runs."""
    proposal = look(tmp_path, {"dependencies": {"koa": "3"}, **more}, package__lock_json="{}")
    (step,) = proposal.steps
    kept = {"inputs": ["package.json", "package-lock.json"]} if told is None else {}
    command = "npm ci" if "scripts" in more else "npm ci --omit=dev"  # a hook may need a tool for development
    assert step == {"name": "packages", "command": command, **kept, "outputs": ["node_modules"]}
    assert [reason.split(" has ")[1] for reason in proposal.reasons["build.steps"][1:]] == (
        [] if told is None else [f"{told}: the packages are installed for each release"]
    )


@pytest.mark.parametrize("development", [{}, {"nodemon": "3"}])
def test_a_server_without_packages_makes_no_node_modules(tmp_path: Path, development: dict[str, str]) -> None:
    """npm makes none for it, and a build would end where it is said to."""
    package = {"scripts": {"start": "node server.js"}, "devDependencies": development}
    proposal = look(tmp_path, package, package__lock_json="{}")
    assert proposal.steps == [{"name": "packages", "command": "npm ci --omit=dev"}]


def test_packages_of_tools_alone_are_nothing_to_deploy(tmp_path: Path) -> None:
    """A package.json without a build and a server adds no step."""
    proposal = look(tmp_path, {"devDependencies": {"prettier": "3"}}, package__lock_json="{}")
    assert (proposal.steps, proposal.frontend, proposal.found, proposal.questions) == ([], None, [], {})


def test_packages_of_tools_hide_no_pages(tmp_path: Path) -> None:
    """What is below them is looked at, and nobody is asked for a lock file of theirs."""
    (tmp_path / "apps/web").mkdir(parents=True)
    pages = {"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}
    (tmp_path / "apps/web/package.json").write_text(json.dumps(pages))
    (tmp_path / "apps/web/package-lock.json").write_text("{}")
    proposal = look(tmp_path, {"devDependencies": {"prettier": "3"}})
    assert (proposal.frontend or {})["path"] == "apps/web"
    assert proposal.questions == {}


def put(top: Path, packages: dict[str, dict[str, Any]], *locks: str) -> Proposal:
    """What is found in packages, by their directories, and lock files, by their paths."""
    for place, package in packages.items():
        (top / place).mkdir(parents=True, exist_ok=True)
        (top / place / "package.json").write_text(json.dumps(package))
    for lock in locks:
        (top / lock).write_text("{}")
    proposal = Proposal("shop")
    node.look(Tree(top), proposal)
    return proposal


PAGES = {"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}
STARTED = {"scripts": {"build": "tsc", "start": "node ."}, "dependencies": {"koa": "3"}}


@pytest.mark.parametrize(
    ("packages", "lock", "install", "name"),
    [
        ({"workspaces": ["apps/*"]}, "package-lock.json", "npm ci", "npm"),
        ({"workspaces": ["apps/*"]}, "bun.lock", "bun install --frozen-lockfile", "bun"),
        ({}, "pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm"),
    ],
)
def test_a_workspace_is_installed_by_its_own_lock_file(
    tmp_path: Path, packages: dict[str, Any], lock: str, install: str, name: str
) -> None:
    """That is at the top; as a member may read another one, the source of its pages is all of the workspace."""
    if name == "pnpm":
        (tmp_path / "pnpm-workspace.yaml").write_text("packages: [apps/*]\n")
    proposal = put(tmp_path, {"": packages, "apps/web": PAGES, "apps/api": STARTED, "apps/jobs": STARTED}, lock)
    command = f"{install} && cd apps/web && {name} run build"
    assert proposal.frontend == {"path": ".", "command": command, "output": "apps/web/dist", "into": None}
    assert (proposal.page, proposal.questions) == ("apps/web/dist/index.html", {})
    assert proposal.steps == [
        {"name": "packages", "command": install},
        {"name": "compile apps-api", "path": "apps/api", "command": f"{name} run build"},
        {"name": "compile apps-jobs", "path": "apps/jobs", "command": f"{name} run build"},
    ]


def test_what_is_no_member_of_a_workspace_has_its_own_lock_file(tmp_path: Path) -> None:
    """One at the top without a workspace locks nothing below."""
    proposal = put(tmp_path, {"": {}, "web": PAGES}, "package-lock.json")
    assert (proposal.frontend or {})["command"] == "npm install && npm run build"
    proposal = put(tmp_path, {"": {"workspaces": ["api"]}, "web": PAGES}, "web/package-lock.json")
    assert (proposal.frontend or {})["path"] == "web"


def test_pages_beside_a_workspace_are_none_of_its_members(tmp_path: Path) -> None:
    """They are installed where they are, and their lock file is asked for."""
    proposal = put(tmp_path, {"": {"workspaces": ["packages/*"]}, "website": PAGES}, "package-lock.json")
    command = "npm install && npm run build"
    assert proposal.frontend == {"path": "website", "command": command, "output": "dist", "into": None}
    assert proposal.questions == {
        "build": ["website/package.json has no lock file: commit one, and write `npm ci` in place of `npm install`"]
    }


def test_the_directory_of_a_member_is_one_word_for_the_shell(tmp_path: Path) -> None:
    """Whatever its name is."""
    packages = {"": {"workspaces": ["*"]}, "my shop; true": PAGES}
    proposal = put(tmp_path, packages, "package-lock.json")
    assert (proposal.frontend or {})["command"] == "npm ci && cd 'my shop; true' && npm run build"


def test_pages_of_two_places(tmp_path: Path) -> None:
    """Those of the second are a step of their own, and replace nothing."""
    for place in ("admin", "shop"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "package.json").write_text('{"scripts": {"build": "x"}, "devDependencies": {"vite": "1"}}')
        (tmp_path / place / "package-lock.json").write_text("{}")
    proposal = Proposal("shop")
    node.look(Tree(tmp_path), proposal)
    command = "npm ci && npm run build"
    assert (proposal.frontend, proposal.page) == (
        {"path": "admin", "command": command, "output": "dist", "into": None},
        "admin/dist/index.html",
    )
    assert proposal.steps == [{"name": "pages shop", "path": "shop", "command": command, "outputs": ["shop/dist"]}]
