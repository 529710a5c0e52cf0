"""The events of an attempt, as they are told."""

from __future__ import annotations

from typing import Any

from oroboros_deploy.events import Event

SHA = "3f2a9c1b2d" * 4
OLD = "9c1d0e2f4a" * 4


def happened(name: str, host: str | None = None, at: float = 0, message: str = "", **data: Any) -> Event:
    level = "error" if data.pop("failed", False) else "info"
    return Event(name, message, host=host, level=level, data=data, at=at)  # type: ignore[arg-type]


A_DEPLOY = [
    happened("attempt.started", at=0, message="deploy 3f2a9c1", hosts=["web1", "web2"]),
    happened("host.connected", "web1", 1),
    happened("facts.read", "web1", 1.5),
    happened("build.started", "web1", 2),
    happened("source.sent", "web1", 3, bytes=1_234_567),
    happened("part.started", "web1", 3, part="frontend"),
    happened("part.started", "web1", 3, part="backend"),
    happened("output", "web1", 4, part="frontend", text="added 12 packages\n"),
    happened("part.finished", "web1", 15.3, part="frontend", seconds=12.3),
    happened("part.finished", "web1", 100, part="backend", seconds=97),
    happened("release.sealed", "web1", 101, message="sealed"),
    happened("phase", "web1", 102, phase="prepared"),
    happened("step", "web1", 102, step="migrating"),
    happened("phase", "web1", 104, phase="prepared"),
    happened("step", "web1", 104, step="swapping"),
    happened("phase", "web1", 104.01, phase="swapped"),
    happened("step", "web1", 104.01, step="restarting", skipped=False),
    happened("phase", "web1", 107, phase="restarted"),
    happened("step", "web1", 107, step="gating", skipped=False),
    happened("gate.try", "web1", 107, tries=2),
    happened("phase", "web1", 111, phase="gated"),
    happened("phase", "web1", 111, phase="committed"),
    happened("host.finished", "web1", 112, state="live"),
    happened("attempt.finished", at=112),
]
