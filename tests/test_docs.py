"""The documents say what the code does: every task, flag, setting and exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.vendor import yaml

from docs import generate
from oroboros_deploy.config import SETTINGS, Config
from oroboros_deploy.errors import ExitCode
from oroboros_deploy.tasks import ns

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
# A command at the beginning of a line of a block, or between backquotes; its end is a word of the shell or two spaces.
_COMMAND = re.compile(r"(?:^ *(?:\$ )?|`)((?:fab|oroboros)(?: [^\s`'\"|&;>)#]+)+)", re.M)
_FABS = {"--list", "--help", "--version", "--collection", "--search-root", "--config", "--ssh-config", "--identity"}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("examples/*/README.md")])


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    lines = (DOCS / page).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("page", generate.PAGES, ids=lambda page: page.name)
def test_generated_tables_are_what_the_code_declares(page: Path) -> None:
    """`python docs/generate.py` would change nothing."""
    assert page.read_text() == generate.rendered(page.read_text())


def test_tasks() -> None:
    """The table of tasks names exactly the tasks there are."""
    assert {words(row[0])[0] for row in table("tasks.md", "task")} == set(ns.task_names)


def test_flags() -> None:
    """The section of each task names exactly its flags."""
    sections = (DOCS / "tasks.md").read_text().split("\n## ")[1:]
    told = {(text.splitlines()[0], flag) for text in sections for flag in re.findall(r"^\| `(--[\w-]+)", text, re.M)}
    found = {(name, f"--{flag}") for name in ns.task_names for flag in _flags(name)}
    assert told == found


def test_every_flag_has_help() -> None:
    """No flag of any task is without a line of help."""
    for name, (text, arguments) in generate.TASKS.items():
        assert [argument.name for argument in arguments if not argument.help] == []
        assert text, name


def test_settings() -> None:
    """The table of settings tells every setting, its variable and its help."""
    told = [(words(row[0])[0], (words(row[2]) or [None])[0], row[3]) for row in table("settings.md", "setting")]
    assert told == [(setting.name, setting.variable, setting.help) for setting in SETTINGS]


def test_exit_codes() -> None:
    """The table of exit codes is the code's, and each has a meaning."""
    assert [int(row[0]) for row in table("exit-codes.md", "code")] == sorted(int(code) for code in ExitCode)
    assert set(generate.MEANINGS) == set(ExitCode)


def test_each_exit_code_has_its_steps() -> None:
    """docs/trouble.md says of every exit code but 0 what to type."""
    headings = re.findall(r"^## (\d+): ", (DOCS / "trouble.md").read_text(), re.M)
    assert sorted(map(int, headings)) == sorted(int(code) for code in ExitCode if code)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_can_be_typed(document: Path) -> None:
    """Every command of ours that a document shows names a task that there is, with flags of that task."""
    for command in _COMMAND.findall(document.read_text()):
        words = re.sub(r" -H *\S+| --help [A-Z]+| -- .*| …", "", command).split()[1:]
        task = next((word for word in words if not word.startswith("-")), None)
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert task is None or task in ns.task_names, command
        assert set(flags) <= _FABS | ({f"--{flag}" for flag in _flags(task)} if task else set()), command


@pytest.mark.parametrize("command", ["sh examples/demo.sh", "sh tests/run.sh"])
def test_commands_are_lines_of_their_own(command: str) -> None:
    """The two commands can be pasted: each is one line in a block of its own, and names a file that is there."""
    assert f"```sh\n{command}\n```" in README
    assert (ROOT / command.split()[1]).is_file()


def test_the_front_door_is_short() -> None:
    """The README says first what this is, and is read in one go."""
    lines = README.splitlines()
    assert lines[2].startswith("oroboros_deploy deploys a git commit")
    assert len(lines) <= 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links(document: Path) -> None:
    """Every file and section that a document links to is there."""
    for link, anchor in re.findall(r"\]\(([\w./-]*)(#[\w-]+)?\)", document.read_text()):
        target = document.parent / link if link else document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), anchor


def test_the_places_of_something_new() -> None:
    """Each file that CONTRIBUTING.md names for a new call, step or phase is there, and has the names beside it."""
    told = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a call, a step or a phase")[2].partition("\n## ")[0]
    items = [found for item in told.split("\n- ")[1:] if (found := re.findall(r"`([\w/.]+)`", item))]
    for item in items:
        texts = [_place(name).read_text() for name in item if re.search(r"\.(py|html|css|md)$", name)]
        names = [name for name in item if re.fullmatch(r"\w+", name)]
        lacking = [name for name in names if not any(re.search(rf"\b{name}\b", text) for text in texts)]
        assert lacking == [], item
    assert len(items) > 20


def _place(name: str) -> Path:
    """A file as a list of places names it: below the package, or from the root."""
    inner = ROOT / "oroboros_deploy" / name
    return inner if inner.exists() else ROOT / name


def test_the_index_names_every_page() -> None:
    """No page of docs/ is missing from docs/README.md."""
    index = (DOCS / "README.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index] == ["README.md"]


def test_every_fabric_yaml_is_accepted() -> None:
    """Whatever a document shows as a fabric.yaml can be used as it stands."""
    shown = [text for document in DOCUMENTS for text in _fabric_yamls(document)]
    assert len(shown) >= 7
    for text in shown:
        assert Config.from_mapping(yaml.safe_load(text)["deploy"]).provenance["services"]


def _fabric_yamls(document: Path) -> Iterator[str]:
    return (text for text in re.findall(r"```yaml\n(.*?)```", document.read_text(), re.S) if "deploy:" in text)


def _anchors(document: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.M)
    return {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def _flags(task: str) -> list[str]:
    return [argument.name.replace("_", "-") for argument in generate.TASKS[task][1]]
