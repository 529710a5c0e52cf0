"""What the build of a Node server makes, and how webpack is told that it is for production."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.init.test_node import look

BUILT = {"scripts": {"build": "tsc", "start": "node dist/main.js"}, "dependencies": {"koa": "3"}}


@pytest.mark.parametrize(
    ("more", "files", "outputs"),
    [
        ({}, {".gitignore": "node_modules/\n/dist/\n"}, ["dist"]),
        ({}, {".gitignore": "dist\ncoverage/\nbuild/\n"}, ["dist"]),
        ({}, {".gitignore": "**/dist\n"}, ["dist"]),
        ({"files": ["./dist/**/*.js", "public/**"]}, {".gitignore": "/public/\ndist/\n"}, ["dist", "public"]),
        ({}, {".gitignore": "build/\ndist/", "tsconfig.json": '{"outDir": "./build"} // ts'}, ["build", "dist"]),
        ({}, {".gitignore": "build/\ndist/", "tsconfig.json": '{"exclude": ["build"]}'}, ["dist"]),
        ({"dependencies": {"next": "15"}}, {".gitignore": "/.next/\n"}, [".next"]),
        ({}, {".gitignore": "#dist/\n!dist\nweb/dist/\n"}, None),
        ({"scripts": {"build": "tsc", "start": "node ."}}, {".gitignore": "dist/\n"}, None),
        ({}, {}, None),
    ],
)
def test_a_build_of_a_server_says_what_it_makes(
    tmp_path: Path, more: dict[str, Any], files: dict[str, str], outputs: list[str] | None
) -> None:
    """Directories that git ignores, and that what starts or builds the server names; what it reads nobody can tell."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    proposal = look(
        tmp_path, {**BUILT, **({"scripts": {"build": "next build"}} if "dependencies" in more else {}), **more}
    )
    step = proposal.steps[-1]
    assert (step["name"], step.get("outputs"), "inputs" in step) == ("compile", outputs, False)
    told = [reason for reason in proposal.reasons["build.steps"] if "`inputs`" in reason]
    assert len(told) == (1 if outputs else 0)


@pytest.mark.parametrize(
    ("scripts", "config", "sets"),
    [
        ({"build": "webpack"}, "mode: production ? 'production' : 'development'", True),
        ({"build": "run-p build:*", "build:client": "webpack"}, "", True),
        ({"build": "NODE_ENV=production webpack"}, "", False),
        ({"build": "run-p build:*", "build:client": "cross-env NODE_ENV=production webpack"}, "", False),
        ({"build": "webpack --mode=production"}, "", False),
        ({"build": "webpack"}, "module.exports = {\n  mode: 'production',\n}", False),
        ({"build": "tsc", "test": "webpack --mode=development"}, "", False),
    ],
)
@pytest.mark.parametrize("start", [{}, {"start": "node server.js"}])
def test_webpack_makes_what_is_for_production(
    tmp_path: Path, scripts: dict[str, str], start: dict[str, str], config: str, sets: bool
) -> None:
    """Without NODE_ENV it makes a bundle for development, for pages as for a server."""
    package = {"devDependencies": {"webpack": "5"}, "scripts": {**scripts, **start}}
    proposal = look(tmp_path, package, webpack_config_js=config, package__lock_json="{}")
    command = str((proposal.frontend or proposal.steps[-1])["command"])
    assert ("NODE_ENV=production npm run build" in command) == sets
    assert not command.startswith("NODE_ENV=production npm ci")  # which would leave out what builds
