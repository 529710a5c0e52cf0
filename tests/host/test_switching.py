"""A reader that never rests finds a whole release behind `current`, however often it is switched."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oroboros_deploy.host import activation, state
from tests.support.local_agent import LocalAgent

SWITCHES = 1_000
# Each look resolves the link twice, as a program does that asks where it is and then opens a file there.
READER = """
import json, os, signal, sys
current, stop, seen, wrong = sys.argv[1], [], {}, []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
print("reading", flush=True)
while not stop:
    try:
        name = os.path.basename(os.readlink(current))
        with open(current + "/name") as file:
            content = file.read()
    except OSError as error:
        wrong.append(str(error))
        continue
    for one in (name, content):
        seen[one] = seen.get(one, 0) + 1
print(json.dumps({"seen": seen, "wrong": wrong}))
"""


@pytest.mark.slow
def test_a_thousand_switches(host: LocalAgent) -> None:
    """Every look finds one of the two releases and its file; never a missing or a third one."""
    releases = {name: host.sealed(name) for name in ("old", "new")}
    switch = switcher(host, releases["old"])
    switch(releases["old"])
    with reading(host) as seen:
        for sha in itertools.islice(itertools.cycle(releases.values()), SWITCHES):
            switch(sha)
    assert (seen["wrong"], set(seen["seen"])) == ([], {*releases.keys(), *releases.values()})
    assert sum(seen["seen"].values()) > SWITCHES


@pytest.mark.slow
def test_the_reader_sees_a_gap(host: LocalAgent) -> None:
    """Done in two steps, unlink and symlink, the same switches leave moments without `current`, and it sees them."""
    releases = [host.sealed(name) for name in ("old", "new")]
    switcher(host, releases[0])(releases[0])
    current = host.paths.current
    with reading(host) as seen:
        for sha in itertools.islice(itertools.cycle(releases), 20 * SWITCHES):
            current.unlink()
            current.symlink_to(f"releases/{sha}")
    assert [line for line in seen["wrong"] if "No such file or directory" in line]


def switcher(host: LocalAgent, source: str) -> Callable[[str], None]:
    """The agent's own way to put a release in the place of `current`, without the rest of an activation."""
    host.paths.create()

    def switch(sha: str) -> None:
        request = host.request(sha)
        act = activation.Activation(host.paths, request, lambda *_, **__: None)
        act.state = state.begin(request, source)
        host.paths.stage("switch", sha)
        act.swap()

    return switch


@contextmanager
def reading(host: LocalAgent) -> Iterator[dict[str, Any]]:
    """A process of its own that reads while the block runs; afterwards the value says what it saw."""
    argv = [sys.executable, "-c", READER, str(host.paths.current)]
    reader = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ""})
    assert reader.stdout
    seen: dict[str, Any] = {}
    try:
        assert reader.stdout.readline() == "reading\n"
        yield seen
        reader.send_signal(signal.SIGTERM)
        seen.update(json.loads(reader.communicate(timeout=30)[0]))
    finally:
        reader.kill()
        reader.communicate()
