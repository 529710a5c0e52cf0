"""The two that are compared: our tool, and OpenSSH running one script that has none of its guarantees."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.lab import UPSTREAM, Lab, units

CHECKOUT = Path(__file__).resolve().parents[1]
FAB = Path(sys.executable).with_name("fab")
FABFILE = "from oroboros_deploy.tasks import ns\n\n__all__ = ['ns']\n"
PAUSE, TIMEOUT = 0.05, 10  # seconds between two tries of the check, and for all of them
SETTINGS = """\
deploy:
  root: /srv/{root}
  services: [{services}]
"""
_AT_ONCE = f"timeout: {TIMEOUT}, interval: {PAUSE}, stable_for: 0"
GATE = f"  healthcheck: {{{{command: bash ops/check.sh {{root}}, {_AT_ONCE}}}}}\n"
AS_SHIPPED = "  healthcheck: {{command: bash ops/check.sh {root}}}\n"
NO_BUILD = "  build: {{frontend: null, venvs: {{}}}}\n"
FILES = 6000  # of node_modules
FRONTEND = f"python3 make.py {FILES} && sleep 15"  # in place of what npm and a bundler work
BUILD = f"""\
cd /srv/{{root}}/releases/{{sha}}
(cd frontend && {FRONTEND})
mkdir -p infra && cp -r frontend/dist infra/web
"""
PARTS = f"""\
  build:
    venvs: {{{{}}}}
    frontend: {{{{path: frontend, command: {FRONTEND}, output: dist, into: infra/web}}}}
"""
VARIANTS = {  # what people may have set
    "plain": GATE + NO_BUILD,
    "fetched": GATE + NO_BUILD + f"  repo_url: {UPSTREAM}\n",
    "shipped": AS_SHIPPED + NO_BUILD,
    "whole": AS_SHIPPED + PARTS,
}
SWITCH = """\
set -e
cd /srv/{root}
ln -sfn releases/{sha} next
mv -T next current
sudo -n systemctl restart {services}
cd current
for try in $(seq {tries}); do
  if bash ops/check.sh {root}; then exit 0; fi
  sleep {pause}
done
exit 1
"""
RELEASE = """\
set -e
cd /srv/{root}
cat > incoming
test -d repo || git init --quiet --bare repo
git -C repo fetch --quiet {source} main
mkdir -p releases/{sha}
git -C repo archive {sha} | tar -x -C releases/{sha}
"""


class Subject(Protocol):
    """One of the two; ``root`` is where its application lies on the hosts, below /srv."""

    root: str

    def switch(self, names: Sequence[str], sha: str) -> list[str]:
        """The command that goes back to a release which the hosts have."""
        ...

    def deploy(self, names: Sequence[str], sha: str) -> list[str]:
        """The command that brings the newest commit, which the hosts lack."""
        ...


class Ours:
    """The real `fab`, from the start of its process to its end; so many hosts switch at the same time.

    ``variant`` is which settings it has, of `VARIANTS`.
    """

    root = "ours"

    def __init__(self, lab: Lab, parallel: int = 1, variant: str = "plain") -> None:
        self.lab = lab
        self._flags = [f"--parallel={parallel}"] if parallel > 1 else []
        self._flags += ["--json"] if variant == "whole" else []
        settings = (SETTINGS + VARIANTS[variant]).format(root=self.root, services=", ".join(units(self.root)))
        (lab.repository.path / "fabric.yaml").write_text(settings)
        (lab.repository.path / "fabfile.py").write_text(FABFILE)

    def switch(self, names: Sequence[str], sha: str) -> list[str]:
        return self.fab(names, "rollback", f"--release={sha}", *self._flags)

    def deploy(self, names: Sequence[str], sha: str) -> list[str]:
        return self.fab(names, "deploy", f"--sha={sha}", *self._flags)

    def fab(self, names: Sequence[str], *arguments: str) -> list[str]:
        """Any command of it."""
        return [str(FAB), f"--ssh-config={self.lab.ssh_config}", "-H", ",".join(names), *arguments]

    def further(self, count: int) -> list[str]:
        """So many calls of the agent on one open connection."""
        script = str(CHECKOUT / "benchmarks/further.py")
        return [sys.executable, script, self.lab.names[0], str(self.lab.ssh_config), str(count)]


class Script:
    """One `ssh` to each host, side by side, with one script: swap, restart, check.

    ``build`` is what it does in a release's directory before that; ``fetches`` when the host gets the commit itself.
    """

    root = "script"
    build = ""
    fetches = False

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._base: str | None = None  # what the hosts have; its author just knows

    def switch(self, names: Sequence[str], sha: str) -> list[str]:
        return self._on_each(names, "", self._switch(sha))

    def deploy(self, names: Sequence[str], sha: str) -> list[str]:
        history = shlex.join(["git", "bundle", "create", "--quiet", "-", *([f"^{self._base}"] if self._base else [])])
        self._base = sha
        source = UPSTREAM if self.fetches else "../incoming"
        script = (RELEASE + self.build).format(root=self.root, sha=sha, source=source) + self._switch(sha)
        return self._on_each(names, "true | " if self.fetches else f"{history} main | ", script)

    def _switch(self, sha: str) -> str:
        services = " ".join(units(self.root))
        tries = int(TIMEOUT / PAUSE)
        return SWITCH.format(root=self.root, sha=sha, services=services, tries=tries, pause=PAUSE)

    def _on_each(self, names: Sequence[str], before: str, script: str) -> list[str]:
        commands = [before + shlex.join(["ssh", "-F", str(self.lab.ssh_config), name, script]) for name in names]
        if len(commands) == 1:
            return ["bash", "-o", "pipefail", "-c", commands[0]] if before else shlex.split(commands[0])
        waits = "".join(f"{command} & pids+=($!)\n" for command in commands)
        return ["bash", "-o", "pipefail", "-c", f'{waits}for pid in "${{pids[@]}}"; do wait $pid || exit 1; done']


class Fetching:
    """A subject whose commits are where its hosts fetch from, before it is told of them."""

    def __init__(self, lab: Lab, subject: Subject) -> None:
        self.lab = lab
        self.subject = subject
        self.root = subject.root

    def switch(self, names: Sequence[str], sha: str) -> list[str]:
        return self.subject.switch(names, sha)

    def deploy(self, names: Sequence[str], sha: str) -> list[str]:
        self.lab.publish()
        return self.subject.deploy(names, sha)


def environ(directory: Path) -> dict[str, str]:
    """What the control node's commands find: this checkout, and a registry and a git configuration of their own."""
    return {
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONDONTWRITEBYTECODE": "",
        "DEPLOY_REGISTRY_URL": f"sqlite:///{directory}/registry.db",
        "XDG_STATE_HOME": str(directory / "state"),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
