"""Write the generated tables of the reference pages: what the code declares, as Markdown.

    python docs/generate.py

A page has prose of its own; what lies between ``<!-- NAME -->`` and ``<!-- end -->`` is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple

from invoke.parser import Argument

from oroboros_deploy.config import SETTINGS, Setting
from oroboros_deploy.config.explaining import shown
from oroboros_deploy.errors import ExitCode
from oroboros_deploy.tasks import ns

DOCS = Path(__file__).parent
PAGES = tuple(DOCS / name for name in ("settings.md", "tasks.md", "exit-codes.md"))
TASKS = {name: (cleandoc(ns[name].__doc__), ns[name].get_arguments()) for name in ns.task_names}


class Meaning(NamedTuple):
    """What an exit code says, and what to do then."""

    says: str
    then: str


MEANINGS = {
    ExitCode.LIVE: Meaning("the release is live and passed its gate", "nothing"),
    ExitCode.INVALID: Meaning(
        "a setting, a flag or something on a host is wrong; nothing was changed",
        "correct what the message names; `fab config` shows settings, `fab doctor` what is wrong with a host",
    ),
    ExitCode.RESTORED: Meaning(
        "the release failed; the previous release was restored and serves",
        "read the reason above the last lines, correct the commit, deploy again",
    ),
    ExitCode.NOT_RESTORED: Meaning(
        "a person has to look: the release failed, and the previous one was not restored; services may be down. "
        "After `restart`: the services did not pass their gate; the live release did not change. "
        "After `audit --verify`: somebody edited or cut a journal",
        "read `fab logs` of the host that is named, then go on [step by step](trouble.md)",
    ),
    ExitCode.BUSY: Meaning(
        "the host is not free (another activation, a build or a pruning runs there, or a person holds it by"
        " `fab lock`), or somebody switched it after `fab` had looked; nothing was changed there",
        "read which it is: wait for the activation (`--wait=SECONDS`), end the hold with `fab unlock`, or, when "
        "somebody switched the host, look at `fab status` and type the same command again",
    ),
    ExitCode.BUILD_FAILED: Meaning(
        "the build (or the migration) failed; nothing was switched. After `restart`: it ended before systemd had done "
        "anything; the services run as before",
        "read the last lines of the build, or `.deploy/attempts/<id>/` on the host",
    ),
    ExitCode.UNKNOWN: Meaning(
        "the connection was lost after the switch began; the host goes on, and finishes the attempt by itself. After "
        "`setup`: what was begun goes on",
        "ask the host how the attempt ended: `fab status`. After `setup`: type the same command again",
    ),
    ExitCode.UNREACHABLE: Meaning(
        "the host was not reached, or its key is not trusted; nothing was switched there",
        "type the `ssh` command of the message",
    ),
    ExitCode.REGISTRY: Meaning(
        "the registry did not answer, or its tables are of a newer version: nothing was changed, or the release is "
        "live and its record is kept",
        "repair the database, or upgrade `fab`; the next command writes the record that was kept",
    ),
    ExitCode.INTERRUPTED: Meaning(
        "interrupted before the switch", "type the same command again: it goes on where the interrupted one stopped"
    ),
}


def rendered(page: str) -> str:
    """The page with its generated parts made anew."""
    return re.sub(r"(<!-- (\S+) -->\n).*?(<!-- end -->)", _filled, page, flags=re.DOTALL)


def _filled(found: re.Match[str]) -> str:
    return f"{found[1]}{PARTS[found[2]]()}{found[3]}"


def _settings() -> str:
    rows = [(f"`{each.name}`", _default(each), _code(each.variable), each.help) for each in SETTINGS]
    return _table(("setting", "default", "variable", "meaning"), rows)


def _default(setting: Setting) -> str:
    text = shown(setting.default)
    return text if text in ("none", "off") else _code(text)


def _exit_codes() -> str:
    rows = [(str(int(code)), MEANINGS[code].says, MEANINGS[code].then) for code in sorted(ExitCode)]
    return _table(("code", "meaning", "what to do"), rows)


def _overview() -> str:
    rows = [(f"[`{name}`](#{name.replace('.', '')})", text.splitlines()[0]) for name, (text, _) in TASKS.items()]
    return _table(("task", "what it does"), rows)


def _tasks() -> str:
    return "\n".join(_task(name, text, arguments) for name, (text, arguments) in TASKS.items())


def _task(name: str, text: str, arguments: Sequence[Argument]) -> str:
    rows = [(_flag(each), str(each.help)) for each in arguments]
    return f"## {name}\n\n{text}\n\n{_table(('flag', 'meaning'), rows)}"


def _flag(argument: Argument) -> str:
    name = str(argument.name).replace("_", "-")
    return f"`--{name}=…`" if argument.takes_value else f"`--{name}`"


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


PARTS: dict[str, Callable[[], str]] = {
    "settings": _settings,
    "overview": _overview,
    "tasks": _tasks,
    "exit-codes": _exit_codes,
}


def main() -> None:
    """Write every page."""
    for page in PAGES:
        page.write_text(rendered(page.read_text()))


if __name__ == "__main__":
    main()
