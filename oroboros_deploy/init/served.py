"""The web server that a commit brings, by its Caddyfile or its site of nginx: what it serves, and where it answers."""

from __future__ import annotations

import re
from posixpath import join, normpath
from typing import NamedTuple

from . import gate
from .proposal import Proposal
from .tree import Tree

_FILES = (r"Caddyfile(\..+)?", r".*\.[Cc]addy(file)?", r".*\.nginx", r".*\.conf")
_NGINX = re.compile(r"^[ \t]*server\s*\{", re.MULTILINE)
_RUNS = re.compile(r"^ExecStart=\S*/(?:caddy|nginx)\s", re.MULTILINE)
_WORKS_IN = re.compile(r"^WorkingDirectory=(\S+)", re.MULTILINE)
_IN_RELEASE = re.compile(r"(?:@root@|(/[\w./-]+?))/current(?:/([\w./-]+))?")
_ROOT = re.compile(r"^[ \t]*root[ \t]+(?:\*[ \t]+)?\"?([^\s\";]+)\"?[ \t]*;?[ \t]*$", re.MULTILINE)
_DEFAULT = re.compile(r"\{\$\w+:([^{}]*)\}")
_VARIABLE = re.compile(r"\{\$(\w+)\}")
# A block of the file that is no snippet, no matcher and no global options, by the first of its addresses.
_BLOCK = re.compile(r"^((?:[^\s{}(),#]|\{\$[^{}\n]*\})+)(,[^\n{]*)?[ \t]+\{[ \t]*$", re.MULTILINE)
_LISTENS = re.compile(r"^[ \t]*listen\s+(?:[\w.\[\]:*]*:)?(\d+)((?:\s+\w+)*)\s*;", re.MULTILINE)
_NAMED = re.compile(r"^[ \t]*server_name\s+([\w.-]+)", re.MULTILINE)
_PLAIN = re.compile(r"(?:http://([\w.-]*))?(:(?!443\b)\d+)?/?")
_LOCAL = {"", "_", "localhost", "127.0.0.1", "0.0.0.0"}  # noqa: S104


class Server(NamedTuple):
    """The file that a web server reads, what it says, and the unit that starts the server; empty without one."""

    file: str
    said: str
    unit: str


def look(tree: Tree, proposal: Proposal) -> None:
    """Say where pages go that a web server of this commit serves, and at which address it is asked."""
    server = _server(tree)
    if server:
        _serve(tree, proposal, server)
    if server and server.unit and not proposal.run:
        _ask(proposal, server)
        proposal.names += _VARIABLE.findall(server.said)
    if proposal.frontend and proposal.frontend["into"] is None:
        proposal.because("build.frontend", "the output stays where it is made")


def _server(tree: Tree) -> Server | None:
    """The one whose file a unit names, else the only one; None where there is none, or nobody can tell which."""
    units = [text for text in map(tree.text, tree.files(r"[\w.@-]+\.service")) if _RUNS.search(text)]
    found = [each for each in tree.files(*_FILES) if not each.endswith(".conf") or _NGINX.search(tree.text(each))]
    named = [each for each in found if any(each in text for text in units)] or found
    return Server(named[0], tree.text(named[0]), next(iter(units), "")) if len(named) == 1 else None


def _serve(tree: Tree, proposal: Proposal, server: Server) -> None:
    """Copy the pages to the one directory that is served, where that is in the release and holds nothing else."""
    roots, made = set(_ROOT.findall(server.said)), str(proposal.page).rpartition("/")[0]
    root = normpath(roots.pop()) if len(roots) == 1 and proposal.frontend else ""
    place = _WORKS_IN.search(server.unit)
    found = _IN_RELEASE.fullmatch(root if root.startswith("@") else join(place[1] if place else "", root))
    if root and found:
        proposal.roots += [found[1]] if found[1] else []
        _copy(tree, proposal, server.file, found[2] or "", made)
    elif root and not place and root[0] not in "/{":
        asked = f"{server.file} serves {root}: which directory of the release is that? Write its path as `into`"
        proposal.ask("build.frontend", f"{asked}; the pages are copied into it from {made}")


def _copy(tree: Tree, proposal: Proposal, file: str, served: str, made: str) -> None:
    if not served or f"{made}/".startswith(f"{served}/") or f"{served}/".startswith(f"{made}/"):
        return  # they are made where they are served
    if tree.names(served):
        asked = f"{file} serves {served}, and the commit has files there: into which directory are the pages copied"
        written = f"Write it as `into`; `into: {served}` removes those files from the release"
        proposal.ask("build.frontend", f"{asked} from {made}? {written}")
        return
    proposal.frontend = {**(proposal.frontend or {}), "into": served}
    proposal.because("build.frontend", f"{file} serves {served}: the pages are copied there")
    proposal.page = f"{served}/index.html"


def _ask(proposal: Proposal, server: Server) -> None:
    """Ask the server at its address, where that is plain; else leave the address to a person."""
    address = _of_nginx(server.said) if _NGINX.search(server.said) else _of_caddy(server.said)
    plain = _PLAIN.fullmatch(_DEFAULT.sub(r"\1", address)) if address else None
    if plain:
        name, port = plain[1] or "", plain[2] or ""
        proposal.gate = gate.of_a_site(f"http://127.0.0.1{port}/", None if name in _LOCAL else name)
        proposal.because("healthcheck", f"{server.file} says {address}: the web server is asked for its first page")
    else:
        asked = "at which address does the host ask the web server? Write it here; port 8080 is an example"
        known = f"{server.file} says {address}" if address else f"`init` cannot tell one address from {server.file}"
        proposal.ask("healthcheck", f"{known}: {asked}")


def _of_caddy(said: str) -> str | None:
    """The address of the only block that has one, as it is written."""
    found = ["".join(each) for each in _BLOCK.findall(said)]
    return found[0].split(",")[0] if len(found) == 1 else None


def _of_nginx(said: str) -> str | None:
    """The address of the only port that is listened on without TLS."""
    ports = {port for port, how in _LISTENS.findall(said) if "ssl" not in how}
    named = _NAMED.search(said)
    return f"http://{named[1] if named else ''}:{ports.pop()}" if len(ports) == 1 else None
