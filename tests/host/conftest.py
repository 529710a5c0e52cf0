"""Tests of the agent do not wait for the disk."""

from __future__ import annotations

import os

import pytest

from oroboros_deploy.host import durable


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here cuts the power, so nobody in this process waits for the disk; the agent's own processes do."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(durable, "sync_filesystem", lambda path: None)
