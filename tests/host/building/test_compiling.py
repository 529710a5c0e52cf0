"""Sources are compiled before the seal: whoever runs them finds nothing to write."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import seal
from oroboros_deploy.host.building import compiling
from oroboros_deploy.host.building.bench import Bench
from oroboros_deploy.host.refusal import Refusal
from tests.support.builds import manifest
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository

TEXT = "def told():\n    return 'one'\n"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def bench(tmp_path: Path, said: list[str]) -> Bench:
    for name in ("release", "logs"):
        (tmp_path / name).mkdir()

    def say(event: str, message: str = "", **data: Any) -> None:
        said.append(f"{event}: {message}") if event != "output" else None

    paths = (tmp_path / "release", tmp_path / "logs", tmp_path / "tools", tmp_path)
    return Bench(*paths, say, time.monotonic() + 60, threading.Event())


def lay(release: Path, **files: str) -> Path:
    for name, text in files.items():
        path = release / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return release


def made(bench: Bench, before: Path | None = None) -> list[str]:
    """The sources that have bytecode of this Python after a compilation."""
    compiling.compile_all(bench, before, (), has_python=True)
    suffix = Path(cache_from_source("x.py")).name[1:]
    found = bench.release.rglob(f"__pycache__/*{suffix}")
    assert not [*bench.release.rglob("*.pyc.*")]
    return sorted(str(path.parent.parent.relative_to(bench.release) / path.name.partition(".")[0]) for path in found)


def change(sealed: Path, content: bytes) -> None:
    """Write to a file of a sealed release, as a service of the login can."""
    sealed.chmod(0o600)
    sealed.write_bytes(content)


def test_what_is_compiled(bench: Bench, tmp_path: Path, said: list[str]) -> None:
    """What may be imported: no environment, no node_modules, nothing hidden, broken or outside."""
    outside = lay(tmp_path / "shared", more_py=TEXT, other_py=TEXT)
    release = lay(
        bench.release,
        app__main_py=TEXT,
        app__old_py="print 'two'",
        app__template_py="{% name %}",
        node_modules__gyp__a_py=TEXT,
        venv__lib__a_py=TEXT,
        top_py=TEXT,
    )
    lay(release, **{"venv/pyvenv.cfg": "", ".ci/a_py": TEXT, "app/text.txt": TEXT})
    for name, target in (("app/link.py", "main.py"), ("app/out.py", outside / "other.py"), ("media", outside)):
        (release / name).symlink_to(target)
    assert made(bench) == ["app/link", "app/main", "top"]
    assert not [*outside.rglob("__pycache__")]
    assert said == [f"release.compiled: 5 Python sources compiled by {sys.executable}"]
    log = (bench.logs / "bytecode.log").read_text()
    assert [line.partition(":")[0] for line in log.splitlines()] == [
        "app/old.py is not compiled",
        "app/template.py is not compiled",
    ]


def test_many_are_compiled_by_all_processors(bench: Bench) -> None:
    """Each has its bytecode, the last one too."""
    names = [f"m{number}" for number in range(120)]
    lay(bench.release, **{f"{name}_py": f"x = '{name}'" for name in names})
    assert made(bench) == sorted(names)


def test_bytecode_is_used_and_follows_its_source(bench: Bench) -> None:
    """Running it writes nothing, with another time of the source either; an edited source is what runs."""
    release = lay(bench.release, app__main_py=TEXT)
    assert made(bench) == ["app/main"]
    kept = release / cache_from_source("app/main.py")
    before = kept.read_bytes(), kept.stat().st_mtime_ns
    os.utime(release / "app/main.py", (1, 1))
    line = "import app.main as m; print(m.told(), m.told.__code__.co_filename)"

    def run() -> str:
        argv = [sys.executable, "-c", line]
        return subprocess.run(argv, cwd=release, env={}, capture_output=True, text=True, check=True).stdout

    assert run() == f"one {release}/app/main.py\n"
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == before
    (release / "app/main.py").write_text(TEXT.replace("one", "two"))
    assert run().startswith("two ")


def test_a_closed_source_has_closed_bytecode(bench: Bench) -> None:
    """What the build closed to others is not read in another form."""
    release = lay(bench.release, secret_py=TEXT)
    (release / "secret.py").chmod(0o600)
    made(bench)
    assert (release / cache_from_source("secret.py")).stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_through_a_link(bench: Bench, tmp_path: Path) -> None:
    """Nor over what the commit has."""
    release, outside = lay(bench.release, app__a_py=TEXT, lib__a_py=TEXT), tmp_path / "outside"
    outside.mkdir()
    (release / "app/__pycache__").symlink_to(outside)
    committed = release / cache_from_source("lib/a.py")
    committed.parent.mkdir()
    committed.write_text("committed")
    made(bench)
    assert ([*outside.iterdir()], committed.read_text()) == ([], "committed")


@pytest.mark.parametrize("case", ["honest", "the bytecode", "the manifest"])
def test_what_the_live_release_has_is_taken(bench: Bench, tmp_path: Path, case: str) -> None:
    """Where its seal knows the bytecode, and its source is the same; what was written since is compiled anew."""
    release, before = lay(bench.release, a_py=TEXT, b_py=TEXT), lay(tmp_path / "before", a_py=TEXT)
    made(bench)
    bytecode = {name: release / cache_from_source(f"{name}.py") for name in ("a", "b")}
    compiled = bytecode["a"].read_bytes()
    theirs = before / cache_from_source("a.py")
    theirs.parent.mkdir()
    theirs.write_bytes(compiled + b"theirs")
    if case == "the bytecode":
        theirs.write_bytes(compiled)
    seal.seal(before, {"commit_sha": "ab" * 20})
    change(theirs, compiled + b"theirs")
    if case == "the manifest":
        row = [cache_from_source("a.py"), "f", 0, 0, 0, hashlib.sha256(theirs.read_bytes()).hexdigest()]
        change(before / seal.MANIFEST, (json.dumps(row) + "\n").encode())
    for path in bytecode.values():
        path.unlink()
    assert made(bench, before) == ["a", "b"]
    assert bytecode["a"].read_bytes() == compiled + (b"theirs" if case == "honest" else b"")


@pytest.mark.parametrize(
    ("has_python", "units", "wanted"),
    [
        (True, [], ["OWN"]),
        (False, [], ["OWN"]),
        (True, ["ExecStart=/bin/sh x\nExecStartPre=-OTHER -m app\n"], ["OWN", "OTHER"]),
        (False, ["ExecStart=OTHER -m app\nExecStart=/no/python3 x\n"], ["OTHER"]),
        (False, ["ExecStart=OTHER\nExecStart=AGAIN x\n"], ["OTHER"]),
    ],
)
def test_who_compiles(
    bench: Bench, tmp_path: Path, has_python: bool, units: Sequence[str], wanted: Sequence[str]
) -> None:
    """The Python of the recipe, and those that units start, each once; the host's own where nobody names one."""
    places = {"OWN": sys.executable, "OTHER": str(tmp_path / "python3.99"), "AGAIN": str(tmp_path / "python3")}
    Path(places["OTHER"]).touch(0o755)
    Path(places["AGAIN"]).symlink_to("python3.99")
    texts = []
    for text in units:
        for name, place in places.items():
            text = text.replace(name, place)
        texts.append(text)
    found = compiling.pythons(bench, compiling.Sources([], []), texts, has_python=has_python)
    assert found == [places[name] for name in wanted]


def test_a_compiler_that_fails_fails_no_build(bench: Bench, said: list[str]) -> None:
    """It is told; a build that nobody wants any more ends."""
    lay(bench.release, a_py=TEXT)
    bench = replace(bench, toolchain=replace(bench.toolchain, python="/bin/false"))
    assert made(bench) == []
    assert said == ["warning: not all Python sources were compiled: bytecode: the compiler exited 1"]
    bench.stop.set()
    with pytest.raises(Refusal):
        made(bench)


def test_it_takes_no_longer_than_its_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left then is left as it is, and told in the log."""
    monkeypatch.setattr(compiling, "LONGEST", -1.0)
    lay(bench.release, a_py=TEXT)
    assert made(bench) == []
    assert (bench.logs / "bytecode.log").read_text() == "1 sources are not compiled: there was no time\n"


@pytest.mark.slow
def test_a_service_of_roots_leaves_nothing(tmp_path: Path) -> None:
    """A release with sources is sealed with their bytecode: running it as root adds nothing, and it stays whole."""
    repository, host = Repository(tmp_path / "source"), LocalAgent(tmp_path / "srv")
    files = {"app/__init__.py": "", "app/main.py": "from app import helper\n", "app/helper.py": TEXT}
    first, second = (repository.commit(name, **files, note=name) for name in ("one", "two"))
    host.mirror(repository)
    rows = []
    for sha in (first, second):
        host.build(sha)
        host.activate_here(sha)
        release = host.paths.release(sha)
        subprocess.run([sys.executable, "-m", "app.main"], cwd=release, env={}, check=True)
        assert seal.compare(release) == seal.WHOLE
        rows.append({path: row for path, row in manifest(release).items() if path != "note"})
    assert rows[0] == rows[1]
    assert [*rows[0]].count(cache_from_source("app/helper.py")) == 1
