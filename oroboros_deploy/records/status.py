"""The status of a release in the `releases` table, and how an attempt changes it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..outcome import State
from .record import Record


class Status(StrEnum):
    """What a row of the table `releases` says about a release."""

    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    REPLACED = "replaced"
    DEPLOY_FAILED = "deploy_failed"
    ROLLBACK_IN_PROGRESS = "rollback_in_progress"
    ROLLED_BACK = "rolled_back"
    REPLACED_BY_ROLLBACK = "replaced_by_rollback"
    ROLLBACK_FAILED = "rollback_failed"
    ROLLBACK_TARGET_MISSING = "rollback_target_missing"


SERVING = frozenset({Status.DEPLOYED, Status.ROLLED_BACK})
IN_PROGRESS = frozenset({Status.DEPLOYING, Status.ROLLBACK_IN_PROGRESS})
_FAILED = frozenset({State.RESTORED, State.NOT_RESTORED, State.NOT_SWITCHED})


def transitions(record: Record, serving: Mapping[str, str | None], before: str | None = None) -> list[tuple[str, str]]:
    """The `releases` rows that an attempt changes, as (release id, new status).

    ``serving`` is the release that each known host serves after the attempt,
    ``before`` the status that the target's row had before it (None: no row).
    One row speaks for all hosts, so one rule goes first: a release that serves
    somewhere is never called failed. The target of a deploy (of a rollback) gets:

        hosts                   target serves somewhere      target serves nowhere
        ----------------------  ---------------------------  ---------------------------------------------
        one unknown or running  unchanged                    unchanged, and so is every other row
        live on some or all     deployed (rolled_back)       replaced: the record is late, it was left since
        live there already      as before, if that served *  replaced: the same
        target missing on one   as before, if that served *  rollback_target_missing
        failed on one           as before, if that served *  deploy_failed (rollback_failed)
        none was touched        as before, if that served *  as before; new: deploy_failed (rollback_failed)

    "Failed" is restored, not restored or not switched; "none was touched" is busy,
    refused, unreachable, interrupted or skipped everywhere; ``*`` when before was
    neither deployed nor rolled_back: deployed (rolled_back). The first line that
    fits decides.

    Of the other releases, one that was restored and serves becomes deployed;
    one that was left and serves nowhere, replaced (replaced_by_rollback).

    A push changes no row, however it ended: it brings no release anywhere.
    """
    if not record.settled or not record.moves:
        return []
    target, served = record.release_id, set(serving.values())
    left = Status.REPLACED if record.kind == "deploy" else Status.REPLACED_BY_ROLLBACK
    changes: dict[str | None, str] = {
        host.previous: left for host in record.hosts if host.ok and host.previous not in served
    }
    changes |= dict.fromkeys(served.intersection(record.served.values()), Status.DEPLOYED)
    changes[target] = _target_status(record, before, serves=target in served)
    return [(release, str(status)) for release, status in changes.items() if release is not None]


def _target_status(record: Record, before: str | None, *, serves: bool) -> str:
    deploy = record.kind == "deploy"
    done = Status.DEPLOYED if deploy else Status.ROLLED_BACK
    failed = Status.DEPLOY_FAILED if deploy else Status.ROLLBACK_FAILED
    if serves:
        switched = any(host.state == State.LIVE for host in record.hosts)
        return before if before in SERVING and not switched else done
    if any(host.ok for host in record.hosts):
        return Status.REPLACED
    if any(host.target_missing for host in record.hosts):
        return Status.ROLLBACK_TARGET_MISSING
    return failed if any(host.state in _FAILED for host in record.hosts) else before or failed
