"""The README says what the code does: every task, flag, setting and exit code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.config import SETTINGS
from oroboros_deploy.errors import ExitCode
from oroboros_deploy.tasks import ns

README = (Path(__file__).parent.parent / "README.md").read_text()
ARGUMENTS = {name: ns[name].get_arguments() for name in ns.task_names}  # once: Invoke forgets the help it gave
DEFAULTS = {  # settings whose default is told in words
    "repo_url": "none",
    "registry_url": "SQLite in your state directory",
    "services": "the seven of the example",
    "build.venvs": "`backend: [backend]`, `worker: [worker]`",
    "build.steps": "none",
    "build.inputs": "none",
    "no_cache": "off",
    "migrate": "none",
    "skip_restart": "off",
    "skip_healthcheck": "off",
}


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    lines = README.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_tasks() -> None:
    """The table of tasks names exactly the tasks there are."""
    assert {words(row[0])[0] for row in table("task")} == set(ns.task_names)


def test_flags() -> None:
    """The table of flags names exactly the flags of each task."""
    told = {(task.strip(), flag) for row in table("flag") for flag in words(row[0]) for task in row[1].split(",")}
    found = {(name, f"--{flag}") for name in ns.task_names for flag in _flags(name)}
    assert told == found


def test_every_flag_has_help() -> None:
    """No flag of any task is without a line of help."""
    for name in ns.task_names:
        assert [argument.name for argument in ARGUMENTS[name] if not argument.help] == []
        assert ns[name].__doc__, name


def test_settings() -> None:
    """The table of settings tells every setting, its default and its variable."""
    told = {words(row[0])[0]: (_default(row[1]), (words(row[2]) or [None])[0]) for row in table("setting")}
    assert told == {setting.name: (_shown(setting), setting.variable) for setting in SETTINGS}


def test_exit_codes() -> None:
    """The table of exit codes is the code's."""
    assert [int(row[0]) for row in table("code")] == sorted(int(code) for code in ExitCode)


@pytest.mark.parametrize("command", ["sh examples/demo.sh", "sh tests/run.sh"])
def test_commands_are_lines_of_their_own(command: str) -> None:
    """The two commands can be pasted: each is one line in a block of its own, and names a file that is there."""
    assert f"```sh\n{command}\n```" in README
    assert (Path(__file__).parent.parent / command.split()[1]).is_file()


def test_links() -> None:
    """Every file the README links to is there."""
    root = Path(__file__).parent.parent
    assert all((root / link).exists() for link in re.findall(r"\]\(([\w./-]+)\)", README))


def _flags(task: str) -> list[str]:
    return [argument.name.replace("_", "-") for argument in ARGUMENTS[task]]


def _default(cell: str) -> str:
    return cell.replace("`", "") if cell.startswith("`") and cell.count("`") == 2 else cell


def _shown(setting: Any) -> str:
    return DEFAULTS.get(setting.name) or str(setting.default)
