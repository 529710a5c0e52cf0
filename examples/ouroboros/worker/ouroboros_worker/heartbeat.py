"""The worker: it beats once a second, and says whose heart it is."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ouroboros_backend.readiness import ready
from ouroboros_backend.release import commit

HEARTBEAT = Path("/run/ouroboros/worker.json")


def main() -> None:
    """Beat until killed."""
    release = commit()
    beat(release)
    ready()
    while True:
        time.sleep(1)
        beat(release)


def beat(release: str) -> None:
    """Replace the heartbeat file in one step, so that a reader never sees half of it."""
    fresh = HEARTBEAT.with_suffix(".new")
    fresh.write_text(json.dumps({"commit": release, "at": time.time()}) + "\n")
    fresh.replace(HEARTBEAT)
