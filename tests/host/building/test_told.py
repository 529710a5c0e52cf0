"""What is told once."""

from __future__ import annotations

from pathlib import Path

from oroboros_deploy.host.building import told


def test_a_message_is_told_once(tmp_path: Path) -> None:
    """Another one is another; what cannot be noted is told again."""
    said: list[tuple[str, str]] = []
    for note, message in [(tmp_path / "told", "one"), (tmp_path / "told", "two"), (tmp_path / "told", "one")]:
        told.once(note, lambda event, message="", level="info", **_: said.append((level, message)), message)
    assert said == [("warning", "one"), ("warning", "two")]
    nowhere = tmp_path / "no" / "such"
    for _ in range(2):
        told.once(nowhere, lambda event, message="", **_: said.append((event, message)), "three")
    assert said[2:] == [("warning", "three")] * 2
