"""The bench: how the commands of a part are run, logged and told of."""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import environment
from oroboros_deploy.host.building.bench import Bench
from oroboros_deploy.host.building.throttle import MOST, Throttle
from oroboros_deploy.host.refusal import Refusal


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def bench(tmp_path: Path, said: list[str]) -> Bench:
    (tmp_path / "release").mkdir()
    (tmp_path / "logs").mkdir()
    say = lambda event, message="", level="info", **data: said.append(data["text"])  # noqa: E731
    paths = (tmp_path / "release", tmp_path / "logs", tmp_path / "tools", tmp_path)
    return Bench(*paths, say, time.monotonic() + 60, threading.Event())


def refused(act: Callable[[], object]) -> dict[str, Any]:
    with pytest.raises(Refusal) as refused:
        act()
    return refused.value.as_dict()


def test_the_output_of_a_part_is_logged_and_told(bench: Bench, said: list[str]) -> None:
    """One log for all commands of the part, byte for byte; a name with slashes is one file."""
    bench.shell("venv a/b", r"printf 'one\377\n'", bench.release)
    bench.run("venv a/b", "it", ["sh", "-c", "echo two >&2"], bench.release)
    assert (bench.logs / "venv a-b.log").read_bytes() == b"one\xff\ntwo\n"
    assert "".join(said) == "one\ufffd\ntwo\n"


def test_a_command_knows_the_release_and_what_it_is_given(bench: Bench) -> None:
    """Variables of one command are added to those of all."""
    bench.shell("step", 'echo "$CI $DEPLOY_RELEASE $MORE"', bench.release, MORE="more")
    assert (bench.logs / "step.log").read_text() == "1 release more\n"


def test_a_ci_of_the_host_goes_before_ours(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever writes `CI=` into /etc/environment decides it for every build; one of `env.build` goes before both."""
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")
    (tmp_path / "environment").write_text("CI=false\n")
    assert bench.environment()["CI"] == "false"
    assert replace(bench, configured={"CI": "0"}).environment()["CI"] == "0"


def test_the_path_of_a_log_can_be_pasted(bench: Bench) -> None:
    """A part whose name has a space leaves a log whose path is quoted."""
    hint = refused(lambda: bench.shell("static files", "exit 3", bench.release))["hint"]
    assert hint == f"fix it and deploy again; the log is on the host: '{bench.logs}/static files.log'"


def test_a_command_that_fails_is_refused(bench: Bench) -> None:
    """In words, with its last output and where the rest is."""
    assert refused(lambda: bench.shell("step", "echo why; exit 3", bench.release)) == {
        "kind": "build_failed",
        "message": "step: 'echo why; exit 3' exited 3",
        "hint": f"fix it and deploy again; the log is on the host: {bench.logs / 'step.log'}",
        "log": "why",
    }


def test_a_python_that_does_not_fit_is_told(bench: Bench) -> None:
    """The refusal names the host's Python and its version, and the setting that chooses another one."""
    fails = ["sh", "-c", "echo 'ERROR: Package shop requires a different Python: 3.11.2 not in >=3.99'; exit 1"]
    refusal = refused(lambda: bench.run("venv .venv", "pip install", fails, bench.release))
    python = f"{bench.toolchain.python} is Python {sys.version_info[0]}.{sys.version_info[1]}"
    why = f"{python}, and a package that is wanted here needs another version of Python"
    assert refusal["message"] == f"venv .venv: pip install exited 1: {why}"
    hint = "name the path of a fitting Python of this host in build.python, and deploy again; "
    assert refusal["hint"].startswith(hint)


@pytest.mark.slow
def test_pip_says_that_a_python_does_not_fit(bench: Bench) -> None:
    """What pip prints is read as it is."""
    link = '<a href="shop-1.0-py3-none-any.whl" data-requires-python="&gt;=3.99">shop-1.0-py3-none-any.whl</a>'
    (bench.tmp / "index.html").write_text(link)
    pip = [sys.executable, "-m", "pip", "download", "--no-index", "--find-links", str(bench.tmp / "index.html")]
    refusal = refused(lambda: bench.run("venv .venv", "pip install", [*pip, "shop==1.0"], bench.release))
    assert "a package that is wanted here needs another version of Python" in refusal["message"]


def test_a_directory_that_is_not_there_is_named(bench: Bench) -> None:
    """As the configuration names it, and no command is run."""
    refusal = refused(lambda: bench.shell("step", "true", bench.release / "no/such"))
    assert refusal["message"] == "step: there is no directory no/such in the commit"
    assert list(bench.logs.iterdir()) == []


def test_the_deadline_is_that_of_the_build(bench: Bench) -> None:
    """A command that still runs then is killed, and the refusal says so."""
    late = Bench(bench.release, bench.logs, bench.tools, bench.tmp, bench.say, time.monotonic(), bench.stop)
    refusal = refused(lambda: late.run("step", "it", ["sleep", "60"], bench.release))
    assert refusal["message"].startswith("step: it did not end within ")
    assert refusal["hint"].startswith("make the build faster, or set a larger build.timeout in fabric.yaml (seconds")


def test_a_build_that_nobody_wants_stops(bench: Bench) -> None:
    """It is cancelled, and not failed, whatever its command was doing."""
    bench.stop.set()
    assert refused(lambda: bench.run("step", "it", ["sleep", "60"], bench.release))["kind"] == "cancelled"
    assert refused(bench.go_on)["kind"] == "cancelled"


def test_a_log_has_a_limit(bench: Bench, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes later is told as it comes, and that the log has ended; so it does for all commands of the part."""
    monkeypatch.setattr("oroboros_deploy.host.building.bench.LOG", 1_000_000)
    warned: list[str] = []

    def say(event: str, message: str = "", level: str = "info", **data: Any) -> None:
        (warned if event == "warning" else said).append(message or data["text"])

    limited = replace(bench, say=say)
    for _ in range(2):
        limited.shell("step", "yes | head -c 3000000; echo end", bench.release)
    assert (bench.logs / "step.log").stat().st_size == 1_000_000
    assert warned == ["step: its log ends at 1 MB"]
    assert ("".join(said).count("y"), "".join(said).count("end")) == (3_000_000, 2)


PRINTS = {
    "a line of 4 MiB": "head -c 4194304 /dev/zero | tr '\\0' x",
    "no text": "printf '\\0\\33]0;title\\7\\377\\376'; head -c 4194304 /dev/zero | tr '\\0' '\\377'",
    "carriage returns": "for i in $(seq 40000); do printf '\\r%d %%' $i; done",
    "nothing": "exec </dev/null >/dev/null 2>&1; cat",
    "closed": "exec 0<&- 1>&- 2>&-",
}


@pytest.mark.parametrize("line", PRINTS.values(), ids=PRINTS)
def test_whatever_a_command_prints(bench: Bench, line: str) -> None:
    """It ends, what is told at once and kept is bounded, the log has it all, and the next command begins a line."""
    told: list[int] = []
    throttle = Throttle(lambda event, message="", level="info", **data: told.append(len(data["text"])))
    tracemalloc.start()
    try:
        refusal = refused(lambda: replace(bench, say=throttle).shell("step", f"{line}; exit 3", bench.release))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    bench.shell("step", "echo next", bench.release)
    log = (bench.logs / "step.log").read_bytes()
    assert (len(refusal["log"]) <= 4000, max(told, default=0) <= MOST, most < 40_000_000) == (True, True, True)
    assert log.split(b"\n")[-2:] == [b"next", b""]
    assert b"\n\nnext" not in log


def test_a_character_that_comes_in_two_pieces_is_told_whole(bench: Bench, said: list[str]) -> None:
    """The pieces are those of the pipe; half a character at the end of all is told as one that cannot be read."""
    bench.shell("step", r"printf 'gr\303'; sleep 0.3; printf '\274n\303'", bench.release)
    assert "".join(said) == "gr\u00fcn\ufffd\n"
    assert (bench.logs / "step.log").read_bytes() == "gr\u00fcn".encode() + b"\xc3\n"
