"""The real `fab` program, run on a real repository against real hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAB = Path(sys.executable).with_name("fab")
FABFILE = "from oroboros_deploy.tasks import ns\n\n__all__ = ['ns']\n"


@dataclass(frozen=True)
class Ran:
    """What one `fab` command said and how it exited."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Fab:
    """`fab` in a repository's directory, with a registry and ssh_config of the test's own."""

    def __init__(self, directory: Path, ssh_config: Path, registry_url: str) -> None:
        self.directory = directory
        self.ssh_config = ssh_config
        self.environ = {**os.environ, "DEPLOY_REGISTRY_URL": registry_url}
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, timeout: float = 240, **environ: str) -> Ran:
        process = self.start(*arguments, **environ)
        out, err = process.communicate(timeout=timeout)
        return Ran(process.returncode, out, err)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(FAB), "--ssh-config", str(self.ssh_config), *arguments],
            cwd=self.directory,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """End what a failed test left running, so that no other test is told of it."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                process.communicate()

    def ok(self, *arguments: str, **environ: str) -> Ran:
        """Run what has to succeed."""
        ran = self(*arguments, **environ)
        assert ran.code == 0, ran.said
        return ran

    def statuses(self) -> dict[str, str]:
        return {row["release_id"]: row["status"] for row in self.ok("registry.list").json}

    def live(self, *hosts: str) -> Mapping[str, str | None]:
        answers = self.ok("-H", ",".join(hosts), "status", "--json").json
        return {host: answer["live"] for host, answer in answers.items()}
