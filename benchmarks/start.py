"""Start-up: `fab --list` beside bare Fabric's, and what commands import."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Spread, in_turn
from benchmarks.node import ControlNode, Cost
from benchmarks.section import Section, table
from benchmarks.subjects import FAB, FABFILE, environ
from tests.support.repository import Repository
from tests.support.sshd import Sshd

REPEATS = 15  # as many as it takes: a run is a fifth of a second
DATABASE = frozenset({"sqlalchemy", "typing_extensions", "greenlet"})  # what a registry in SQLite may need
USES = {"--list": frozenset[str](), "config": frozenset[str](), "registry.list": DATABASE, "deploy": DATABASE}


def section() -> Section:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        node = stack.enter_context(ControlNode(directory, environ(directory), alone=False))
        sshd = stack.enter_context(Sshd(directory / "sshd"))
        ours, empty = _project(directory / "ours", FABFILE), _project(directory / "empty", "")
        node.run([str(FAB), "--list"], ours)  # leaves its bytecode
        taken = in_turn((ours, empty), REPEATS, lambda place: _list(node, place))
        cpu = {place: Spread.of([cost.cpu for cost in costs]) for place, costs in taken.items()}
        wall = {place: Spread.of([cost.seconds for cost in costs]) for place, costs in taken.items()}
        memory = {place: max(cost.memory for cost in costs) for place, costs in taken.items()}
        bare = _imported(node, ["--list"], empty)
        beyond = {name: _imported(node, _arguments(name, sshd), ours) - bare for name in USES}
    rows = [
        [name, wall[place], cpu[place], f"{memory[place]:.0f}"]
        for name, place in (("oroboros_deploy", ours), ("empty fabfile", empty))
    ]
    packages = [
        [f"`{name}`", ", ".join(sorted(beyond[name])) or "none", ", ".join(sorted(beyond[name] - USES[name])) or "none"]
        for name in USES
    ]
    text = table(["`fab --list`", "wall s", "CPU s", "MB"], rows) + "\n"
    text += table(["command", "third-party packages beyond Fabric's own", "of these unused"], packages)
    values = {
        "start.cpu": cpu[ours].median / cpu[empty].median,
        "start.wall": wall[ours].median / wall[empty].median,
        "start.unused": float(sum(len(beyond[name] - USES[name]) for name in USES)),
    }
    return Section("Start-up", text, values)


def _list(node: ControlNode, place: Path) -> Cost:
    return node.run([str(FAB), "--list"], place, codes=(0, 1))  # 1: an empty fabfile has nothing to list


def _project(path: Path, fabfile: str) -> Path:
    repository = Repository(path)
    (path / "fabfile.py").write_text(fabfile)
    settings = {
        "root": f"{path.parent}/srv",
        "build": "{frontend: null, venvs: {}}",
        "healthcheck": "{command: 'true'}",
    }
    (path / "fabric.yaml").write_text("deploy:\n" + "".join(f"  {key}: {value}\n" for key, value in settings.items()))
    repository.commit()
    return path


def _arguments(name: str, sshd: Sshd) -> list[str]:
    login = [f"--ssh-config={sshd.config_path}", "-H", sshd.alias]
    return [*login, "deploy", "--sha=HEAD", "--skip-restart"] if name == "deploy" else [name]


def _imported(node: ControlNode, arguments: list[str], place: Path) -> set[str]:
    """The third-party packages that a command imports; our own is not among them."""
    node.run([sys.executable, "-X", "importtime", str(FAB), *arguments], place, codes=(0, 1))
    found = re.findall(r"^import time:[^|]*\|[^|]*\|\s+([\w.]+)$", node.said.read_text(), re.MULTILINE)
    packages = {name.partition(".")[0] for name in found}
    return {name for name in packages - sys.stdlib_module_names - {"oroboros_deploy", "fabfile"} if name[0] != "_"}
