"""What tasks print that are no attempt, as a table or as JSON: hosts, settings, figures, holds, pins, errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from ..control.plan import unfinished, unsound
from ..errors import DeployError
from ..host.constants import IN_PLACE
from ..host.words import held, moved_away, not_live, not_running, put_away
from ..outcome import State, served_before
from ..text import changed_names, clean, columns, duration, moment, short, size
from ..words import came_to, name_of

if TYPE_CHECKING:
    from ..config import Setting
    from ..host.contract import (
        ActivationState,
        AuditAnswer,
        ClaimAnswer,
        ConfigureAnswer,
        Facts,
        JournalEntry,
        LockAnswer,
        Pin,
        PinAnswer,
        PruneAnswer,
        UnlockAnswer,
        UnpinAnswer,
    )
    from ..records.figures import Figures
    from ..records.reconcile import AttemptRepair, Repairs, RowRepair, ServingRepair
    from ..records.record import Forgotten, Row

_WIDTH = 80  # columns of a terminal
_UNSEEN = "processes of other users were not looked into: one of them may use a release that prune removes"
_MINUTES = len("2030-01-31 12:00")

T = TypeVar("T")
Answers = Mapping[str, T | DeployError]  # by the names of the hosts


def status_table(answers: Answers[Facts]) -> str:
    """Each host: what it serves, since when, how its last attempt ended and what runs now; then whatever is not usual.

    The rows are short, for they are read in 80 columns; what takes a sentence stands below.
    """
    head = ("HOST", "LIVE", "SINCE (UTC)", "LAST ATTEMPT", "NOW")
    rows = [_status_row(host, answer) for host, answer in answers.items()]
    said = [clean(f"{host}: {each}") for host, answer in answers.items() for each in _status_notes(answer)]
    return "\n".join([_within_width(head, rows), *said, *_split(answers)])


def status_told(answers: Answers[Facts], typed: Callable[[str, str], str]) -> str:
    """That table, and the commands to type where something is not as it should be; ``typed`` makes one about hosts."""
    return "\n".join([status_table(answers), *_mending(answers, typed)])


def _mending(answers: Answers[Facts], typed: Callable[[str, str], str]) -> Iterator[str]:
    rest = {host: answer for host, answer in answers.items() if not isinstance(answer, DeployError)}
    rest = {host: answer for host, answer in rest.items() if not answer["running"] and not unfinished(answer["last"])}
    odd = [host for host, answer in rest.items() if unsound(answer) or [*moved_away(answer)]]
    down = ",".join(host for host, answer in rest.items() if host not in odd and _may_be_down(answer))
    if down:
        yield f"→ {typed(down, 'logs --since=-1h')}  shows what the services said"
        yield f"→ {typed(down, 'restart')}  restarts the services when the cause is gone, and asks the gate"
    if odd:
        yield f"→ {typed(','.join(odd), 'doctor')}  names the command that mends it"


def _may_be_down(answer: Facts) -> bool:
    last = answer["last"]
    return bool([*not_running(answer)] or (last and last["phase"] == "restore_failed"))


def _within_width(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """The table; where names are so long that its rows would wrap, each name is on a line of its own."""
    table = columns([head, *rows])
    if max(map(len, table.splitlines())) <= _WIDTH:
        return table
    first, *others = columns([head[1:], *(row[1:] for row in rows)]).splitlines()
    lines = (f"{clean(row[0])}\n  {line}" for row, line in zip(rows, others, strict=True))
    return "\n".join([f"  {first}", *lines])


def _split(answers: Answers[Facts]) -> Iterator[str]:
    """That the hosts serve different releases, and how many serve each."""
    served = Counter(answer["live"] for answer in answers.values() if not isinstance(answer, DeployError))
    shares = (f"{short(live) or 'nothing'} on {count}" for live, count in served.most_common())
    if len(served) > 1:
        yield f"These hosts do not all serve the same: {', '.join(shares)}."


def answers_json(answers: Mapping[str, object]) -> str:
    """What each host answered."""
    return json.dumps({host: _plain(answer) for host, answer in answers.items()}, indent=2)


def lock_table(answers: Answers[LockAnswer]) -> str:
    """Each host: that it is held, and what still runs there."""
    return _sentences(answers, _locked)


def unlock_table(answers: Answers[UnlockAnswer]) -> str:
    """Each host: whose hold was ended."""
    return _sentences(answers, _unlocked)


def pin_table(answers: Answers[PinAnswer]) -> str:
    """Each host: who pinned the release."""
    return _sentences(answers, _pinned)


def unpin_table(answers: Answers[UnpinAnswer]) -> str:
    """Each host: whose pin was taken away."""
    return _sentences(answers, _unpinned)


def claim_table(answers: Answers[ClaimAnswer]) -> str:
    """Each host: whose the deploy root was, and whose it is."""
    return _sentences(answers, _claimed)


def env_table(answers: Answers[Facts]) -> str:
    """Each host: the names of the configuration in use, and where each comes from; no value."""
    rows = [row for host, answer in answers.items() for row in _env_rows(host, answer)]
    return columns([("HOST", "CONFIGURATION", "NAME", "FROM"), *rows])


def env_diff_table(answers: Answers[ConfigureAnswer]) -> str:
    """Each host: each name, where it comes from, and whether it differs from the configuration in use; no value."""
    rows = [row for host, answer in answers.items() for row in _env_diff_rows(host, answer)]
    return columns([("HOST", "NAME", "FROM", "DIFFERS"), *rows])


def prune_table(answers: Answers[PruneAnswer]) -> str:
    """Each release of each host: whether it stays, why, and the bytes that are freed."""
    head = ("HOST", "RELEASE", "", "FREED", "WHY")
    return columns([head, *(row for host, answer in answers.items() for row in _prune_rows(host, answer))])


def audit_table(answers: Answers[AuditAnswer]) -> str:
    """The journals, the oldest entry first, and whether they are what was written."""
    head = ("HOST", "ENTRY", "WHEN (UTC)", "WHO", "WHAT", "OUTCOME")
    rows = [row for host, answer in answers.items() for row in _audit_rows(host, answer)]
    return "\n".join([columns([head, *rows]), *filter(None, map(_verified, answers, answers.values()))])


def config_table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Setting, value, source."""
    return columns([("SETTING", "VALUE", "FROM"), *rows])


def config_manual(rows: Sequence[tuple[str, str, str]]) -> str:
    """Each setting with its value and source, and below it what it is for."""
    from ..config import SETTINGS

    about = {setting.name: f"\n    {_help(setting)}" for setting in SETTINGS}
    return "\n".join(f"{name}: {value}  ({source}){about.get(name, '')}" for name, value, source in rows)


def config_json(rows: Sequence[tuple[str, str, str]]) -> str:
    """Setting, value, source."""
    return json.dumps({name: {"value": value, "from": source} for name, value, source in rows}, indent=2)


def figures_table(rows: Sequence[Figures]) -> str:
    """The four measures of each environment; of all together where none is named."""
    head = ("ENVIRONMENT", "DEPLOYMENTS", "A DAY", "LEAD TIME", "CHANGE FAILURES", "TIME TO RESTORE")
    return columns([head, *(_figures_row(row) for row in rows)])


def figures_json(rows: Sequence[Figures]) -> str:
    """All that is known of each, day by day."""
    return json.dumps([asdict(row) for row in rows], indent=2)


def repairs_table(found: Sequence[Repairs]) -> str:
    """What differed, what was done about it, and what is doubtful; for one environment after another."""
    return "\n\n".join(map(_repairs, found))


def repairs_json(found: Sequence[Repairs]) -> str:
    """The same, with every value."""
    return json.dumps([repairs.as_dict() for repairs in found], indent=2)


def forgotten(answer: Forgotten) -> str:
    """What a host served that was forgotten, and what nothing serves any more."""
    served = ", ".join(map(short, answer["served"])) or "nothing"
    status = "its status in the registry is `replaced` now"
    gone = "".join(f"\n{short(each)} is live nowhere any more: {status}" for each in answer["replaced"])
    return f"{clean(answer['host'])} is forgotten: it served {served}; its attempts stay in the history{gone}"


def error_json(error: DeployError, exit_code: int) -> str:
    """An error as one JSON object on one line, with what came of the attempt on each host."""
    outcome = error.outcome.as_dict() if error.outcome else None
    said = {"error": type(error).__name__, "message": error.message, "hint": error.hint, "host": error.host}
    return json.dumps(said | {"exit_code": exit_code, "outcome": outcome})


def _status_row(host: str, answer: Facts | DeployError) -> tuple[str, ...]:
    if isinstance(answer, DeployError):
        return (host, "?", "", "", "no answer")
    running = answer["running"]
    last = answer["last"]
    now = f"{running.get('kind', 'activation')}: {running.get('phase', '?')}" if running else _rest(answer)
    ended = f"{last['kind']}, {_phase(last['phase'], last)}" if last else "none"
    return (host, short(answer["live"]) or "nothing", _since(answer), ended, now)


def _status_notes(answer: Facts | DeployError) -> Iterator[str]:
    """What has to be known of a host beside its row."""
    if isinstance(answer, DeployError):
        yield _line(answer)
        return
    last, used = answer["last"], answer.get("configuration")
    if any(each["id"] == answer["live"] and each["state"] == "adopted" for each in answer["releases"]):
        yield f"{short(answer['live'])} was not built by this tool, and is unverified"
    if used:
        names = changed_names(last.get("names")) if last and last["phase"] == "committed" else ""
        yield f"its configuration is {used}" + (f"; the last {last['kind']} changed {names}" if last and names else "")
    if last and last["phase"] != "committed":
        yield f"the last {last['kind']}, of {short(last['target'])}, {_ended(last)}"
    if not answer["running"]:
        yield from _unusual(answer)


def _unusual(answer: Facts) -> Iterator[str]:
    if unfinished(answer["last"]):
        yield "interrupted; the next deploy settles it"
        return
    if answer["hold"]:
        yield held(answer["hold"])
    systemctl = "systemctl --user" if answer.get("scope") == "user" else "systemctl"
    yield from filter(None, [unsound(answer)])
    yield from not_live(answer)
    yield from (put_away(name, systemctl) for name, unit in answer["units"].items() if unit.get("put_away"))


def _ended(last: ActivationState) -> str:
    """How an attempt that did not go live ended, as it follows its name."""
    if last["phase"] not in ("restored", "restore_failed"):
        return f"came to: {came_to(last['phase'])}"
    if last["phase"] == "restored" and not last.get("switched", True):
        return "failed before the switch"
    failed = _end(last["phase"], last)
    source = short(last.get("source")) or "what was there before"
    return {"restored": f"failed: {source} was restored", "not restored": "failed, and was not restored"}.get(
        failed, failed
    )


def _end(phase: str, activation: ActivationState | JournalEntry) -> str:
    """How an activation ended; after a first deploy that failed there may have been nothing to restore."""
    first = phase == "restored" and activation.get("switched") and activation.get("source") is None
    nothing_left = first and not served_before(activation)
    return "failed, nothing is live" if nothing_left else _phase(phase, activation)


def _phase(phase: str, activation: ActivationState | JournalEntry) -> str:
    """The last phase, as an attempt is called that came to it: what was never switched was not restored."""
    unswitched = phase == "restored" and activation.get("switched") is False
    return name_of(State.NOT_SWITCHED) if unswitched else came_to(phase)


def _help(setting: Setting) -> str:
    return f"{setting.help} ({setting.variable})" if setting.variable else setting.help


def _figures_row(row: Figures) -> tuple[str, ...]:
    failures = "-" if row.change_failure_rate is None else f"{row.change_failure_rate:.0%}"
    frequency = f"{row.deployment_frequency_per_day:.2f}"
    times = _time(row.lead_time_seconds), _time(row.time_to_restore_seconds)
    return (row.environment or "all", str(row.deployments), frequency, times[0], failures, times[1])


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _repairs(repairs: Repairs) -> str:
    rows = [*map(_row_row, repairs.rows), *map(_attempt_row, repairs.attempts), *map(_serving_row, repairs.serving)]
    differs = columns([("WHAT", "REGISTRY", "JOURNALS"), *rows]) if rows else "The registry says what the journals say."
    done = "Repaired." if repairs.written else "Nothing was written (--dry-run)."
    doubts = [clean(f"{doubt.host}: {doubt.message}" if doubt.host else doubt.message) for doubt in repairs.doubts]
    return "\n".join(
        [clean(f"Read: {', '.join(repairs.hosts) or 'no host'}"), differs, *([done] if rows else []), *doubts]
    )


def _row_row(repair: RowRepair) -> tuple[str, ...]:
    return (f"release {short(repair.release_id)}", _row(repair.before), _row(repair.row))


def _row(row: Row | None) -> str:
    return " ".join(filter(None, (row.status, row.deployed_at and row.deployed_at[:19]))) if row else "no row"


def _attempt_row(repair: AttemptRepair) -> tuple[str, ...]:
    record = repair.record
    ends = ", ".join(f"{part.host} {part.state}" for part in record.hosts)
    return (f"{record.kind} {record.attempt}", repair.before or "unknown to it", ends)


def _serving_row(repair: ServingRepair) -> tuple[str, ...]:
    before, now = (short(release) or "nothing" for release in (repair.before, repair.release_id))
    return (f"host {repair.host}", before, now)


def _rest(answer: Facts) -> str:
    if unfinished(answer["last"]):
        return "interrupted"
    if answer["hold"]:
        return "held"
    return "look below" if [*_unusual(answer)] else "quiet"


def _since(answer: Facts) -> str:
    """When the live release was switched to, as the host's journal has it; empty when what came last was another."""
    switches = (entry for entry in reversed(answer["journal"]) if entry.get("kind") not in IN_PLACE)
    came = (entry for entry in switches if entry["outcome"] == "committed")
    last = next(came, None)
    return moment(last["at"])[:_MINUTES] if last and last.get("target") == answer["live"] else ""


def _sentences(answers: Answers[T], words: Callable[[T], str]) -> str:
    def said(answer: T | DeployError) -> str:
        return _line(answer) if isinstance(answer, DeployError) else words(answer)

    return columns([(host, said(answer)) for host, answer in answers.items()])


def _line(error: DeployError) -> str:
    """What an error says, in one line; the hint of the first one is told when the command ends."""
    return "; ".join(error.message.splitlines())


def _locked(answer: LockAnswer) -> str:
    running = answer["running"]
    if running is None:
        return held(answer["hold"])
    what = f"the {running['kind']} of {short(running['target'])}" if running else "an activation"
    return f"{held(answer['hold'])}; {what} that runs there goes on to its end"


def _unlocked(answer: UnlockAnswer) -> str:
    return f"is free; it was {held(answer['freed'])}" if answer["freed"] else "was not held"


def _claimed(answer: ClaimAnswer) -> str:
    found = answer["was"]
    was = f"the deploy root {found['root']} of the machine {found['name']}" if found else "a deploy root without an id"
    if answer["claimed"]:
        return f"is this machine's deploy root; it was {was}"
    return "is this machine's deploy root already" if answer["now"] else f"has {was}"


def _pinned(answer: PinAnswer) -> str:
    return f"{answer['release']} is pinned by {_whose(answer['pin'])}"


def _unpinned(answer: UnpinAnswer) -> str:
    release, pin = answer["release"], answer["pin"]
    return f"{release} is pinned no more; it was by {_whose(pin)}" if pin else f"{release} was not pinned"


def _whose(pin: Pin) -> str:
    return f"{pin['actor']} since {moment(pin['at'])} UTC"


def _prune_rows(host: str, answer: PruneAnswer | DeployError) -> Iterator[tuple[str, ...]]:
    if isinstance(answer, DeployError):
        yield (host, "?", "", "", _line(answer))
        return
    goes = "would go" if answer["dry_run"] else "removed"
    for each in answer["releases"]:
        does, freed = ("stays", "") if each["stays"] else (goes, size(each["bytes"]))
        yield (host, each["id"], does, freed, each["why"])
    unseen = "" if answer["complete"] else _UNSEEN
    yield (host, "together", "", size(answer["freed"]), unseen)


def _audit_rows(host: str, answer: AuditAnswer | DeployError) -> Iterator[tuple[str, ...]]:
    if isinstance(answer, DeployError):
        yield (host, "?", "", "", "", _line(answer))
        return
    for entry in answer["entries"]:
        yield (host, *_entry_row(entry))


def _entry_row(entry: JournalEntry) -> tuple[str, ...]:
    """An entry of a journal; one that was edited may lack anything, or have other values than it should."""
    found: Mapping[str, object] = entry
    number, at, actor, kind = (found.get(key) for key in ("seq", "at", "actor", "kind"))
    target, names = short(str(found.get("target") or "")), changed_names(found.get("names"))
    what = " ".join(filter(None, (str(kind or ""), target, names)))
    end = _end(str(found.get("outcome") or ""), entry)
    outcome = ": ".join(filter(None, (end, str(found.get("reason") or ""))))
    return (str(number), _when(at), str(actor or "?"), what, outcome)


def _env_rows(host: str, answer: Facts | DeployError) -> Iterator[tuple[str, ...]]:
    if isinstance(answer, DeployError):
        yield (host, "?", _line(answer), "")
        return
    used = answer.get("configuration")
    yield from ((host, str(used), name, origin) for name, origin in sorted(answer.get("origins", {}).items()))
    if not answer.get("origins"):
        yield (host, str(used or "none"), "", "")


def _env_diff_rows(host: str, answer: ConfigureAnswer | DeployError) -> Iterator[tuple[str, ...]]:
    if isinstance(answer, DeployError):
        yield (host, "?", _line(answer), "")
        return
    names = answer["names"]
    how = dict.fromkeys(names["added"], "added") | dict.fromkeys(names["changed"], "changed")
    yield from ((host, name, origin, how.get(name, "")) for name, origin in answer["origins"].items())
    yield from ((host, name, "", "removed") for name in names["removed"])


def _when(at: object) -> str:
    try:
        return moment(float(str(at)))
    except (ValueError, OverflowError, OSError):
        return "?"


def _verified(host: str, answer: AuditAnswer | DeployError) -> str | None:
    if isinstance(answer, DeployError) or not answer["verified"]:
        return None
    wrong = answer["wrong"]
    entries = f"{answer['count']} entries"
    return clean(
        f"{host}: {entries}; line {wrong['line']} {wrong['what']}" if wrong else f"{host}: {entries}, as written"
    )


def _plain(answer: object) -> object:
    return {"error": answer.message, "hint": answer.hint} if isinstance(answer, DeployError) else answer
