"""Control nodes that are no Linux: nothing outside of host/ uses what only Linux has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.tasks import ns
from tests.support import not_linux
from tests.support.repository import Repository
from tests.support.sshd import Sshd, requires_sshd

COMMANDS = [
    (["init", "--print"], 0),
    (["-H", "box", "deploy", "--sha={old}"], 0),
    (["-H", "box", "plan", "--sha={new}"], 0),
    (["-H", "box", "deploy", "--plan={plan}"], 0),
    (["-H", "box", "deploy", "--sha={new}", "--json"], 0),
    (["rollback", "--release={old}"], 0),
    (["-H", "box", "rollback", "--release={absent}"], 2),
    (["-H", "box", "env.show"], 0),
    (["-H", "box", "env.diff"], 0),
    (["-H", "box", "env.push"], 0),
    (["-H", "box", "lock", "--reason=tried"], 0),
    (["-H", "box", "deploy", "--sha={new}"], 20),
    (["-H", "box", "unlock"], 0),
    (["-H", "box", "claim"], 0),
    (["-H", "box", "status"], 0),
    (["-H", "box", "doctor"], 0),
    (["-H", "box", "audit", "--verify"], 0),
    (["-H", "box", "run", "grep old file"], 0),
    (["-H", "box", "restart"], 2),  # nothing is restarted here: the application has no services
    (["-H", "box", "logs"], 2),
    (["-H", "box", "pin", "--release={old}"], 0),
    (["-H", "box", "unpin", "--release={old}"], 0),
    (["-H", "box", "registry.reconcile"], 0),
    (["-H", "box", "prune"], 0),
    (["-H", "elsewhere.invalid", "status"], 50),
    (["registry.list"], 0),
    (["registry.get", "--release={old}"], 0),
    (["registry.upsert", "--release={new}", "--status=deploy_failed"], 0),
    (["registry.forget", "--host=box"], 0),
    (["history"], 0),
    (["figures"], 0),
    (["token", "--name=tried"], 0),
    (["config", "--verbose"], 0),
]
ELSEWHERE = {
    "console": "needs a terminal",
    "serve": "serves until Ctrl-C",
    "setup": "changes the machine that it logs in to, which here is the one of the tests",
}


def test_every_command_is_tried_or_has_a_reason() -> None:
    """A new command gets a line in one of the two lists."""
    tried = {word for line, _ in COMMANDS for word in line if word in ns.task_names}
    assert (tried | {*ELSEWHERE}, tried & {*ELSEWHERE}) == ({*ns.task_names}, set())


@requires_sshd
@pytest.mark.slow
def test_a_control_node_that_is_no_linux(tmp_path: Path, repository: Repository) -> None:
    """Every command ends as on Linux, and starts git and ssh alone, where the names and files of Linux are gone."""
    (repository.path / "fabfile.py").write_text("from oroboros_deploy.tasks import ns\n")
    settings = {"root": f"{tmp_path}/srv/app", "services": [], "build": {"frontend": None, "venvs": {}}}
    (repository.path / "fabric.yaml").write_text(
        json.dumps(
            {"deploy": {**settings, "healthcheck": {"command": "true"}, "env": {"values": {"GREETING": "hello"}}}}
        )
    )
    shas = {name: repository.commit(name, file=name) for name in ("old", "new")} | {"absent": "f" * 40}
    started = tmp_path / "started"
    with Sshd(tmp_path / "sshd") as sshd:
        ends = {tuple(line): run(line, shas, repository.path, sshd, started) for line, _ in COMMANDS}
    assert {line: code for line, (code, _) in ends.items()} == {tuple(line): code for line, code in COMMANDS}, ends
    assert {Path(name).name for name in started.read_text().split()} == {"git", "ssh"}


def run(line: list[str], names: dict[str, str], directory: Path, sshd: Sshd, started: Path) -> tuple[int, str]:
    """One command of such a control node: how it ended, and what it said; the plan it made is the next one's."""
    typed = ["-S", sshd.config_path, *(word.format(**names) for word in line)]
    command = [sys.executable, not_linux.__file__, str(started), *typed]
    environment = {**os.environ, "DEPLOY_SKIP_SERVICE_RESTART": "1"}
    done = subprocess.run(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    said = done.stdout + done.stderr
    if made := re.search(r"deploy --plan=(\S+)", said):
        names["plan"] = made[1]
    return done.returncode, said


def test_what_is_taken_away_is_gone() -> None:
    """The names that a Mac lacks are missing in such a process, and files of Linux are not found."""
    look = (
        "import os, socket, sys; from tests.support import not_linux; not_linux.take_away('/dev/null')\n"
        "print(sys.platform, hasattr(socket, 'TCP_USER_TIMEOUT'), hasattr(os, 'sched_getaffinity'))\n"
        "open('/proc/self/stat')"
    )
    done = subprocess.run([sys.executable, "-c", look], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert (done.stdout, "FileNotFoundError" in done.stderr) == ("darwin False False\n", True)
