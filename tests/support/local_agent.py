"""The packed agent, run for real on this machine: the same shell script and bytes that travel over SSH."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from oroboros_deploy.host import launch, seal
from oroboros_deploy.host.contract import Scope
from oroboros_deploy.host.layout import Layout
from oroboros_deploy.remote import agent
from tests.support import compiled, mounted
from tests.support.compiled import PLAIN
from tests.support.repository import Repository

# What package managers need on this machine to reach their registries, of the environment that no build has.
NETWORK = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ}

RECIPE: dict[str, Any] = {"frontend": None, "venvs": {}, "steps": [], "timeout": 120} | {
    "inputs": [],
    "installer": "auto",
    "cache": 2_000_000_000,
    "anew": False,
    "digest": "d" * 64,
}


@dataclass
class Answer:
    """What one call said: events, then one of result and refusal."""

    events: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    refusal: dict[str, Any] | None = None
    stderr: str = ""

    @property
    def phases(self) -> list[str]:
        return [event["data"]["phase"] for event in self.events if event["event"] == "phase"]

    def said(self, event: str) -> list[str]:
        return [each["message"] for each in self.events if each["event"] == event]


class LocalAgent:
    """A deploy root on this machine, driven by the agent's three calls.

    ``scope`` is whose service manager would run what is deployed.
    ``options`` go to the process of every call: ``env``, ``user``, ``umask`` and the like.
    """

    travels = False  # whether the first call takes the agent along; else the host has it, compiled

    def __init__(self, root: Path, scope: Scope = "system", **options: Any) -> None:
        self.root = root
        self.settled: dict[str, str] = {}  # what this host's /etc/environment has
        self.instead: dict[str, Path] = {}  # files of this machine, and what this host has in their places
        self.options = options
        self.layout = {
            "root": str(root),
            "releases": str(root / "releases"),
            "current": str(root / "current"),
            "repo": str(root / "repo"),
            "scope": scope,
        }

    def start(self, command: str, request: dict[str, Any]) -> subprocess.Popen[bytes]:
        script = agent.packed().script(PurePosixPath(self.root), command, {"layout": self.layout, **request})
        pipe = subprocess.PIPE
        argv = ["/bin/sh", "-c", script]
        instead = dict(self.instead)
        if self.settled:
            file = self.root.parent / "environment"
            file.write_text("".join(f"{name}={value}\n" for name, value in self.settled.items()))
            instead["/etc/environment"] = file
        if instead:
            argv = mounted.command(argv, instead)
        return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, **{"env": PLAIN, **self.options})

    def call(self, command: str, request: dict[str, Any], stream: bytes | None = None) -> Answer:
        """One whole call; ``stream`` is sent in blocks after the request, as a bundle is."""
        if not (self.travels or self.options or command in agent.VISITS):
            compiled.bring(self.root)
        known = Path(agent.packed().path(PurePosixPath(self.root))).exists()
        process = self.start(command, request)
        assert process.stdin and process.stdout and process.stderr
        answer = Answer()
        if stream is not None and known:
            self._send(process, stream)
        for said in process.stdout:
            if said == b"wanted\n":
                process.stdin.write(agent.packed().sent())
                process.stdin.flush()
                if stream is not None:
                    self._send(process, stream)
                continue
            value = json.loads(said)
            if "event" in value:
                answer.events.append(value)
            answer.result = value.get("result", answer.result)
            answer.refusal = value.get("refusal", answer.refusal)
            if answer.result or answer.refusal:
                break
        process.stdin.close()
        answer.stderr = process.stderr.read().decode()
        process.stdout.close()
        process.stderr.close()
        process.wait()
        return answer

    def facts(self, sha: str | None = None, **request: Any) -> dict[str, Any]:
        answer = self.call("facts", {"sha": sha, **request})
        assert answer.result is not None, (answer.refusal, answer.stderr)
        return answer.result

    def build_request(self, sha: str, recipe: dict[str, Any] | None = None, source: str = "mirror") -> dict[str, Any]:
        return {
            "layout": self.layout,
            "attempt": uuid.uuid4().hex,
            "sha": sha,
            "source": {"kind": source},
            "recipe": {**RECIPE, **(recipe or {})},
            "version": "test",
        }

    def build(self, sha: str, recipe: dict[str, Any] | None = None, bundle: bytes | None = None) -> Answer:
        source = "mirror" if bundle is None else "bundle"
        return self.call("build", self.build_request(sha, recipe, source), bundle)

    def request(self, sha: str, **changes: Any) -> dict[str, Any]:
        return {
            "layout": self.layout,
            "attempt": uuid.uuid4().hex,
            "kind": "deploy",
            "sha": sha,
            "services": [],
            "restart": False,
            "detached": True,
            "healthcheck": {"command": "true", "timeout": 5, "interval": 0.05, "stable_for": 0},
            "migrate": None,
            "restart_timeout": 10,
            "migrate_timeout": 10,
            "actor": "tester",
        } | changes

    def activate(self, sha: str, **changes: Any) -> Answer:
        return self.call("activate", self.request(sha, **changes))

    def activate_here(self, sha: str, **changes: Any) -> Answer:
        """The same without a process of its own: quicker, and open to a scripted systemd."""
        request = self.request(sha, **changes)
        self.keep(request)
        launch.run(self.paths, request)
        return self.answer(request["attempt"])

    def keep(self, request: dict[str, Any]) -> Path:
        """Put a request where a detached activation finds it."""
        self.paths.create()
        directory = self.paths.attempt(request["attempt"])
        directory.mkdir(exist_ok=True)
        (directory / "request.json").write_text(json.dumps(request))
        return directory / "request.json"

    def answer(self, attempt: str) -> Answer:
        """What an attempt left: its log and its result."""
        directory = self.paths.attempt(attempt)
        log, result = directory / "log.jsonl", json.loads((directory / "result.json").read_text())
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        refusal = result.get("refusal")
        return Answer(events, None if refusal else result, refusal)

    @property
    def paths(self) -> Layout:
        return Layout.of(self.layout)

    @property
    def journal(self) -> list[dict[str, Any]]:
        path = self.paths.journal
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def mirror(self, repository: Repository) -> None:
        """Give the host all that the repository has."""
        self.root.mkdir(parents=True, exist_ok=True)
        bare = self._bare()
        repository.git("push", "--quiet", "--mirror", bare)
        repository.git("push", "--quiet", bare, "HEAD:refs/oroboros/mirrored")  # the names that only we give

    def sealed(self, name: str, outside: Path | None = None, /, **files: str) -> str:
        """A sealed release that no build made; returns its id, which depends on the name alone.

        With something ``outside`` it has a virtual environment, whose interpreter is a link to that.
        """
        sha = hashlib.sha1(name.encode()).hexdigest()
        self.paths.create()
        release = self.paths.release(sha)
        release.mkdir()
        for file, content in {"name": name, **files}.items():
            path = release / file.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        if outside:
            (release / "venv" / "bin").mkdir(parents=True)
            (release / "venv" / "pyvenv.cfg").touch()
            (release / "venv" / "bin" / "python3").symlink_to(outside)
        seal.seal(release, seal.meta_now(sha, "test"))
        return sha

    @property
    def live(self) -> str | None:
        current = self.root / "current"
        return current.readlink().name if current.is_symlink() else None

    def _bare(self) -> str:
        bare = self.root / "repo"
        if not bare.exists():
            subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
        return str(bare)

    def _send(self, process: subprocess.Popen[bytes], stream: bytes) -> None:
        assert process.stdin
        for start in range(0, len(stream), 65536):
            block = stream[start : start + 65536]
            process.stdin.write(b"%d\n" % len(block) + block)
        process.stdin.write(b"0\n")
        process.stdin.flush()
