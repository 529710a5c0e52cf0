"""Builds for tests: projects that need no network, a host that has a site with everything, builds on their way."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

from oroboros_deploy.host import seal
from tests.support.local_agent import Answer, LocalAgent
from tests.support.repository import Repository

# A build backend in the project itself: pip needs no network for it, and it counts how often it was asked.
BACKEND = """\
import zipfile


def build_wheel(directory, settings=None, metadata=None):
    with open("built", "a") as count:
        count.write("x")
    tag = f"{NAME}-1.0"
    files = {
        f"{NAME}.py": f"def main():\\n    print('{NAME} at work')\\n",
        f"{tag}.dist-info/METADATA": f"Metadata-Version: 2.1\\nName: {NAME}\\nVersion: 1.0\\n",
        f"{tag}.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{tag}.dist-info/entry_points.txt": f"[console_scripts]\\n{NAME} = {NAME}:main\\n",
    }
    files[f"{tag}.dist-info/RECORD"] = "".join(f"{name},,\\n" for name in files)
    with zipfile.ZipFile(f"{directory}/{tag}-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return f"{tag}-py3-none-any.whl"
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "making"\nbackend-path = ["."]\n'
VENVS = {"venvs": {"backend": ["backend"], "worker": ["backend", "worker"]}}
FRONTEND = {"path": "frontend", "command": "mkdir -p dist && cp page dist/", "output": "dist", "into": "infra/web"}
RECIPE: dict[str, Any] = {**VENVS, "frontend": FRONTEND, "installer": "pip"}
PARTS = ["frontend", "venv backend", "venv worker", "wheel backend", "wheel worker"]


def project(repository: Repository, path: str, name: str) -> None:
    directory = repository.path / path
    directory.mkdir(parents=True)
    (directory / "making.py").write_text(f"NAME = {name!r}\n{BACKEND}")
    (directory / "pyproject.toml").write_text(PYPROJECT)


def wheel(directory: Path, name: str, head: str = "", **files: str) -> Path:
    """A wheel of one distribution with these files (``a__b`` is ``a/b``)."""
    path = directory / f"{name}-1.0-py3-none-any.whl"
    wheel_file = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{head}\nwords\n"
    contents = {f"{name}-1.0.dist-info/METADATA": metadata, f"{name}-1.0.dist-info/WHEEL": wheel_file}
    contents |= {file.replace("__", "/") + ".py": text for file, text in files.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in contents.items():
            archive.writestr(file, text)
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "".join(f"{file},,\n" for file in contents))
    return path


def built(answer: Answer) -> list[str]:
    """The parts that were not taken from the cache."""
    assert answer.refusal is None, answer.refusal
    ended = [event["data"] for event in answer.events if event["event"] == "part.finished"]
    return sorted(data["part"] for data in ended if not data["cached"])


def manifest(release: Path) -> dict[str, Any]:
    """A release's manifest but for times, which no two builds share."""
    rows = map(json.loads, (release / seal.MANIFEST).read_bytes().splitlines())
    return {path: (kind, mode, size, content) for path, kind, mode, size, _, content, *_ in rows}


def began(host: LocalAgent, request: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A build on its way, whose control node listens but says no more."""
    host.facts()
    return host.start("build", request)


def hang_up(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream
        stream.close()


class Site:
    """A repository with everything in it, and a host that has it."""

    def __init__(self, root: Path) -> None:
        self.repository = Repository(root / "source")
        project(self.repository, "backend", "api")
        project(self.repository, "worker", "jobs")
        self.host = LocalAgent(root / "srv")

    def commit(self, **files: str) -> str:
        sha = self.repository.commit(frontend__page="hello", **files) if not files else self.repository.commit(**files)
        self.host.mirror(self.repository)
        return sha

    def release(self, sha: str) -> Path:
        return self.host.paths.release(sha)

    def build(self, sha: str, **changes: Any) -> Answer:
        return self.host.build(sha, RECIPE | changes)

    def fresh(self, sha: str, **changes: Any) -> dict[str, Any]:
        """The manifest of the same release built at the same path, from nothing."""
        seal.remove(self.release(sha))
        assert built(self.build(sha, anew=True, **changes)) != []
        return manifest(self.release(sha))
