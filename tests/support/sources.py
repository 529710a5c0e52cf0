"""A repository's files, written for a test."""

from __future__ import annotations

from pathlib import Path


def write_files(top: Path, files: dict[str, str]) -> None:
    """Write files, whose names have ``__`` for a slash and ``_`` for a dot."""
    for name, text in files.items():
        path = top / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
