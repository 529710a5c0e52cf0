"""A build step that prints 200 MB: what it costs the control node, and whether the host's log has it byte for byte."""

from __future__ import annotations

import hashlib
import subprocess
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Spread, in_turn
from benchmarks.node import ControlNode, Cost
from benchmarks.section import Section, table
from benchmarks.subjects import FAB, FABFILE, environ
from oroboros_deploy.host.building.bench import LOG
from tests.support.repository import Repository
from tests.support.sshd import Sshd

# Lines of a usual length, all different; and bytes that are no text.
NOISE = (
    r'printf "\377\000\303"; seq --format="%012.0f compiling one of many modules, in some detail" 5000000'
    " | head --bytes={size}"
)
SOME, MUCH = NOISE.format(size=20_000_000 - 3), NOISE.format(size=200_000_000 - 3)
QUIET = "echo compiled"
SETTINGS = """\
deploy:
  root: {root}
  healthcheck: {{command: 'true'}}
  build: {{frontend: null, venvs: {{}}, steps: [{{name: noise, command: '{command}'}}]}}
"""


class Project:
    """Deploys with one noisy step over a plain sshd, without services."""

    def __init__(self, directory: Path, node: ControlNode, sshd: Sshd) -> None:
        self.root = directory / "srv"
        self.node = node
        self.sshd = sshd
        self.repository = Repository(directory / "source")
        (self.repository.path / "fabfile.py").write_text(FABFILE)
        self.wrong = 0

    def deploy(self, command: str, *flags: str) -> Cost:
        """A new commit, deployed; a log that is not what the command prints is counted."""
        settings = SETTINGS.format(root=self.root, command=command)
        (self.repository.path / "fabric.yaml").write_text(settings)
        sha = self.repository.commit()
        login = [f"--ssh-config={self.sshd.config_path}", "-H", self.sshd.alias]
        arguments = ["deploy", f"--sha={sha}", "--skip-restart", *flags]
        cost = self.node.run([str(FAB), *login, *arguments], self.repository.path)
        log = max(self.root.glob(".deploy/attempts/*/noise.log"), key=lambda path: path.stat().st_mtime)
        self.wrong += _digest(log) != PRINTED[command]
        log.unlink()
        return cost


def section(repeats: int) -> Section:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        node = stack.enter_context(ControlNode(directory, environ(directory), alone=False))
        project = Project(directory, node, stack.enter_context(Sshd(directory / "sshd")))
        project.deploy(QUIET)  # takes the agent there
        kinds = {"a line": (QUIET,), "20 MB": (SOME,), "200 MB": (MUCH,), "20 MB, `--verbose`": (SOME, "--verbose")}
        taken = in_turn(list(kinds), repeats, lambda kind: project.deploy(*kinds[kind]))
    cpu = {kind: Spread.of([cost.cpu for cost in costs]) for kind, costs in taken.items()}
    wall = {kind: Spread.of([cost.seconds for cost in costs]) for kind, costs in taken.items()}
    memory = {kind: Spread.of([cost.memory for cost in costs]) for kind, costs in taken.items()}
    text = table(
        ["the step prints", "CPU s", "wall s", "MB"], [[kind, cpu[kind], wall[kind], memory[kind]] for kind in kinds]
    )
    values = {
        "output.cpu": cpu["200 MB"].median,
        "output.memory": memory["200 MB"].median - memory["20 MB"].median,
        "output.wrong": float(project.wrong),
    }
    return Section("Output", text, values)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _printed(command: str) -> str:
    """What a log has of it: all, up to the limit of a part's log."""
    printed = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE).stdout
    return hashlib.sha256(printed[:LOG]).hexdigest()


PRINTED = {command: _printed(command) for command in (QUIET, SOME, MUCH)}
