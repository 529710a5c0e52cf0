"""Commands as pages show them: with what the registry knows of the root and the environment that an attempt had."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

Row = Mapping[str, Any]
ROOT = "ROOT"  # what is typed in place of a root that is one of several


class Commands:
    """Called by templates; ``targets`` reads what each application serves, and is asked when a command is shown.

    ``program`` is what people type.

    Whoever deployed may have given the root by a flag or a variable, of which the registry knows the value alone.
    """

    def __init__(self, targets: Callable[[], list[dict[str, Any]]], program: str = "fab") -> None:
        self._targets = targets
        self._program = program

    @cached_property
    def _roots(self) -> dict[str, set[tuple[str, str]]]:
        found: dict[str, set[tuple[str, str]]] = {}
        for each in self._targets():
            if each["root"]:
                found.setdefault(each["host"], set()).add((each["application"], each["root"]))
        return found

    def __call__(self, task: str, about: Row, hosts: Iterable[str], environment: str | None = None) -> str:
        """The command that asks for a task on hosts, for the application and environment of a row.

        An ``environment`` is named in place of its hosts.
        """
        named = list(dict.fromkeys(hosts)) or ["HOST"]
        flags = [f"--environment={about['environment']}"] if about["environment"] and not environment else []
        roots = self._known(named, about["application"])
        roots = [about["root"]] if about.get("root") in roots else roots
        flags += [f"--root={roots[0] if len(roots) == 1 else ROOT}"] if roots else []
        # A name is what somebody wrote to the registry: whoever copies the command runs nothing of it.
        return shlex.join([self._program, "-H", environment or ",".join(named), *task.split(), *flags])

    def several(self, about: Row, hosts: Iterable[str]) -> list[str]:
        """The roots that ``ROOT`` stands for; none where the command has the one there is, or none is known."""
        roots = self._known(hosts, about["application"])
        return roots if len(roots) > 1 and about.get("root") not in roots else []

    def _known(self, hosts: Iterable[str], application: str | None) -> list[str]:
        """The roots that all these hosts may have for an application."""
        each = [self._of(host, application) for host in hosts]
        return sorted(set.intersection(*each)) if each else []

    def _of(self, host: str, application: str | None) -> set[str]:
        known = self._roots.get(host, set())
        return {root for whose, root in known if not application or application == whose}
