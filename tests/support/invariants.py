"""The oracle of every test that breaks things: the invariants of a host that has come to rest.

    assert broken(root, serving={"api": "<sha>"}) == []

It reads what the host left on its disk, and the caller says what serves; so it judges a
directory of this machine and a booted host alike.  Each invariant has its number.
Three are not for one quiet host alone: 7 as an exit code (tests/hosts), 8 as a database
(tests/registry), and 12, which compares a tree before with after (``watching.tree``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from oroboros_deploy.host import configuration, lock, records, seal, unit_sets
from oroboros_deploy.host.journal import Journal
from oroboros_deploy.host.journal_entry import GENESIS, digest
from oroboros_deploy.host.layout import Layout
from oroboros_deploy.host.state import FINAL

Entry = dict[str, Any]


@dataclass(frozen=True)
class Rest:
    """What a quiet host shows of itself."""

    layout: Layout
    serving: Mapping[str, str | None]
    secrets: tuple[str, ...]
    entries: list[Entry]
    """Of attempts; the journal has others as well."""
    units: Path | None = None
    """The directory of units; None where the caller asks systemd itself."""

    @property
    def live(self) -> str | None:
        current = self.layout.current
        return current.readlink().name or None if current.is_symlink() else None

    @property
    def attempts(self) -> list[Path]:
        """Those that were asked for; a directory that a cut left without its request asks for nothing."""
        return [path.parent for path in sorted((self.layout.ours / "attempts").glob("*/request.json"))]

    def standing(self, release_id: str) -> str:
        """``sealed``, ``adopted``, or what is wrong."""
        release = self.layout.release(release_id)
        found = seal.state_of(release)
        return (seal.verify(release) or found) if found == "sealed" else found


def layout_of(root: Path) -> Layout:
    """The usual places below a deploy root."""
    return Layout(root, root / "releases", root / "current", root / "repo")


def broken(
    where: Path | Layout,
    *,
    serving: Mapping[str, str | None] | None = None,
    secrets: tuple[str, ...] = (),
    units: Path | None = None,
) -> list[str]:
    """Every invariant that does not hold on this host, in words; ``serving``: what each service really runs."""
    layout = layout_of(where) if isinstance(where, Path) else where
    rest = Rest(layout, serving or {}, secrets, Journal(layout.journal).attempts(), units)
    return [f"{number}: {words}" for number, rule in RULES.items() for words in rule(rest)]


def current_is_a_release(rest: Rest) -> Iterator[str]:
    if rest.live and rest.standing(rest.live) not in ("sealed", "adopted"):
        yield f"current names {rest.live}, which is {rest.standing(rest.live)}"


def serving_is_current(rest: Rest) -> Iterator[str]:
    for unit, release in rest.serving.items():
        if release != rest.live:
            yield f"{unit} serves {release}, current names {rest.live}"


def failed_is_not_serving(rest: Rest) -> Iterator[str]:
    last = {entry["target"]: entry["outcome"] for entry in rest.entries}
    if rest.entries and rest.entries[-1]["outcome"] == "restore_failed":
        return  # that end calls for a person
    for release in {rest.live, *rest.serving.values()}:
        restored_to = [entry for entry in rest.entries[-1:] if entry["source"] == release]
        if release and last.get(release, "committed") != "committed" and not restored_to:
            yield f"{release} failed and is live or serving"


def attempts_have_one_end(rest: Rest) -> Iterator[str]:
    ends = {entry["attempt"]: entry["outcome"] for entry in rest.entries}
    for attempt in rest.attempts:
        result = _json(attempt / "result.json") or {}
        told = result.get("state", {}).get("phase")
        if ("refusal" in result) == (told in FINAL):
            yield f"attempt {attempt.name} has no end: {sorted(result) or 'no result'} {told or ''}"
        elif told != ends.get(attempt.name):
            yield f"attempt {attempt.name} ended {told}, the journal says {ends.get(attempt.name)}"
    state = _json(rest.layout.state)
    if state and state["phase"] not in FINAL and not (rest.layout.attempt(state["attempt"]) / "result.json").exists():
        yield f"the state of the host is {state['phase']}"
    if rest.layout.unfinished.is_symlink():
        yield "an attempt is marked unfinished"


def one_restore(rest: Rest) -> Iterator[str]:
    for attempt in rest.attempts:
        phases = _phases(attempt)
        back = phases[phases.index("restoring") :] if "restoring" in phases else []
        if not set(back) <= {"restoring", "restored", "restore_failed"}:
            yield f"attempt {attempt.name} went on after its restore began: {phases}"
        if sum(phase in FINAL for phase in phases) > 1:
            yield f"attempt {attempt.name} ended more than once: {phases}"


def one_activation(rest: Rest) -> Iterator[str]:
    try:
        if rest.layout.lock.exists():
            with lock.take(rest.layout.lock, wait=2):  # its holder may be just about to exit
                pass
    except lock.Held:
        yield "the lock is held although nothing runs"
    spans = sorted(filter(None, map(_span, rest.attempts)))
    for (_, end, first), (begin, _, second) in pairwise(spans):
        if begin < end:
            yield f"attempts {first} and {second} ran at the same time"


def the_journal_says_what_is_live(rest: Rest) -> Iterator[str]:
    if rest.entries and rest.entries[-1]["live"] != rest.live:
        yield f"the journal says {rest.entries[-1]['live']} is live, current names {rest.live}"
    for attempt in rest.attempts:
        phases = _phases(attempt)
        found_gated = any("interrupted after 'gated'" in line["message"] for line in _log(attempt))
        if "committed" in phases and "gated" not in phases and not found_gated:
            yield f"attempt {attempt.name} was committed without its gate: {phases}"


def the_journal_is_whole(rest: Rest) -> Iterator[str]:
    before = {"seq": 0, "hash": GENESIS}
    for entry in Journal(rest.layout.journal).entries():
        if (entry["seq"], entry["previous"]) != (before["seq"] + 1, before["hash"]) or digest(entry) != entry["hash"]:
            yield f"the journal's chain breaks at {entry['seq']}"
        before = entry


def attempts_act_once(rest: Rest) -> Iterator[str]:
    for attempt, times in Counter(entry["attempt"] for entry in rest.entries).items():
        if times > 1:
            yield f"attempt {attempt} is in the journal {times} times"
    for attempt in rest.attempts:
        if _phases(attempt).count("swapped") > 1:
            yield f"attempt {attempt.name} switched more than once"


def there_is_a_way_back(rest: Rest) -> Iterator[str]:
    committed = [entry for entry in rest.entries if entry["outcome"] == "committed"]
    for entry in committed[-1:]:
        if entry["source"] and rest.standing(entry["source"]) not in ("sealed", "adopted"):
            yield f"the previous good release {entry['source']} is {rest.standing(entry['source'])}"


def the_configuration_is_that_of_the_release(rest: Rest) -> Iterator[str]:
    if rest.live is None or (rest.entries and rest.entries[-1]["outcome"] == "restore_failed"):
        return  # that end calls for a person
    record, used = _json(rest.layout.record(rest.live)) or {}, configuration.in_use(rest.layout)
    noted = record.get("configuration")
    if noted and noted != used:
        yield f"{rest.live} was committed with the configuration {noted}, env names {used}"


def the_units_are_those_of_the_release(rest: Rest) -> Iterator[str]:
    if not (rest.live and rest.units) or (rest.entries and rest.entries[-1]["outcome"] == "restore_failed"):
        return  # that end calls for a person
    noted = records.units_of(rest.layout, rest.live)
    wanted = unit_sets.load(rest.layout, noted).texts if noted else {}
    found = {path.name: path.read_text() for path in rest.units.iterdir()}
    if noted and found != wanted:
        yield f"{rest.live} was committed with the units {sorted(wanted)}, there are {sorted(found)}, or other texts"


def no_secret(rest: Rest) -> Iterator[str]:
    for path in filter(Path.is_file, rest.layout.ours.rglob("*")):
        for secret in rest.secrets:
            if secret.encode() in path.read_bytes():
                yield f"a secret is in {path}"


RULES = {
    1: current_is_a_release,
    2: serving_is_current,
    3: failed_is_not_serving,
    4: attempts_have_one_end,
    5: one_restore,
    6: one_activation,
    7: the_journal_says_what_is_live,
    8: the_journal_is_whole,
    9: attempts_act_once,
    10: there_is_a_way_back,
    11: no_secret,
    13: the_configuration_is_that_of_the_release,
    14: the_units_are_those_of_the_release,
}


def _json(path: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return value


def _log(attempt: Path) -> list[Entry]:
    """The lines of an attempt's log; one that a death tore is not a line."""
    path = attempt / "log.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def _phases(attempt: Path) -> list[str]:
    return [line["data"]["phase"] for line in _log(attempt) if line["event"] == "phase"]


def _span(attempt: Path) -> tuple[float, float, str] | None:
    """When an attempt changed the host, as far as its log says."""
    times = [line["at"] for line in _log(attempt) if line["event"] == "phase"]
    return (times[0], times[-1], attempt.name) if times else None


def untrue(where: Path, attempt: str, serving: Mapping[str, str | None]) -> list[str]:
    """What was told of the end of an attempt and is not so on the host, in words."""
    layout = layout_of(where)
    result = _json(layout.attempt(attempt) / "result.json") or {}
    phases = _phases(layout.attempt(attempt))
    rest = Rest(layout, serving, (), Journal(layout.journal).attempts())
    if "refusal" in result:
        return [f"refused after {phases}"] if "swapped" in phases else []
    state = result["state"]
    told = {"committed": state["target"], "restored": state["source"]}.get(state["phase"])
    if told is None:
        return [] if result["live"] == rest.live else [f"told that {result['live']} is live, it is {rest.live}"]
    found = [f"told that {told} is live, current names {rest.live}"] if rest.live != told else []
    found += [f"told that {told} serves, {name} runs {runs}" for name, runs in serving.items() if runs != told]
    return found + ([f"told that {told} is live, it is missing"] if rest.standing(told) == "missing" else [])
