"""Where a disposable host keeps what is written on it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from disposable_host import DisposableHost

pytestmark = pytest.mark.host


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """A directory on an overlay, which can be the upper layer of no other one; as the root of a container is."""
    memory = tmp_path / "memory"
    memory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", memory], check=True)
    try:
        for part in ("lower", "upper", "work", "top"):
            (memory / part).mkdir()
        layers = f"lowerdir={memory}/lower,upperdir={memory}/upper,workdir={memory}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, memory / "top"], check=True)
        yield memory / "top"
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", memory], check=True)


def test_a_cache_on_an_overlay(image: Path, overlay: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host boots there all the same: what is written lies in memory, and nothing of it is left."""
    monkeypatch.setenv("OROBOROS_CACHE", str(overlay))
    with DisposableHost("memory", image) as host:
        assert (host.directory.parent, (host.directory / "layers").is_mount()) == (overlay / "hosts", True)
        assert host.run("cat", "/etc/hostname").stdout == "memory\n"
    assert [*(overlay / "hosts").iterdir()] == []
