"""Reconciling: the hosts' journals are read, compared with the registry, and what differs is written there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from shlex import quote
from socket import gethostname
from typing import TYPE_CHECKING

from ..errors import DeployError
from ..records.reconcile import Doubt, Repair, Repairs, compare
from .asking import close, on_each
from .resolving import described_commit, named_hosts, required_hosts

if TYPE_CHECKING:
    from ..records.record import Record
    from ..registry import Registry
    from ..source import Commit
    from .node import ControlNode

_OFTEN = 100  # repairs between two signs of life


def reconcile(node: ControlNode, hosts: Sequence[str] | None, *, dry_run: bool) -> Repairs:
    """Make the registry say what the journals of the hosts say, and return what differed.

    With ``dry_run`` nothing is written.  Raises RegistryUnavailable.
    """
    with ExitStack() as stack:
        works = [node.host(name) for name in dict.fromkeys(named_hosts(node.config, hosts))]
        registry = stack.enter_context(node.registry(works, write=not dry_run))
        memory = registry.memory(node.application, node.config.root, control_node=gethostname())
        works = works or [node.host(name) for name in memory.hosts]
        stack.callback(lambda: close(works))
        required_hosts(node.config, [work.name for work in works])
        node.tell(
            "journals", f"reading the journal{'s' * (len(works) != 1)} of {len(works)} host{'s' * (len(works) != 1)}"
        )
        read = on_each(works, lambda host: host.journal())
        unread = {work.name: each for work, each in zip(works, read, strict=True) if isinstance(each, DeployError)}
        repairs = compare(memory, [each for each in read if not isinstance(each, DeployError)])
        repairs = _completed(node, repairs, unread, waiting=node.spool.pending(registry.key))
        return repairs if dry_run else _mended(node, registry, repairs)


def _completed(
    node: ControlNode, found: Repairs, unread: Mapping[str, DeployError], waiting: Sequence[Record]
) -> Repairs:
    """The repairs, with what this machine can add to them and what else is doubtful."""
    commits = {each.record.attempt: described_commit(node, each.record.commit_sha) for each in found.attempts}
    attempts = [
        replace(each, record=_with_commit(each.record, commits[each.record.attempt])) for each in found.attempts
    ]
    doubts = [Doubt(name, _unread(node, name, error)) for name, error in unread.items()]
    if waiting:
        there = f"records of attempts that wait on this machine for the registry: {len(waiting)}"
        doubts.append(Doubt(None, f"{there}; the next command that changes the registry writes these records first"))
    nameless = {commit.sha for commit in commits.values() if not commit.subject}
    if nameless:
        what = f"subjects and times of {len(nameless)} commits are not known"
        doubts.append(Doubt(None, f"{what}: this repository does not have these commits"))
    return replace(found, attempts=tuple(attempts), doubts=(*found.doubts, *doubts), unread=tuple(unread))


def _unread(node: ControlNode, name: str, error: DeployError) -> str:
    gone = f"if it is gone for good: fab registry.forget --host={quote(name)}{node.config.flags}"
    return f"it was not read, so its part of the registry stays as it is: {error.message} ({gone})"


def _with_commit(record: Record, commit: Commit) -> Record:
    subject, committed_at = record.subject or commit.subject, record.committed_at or commit.committed_at
    return replace(record, subject=subject or None, committed_at=committed_at or None)


def _mended(node: ControlNode, registry: Registry, repairs: Repairs) -> Repairs:
    """The repairs, written one by one.  Rows first, hosts last: whatever is not reached is found again next time."""
    changed = 0
    for number, repair in enumerate(chain[Repair](repairs.rows, repairs.attempts, repairs.serving), 1):
        changed += not registry.mend(repair)
        if number % _OFTEN == 0:
            node.tell("registry.mended", f"{number} of {len(repairs)} repairs are written")
    late = Doubt(None, f"{changed} repairs were skipped, for another command changed the registry; reconcile once more")
    return replace(repairs, written=True, doubts=(*repairs.doubts, *([late] if changed else [])))
