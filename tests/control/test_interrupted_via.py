"""Ctrl-C in a deploy whose host is the way to the registry."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.registry import Registry
from tests.support.clock import within
from tests.support.fab import FABFILE, Fab
from tests.support.repository import Repository
from tests.support.sshd import Sshd, requires_sshd

pytestmark = [requires_sshd, pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """The host, and the way to the database."""
    with Sshd(tmp_path / "sshd") as sshd:
        yield sshd


def test_the_record_is_written_when_the_way_to_the_registry_was_closed(
    tmp_path: Path, repository: Repository, postgres_url: str, sshd: Sshd
) -> None:
    """The interrupt ends the connection to the host; the record goes there over another, and nothing waits here."""
    building = tmp_path / "building"
    step = {"name": "long", "path": ".", "command": f"touch {building} && sleep 60"}
    build = {"frontend": None, "venvs": {}, "steps": [step]}
    settings = {"root": str(tmp_path / "srv/shop"), "build": build}
    sha = repository.commit("one", **{"fabfile.py": FABFILE, "fabric.yaml": json.dumps({"deploy": settings})})
    fab = Fab(repository.path, sshd.config_path, f"{postgres_url}?via=ssh")
    running = fab.start("-H", sshd.alias, "deploy", f"--sha={sha}", "--skip-restart", "--healthcheck=true")
    with within(60):
        while not building.exists():
            assert running.poll() is None, running.communicate()
            time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, "kept" in out + err) == (130, False), out + err
    with Registry.open(postgres_url) as registry:
        (attempt,) = registry.reader.attempts().items
    assert (attempt["state"], attempt["exit_code"]) == ("failed", 130)
    assert [part["state"] for part in attempt["hosts"]] == ["interrupted"]
    assert not list(tmp_path.glob("state/**/spool/*"))
