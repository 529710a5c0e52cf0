"""The example application: a git repository to deploy from, and a host whose administrator keeps its units."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from disposable_host import DisposableHost

SOURCE = Path(__file__).parent / "ouroboros"
SERVICES = (
    "ouroboros-api",
    "ouroboros-worker",
    "ouroboros-web@main",
    "ouroboros-web@preview1",
    "ouroboros-web@preview2",
    "ouroboros-web@preview3",
    "ouroboros-caddy",
)
API = "backend/ouroboros_backend/api.py"
UNITS = "infra/systemd"
PLAIN = "deploy:\n  build: {venvs: {backend: [backend], worker: [backend, worker]}}\n"
GATE = "scripts/runtime-health-check.sh"
GREETING = "The serpent eats its tail."

_LEFTOVERS = shutil.ignore_patterns("node_modules", "dist", ".venv", "__pycache__", "build", "*.egg-info", "web-main")


class Application:
    """A git repository of the example at ``path``; every commit is the pristine example with one change."""

    def __init__(self, path: Path, files: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.files = dict(files or {})  # instead of the example's own
        path.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, change: str, files: Mapping[str, str] | None = None) -> str:
        """Commit the example with ``change`` as its greeting and ``files`` (path: content) on top; returns the sha."""
        self._git("rm", "-r", "--quiet", "--ignore-unmatch", ".")
        shutil.copytree(SOURCE, self.path, dirs_exist_ok=True, ignore=_LEFTOVERS)
        api = (SOURCE / API).read_text().replace(GREETING, change)
        for name, content in {API: api, **self.files, **(files or {})}.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(content)
        self._git("add", "--all")
        self._git("commit", "--quiet", f"--message={change}")
        return self._git("rev-parse", "HEAD").strip()

    def break_api(self) -> str:
        """Commit a version that builds, but whose API exits as soon as it starts; returns the sha."""
        start = "def main() -> None:\n"
        broken = (SOURCE / API).read_text().replace(start, f'{start}    sys.exit("broken on purpose")\n')
        return self.commit("The serpent bites.", {API: broken})

    def _git(self, *argv: str) -> str:
        identity = ["-c", "user.name=Ouroboros", "-c", "user.email=ouroboros@example.com", "-c", "commit.gpgsign=false"]
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", "-C", str(self.path), *identity, *argv]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def fabric_yaml(host: DisposableHost) -> str:
    """The example's own settings, with the port that is free on a host."""
    return (SOURCE / "fabric.yaml").read_text().replace('"8080"', f'"{host.http_port}"')


def install_application(host: DisposableHost) -> dict[str, str]:
    """Do what an administrator does who keeps units and configuration on the host: a user, settings, units, enabled.

    Returns the files of the application that is deployed there, whose settings are the defaults but for one.
    """
    place = host.rootfs / "etc/ouroboros"
    place.mkdir()
    (place / "env").write_text(f"HTTP_PORT={host.http_port}\nHTTP_BIND=127.0.0.1\n")
    for unit in (SOURCE / UNITS).iterdir():
        (host.rootfs / "etc/systemd/system" / unit.name).write_text(_filled(unit.read_text()))
    host.run("useradd", "--system", "--no-create-home", "ouroboros")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", *SERVICES)
    gate = (SOURCE / GATE).read_text().replace("set -euo pipefail\n", "set -euo pipefail\n. /etc/ouroboros/env\n")
    return {"fabric.yaml": PLAIN, GATE: gate}


def _filled(unit: str) -> str:
    """A unit as somebody writes it by hand: with a user of its own, and its settings in /etc."""
    named = unit.replace("@root@/env", "/etc/ouroboros/env").replace("@user@", "ouroboros")
    return named.replace("@root@", "/srv/oroboros")
