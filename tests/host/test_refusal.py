"""Why a host did not do what it was asked, in words."""

from __future__ import annotations

import errno
import os

import pytest

from oroboros_deploy.host.refusal import of_host
from tests.support.local_agent import LocalAgent

AGAIN = "put it back on the host, then run the same command again"
STATUS = "fab -H HOST status  tells what the host serves"
ROOM = "fab -H HOST prune  removes old releases; on the host, df -h and df -i tell what is full"


@pytest.mark.parametrize(
    ("error", "why", "hint"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "git"), "git is not there", AGAIN),
        (FileNotFoundError(errno.ENOENT, "gone"), "[Errno 2] gone", STATUS),
        (OSError(errno.ENOSPC, "No space left"), "[Errno 28] No space left", ROOM),
        (OSError(errno.EDQUOT, "Quota exceeded", "a"), "[Errno 122] Quota exceeded: 'a'", ROOM),
        (PermissionError(errno.EACCES, "Permission denied", "/srv"), "[Errno 13] Permission denied: '/srv'", STATUS),
    ],
)
def test_what_helps_follows_from_the_trouble(error: OSError, why: str, hint: str) -> None:
    """What is missing is named; only a disk that is full is looked at with df."""
    assert of_host("invalid", "it did not work", error).as_dict() == {
        "kind": "invalid",
        "message": f"it did not work: {why}",
        "hint": hint,
    }


@pytest.mark.slow
def test_a_file_that_disappeared_is_named_with_the_state_of_the_host(host: LocalAgent) -> None:
    """A call that switches nothing says so when the host cannot go on."""
    host.facts()
    host.paths.journal.unlink(missing_ok=True)
    host.paths.journal.symlink_to(host.root)
    refusal = host.call("lock", {"actor": "ada", "reason": "why"}).refusal or {}
    assert refusal["message"].startswith("nothing was switched: the host could not go on: [Errno 21] Is a directory")
    assert (refusal["hint"], os.path.exists(host.paths.current)) == (STATUS, False)
