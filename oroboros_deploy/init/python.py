"""Python: what is installed into which environment, and what Django, Flask, FastAPI and alembic want."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from posixpath import join, normpath

from . import versions, wheel
from .proposal import Proposal
from .tree import Tree, below, table

_REQUIREMENTS = ("requirements/production.txt", "requirements/prod.txt", "requirements.txt", "requirements/base.txt")
_MARKERS = ("manage.py", "pyproject.toml", "setup.py", *_REQUIREMENTS)
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
_FRAMEWORKS = {"django": "Django", "fastapi": "FastAPI", "flask": "Flask"}
_SEGMENT = re.compile(r"[/,]\s*['\"]([\w./-]+)['\"]|\}/([\w./-]+)")  # joined to a path, or in an f-string
_RUN_FROM = re.compile(r"/current/([\w./-]+?)/bin/\w")  # an environment that a unit names
_SETTINGS = (r"settings.*\.py", r"base\.py", r"prod(uction)?\.py")


def look(tree: Tree, proposal: Proposal) -> None:
    """Add what Python there is, on the first level where something is to be installed."""
    for places in tree.levels(*_MARKERS):
        for place in places:
            _look_at(tree, proposal, place)
        if proposal.venvs or "build.venvs" in proposal.questions:
            return


def _look_at(tree: Tree, proposal: Proposal, place: str) -> None:
    environment = _environment(tree, proposal, place)
    if environment is None:
        return
    versions.of_python(tree, proposal, place)
    needs = _needs(tree, place)
    framework = next((name for word, name in _FRAMEWORKS.items() if re.search(rf"\b{word}\b", needs)), None)
    framework = "Django" if tree.has(place, "manage.py") else framework
    proposal.found.append(f"{framework or 'Python'} in {place or 'the top directory'}")
    if framework:
        proposal.run = True
        proposal.answers(None, guess=8000)
        proposal.guessed.append(f"{proposal.name}-web" if framework == "Django" else f"{proposal.name}-api")
    if tree.has(place, "manage.py"):
        _django(tree, proposal, place, environment)
        return
    if framework:
        _ask_of_sqlite("\n".join(map(tree.text, tree.files(r".*\.py"))), proposal, place)
    if tree.has(place, "alembic.ini") and "alembic" in needs:
        line = f"{environment.removeprefix(place).lstrip('/')}/bin/alembic upgrade head"
        proposal.migrates(f"cd {shlex.quote(place)} && {line}" if place else line)
        proposal.because("migrate", f"{below(place, 'alembic.ini')}; it is run on one host, right before the switch")


def _environment(tree: Tree, proposal: Proposal, place: str) -> str | None:
    """Say what is installed into the environment of a place, and where that is; None where nothing is."""
    lock = tree.first(place, *_LOCKS)
    name = _environment_of_units(tree, place) or place or ".venv"
    if name not in (place, ".venv"):
        proposal.because("build.venvs", f"the units run {name}/bin")
    if _is_project(tree, place):
        proposal.venvs[name] = [place or "."]
        _why_project(tree, proposal, place, lock)
        wheel.look(tree, proposal, place, lock)
    elif requirements := tree.first(place, *_REQUIREMENTS):
        proposal.venvs[name] = {"requirements": [below(place, requirements)]}
        proposal.because("build.venvs", f"{below(place, requirements)}{_hashes(tree, place, requirements)}")
    elif tree.has(place, "manage.py"):
        file, written = below(place, "manage.py"), below(place, "requirements.txt")
        which = f"{file} is there, and nothing says which packages it needs: commit {written}, and write here"
        proposal.ask("build.venvs", f"{which} venvs: {{{name}: {{requirements: [{written}]}}}}")
        return None
    else:
        return None
    return below(name, ".venv") if name == place else name


def _environment_of_units(tree: Tree, place: str) -> str | None:
    """The directory of an environment that units run from, for the application in a place; None where none says so."""
    found = _RUN_FROM.findall("\n".join(map(tree.text, tree.files(r".*\.service"))))
    own = (each for each in found if each.rpartition("/")[0] == place)
    return next((each for each in own if each != below(place, ".venv")), None)


def _hashes(tree: Tree, place: str, requirements: str) -> str:
    return ", whose hashes pip compares" if "--hash=" in tree.text(place, requirements) else ""


def _is_project(tree: Tree, place: str) -> bool:
    return _is_described(tree, place) or tree.has(place, "setup.py")


def _is_described(tree: Tree, place: str) -> bool:
    """Whether a pyproject.toml describes a project: many have one for their tools alone."""
    found = tree.toml(place, "pyproject.toml")
    return "project" in found or "poetry" in table(found.get("tool"))


def _lock_of_workspace(tree: Tree, place: str) -> str | None:
    """The lock file of a workspace above, none of whose requirements are committed here."""
    above = [str(each).removeprefix(".") for each in PurePosixPath(place).parents] if place else []
    found = next((below(each, "uv.lock") for each in above if tree.has(each, "uv.lock")), None)
    return None if tree.has(place, "requirements.txt") else found


def _why_project(tree: Tree, proposal: Proposal, place: str, lock: str | None) -> None:
    project = below(place, "pyproject.toml" if _is_described(tree, place) else "setup.py")
    if lock:
        tool = lock.partition(".")[0]
        why = f"{below(place, lock)} is installed as locked, by {tool} of the host or one that is kept in .deploy/tools"
    elif above := _lock_of_workspace(tree, place):
        why = f"{project} is a member of a workspace, and {above} is not read for it"
        name = table(tree.toml(place, "pyproject.toml").get("project")).get("name", place)
        exported = f"uv export --package {name} --no-dev --no-emit-workspace -o {place}/requirements.txt"
        decided = f"without a requirements.txt the package index decides the versions, not {above}"
        proposal.ask("build.venvs", f"{decided}; commit the file that this command writes: {exported}")
    elif tree.has(place, "requirements.txt"):
        why = f"{project} is a project, and is installed with its requirements.txt"
    else:
        why = f"{project} is a project; without a lock file the package index decides which versions it gets"
    proposal.because("build.venvs", why)


def _needs(tree: Tree, place: str) -> str:
    """What a place depends on, as text."""
    return "\n".join(tree.text(place, name) for name in ("pyproject.toml", *_REQUIREMENTS)).lower()


def _django(tree: Tree, proposal: Proposal, place: str, environment: str) -> None:
    manage = f"{environment}/bin/python {below(place, 'manage.py')}"
    proposal.migrates(f"{manage} migrate --noinput")
    proposal.because("migrate", f"{below(place, 'manage.py')}; it is run on one host, right before the switch")
    settings = "\n".join(map(tree.text, tree.files(*_SETTINGS)))
    if "STATIC_ROOT" in settings:
        step: dict[str, object] = {
            "name": f"static files {place.replace('/', '-')}".strip(),
            "command": f"{manage} collectstatic --noinput",
        }
        made = _path(settings, "STATIC_ROOT", place)
        proposal.steps.append(step | ({"outputs": [made]} if made else {}))
        proposal.because("build.steps", "the settings have STATIC_ROOT")
    _ask_of_hosts(settings, proposal)
    _ask_of_sqlite(settings, proposal, place)
    if media := _path(settings, "MEDIA_ROOT", place):
        proposal.shared.append(media)
        proposal.because("shared", "the settings have MEDIA_ROOT: what is uploaded stays when the next release comes")


def _ask_of_hosts(settings: str, proposal: Proposal) -> None:
    """Django answers 400 to a host that ALLOWED_HOSTS does not name, and 301 to plain HTTP with SECURE_SSL_REDIRECT."""
    secure = "SECURE_SSL_REDIRECT" in settings
    answers = "Without it Django answers 400" + (", and without the header 301" if secure else "")
    more = ", header: {X-Forwarded-Proto: https}" if secure else ""
    what = f"which name does ALLOWED_HOSTS have? {answers}; write beside the url: host: your.domain{more}"
    proposal.ask("healthcheck", what)


def _ask_of_sqlite(settings: str, proposal: Proposal, place: str) -> None:
    """A database beside the code would stay behind with its release."""
    if "django.db.backends.sqlite3" in settings or "sqlite:///" in settings:
        data = below(place, "data")
        why = f"a release is read-only; move the file to {data}/, and share that: shared: {{{data}: dir}}"
        proposal.ask("shared", f"is SQLite the database in production? {why}")


def _path(settings: str, name: str, place: str) -> str | None:
    """The directory that Django's settings name, from the top of the repository; None for one that is not in it."""
    segments = ["".join(found) for found in _SEGMENT.findall(_assigned(settings, name))]
    path = normpath(join(place, *segments))
    return None if not segments or path == "." or path.startswith(("/", "..")) else path


def _assigned(settings: str, name: str) -> str:
    """What is assigned to a name, up to the line that closes its last parenthesis; empty where nothing is."""
    found = re.search(rf"^[ \t]*{name}[ \t]*(?::[^=\n]+)?=", settings, re.MULTILINE)
    text = ""
    for line in settings[found.end() :].splitlines() if found else []:
        text += f"{line}\n"
        if text.count("(") <= text.count(")"):
            break
    return text
