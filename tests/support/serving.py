"""`fab serve` as a process of its own, as people run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

FAB = Path(sys.executable).with_name("fab")


class Served:
    """A running `fab serve` in a directory with its fabfile; ``url`` is where it listens, without the last slash."""

    def __init__(self, directory: Path, registry_url: str, *flags: str) -> None:
        (directory / "fabfile.py").write_text("from oroboros_deploy.tasks import ns\n")
        self.process = subprocess.Popen(
            [str(FAB), "serve", "--port=0", "--json", *flags],
            cwd=directory,
            env={**os.environ, "DEPLOY_REGISTRY_URL": registry_url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=10)
        self.url = json.loads(line)["url"].rstrip("/")

    def stop(self) -> tuple[int, str]:
        """Ctrl-C; how it ended, and what it complained about."""
        self.process.send_signal(signal.SIGINT)
        _, complaints = self.process.communicate(timeout=10)
        return self.process.returncode, complaints

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=10)
