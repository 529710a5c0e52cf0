"""The tutorial, docs/start.md, as somebody types it: its blocks of commands, on a control node of their own."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from disposable_host import DisposableHost

from tests.support.serving import Served

START = Path(__file__).parents[2] / "docs/start.md"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SCRIPT = """#!/bin/sh
exec {program} {flags} "$@"
"""


class Reader:
    """Somebody with a directory, an ssh_config and a state directory, who types what the tutorial says."""

    def __init__(self, directory: Path, host: DisposableHost, port: int) -> None:
        self.directory = directory
        self.host = host
        self.port = port
        self.environ = _environment(directory, host)

    def types(self, heading: str) -> list[subprocess.CompletedProcess[str]]:
        """Type all blocks of a section, each in the shop's directory once that is there."""
        return [self._typed(block) for block in blocks(heading)]

    def sha(self, revision: str) -> str:
        """The commit of the reader's repository that is meant."""
        said = subprocess.run(
            ["git", "rev-parse", revision], cwd=self.directory / "shop", capture_output=True, text=True
        )
        return said.stdout.strip()

    def asks(self) -> str:
        """What the shop answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
            return str(answer.read().decode())

    def served(self) -> set[str]:
        """The releases that the page of `fab serve` knows, asked of its API."""
        url = f"sqlite:///{self.environ['XDG_STATE_HOME']}/oroboros_deploy/registry.db"
        with (
            Served(self.directory / "shop", url) as page,
            urllib.request.urlopen(f"{page.url}/api/releases", timeout=30) as answer,
        ):
            return {row["release_id"] for row in json.load(answer)}

    def _typed(self, block: str) -> subprocess.CompletedProcess[str]:
        mine = block.replace("web1.example.org", self.host.name).replace("8000", str(self.port))
        shop = self.directory / "shop"
        command = ["bash", "-ec", mine]
        at = shop if shop.is_dir() else self.directory
        return subprocess.run(command, cwd=at, env=self.environ, capture_output=True, text=True, timeout=1200)


def blocks(heading: str) -> list[str]:
    """The blocks of commands below a heading, whose number the reader need not know."""
    section = re.split(rf"^## \d+\. {re.escape(heading)}$", START.read_text(), flags=re.MULTILINE)[1]
    return _BLOCK.findall(section.partition("\n## ")[0])


def headings() -> list[str]:
    """The sections that have blocks of commands, in their order."""
    found = re.findall(r"^## \d+\. (.+)$", START.read_text(), re.MULTILINE)
    return [heading for heading in found if blocks(heading)]


def _environment(directory: Path, host: DisposableHost) -> Mapping[str, str]:
    programs = directory / "programs"
    programs.mkdir()
    for name in ("fab", "oroboros"):
        _script(programs / name, str(Path(sys.executable).with_name(name)), f"--ssh-config {host.ssh_config}")
    who = {f"GIT_{role}_{what}": "reader@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{programs}:{os.environ['PATH']}"
    return {**os.environ, **who, "PATH": path, "XDG_STATE_HOME": str(directory / "state")}


def _script(path: Path, program: str, flags: str) -> None:
    path.write_text(_SCRIPT.format(program=program, flags=flags))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
