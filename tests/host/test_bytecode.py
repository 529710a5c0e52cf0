"""The compiled agent lies beside the agent, once for each version of Python."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

from oroboros_deploy.host import bytecode, proof
from oroboros_deploy.remote import agent


def stored(directory: Path) -> Path:
    path = directory / "agent" / "agent.pyz"
    path.parent.mkdir()
    path.write_bytes(agent.packed().data)
    return path


def test_it_has_every_module_as_text_and_compiled(tmp_path: Path) -> None:
    """A Python that cannot read the bytecode of its namesake finds the text in the file."""
    path = stored(tmp_path)
    bytecode.keep(path)
    kept = zipfile.ZipFile(path.parent / f"agent.pyz.{sys.implementation.cache_tag}").namelist()
    names = zipfile.ZipFile(path).namelist()
    assert sorted(kept) == sorted([*names, *(f"{name}c" for name in names)])


def test_it_is_compiled_once(tmp_path: Path) -> None:
    """A file that this login compiled stays as it is; any other is made anew."""
    path = stored(tmp_path)
    kept = path.with_name(f"agent.pyz.{sys.implementation.cache_tag}")
    bytecode.keep(path)
    first = kept.stat()
    bytecode.keep(path)
    assert kept.stat() == first
    made = zipfile.ZipFile(kept).namelist()
    kept.write_bytes(b"by somebody else")
    bytecode.keep(path)
    assert (zipfile.ZipFile(kept).namelist(), proof.holds(str(kept))) == (made, True)


def test_what_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    """A host where the file cannot be written is slower and nothing else."""
    path = stored(tmp_path)
    (path.parent / f".agent.pyz.{sys.implementation.cache_tag}.{os.getpid()}").mkdir()
    bytecode.keep(path)
    assert not (path.parent / f"agent.pyz.{sys.implementation.cache_tag}").exists()
