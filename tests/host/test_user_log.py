"""What a unit of the login's own manager said."""

from __future__ import annotations

import json
import os
import pwd
import time
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import environment, user_log


def entry(message: str | list[int] | list[str | list[int]], **more: Any) -> str:
    """A line of the journal, as journalctl writes it."""
    return json.dumps({"__REALTIME_TIMESTAMP": "1700000000250000", "_PID": "7", "MESSAGE": message, **more})


OF_THE_API = {"SYSLOG_IDENTIFIER": "sh", "_TRANSPORT": "stdout", "_SYSTEMD_UNIT": "user@1000.service"} | {
    "_SYSTEMD_USER_UNIT": "api.service"
}
LINES = [  # the newest first
    entry("api.service: Failed with result 'exit-code'.", SYSLOG_IDENTIFIER="systemd", USER_UNIT="api.service"),
    entry("no water", SYSLOG_IDENTIFIER="sh", _TRANSPORT="stdout"),  # it ended before anybody saw its unit
    entry("of the mailer", **{**OF_THE_API, "_SYSTEMD_USER_UNIT": "mailer.service"}),
    entry("session opened", SYSLOG_IDENTIFIER="sshd", _TRANSPORT="syslog", _SYSTEMD_UNIT="session-3.scope"),
    entry([104, 101, 255], **OF_THE_API),
    entry("first", **OF_THE_API),
    '{"MESSAGE": "cut sho',
]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journalctl that answers with the file ``answer``, and fails where there is none."""
    tool = tmp_path / "journalctl"
    tool.write_text(f"#!/bin/sh\ncat {tmp_path}/answer 2>/dev/null\n")
    tool.chmod(0o755)
    monkeypatch.setattr(environment, "SYSTEM", f"{tmp_path}:{environment.SYSTEM}")
    return tmp_path / "answer"


def test_its_lines_and_those_whose_unit_nobody_knows(journal: Path) -> None:
    """In the order in which they were said, with its manager's words, without those of other units and sessions."""
    journal.write_text("\n".join(LINES))
    at = time.strftime("%b %d %H:%M:%S", time.localtime(1700000000))
    told = [
        f"{at} sh[7]: first",
        f"{at} sh[7]: he�",
        f"{at} sh[7]: no water",
        f"{at} systemd[7]: api.service: Failed with result 'exit-code'.",
    ]
    assert user_log.recent("api.service", 1.0, 15).splitlines() == told
    assert user_log.recent("api.service", 1.0, 2).splitlines() == told[2:]


def test_an_entry_with_several_messages(journal: Path) -> None:
    """One entry may have the field more than once: each is told, in a line of its own, also one that is no text."""
    journal.write_text("\n".join([entry(["no water", [104, 101, 255]], **OF_THE_API), entry("first", **OF_THE_API)]))
    at = time.strftime("%b %d %H:%M:%S", time.localtime(1700000000))
    told = [f"{at} sh[7]: first", f"{at} sh[7]: no water", "he�"]
    assert user_log.recent("api.service", 1.0, 15).splitlines() == told


def test_a_journal_that_the_login_may_not_read(journal: Path) -> None:
    """Shows nothing, and there is a line to type for it."""
    assert user_log.recent("api.service", 1.0, 15) == ""
    user, uid = pwd.getpwuid(os.getuid()).pw_name, os.getuid()
    assert user_log.unread() == (
        f"the journal shows {user} no line of this unit; on the host, as root (this restarts all services of {user}): "
        f"usermod -aG systemd-journal {user} && systemctl restart user@{uid}.service"
    )
