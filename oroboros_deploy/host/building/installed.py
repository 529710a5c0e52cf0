"""What installers leave in a virtual environment, made independent of where and when that was."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from pathlib import Path

from ..annotations import Dict, Iterable, List, Optional, Sequence, Set

# Bytecode by the hash of its source: the same wherever and whenever it is made, and right after any edit. An
# interpreter that finds it sets the true path in what it loads.
_COMPILE = """\
import compileall, os, py_compile, sys
options = dict(quiet=2, force=True, stripdir=sys.argv[1], invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
for path in sys.argv[2:]:
    if os.path.isdir(path):
        compileall.compile_dir(path, maxlevels=99, **options)
    elif path.endswith(".py"):
        compileall.compile_file(path, **options)
"""
_PASSING = ("direct_url.json", "uv_cache.json")  # they tell of the wheel's file, which is gone when the build is over


def packages(venv: Path) -> Path:
    """Where the environment's packages are."""
    return next(iter(venv.glob("lib/python3*/site-packages")))


def compiling(venv: Path, release: Path, paths: Iterable[Path]) -> List[str]:
    """The command that compiles files and directories of an environment."""
    return [str(venv / "bin" / "python"), "-c", _COMPILE, str(release), *map(str, paths)]


def settle(venv: Path, wheels: Sequence[Path]) -> None:
    """Take out of the records of what came from ``wheels`` all that depends on this build.

    A console script's hash is one of them, for the script names its interpreter.
    """
    for record in packages(venv).glob("*.dist-info/RECORD"):
        rows = _read(record)
        if record.parent.name in map(distribution, wheels):
            rows = [row for row in rows if row[0].rpartition("/")[2] not in _PASSING]
            for name in _PASSING:
                (record.parent / name).unlink(missing_ok=True)
        placed = [[row[0], "", ""] if row[0].startswith("../") else row for row in rows]
        if placed != _read(record):
            record.unlink()  # it may be a link
            record.write_text(_format(placed), "utf-8")


def files(venv: Path, wheels: Sequence[Path]) -> List[Path]:
    """What these wheels brought, their bytecode included, whichever Python compiled it."""
    site = packages(venv)
    names = [row[0] for wheel in wheels for row in _read(site / distribution(wheel) / "RECORD")]
    brought = [Path(os.path.normpath(site / name)) for name in names]
    sources = {path for path in brought if path.suffix == ".py"}
    compiled = (each for place in {path.parent for path in sources} for each in place.glob("__pycache__/*.pyc"))
    return brought + sorted(path for path in compiled if _source(path) in sources)


def conflict(venv: Path, wheels: Sequence[Path]) -> bool:
    """Whether one of the wheels' files is another distribution's as well."""
    site, ours = packages(venv), {distribution(wheel) for wheel in wheels}
    listed: Dict[bool, Set[str]] = {True: set(), False: set()}
    for record in site.glob("*.dist-info/RECORD"):
        listed[record.parent.name in ours].update(row[0] for row in _read(record))
    return bool(listed[True] & listed[False])


def distribution(wheel: Path) -> str:
    """The directory that tells of a wheel, within it and where it is installed."""
    with zipfile.ZipFile(wheel) as archive:
        return next(name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name)


def metadata(wheel: Path) -> Optional[List[str]]:
    """What a wheel says of itself that decides what is installed with it; None when that is on this host's disk."""
    with zipfile.ZipFile(wheel) as archive:
        head = archive.read(f"{distribution(wheel)}/METADATA").decode("utf-8", "replace").partition("\n\n")[0]
    decisive = ("Name:", "Version:", "Requires-Dist:", "Requires-Python:", "Provides-Extra:")
    lines = sorted(line for line in head.splitlines() if line.startswith(decisive))
    return None if any("file:" in line for line in lines) else lines


def extras(wheel: Path) -> List[str]:
    """The extras that a wheel provides."""
    told = metadata(wheel) or []
    return [line.partition(":")[2].strip() for line in told if line.startswith("Provides-Extra:")]


def _source(bytecode: Path) -> Path:
    """What it was compiled from: the name goes on with the tag of a Python."""
    return bytecode.parent.parent / f"{bytecode.name.partition('.')[0]}.py"


def _read(record: Path) -> List[List[str]]:
    return [row for row in csv.reader(io.StringIO(record.read_text("utf-8"))) if row]


def _format(rows: List[List[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
