"""The Python sources of a release, compiled before it is sealed, so that a service which may write there need not.

They are those outside of virtual environments, whose bytecode their installer's part makes (`installed`).  Each Python
that may run them compiles them, in the view of the build.  Nothing here fails a build: without bytecode a release is
what it was, and starts later.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from dataclasses import replace
from pathlib import Path

from .. import seal
from ..annotations import Iterable, List, NamedTuple, Optional
from ..refusal import Refusal
from .bench import ELSEWHERE, Bench

LONGEST = 60.0  # seconds for each Python; what is not compiled by then is left as it is
LARGEST = 2_000_000  # bytes of a source: what is larger is data, and takes memory that a host may not have
_MORE = 10.0  # seconds after which a compiler that does not look at its clock is ended
_OTHERS = ("node_modules", "__pycache__")  # there are sources in there that nobody imports, or none
_STARTED = re.compile(r"^Exec\w+\s*=\s*[-@:+!|]*(/[\w./+-]*/python3[\w.]*)(?=\s|$)", re.MULTILINE)

# Bytecode by the hash of its source, as `installed` makes it, for the same reasons.  That of the live release is taken
# when its seal says that it is as it was built: a service could have written it otherwise.  A source that does not
# compile is for another Python, or a template.
_COMPILE = """\
import contextlib, hashlib, json, marshal, os, sys, time
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash

CHECKED = (3).to_bytes(4, "little")

def main(release, before, names, seconds):
    known = dict(sealed(before)) if before else {}
    count = min(os.cpu_count() or 1, len(names) // 50 + 1)
    until = time.monotonic() + seconds
    children = [forked(release, before, names[number::count], until, known) for number in range(1, count)]
    work(release, before, names[::count], until, known)
    for child in children:
        status = os.waitpid(child, 0)[1]
        if status:
            print(f"a compiler ended with status {status}")

def forked(*given):
    pid = os.fork()
    if pid == 0:
        try:
            work(*given)
            sys.stdout.flush()
            os._exit(0)
        finally:
            os._exit(1)
    return pid

def work(release, before, names, until, known):
    for number, name in enumerate(names):
        if time.monotonic() > until:
            print(f"{len(names) - number} sources are not compiled: there was no time")
            return
        try:
            keep(release, before, name, known)
        except Exception as error:
            print(f"{name} is not compiled: {error}")

def keep(release, before, name, known):
    cache = cache_from_source(name)
    target, place = os.path.join(release, cache), os.path.dirname(os.path.join(release, cache))
    if os.path.lexists(target) or os.path.islink(place):
        return
    with open(os.path.join(release, name), "rb") as file:
        source, mode = file.read(), os.fstat(file.fileno()).st_mode
    head = MAGIC_NUMBER + CHECKED + source_hash(source)
    made = taken(before, cache, head, known) or head + marshal.dumps(compile(source, name, "exec", dont_inherit=True))
    os.makedirs(place, exist_ok=True)
    beside = f"{target}.{os.getpid()}"
    try:
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode & 0o666 | 0o200)
        with open(number, "wb") as file:
            file.write(made)
        os.replace(beside, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise

def taken(before, cache, head, known):
    if cache not in known:
        return None
    with contextlib.suppress(OSError), open(os.path.join(before, cache), "rb") as file:
        data = file.read()
        return data if data.startswith(head) and hashlib.sha256(data).hexdigest() == known[cache] else None

def sealed(before):
    with contextlib.suppress(OSError, ValueError), open(os.path.join(before, MANIFEST), "rb") as lines:
        for line in lines:
            if b".pyc" in line:
                row = json.loads(line)
                yield row[0], row[5]

with open(sys.argv[1]) as file:
    told = json.load(file)
MANIFEST = told.pop("manifest")
main(**told)
"""


class Sources(NamedTuple):
    """Paths within a release: ``names`` of sources that something may import, and the ``venvs`` beside them."""

    names: List[str]
    venvs: List[str]


def compile_all(bench: Bench, before: Optional[Path], units: Iterable[str], *, has_python: bool) -> None:
    """Compile what there is, by each Python that may run it; ``before`` is the live release.

    ``units`` are the texts of those that the release brings.  ``has_python`` is whether the recipe names a Python, or
    makes environments with one; where it does not, one that the units start is enough.
    """
    found = sources(bench.release)
    before = before if before and seal.knows_manifest(before) else None
    for python in pythons(bench, found, units, has_python=has_python) if found.names else ():
        began = time.monotonic()
        try:
            _compile(bench, before, found.names, python)
        except Refusal as refusal:
            if refusal.kind == "cancelled":
                raise
            bench.say("warning", f"not all Python sources were compiled: {refusal.message}", level="warning")
        else:
            told = f"{len(found.names)} Python sources compiled by {python}"
            bench.say("release.compiled", told, level="detail", seconds=time.monotonic() - began)


def _compile(bench: Bench, before: Optional[Path], names: List[str], python: str) -> None:
    told = {"release": str(bench.release), "before": before and str(before), "names": names, "manifest": seal.MANIFEST}
    asked = bench.temporary / "sources.json"
    asked.write_text(json.dumps({**told, "seconds": LONGEST}), "utf-8")
    deadline = min(bench.deadline, time.monotonic() + LONGEST + _MORE)
    bound = replace(bench, deadline=deadline, bound=True)
    argv = [python, "-I", "-S", "-W", "ignore", "-X", "utf8", "-c", _COMPILE, str(asked)]
    bound.run("bytecode", "the compiler", argv, ELSEWHERE)


def sources(release: Path) -> Sources:
    """The sources of a release and its environments; links to directories are not followed, shared places are some."""
    found, left = Sources([], []), [""]
    while left:
        place = left.pop()
        listed = _listed(release / place)
        if any(entry.name == "pyvenv.cfg" for entry in listed):
            found.venvs.append(place)
            continue
        found.names.extend(f"{place}{entry.name}" for entry in listed if _is_source(entry, release))
        left += [f"{place}{entry.name}/" for entry in listed if _may_have_sources(entry)]
    return found


def _listed(place: Path) -> List[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # closed by the build, or too deep
        return []


def _is_source(entry: os.DirEntry[str], release: Path) -> bool:
    if not entry.name.endswith(".py") or not entry.name.isprintable():
        return False
    if entry.is_symlink() and not os.path.realpath(entry.path).startswith(f"{os.path.realpath(release)}/"):
        return False
    try:
        status = entry.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST


def _may_have_sources(entry: os.DirEntry[str]) -> bool:
    hidden = entry.name.startswith(".") or entry.name in _OTHERS
    return not hidden and entry.name.isprintable() and entry.is_dir(follow_symlinks=False)


def pythons(bench: Bench, found: Sources, units: Iterable[str], *, has_python: bool) -> List[str]:
    """The Pythons that may run the sources, each once, whatever its names are."""
    of_venvs = [str(bench.release / venv / "bin" / "python") for venv in found.venvs]
    started = [program for text in units for program in _STARTED.findall(text)]
    named = [*([bench.toolchain.python] if has_python else []), *of_venvs, *started]
    there = {os.path.realpath(path): path for path in reversed(named) if os.access(path, os.X_OK)}
    return sorted(there.values(), key=named.index) or [bench.toolchain.python]
