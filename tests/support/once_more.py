"""A pytest plugin: what failed is run once more, each test alone and after all others; when it passes it is flaky.

    python -m pytest -p tests.support.once_more

A flaky test is listed with what it said, and is no failure of the run; more than three are, all stages of the run
together.  tests/flaky.txt keeps those that are known.  It also says which tests were running when the run was stopped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

KNOWN = Path("tests/flaky.txt")
MOST_FLAKY = 3
MOST_FAILED = 10  # more are no accident, and are not run again
SECONDS = 900


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("once more")
    group.addoption("--running-note", type=Path, help="keep the names of the tests that are running in this file")
    group.addoption("--failed-before", default="", help="what to say about stages before this one")
    group.addoption("--flaky-note", type=Path, help="a file with the flaky tests of all stages of one run")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(OnceMore(config))


class OnceMore:
    """What happens in the process that hears of every test, not in the workers of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._note: Path | None = config.getoption("running_note")
        self._running: list[str] = []
        self._failed: dict[str, None] = {}
        self._flaky: list[pytest.TestReport] = []
        self._flaky_note: Path | None = config.getoption("flaky_note")
        self._flaky_before = _names_in(self._flaky_note)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running.append(nodeid)
        self._write_note()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.remove(nodeid)
        self._write_note()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed[report.nodeid] = None

    @pytest.hookimpl(trylast=True)  # pytest-xdist has stopped its workers by then
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus != pytest.ExitCode.TESTS_FAILED or len(self._failed) > MOST_FAILED:
            return
        flaky = {name for name in self._failed if _passes(name, self._config.rootpath)}
        self._flaky = _set_aside(self._config, flaky)
        if self._flaky_note:
            self._flaky_note.write_text("".join(f"{name}\n" for name in sorted(self._flaky_before | flaky)))
        if flaky == set(self._failed) and len(self._flaky_before | flaky) <= MOST_FLAKY:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Printed just before pytest's own closing line."""
        say = terminalreporter.write_line
        for name in self._running:
            say(f"stopped in {name}")
        for report in self._flaky:
            terminalreporter.write_sep("_", f"flaky: {report.nodeid}")
            say(report.longreprtext)
        for name in dict.fromkeys(report.nodeid for report in self._flaky):
            say(f"flaky: {name} ({_known(self._config.rootpath / KNOWN).get(name, f'not in {KNOWN} yet')})")
        if self._flaky_before:
            say(f"flaky before: {', '.join(sorted(self._flaky_before))}")
        if len(self._flaky_before | {report.nodeid for report in self._flaky}) > MOST_FLAKY:
            say(f"more than {MOST_FLAKY} are flaky: that is a failure")
        if before := self._config.getoption("failed_before"):
            say(f"failed before: {before}")

    def _write_note(self) -> None:
        """In one step: a run that is killed at that moment has the note from before."""
        if self._note:
            new = self._note.with_name(f"{self._note.name}.new")
            new.write_text("".join(f"{name}\n" for name in self._running))
            new.replace(self._note)


def _names_in(note: Path | None) -> set[str]:
    return set(note.read_text().splitlines()) if note and note.exists() else set()


def _passes(name: str, root: Path) -> bool:
    """Whether a test passes in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", name]
    try:
        return not subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        return False


def _set_aside(config: pytest.Config, flaky: Iterable[str]) -> list[pytest.TestReport]:
    """Take these tests from pytest's lists of failures and errors into one of their own, which it counts too."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    assert terminal is not None
    found: list[pytest.TestReport] = []
    for kind in ("failed", "error"):
        reports = terminal.stats.pop(kind, [])
        found += [report for report in reports if report.nodeid in flaky]
        if rest := [report for report in reports if report.nodeid not in flaky]:
            terminal.stats[kind] = rest
    if found:
        terminal.stats["flaky"] = found
    return found


def _known(path: Path) -> dict[str, str]:
    """Lines of `NAME | DATE | CAUSE`."""
    text = path.read_text() if path.exists() else ""
    lines = [line.split(" | ") for line in text.splitlines() if line.count(" | ") == 2]
    return {name: f"known since {date}: {cause}" for name, date, cause in lines}
