"""A program that sees files and directories of a test's in place of this machine's own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest


def python(code: str, instead: Mapping[str, Path], environ: Mapping[str, str] | None = None) -> str:
    """What Python code prints that sees the paths, each in place of another; skips where no mount is allowed."""
    ran = subprocess.run(
        command([sys.executable, "-c", code], instead), capture_output=True, text=True, env=environ and dict(environ)
    )
    assert ran.stderr == ""
    return ran.stdout.strip()


def command(argv: Sequence[str], instead: Mapping[str, Path]) -> list[str]:
    """The command that sees the paths, each in place of another; skips where no mount is allowed."""
    mounts = "".join(f"mount --bind {shlex.quote(str(path))} {shlex.quote(place)}\n" for place, path in instead.items())
    namespace = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-m", "--map-current-user", "--keep-caps"]
    tried = subprocess.run([*namespace, "sh", "-ec", f"{mounts}true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"needs a mount namespace, and to mount in it: {tried.stderr.strip()}")
    return [*namespace, "sh", "-ec", f'{mounts}exec "$@"', "sh", *argv]
