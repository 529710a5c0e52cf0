"""What a call imports: a host runs two Pythons for every switch, and pays for each module in both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import PurePosixPath
from typing import Any

import pytest

from oroboros_deploy.remote import agent
from tests.support.local_agent import LocalAgent

# Each costs a millisecond or more, and the plain way of the three calls has no use for it.
COSTLY = {
    *("_hashlib", "asyncio", "bz2", "concurrent.futures", "csv", "ctypes", "dataclasses", "datetime", "decimal"),
    *("hashlib", "inspect", "logging", "lzma", "random", "shlex", "shutil", "socket", "ssl", "string", "tempfile"),
    *("tokenize", "typing", "zipfile"),
    "oroboros_deploy.host.contract",
}
# Only deploys that ask for it pay for it: builds, units, values of a configuration, users, shared places, an audit.
UNASKED = {
    f"oroboros_deploy.host.{name}"
    for name in (
        "another_user",
        "audit",
        "build_lock",
        "building",
        "env_file",
        "in_use",
        "doctor",
        "kept_tools",
        "prune",
        "shared",
        "unit_sets",
        "unit_switch",
        "user_log",
    )
}


# Modules of ours that a process on a host imports at most: one that reads, one that starts an activation and follows
# it, one that activates.  Where systemd runs, the facts look at services, too, which is a module more (`strays`).
READING, FOLLOWING, RUNNING = 33, 32, 37
ACTING = {f"oroboros_deploy.host.{name}" for name in ("activation", "boot", "gate", "line", "tries", "unit_files")}


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("oroboros_deploy.")}


def imported(host: LocalAgent, *arguments: str, request: dict[str, Any] | None = None) -> set[str]:
    """The modules that the agent imports, in a process of its own that is asked for nothing else."""
    path = str(agent.packed().path(PurePosixPath(host.root)))
    environment = {**os.environ, **({agent.REQUEST: json.dumps(request)} if request else {})}
    ran = subprocess.run(
        [sys.executable, "-IS", "-X", "utf8", "-X", "importtime", path, *arguments],
        env=environment,
        input="",
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}


@pytest.fixture
def compiled(host: LocalAgent) -> LocalAgent:
    """A host that the agent was sent to and that has compiled it."""
    host.call("facts", {"sha": None})
    return host


def test_the_facts(compiled: LocalAgent) -> None:
    """What reads a host, and verifies a release on it, imports nothing costly."""
    request = {"layout": compiled.layout, "sha": compiled.sealed("one"), "services": ["api"], "restart": True}
    request["source"] = False  # as a rollback asks
    seen = imported(compiled, "facts", request=request)
    assert ("oroboros_deploy.host.seal" in seen, seen & (COSTLY | UNASKED)) == (True, set())
    assert len(ours(seen)) <= READING, sorted(ours(seen))


@pytest.mark.slow
def test_an_activation(compiled: LocalAgent) -> None:
    """Neither does what starts an activation and follows it, nor the activation; the first has no use for the other."""
    first, second = compiled.sealed("one"), compiled.sealed("two")
    compiled.activate(first)
    request = compiled.request(second)
    look = {"sha": second, "services": [], "restart": False, "source": False}
    followed = imported(compiled, "activate", request={**request, "look": look})
    assert ("oroboros_deploy.host.launch" in followed, followed & (COSTLY | UNASKED | ACTING)) == (True, set())
    again = compiled.request(first)
    compiled.keep(again)
    ran = imported(compiled, "run", again["attempt"])
    assert ("oroboros_deploy.host.activation" in ran, ran & (COSTLY | UNASKED), compiled.live) == (True, set(), first)
    assert len(ours(followed)) <= FOLLOWING, sorted(ours(followed))
    assert len(ours(ran)) <= RUNNING, sorted(ours(ran))
