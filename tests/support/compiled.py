"""The agent on a host of a test's own as its first call leaves it: it travelled once, and was compiled once.

Every test has a root of its own.  That each first call takes the agent along, and compiles all of it, is what
tests/remote/test_agent.py is about; for all others that is a quarter of a second which says nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from oroboros_deploy.host import key, proof
from oroboros_deploy.host.constants import FORMAT
from oroboros_deploy.remote import agent

# A login that has nothing of its own but the search path by which python3 is found.
PLAIN = {"PATH": os.environ["PATH"]}


def bring(root: Path) -> None:
    """Put the agent into a root that has none, with what this machine's Python compiled of it.

    A root where a first call would find anything else than nothing is left to that call.
    """
    if not _is_new(root):
        return
    kept = _kept(agent.packed().digest)
    ours = root / ".deploy"
    place = ours / f".agent-{os.getpid()}-{threading.get_ident()}"
    with suppress(OSError):  # the first call says what is wrong there
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        ours.mkdir(mode=0o700, exist_ok=True)
        place.mkdir(mode=0o700)
        key.at(ours / "key")
        for name, content in kept.items():
            _write(place / name, content)
            if not name.endswith(".pyz"):  # the proof is of this very file, under the name that it has
                _write(Path(proof.place(str(place / name))), proof.of(str(place / name)).encode())
        place.rename(ours / "agent")
    shutil.rmtree(place, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)  # whatever the umask
    path.write_bytes(content)


def is_asked_in(script: str, root: Path) -> bool:
    """Whether a script makes a call at this root that leaves the agent there."""
    return str(agent.packed().path(PurePosixPath(root))) in script and script.split()[-1] not in agent.VISITS


def _is_new(root: Path) -> bool:
    """Whether the agent was never there, and there is nothing that a first call would stop at."""
    ours = root / ".deploy"
    for path in (root, ours):
        if path.is_symlink() or path.is_mount():
            return False
        if path.exists() and (path.stat().st_uid != os.geteuid() or path.stat().st_mode & 0o022):
            return False
    try:
        written = (ours / "format").read_text()
    except FileNotFoundError:
        written = f"{FORMAT}\n"
    except (OSError, ValueError):
        return False
    return written == f"{FORMAT}\n" and not (ours / "agent").exists()


@cache
def _kept(digest: str) -> Mapping[str, bytes]:
    """What a first call leaves of the agent with this digest, but for the proof: that one is of each file by itself."""
    with tempfile.TemporaryDirectory() as directory:
        root = PurePosixPath(directory, "srv")
        layout = {name: str(root / name) for name in ("releases", "current", "repo")} | {"root": str(root)}
        script = agent.packed().script(root, "facts", {"layout": {**layout, "scope": "system"}, "sha": None})
        sent = agent.packed().sent()
        subprocess.run(["/bin/sh", "-c", script], input=sent, env=PLAIN, capture_output=True, timeout=60)
        found = Path(root, ".deploy/agent").glob("*")
        return MappingProxyType({path.name: path.read_bytes() for path in found if path.suffix != ".proof"})
