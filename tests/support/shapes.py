"""The recipes in `examples/`: each as a stranger's repository, on a host that was prepared as the docs say."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from disposable_host import DisposableHost, free_port

from tests.support.fab import Fab, Ran
from tests.support.repository import Repository

EXAMPLES = Path(__file__).parents[2] / "examples"
HOSTS = Path(__file__).parents[2] / "docs/hosts.md"
UNITS = "infra/systemd"
UV = Path(sys.executable).with_name("uv")
_LEFTOVERS = shutil.ignore_patterns("node_modules", "dist", ".venv", "__pycache__", "*.egg-info", "*lock*")


class Recipe:
    """One example, as the repository of somebody who took it over: their host, a free port, and lock files."""

    def __init__(self, name: str, directory: Path, host: DisposableHost, registry_url: str) -> None:
        self.host = host
        self.port = free_port()
        self.path = directory / name
        shutil.copytree(EXAMPLES / name, self.path, ignore=_LEFTOVERS)
        self.repository = Repository(self.path)
        self.root = self._adapt()
        self._lock()
        self.fab = Fab(self.path, host.ssh_config, registry_url)
        administer(host, self.root)

    def commit(self, message: str, files: Mapping[str, str] | None = None) -> str:
        """Commit these files (path: text) and whatever else changed; returns the sha."""
        for name, text in (files or {}).items():
            (self.path / name).write_text(text)
        return self.repository.commit(message)

    def edit(self, name: str, old: str, new: str, files: Mapping[str, str] | None = None) -> str:
        """Commit a file with this text in it replaced, and these files; returns the sha."""
        text = (self.path / name).read_text()
        assert old in text, (name, old)
        return self.commit(f"{name}: {new}", {**(files or {}), name: text.replace(old, new)})

    def deploy(self, sha: str) -> Ran:
        return self.fab("-H", "prod", "deploy", f"--sha={sha}", timeout=600)

    def serving(self) -> dict[str, str]:
        """The release that each unit's process runs in, asked of the kernel."""
        return {unit.stem: self._release_of(unit.name) for unit in sorted((self.path / UNITS).iterdir())}

    def columns(self, file: str, table: str) -> list[str]:
        """The columns of a table in a database in the shared places, asked of the database."""
        with closing(sqlite3.connect(self.host.rootfs / self.root[1:] / "shared" / file)) as database:
            return [str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")]

    def ask(self, path: str, data: bytes | None = None, method: str | None = None, **headers: str) -> str:
        """What the service answers; of an error its number."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, named, method=method), timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.code)

    def _release_of(self, unit: str) -> str:
        process = self.host.run("systemctl", "show", "--value", "--property=MainPID", unit).stdout.strip()
        at = self.host.run("readlink", f"/proc/{process}/cwd").stdout.strip()
        return at.removeprefix(f"{self.root}/releases/")

    def _adapt(self) -> str:
        """Write this host and port into the settings; returns their deploy root."""
        file = self.path / "fabric.yaml"
        text = re.sub(r"\b80\d0\b", str(self.port), file.read_text())
        file.write_text(re.sub(r"hosts: \[.*\]", f"hosts: [{self.host.name}]", text))
        return str(re.findall(r"^  root: (\S+)$", text, re.MULTILINE)[0])

    def _lock(self) -> None:
        """Have npm or uv write the lock files, which name their registries and so are not in our repository."""
        for file in self.path.rglob("package.json"):
            if not shutil.which("npm"):
                pytest.skip("npm is not installed here")
            _do(file.parent, "npm", "install", "--package-lock-only", "--no-audit", "--no-fund", "--prefer-offline")
        if (self.path / "pyproject.toml").exists():
            _do(self.path, str(UV), "lock", "--python", sys.executable)


def administer(host: DisposableHost, root: str) -> None:
    """Run the block "By hand, once, by an administrator" as it stands, with this root.

    What the image has of it goes first, so that the host is what the block alone makes of it.
    """
    section = HOSTS.read_text().partition("## By hand, once, by an administrator\n")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    assert "/srv/oroboros" in block
    host.run("sh", "-ec", "rm -f /etc/sudoers.d/*")
    host.run("sh", "-ec", block.replace("/srv/oroboros", root))


def _do(directory: Path, *argv: str) -> None:
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
