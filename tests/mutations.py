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
BOOT = "tests/host/test_boot.py"
CRASHES = "tests/host/test_crash_states.py"
FAULTS = "tests/host/test_fault_table.py"
FULL = "tests/host/test_full_disk.py"
GATE = "tests/host/test_gate.py"
OUTSIDERS = "tests/host/test_outsiders.py"
PROBES = "tests/host/test_probes.py"
CONFIGURATION = "tests/host/test_configuration.py"
UNIT_SETS = "tests/host/test_unit_sets.py"
USER = "tests/host/test_another_user.py"
HELPER = "oroboros_deploy/least/helper.py"
LEAST = "tests/least/test_helper.py"
BUILDING = "tests/host/building/"
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
        "bytecode of another Python is not run",
        "oroboros_deploy/remote/agent.py",
        "        if magic == MAGIC_NUMBER:\n",
        "        if magic:\n",
        ("tests/remote/test_agent.py", "-k", "cannot_be_used"),
    ),
    Mutation(
        "bytecode that this login did not compile is not run",
        "oroboros_deploy/remote/agent.py",
        "    if proof.holds(kept):\n",
        "    if os.path.isfile(kept):\n",
        ("tests/remote/test_agent.py", "-k", "did_not_make"),
    ),
    Mutation(
        "what a deploy does not ask for is not imported on the host",
        HOST + "facts.py",
        "from .building import mirror\n",
        "from . import unit_sets  # noqa: F401\nfrom .building import mirror\n",
        ("tests/host/test_imports.py",),
    ),
    Mutation(
        "sudo is asked beside the other facts",
        HOST + "units.py",
        "        asker.start()\n",
        "        asker.start()\n        asker.join()\n",
        ("tests/host/test_units.py", "-k", "beside"),
    ),
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
        "    rows = _manifest(release, apart, known)\n",
        '    durable.write(release / SEAL, b"{}", 0o444)\n    rows = _manifest(release, apart, known)\n',
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
        "an activation of another deploy root is waited for",
        HOST + "turn.py",
        "    return WAIT_FOR_OTHERS if said is None else said\n",
        "    return said or 0.0\n",
        ("tests/host/test_turn.py",),
    ),
    Mutation(
        "nobody waits where a hold would refuse",
        HOST + "turn.py",
        "and not hold.found(layout) and",
        "and",
        ("tests/host/test_turn.py",),
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
        "(self._gone(target), self._moved_env(), self._moved_units(), *down",
        "(self._moved_env(), self._moved_units(), *down",
        ("tests/host/test_activation.py", "-k", "is_no_commit"),
    ),
    Mutation(
        "a restore ends well only with the configuration from before",
        HOST + "activation.py",
        "self._gone(source) or self._moved_env(back=True)",
        "self._gone(source)",
        ("tests/host/test_outsiders.py", "-k", "relinks and env and going and not dies"),
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
        "    _signal_group(process, signal.SIGKILL)\n    _wait(process, DYING)\n",
        "    process.kill()\n    _wait(process, DYING)\n",
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
        '        if state.known(layout, request["attempt"]):\n            return False\n',
        "",
        ("tests/host/test_launch.py", "-k", "by_two_at_once"),
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
        "            self._mark_bad(failure)\n            return self.restore(failure)\n",
        "            return self.restore(failure)\n",
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
        '        layout.refuse_newer()\n        if asked["call"] != "claim":\n',
        '        if asked["call"] != "claim":\n',
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
        "a login shell's words are not the agent's",
        "oroboros_deploy/remote/session.py",
        "                if self._greeted:\n                    yield said\n                else:\n",
        "                if True:\n                    yield said\n                if not self._greeted:\n",
        ("tests/remote/test_session.py", "-k", "login_shell_prints and answer"),
    ),
    Mutation(
        "what changes the agent's lines is named",
        "oroboros_deploy/remote/session.py",
        "        elif not self._greeted and said.endswith((START, *_IMPEDED)):\n",
        "        elif False:\n",
        ("tests/remote/test_session.py", "-k", "changes_each_line"),
    ),
    Mutation(
        "an answer of somebody else's is none",
        "oroboros_deploy/remote/said.py",
        '    if number <= FORMAT and not isinstance(said["result"], dict):\n        raise ValueError("no result")\n',
        "",
        ("tests/remote/test_said.py", "-k", "no_answer_is_refused"),
    ),
    Mutation(
        "settings of a transaction end with it",
        "oroboros_deploy/registry/database.py",
        "        \"SET LOCAL statement_timeout = '15s'\",",
        "        \"SET statement_timeout = '15s'\",",
        ("tests/registry/test_pooler.py", "-k", "nothing_of_ours"),
    ),
    Mutation(
        "what is sent to PostgreSQL is UTF-8",
        "oroboros_deploy/registry/database.py",
        '    "client_encoding": "utf8",  #',
        "    #",
        ("tests/registry/test_database.py", "-k", "any_character and UTF8"),
    ),
    Mutation(
        "a login shell that prints without an end is named",
        "oroboros_deploy/remote/session.py",
        "        except LineTooLong:\n",
        "        except ZeroDivisionError:\n",
        ("tests/remote/test_session.py", "-k", "without_an_end"),
    ),
    Mutation(
        "an input that is not the agent's is named",
        "oroboros_deploy/remote/session.py",
        "elif ! passed 0; then\n",
        "elif false; then\n",
        ("tests/remote/test_session.py", "-k", "not_ours_is_named and null"),
    ),
    Mutation(
        "an output that leads to nobody is named",
        "oroboros_deploy/remote/session.py",
        "[ -t 1 ] || passed 1 || exit {UNHEARD}\n",
        "",
        ("tests/remote/test_session.py", "-k", "leads_to_nobody and null"),
    ),
    Mutation(
        "a hold that nobody ran into is in the headline",
        "oroboros_deploy/web/overview.py",
        '"held": held,',
        '"held": [],',
        ("tests/web/test_overview.py", "-k", "hold_that_nobody"),
    ),
    Mutation(
        "a hold that was seen earlier takes the place of none",
        "oroboros_deploy/registry/holds.py",
        "set_=values, where=newer)",
        "set_=values)",
        ("tests/registry/test_holds.py", "-k", "older_answer and sqlite"),
    ),
    Mutation(
        "facts count from when they were asked for",
        "oroboros_deploy/registry/events.py",
        'event.data.get("asked_at", event.at)',
        "event.at",
        ("tests/registry/test_holds.py", "-k", "asked_for and sqlite"),
    ),
    Mutation(
        "a clock that was set back freezes no hold",
        "oroboros_deploy/registry/holds.py",
        "or_(known <= told, known > now)",
        "known <= told",
        ("tests/registry/test_holds.py", "-k", "set_back and sqlite"),
    ),
    Mutation(
        "a failed attempt leaves the configuration of one that waits",
        "oroboros_deploy/host/configuration.py",
        "time.time() + _SHARED",
        "time.time()",
        (CONFIGURATION, "-k", "waits_with"),
    ),
    Mutation(
        "the page of a host tells the hold that comes after a hundred others",
        "oroboros_deploy/web/pages.py",
        "reader.held_on(host)",
        '[each for each in reader.held() if each["host"] == host]',
        ("tests/web/test_pages.py", "-k", "however_many"),
    ),
    Mutation(
        "the metrics have every hold",
        "oroboros_deploy/web/metrics.py",
        "self._reader.every_hold()",
        "self._reader.held()",
        ("tests/web/test_metrics.py", "-k", "every_hold"),
    ),
    Mutation(
        "who waits for an answer takes what was begun after the question",
        "oroboros_deploy/web/conditional.py",
        "if self._began > asked:",
        "if False:",
        ("tests/web/test_conditional.py", "-k", "while_the_registry_changes"),
    ),
    Mutation(
        "a CSV does not end with its first page",
        "oroboros_deploy/registry/reading.py",
        "while page.next:\n            page = self.attempts(_MANY",
        "while False:\n            page = self.attempts(_MANY",
        ("tests/web/test_api.py", "-k", "csv_has_every"),
    ),
    Mutation(
        "a hold is of one application",
        "oroboros_deploy/registry/holds.py",
        '{"application": asked.application, "host"',
        '{"application": "", "host"',
        ("tests/registry/test_holds.py", "-k", "applications_on_a_host and sqlite"),
    ),
    Mutation(
        "no way back is offered while nobody knows what serves",
        "oroboros_deploy/web/overview.py",
        'if self.at_work or (self.last and self.last["state"] in _UNSURE):',
        "if False:",
        ("tests/web/test_overview.py", "-k", "no_way_back"),
    ),
    Mutation(
        "a push makes a release no newer",
        "oroboros_deploy/registry/queries.py",
        '_text(case((stayed, func.coalesce(carried, _S.since)), else_=_S.since), "since"),',
        '_text(_S.since, "since"),',
        ("tests/registry/test_reading.py", "-k", "push_does_not and sqlite"),
    ),
    Mutation(
        "no cell of a table for spreadsheets is a formula",
        "oroboros_deploy/web/spreadsheet.py",
        """return _SEPARATED.sub(r"\\1'", text) if isinstance(text, str) else text""",
        "return text",
        ("tests/web/test_spreadsheet.py",),
    ),
    Mutation(
        "a rollback without an id leaves no other release than the one that was shown",
        "oroboros_deploy/control/plan.py",
        'request["expected"] = shown["live"]\n',
        "pass\n",
        ("tests/control/test_back.py", "-k", "since_it_was_shown"),
    ),
    Mutation(
        "a rollback without an id goes to no release that is bad on one host",
        "oroboros_deploy/control/way_back.py",
        "return max(good & earlier, ",
        "return max(earlier, ",
        ("tests/control/test_way_back.py", "-k", "choice"),
    ),
    Mutation(
        "a rollback without an id goes to a release from before the live one",
        "oroboros_deploy/control/way_back.py",
        "return max(good & earlier, ",
        "return max(good, ",
        ("tests/control/test_way_back.py", "-k", "choice"),
    ),
    Mutation(
        "a command on a page has the root that the registry knows",
        "oroboros_deploy/web/typeable.py",
        'if len(roots) == 1 else ROOT}"] if roots else []\n',
        'if len(roots) == 1 else ROOT}"] if False else []\n',
        ("tests/web/test_typeable.py", "-k", "command_has"),
    ),
    Mutation(
        "a registry behind SSH is encrypted to the database where that is asked for",
        "oroboros_deploy/control/node.py",
        "connection.forward_port(*address) if wants_tls(url, os.environ) else ",
        "",
        ("tests/control/test_encrypted_via.py", "-k", "to_the_server_itself"),
    ),
    Mutation(
        "the certificate of a registry behind SSH has the name in the URL",
        "oroboros_deploy/registry/database.py",
        '{"host": registry_address(url).host, ',
        '{"host": "127.0.0.1", ',
        ("tests/control/test_encrypted_via.py", "-k", "verify-full"),
    ),
    Mutation(
        "no variable of PostgreSQL leads past via",
        "oroboros_deploy/control/node.py",
        "                check_via(url, os.environ)\n",
        "",
        ("tests/control/test_encrypted_via.py", "-k", "past_the_tunnel"),
    ),
    Mutation(
        "the table releases is left to its owner",
        "oroboros_deploy/registry/registry.py",
        '        lacks = self._owner != "theirs" and',
        "        lacks =",
        ("tests/registry/test_releases.py",),
    ),
    Mutation(
        "no password in what is logged",
        "oroboros_deploy/cli/program.py",
        "        hide_secrets()\n",
        "",
        ("tests/cli/test_program.py", "-k", "debugging_run_shows and hunter2"),
    ),
    Mutation(
        "a name that a settings file says twice is refused",
        "oroboros_deploy/cli/settings_file.py",
        "                if said in known:",
        "                if False:",
        ("tests/cli/test_settings_file.py",),
    ),
    Mutation(
        "a dry run of Fabric's is refused",
        "oroboros_deploy/control/ssh_settings.py",
        '    if _section(given, "run").get("dry"):',
        "    if False:",
        ("tests/control/test_ssh_settings.py", "-k", "not_followed"),
    ),
    Mutation(
        "Fabric's settings that are not followed are refused",
        "oroboros_deploy/control/ssh_settings.py",
        "        if name not in checks:",
        "        if False:",
        ("tests/control/test_ssh_settings.py", "-k", "not_followed"),
    ),
    Mutation(
        "tasks before and after ours run",
        "oroboros_deploy/cli/program.py",
        "            expanded += self.expand_calls(call.pre, apply_hosts=False)\n",
        "",
        ("tests/cli/test_program.py", "-k", "before or around"),
    ),
    Mutation(
        "a question runs no program that a repository names",
        "oroboros_deploy/source.py",
        "                env=_environment() | _ALONE,",
        "                env=_environment(),",
        ("tests/test_source.py", "-k", "runs_no_program"),
    ),
    Mutation(
        "a tag and a branch of one name are refused",
        "oroboros_deploy/source.py",
        '("-c", "core.warnAmbiguousRefs=true")',
        "()",
        ("tests/test_source.py", "-k", "tag_and_a_branch"),
    ),
    Mutation(
        "other parents than those of the commits are refused",
        "oroboros_deploy/source.py",
        "        self._refuse_grafts()\n",
        "",
        ("tests/test_source.py", "-k", "grafts"),
    ),
    Mutation(
        "variables of a hook lead nowhere else",
        "oroboros_deploy/source.py",
        '    "GIT_DIR",\n',
        "",
        ("tests/test_source.py", "-k", "hook"),
    ),
    Mutation(
        "a keyword of ssh_config that is not followed is refused",
        "oroboros_deploy/ssh/directives.py",
        "        if any(value.lower() not in REFUSED[name] for value in answer.all(keyword)):",
        "        if False:",
        ("tests/ssh/test_resolving.py", "-k", "refusals"),
    ),
    Mutation(
        "ProxyCommand is run by the user's shell",
        "oroboros_deploy/ssh/proxy.py",
        'os.environ.get("SHELL") or "/bin/sh"',
        '"/bin/sh"',
        (
            "tests/ssh/test_resolving.py",
            "tests/ssh/test_proxy.py",
            "tests/ssh/test_dial.py",
            "tests/ssh/test_connection.py",
            "-k",
            "shell or proxy",
        ),
    ),
    Mutation(
        "another key is offered where two are wanted",
        "oroboros_deploy/ssh/login.py",
        '        if "publickey" in missing:\n            raise _NextKey\n',
        "",
        ("tests/ssh/test_login.py", "-k", "two_keys"),
    ),
    Mutation(
        "a certificate is offered with its key",
        "oroboros_deploy/ssh/login.py",
        '            yield from self._certified(key, (*self._target.certificates, f"{path}-cert.pub"))\n',
        "",
        ("tests/ssh/test_login.py", "-k", "certificate_beside"),
    ),
    Mutation(
        "a pointer of a filter is refused",
        "oroboros_deploy/host/building/mirror.py",
        "            _refuse_unfiltered(release, paths)\n",
        "            pass\n",
        ("tests/host/building/test_mirror.py", "-k", "filter_left_out"),
    ),
    Mutation(
        "the login's git configuration is shut out",
        "oroboros_deploy/host/building/mirror.py",
        "{**_OURS_ALONE, **_NO_FETCH} if settings",
        "{**_NO_FETCH} if settings",
        ("tests/host/building/test_mirror.py", "-k", "told_otherwise"),
    ),
    Mutation(
        "what somebody else put at repo is left alone",
        "oroboros_deploy/host/building/mirror.py",
        ' and not self.is_ours:\n            raise Refusal(\n                "invalid"',
        ' and False:\n            raise Refusal(\n                "invalid"',
        ("tests/host/building/test_mirror.py", "-k", "somebody_else"),
    ),
    Mutation(
        "no path of a recipe leads out of the release",
        "oroboros_deploy/host/building/within.py",
        '    if found != top and not found.startswith(f"{top}/"):',
        "    if False:",
        ("tests/host/building/test_within.py",),
    ),
    Mutation(
        "paths of requirements count from their project",
        "oroboros_deploy/host/building/requirements.py",
        "    return release if only_from_release else file.parent",
        "    return release",
        ("tests/host/building/test_requirements.py",),
    ),
    Mutation(
        "a project is told the version that git knows",
        "oroboros_deploy/host/building/git_version.py",
        "if re.search(pattern, text)]",
        "if False]",
        ("tests/host/building/test_git_version.py", "-k", "is_told"),
    ),
    Mutation(
        "only the default command is left out without npm",
        "oroboros_deploy/host/building/parts.py",
        '        return self.settings["command"] == FRONTEND_COMMAND and not',
        "        return not",
        ("tests/host/building/test_parts.py", "-k", "npm"),
    ),
    Mutation(
        "no time of a file goes back",
        "oroboros_deploy/host/building/cache.py",
        "        return known.st_mtime_ns < self._time_before(path)",
        "        return False",
        ("tests/host/building/test_cache.py", "-k", "goes_back"),
    ),
    Mutation(
        "what ran before a build is not ended with it",
        "oroboros_deploy/host/building/workspace.py",
        "        left = [child for child in _children() if child not in spared]",
        "        left = _children()",
        ("tests/host/building/test_workspace.py", "-k", "before_a_build"),
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
    Mutation(
        "what the live release has is copied before a path is shared",
        HOST + "shared.py",
        "    if _has_content(served) and not _has_content(place) and not _is_same(served, place):\n",
        "    if False:\n",
        ("tests/host/test_shared.py::test_what_the_live_release_has_is_not_left_behind",),
    ),
    Mutation(
        "a restore is held to what its release passed",
        HOST + "activation.py",
        "        held = self._held_to(judged, self.back_proven).with_members()\n",
        "        held = self._held_to(self.request).with_members()\n",
        ("tests/host/test_records.py", "-k", "no_release_passes"),
    ),
    Mutation(
        "a release whose migration failed is noted",
        HOST + "activation.py",
        "        failed = isinstance(failure, MigrationFailed)\n",
        "        failed = False\n",
        ("tests/host/test_activation.py", "-k", "failing_migration"),
    ),
    Mutation(
        "the file of the health command is looked for before the switch",
        HOST + "activation.py",
        "        self._look_for_the_health_command(self.layout.release(target))\n",
        "",
        ("tests/host/test_activation.py", "-k", "health_command_that_is_not"),
    ),
    Mutation(
        "what systemd would refuse to restart is refused before the switch",
        HOST + "activation.py",
        "            if unit.refuses:\n",
        "            if False:\n",
        ("tests/host/test_services.py", "-k", "would_not_restart"),
    ),
    Mutation(
        "probes and command pass together",
        HOST + "gate.py",
        "self.in_a_row + 1 if not wrong and (ended is None or ended.ok) else 0\n",
        "self.in_a_row + 1 if ended is None or ended.ok else 0\n",
        (GATE, "-k", "until_it_passes"),
    ),
    Mutation(
        "a new process has to pass the probes",
        HOST + "gate.py",
        "            self.in_a_row = 0\n            self.answers.begin_anew()\n",
        "            self.answers.begin_anew()\n",
        (GATE, "-k", "has_to_pass_the_probes"),
    ),
    Mutation(
        "an answer that drips ends in time",
        HOST + "probes.py",
        "        self._connected.settimeout(_left(self._by))\n        return",
        "        return",
        (f"{PROBES}::test_an_answer_that_drips_ends_in_time",),
    ),
    Mutation(
        "a certificate is of the name that was asked for",
        HOST + "probes.py",
        "            connected.settimeout(_left(by))\n            return context",
        "            context.check_hostname = False\n            return context",
        (f"{PROBES}::test_a_certificate_of_a_private_name",),
    ),
    Mutation(
        "what a probe tells has no secret",
        HOST + "probes.py",
        "    shown = _clean(mask.text(text))\n",
        "    shown = _clean(text)\n",
        (f"{PROBES}::test_what_is_told_is_clean_and_without_secrets",),
    ),
    Mutation(
        "a gate that was skipped has no probes on the way back",
        HOST + "records.py",
        'if key not in ("http", "tcp", "successes")}',
        'if key != "successes"}',
        ("tests/host/test_records.py::test_a_gate_with_probes_that_was_skipped",),
    ),
    Mutation(
        "the default command does not come beside a probe",
        "oroboros_deploy/config/loading.py",
        "if probed and default else",
        "if False else",
        ("tests/config/test_probes.py::test_a_probe_takes_the_place_of_the_default_command",),
    ),
    Mutation(
        "a process of another release fails the gate",
        HOST + "gate.py",
        "        return not self.strays\n",
        "        return True\n",
        ("tests/host/test_gate.py", "-k", "is_no_pass"),
    ),
    Mutation(
        "the mounts of a process are asked for its release",
        HOST + "strays.py",
        "    shown.update(_mounted(silent, [line for pid in silent for line in _look(pid)], releases, live))\n",
        "",
        ("tests/host/test_strays.py", "-k", "behind_a_mount"),
    ),
    Mutation(
        "root asks the mounts of a process for its release",
        HOST + "strays.py",
        "    return {**seen, **_mounted([pid for pid in pids if seen[pid] is None], lines, releases, live)}\n",
        "    return seen\n",
        ("tests/host/test_strays.py", "-k", "behind_a_mount"),
    ),
    Mutation(
        "pruning looks behind mounts",
        HOST + "in_use.py",
        "    return {**behind_mounts(lines, releases.resolve()), ",
        "    return {",
        ("tests/host/test_in_use.py", "-k", "behind_a_mount"),
    ),
    Mutation(
        "the gate knows a process by what it was started with",
        HOST + "strays.py",
        'found or _started_with(pid, ("cmdline", "environ"), places, live)\n',
        'found or _started_with(pid, ("environ",), places, live)\n',
        ("tests/host/test_strays.py", "-k", "gives_it_away and archive"),
    ),
    Mutation(
        "pruning knows a process by its variables",
        HOST + "in_use.py",
        "grep -azHvE '^(OLD)?PWD=' /proc/[0-9]*/environ 2>/dev/null | ",
        "true | ",
        ("tests/host/test_in_use.py", "-k", "where_a_shell_was"),
    ),
    Mutation(
        "a target stands for its members",
        HOST + "units.py",
        "        members=_members(block),\n",
        "",
        ("tests/host/test_units.py", "-k", "stands_for"),
    ),
    Mutation(
        "a service, slice or socket stands for its parts",
        HOST + "units.py",
        "        parts=_parts(block),\n",
        "",
        ("tests/host/test_units.py", "-k", "is_a_part_of_it"),
    ),
    Mutation(
        "a socket that is open stays open",
        HOST + "units.py",
        "for name, unit in before.items() if not unit.stays_open]",
        "for name, unit in before.items()]",
        ("tests/host/test_units.py", "-k", "open_socket"),
    ),
    Mutation(
        "a question that systemd does not answer is asked again",
        HOST + "units.py",
        "        if time.monotonic() >= until:\n",
        "        if True:\n",
        ("tests/host/test_units.py", "-k", "is_asked_again"),
    ),
    Mutation(
        "what sudo says beside an answer is no part of it",
        HOST + "units.py",
        "return present() and process.apart(asked,",
        "return present() and process.run(asked,",
        ("tests/host/test_units.py", "-k", "beside_an_answer"),
    ),
    Mutation(
        "a line of the repository gets no new privileges",
        HOST + "process.py",
        '    return run(SHELL, line=line, **{"bound": True, ',
        '    return run(SHELL, line=line, **{"bound": False, ',
        ("tests/host/test_process.py", "-k", "is_bound"),
    ),
    Mutation(
        "a second name for the unit that systemd cannot put away",
        HOST + "launch.py",
        "        if over and ends.waited > GRACE and",
        "        if False and",
        ("tests/host/test_launch.py", "-k", "cannot_put_away"),
    ),
    Mutation(
        "a unit that only waits for what nothing can kill is over",
        HOST + "launch.py",
        '    return ending or over, over or (ending and (ended_well or found.sub.startswith("final-")))\n',
        "    return ending or over, over\n",
        ("tests/host/test_launch.py", "-k", "cannot_put_away"),
    ),
    Mutation(
        "what cannot be killed is given up",
        HOST + "process.py",
        "    _signal_group(process, signal.SIGKILL)\n    _wait(process, DYING)\n",
        "    _signal_group(process, signal.SIGKILL)\n    process.wait()\n",
        ("tests/host/test_process.py", "-k", "cannot_be_killed"),
    ),
    Mutation(
        "a process that hangs is named",
        HOST + "activation.py",
        "*map(words.hanging, strays.hanging(unit))])",
        "])",
        ("tests/host/test_hanging.py", "-k", "service_that_hangs"),
    ),
    Mutation(
        "an attempt that is known is followed, whatever the disk takes",
        HOST + "launch.py",
        '    if state.known(layout, request["attempt"]):\n        return  # before anything',
        "    if False:\n        return  # before anything",
        ("tests/host/test_read_only.py", "-k", "breaks and gating"),
    ),
    Mutation(
        "the commit looks at the services once more",
        HOST + "activation.py",
        "            return units.show(self.held.services)\n",
        "            return self.seen\n",
        ("tests/host/test_services.py", "-k", "dies_after_the_gate"),
    ),
    Mutation(
        "a restore that touched nothing looks before it tells",
        HOST + "activation.py",
        "            elif touched or self._fallen():\n",
        "            elif touched:\n",
        ("tests/host/test_services.py", "-k", "touched_nothing"),
    ),
    Mutation(
        "a service that was not restarted is left alone on the way back",
        HOST + "activation.py",
        "held, self._unchanged())\n        self._hold_gate(held)\n        gone",
        "held)\n        self._hold_gate(held)\n        gone",
        ("tests/host/test_services.py", "-k", "did_not_happen"),
    ),
    Mutation(
        "what was put away is not started by what wants it",
        HOST + "units.py",
        '    alone = ("--job-mode=ignore-requirements",) if away else ()\n',
        "    alone = ()\n",
        ("tests/host/test_units.py", "-k", "put_away"),
    ),
    Mutation(
        "what a unit wants is noted when a release is committed",
        HOST + "activation.py",
        "        seen = {**self.restarted, **units.wanted(self.restarted)}\n",
        "        seen = self.restarted\n",
        ("tests/host/test_records.py", "-k", "another_unit_wants"),
    ),
    Mutation(
        "each line that sudo has to allow is asked for",
        HOST + "units.py",
        '_ACTIONS = ("restart", "stop", "reset-failed", "is-system-running")\n',
        '_ACTIONS = ("restart", "is-system-running")\n',
        ("tests/host/test_units.py", "-k", "sudo_refuses"),
    ),
    Mutation(
        "no command is told where the login's own systemd is",
        HOST + "environment.py",
        "    for name in _SESSION:\n        settled.pop(name, None)\n",
        "",
        ("tests/host/test_environment.py", "-k", "nothing_of_a_session"),
    ),
    Mutation(
        "after the switch nobody says that nothing was changed",
        HOST + "launch.py",
        "        if began or (found and found.attempt == attempt):\n            raise\n",
        "",
        ("tests/host/test_launch.py", "-k", "breaks_after_the_switch"),
    ),
    Mutation(
        "a boot is known by more than its id",
        HOST + "state.py",
        '    return " ".join(filter(None, [KERNEL.read_text().strip(), began, str(made), manager.chosen().began()]))\n',
        "    return KERNEL.read_text().strip()\n",
        ("tests/host/test_state.py", "-k", "more_than_its_id"),
    ),
    Mutation(
        "a deploy root belongs to one machine",
        HOST + "layout.py",
        "        if told and not of_this_machine(told):\n",
        "        if False:\n",
        ("tests/host/test_layout.py", "-k", "one_machine"),
    ),
    Mutation(
        "additions to a release are no damage",
        HOST + "seal.py",
        "    return Found(None, topmost)\n",
        "    return Found(topmost[0] if topmost else None, topmost)\n",
        ("tests/host/test_seal.py", "-k", "additions"),
    ),
    Mutation(
        "a file that was only touched is no damage",
        HOST + "seal.py",
        "        return content(release / row[0]) == row[5]\n",
        "        pass\n",
        ("tests/host/test_seal.py", "-k", "only_touched"),
    ),
    Mutation(
        "a release whose interpreter is gone is damaged",
        HOST + "seal.py",
        "    if lost:\n",
        "    if False:\n",
        ("tests/host/test_seal.py", "-k", "interpreter_outside"),
    ),
    Mutation(
        "what a copied interpreter was made of is needed",
        HOST + "seal.py",
        '        found = _copied_from(Path(path)) if os.path.basename(path) == "pyvenv.cfg" else None\n',
        "        found = None\n",
        ("tests/host/test_seal.py", "-k", "was_copied"),
    ),
    Mutation(
        "files with names outside of the release are copied before the seal",
        HOST + "seal.py",
        "    for path in _foreign(entries, shared):\n        make_own(path)\n",
        "",
        ("tests/host/test_seal.py", "-k", "linked_from_elsewhere"),
    ),
    Mutation(
        "what a build closed stays closed",
        HOST + "seal.py",
        "    return mode & 0o555 | (0o500",
        "    return 0o444 | mode & 0o555 | (0o500",
        ("tests/host/test_seal.py", "-k", "stays_closed"),
    ),
    Mutation(
        "a pipe is not read as a file",
        HOST + "seal.py",
        "        if not stat.S_ISREG(os.fstat(descriptor).st_mode):\n",
        "        if False:\n",
        (BUILDING + "test_cache.py", "-k", "special_file"),
    ),
    Mutation(
        "a build that does not stop is ended when nobody waits",
        HOST + "building/build.py",
        "    if not over.wait(PATIENCE):\n        os._exit(1)",
        "    if not over.wait(PATIENCE):\n        pass",
        (BUILDING + "test_build.py", "-k", "does_not_stop"),
    ),
    Mutation(
        "a release that is not what was asked for is built again",
        HOST + "building/build.py",
        '    if seal.read_meta(release).get("recipe") not in (None, request["recipe"]["digest"]):\n',
        "    if False:\n",
        (BUILDING + "test_build.py", "-k", "not_what_was_asked_for"),
    ),
    Mutation(
        "the locks that a killed git left are removed",
        HOST + "building/build.py",
        "        self.mirror.unlock()\n",
        "",
        (BUILDING + "test_build.py", "-k", "killed_git"),
    ),
    Mutation(
        "the host's git attributes change no file",
        HOST + "building/mirror.py",
        ', "-c", "core.attributesFile=/dev/null")',
        ")",
        (BUILDING + "test_mirror.py", "-k", "whatever_git"),
    ),
    Mutation(
        "the host's git settings change no file",
        HOST + "building/mirror.py",
        '"GIT_CONFIG_GLOBAL": "/dev/null", ',
        "",
        (BUILDING + "test_mirror.py", "-k", "whatever_git"),
    ),
    Mutation(
        "what a filter left out is refused",
        HOST + "building/mirror.py",
        "            _refuse_unfiltered(release, paths)\n",
        "",
        (BUILDING + "test_mirror.py", "-k", "left_out"),
    ),
    Mutation(
        "the time of a file goes never back",
        HOST + "building/cache.py",
        "        return known.st_mtime_ns < self._time_before(path)\n",
        "        return False\n",
        (BUILDING + "test_cache.py", "-k", "no_time_goes_back"),
    ),
    Mutation(
        "a file that was touched is read again",
        HOST + "building/contents.py",
        "        return digest if times == _times(status) else None\n",
        "        return digest\n",
        (BUILDING + "test_contents.py", "-k", "touched"),
    ),
    Mutation(
        "the digest of an entry is keyed",
        HOST + "building/cache.py",
        '            if not hmac.compare_digest(kept["digest"], self._digest(told)):\n',
        "            if False:\n",
        (BUILDING + "test_cache.py", "-k", "poisoned_entry"),
    ),
    Mutation(
        "a path of the recipe stays in the release",
        HOST + "building/within.py",
        '    if found != top and not found.startswith(f"{top}/"):\n',
        "    if False:\n",
        (BUILDING + "test_within.py",),
    ),
    Mutation(
        "the log of a part has a limit",
        HOST + "building/bench.py",
        "log.write(data[: LOG - log.tell()])",
        "log.write(data)",
        (BUILDING + "test_bench.py", "-k", "limit"),
    ),
    Mutation(
        "a build writes to its own places alone",
        HOST + "building/view.py",
        '        _attribute("/", _AT_RECURSIVE, also=_READ_ONLY)\n',
        "",
        (BUILDING + "test_view.py", "-k", "places_alone"),
    ),
    Mutation(
        "the login's own systemd is out of a build's reach",
        HOST + "building/view.py",
        "        _cover(place)\n    if had_one:\n        sessions.mkdir(mode=0o700)\n",
        "        pass\n",
        (BUILDING + "test_view.py", "-k", "own_systemd"),
    ),
    Mutation(
        "a session that begins during a build is out of its reach",
        HOST + "building/view.py",
        "    for place in filter(Path.is_dir, map(Path, _ASKED)):\n        _cover(place)\n    if had_one:\n"
        "        sessions.mkdir(mode=0o700)\n",
        "    if had_one:\n        _cover(sessions)\n",
        (BUILDING + "test_view.py", "-k", "begins_during"),
    ),
    Mutation(
        "what is open to everybody is a build's own",
        HOST + "building/view.py",
        "    own = {place: below.joinpath(*place.parts[1:]) for place in free}\n",
        "    own = {place: below.joinpath(*place.parts[1:]) for place in free[:0]}\n",
        (BUILDING + "test_view.py", "-k", "tmux"),
    ),
    Mutation(
        "where programs of the login listen is hidden from a build",
        HOST + "building/view.py",
        "    for path in _own_sockets() if os.getuid() else []:",
        "    for path in []:",
        (BUILDING + "test_view.py", "-k", "finds_nobody"),
    ),
    Mutation(
        "the lock of builds holds without its file",
        HOST + "build_lock.py",
        "            stack.enter_context(lock.take(layout.ours, wait))\n",
        "            pass\n",
        ("tests/host/test_build_lock.py", "-k", "removed"),
    ),
    Mutation(
        "whoever looks sees the lock of builds without its file",
        HOST + "build_lock.py",
        "    return lock.is_held(layout.build_lock) or lock.is_held(layout.ours)\n",
        "    return lock.is_held(layout.build_lock)\n",
        ("tests/host/test_build_lock.py", "-k", "removed"),
    ),
    Mutation(
        "tools that no release needs any more are removed",
        HOST + "kept_tools.py",
        "if tool.lstat().st_mtime < since]",
        "if False]",
        ("tests/host/test_kept_tools.py", "-k", "goes"),
    ),
    Mutation(
        "each command of a part begins a line of the log",
        HOST + "building/bench.py",
        '            sink(b"" if ended.whole_lines else b"\\n", final=True)\n',
        "",
        (BUILDING + "test_bench.py", "-k", "prints"),
    ),
    Mutation(
        "a character that comes in two pieces is told whole",
        HOST + "building/bench.py",
        "decoder.decode(data, final)",
        'data.decode("utf-8", "replace")',
        (BUILDING + "test_bench.py", "-k", "pieces"),
    ),
    Mutation(
        "lock files that are passed over are told",
        HOST + "building/build.py",
        'in passed_over.said_of(self.request["recipe"], self.path):',
        "in ():",
        (BUILDING + "test_passed_over.py", "-k", "tells"),
    ),
    Mutation(
        "a lock above its members is told by its members",
        HOST + "building/passed_over.py",
        "*([] if lock else _above(release, project))",
        "*[]",
        (BUILDING + "test_passed_over.py", "-k", "above"),
    ),
    Mutation(
        "a project that its lock's tool would not build is not built",
        HOST + "building/needs.py",
        "for lock in self.locks(release) if not lock.is_built(release)]",
        "for lock in self.locks(release) if False]",
        (BUILDING + "test_locks.py", "-k", "says_whether"),
    ),
    Mutation(
        "a pip that is to hand over to another Python does not",
        HOST + "building/installers.py",
        '*(["--python="] if pip_is_configured(bench.toolchain.prefix) else [])',
        "*[]",
        (BUILDING + "test_installers.py", "-k", "elsewhere and PIP_PYTHON"),
    ),
    Mutation(
        "the pip that makes build tools gets no directory of /etc/environment",
        HOST + "building/installers.py",
        '"PIP_TARGET": ""',
        '"PIP_NOTHING": ""',
        (BUILDING + "test_installers.py", "-k", "elsewhere and PIP_TARGET"),
    ),
    Mutation(
        "a pip.conf that would break pip is named",
        HOST + "building/installers.py",
        "        _refuse_target(bench, project)\n",
        "        pass\n",
        (BUILDING + "test_installers.py", "-k", "break_pip"),
    ),
    Mutation(
        "uv that would install elsewhere is refused",
        HOST + "building/installers.py",
        "        _refuse_diverted(place)\n",
        "        pass\n",
        (BUILDING + "test_installers.py", "-k", "elsewhere_is_refused"),
    ),
    Mutation(
        "variables of the host do not move uv",
        HOST + "building/installers.py",
        "    return of_uv() if uv(bench) else",
        "    return {} if uv(bench) else",
        (BUILDING + "test_installers.py", "-k", "move_uv"),
    ),
    Mutation(
        "the configuration is switched with the release",
        HOST + "activation.py",
        '                configuration.put(self.layout, "switch", self.state.configuration)\n',
        "                pass\n",
        (CONFIGURATION, "-k", "switched_with"),
    ),
    Mutation(
        "the configuration is restored with the release",
        HOST + "activation.py",
        '                configuration.put(self.layout, "restore", self.state.configuration_before)\n',
        "                pass\n",
        (CONFIGURATION, "-k", "restored_with"),
    ),
    Mutation(
        "a switch of the configuration alone is one that a restore undoes",
        HOST + "activation.py",
        "touched or self._configured_otherwise(self.state.configuration_before) or",
        "touched or",
        (CONFIGURATION, "-k", "between_the_two"),
    ),
    Mutation(
        "a configuration that somebody moved is not committed",
        HOST + "activation.py",
        "            return None\n        return words.moved_env(",
        "            return None\n        return None and words.moved_env(",
        (CONFIGURATION, "-k", "move_by_somebody"),
    ),
    Mutation(
        "a link for the way back is kept where nothing was in use",
        HOST + "configuration.py",
        '    for name, named in (("restore", before), ("switch", revision)):\n',
        '    for name, named in (("restore", before or revision), ("switch", revision)):\n',
        (CONFIGURATION, "-k", "first_configuration_that_is_cut"),
    ),
    Mutation(
        "a revision is keyed",
        HOST + "configuration.py",
        '    return hmac.new(key.of(layout), text.encode(), "sha256").hexdigest()\n',
        '    return hmac.new(b"", text.encode(), "sha256").hexdigest()\n',
        (CONFIGURATION, "-k", "of_its_values"),
    ),
    Mutation(
        "the present configuration outlives pruning, and those of releases",
        HOST + "prune.py",
        "        named = [*recorded, ",
        "        named = [",
        (CONFIGURATION, "-k", "what_is_pruned"),
    ),
    Mutation(
        "secrets are masked in what an activation keeps",
        HOST + "activation.py",
        "configuration.mask(self.layout, self.state.configuration, self.state.configuration_before)",
        "configuration.mask(self.layout)",
        (CONFIGURATION, "-k", "no_secret"),
    ),
    Mutation(
        "a secret that comes in pieces is masked",
        HOST + "masking.py",
        "        return self._masked(text[:cut])\n",
        '        self._waiting = b""\n        return self._masked(text)\n',
        ("tests/host/test_masking.py", "-k", "pieces"),
    ),
    Mutation(
        "no request with values stands in a command line",
        "oroboros_deploy/remote/host.py",
        "        if self._session is None and _is_private(request):",
        "        if False and _is_private(request):",
        ("tests/control/test_configured.py", "-k", "command_line"),
    ),
    Mutation(
        "a build gets the values of its names alone",
        "oroboros_deploy/control/attempt.py",
        '            request["env"] = secrets_of.of_build(self.configuration)\n',
        '            request["env"] = {**self.configuration, "build": [*self.configuration["secrets"]]}\n',
        ("tests/control/test_configured.py", "-k", "build_sees"),
    ),
    Mutation(
        "a secrets command gets its time and no more",
        "oroboros_deploy/control/secrets.py",
        "            os.killpg(process.pid, signal.SIGKILL)\n",
        "            process.kill()\n",
        ("tests/control/test_secrets.py", "-k", "slow"),
    ),
    Mutation(
        "installed units are put back with the release",
        HOST + "activation.py",
        "            trouble = self._units_back()\n",
        "            trouble = None\n",
        (FAULTS, "-k", "between_the_links and bad and rollback"),
    ),
    Mutation(
        "installed units alone are something that a restore undoes",
        HOST + "activation.py",
        " or self.units_otherwise()\n",
        "\n",
        (FAULTS, "-k", "between_the_links and kill-units-prepared"),
    ),
    Mutation(
        "a push notices a unit that is edited beside it",
        HOST + "activation.py",
        'if self.request.get("units") or self.stood else []',
        'if self.request.get("units") else []',
        (OUTSIDERS, "-k", "beside_a_push"),
    ),
    Mutation(
        "a unit that stays edited after a restore is told",
        HOST + "activation.py",
        "            self._tell_of_edited()\n",
        "",
        (OUTSIDERS, "-k", "before_a_failure"),
    ),
    Mutation(
        "at a boot units that come back start nothing of the other release",
        HOST + "activation.py",
        "                    self._link_back()  # first",
        "                    pass  # first",
        (BOOT, "-k", "come_back_at_a_boot"),
    ),
    Mutation(
        "at a boot the services of the way back wait",
        HOST + "boot.py",
        '*asked, *(record["services"] if record else ())',
        "*asked",
        (BOOT, "-k", "services_of_the_way_back"),
    ),
    Mutation(
        "a unit that a power cut left half written is on the way back",
        HOST + "unit_switch.py",
        "bool(unit_sets.half_written(self.layout, before)) or ",
        "",
        (BOOT, "-k", "half_done"),
    ),
    Mutation(
        "a connection of a socket is no part of it",
        HOST + "units.py",
        'if block.get("Accept") == "yes" else',
        'if block.get("Accept") == "never" else',
        ("tests/host/test_units.py", "-k", "is_a_part_of_it"),
    ),
    Mutation(
        "a clock that was set does not decide which configuration a service has",
        HOST + "configuration.py",
        ' + now - (entry["at"] - entry["clock"])',
        "",
        (CONFIGURATION, "-k", "clock_that_was_set"),
    ),
    Mutation(
        "a configuration that failed stays on no disk",
        HOST + "activation.py",
        "    records.forget_the_configuration(layout, final)\n",
        "",
        (CONFIGURATION, "-k", "that_failed_goes"),
    ),
    Mutation(
        "a relative path in a permission error counts from where its unit begins",
        HOST + "shared.py",
        'directory_of(unit) if unit and not named.startswith("/") else str(release)',
        "str(release)",
        ("tests/host/test_shared.py", "-k", "relative_path_of_a_unit"),
    ),
    Mutation(
        "installed units that somebody edited are not replaced",
        HOST + "unit_sets.py",
        "    ours = header is not None and not header.edited\n",
        "    ours = header is not None\n",
        (UNIT_SETS, "-k", "edited_since"),
    ),
    Mutation(
        "what somebody disabled is not enabled when a release brings it again",
        HOST + "unit_files.py",
        "    return [name for name in found if name not in disabled]\n",
        "    return found\n",
        (UNIT_SETS, "-k", "comes_back"),
    ),
    Mutation(
        "a push without the gate leaves what the release passed",
        HOST + "records.py",
        "else _as_it_passed)(before, record) if before else record\n",
        'else _as_it_passed)(before, record) if before and request["kind"] == "restart" else record\n',
        ("tests/host/test_configuration.py", "-k", "without_the_gate or without_restarts"),
    ),
    Mutation(
        "systemd puts no variables into paths",
        HOST + "manager.py",
        'word.replace("$", "$$")',
        "word",
        ("tests/host/test_manager.py", "-k", "who_writes"),
    ),
    Mutation(
        "installed units of another application are refused",
        HOST + "unit_sets.py",
        "    if header and header.root != root:\n",
        "    if False:\n",
        (UNIT_SETS, "-k", "names_of_others"),
    ),
    Mutation(
        "installed units that a release takes away are stopped",
        HOST + "unit_sets.py",
        "        *_stopping(systemctl, unit_files.going(before, after), None if after.links is None else patience),\n",
        "",
        (UNIT_SETS, "-k", "rename_between"),
    ),
    Mutation(
        "a command of another user gets no new privileges",
        HOST + "another_user.py",
        '{"NoNewPrivileges": "yes"} if bound',
        "{} if bound",
        (f"{USER}::test_what_systemd_is_asked_for",),
    ),
    Mutation(
        "a health command cannot become root unless it is named",
        HOST + "gate.py",
        "bound=not self.gate.privileged",
        "bound=False",
        ("tests/host/test_activation.py", "-k", "keeps_the_right and nothing"),
    ),
    Mutation(
        "a health command that is named can become root",
        HOST + "gate.py",
        '        settings.get("privileged", False),\n',
        "",
        ("tests/host/test_activation.py", "-k", "keeps_the_right and gate"),
    ),
    Mutation(
        "a migration cannot become root unless it is named",
        HOST + "activation.py",
        'bound = not self.request.get("migrate_privileged")',
        "bound = False",
        ("tests/host/test_activation.py", "-k", "keeps_the_right and nothing"),
    ),
    Mutation(
        "a build cannot become root unless it is named",
        HOST + "building/bench.py",
        "                bound=self.bound,\n",
        "                bound=False,\n",
        (f"{BUILDING}test_build.py", "-k", "keeps_the_right"),
    ),
    Mutation(
        "the right to become root goes with its line",
        HOST + "records.py",
        'given if "command" in said else record["healthcheck"]',
        "given",
        ("tests/host/test_records.py", "-k", "goes_with_its_line"),
    ),
    Mutation(
        "with least privilege a service that root did not list is refused before the build",
        "oroboros_deploy/host/listed.py",
        '    lacking = [*_units(services), *_users(users)] if request.get("source") else []',
        "    lacking: List[str] = []",
        ("tests/host/test_listed.py",),
    ),
    Mutation(
        "another application of a login with least privilege is not told to take the rules of sudo",
        "oroboros_deploy/host/manager.py",
        "    if refused and not chosen().application and any(",
        "    if False and any(",
        ("tests/host/test_manager.py", "-k", "another_application"),
    ),
    Mutation(
        "the line of a plan has the flags that it was made with",
        "oroboros_deploy/cli/planning.py",
        "deploy --plan={plan.id}{flags}'",
        "deploy --plan={plan.id}'",
        ("tests/cli/test_planning.py",),
    ),
    Mutation(
        "with least privilege a build that may become root is refused",
        HOST + "building/build.py",
        '    manager.refuse_root(["build"] if request.get("privileged") else [], "nothing was built")\n',
        "",
        (f"{BUILDING}test_build.py", "-k", "least_privilege"),
    ),
    Mutation(
        "with least privilege an activation that may become root is refused",
        HOST + "launch.py",
        "            _refuse_root(layout, request)\n",
        "",
        ("tests/host/test_launch.py", "-k", "least_privilege"),
    ),
    Mutation(
        "with least privilege no line becomes root",
        HOST + "line.py",
        '        options["bound"] = True\n',
        "        pass\n",
        ("tests/host/test_line.py", "-k", "least_privilege"),
    ),
    Mutation(
        "a host with least privilege tells that privileged is refused",
        HOST + "facts.py",
        'manager.keeping_root(request.get("privileged", []))',
        "manager.keeping_root([])",
        ("tests/host/test_facts.py", "-k", "least_privilege"),
    ),
    Mutation(
        "whole seconds of a file system are not trusted",
        HOST + "building/contents.py",
        "MOMENT if status.st_ctime_ns % _SECOND else LONG_MOMENT",
        "MOMENT",
        (f"{BUILDING}test_contents.py", "-k", "whole_seconds"),
    ),
    Mutation(
        "bytecode is taken by a manifest that the seal knows",
        HOST + "building/compiling.py",
        "before if before and seal.knows_manifest(before) else None",
        "before",
        (f"{BUILDING}test_compiling.py", "-k", "live_release"),
    ),
    Mutation(
        "what outlived the commands of a build has its files read again",
        HOST + "building/workspace.py",
        "            outlived()\n",
        "            pass\n",
        (f"{BUILDING}test_workspace.py", "-k", "outlives_a_build"),
    ),
    Mutation(
        "with scope user nothing becomes root",
        "oroboros_deploy/config/loading.py",
        "    _refuse_privileges(found)\n",
        "",
        ("tests/config/test_loading.py", "-k", "become_root"),
    ),
    Mutation(
        "a build that may become root is cached, and known, apart",
        "oroboros_deploy/config/recipe.py",
        '{"privileged": True} if "build" in privileged else {}',
        "{}",
        ("tests/control/test_plan.py", "-k", "a_right_travels"),
    ),
    Mutation(
        "sources are compiled before the seal",
        HOST + "building/build.py",
        "                self._compile(bench)\n",
        "",
        (f"{BUILDING}test_compiling.py", "-k", "leaves_nothing"),
    ),
    Mutation(
        "bytecode of the live release is taken as its seal has it alone",
        HOST + "building/compiling.py",
        " and hashlib.sha256(data).hexdigest() == known[cache]",
        "",
        (f"{BUILDING}test_compiling.py", "-k", "live_release"),
    ),
    Mutation(
        "no bytecode is written through a link",
        HOST + "building/compiling.py",
        " or os.path.islink(place)",
        "",
        (f"{BUILDING}test_compiling.py", "-k", "through_a_link"),
    ),
    Mutation(
        "a source that lies outside is not compiled",
        HOST + "building/compiling.py",
        "    if entry.is_symlink() and not",
        "    if False and not",
        (f"{BUILDING}test_compiling.py", "-k", "what_is_compiled"),
    ),
    Mutation(
        "bytecode is as closed as its source",
        HOST + "building/compiling.py",
        "mode & 0o666 | 0o200",
        "0o644",
        (f"{BUILDING}test_compiling.py", "-k", "closed_bytecode"),
    ),
    Mutation(
        "root removes what is left in one directory alone",
        HOST + "leftovers.py",
        '"ProtectSystem=strict", ',
        "",
        ("tests/host/test_leftovers.py", "-k", "asked_for"),
    ),
    Mutation(
        "root is not asked to remove what others can put there",
        HOST + "leftovers.py",
        " and not above.st_mode & 0o022",
        "",
        ("tests/host/test_leftovers.py", "-k", "not_asked"),
    ),
    Mutation(
        "root is not asked for what sudo refuses",
        HOST + "leftovers.py",
        "asks and not units.refused(restarts=False)",
        "asks",
        ("tests/host/test_leftovers.py", "-k", "not_asked"),
    ),
    Mutation(
        "systemd ends a command of another user at its deadline",
        HOST + "another_user.py",
        ', f"--property=RuntimeMaxSec={seconds:.3f}"',
        "",
        (f"{USER}::test_what_systemd_is_asked_for",),
    ),
    Mutation(
        "what ended after the deadline did not end in time, as another user too",
        HOST + "another_user.py",
        "status=ended.status if in_time else None",
        "status=ended.status",
        (f"{USER}::test_what_ends_after_the_deadline_did_not_end_in_time",),
    ),
    Mutation(
        "a command of another user that a polite signal ends has failed",
        HOST + "another_user.py",
        "else 128 + os.WTERMSIG(status))",
        "else 0)",
        (f"{USER}::test_how_it_ends",),
    ),
    Mutation(
        "what a command of another user leaves is ended",
        HOST + "another_user.py",
        "        os.killpg(pid, signal.SIGKILL)\n",
        "        pass\n",
        (f"{USER}::test_what_it_leaves_is_ended",),
    ),
    Mutation(
        "a user is not root by another name",
        HOST + "another_user.py",
        "    if uid == 0:\n",
        "    if False:\n",
        (f"{USER}::test_who_is_there",),
    ),
    Mutation(
        "a user who is missing stops an activation before it begins",
        HOST + "activation.py",
        "        self._look_for_users()\n",
        "",
        (f"{USER}::test_nothing_is_switched_for_a_user_who_is_missing",),
    ),
    Mutation(
        "a gate is judged as the user who passed it",
        HOST + "gate.py",
        '        settings.get("user"),\n',
        "        None,\n",
        (f"{USER}::test_the_gate_is_its_users",),
    ),
    Mutation(
        "what lies in .deploy is closed before others may pass",
        HOST + "configuration.py",
        "            os.chmod(entry.path, mode & 0o7700)\n",
        "            pass\n",
        (f"{USER}::test_the_group_of_the_owner_reads_a_configuration",),
    ),
    Mutation(
        "a revision that is used again has the group of its owner now",
        HOST + "configuration.py",
        "    if user and status.st_gid != user.pw_gid:\n",
        "    if user and status.st_gid == os.getgid():\n",
        (f"{USER}::test_the_group_of_the_owner_reads_a_configuration",),
    ),
    Mutation(
        "root gives away nothing that lies where others can write",
        HOST + "shared.py",
        "    return status.st_uid == os.getuid() and not status.st_mode & 0o022\n",
        "    return True\n",
        (f"{USER}::test_what_lies_in_a_directory_of_the_owner_is_made_by_the_owner",),
    ),
    Mutation(
        "a command of another user ends with its activation",
        HOST + "activation.py",
        "    _end_commands(found.attempt)\n",
        "",
        ("tests/machines/test_run_as.py::test_a_killed_activation_leaves_no_command",),
        host=True,
    ),
    Mutation(
        "run_as is refused with scope user",
        "oroboros_deploy/config/loading.py",
        "    _refuse_other_users(found)\n    _refuse",
        "    _refuse",
        ("tests/config/test_loading.py::test_the_logins_own_manager_starts_nothing_as_somebody_else",),
    ),
    Mutation(
        "a value without a name is no name",
        HOST + "env_file.py",
        "        if re.fullmatch(_PADDED, ",
        "        if not re.fullmatch(_PADDED, ",
        ("tests/host/test_env_file.py", "-k", "value_without_a_name"),
    ),
    Mutation(
        "the line of a run is in no command line",
        "oroboros_deploy/remote/host.py",
        'isinstance(request.get("env"), dict) or "line" in request',
        'isinstance(request.get("env"), dict)',
        ("tests/remote/test_host.py", "-k", "first_request"),
    ),
    Mutation(
        "what was said is asked of named units alone",
        HOST + "service_log.py",
        "    if not services:\n",
        "    if False:\n",
        ("tests/host/test_service_log.py", "-k", "refused"),
    ),
    Mutation(
        "a restart that fails is told, and not taken for one that never began",
        HOST + "activation.py",
        '        if self._fallen() or (self.acts and left != "prepared" and not self._as_they_ran()):\n',
        "        if self._fallen():\n",
        ("tests/host/test_fault_table.py", "-k", "test_going and error-before-restarted-gated and restart-error"),
    ),
    Mutation(
        "a restart of one service leaves the others in the record",
        HOST + "records.py",
        '(_restarted if request["kind"] == "restart" else _as_it_passed)',
        "_as_it_passed",
        ("tests/host/test_services.py", "-k", "gated_and_recorded"),
    ),
    Mutation(
        "a push is held to the record of its release",
        HOST + "constants.py",
        'BY_RECORD = ("rollback", "env", "restart")',
        'BY_RECORD = ("rollback", "restart")',
        (CONFIGURATION, "-k", "held_to_the_record"),
    ),
    Mutation(
        "a push that a torn state leaves keeps its release",
        HOST + "activation.py",
        "        found = found._replace(source=found.target)  # it changed",
        "        pass  # it changed",
        (CONFIGURATION, "-k", "power_cut_leaves_of_a_push"),
    ),
    Mutation(
        "a configuration is forgotten while no activation runs",
        HOST + "prune.py",
        "        with _no_activation(layout, wait), pins.still(layout):\n",
        "        with pins.still(layout):\n",
        (CONFIGURATION, "-k", "pruning_waits"),
    ),
    Mutation(
        "a rollback looks at the configuration of all hosts first",
        "oroboros_deploy/control/plan.py",
        "        _refuse_unusable(job, facts, host)\n",
        "",
        ("tests/control/test_configured.py", "-k", "looks_at_all"),
    ),
    Mutation(
        "a push changes no row of releases",
        "oroboros_deploy/records/record.py",
        "        return self.kind not in IN_PLACE\n",
        "        return True\n",
        ("tests/registry/test_releases.py", "-k", "a_push_changes_no_row"),
    ),
    Mutation(
        "what a command says on standard error is masked on its way",
        HOST + "process.py",
        "            file.write(stream.pass_on(data))\n",
        "            file.write(data)\n",
        ("tests/host/test_masking.py", "-k", "errors"),
    ),
    Mutation(
        "a rule of sudo is checked before it is in its place",
        "oroboros_deploy/setup/rules.py",
        " && visudo -cf {new}",
        "",
        ("tests/setup/test_actions.py", "-k", "bare_host"),
    ),
    Mutation(
        "a host that setup refuses stops the others",
        "oroboros_deploy/control/setup.py",
        "or not waiting or _failed(looked):",
        "or not waiting:",
        ("tests/control/test_setup.py", "-k", "stops_all"),
    ),
    Mutation(
        "what setup began goes on when the connection is lost",
        "oroboros_deploy/remote/root.py",
        """$?"; }} 2>&1 | pass\n""",
        """$?"; }} 2>&1\n""",
        ("tests/remote/test_root.py", "-k", "lost_connection"),
    ),
    Mutation(
        "a host that setup went through is looked at again",
        "oroboros_deploy/control/setup.py",
        "            self._verify(work)\n",
        "",
        ("tests/control/test_setup.py", "-k", "not_ready_afterwards"),
    ),
    Mutation(
        "with least privilege a unit has the keys of a list, and no other",
        HELPER,
        "            if check is None or section not in",
        "            if section not in",
        (LEAST, "-k", "would_be_root"),
    ),
    Mutation(
        "with least privilege a service has a user",
        HELPER,
        '    if kind == "Service" and not found[2] and "User" not in known:\n',
        "    if False:\n",
        (LEAST, "-k", "would_be_root"),
    ),
    Mutation(
        "with least privilege what filters system calls gets no new privileges",
        HELPER,
        '    if "NoNewPrivileges" not in known and (',
        "    if False and (",
        (LEAST, "-k", "would_be_root"),
    ),
    Mutation(
        "with least privilege no unit of an administrator is replaced",
        HELPER,
        "    if text is not None and not was:\n",
        "    if False:\n",
        (LEAST, "-k", "another_application"),
    ),
    Mutation(
        "with least privilege no command has a prefix that makes it root's",
        HELPER,
        'COMMAND = r"[-@:]*[/A-Za-z0-9_].*"\n',
        'COMMAND = r".*"\n',
        (LEAST, "-k", "would_be_root"),
    ),
    Mutation(
        "with least privilege a comment in a continued line is refused",
        HELPER,
        '        if comment and (rest or raw.rstrip(" \\t").endswith("\\\\")):\n',
        "        if False:\n",
        (LEAST, "-k", "would_be_root"),
    ),
    Mutation(
        "with least privilege nothing is installed beside a service of root's",
        HELPER,
        "if app.owns(each)] if files else []\n",
        "if False] if files else []\n",
        (LEAST, "-k", "what_is_there"),
    ),
    Mutation(
        "with least privilege no file with two names is given away",
        HELPER,
        "or found.st_nlink != 1 or",
        "or",
        (LEAST, "-k", "given_away"),
    ),
    Mutation(
        "with least privilege no link below the deploy root is followed",
        HELPER,
        "inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=number)",
        "inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=number)",
        (LEAST, "-k", "given_away"),
    ),
    Mutation(
        "the helper obeys the login of the application alone",
        HELPER,
        "    if asked is not None and asked not in",
        "    if asked and asked == '-1' and asked not in",
        (LEAST, "-k", "whom_it_obeys"),
    ),
    Mutation(
        "the key of a certificate is not let in for ever",
        "oroboros_deploy/ssh/login.py",
        "    if key.public_blob or key.get_name().endswith(_CERTIFICATE):\n",
        "    if key.get_name().endswith(_CERTIFICATE):\n",
        ("tests/ssh/test_login.py", "-k", "was_let_in"),
    ),
    Mutation(
        "doctor asks the checks that a deploy stops at",
        "oroboros_deploy/doctor/of_host.py",
        '        found = plan.problems(self.job, answer["facts"])\n',
        "        found: list[plan.Problem] = []\n",
        ("tests/doctor/test_of_host.py", "-k", "refuses_by"),
    ),
    Mutation(
        "doctor tells of all that is wrong with a root",
        "oroboros_deploy/remote/agent.py",
        "_VISITING = _BEGIN + _GATHER + _TRUST + _VISIT\n",
        "_VISITING = _BEGIN + 'trusted=yes\\n' + _STOP + _TRUST + _VISIT\n",
        ("tests/host/test_doctor.py", "-k", "hears_of_all"),
    ),
    Mutation(
        "doctor leaves nothing on a host",
        "oroboros_deploy/remote/agent.py",
        "trap 'rm -rf \"$place\"' EXIT\n",
        "",
        ("tests/host/test_doctor.py", "-k", "left_behind"),
    ),
    Mutation(
        "a host that doctor cannot reach is a problem of that host alone",
        "oroboros_deploy/control/doctor.py",
        """    except DeployError as error:
        host.explain(error)
        return Look(None""",
        """    except DeployError as error:
        raise SystemExit(1) from error
        return Look(None""",
        ("tests/control/test_doctor.py", "-k", "cannot_be_reached"),
    ),
    Mutation(
        "a target is known by its id, whatever it is called",
        "oroboros_deploy/registry/targets.py",
        "    return or_(by_name, _T.target_id == target.id) if target.id else by_name\n",
        "    return by_name\n",
        ("tests/registry/test_targets.py", "-k", "called_by_another_name and sqlite"),
    ),
    Mutation(
        "applications that call different machines alike do not meet",
        "oroboros_deploy/registry/targets.py",
        "    by_name = and_(_T.application == target.application, _T.host == target.host, roots)\n",
        "    by_name = and_(_T.host == target.host, roots)\n",
        ("tests/registry/test_targets.py", "-k", "do_not_meet and sqlite"),
    ),
    Mutation(
        "a record that comes late ends nothing that a target serves",
        "oroboros_deploy/registry/targets.py",
        "    if until and any(row.since > until for row in before):\n",
        "    if False:\n",
        ("tests/registry/test_targets.py", "-k", "comes_late and sqlite"),
    ),
    Mutation(
        "our tables have a schema of their own in PostgreSQL",
        "oroboros_deploy/registry/place.py",
        "    if db.scalar(_MAY_MAKE):\n",
        "    if False:\n",
        ("tests/registry/test_place.py", "-k", "has_its_own_schema"),
    ),
    Mutation(
        "a schema that is another program's is left alone",
        "oroboros_deploy/registry/place.py",
        "\n        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid))",
        ")",
        ("tests/registry/test_place.py", "-k", "is_another_programs"),
    ),
    Mutation(
        "an interrupt does not take the record with the way to the registry",
        "oroboros_deploy/control/attempt.py",
        "        if not (self.interrupted and self.node.registry_via):\n",
        "        if True:\n",
        ("tests/control/test_interrupted_via.py",),
    ),
    Mutation(
        "an error that nobody foresaw is that host's alone",
        "oroboros_deploy/control/faults.py",
        "        raise HostFault(error, host, asked=asked) from error\n",
        "        raise\n",
        ("tests/control/test_faults.py", "-k", "whose_answer_means_nothing"),
    ),
    Mutation(
        "a directory of any depth is walked",
        HOST + "trees.py",
        "    left = [str(top)]\n"
        "    while left:\n"
        "        with os.scandir(left.pop()) as entries:\n"
        "            listed = list(entries)\n"
        "        for entry in listed:\n"
        "            yield Path(entry.path)\n"
        "        left += [entry.path for entry in listed if entry.is_dir(follow_symlinks=False)]\n",
        "    for place in os.scandir(top):\n"
        "        yield Path(place.path)\n"
        "        if place.is_dir(follow_symlinks=False):\n"
        "            yield from walk(Path(place.path))\n",
        ("tests/host/test_trees.py", "-k", "goes_to_the_end"),
    ),
    Mutation(
        "a directory of any depth is removed by names that are never longer than one",
        HOST + "trees.py",
        "    above: List[Tuple[str, List[str]]] = []\n",
        "    import shutil\n\n    return shutil.rmtree(top)\n    above: List[Tuple[str, List[str]]] = []\n",
        ("tests/host/test_trees.py", "-k", "is_deep or closed"),
    ),
    Mutation(
        "a request that does not end is not waited for",
        "oroboros_deploy/web/patience.py",
        "            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)\n",
        "            self._deadline = self.loop.call_later(3600, self.transport.close)\n",
        ("tests/web/test_patience.py", "-k", "does_not_end"),
    ),
    Mutation(
        "one address does not hold all connections",
        "oroboros_deploy/web/patience.py",
        "_waiting[self._address] > MOST_WAITING or _open[self._address] > MOST_OPEN",
        "_waiting[self._address] > MOST_WAITING",
        ("tests/web/test_patience.py", "-k", "hold_all"),
    ),
    Mutation(
        "one address holds few connections that do not ask",
        "oroboros_deploy/web/patience.py",
        "_waiting[self._address] > MOST_WAITING or _open[self._address] > MOST_OPEN",
        "_open[self._address] > MOST_OPEN",
        ("tests/web/test_patience.py", "-k", "holds_few"),
    ),
    Mutation(
        "what failed shows the lines that name an error",
        "oroboros_deploy/text.py",
        '    return [*errors, "…", *lines[start:]] if errors else [*lines[-most:]]\n',
        "    return [*lines[-most:]]\n",
        ("tests/test_text.py", "-k", "shows_its_errors"),
    ),
    Mutation(
        "nothing that a host prints moves a cursor",
        "oroboros_deploy/text.py",
        "    if line.isprintable():\n        return line\n",
        "    if True:\n        return line\n",
        ("tests/test_text.py", "-k", "cannot_move or is_printable"),
    ),
    Mutation(
        "a line to log in has ssh's own flag for the port",
        "oroboros_deploy/text.py",
        '    if colon and port.isdigit() and (":" not in named or named.endswith("]")):\n',
        "    if False:\n",
        ("tests/test_text.py", "-k", "line_to_log_in"),
    ),
    Mutation(
        "nobody takes a root from under an activation",
        HOST + "claim.py",
        "    if running.running(layout) is not None:\n        raise running.busy(layout)\n",
        "",
        ("tests/host/test_claim.py", "-k", "runs_there"),
    ),
    Mutation(
        "a root that is this machine's stays as it is",
        HOST + "claim.py",
        "    if was and of_this_machine(was):\n",
        "    if False:\n",
        ("tests/host/test_claim.py", "-k", "stays_as_it_is"),
    ),
    Mutation(
        "the journal says who took a root from whom",
        HOST + "claim.py",
        "    layout.reserve.spend(\n        Journal(layout.journal).append,\n",
        "    layout.reserve.spend(\n        dict,\n",
        ("tests/host/test_claim.py", "-k", "becomes_a_root"),
    ),
    Mutation(
        "the last words of a service are told, not its first",
        HOST + "units.py",
        'f"--lines={lines}", "--reverse")',
        'f"--lines={lines}")',
        ("tests/machines/test_activation.py", "-k", "reason_of_a_crash"),
        host=True,
    ),
    Mutation(
        "a chosen Python is looked at before anything is built",
        HOST + "building/toolchain.py",
        "    if (major, minor) < _OLDEST:\n",
        "    if False:\n",
        (BUILDING + "test_toolchain.py", "-k", "python_that_does_not_serve"),
    ),
    Mutation(
        "another program is not taken for node",
        HOST + "building/toolchain.py",
        "    if not (asked.ok and _NODE.fullmatch(asked.tail)):\n",
        "    if not asked.ok:\n",
        (BUILDING + "test_toolchain.py", "-k", "node_that_is_none"),
    ),
    Mutation(
        "what a step writes beside its outputs is told, and not kept",
        HOST + "building/steps.py",
        "            bench.unkept.append(self.name)\n",
        "            pass\n",
        (BUILDING + "test_steps.py", "-k", "beside_its_outputs"),
    ),
    Mutation(
        "an output of a step that lies behind a link is refused",
        HOST + "building/steps.py",
        "            if place.is_symlink():\n",
        "            if False:\n",
        (BUILDING + "test_steps.py", "-k", "declared_wrong"),
    ),
    Mutation(
        "packages that no build can see change no result",
        HOST + "building/packages.py",
        '    counts = section in _SECTIONS or name.endswith("-dev") or _RUNTIME.fullmatch(name) is not None\n',
        "    counts = True\n",
        (BUILDING + "test_packages.py", "-k", "build_can_see_it"),
    ),
    Mutation(
        "what programs are linked to decides whether a result is taken again",
        HOST + "building/packages.py",
        '    counts = section in _SECTIONS or name.endswith("-dev") or _RUNTIME.fullmatch(name) is not None\n',
        '    counts = section in _SECTIONS or name.endswith("-dev")\n',
        (BUILDING + "test_packages.py", "-k", "build_can_see_it"),
    ),
    Mutation(
        "a host asks a repository for the one commit first",
        HOST + "building/mirror.py",
        '        single = self._git(*common, f"+{sha}:refs/{_NAMESPACE}/{sha}", until=deadline, settings={})\n',
        '        single = self._git("version", until=deadline, settings={})\n',
        (BUILDING + "test_mirror.py", "-k", "one_commit"),
    ),
    Mutation(
        "a mirror that git cannot read is made anew",
        HOST + "building/build.py",
        "            if damage is None:\n",
        "            if True:\n",
        (BUILDING + "test_build.py", "-k", "a_damaged_mirror"),
    ),
    Mutation(
        "a CI of the host's own goes before ours",
        HOST + "building/bench.py",
        '{"CI": "1", **environment.of_this_user(self.toolchain.node)}',
        '{**environment.of_this_user(self.toolchain.node), "CI": "1"}',
        (BUILDING + "test_bench.py", "-k", "ci_of_the_host"),
    ),
    Mutation(
        "a stability that nobody looks long enough to see is refused",
        "oroboros_deploy/config/loading.py",
        "    if watched and stable_for.value >= timeout.value:",
        "    if False and stable_for.value >= timeout.value:",
        ("tests/config/test_loading.py", "-k", "nothing_can_pass"),
    ),
    Mutation(
        "what cannot be told from a password is not shown",
        "oroboros_deploy/config/addresses.py",
        "    if found is None:\n        return NOT_SHOWN\n",
        "    if found is None:\n        return url\n",
        ("tests/registry/test_url.py", "-k", "typing_error"),
    ),
    Mutation(
        "what git says first is not taken for its reason",
        "oroboros_deploy/source.py",
        "    return next(iter([*said, *reversed(lines)]),",
        "    return next(iter([*reversed(lines)]),",
        ("tests/test_source.py", "-k", "reason_of_git"),
    ),
    Mutation(
        "a user without a home is told so",
        "oroboros_deploy/user.py",
        "    except RuntimeError:\n",
        "    except ZeroDivisionError:\n",
        ("tests/test_user.py", "-k", "tilde"),
    ),
    Mutation(
        "any login shell runs a script",
        "oroboros_deploy/ssh/command.py",
        """re.sub(r"['\\\\\\n!]", lambda""",
        """re.sub(r"[\\\\\\n!]", lambda""",
        ("tests/ssh/test_command.py", "-k", "login_shell"),
    ),
    Mutation(
        "who needs neither key nor password is let in",
        "oroboros_deploy/ssh/login.py",
        "            return not transport.auth_none(self._target.user)\n",
        "            return False\n",
        ("tests/ssh/test_login.py", "-k", "no_authentication_at_all"),
    ),
    Mutation(
        "a line of the repository is in no command line",
        HOST + "process.py",
        """    return ["-c", f'eval "$(</dev/fd/{number})" {number}<&-']\n""",
        """    return ["-c", os.pread(number, 65536, 0).decode()]\n""",
        ("tests/host/test_process.py", "-k", "in_no_arguments"),
    ),
    Mutation(
        "an exit code that no later try changes decides",
        HOST + "gate.py",
        "        if ended and ended.status in _FINAL:\n",
        "        if False:\n",
        (GATE, "-k", "never_pass"),
    ),
    Mutation(
        "a worker that ends after each job passes",
        HOST + "gate.py",
        'return unit.name in self.recurring and unit.result in ("", "success")',
        "return False",
        (GATE, "-k", "after_each_job"),
    ),
    Mutation(
        "an activation whose lock file somebody removed is seen",
        HOST + "running.py",
        "    return holds if holds and unit_runs() else None\n",
        "    return None\n",
        ("tests/host/test_running.py", "-k", "removed"),
    ),
    Mutation(
        "a restore waits for a stop that systemd has begun",
        HOST + "time_limits.py",
        "    return longest if longest > restart_timeout else 0.0\n",
        "    return 0.0\n",
        ("tests/host/test_time_limits.py", "-k", "longer_than_a_restart"),
    ),
    Mutation(
        "a build that was killed leaves the release that it was to replace",
        HOST + "earlier.py",
        '    if seal.state_of(release) == "sealed":\n        left = seal.set_aside(waiting, release.name)\n',
        "    if True:\n        left = seal.set_aside(waiting, release.name)\n",
        ("tests/host/test_earlier.py", "-k", "settling"),
    ),
    Mutation(
        "what pruning cannot remove stays whole and is told",
        HOST + "prune.py",
        "        return verdict._replace(stays=True, why=",
        "        raise\n        return verdict._replace(stays=True, why=",
        ("tests/host/test_prune.py", "-k", "stays_whole"),
    ),
    Mutation(
        "a line of a journal that is no entry is none",
        HOST + "journal_entry.py",
        '    whole = isinstance(said, dict) and type(said.get("seq")) is int and isinstance(said.get("hash"), str)\n',
        "    whole = isinstance(said, dict)\n",
        ("tests/host/test_journal_entry.py", "-k", "without_number"),
    ),
    Mutation(
        "the third restart of a service that fails decides",
        HOST + "gate.py",
        "        if more >= _RESTARTS and",
        "        if more > _RESTARTS and",
        (GATE, "-k", "third_restart"),
    ),
    Mutation(
        "what others can put into a root is not run",
        "oroboros_deploy/remote/agent.py",
        "_BOOTSTRAP = _BEGIN + _STOP + _TRUST + _STORE\n",
        "_BOOTSTRAP = _BEGIN + _STOP + _STORE\n",
        ("tests/remote/test_agent.py", "-k", "others_can_put"),
    ),
    Mutation(
        "an agent that was changed is not run",
        "oroboros_deploy/remote/agent.py",
        """if [ "$stored" != '{digest}  -' ]; then\n""",
        """if [ -z "$stored" ]; then\n""",
        ("tests/remote/test_agent.py", "-k", "damaged_agent"),
    ),
    Mutation(
        "a release that is live and down is no success",
        "oroboros_deploy/control/plan.py",
        " and same and not any(doubts(job, facts)):",
        " and same:",
        ("tests/control/test_plan.py", "-k", "decision or decide or plan"),
    ),
    Mutation(
        "the time of an activation is counted once",
        "oroboros_deploy/cli/summary.py",
        ' if "." not in phase)',
        ")",
        ("tests/cli/test_summary.py",),
    ),
    Mutation(
        "a command gets the variables of /etc/environment",
        HOST + "environment.py",
        "    settled = read(SETTLED)\n",
        "    settled: Dict[str, str] = {}\n",
        ("tests/host/test_environment.py",),
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
        os.chmod(directory, 0o755)  # some tests run as another user
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
