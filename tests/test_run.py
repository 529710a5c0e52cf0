"""The script that runs the tests, with a Python that only notes what it is asked to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.watching import eventually

pytestmark = pytest.mark.slow
RUN = Path(__file__).with_name("run.sh")
PYTHON = """#!/bin/sh
# Its own version is a file beside it, and the environments that it makes have programs that fail when told so.
here={here}
note() {{ echo "$@" >>"$here/notes"; }}
case "$*" in
    *version_info*)
        exec {python} -c "import sys; sys.version_info = ($(cat $here/version),); exec(sys.argv.pop(1))" "$2"
        ;;
    *"import ensurepip"*) exec test ! -e "$here/no-venv" ;;
    -c*) exec {python} "$@" ;;
    "-m venv "*)
        note "venv $(basename "$3")"
        mkdir -p "$3/bin"
        for name in python ruff mypy; do
            printf '#!/bin/sh\\n. %s/tool\\n' "$here" >"$3/bin/$name"
            chmod +x "$3/bin/$name"
        done
        ;;
esac
"""
TOOL = """
here={here}
name=$(basename "$(dirname "$(dirname "$0")")") said="$(basename "$0") $*"
echo "$name $said" >>"$here/notes"
[ ! -e "$here/slow" ] || sleep 0.5
case "$name $said" in
    *"$(cat "$here/hangs" 2>/dev/null || echo nothing) "*) touch "$here/hanging"; exec sleep 60 ;;
    *"$(cat "$here/deaf" 2>/dev/null || echo nothing) "*)
        trap '' INT
        echo "$name/test_deaf.py::test_deaf" >"$(echo "$said" | sed 's/.*--running-note=\\([^ ]*\\).*/\\1/')"
        exec sleep 60
        ;;
esac
while read -r part; do
    case "$name $said" in *"$part"*) exit 1 ;; esac
done <"$here/fails"
exit 0
"""


class Checkout:
    """A directory with the script and what it reads, and a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "tests").mkdir()
        (directory / "tests/run.sh").write_text(RUN.read_text())
        (directory / "tests/oldest.txt").touch()
        (directory / "setup.cfg").write_text("python_requires = >=3.11\n")
        (directory / "pyproject.toml").touch()
        (directory / "oroboros_deploy").mkdir()
        (directory / "oroboros_deploy/version.py").touch()
        self.tell("version", "3, 11, 2")
        self.tell("fails", "")
        self.tell("notes", "")
        self.tell("tool", TOOL.format(here=directory))
        self.tell("python", PYTHON.format(here=directory, python=sys.executable))
        (directory / "python").chmod(0o755)
        self.environ = {
            "PATH": f"{directory}/none:{os.environ['PATH']}",
            "PYTHON": str(directory / "python"),
            "XDG_CACHE_HOME": str(directory / "cache"),
        }
        (directory / "none").mkdir()  # no system package is installed by a test
        (directory / "none/id").write_text("#!/bin/sh\necho 1000\n")
        (directory / "none/id").chmod(0o755)

    def tell(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = ["sh", "tests/run.sh", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.directory, env=self.environ, text=True, **pipes)

    def run(self, *arguments: str) -> tuple[int | None, str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, err or out

    def environments(self) -> Path:
        [directory] = (self.directory / "cache/oroboros_deploy/test").iterdir()
        return directory

    def notes(self) -> list[str]:
        """What was asked for since the last look."""
        notes = (self.directory / "notes").read_text().splitlines()
        self.tell("notes", "")
        return notes


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def made(notes: list[str]) -> list[str]:
    return [note for note in notes if note.startswith("venv")]


def test_environments_are_made_once(checkout: Checkout) -> None:
    """And again when a file changes that says what is in them, or when one was made by half."""
    assert (checkout.run()[0], made(checkout.notes())) == (0, ["venv newest", "venv oldest"])
    assert (checkout.run()[0], made(checkout.notes())) == (0, [])
    checkout.tell("setup.cfg", "python_requires = >=3.11\n# more\n")
    checkout.tell("fails", "newest python -m pip\n")
    assert (checkout.run()[0], made(checkout.notes())) == (2, ["venv newest", "venv oldest"])
    checkout.tell("fails", "")
    assert (checkout.run()[0], made(checkout.notes())) == (0, ["venv newest"])
    checkout.tell("oroboros_deploy/version.py", '__version__ = "9"')  # an environment has it in its metadata
    assert (checkout.run()[0], made(checkout.notes())) == (0, ["venv newest", "venv oldest"])


def test_all_stages_run(checkout: Checkout) -> None:
    """What failed first is a failure in the end, and the last stage says so above its own closing line."""
    checkout.tell("fails", "newest mypy\noldest python -m pytest\n")
    assert checkout.run()[0] == 1
    tests = [note for note in checkout.notes() if "pytest" in note]
    assert [note.split()[0] for note in tests] == ["oldest", "newest"]
    assert "--failed-before=types, tests on the oldest dependencies" in tests[1]


def test_what_the_stages_of_tests_are_told(checkout: Checkout) -> None:
    """The ten slowest are printed, and the flaky of both stages stand in one file, which is gone after the run."""
    assert checkout.run()[0] == 0
    told = [note.split() for note in checkout.notes() if "pytest" in note]
    assert ["--durations=10" in each for each in told] == [True, True]
    [note] = {word.partition("=")[2] for each in told for word in each if word.startswith("--flaky-note=")}
    assert (Path(note).parent, Path(note).exists()) == (checkout.environments(), False)


@pytest.mark.parametrize(
    ("fails", "code"), [("newest python -m pytest", 1), ("oldest python -m pip", 1), ("newest ruff format", 1)]
)
def test_any_failure_is_one(checkout: Checkout, fails: str, code: int) -> None:
    """So is an environment of the oldest dependencies that cannot be made; the newest are tested all the same."""
    checkout.tell("fails", f"{fails}\n")
    assert checkout.run()[0] == code
    assert [note for note in checkout.notes() if note.startswith("newest python -m pytest")]


def test_the_quick_tests(checkout: Checkout) -> None:
    """They take the newest dependencies alone, and leave out what takes long."""
    assert checkout.run("quick")[0] == 0
    notes = checkout.notes()
    [told] = [note for note in notes if "pytest" in note]
    assert (made(notes), told.partition(" -m not ")[2]) == (
        ["venv newest"],
        "host and not browser and not slow and not postgres",
    )


def test_some_tests_alone(checkout: Checkout) -> None:
    """A path, with options of pytest's, is given to it as it is, with the newest dependencies."""
    assert checkout.run("tests/test_source.py", "-k", "clone or fetch")[0] == 0
    assert checkout.notes()[-1] == "newest python -m pytest tests/test_source.py -k clone or fetch"
    assert checkout.run("tests/test_source.py")[0] == 0
    assert checkout.notes() == ["newest python -m pytest tests/test_source.py"]


def test_two_at_once(checkout: Checkout) -> None:
    """The second waits until the first has made the environments, and makes none."""
    checkout.tell("slow", "")
    both = [checkout.start() for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert made(checkout.notes()) == ["venv newest", "venv oldest"]


def test_environments_of_checkouts_that_are_gone(checkout: Checkout) -> None:
    """Nobody keeps hundreds of megabytes of a directory that he removed."""
    assert checkout.run("quick")[0] == 0
    (first,) = (checkout.directory / "cache/oroboros_deploy/test").iterdir()
    (first / "checkout").write_text(str(checkout.directory / "gone"))
    first.rename(first.with_name("other"))
    assert checkout.run("quick")[0] == 0
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_what_takes_too_long_is_cut(checkout: Checkout) -> None:
    """A stage that hangs is ended when the time of all is over; that is a failure, and the others still have a try."""
    checkout.tell("hangs", "mypy")
    checkout.environ["MINUTES"] = "0"
    with checkout.start() as process:
        said = process.communicate(timeout=60)[0]
    assert (process.returncode, "cut after 1 s" in said) == (1, True), said
    assert len([note for note in checkout.notes() if "pytest" in note]) == 2


def test_tests_that_hang_are_named(checkout: Checkout) -> None:
    """Workers that are deaf to the end of their time are killed; the tests that they ran are named after that."""
    script = checkout.directory / "tests/run.sh"
    text = script.read_text().replace("--kill-after 60 ", "--kill-after 1 ")
    script.write_text(text.replace("left : 1))", "left : 10))"))  # until then a stage has become deaf
    checkout.tell("deaf", "newest python -m pytest")
    checkout.environ["MINUTES"] = "0"
    with checkout.start() as process:
        said = process.communicate(timeout=60)[0]
    assert (process.returncode, said.splitlines()[-1]) == (1, "killed in newest/test_deaf.py::test_deaf"), said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_interrupted_ends(checkout: Checkout, number: signal.Signals) -> None:
    """With what runs at that moment, and without the stages after it."""
    checkout.tell("hangs", "ruff check")
    with checkout.start("quick") as process:
        assert eventually((checkout.directory / "hanging").exists)
        process.send_signal(number)
        process.communicate(timeout=120)  # what is deaf to it is killed after a minute
    assert (process.returncode, checkout.notes()[-1]) == (130, "newest ruff check .")


def test_without_home(checkout: Checkout) -> None:
    """The user's own directory is found without it."""
    del checkout.environ["XDG_CACHE_HOME"]
    checkout.environ["HOME"] = str(checkout.directory / "home")
    assert checkout.run("tests")[0] == 0
    checkout.environ["XDG_CACHE_HOME"] = str(checkout.directory / "cache")
    del checkout.environ["HOME"]
    assert checkout.run("tests")[0] == 0


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("version", "3, 10, 4", "is Python 3.10.4, and 3.11 or later is needed: PYTHON=/path/to/python"),
        ("no-venv", "", "cannot make virtual environments: apt-get install python3-venv"),
    ],
)
def test_what_is_missing_is_named_first(checkout: Checkout, name: str, text: str, said: str) -> None:
    """In one line, before anything is made."""
    checkout.tell(name, text)
    code, words = checkout.run("quick")
    assert (code, said in words, words.count("\n"), checkout.notes()) == (2, True, 1, []), words


def test_a_python_that_is_not_there(checkout: Checkout) -> None:
    """It is named too."""
    checkout.environ["PYTHON"] = "python9"
    code, words = checkout.run("quick")
    assert (code, "there is no Python that runs as python9: apt-get install python3" in words) == (2, True), words
