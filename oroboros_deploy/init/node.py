"""Node: which packages are installed by which tool, and whether a server runs or pages are made."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from . import compiled, ports, versions, workspace
from .proposal import Proposal
from .tree import Tree, below, table

_SERVERS = ("next", "nuxt", "@nestjs/core", "@remix-run/serve", "@sveltejs/adapter-node", "express", "fastify", "koa")
_DEVELOPS = re.compile(r"\b(vite|react-scripts|webpack|parcel|gatsby|ng|astro|eleventy|vue-cli-service|docusaurus)\b")
_OUTPUTS = {
    "react-scripts": "build",
    "@docusaurus/core": "build",
    "gatsby": "public",
    "@11ty/eleventy": "_site",
    "next": "out",
    "astro": "dist",
    "vite": "dist",
    "@vue/cli-service": "dist",
}
_INSTALLED, _DEVELOPMENT = ("dependencies", "optionalDependencies"), ("devDependencies",)
# Scripts that an installation runs, and packages that are made when they are installed: both read the repository.
_HOOKS = ("preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare")
_GENERATED = ("@prisma/client",)
_ARCHIVES = (".tgz", ".tar.gz", ".tar")  # a lock file has their digests
_EXPORTS = re.compile(r"output\s*:\s*['\"]export['\"]")


class Manager(NamedTuple):
    """A package manager: its lock file, and the lines that install all, or what a server needs."""

    name: str
    lock: str
    install: str
    server: str


_MANAGERS = (
    Manager("pnpm", "pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm install --frozen-lockfile --prod"),
    Manager("yarn", "yarn.lock", "yarn install --frozen-lockfile", "yarn install --frozen-lockfile --production"),
    Manager("npm", "package-lock.json", "npm ci", "npm ci --omit=dev"),
    Manager("npm", "npm-shrinkwrap.json", "npm ci", "npm ci --omit=dev"),
    *(
        Manager("bun", lock, "bun install --frozen-lockfile", "bun install --frozen-lockfile --production")
        for lock in ("bun.lock", "bun.lockb")
    ),
)
_NO_LOCK = Manager("npm", "", "npm install", "npm install --omit=dev")
_BERRY = Manager("yarn", "yarn.lock", "yarn install --immutable", "yarn workspaces focus --all --production")
_LOCK_IT = "commit one, and write `npm ci` in place of `npm install`"


def look(tree: Tree, proposal: Proposal) -> None:
    """Add what Node there is, on the first level where something is to be made or started."""
    steps = len(proposal.steps)
    for places in tree.levels("package.json"):
        for place in places:
            _look_at(tree, proposal, place)
        if proposal.frontend or len(proposal.steps) > steps:
            return


def _look_at(tree: Tree, proposal: Proposal, place: str) -> None:
    package = tree.json(place, "package.json")
    scripts, needs = table(package.get("scripts")), _needs(package)
    at = _workspace(tree, place)
    manager = _manager(tree, at)
    builds, starts = "build" in scripts, str(scripts.get("start", ""))
    if _is_server(tree, place, needs, starts):
        proposal.found.append(f"a Node server in {place or 'the top directory'}")
        _server(tree, proposal, place, at, manager, package)
    elif builds:
        proposal.found.append(f"pages that {manager.name} makes in {place or 'the top directory'}")
        _pages(tree, proposal, place, at, manager, package)
    else:
        return
    versions.of_node(tree, proposal, place)
    if not manager.lock:
        proposal.ask("build", f"{below(place, 'package.json')} has no lock file: {_LOCK_IT}")
    elif manager.name != "npm":
        proposal.because(
            "build", f"{manager.name} has to be on the host, in the system's directories or beside build.node"
        )


def _needs(package: Mapping[str, object], *kinds: str) -> dict[str, str]:
    """The packages that are named, of all kinds where none is given, each with where it comes from."""
    found = [table(package.get(kind)) for kind in kinds or (*_INSTALLED, *_DEVELOPMENT)]
    return {name: str(source) for each in found for name, source in each.items()}


def _workspace(tree: Tree, place: str) -> str:
    """The directory whose lock file counts: of the workspace above that this is a member of, else the place itself."""
    if _manager(tree, place).lock:
        return place
    above = [str(each).removeprefix(".") for each in PurePosixPath(place).parents] if place else []
    locked = (each for each in above if _manager(tree, each).lock)
    return next((each for each in locked if workspace.has_member(tree, each, place)), place)


def _manager(tree: Tree, place: str) -> Manager:
    if tree.has(place, "yarn.lock") and tree.has(place, ".yarnrc.yml"):
        return _BERRY
    return next((each for each in _MANAGERS if tree.has(place, each.lock)), _NO_LOCK)


def _is_server(tree: Tree, place: str, needs: Mapping[str, str], starts: str) -> bool:
    if "next" in needs and any(_EXPORTS.search(tree.text(place, f"next.config.{end}")) for end in ("js", "mjs", "ts")):
        return False
    return any(name in needs for name in _SERVERS) or bool(starts and not _DEVELOPS.search(starts))


def _server(
    tree: Tree, proposal: Proposal, place: str, at: str, manager: Manager, package: Mapping[str, object]
) -> None:
    scripts = table(package.get("scripts"))
    if at == place:
        proposal.steps.append(_packages(proposal, place, manager, package))
    else:
        _packages_of_workspace(proposal, at, manager)
    if "build" in scripts:
        line = compiled.line(tree, proposal, place, package, manager.name, "build.steps")
        made = compiled.step(tree, proposal, place, package)
        proposal.steps.append({"name": _named("compile", place), **_path(place), "command": line, **made})
    said = f"{scripts.get('start', '')}\n{scripts.get('build', '')}"
    proposal.run = True
    ports.look(tree, proposal, place, said)
    proposal.guessed.append(f"{proposal.name}-web")


def _packages_of_workspace(proposal: Proposal, at: str, manager: Manager) -> None:
    """Add the step that installs what all members of a workspace need, once; each may have a node_modules."""
    step: dict[str, object] = {"name": _named("packages", at), **_path(at), "command": manager.install}
    if step not in proposal.steps:
        proposal.steps.append(step)
        proposal.because("build.steps", f"{below(at, manager.lock)} is that of a workspace, and installed as a whole")


def _packages(proposal: Proposal, place: str, manager: Manager, package: Mapping[str, object]) -> dict[str, object]:
    """The step that installs what a server needs; all of it where a script may be one of a tool for development."""
    scripts = table(package.get("scripts"))
    whole = any(name in scripts for name in ("build", *_HOOKS))
    command = manager.install if whole else manager.server
    step: dict[str, object] = {"name": _named("packages", place), **_path(place), "command": command}
    described, lock = below(place, "package.json"), below(place, manager.lock)
    proposal.because("build.steps", f"{lock if manager.lock else described}: the server needs node_modules")
    if not (manager.lock and _needs(package, *_INSTALLED, *(_DEVELOPMENT if whole else ()))):
        return step  # without a lock file nothing is kept, and npm makes no node_modules of nothing
    besides = _besides_the_lock(package)
    if besides:
        proposal.because("build.steps", f"{described} has {besides}: the packages are installed for each release")
    inputs: dict[str, object] = {} if besides else {"inputs": [described, lock]}
    return {**step, **inputs, "outputs": [below(place, "node_modules")]}


def _besides_the_lock(package: Mapping[str, object]) -> str | None:
    """What says beside package.json and the lock file what node_modules will be; None where nothing does."""
    scripts, needs = table(package.get("scripts")), _needs(package)
    hooks = [f"a script {name}" for name in _HOOKS if name in scripts]
    made = [name for name in (*_GENERATED, "workspaces") if name in needs or name in package]
    here = [f"{name} from {source}" for name, source in needs.items() if _is_directory(source)]
    return next(iter([*hooks, *made, *here]), None)


def _is_directory(source: str) -> bool:
    """Whether a package is a directory of the repository, which some managers copy; a lock file has no digest of it."""
    return source.startswith(("file:", "./", "../")) and not source.endswith(_ARCHIVES)


def _named(step: str, place: str) -> str:
    """The name of a step; two places have steps of two names."""
    return f"{step} {place.replace('/', '-')}".strip()


def _path(place: str) -> dict[str, object]:
    return {"path": place} if place else {}


def _pages(
    tree: Tree, proposal: Proposal, place: str, at: str, manager: Manager, package: Mapping[str, object]
) -> None:
    needs, setting = _needs(package), "build.steps" if proposal.frontend else "build.frontend"
    output = next((made for name, made in _OUTPUTS.items() if name in needs), None)
    if output is None:
        file = below(place, "package.json")
        proposal.ask(
            setting, f"into which directory does `run build` of {file} write? dist is a guess, correct it below:"
        )
    inner = place.removeprefix(at).lstrip("/")  # a member of a workspace reads the others, so all of it is the source
    output = below(inner, output or "dist")
    inside = [f"cd {shlex.quote(inner)}"] if inner else []
    line = compiled.line(tree, proposal, place, package, manager.name, setting)
    command = " && ".join([manager.install, *inside, line])
    if proposal.frontend:
        step = {"name": _named("pages", place), **_path(at), "command": command, "outputs": [below(at, output)]}
        proposal.steps.append(step)
        proposal.because("build.steps", f"{below(place, 'package.json')} has a build of pages, too")
        return
    proposal.frontend = {"path": at or ".", "command": command, "output": output, "into": None}
    proposal.because("build.frontend", f"{below(place, 'package.json')} has a build")
    proposal.page = below(at, f"{output}/index.html")
