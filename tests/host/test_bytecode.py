"""The compiled agent lies beside the agent, once for each version of Python."""

from __future__ import annotations

import marshal
import os
import sys
import zipfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path

from oroboros_deploy.host import bytecode, proof
from oroboros_deploy.remote import agent


def stored(directory: Path) -> Path:
    path = directory / "agent" / "agent.pyz"
    path.parent.mkdir()
    path.write_bytes(agent.packed().data)
    return path


def names_in(kept: Path) -> list[str]:
    """The names of the modules in a file of bytecode."""
    return sorted(marshal.loads(kept.read_bytes().removeprefix(MAGIC_NUMBER)))


def test_it_has_every_module_that_is_imported_from_it(tmp_path: Path) -> None:
    """All modules of the package by the names that Python asks for, after the number of the Python that can read it."""
    path = stored(tmp_path)
    bytecode.keep(path)
    kept = path.parent / f"agent.pyz.{sys.implementation.cache_tag}"
    files = [name.removesuffix(".py") for name in zipfile.ZipFile(path).namelist() if "/" in name]
    names = sorted(name.removesuffix("/__init__").replace("/", ".") for name in files)
    assert (kept.read_bytes()[:4], names_in(kept)) == (MAGIC_NUMBER, names)


def test_it_is_compiled_once(tmp_path: Path) -> None:
    """A file that this login compiled stays as it is; any other is made anew."""
    path = stored(tmp_path)
    kept = path.with_name(f"agent.pyz.{sys.implementation.cache_tag}")
    bytecode.keep(path)
    first = kept.stat()
    bytecode.keep(path)
    assert kept.stat() == first
    made = names_in(kept)
    kept.write_bytes(b"by somebody else")
    bytecode.keep(path)
    assert (names_in(kept), proof.holds(str(kept))) == (made, True)


def test_what_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    """A host where the file cannot be written is slower and nothing else."""
    path = stored(tmp_path)
    (path.parent / f".agent.pyz.{sys.implementation.cache_tag}.{os.getpid()}").mkdir()
    bytecode.keep(path)
    assert not (path.parent / f"agent.pyz.{sys.implementation.cache_tag}").exists()
