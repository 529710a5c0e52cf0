"""Each safety measure taken away, one at a time: the tests have to notice.

    python tests/mutations.py                 all of them, as a table; exits 1 when one is not noticed
    python tests/mutations.py syncfs lock     those whose name holds one of these words
    python tests/mutations.py --host          also those that only a booted host notices (root, some minutes)
    python tests/mutations.py --host --write  all, and keep their rows in docs/mutations.md

A mutation is a piece of the source, what stands there instead, and the tests that must fail.  They run on a copy of
the tree; first without any mutation, for a test that fails anyway would prove nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "mutations.md"
HOST = "oroboros_deploy/host/"
CRASHES = "tests/host/test_crash_states.py"
FAULTS = "tests/host/test_fault_table.py"
FULL = "tests/host/test_full_disk.py"
SECONDS = 900  # for the tests of one mutation
HEADING = """\
# Each safety measure, taken away

Written by `python tests/mutations.py --host --write`. Each row is one edit of the source that takes a safety measure
away, and the first test that failed because of it. A test in the suite sees to it that every edit still applies.

"""


@dataclass(frozen=True)
class Mutation:
    """A safety measure, the edit that takes it away, and the tests that must notice."""

    name: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]
    host: bool = False


MUTATIONS = (
    Mutation(
        "syncfs before a release is sealed",
        HOST + "seal.py",
        "    durable.sync_filesystem(release)\n",
        "",
        (f"{CRASHES}::test_a_seal",),
    ),
    Mutation(
        "the seal's marker is written last",
        HOST + "seal.py",
        "    rows = _manifest(release)\n",
        '    durable.write(release / SEAL, b"{}", 0o444)\n    rows = _manifest(release)\n',
        (f"{CRASHES}::test_a_seal",),
    ),
    Mutation(
        "fsync of a file before its rename",
        HOST + "durable.py",
        "        _write_all(descriptor, data)\n        os.fsync(descriptor)\n",
        "        _write_all(descriptor, data)\n",
        (CRASHES, "-k", "first"),
    ),
    Mutation(
        "fsync of the directory after a rename",
        HOST + "durable.py",
        "    os.rename(source, target)\n    sync_directory(target.parent)\n",
        "    os.rename(source, target)\n",
        (CRASHES, "-k", "first"),
    ),
    Mutation(
        "fsync of the directory of a new directory",
        HOST + "durable.py",
        "        path.mkdir(mode=mode, exist_ok=True)\n        sync_directory(path.parent)\n",
        "        path.mkdir(mode=mode, exist_ok=True)\n",
        ("tests/host/test_durable.py",),
    ),
    Mutation(
        "fsync of a journal entry",
        HOST + "durable.py",
        "            if lasting:\n                os.fsync(descriptor)  # here some disks say that they are full\n",
        "",
        (CRASHES, "-k", "first"),
    ),
    Mutation(
        "half a line that a power cut left is dropped",
        HOST + "durable.py",
        "    if size and os.pread(descriptor, 1, size - 1) != b",
        "    if False and os.pread(descriptor, 1, size - 1) != b",
        ("tests/host/test_journal.py",),
    ),
    Mutation(
        "the mark that an activation is unfinished",
        HOST + "activation.py",
        "        self._spend(self._mark_unfinished)",
        "        pass",
        ("tests/host/test_boot.py", "-k", "unfinished"),
    ),
    Mutation(
        "an unfinished mark without a state is cleared",
        HOST + "activation.py",
        "    if found is None:\n        _clear(layout)\n",
        "    if found is None:\n",
        (CRASHES, "-k", "first"),
    ),
    Mutation(
        "the phase is on the disk before the next step",
        HOST + "activation.py",
        "            self._spend(state.save, self.layout.state, entered)\n",
        '            if phase != "gated":\n                self._spend(state.save, self.layout.state, entered)\n',
        ("tests/host/test_activation.py", "-k", "death"),
    ),
    Mutation(
        "an attempt that has its result is not settled again",
        HOST + "activation.py",
        "    if found.final or state.has_end(layout, found.attempt):",
        "    if found.final:",
        ("tests/host/test_activation.py", "-k", "with_a_result"),
    ),
    Mutation(
        "a gated attempt commits only what current names",
        HOST + "activation.py",
        "        if live != target:\n            return words.moved(target, live)\n",
        "",
        ("tests/host/test_activation.py", "-k", "is_no_commit"),
    ),
    Mutation(
        "only declared transitions",
        HOST + "state.py",
        "        if phase not in TRANSITIONS[self.phase]:",
        "        if False:",
        (FAULTS, "-k", "undeclared"),
    ),
    Mutation(
        "the restore link is made before the switch",
        HOST + "activation.py",
        '            self._stage("restore", source)\n',
        "            pass\n",
        (FULL, "-k", "end_that_cannot_be_written"),
    ),
    Mutation(
        "the reserve for a full disk",
        HOST + "reserve.py",
        "                if error.errno not in _FULL or not self._give_up_one():\n",
        "                if True:\n",
        (FULL, "-k", "rollback"),
    ),
    Mutation(
        "a log line is written whole or not at all",
        HOST + "durable.py",
        "            os.ftruncate(descriptor, end)\n            raise\n",
        "            raise\n",
        (FULL, "-k", "whole_lines"),
    ),
    Mutation(
        "the target is verified before the switch",
        HOST + "activation.py",
        '        damage, self.added = seal.compare(release) if found == "sealed" else seal.WHOLE\n',
        "        damage, self.added = seal.WHOLE\n",
        ("tests/host/building/test_build.py", "-k", "damage_is_noticed"),
    ),
    Mutation(
        "only sealed or adopted releases are switched to",
        HOST + "activation.py",
        '        if found not in SWITCHABLE:\n            raise Refusal("missing"',
        '        if False:\n            raise Refusal("missing"',
        ("tests/host/test_activation.py", "-k", "refused_changes_nothing"),
    ),
    Mutation(
        "the link for current is renamed, never removed and made",
        HOST + "activation.py",
        "            durable.replace(self.layout.staged(name), self.layout.current)\n        except",
        "            self.layout.current.unlink(missing_ok=True)\n"
        "            durable.replace(self.layout.staged(name), self.layout.current)\n        except",
        ("tests/host/test_activation.py", "-k", "never_missing"),
    ),
    Mutation(
        "fsync of the directory of what was replaced",
        HOST + "durable.py",
        "    if lasting:\n        sync_directory(path.parent)\n",
        "",
        (CRASHES,),
    ),
    Mutation(
        "reset-failed before a restart",
        HOST + "units.py",
        '        _systemctl(privileged("systemctl", "reset-failed", "--", *names), 30)\n',
        "        pass\n",
        ("tests/host/test_units.py",),
    ),
    Mutation(
        "reset-failed for a unit that was started a moment ago",
        HOST + "units.py",
        'counted=block.get("ActiveState") != "active" or _counted(block),',
        'counted=block.get("ActiveState") != "active",',
        ("tests/host/test_units.py",),
    ),
    Mutation(
        "reset-failed for a unit that is not active",
        HOST + "units.py",
        'counted=block.get("ActiveState") != "active" or _counted(block),',
        "counted=_counted(block),",
        ("tests/host/test_units.py",),
    ),
    Mutation(
        "the stability window",
        HOST + "gate.py",
        "        return not self.gate.services or time.monotonic() - self.unchanged_since >= self.gate.stable_for\n",
        "        return True\n",
        ("tests/host/test_gate.py",),
    ),
    Mutation(
        "a new process starts the window again",
        HOST + "gate.py",
        "        if identities != self.identities:\n",
        "        if not self.identities:\n            self.identities = identities\n        if False:\n",
        ("tests/host/test_gate.py",),
    ),
    Mutation(
        "the whole process group ends at the deadline",
        HOST + "process.py",
        "    _signal_group(process, signal.SIGKILL)\n    process.wait()\n",
        "    process.kill()\n    process.wait()\n",
        ("tests/host/test_process.py",),
    ),
    Mutation(
        "the lock",
        HOST + "lock.py",
        "            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)\n",
        "            return None\n",
        ("tests/host/test_lock.py",),
    ),
    Mutation(
        "an attempt that is asked for again acts once",
        HOST + "launch.py",
        '        if known(layout, request["attempt"]):\n            return False\n',
        "",
        (FAULTS, "-k", "test_going and deploy-kill-before"),
    ),
    Mutation(
        "an attempt that was given up does not begin",
        HOST + "launch.py",
        '            if (layout.attempt(attempt) / "result.json").exists():\n                return',
        "            if False:\n                return",
        ("tests/host/test_launch.py",),
    ),
    Mutation(
        "the boot id: an activation of this boot is left alone",
        HOST + "activation.py",
        "    if found and not found.of_this_boot:\n",
        "    if found:\n",
        ("tests/host/test_boot.py", "-k", "this_boot"),
    ),
    Mutation(
        "the chain of the journal's hashes",
        HOST + "journal.py",
        '"previous": last["hash"]}',
        '"previous": GENESIS}',
        ("tests/host/test_journal.py",),
    ),
    Mutation(
        "a failed gate marks the release",
        HOST + "activation.py",
        "            self._mark_bad(failure)\n            return self._restore(failure)\n",
        "            return self._restore(failure)\n",
        ("tests/host/test_activation.py", "-k", "taken_back"),
    ),
    Mutation(
        "pruning keeps the live release and the one before it",
        HOST + "retention.py",
        "        **held,\n",
        "",
        ("tests/host/test_retention.py", "tests/host/test_prune.py"),
    ),
    Mutation(
        "a hold is honoured",
        HOST + "launch.py",
        "            hold.refuse(layout)",
        "            pass",
        ("tests/host/test_hold.py",),
    ),
    Mutation(
        "a hold of 0.1.0 is honoured",
        HOST + "hold.py",
        "    return _read(layout.hold) or _read(layout.old_hold)\n",
        "    return _read(layout.hold)\n",
        ("tests/host/test_written_by_0_1_0.py", "-k", "hold"),
    ),
    Mutation(
        "what a later version wrote is not touched",
        HOST + "calls.py",
        '    layout = Layout.of(asked["request"]["layout"])\n    layout.refuse_newer()\n',
        '    layout = Layout.of(asked["request"]["layout"])\n',
        ("tests/host/test_format.py", "-k", "an_agent_changes_nothing"),
    ),
    Mutation(
        "the host key is verified",
        "oroboros_deploy/ssh/connection.py",
        "        self._known_hosts.verify(key)\n",
        "        pass\n",
        ("tests/ssh/test_known_hosts.py",),
    ),
    Mutation(
        "the spool: a record the registry could not take is kept",
        "oroboros_deploy/control/attempt.py",
        "            self.node.spool.put(record, url_key(self.node.registry_url))\n",
        "            url_key(self.node.registry_url)\n",
        ("tests/registry/test_trouble.py",),
    ),
    Mutation(
        "ExecStopPost= recovers a killed agent",
        HOST + "launch.py",
        '        "ExecStopPost": recovery,\n',
        "",
        ("tests/machines/test_faults.py", "-k", "killed-restarted"),
        host=True,
    ),
    Mutation(
        "RuntimeMaxSec= ends a frozen agent",
        HOST + "launch.py",
        '        "RuntimeMaxSec": f"{there + back:.0f}",\n',
        "",
        ("tests/host/test_launch.py", "-k", "a_bound_and_a_recovery"),
    ),
    Mutation(
        "the unit is started without a pipe to the connection",
        HOST + "launch.py",
        '"--quiet", "--no-block", "--collect"),\n        *([f"--unit',
        '"--quiet", "--pipe", "--wait", "--collect"),\n        *([f"--unit',
        ("tests/host/test_launch.py", "-k", "a_bound_and_a_recovery"),
    ),
    Mutation(
        "the boot unit is ordered before the services",
        HOST + "boot.py",
        "Before={services}\n",
        "",
        ("tests/host/test_boot.py", "-k", "test_the_unit"),
    ),
)


def main(arguments: Sequence[str]) -> int:
    """Run the mutations asked for; 0 when each was noticed."""
    options = _parser().parse_args(arguments)
    words = [word.lower() for word in options.words]
    chosen = [each for each in MUTATIONS if options.host or not each.host]
    chosen = [each for each in chosen if not words or any(word in each.name.lower() for word in words)]
    if gone := [each.name for each in chosen if not applies(each)]:
        print(f"the source has changed under: {', '.join(gone)}")
        return 1
    with tempfile.TemporaryDirectory(prefix="mutations-") as directory:
        tree = _copy(Path(directory) / "tree")
        for selection in dict.fromkeys(each.tests for each in chosen):
            if failed := _failure(tree, selection):
                print(f"without any mutation {failed} fails")
                return 1
        rows = dict(_rows(tree, chosen))
    if options.write:
        _keep(rows)
    return int(any(_MISSED in row for row in rows.values()))


def applies(mutation: Mutation) -> bool:
    """Whether its text is in the source, once."""
    return (ROOT / mutation.file).read_text().count(mutation.text) == 1


_HEADER = ("| taken away | noticed by | seconds |", "|---|---|---|")
_MISSED = "**nothing**"


def _keep(rows: dict[str, str]) -> None:
    """Write the table: these rows, and those of the mutations that were not run this time."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    known = {line.strip("| ").split(" | ")[0]: line for line in lines if line.startswith("| ")} | rows
    kept = [known[each.name] for each in MUTATIONS if each.name in known]
    TABLE.write_text(HEADING + "".join(f"{row}\n" for row in [*_HEADER, *kept]))


def _rows(tree: Path, mutations: Sequence[Mutation]) -> Iterator[tuple[str, str]]:
    print(*_HEADER, sep="\n", flush=True)
    for mutation in mutations:
        began = time.monotonic()
        path = tree / mutation.file
        source = path.read_text()
        path.write_text(source.replace(mutation.text, mutation.instead))
        noticed = _failure(tree, mutation.tests)
        path.write_text(source)
        row = f"| {mutation.name} | {f'`{noticed}`' if noticed else _MISSED} | {time.monotonic() - began:.0f} |"
        print(row, flush=True)
        yield mutation.name, row


def _failure(tree: Path, tests: Sequence[str]) -> str | None:
    """The first test that fails on this tree, None when all pass."""
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", *tests]
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(argv, cwd=tree, env=environ, capture_output=True, text=True, timeout=SECONDS)
    if ran.returncode == 0:
        return None
    named = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if not named:
        raise SystemExit(f"{' '.join(tests)} could not run:\n{ran.stdout}{ran.stderr}")
    return named[0].partition("[")[0]


def _copy(tree: Path) -> Path:
    ignored = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", "*.egg-info")
    shutil.copytree(ROOT, tree, ignore=ignored, symlinks=True)
    return tree


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Take each safety measure away and see that the tests notice.")
    parser.add_argument("words", nargs="*", help="only those whose name holds one of these")
    parser.add_argument("--host", action="store_true", help="also those that only a booted host notices")
    parser.add_argument("--write", action="store_true", help=f"keep their rows in {TABLE.relative_to(ROOT)}")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
