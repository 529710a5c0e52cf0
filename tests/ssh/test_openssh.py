"""Asking the program ssh."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.ssh.openssh import NoOpenSsh, Question, Usual

pytestmark = pytest.mark.skipif(not shutil.which("ssh"), reason="needs OpenSSH's client")


def stand_in(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put another program before ssh."""
    program = directory / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_an_answer_for_many() -> None:
    """Threads that wait for one answer all get it."""
    question = Question("web1", ["-F", "none", "-p", "2200"])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: question.answer(), range(8)))
    assert {id(answer) for answer in answers} == {id(answers[0])}
    assert answers[0]["port"] == ("2200",)


def test_what_is_usual_is_asked_once() -> None:
    """There is one question, whoever asks."""
    usual = Usual()
    assert usual.ask() is usual.ask()
    assert usual.ask().answer()["port"] == ("22",)


def test_words_are_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters of a complaint do not reach the terminal, and only its last lines are told."""
    stand_in(tmp_path, monkeypatch, r"seq 20 >&2; printf 'bad \033[31mword\r\n' >&2; exit 255")
    with pytest.raises(ConfigError) as caught:
        Question("web1").answer()
    assert caught.value.message == "ssh refuses its configuration: 17; 18; 19; 20; bad ?[31mword"


def test_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no ssh that is told at once, and no descriptor is left."""
    monkeypatch.setenv("PATH", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NoOpenSsh):
        Question("web1")
    assert len(os.listdir("/proc/self/fd")) == before
