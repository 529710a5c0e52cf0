"""This machine as the demo's host, with a service: the caller's own service manager runs the API.

Where systemd is process 1 and the caller has a manager that lingers and a bus. The unit comes with the commit, and is
in the caller's directory of units while the demo plays.
"""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from here import Here, end_all

# The API and its virtual environment alone: npm and a front door may not be there.
SETTINGS = """\
deploy:
  scope: user
  services: [{unit}]
  units: infra/user
  shared: {{uploads: dir}}
  env: {{file: infra/ouroboros.env, values: {{}}, secrets: {{names: [UPLOAD_KEY]}}}}
  build: {{frontend: null, venvs: {{backend: [backend]}}}}
  healthcheck: {{timeout: 20, interval: 0.5, stable_for: 1}}
"""
UNIT = """\
[Unit]
Description=The API of a demonstration of oroboros_deploy

[Service]
WorkingDirectory=@root@/current/backend
Environment=API_SOCKET={scratch}/api.sock
EnvironmentFile=@root@/env
ExecStart=@root@/current/backend/.venv/bin/ouroboros-api --threads=4

[Install]
WantedBy=default.target
"""


def refused() -> str:
    """Why no service of the caller's own outlives a session here, found out by asking; empty when one does."""
    user, place = pwd.getpwuid(os.getuid()).pw_name, _runtime()
    if Path("/proc/1/comm").read_text().strip() != "systemd":
        return "systemd is not process 1"
    if not Path("/var/lib/systemd/linger", user).exists():
        return f"lingering is off for {user}"
    if not (place / "bus").exists():
        return f"there is no {place}/bus"
    asked = _systemctl("show", "--property=Version")
    return asked.stderr.strip() if asked.returncode else ""


class HereWithUnits(Here):
    """The host is up inside the ``with`` block; its service is a unit of the caller's, named as ``scratch`` is."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.name = scratch.name.removeprefix("oroboros-")  # which no unit of an application's may begin with
        self.unit = f"infra/user/{self.name}.service"
        self.installed = f"{units()}/{self.name}.service"
        self.files: Mapping[str, str] = MappingProxyType(
            {"fabric.yaml": SETTINGS.format(unit=self.name), self.unit: UNIT.format(scratch=scratch)}
        )

    def __enter__(self) -> HereWithUnits:
        super().__enter__()
        wanted = units() / "default.target.wants"  # what enables a unit makes it
        self._made += [path for path in (wanted, *wanted.parents) if not path.exists()]
        return self

    @property
    def told(self) -> str:
        """What the demo says of this host."""
        return f"{super().told}, its service {self.name} of your own service manager"

    @property
    def settings(self) -> dict[str, str]:
        """The variables that fab needs for this host."""
        ask = [sys.executable, str(Path(__file__).with_name("start_api.py")), "--ask", str(self.scratch)]
        return {"DEPLOY_ROOT": self.root, "DEPLOY_HEALTHCHECK_CMD": shlex.join(ask)}

    def _end(self) -> None:
        end_with_units(self.scratch)


def end_with_units(scratch: Path) -> None:
    """End all that runs for a demo and take its units away, also one that an activation put there meanwhile."""
    for _ in range(2):
        remove_units(scratch)
        end_all(scratch)


def remove_units(scratch: Path) -> None:
    """Stop and remove the units that name the scratch directory; harmless when there are none."""
    named = [path for path in units().glob("*.service") if str(scratch) in path.read_text(errors="replace")]
    for path in named:
        _systemctl("disable", "--quiet", "--now", path.name)
        path.unlink(missing_ok=True)
    if named:
        _systemctl("daemon-reload")
        _systemctl("reset-failed", *(path.name for path in named))


def units() -> Path:
    """The caller's directory of units."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir) / ".config/systemd/user"


def _runtime() -> Path:
    return Path("/run/user", str(os.getuid()))


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    place = _runtime()
    reached = {"XDG_RUNTIME_DIR": str(place), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={place}/bus"}
    command = ["systemctl", "--user", *words]
    return subprocess.run(
        command, env={**os.environ, **reached}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
