"""What must hold on a host at rest, whatever was done to it (the invariants of docs/promises.md), asked of the host.

Nothing of the package is used here: what it believes is not evidence.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cgroup
from disposable_host import DisposableHost

from tests.support import configured, unit_kinds
from tests.support.configured import CRASH, Values
from tests.support.shop import ROOT, Scope, releases_of, serving, systemctl
from tests.support.user_shop import UNITS as LOGINS_UNITS

SERVICES = ("shop-api", "shop-mailer")
PORT = 8000
ENDS = ("committed", "restored", "restore_failed")
_ACTIVATION = "oroboros-activate.service"


class Oracle:
    """Looks at one host; every answer is a sentence about what is wrong, none when all is well.

    ``scope`` is whose service manager runs the services there.
    """

    def __init__(self, host: DisposableHost, scope: Scope = "system") -> None:
        self.host = host
        self.scope = scope
        self.root = host.rootfs / ROOT.removeprefix("/")
        self.ours = self.root / ".deploy"
        self.units = host.rootfs / ("etc/systemd/system" if scope == "system" else LOGINS_UNITS)
        self.brought: dict[str, dict[str, str]] = {}  # the units of each release, as they are committed

    @property
    def services(self) -> tuple[str, ...]:
        """The services of the release that `current` names."""
        return unit_kinds.services(self.brought.get(str(self.live), {})) or SERVICES

    @property
    def live(self) -> str | None:
        """The release that `current` names."""
        link = self.root / "current"
        return Path(os.readlink(link)).name if link.is_symlink() else None

    @property
    def state(self) -> dict[str, Any]:
        """The persisted state of the last activation; empty when there was none."""
        return _read(self.ours / "state.json")

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Every line of the journal."""
        path = self.ours / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def attempts(self) -> set[str]:
        """The attempts that this host was ever asked for."""
        return set(os.listdir(self.ours / "attempts"))

    def agents(self) -> dict[int, str]:
        """The agent's processes on this host and what each does: ``run``, ``build``, …."""
        return {pid: argv[-1] if argv[-2].endswith(".pyz") else argv[-2] for pid, argv in self._pythons()}

    def moving(self, *, serving: bool = True) -> str | None:
        """What keeps the host from being at rest; None when nothing does.  Unless asked, services may rest anywhere."""
        if agents := self.agents():
            return f"the agent still runs: {agents}"
        if (self.ours / "unfinished").is_symlink():
            return f"an attempt is unfinished: {self.state.get('attempt')} in {self.state.get('phase')!r}"
        if systemctl(self.host, "is-active", _ACTIVATION, scope=self.scope, check=False) != "inactive":
            return f"{_ACTIVATION} is not put away yet"
        if any(tuple(argv) == CRASH for argv in processes(self.host).values()):
            return "a service is about to crash"
        return next(iter(self.not_serving()), None) if serving else None

    def not_serving(self) -> Iterator[str]:
        """Invariant 2: every process of the services, asked of the kernel, and the answer over HTTP is of `current`."""
        live = self.live
        for unit in self.services:
            if (found := serving(self.host, unit, self.scope)) != live:
                yield f"{unit} runs {found}, but current names {live}"
            for other in sorted(releases_of(self.host, unit) - {str(live), str(found)}):
                yield f"a process of {unit} runs in {other}, but current names {live}"
        script = self.root / "releases" / str(live) / "services/api.sh"
        url = f"http://127.0.0.1:{PORT}/api.sh"
        said = self.host.run("curl", "--silent", "--max-time", "2", url, check=False).stdout
        if not script.exists() or said != script.read_text():
            yield f"over HTTP answers {said!r}, which is not {live}"

    def violations(self, bad: set[str]) -> Iterator[str]:
        """Invariants 1, 2, 3, 4, 5 and 10 of a host at rest; ``bad`` are the releases that cannot pass their gate."""
        live, journal = self.live, self.journal
        if live is None:
            yield "current names nothing"
            return
        yield from self._damage(live)
        yield from self.not_serving()
        if live in bad:
            yield f"{live} cannot pass its gate, but is live"
        if self.state and self.state["phase"] not in ENDS:
            yield f"the state is {self.state['phase']!r}, which is no end"
        yield from self._breaks(journal)
        if journal and journal[-1]["live"] != live:
            yield f"the journal ends on {journal[-1]['live']}, but current names {live}"
        for entry in journal[-1:]:
            yield from self._damage(entry["source"])
        if left := [path.name for path in (self.ours / "tmp").glob(".current*")]:
            yield f"links are left in tmp: {left}"

    def not_whole(self, values: Values) -> Iterator[str]:
        """Invariant 1: `env`, every process's environment and all units are those that `current` was committed with."""
        if (found := configured.in_use(self.root)) != values:
            yield f"env leads to {found}, but {self.live} was committed with {values}"
        brought = self.brought[str(self.live)]
        wanted = {name: unit_kinds.on_the_host(text) for name, text in brought.items()}
        there = unit_kinds.installed(self.units)
        for name in sorted({*wanted, *there}):
            if there.get(name) != wanted.get(name):
                yield f"{name} is not what {self.live} brought: {there.get(name)!r}"
        if (links := unit_kinds.links(self.units)) != unit_kinds.wanted_links(brought):
            yield f"what is enabled is {sorted(links)}, but {self.live} brought {sorted(wanted)}"
        yield from self._not_known_so(brought, values)

    def _not_known_so(self, brought: dict[str, str], values: Values) -> Iterator[str]:
        """What systemd and the kernel know of units and processes, where it is something else."""
        running = unit_kinds.running(brought)
        for name, unit in self._known().items():
            wanted = running.get(name, unit_kinds.GONE)
            if (found := (unit["LoadState"], unit["ActiveState"], unit["UnitFileState"])) != wanted:
                yield f"systemd says of {name} {found}, not {wanted}"
            if unit["NeedDaemonReload"] != "no":
                yield f"systemd has not read {name} since it was changed"
            pause = unit_kinds.SLOWER if unit_kinds.DROP_IN in brought else "100ms"
            if name == "shop-api.service" and unit["RestartUSec"] != pause:
                yield f"systemd waits {unit['RestartUSec']} before it restarts {name}, not {pause}"
            if name in running and name.endswith(".service") and (has := self._environ(unit["MainPID"])) != values:
                yield f"the process of {name} has {has} in its environment, not {values}"

    def _known(self) -> dict[str, dict[str, str]]:
        """What systemd says of every unit that a release may bring."""
        properties = "LoadState,ActiveState,UnitFileState,NeedDaemonReload,MainPID,RestartUSec"
        asked = ("show", f"--property={properties}", "--", *unit_kinds.KNOWN)
        blocks = systemctl(self.host, *asked, scope=self.scope, check=self.scope == "system").split("\n\n")
        told = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks]
        empty = dict.fromkeys(["MainPID", *properties.split(",")], "")
        return {name: {**empty, **each} for name, each in zip(unit_kinds.KNOWN, told, strict=False)}

    def _environ(self, pid: str) -> Values | None:
        text = self.host.run("cat", f"/proc/{pid}/environ", check=False).stdout
        return configured.found(text.replace("\0", "\n"))

    def leaks(self, attempt: str, secret: str) -> Iterator[str]:
        """Invariant 11: where a secret is, but in the configurations."""
        kept = (path for path in (self.ours / "attempts" / attempt).rglob("*") if path.is_file())
        for path in (self.ours / "journal.jsonl", self.ours / "state.json", *kept):
            if path.is_file() and secret.encode() in path.read_bytes():
                yield f"a secret is in {path}"

    def is_putting(self) -> bool:
        """Whether root changes units at this moment for an activation."""
        transient = Path(f"/proc/{self.host.leader}/root/run/systemd/transient")
        with suppress(OSError):  # the host goes down
            return any(transient.glob("oroboros-command-*.service"))
        return False

    def is_adopted(self, release: Path) -> bool:
        """Whether another tool made the release."""
        meta, sealed = release / ".deploy-meta", release / ".deploy-seal"
        return meta.is_file() and not sealed.exists() and f"commit_sha={release.name}\n" in meta.read_text()

    def told_of_edited(self, attempt: str | None) -> bool:
        """Whether an attempt said that somebody changed units, and that they stay as they are."""
        log = _lines(self.ours / "attempts" / str(attempt) / "log.jsonl")
        return any(line["message"].startswith("somebody changed shop-api.service on this host") for line in log)

    def ended(self, attempt: str) -> str | None:
        """How an attempt ended: as the journal has it; None when it ended before it changed anything."""
        return next((str(entry["outcome"]) for entry in self.journal if entry["attempt"] == attempt), None)

    def left(self, attempt: str | None) -> str | None:
        """The release that was live when an attempt began, as the journal has it."""
        return next((entry["source"] for entry in self.journal if entry["attempt"] == attempt), None)

    def ended_at(self, attempt: str) -> float:
        """When an attempt ended (Unix time)."""
        return next(float(entry["at"]) for entry in self.journal if entry["attempt"] == attempt)

    def misremembered(self, attempt: str) -> Iterator[str]:
        """Invariants 4, 5 and 9 of one attempt: one end, the same in its log, its result, the state and the journal."""
        entries = [entry["outcome"] for entry in self.journal if entry["attempt"] == attempt]
        directory = self.ours / "attempts" / attempt
        result, log = _read(directory / "result.json"), _lines(directory / "log.jsonl")
        ends = [line["data"]["phase"] for line in log if line["event"] == "phase" and line["data"]["phase"] in ENDS]
        began = self.state.get("attempt") == attempt
        if len(entries) > 1 or (began and not entries):
            yield f"the journal has {len(entries)} entries for {attempt}"
        # When the power goes between the two, whoever asks for the result makes it (host/test_crash_states.py).
        if began and result and [result.get("state", {}).get("phase")] != entries:
            yield f"the result of {attempt} is {result}, but the journal has {entries}"
        if len(ends) > 1 or (ends and ends != entries):
            yield f"the log of {attempt} ends in {ends}, but the journal has {entries}"
        if entries and self.state["phase"] != entries[0]:
            yield f"the state of {attempt} is {self.state['phase']!r}, but the journal has {entries}"

    def _damage(self, release_id: str | None) -> Iterator[str]:
        """Invariants 1 and 10: a release is sealed, and every file in it is what was sealed; or it is adopted."""
        release = self.root / "releases" / str(release_id)
        if self.is_adopted(release):
            return
        if not (release / ".deploy-seal").is_file():
            yield f"{release_id} is not a sealed release"
            return
        for path, kind, _, _, _, digest, *_ in _lines(release / ".deploy-manifest"):
            if kind == "f" and _sha256(release / path) != digest:
                yield f"{path} in {release_id} is not what was sealed"

    def _breaks(self, journal: list[dict[str, Any]]) -> Iterator[str]:
        """The journal's chain: no entry edited, cut out, reordered or written twice."""
        previous, seen = "0" * 64, set()
        for number, entry in enumerate(journal, 1):
            body = {key: value for key, value in entry.items() if key != "hash"}
            digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
            if (entry["seq"], entry["previous"], entry["hash"]) != (number, previous, digest):
                yield f"the journal's chain breaks at entry {number}"
            if entry["attempt"] in seen:
                yield f"the journal has {entry['attempt']} twice"
            previous = entry["hash"]
            seen.add(entry["attempt"])

    def _pythons(self) -> Iterator[tuple[int, list[str]]]:
        for pid, argv in processes(self.host).items():
            if "python" in argv[0] and any(word.endswith(".pyz") for word in argv):
                yield pid, argv


def processes(host: DisposableHost) -> dict[int, list[str]]:
    """Every process on the host, by the id that this machine knows it by, and its command line."""
    found = {}
    for pid in cgroup.processes(host.directory):
        try:
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
        except OSError:
            continue
    return {pid: argv for pid, argv in found.items() if argv}


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
