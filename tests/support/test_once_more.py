"""What is run once more and what comes of it: on a directory of small tests, with and without workers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.support.once_more import KNOWN, MOST_FLAKY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FAILS = "def test_fails():\n    assert 1 == 2\n"
FLAKY = (
    "def test_flaky{0}():\n    seen = {1!r}\n    open(seen, 'a').write('x')\n    assert len(open(seen).read()) == 2\n"
)
SETUP = "import pytest\n@pytest.fixture\ndef broken():\n    1 / 0\ndef test_setup(broken):\n    pass\n"
HANGS = """
import os, signal, time
def test_hangs():
    while "test_hangs" not in open({!r}).read():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
"""
KILLED = """
import os, signal, time
def test_hangs():
    while "test_hangs" not in open({!r}).read():
        time.sleep(0.01)
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)
"""
KNOWN_ONES = (ROOT / KNOWN).read_text()
LINE = "tests/support/test_once_more.py::test_flaky_ones | 2026-01-01 | a race"


def command(*arguments: str) -> list[str]:
    plugins = ("-p", "xdist", "-p", "tests.support.once_more", "-p", "no:cacheprovider")
    return [sys.executable, "-m", "pytest", *plugins, *arguments]


def run(directory: Path, *arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "test_passes.py").write_text("def test_passes():\n    pass\n")
    for name, text in files.items():
        (directory / f"test_{name}.py").write_text(text)
    own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_DEBUG_TEMPROOT": str(directory)}
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", **own}
    return subprocess.run(command(*arguments), cwd=directory, env=environ, capture_output=True, text=True, timeout=120)


def flaky(directory: Path, number: int = 0) -> str:
    return FLAKY.format(number, str(directory / f"seen{number}"))


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_test_that_passes_the_second_time_is_flaky(tmp_path: Path, workers: str) -> None:
    """It is named in the closing lines with what it said, and the run is green."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/flaky.txt").write_text("test_other.py::test_other | 2026-01-01 | a race\n")
    ran = run(tmp_path, workers, flaky=flaky(tmp_path))
    lines = ran.stdout.splitlines()
    assert (ran.returncode, "1 passed, 1 flaky" in lines[-1]) == (0, True), ran.stdout
    assert "flaky: test_flaky.py::test_flaky0 (not in tests/flaky.txt yet)" in lines
    assert "AssertionError" in ran.stdout


def test_a_known_one_is_named_with_its_cause(tmp_path: Path) -> None:
    """Date and cause are those of tests/flaky.txt."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/flaky.txt").write_text("test_flaky.py::test_flaky0 | 2026-01-01 | a race\n")
    ran = run(tmp_path, flaky=flaky(tmp_path))
    assert "flaky: test_flaky.py::test_flaky0 (known since 2026-01-01: a race)" in ran.stdout.splitlines()


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_test_that_fails_twice_is_a_failure(tmp_path: Path, workers: str) -> None:
    """Neither another test that is flaky nor an error in a fixture changes that."""
    ran = run(tmp_path, workers, fails=FAILS, setup=SETUP, flaky=flaky(tmp_path))
    last = ran.stdout.splitlines()[-1]
    assert ran.returncode == 1, ran.stdout
    assert all(part in last for part in ("1 failed", "1 passed", "1 error", "1 flaky")), last


def test_many_flaky_tests_are_a_failure(tmp_path: Path) -> None:
    """A few are accidents; more are a suite that nobody can believe."""
    number = MOST_FLAKY + 1
    ran = run(tmp_path, flaky="".join(flaky(tmp_path, each) for each in range(number)))
    last = ran.stdout.splitlines()[-1]
    assert (ran.returncode, f"{number} flaky" in last, "failed" in last) == (1, True, False), ran.stdout
    assert f"more than {MOST_FLAKY} are flaky: that is a failure" in ran.stdout


def test_flaky_tests_of_all_stages_are_counted_together(tmp_path: Path) -> None:
    """The limit is the whole run's; a test that is flaky in two stages is one; the last stage names those before it."""
    note = tmp_path / "flaky"
    note.write_text("".join(f"tests/test_a.py::test_{number}\n" for number in range(MOST_FLAKY - 1)))
    named = note.read_text().splitlines()
    for _ in range(2):
        for seen in tmp_path.glob("seen*"):
            seen.unlink()
        ran = run(tmp_path, "--flaky-note", "flaky", flaky=flaky(tmp_path))
        assert (ran.returncode, f"flaky before: {', '.join(named)}" in ran.stdout) == (0, True), ran.stdout
        named = sorted({*named, "test_flaky.py::test_flaky0"})
        assert note.read_text().splitlines() == named
    ran = run(tmp_path, "--flaky-note", "flaky", flaky=flaky(tmp_path, 1))
    assert (ran.returncode, f"more than {MOST_FLAKY} are flaky: that is a failure" in ran.stdout) == (1, True)


def test_a_run_that_is_stopped_names_its_tests(tmp_path: Path) -> None:
    """As when it takes longer than it may; the note in a file is there for a run that is killed.

    Without workers: when it is interrupted pytest-xdist may wait for ever, and is killed by tests/run.sh.
    """
    hangs = HANGS.format(str(tmp_path / "running"))
    ran = run(tmp_path, "-n0", "--running-note", "running", hangs=hangs)
    assert ran.returncode == 2, ran.stdout
    assert "stopped in test_hangs.py::test_hangs" in ran.stdout.splitlines(), ran.stdout
    assert (tmp_path / "running").read_text() == "test_hangs.py::test_hangs\n"


def test_a_run_that_is_killed_has_noted_its_tests(tmp_path: Path) -> None:
    """With workers, as all of CI: the note names what they ran, after a signal that leaves no time to say so."""
    (tmp_path / "running").touch()  # a worker hears of its test before the note is written
    ran = run(tmp_path, "-n2", "--running-note", "running", hangs=KILLED.format(str(tmp_path / "running")))
    assert (ran.returncode, "stopped in" in ran.stdout) == (-signal.SIGKILL, False), ran.stdout
    assert "test_hangs.py::test_hangs" in (tmp_path / "running").read_text().splitlines()


def test_stages_that_failed_before_are_named(tmp_path: Path) -> None:
    """The closing line is of one stage: the line above it names the others that failed."""
    ran = run(tmp_path, "--failed-before", "style, types")
    assert ran.stdout.splitlines()[-2:-1] == ["failed before: style, types"]


def wrong(text: str) -> list[str]:
    """What is not as tests/flaky.txt has to be: a few lines of `NAME | DATE | CAUSE`, of tests that exist."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [*lines[MOST_FLAKY:], *(line for line in lines[:MOST_FLAKY] if not is_right(line))]


def is_right(line: str) -> bool:
    name, when, cause = (*line.split(" | "), "", "")[:3]
    path, _, function = name.partition("::")
    try:
        date.fromisoformat(when)
        tests = (ROOT / path).read_text()
    except (ValueError, OSError):
        return False
    defined = re.search(rf"^def {re.escape(function.partition('[')[0])}\(", tests, re.MULTILINE)
    return bool(defined and cause.strip() and line.count(" | ") == 2)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (KNOWN_ONES, []),
        (f"# what is known\n{LINE}\n", []),
        (f"{LINE}\n" * (MOST_FLAKY + 1), [LINE]),
        ("\n", [""]),
        *((line, [line]) for line in (LINE.replace("_ones", "_twos"), LINE.replace("2026-", ""), LINE[:-8])),
    ],
)
def test_flaky_ones(text: str, lines: list[str]) -> None:
    """tests/flaky.txt has at most three, each with its date and its cause, and each is still there."""
    assert wrong(text) == lines
