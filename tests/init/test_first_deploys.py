"""What `init` writes is committed with its questions answered, and the first deploy works: on hosts without systemd."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from oroboros_deploy import load_config
from oroboros_deploy.cli.init import files_for, write
from oroboros_deploy.host import process
from oroboros_deploy.testing import LocalHosts
from tests.support import mounted
from tests.support.builds import wheel
from tests.support.repository import Repository
from tests.support.rights import require
from tests.support.second_tools import by_npm

pytestmark = pytest.mark.slow  # whole builds and deploys

Answer = tuple[str, str]  # what `init` wrote, and what a person makes of it

HOSTS: Answer = (
    "# environments: {prod: {hosts: [deploy@web1.example.org]}}",
    "environments: {prod: {hosts: [web1]}}",
)
# Django's own command line, as far as a deploy uses it: the real one would have to be asked of a package index.
DJANGO = """\
from pathlib import Path


def execute_from_command_line(argv):
    made = Path({"collectstatic": "static/page.css", "migrate": "media/migrated"}[argv[1]])
    made.parent.mkdir(exist_ok=True)
    made.write_text("hello\\n")
"""
DJANGO_FILES = {
    "manage.py": "import sys\n\nfrom django.core.management import execute_from_command_line\n\n"
    "execute_from_command_line(sys.argv)\n",
    "shop/settings.py": "from pathlib import Path\n\nBASE_DIR = Path(__file__).parent.parent\n"
    'STATIC_ROOT = BASE_DIR / "static"\nMEDIA_ROOT = BASE_DIR / "media"\n',
}
OFFLINE = "audit=false\nfund=false\noffline=true\n"
PAGES = {
    "package.json": '{"name": "pages", "version": "1.0.0", "private": true, "scripts": {"build": "node build.js"}}',
    "build.js": "const fs = require('fs')\nfs.mkdirSync('dist')\nfs.writeFileSync('dist/index.html', 'hello\\n')\n",
    ".npmrc": OFFLINE,
}
TOOLS = {
    "pyproject.toml": "[tool.ruff]\nline-length = 100\n",
    "package.json": '{"name": "all", "version": "1.0.0", "private": true, "workspaces": ["apps/web"]}',
    ".npmrc": OFFLINE,
}
SERVER = {
    "package.json": '{"name": "shop", "version": "1.0.0", "private": true, "scripts": {"start": "node server.js"}, '
    '"dependencies": {"words": "file:lib/words"}}',
    "server.js": "console.log(require('words'))\n",
    "lib/words/package.json": '{"name": "words", "version": "1.0.0"}',
    "lib/words/index.js": "module.exports = 'hello'\n",
    ".npmrc": OFFLINE,
    ".gitignore": "node_modules/\n",
}
# A next that makes one page and shows it: the real one would have to be asked of a package registry.
NEXT = {
    "package.json": '{"name": "shop", "version": "1.0.0", "private": true, "dependencies": {"next": "file:lib/next"}, '
    '"scripts": {"build": "next build", "start": "next start -p 3100"}}',
    "lib/next/package.json": '{"name": "next", "version": "1.0.0", "bin": {"next": "cli.js"}}',
    "lib/next/cli.js": "#!/usr/bin/env node\nconst fs = require('fs')\nif (process.argv[2] === 'build') {\n"
    "  fs.mkdirSync('.next')\n  fs.writeFileSync('.next/page', 'hello')\n"
    "} else {\n  console.log(fs.readFileSync('.next/page', 'utf8'))\n}\n",
    ".npmrc": OFFLINE,
    ".gitignore": "node_modules/\n.next/\n",
}
LOCKED = """\
[project]
name = "shop"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["fastapi"]

[tool.uv.sources]
fastapi = {path = "wheels/fastapi-1.0-py3-none-any.whl"}
"""
# A deploy in a process of its own, which sees an /etc/environment of the test's.
DEPLOY = """\
from oroboros_deploy import load_config
from oroboros_deploy.testing import LocalHosts

hosts = LocalHosts(load_config({source!r}, environment="prod"), {there!r}, source={source!r})
print(int(hosts.deployment().deploy(sha={sha!r}).exit_code))
"""
UV = Path(sys.executable).with_name("uv")
GO = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n'
# Of each package manager of Node what npm knows it by, and how a developer lets it write its lock file.
MANAGERS = {
    "npm": (None, "npm install"),
    "pnpm": ("pnpm@9", "pnpm install --no-frozen-lockfile"),
    "yarn": ("yarn@1", "yarn install"),
}


def answered(repository: Repository, *answers: Answer) -> None:
    """Write what `init` writes, with these questions and the one about hosts answered."""
    write(repository.path, files_for(repository.path))
    settings = repository.path / "fabric.yaml"
    for written, answer in (HOSTS, *answers):
        assert settings.read_text().count(written) == 1, written
        settings.write_text(settings.read_text().replace(written, answer))


def deployed(repository: Repository, there: Path, *answers: Answer) -> Path:
    """Deploy what `init` writes, with these questions and the one about hosts answered; returns what is live."""
    answered(repository, *answers)
    return deploy(repository, there)


def deploy(repository: Repository, there: Path) -> Path:
    """Commit and deploy all that is in the work tree; returns what is live."""
    sha = repository.commit()
    hosts = LocalHosts(load_config(repository.path, environment="prod"), there, source=repository.path)
    outcome = hosts.deployment().deploy(sha=sha)
    assert (int(outcome.exit_code), hosts.live("web1")) == (0, sha), outcome.hosts
    return hosts.root("web1") / "current"


def put(place: Path, files: Mapping[str, str]) -> None:
    """Write files, by their paths in a directory."""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)


def vendored(place: Path, name: str, hashed: bool = False, **files: str) -> None:
    """Write requirements that a wheel in the commit meets: no package index is asked."""
    (place / "wheels").mkdir(parents=True)
    made = wheel(place / "wheels", name, **(files or {name: "WORD = 'hello'\n"}))
    pinned = f" --hash=sha256:{hashlib.sha256(made.read_bytes()).hexdigest()}" if hashed else ""
    (place / "requirements.txt").write_text(f"--no-index\n--find-links ./wheels\n{name}==1.0{pinned}\n")


def require_program(name: str, *asking: str) -> str:
    """Where builds find a program; skips where they find none, or one that does not run."""
    found = process.find(name)
    if found is None:
        pytest.skip(f"{name} is not installed here, in a directory of a build's PATH")
    require(f"{name} that runs", found, *asking)
    return found


def said(place: Path, line: str) -> str:
    """What a command prints that a unit would start there."""
    ran = subprocess.run(["sh", "-c", line], cwd=place, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def locked(place: Path, line: str = "npm install --package-lock-only") -> None:
    """Let a package manager write its lock file."""
    ran = subprocess.run(["sh", "-c", line], cwd=place, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [("index.html", "hello\n"), ("index.php", "<?php echo 'hello';\n"), ("manage", "of nothing known")],
    ids=["pages", "PHP without a build", "unknown"],
)
def test_what_nothing_has_to_build(repository: Repository, tmp_path: Path, name: str, text: str) -> None:
    """Pages, PHP and what `init` does not know are live as they were committed."""
    put(repository.path, {name: text})
    assert (deployed(repository, tmp_path / "there") / name).read_text() == text


@pytest.mark.parametrize(
    ("framework", "hashed"), [("flask", False), ("fastapi", True)], ids=["Flask", "FastAPI with hashes"]
)
def test_requirements(repository: Repository, tmp_path: Path, framework: str, hashed: bool) -> None:
    """The application finds what its requirements name, in the environment that a unit would start it from."""
    vendored(repository.path, framework, hashed)
    put(repository.path, {"shop.py": f"import {framework}\n\nprint({framework}.WORD)\n"})
    assert said(deployed(repository, tmp_path / "there"), ".venv/bin/python shop.py") == "hello\n"


def test_a_lock_of_uv(repository: Repository, tmp_path: Path) -> None:
    """What it locks is installed by the uv of the host; the project itself, which has no build system, is not built."""
    wheels, there = repository.path / "wheels", tmp_path / "there"
    wheels.mkdir()
    wheel(wheels, "fastapi", fastapi="WORD = 'hello'\n")
    put(repository.path, {"pyproject.toml": LOCKED, "shop.py": "import fastapi\n\nprint(fastapi.WORD)\n"})
    cache = tmp_path / "uv"
    locked(repository.path, f"{UV} lock --quiet --offline --cache-dir {cache} --python {sys.executable}")
    answered(repository)
    sha = repository.commit()
    (tmp_path / "environment").write_text(f"PATH={UV.parent}:{os.environ['PATH']}\nUV_CACHE_DIR={cache}\n")
    code = DEPLOY.format(source=str(repository.path), there=str(there), sha=sha)
    assert mounted.python(code, {"/etc/environment": tmp_path / "environment"}) == "0"
    live = there / "hosts/web1/current"
    assert (live.resolve().name, said(live, ".venv/bin/python shop.py")) == (sha, "hello\n")


def test_django(repository: Repository, tmp_path: Path) -> None:
    """Static files are made in the release, and the migration writes to what is shared between releases."""
    vendored(repository.path, "django", django__core__management=DJANGO)
    put(repository.path, DJANGO_FILES)
    live = deployed(repository, tmp_path / "there")
    made = (live / "static/page.css", live.parent / "shared/media/migrated")
    assert [path.read_text() for path in made] == ["hello\n", "hello\n"]


def test_pages_of_a_script_of_its_own(repository: Repository, tmp_path: Path) -> None:
    """A static generator that is a script of the repository makes its pages on the host."""
    require_program("npm", "--version")
    put(repository.path, PAGES)
    locked(repository.path)
    assert (deployed(repository, tmp_path / "there") / "dist/index.html").read_text() == "hello\n"


def test_a_monorepo(repository: Repository, tmp_path: Path) -> None:
    """An application and pages, a member of a workspace, are made in a directory each; tools are above."""
    require_program("npm", "--version")
    put(repository.path, TOOLS)
    vendored(repository.path / "apps/api", "fastapi")
    put(repository.path / "apps/api", {"shop.py": "import fastapi\n\nprint(fastapi.WORD)\n"})
    put(repository.path / "apps/web", PAGES)
    locked(repository.path)
    live = deployed(repository, tmp_path / "there")
    assert said(live / "apps/api", ".venv/bin/python shop.py") == "hello\n"
    assert (live / "apps/web/dist/index.html").read_text() == "hello\n"


@pytest.mark.parametrize(("main", "program"), [("main.go", "bin/shop"), ("cmd/server/main.go", "bin/server")])
def test_go(repository: Repository, tmp_path: Path, main: str, program: str) -> None:
    """A program of the standard library alone is compiled on the host, wherever it lies, and runs."""
    require_program("go", "version")
    put(repository.path, {"go.mod": "module example.org/you/shop\n\ngo 1.19\n", main: GO})
    assert said(deployed(repository, tmp_path / "there"), program) == "hello\n"


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_node_server(repository: Repository, tmp_path: Path, manager: str) -> None:
    """It finds its packages, by pnpm and yarn from beside `build.node`; one in the commit is never an earlier one."""
    require_program("npm", "--version")
    node, (package, line) = require_program("node", "--version"), MANAGERS[manager]
    put(repository.path, SERVER)
    beside: list[Answer] = []
    if package:
        tools = by_npm(tmp_path / "tools", package) / ".bin"
        (tools / "node").symlink_to(node)
        line = f"PATH={tools}:$PATH {line}"
        beside = [("  build:\n", f"  build:\n    node: {tools}/node\n")]
    locked(repository.path, line)
    assert said(deployed(repository, tmp_path / "there", *beside), f"{node} server.js") == "hello\n"
    put(repository.path, {"lib/words/index.js": "module.exports = 'good day'\n"})
    assert said(deploy(repository, tmp_path / "there"), f"{node} server.js") == "good day\n"


def test_a_node_server_without_packages(repository: Repository, tmp_path: Path) -> None:
    """npm makes no node_modules for it, and no build waits for one."""
    require_program("npm", "--version")
    started = '{"name": "shop", "version": "1.0.0", "private": true, "scripts": {"start": "node server.js"}}'
    put(repository.path, {"package.json": started, "server.js": "console.log('hello')\n", ".npmrc": OFFLINE})
    locked(repository.path)
    assert said(deployed(repository, tmp_path / "there"), "node server.js") == "hello\n"


def test_a_next_with_a_server(repository: Repository, tmp_path: Path) -> None:
    """Its build is made with the packages that were installed before, and the server shows it."""
    require_program("npm", "--version")
    put(repository.path, NEXT)
    (repository.path / "lib/next/cli.js").chmod(0o755)
    locked(repository.path)
    assert said(deployed(repository, tmp_path / "there"), "node_modules/.bin/next start -p 3100") == "hello\n"
