"""Whether the compiled agent is as this login compiled it: by a proof that nobody else can write.

The agent is verified by its hash before it runs, and the control node knows no hash of what a host compiled. A proof
beside it is keyed by the root's secret and names inode, size and times of the file; nobody can set the time of
its last change. `__main__` looks at it before anything compiled is imported, so this imports nothing of ours.
"""

from __future__ import annotations

import os

try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256


def place(kept: str) -> str:
    """Where the proof of a file is."""
    return f"{kept}.proof"


def holds(kept: str) -> bool:
    """Whether the file is there, and is the one that the proof beside it is of."""
    try:
        with open(place(kept)) as file:
            return file.read() == of(kept)
    except (OSError, ValueError):
        return False


def of(kept: str) -> str:
    """The proof of a file as it is; raises OSError or ValueError where this login has no secret of its own."""
    with open(os.path.join(os.path.dirname(os.path.dirname(kept)), "key"), "rb") as file:
        status, key = os.fstat(file.fileno()), file.read()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077 or len(key) != 32:
        raise ValueError("the key is not this login's alone")
    seen = os.stat(kept)
    if seen.st_uid != os.geteuid():
        raise ValueError("the file is not this login's")
    told = (os.path.basename(kept), seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    return str(sha256(key + repr(told).encode()).hexdigest())
