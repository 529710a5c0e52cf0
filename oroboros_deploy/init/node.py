"""Node: which packages are installed by which tool, and whether a server runs or pages are made."""

from __future__ import annotations

import re
from typing import NamedTuple

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
_EXPORTS = re.compile(r"output\s*:\s*['\"]export['\"]")
_PORT = re.compile(r"(?:--port[ =]|-p |PORT=)(\d{2,5})\b")


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
)
_NO_LOCK = Manager("npm", "", "npm install", "npm install --omit=dev")
_BERRY = Manager("yarn", "yarn.lock", "yarn install --immutable", "yarn workspaces focus --all --production")


def look(tree: Tree, proposal: Proposal) -> None:
    """Add what Node there is."""
    for place in tree.places("package.json"):
        _look_at(tree, proposal, place)


def _look_at(tree: Tree, proposal: Proposal, place: str) -> None:
    package = tree.json(place, "package.json")
    scripts, needs = table(package.get("scripts")), _needs(package)
    manager = _manager(tree, place)
    builds, starts = "build" in scripts, str(scripts.get("start", ""))
    if _is_server(tree, place, needs, starts):
        proposal.found.append(f"a Node server in {place or 'the top directory'}")
        _server(proposal, place, manager, builds, f"{starts}\n{scripts.get('build', '')}")
    elif builds:
        proposal.found.append(f"pages that {manager.name} makes in {place or 'the top directory'}")
        _pages(proposal, place, manager, needs)
    if not manager.lock:
        proposal.ask("build", f"{below(place, 'package.json')} has no lock file: commit one, and write npm ci here")
    elif manager.name != "npm":
        proposal.because(
            "build", f"{manager.name} has to be on the host, in the system's directories or beside build.node"
        )


def _needs(package: object) -> set[str]:
    found = table(package)
    return {*table(found.get("dependencies")), *table(found.get("devDependencies"))}


def _manager(tree: Tree, place: str) -> Manager:
    if tree.has(place, "yarn.lock") and tree.has(place, ".yarnrc.yml"):
        return _BERRY
    return next((each for each in _MANAGERS if tree.has(place, each.lock)), _NO_LOCK)


def _is_server(tree: Tree, place: str, needs: set[str], starts: str) -> bool:
    if "next" in needs and any(_EXPORTS.search(tree.text(place, f"next.config.{end}")) for end in ("js", "mjs", "ts")):
        return False
    return bool(needs.intersection(_SERVERS)) or bool(starts and not _DEVELOPS.search(starts))


def _server(proposal: Proposal, place: str, manager: Manager, builds: bool, scripts: str) -> None:
    install = manager.install if builds else manager.server
    step: dict[str, object] = {"name": _named("packages", place), **_path(place), "command": install}
    if manager.lock:
        inputs = [below(place, name) for name in ("package.json", manager.lock)]
        step |= {"inputs": inputs, "outputs": [below(place, "node_modules")]}
    proposal.steps.append(step)
    proposal.because("build.steps", f"{below(place, manager.lock or 'package.json')}: the server needs node_modules")
    if builds:
        proposal.steps.append(
            {"name": _named("compile", place), **_path(place), "command": f"{manager.name} run build"}
        )
    proposal.run, proposal.port = True, proposal.port or _port(scripts)
    proposal.guessed.append(f"{proposal.name}-web")


def _named(step: str, place: str) -> str:
    """The name of a step; two places have steps of two names."""
    return f"{step} {place.replace('/', '-')}".strip()


def _path(place: str) -> dict[str, object]:
    return {"path": place} if place else {}


def _port(scripts: str) -> int:
    found = _PORT.search(scripts)
    return int(found[1]) if found else 3000


def _pages(proposal: Proposal, place: str, manager: Manager, needs: set[str]) -> None:
    output = next((made for name, made in _OUTPUTS.items() if name in needs), None)
    if output is None:
        proposal.ask("build.frontend", "into which directory does `run build` write? dist was taken:")
    output = output or "dist"
    command = f"{manager.install} && {manager.name} run build"
    if proposal.frontend:
        step = {"name": _named("pages", place), **_path(place), "command": command, "outputs": [below(place, output)]}
        proposal.steps.append(step)
        proposal.because("build.steps", f"{below(place, 'package.json')} has a build of pages, too")
        return
    proposal.frontend = {"path": place or ".", "command": command, "output": output, "into": None}
    proposal.because("build.frontend", f"{below(place, 'package.json')} has a build; its output stays where it is made")
    proposal.page = below(place, f"{output}/index.html")
