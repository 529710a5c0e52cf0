"""The two files: every setting with its reason, and every question where its answer goes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..text import clean
from . import gate, names, node, others, python, served
from .proposal import Proposal
from .tree import Tree, table

FABFILE = '''"""The tasks of `fab`; tasks of your own go here, too."""

from oroboros_deploy.tasks import ns

__all__ = ["ns"]
'''
_HEAD = """\
# Written by `init`, which looked at this repository: {found}.
# The comment above a line says why it is there. What is marked QUESTION only you can answer.
# `fab config --verbose` says of every setting what it is for.
deploy:
"""
_PLAIN = re.compile(r"[A-Za-z./][\w ./=&@$-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_WHEN_SERVICES = "when `services` has units"
_WHEN_ANSWERED = "when the question is answered"
_NAMES = 10  # of the environment are asked for at most
_NOTHING = "nothing that `init` knows"


def propose(tree: Tree) -> Proposal:
    """What fits a repository."""
    proposal = Proposal(_name(tree))
    for look in (python.look, node.look, others.look, served.look, names.look):
        look(tree, proposal)
    proposal.steps = [*_named_apart(proposal.steps)]
    return proposal


def _named_apart(steps: Iterable[dict[str, object]]) -> Iterator[dict[str, object]]:
    """The same steps, with a number in the name of each whose name is taken: two languages may both compile."""
    count: dict[object, int] = {}
    for step in steps:
        count[step["name"]] = count.get(step["name"], 0) + 1
        more = f" {count[step['name']]}" if count[step["name"]] > 1 else ""
        yield {**step, "name": f"{step['name']}{more}"}


def settings(proposal: Proposal) -> str:
    """The text of fabric.yaml."""
    head = _HEAD.format(found=clean("; ".join(proposal.found)) or _NOTHING)
    return head + "".join(f"  {line}".rstrip() + "\n" for line in _lines(proposal))


def flow(value: object) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return str(value) if plain else json.dumps(value)


def _name(tree: Tree) -> str:
    """What the application is called: as its project, else as its directory."""
    project = table(tree.toml("pyproject.toml").get("project")).get("name")
    package = tree.json("package.json").get("name")
    named = next((each for each in (project, package) if isinstance(each, str)), tree.top.resolve().name)
    return re.sub(r"[^a-z0-9-]+", "-", named.rpartition("/")[2].lower()).strip("-") or "app"


def _lines(proposal: Proposal) -> Iterator[str]:
    yield from _root(proposal)
    yield from _services(proposal)
    yield from _health(proposal)
    yield from _comments(proposal, "migrate")
    yield from [f"migrate: {flow(proposal.migrate)}"] if proposal.migrate else []
    yield from _shared(proposal)
    yield from _environment(proposal)
    yield from _build(proposal)
    yield "# QUESTION: on which hosts does it run? A name of your choice, and the login at each:"
    yield "# environments: {prod: {hosts: [deploy@web1.example.org]}}"


def _comments(proposal: Proposal, name: str) -> Iterator[str]:
    yield from (f"# {clean(reason)}" for reason in proposal.reasons.get(name, []))
    yield from (f"# QUESTION: {clean(question)}" for question in proposal.questions.get(name, []))


def _root(proposal: Proposal) -> Iterator[str]:
    known = next(iter(proposal.roots), None)
    why = "the units or the file of the web server have this path" if known else "named after the project"
    yield f"# {why}; on the host, with all releases"
    yield f"root: {known or f'/srv/{proposal.name}'}"


def _services(proposal: Proposal) -> Iterator[str]:
    yield from _comments(proposal, "services")
    if proposal.run and not proposal.services:
        none = "Apart from templates, no unit file here is of a service that keeps running"
        yield f"# QUESTION: which systemd units run it? {none}; docs/start.md of oroboros_deploy has one:"
        yield f"# services: {flow(proposal.guessed or [proposal.name])}"
    elif not (proposal.services or proposal.page):
        yield "# QUESTION: does something of it run? Then name its systemd units:"
        yield f"# services: [{proposal.name}]"
    elif not proposal.services and "services" not in proposal.questions:
        yield "# nothing of it has to run"
    yield f"services: {flow(proposal.services)}"
    yield from _comments(proposal, "units")
    yield from [f"units: {flow(proposal.units)}"] if proposal.units else []


def _health(proposal: Proposal) -> Iterator[str]:
    """What is not restarted yet cannot be asked: until services are named, the answer waits in a comment."""
    asked = gate.of_a_server(proposal.port) if proposal.port else None
    if proposal.services and asked:
        yield f"# QUESTION: does it answer on port {proposal.port}, and which path says whether it is healthy?"
        yield from _port(proposal)
        yield from _comments(proposal, "healthcheck")
        yield f"healthcheck: {flow(asked)}"
    elif (proposal.page or proposal.gate) and not proposal.run:
        yield from _health_of_pages(proposal)
    else:
        yield "# the gate asks the application nothing: it is enough that the services stay up"
        yield from _port(proposal)
        yield from _health_in_a_comment(proposal, asked)
        yield f"healthcheck: {flow(gate.of_services())}"


def _port(proposal: Proposal) -> Iterator[str]:
    """Which file says the port; a port that neither the repository nor these settings have is a guess."""
    written = proposal.reads and "PORT" in proposal.names
    if proposal.port_file:
        yield f"# {clean(proposal.port_file)} says port {proposal.port}"
    if proposal.guesses_port and not written:
        yield f"# nothing here says on which port: port {proposal.port} is a guess"


def _health_of_pages(proposal: Proposal) -> Iterator[str]:
    """A web server of the commit is asked; until its address is known, or without one, the file has to be there."""
    if proposal.gate:
        yield from _comments(proposal, "healthcheck")
        yield f"healthcheck: {flow(proposal.gate)}"
        return
    yield from _health_in_a_comment(proposal, None)
    yield f"# {proposal.page} has to be there, and not empty; no web server is asked for it"
    yield f"healthcheck: {flow(gate.of_a_page(str(proposal.page)))}"


def _health_in_a_comment(proposal: Proposal, asked: dict[str, object] | None) -> Iterator[str]:
    """What is asked about the gate, and a gate that an answer makes of an example."""
    yield from _comments(proposal, "healthcheck")
    if asked or "healthcheck" in proposal.questions:
        yield f"# {_WHEN_SERVICES if asked else _WHEN_ANSWERED}, write this line in place of the one below it:"
        yield f"# healthcheck: {flow(asked or gate.of_a_server(8080))}"


def _shared(proposal: Proposal) -> Iterator[str]:
    """What is kept beside the releases; asked for where something runs of which nothing is known."""
    yield from _comments(proposal, "shared")
    if proposal.shared:
        yield f"shared: {flow(dict.fromkeys(proposal.shared, 'dir'))}"
    elif proposal.run and "shared" not in proposal.questions:
        yield "# QUESTION: which directories does it write into? A release is read-only; name what is kept:"
        yield "# shared: {data: dir}"


def _environment(proposal: Proposal) -> Iterator[str]:
    """What the units read is written where all of it is known; else the names are asked for, each once."""
    needed = list(dict.fromkeys(proposal.names))
    answered = {"PORT": str(proposal.port)} if proposal.port and "PORT" in needed else {}
    env = _env(needed[:_NAMES], answered)
    if set(needed) - {*answered} or (proposal.reads and not answered):
        yield f"# QUESTION: {_asked(needed, proposal.defaults)}"
        built = " A name that the build needs stands in env: {build: [NAME]}, too." if _builds(proposal) else ""
        yield "# Values stand here. Of a secret write the name alone, env: {secrets: {names: [NAME]}}:"
        yield f"# `fab` reads its value from its own environment.{built}"
        yield f"# env: {flow(env or {'values': {'NAME': 'value'}})}"
    elif answered and proposal.reads:
        yield "# the units read PORT from it; docs/configuration.md of oroboros_deploy has more"
        yield f"env: {flow(env)}"


def _env(needed: Iterable[str], answered: Mapping[str, str]) -> dict[str, object]:
    """The setting for these names: secrets by their names alone, which no file has the values of."""
    secret = [name for name in needed if names.is_secret(name)]
    values = {name: answered.get(name, "value") for name in needed if name not in secret}
    return ({"values": values} if values else {}) | ({"secrets": {"names": secret}} if secret else {})


def _asked(needed: Sequence[str], defaults: int) -> str:
    if not needed:
        return "which names does the environment have, and which values?:"
    found = "1 name" if len(needed) == 1 else f"{len(needed)} names"
    more = f", and {defaults} more with a default" if defaults else ""
    here = f"; the first {_NAMES} are here" if len(needed) > _NAMES else ""
    return f"which values does the environment have? `init` found {found} that may need one{more}{here}:"


def _builds(proposal: Proposal) -> bool:
    return bool(proposal.steps or proposal.frontend)


def _build(proposal: Proposal) -> Iterator[str]:
    yield from _comments(proposal, "build")
    yield "build:"
    for name, value in (("frontend", proposal.frontend), ("venvs", proposal.venvs)):
        yield from (f"  {line}" for line in _comments(proposal, f"build.{name}"))
        if not value:
            yield f"  # {'no pages are made' if name == 'frontend' else 'no Python is installed'}"
        yield f"  {name}: {flow(value)}"
    yield from (f"  {line}" for line in _comments(proposal, "build.steps"))
    if "build.steps" in proposal.questions and not proposal.steps:
        yield "  # steps: [{name: compile, command: make}]"
    if proposal.steps:
        yield "  steps:"
        yield from (f"    - {flow(step)}" for step in proposal.steps)
