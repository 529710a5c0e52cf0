"""Ctrl-C while a command says how it ended, and while Python goes: neither words nor exit code change."""

from __future__ import annotations

import os
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from invoke import Exit

from oroboros_deploy.cli.exit_codes import exit_codes
from oroboros_deploy.cli.interrupts import heard_again, never_lost, unheard
from oroboros_deploy.errors import Busy
from tests.support.fabfiles import NAMESPACE, fab, program

AN_IMPORT_ENDS = "def cb(_):\n    interrupt()\n"
INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"
RETURNS = "program.run(['fab', 'config'], exit=False)"
EXITS = """try:
        program.run(['fab', 'deploy'])
    except SystemExit:
        pass"""


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Finalised:
    """It is interrupted when it goes."""

    def __del__(self) -> None:
        interrupt()


class Imported:
    """The lock of a module, whose going is noticed as importlib does."""


def in_an_import() -> None:
    names: dict[str, Any] = {"interrupt": interrupt}
    exec(compile(AN_IMPORT_ENDS, "<frozen importlib._bootstrap>", "exec"), names)
    lock = Imported()
    noticed = weakref.ref(lock, names["cb"])
    del lock
    assert noticed() is None


@pytest.fixture
def careful() -> Iterator[None]:
    with heard_again():
        never_lost()
        yield


@pytest.mark.parametrize("go", [Finalised, in_an_import])
@pytest.mark.usefixtures("careful")
def test_it_is_not_lost(go: Callable[[], object], capfd: pytest.CaptureFixture[str]) -> None:
    """Where Python would show a traceback and go on, it is heard a moment later, and nothing is shown."""
    with pytest.raises(KeyboardInterrupt):
        go()
        time.sleep(30)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.usefixtures("careful")
def test_it_is_not_put_off_for_good() -> None:
    """What lasts where Python would ignore it is ended after a second: nobody has to kill the command."""

    class Slow:
        def __del__(self) -> None:
            interrupt()
            with pytest.raises(KeyboardInterrupt):
                time.sleep(30)

    begun = time.monotonic()
    Slow()
    assert time.monotonic() - begun < 20


def test_it_is_heard_again() -> None:
    """A task that comes after one of ours is ended by Ctrl-C as ever."""
    with heard_again():
        unheard()
        interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_last_words_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An error that is being told is told to its end, with its own exit code."""

    class Interrupted(Busy):
        def __str__(self) -> str:
            interrupt()
            return "held"

    with pytest.raises(Exit) as ended, exit_codes(as_json=False):
        raise Interrupted("held")
    assert (ended.value.code, capsys.readouterr().err) == (20, "held\n")


@pytest.mark.slow
def test_a_switch_that_was_made_is_told(project: Path) -> None:
    """Ctrl-C once the outcome is known: never "nothing was switched", and the exit code of the attempt."""
    (project / "fabfile.py").write_text(
        NAMESPACE + "import os, signal\nfrom oroboros_deploy import Deployment, HostOutcome, Outcome, State\n"
        "from oroboros_deploy.cli import summary\n"
        "made = Outcome('id', 'deploy', 'a' * 40, (HostOutcome('web1', State.LIVE, live='a' * 40),))\n"
        "Deployment.deploy = lambda *_, **__: made\n"
        "words = summary.summary\n"
        f"summary.summary = lambda *given: {INTERRUPT} or words(*given)\n"
    )
    ran = fab(project, "-H", "web1", "deploy", "--sha=HEAD")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("✓ aaaaaaaaaa is live on web1"), ran.stdout


@pytest.mark.slow
def test_python_goes_quietly(project: Path) -> None:
    """Ctrl-C after all was said: no traceback of Python's own, and the exit code of the command."""
    (project / "fabfile.py").write_text(
        f"import atexit, os, signal, sys\natexit.register(lambda: {INTERRUPT})\n{NAMESPACE}"
        f"leave = sys.exit\nsys.exit = lambda code: {INTERRUPT} or leave(code)\n"
    )
    for arguments, code in ((("config",), 0), (("deploy",), 2)):
        ran = fab(project, *arguments)
        assert (ran.returncode, "Traceback" in ran.stderr) == (code, False), ran.stderr


@pytest.mark.slow
def test_it_ends_the_waiting_for_a_thread(project: Path) -> None:
    """A thread that a task of somebody's left does not keep `fab` from ending; the exit code stays."""
    (project / "fabfile.py").write_text(
        f"{NAMESPACE}import os, signal, threading, time\nfrom invoke import task\n"
        f"def interrupt():\n    time.sleep(1)\n    {INTERRUPT}\n"
        "@task\ndef left(c):\n    threading.Thread(target=time.sleep, args=(50,)).start()\n"
        "    threading.Thread(target=interrupt, daemon=True).start()\nns.add_task(left)\n"
    )
    begun = time.monotonic()
    ran = fab(project, "left")
    assert (ran.returncode, time.monotonic() - begun < 30) == (0, True), ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ending", [RETURNS, EXITS], ids=["returns", "exits"])
def test_a_longer_program_hears_it_afterwards(project: Path, ending: str) -> None:
    """What runs `fab` in itself is ended by Ctrl-C as before, and so are the programs that it starts."""
    (project / "long.py").write_text(
        "import os, signal, subprocess, sys\nfrom fabric.main import program\n"
        f"def run():\n    {ending}\n"
        "for _ in range(2):\n    run()\n"
        f"child = subprocess.run([sys.executable, '-c', 'import os, signal; {INTERRUPT}'], stderr=-3)\n"
        f"try:\n    {INTERRUPT}\nexcept KeyboardInterrupt:\n    print('heard', child.returncode)\n"
    )
    ran = program("python", project, "long.py")
    assert (ran.returncode, ran.stdout.splitlines()[-1:]) == (0, ["heard -2"]), ran.stderr
