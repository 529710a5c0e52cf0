"""Files that people send: they live beside the releases, in the shared place of that name."""

from __future__ import annotations

import hmac
import os
import re
import tempfile
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Uploads:
    """The files in ``place``; who sends one has to know ``key``, and without a key nobody sends any."""

    def __init__(self, place: Path, key: str) -> None:
        self.place = place
        self.key = key

    def get(self, name: str) -> bytes | None:
        """The content of a file; None where there is none of this name."""
        path = self.place / name
        return path.read_bytes() if NAME.fullmatch(name) and path.is_file() else None

    def put(self, name: str, content: bytes, authorization: str) -> str:
        """Keep a file, in one step, and return the HTTP status."""
        if not self.key or not hmac.compare_digest(authorization.encode(), f"Bearer {self.key}".encode()):
            return "401 Unauthorized"
        if not NAME.fullmatch(name):
            return "400 Bad Request"
        with tempfile.NamedTemporaryFile(dir=self.place, prefix=".", delete=False) as fresh:
            fresh.write(content)
        os.replace(fresh.name, self.place / name)
        return "201 Created"
