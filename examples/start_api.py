"""The gate where there is no systemd: start the API of ``current``, and see that it serves the right commit.

    python3 start_api.py DIRECTORY
    python3 start_api.py --ask DIRECTORY      where a unit runs it: only see which commit it serves

``DIRECTORY`` keeps the API's socket, its log and its process id. Runs with ``current`` as its working directory. Exits
1 while the API does not answer yet, and 78, which says that another try is of no use, when the API has ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from here import ask, is_alive

SECONDS = 5.0


def main(directory: Path) -> int:
    """Start the API unless the one that runs is of this release, and compare the commit that it answers."""
    commit = _commit()
    _stop(directory)
    api = _start(directory)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and api.poll() is None:
        with suppress(OSError):
            served = json.loads(ask(directory, "health"))["commit"]
            print(f"healthy: {served}" if served == commit else f"unhealthy: the api runs {served}")
            return int(served != commit)
        time.sleep(0.05)
    print("unhealthy: the api " + ("does not answer" if api.poll() is None else f"ended with {api.returncode}"))
    print((directory / "api.log").read_text().strip())
    return 1 if api.poll() is None else 78


def see(directory: Path) -> int:
    """Compare the commit that the API of a unit answers with that of ``current``."""
    commit = _commit()
    try:
        served = json.loads(ask(directory, "health"))["commit"]
    except (OSError, ValueError) as error:
        print(f"unhealthy: the api does not answer: {error}")
        return 1
    print(f"healthy: {served}" if served == commit else f"unhealthy: the api runs {served}")
    return int(served != commit)


def _commit() -> str:
    lines = Path(".deploy-meta").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)["commit_sha"]


def _start(directory: Path) -> subprocess.Popen[bytes]:
    """Start the API in a session of its own: it stays when the gate is over."""
    with (directory / "api.log").open("wb") as log:
        api = subprocess.Popen(
            [str(Path.cwd() / "backend/.venv/bin/ouroboros-api")],
            cwd="backend",
            env={**os.environ, "API_SOCKET": str(directory / "api.sock")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (directory / "api.pid").write_text(str(api.pid))
    return api


def _stop(directory: Path) -> None:
    """End the API that was started before."""
    with suppress(OSError, ValueError):
        pid = int((directory / "api.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        while is_alive(pid):
            time.sleep(0.02)
    (directory / "api.sock").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit((see if sys.argv[1] == "--ask" else main)(Path(sys.argv[-1])))
