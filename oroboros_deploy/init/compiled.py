"""What the build of a Node project makes, as far as its files say it, and the variable that its tool wants."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from .proposal import Proposal
from .tree import Tree, below, table

_MADE = (".next", ".nuxt", ".output", "build", "dist", "out", "public")
_FRAMEWORKS = {"next": ".next", "nuxt": ".output"}
_CONFIGURATIONS = re.compile(r"tsconfig[\w.]*\.json|(?:vite|webpack|rollup|next|nuxt)\.config\.\w+")
_MAKES = re.compile(r"^.*\b(?:outDir|distDir|path|dir)\b.*$", re.MULTILINE)
_MODE = re.compile(r"^[ \t]*mode\s*:\s*['\"]", re.MULTILINE)


def outputs(tree: Tree, place: str, package: Mapping[str, object]) -> list[str]:
    """Directories that git ignores, and that a framework makes or the files name that start or build the project."""
    ignored = _ignored(tree, place)
    named = {made for framework, made in _FRAMEWORKS.items() if framework in table(package.get("dependencies"))}
    said = "\n".join(_said(tree, place, package))
    return [below(place, each) for each in _MADE if each in ignored and (each in named or _names(said, each))]


def step(tree: Tree, proposal: Proposal, place: str, package: Mapping[str, object]) -> dict[str, object]:
    """What a step that compiles has beside its command: what it reads nobody can tell, so `inputs` are never there."""
    made = outputs(tree, place, package)
    if made:
        why = f"git ignores {' and '.join(made)}, which the build makes"
        kept = (
            "add `inputs`, all that the command reads: while they are the same, a build takes what an earlier one made"
        )
        proposal.because("build.steps", f"{why}; {kept}")
    return {"outputs": made} if made else {}


def line(tree: Tree, proposal: Proposal, place: str, package: Mapping[str, object], manager: str, setting: str) -> str:
    """The line that builds: webpack makes a bundle for development where nothing tells it otherwise."""
    scripts = {name: str(script) for name, script in table(package.get("scripts")).items() if name.startswith("build")}
    said = "\n".join(scripts.values())
    settings = "\n".join(tree.text(place, name) for name in tree.names(place) if name.startswith("webpack."))
    if not re.search(r"\bwebpack\b", said) or re.search(r"NODE_ENV|--mode\b|\s-p\b", said) or _MODE.search(settings):
        return f"{manager} run build"
    proposal.because(setting, "without NODE_ENV webpack may make a bundle for development")
    return f"NODE_ENV=production {manager} run build"


def _ignored(tree: Tree, place: str) -> set[str]:
    """The names that the .gitignore of a place, or of the top for any place, has as directories."""
    of_all = (each for each in tree.text(".gitignore").splitlines() if not each.startswith("/"))
    lines = [*tree.text(place, ".gitignore").splitlines(), *of_all]
    return {each.strip().removeprefix("**/").strip("/") for each in lines}


def _said(tree: Tree, place: str, package: Mapping[str, object]) -> Iterator[str]:
    yield json.dumps([package.get(key) for key in ("main", "module", "bin", "files", "exports")])
    yield str(table(package.get("scripts")).get("start", ""))
    for name in filter(_CONFIGURATIONS.fullmatch, tree.names(place)):
        yield from _MAKES.findall(tree.text(place, name))  # the other lines have what is left out, too


def _names(said: str, directory: str) -> bool:
    return re.search(rf"(?<![\w./-])(?:\./)?{re.escape(directory)}(?=[/\"'\s])", said) is not None
