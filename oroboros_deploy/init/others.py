"""What is neither Python nor Node: unit files and a Procfile, Go, static sites, PHP, and strangers by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from shlex import quote

from .proposal import Proposal
from .tree import Tree, below, table

_ROOT = re.compile(r"(/[\w./-]{1,200}?)/current\b")
_SHARED = re.compile(r"(?:@root@|[\s=]/[\w./-]{1,200}?)/shared/([\w-][\w.-]*)(/?)")
_TEMPLATE = r"[\w.-]+@\.service"
_READS = re.compile(r"^EnvironmentFile=@root@/env$", re.MULTILINE)
_NAME = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_STARTS = re.compile(r"^(?:ExecStart|Environment|ListenStream)=(.*)$", re.MULTILINE)
_PORT = re.compile(r"(?:(?<!\S)(?:--port[ =]|-p ?|(?:--bind[ =]|-b ?)[^\s/]*:)|\bPORT=|^(?:[\w.\[\]:]*:)?)(\d{2,5})\b")
_MODULE = re.compile(r"^module\s+\"?([^\s\"]+?)(?:/v\d+)?\"?\s*(?://.*)?$", re.MULTILINE)  # without its major version
_PACKAGE = re.compile(r"[^/]+/[^/]+")  # what composer installs; `php` and extensions are of the host
_PROCESS = re.compile(r"^([a-z][\w-]*):\s*(\S.*)$", re.MULTILINE)
_STARTED = re.compile(r"^(?:CMD|ENTRYPOINT)[ \t]+(.*[^\s\\])", re.MULTILINE)
_EMBEDDED = re.compile(r"^//go:embed[ \t]+(?:all:)?([\w.-]+)", re.MULTILINE)
_STRANGERS = {
    "Gemfile": "Ruby: bundle install",
    "Cargo.toml": "Rust: cargo build --release",
    "pom.xml": "Java: mvn package",
    "build.gradle": "Java: gradle build",
    "build.gradle.kts": "Java: gradle build",
    "mix.exs": "Elixir: mix release",
    "deno.json": "Deno: deno task build",
}
_PIPENV = (
    "Pipfile is there, and its lock is not read: commit what pipenv requirements --hash >requirements.txt writes; "
    "and write here venvs: {.venv: {requirements: [requirements.txt]}}"
)
_GO = (
    "go has to be on the host, in a directory of the system, such as /usr/local/bin, or in PATH of /etc/environment "
    "(the PATH of a login does not count)"
)
_A_STEP = "Write each as a step below `steps`:"
_NOT_WITH_THE_RELEASE = (
    "the unit files are not all in one directory below the top, or not all of them run from current: "
    "install them on the host yourself"
)


def look(tree: Tree, proposal: Proposal) -> None:
    """Add what else there is."""
    _units(tree, proposal)
    _processes(tree, proposal)
    _go(tree, proposal)
    _site(tree, proposal)
    _php(tree, proposal)
    _image(tree, proposal)
    for name, what in _STRANGERS.items():
        if tree.places(name):
            proposal.ask("build.steps", f"{name} is there ({what}): which commands build it? {_A_STEP}")
    if tree.places("Pipfile") and not proposal.venvs:
        proposal.ask("build.venvs", _PIPENV)


def _units(tree: Tree, proposal: Proposal) -> None:
    units = [name for name in tree.files(r"[\w.-]+@?\.service") if "@." not in name]
    places = {name.rpartition("/")[0] for name in units}
    texts = {name: tree.text(name) for name in units}
    instances = {name: f"{name.rpartition('/')[2].removesuffix('.service')}1" for name in tree.files(_TEMPLATE)}
    proposal.guessed = [*instances.values()] or proposal.guessed
    for name, one in instances.items():
        proposal.ask("services", f"{name} is a template: which of its instances are restarted? Name each, as {one}")
    if not units:
        return
    started = {name.rpartition(".")[0] for name in tree.files(r"[\w.-]+\.(timer|socket|path)")}
    restarted = [name for name in units if name.removesuffix(".service") not in started]
    proposal.services = [name.rpartition("/")[2].removesuffix(".service") for name in restarted]
    proposal.because("services", f"the units in {', '.join(sorted(place or 'the top directory' for place in places))}")
    proposal.reads = any(map(_READS.search, texts.values()))
    proposal.names += [name for text in texts.values() for name in _NAME.findall(text)]
    if port := _port_of(tree, units):
        proposal.port, proposal.port_file, proposal.guesses_port = port, "", False
    proposal.roots = [found[1] for found in map(_ROOT.search, texts.values()) if found]
    _shared(tree, proposal, "\n".join(texts.values()))
    if len(places) == 1 and "" not in places and all("@root@" in text or _ROOT.search(text) for text in texts.values()):
        proposal.units = places.pop()
        proposal.because("units", "they run from the release, and are installed and restored with it")
    else:
        proposal.ask("units", _NOT_WITH_THE_RELEASE)


def _shared(tree: Tree, proposal: Proposal, said: str) -> None:
    """Add the directories that units name below `shared`; what may be a file, or is in the commit, is asked for."""
    for name, inner in dict.fromkeys(_SHARED.findall(said)):
        if any(f"{each}/".startswith(f"{name}/") for each in proposal.shared):
            continue
        named = f"the units name {name} in shared"
        if tree.has(name) or tree.names(name):
            away = f"a release has a link in its place. Take it out of the commit: git rm -r --cached {quote(name)}"
            kind = "file" if tree.has(name) else "dir"
            proposal.ask("shared", f"{named}, and it is here, too: {away}; and write shared: {{{name}: {kind}}}")
        elif "." in name and not inner:
            either = f"shared: {{{name}: file}}, or shared: {{{name}: dir}}"
            proposal.ask("shared", f"{named}: is it a file, or a directory? Write {either}")
        else:
            proposal.shared.append(name)
            proposal.because("shared", f"the units name shared/{name}: it stays when the next release comes")


def _port_of(tree: Tree, units: list[str]) -> int | None:
    """The first port that units say they listen on, services before sockets."""
    texts = (tree.text(name).replace("\\\n", " ") for name in [*units, *tree.files(r"[\w.-]+\.socket")])
    found = (_PORT.search(line) for text in texts for line in _STARTS.findall(text))
    return next((int(each[1]) for each in found if each), None)


def _processes(tree: Tree, proposal: Proposal) -> None:
    said = _PROCESS.findall(tree.text("Procfile"))
    if any(name != "release" for name, _ in said):
        proposal.guessed = []  # what runs is known
    for name, line in said:
        if name == "release":
            once = "is it to run on one host before each switch? Then write it as `migrate`"
            proposal.ask("migrate", f"Procfile has `release: {line}`: {once}")
        else:
            proposal.run = True
            proposal.guessed = list(dict.fromkeys([*proposal.guessed, f"{proposal.name}-{name}"]))
            which = f"which unit runs it? Where none does, write one, such as {proposal.name}-{name}"
            proposal.ask("services", f"Procfile has `{name}: {line}`: {which}, and name it in `services`")


def _image(tree: Tree, proposal: Proposal) -> None:
    """Nothing is made of a Dockerfile, but it says what is started, and how something unknown is built."""
    known = proposal.venvs or proposal.frontend or proposal.steps or proposal.page
    for place in tree.places("Dockerfile"):
        file = below(place, "Dockerfile")
        started = _STARTED.findall(tree.text(file))
        if started and proposal.run and not proposal.services:
            which = "which unit runs it? Where none does, write one, and name it in `services`"
            proposal.ask("services", f"{file} starts `{' '.join(started)}`: {which}")
        if not known:
            what = "which commands build the application? Its RUN lines may be such commands"
            proposal.ask("build.steps", f"{file} is there, and no image is built from it: {what}. {_A_STEP}")


def _go(tree: Tree, proposal: Proposal) -> None:
    for place in tree.places("go.mod"):
        module = _MODULE.search(tree.text(place, "go.mod"))
        name = module[1].rpartition("/")[2] if module else proposal.name
        command = f"go build {_go_programs(tree, place, name)}"
        proposal.steps.append({"name": "compile", **({"path": place} if place else {}), "command": command})
        proposal.because("build.steps", f"{below(place, 'go.mod')}; {_GO}")
        proposal.found.append(f"Go in {place or 'the top directory'}")
        proposal.run = True
        proposal.answers(None, guess=8080)
        if not tree.has("Procfile"):
            proposal.guessed.append(proposal.name)
        _ask_of_embedded(tree, proposal)


def _ask_of_embedded(tree: Tree, proposal: Proposal) -> None:
    """Pages that go compiles into a program have to be where it reads them, and the build makes them elsewhere."""
    made = str((proposal.frontend or {}).get("output", "")).rpartition("/")[2]
    for name in tree.files(r".*\.go") if made else []:
        into = below(name.rpartition("/")[0], made)
        if made in _EMBEDDED.findall(tree.text(name)) and into != str(proposal.page).rpartition("/")[0]:
            there = f"Then write `into: {into}` below `frontend`: it puts them where go reads them"
            proposal.ask("build.frontend", f"{name} embeds {made}: are these the pages? {there}")


def _go_programs(tree: Tree, place: str, name: str) -> str:
    """What is built: the program at the top, else the one of the module's name, else all, by their directories."""
    if _has_main(tree, place):
        return f"-o bin/{name} ."
    return f"-o bin/{name} ./cmd/{name}" if _has_main(tree, below(place, f"cmd/{name}")) else "-o bin/ ./..."


def _has_main(tree: Tree, place: str) -> bool:
    names = (name for name in tree.files(r".*\.go") if name.rpartition("/")[0] == place)
    return any(re.search(r"^package main\b", tree.text(name), re.MULTILINE) for name in names)


def _is_of_a_program(tree: Tree, proposal: Proposal) -> bool:
    """Whether there is more than pages to make, so that pages of mkdocs are about it."""
    others = any(tree.places(name) for name in _STRANGERS if name != "Pipfile")
    runs = proposal.run or proposal.services or proposal.frontend or others
    project = table(tree.toml("pyproject.toml").get("project"))
    return bool(runs or (project and "mkdocs" not in str(project.get("dependencies"))))


def _site(tree: Tree, proposal: Proposal) -> None:
    made = {"hugo.toml": ("hugo --minify", "public"), "hugo.yaml": ("hugo --minify", "public")}
    made |= {"mkdocs.yml": (".venv/bin/mkdocs build", "site")}
    for name, (command, output) in made.items():
        if name == "mkdocs.yml" and tree.has(name) and _is_of_a_program(tree, proposal):
            step = f"{{name: site, command: {command}, outputs: [{output}]}}"
            site = f"is {name} the site itself, and no documentation? Then write this step below `steps`: {step}"
            proposal.ask("build.steps", site)
        elif tree.has(name):
            proposal.steps.append({"name": "site", "command": command, "outputs": [output]})
            proposal.because("build.steps", f"{name}: the pages are made on each host")
            proposal.found.append(f"a static site ({name})")
            if name == "mkdocs.yml" and not proposal.venvs:
                proposal.venvs[".venv"] = {"packages": ["mkdocs"]}
                proposal.because("build.venvs", "mkdocs.yml; no requirements name mkdocs: write mkdocs==VERSION here")
            proposal.page = f"{output}/index.html"
    if not (proposal.found or proposal.page) and tree.has("index.html"):
        proposal.found.append("pages that nothing has to make")
        proposal.page = "index.html"


def _php(tree: Tree, proposal: Proposal) -> None:
    page = tree.first("", "index.php", "public/index.php")
    if page:
        proposal.found.append("PHP")
        proposal.page = proposal.page or page
        proposal.ask("services", "PHP keeps compiled files: name its unit, such as php8.2-fpm, to have it restarted")
    if tree.has("composer.lock") or any(map(_PACKAGE.fullmatch, table(tree.json("composer.json").get("require")))):
        _composer(tree, proposal)


def _composer(tree: Tree, proposal: Proposal) -> None:
    command, besides = "composer install --no-dev --no-interaction", _besides_the_lock(tree.json("composer.json"))
    locked = tree.has("composer.lock")
    inputs: dict[str, object] = {"inputs": ["composer.json", "composer.lock"]} if locked and not besides else {}
    proposal.steps.append({"name": "packages", "command": command, **inputs, "outputs": ["vendor"]})
    proposal.because("build.steps", f"composer.{'lock' if locked else 'json'}; composer has to be on the host")
    if not locked:
        proposal.ask("build.steps", "composer.lock is not there, so composer takes the newest packages: commit one")
    elif besides:
        proposal.because("build.steps", f"composer.json has {besides}: the packages are installed for each release")


def _besides_the_lock(said: Mapping[str, object]) -> str | None:
    """What makes composer read more of the repository than its two files; None where nothing does."""
    classmap = ["a classmap"] if "classmap" in table(said.get("autoload")) else []
    return next(iter([*classmap, *(name for name in ("scripts", "repositories") if name in said)]), None)
