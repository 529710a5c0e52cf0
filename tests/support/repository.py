"""A real git repository to deploy from."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Repository:
    """A git repository in a directory of its own."""

    def __init__(self, path: Path, names: str = "sha1") -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", f"--object-format={names}")
        self.git("config", "user.name", "A Developer")
        self.git("config", "user.email", "developer@example.com")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message: str = "a commit", **files: str) -> str:
        """Write files (``a__b`` is ``a/b``), commit everything, return the sha."""
        for name, content in files.items():
            path = self.path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")
