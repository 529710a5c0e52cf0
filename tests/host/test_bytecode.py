"""The compiled agent lies beside the agent, once for each version of Python."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

from oroboros_deploy.host import bytecode
from oroboros_deploy.remote import agent


def stored(directory: Path) -> Path:
    path = directory / "agent.pyz"
    path.write_bytes(agent.packed().data)
    return path


def test_it_has_every_module_as_text_and_compiled(tmp_path: Path) -> None:
    """A Python that cannot read the bytecode of its namesake finds the text in the file."""
    path = stored(tmp_path)
    bytecode.keep(path)
    kept = zipfile.ZipFile(tmp_path / f"agent.pyz.{sys.implementation.cache_tag}").namelist()
    names = zipfile.ZipFile(path).namelist()
    assert sorted(kept) == sorted([*names, *(f"{name}c" for name in names)])


def test_it_is_compiled_once(tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    path = stored(tmp_path)
    kept = tmp_path / f"agent.pyz.{sys.implementation.cache_tag}"
    kept.write_bytes(b"as it was")
    bytecode.keep(path)
    assert kept.read_bytes() == b"as it was"


def test_what_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    """A host where the file cannot be written is slower and nothing else."""
    path = stored(tmp_path)
    (tmp_path / f".agent.pyz.{sys.implementation.cache_tag}.{os.getpid()}").mkdir()
    bytecode.keep(path)
    assert not (tmp_path / f"agent.pyz.{sys.implementation.cache_tag}").exists()
