"""What the read-only tasks print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oroboros_deploy.cli import tables
from oroboros_deploy.cli.tables import repairs_json, repairs_table, status_table, status_told
from oroboros_deploy.config import Config
from oroboros_deploy.errors import HostUnreachable
from oroboros_deploy.records.reconcile import AttemptRepair, Doubt, Repairs, RowRepair, ServingRepair
from oroboros_deploy.records.record import Row
from tests.support.samples import A, B, host, record

SHA = "a" * 40
UP = {"serving": True, "condition": "active (running)", "strays": []}


def answer(**changes: Any) -> dict[str, Any]:
    last = {"kind": "deploy", "target": SHA, "phase": "committed"}
    journal = [{"outcome": "committed", "target": SHA, "at": 1_800_000_000.0}]
    quiet = {"running": None, "hold": None, "journal": journal, "releases": [{"id": SHA, "state": "sealed"}]}
    return {"live": SHA, "last": last, "units": {"api": UP}} | quiet | changes


LIVE = "web1  aaaaaaaaaa  2027-01-15 08:00  deploy, live"


@pytest.mark.parametrize(
    ("said", "rows"),
    [
        (answer(), [f"{LIVE}  quiet"]),
        (answer(running={"kind": "rollback", "phase": "gated"}), [f"{LIVE}  rollback: gated"]),
        (
            answer(last={"kind": "deploy", "target": SHA, "phase": "swapped"}),
            [
                "web1  aaaaaaaaaa  2027-01-15 08:00  deploy, swapped  interrupted",
                "web1: the last deploy, of aaaaaaaaaa, came to: swapped",
                "web1: interrupted; the next deploy settles it",
            ],
        ),
        (
            answer(
                configuration="0123456789abcdef",
                last={"kind": "env", "target": SHA, "phase": "committed"}
                | {"names": {"added": ["A"], "changed": ["B"], "removed": ["C"]}},
            ),
            [
                "web1  aaaaaaaaaa  2027-01-15 08:00  env, live     quiet",
                "web1: its configuration is 0123456789abcdef; the last env changed (+A ~B -C)",
            ],
        ),
        (
            answer(hold={"actor": "ada@desk", "at": 1_800_000_000.0, "reason": "the fair"}),
            [f"{LIVE}  held", "web1: held by ada@desk since 2027-01-15 08:00:00 UTC: the fair"],
        ),
        (
            answer(last=None, journal=[], releases=[{"id": SHA, "state": "adopted"}]),
            [
                "web1  aaaaaaaaaa               none          quiet",
                "web1: aaaaaaaaaa was not built by this tool, and is unverified",
            ],
        ),
        (answer(configuration="c0ffee"), [f"{LIVE}  quiet", "web1: its configuration is c0ffee"]),
        (answer(live=None, last=None, journal=[]), ["web1  nothing               none          quiet"]),
        (
            answer(
                live=None,
                last={"kind": "deploy", "target": SHA, "phase": "restored", "source": None}
                | {"switched": True, "ran": {"api": "i1"}},
                journal=[],
            ),
            [
                "web1  nothing               deploy, restored  quiet",
                "web1: the last deploy, of aaaaaaaaaa, failed: what was there before was restored",
            ],
        ),
        (
            answer(
                live=None,
                last={"kind": "deploy", "target": SHA, "phase": "restored", "source": None, "switched": True},
                journal=[],
            ),
            [
                "web1  nothing               deploy, restored  quiet",
                "web1: the last deploy, of aaaaaaaaaa, failed, nothing is live",
            ],
        ),
        (
            answer(last={"kind": "rollback", "target": SHA, "phase": "restore_failed"}, journal=[]),
            [
                "web1  aaaaaaaaaa               rollback, not restored  quiet",
                "web1: the last rollback, of aaaaaaaaaa, failed, and was not restored",
            ],
        ),
        (
            answer(
                units={
                    "api": UP | {"serving": False, "condition": "inactive (dead)"},
                    "worker": UP | {"strays": [{"pid": 7, "release": "b" * 40}, {"pid": 8, "release": None}]},
                },
            ),
            [
                f"{LIVE}  look below",
                "web1: api is inactive (dead)",
                f"web1: process 7 of worker runs from release {'b' * 40}",
                "web1: process 8 of worker started before current was switched",
            ],
        ),
        (
            answer(units={"api": UP | {"serving": False, "condition": "inactive (dead)", "put_away": True}}),
            [
                f"{LIVE}  look below",
                "web1: api was stopped and disabled since the last good attempt: it is left so and not watched "
                "(systemctl enable --now api starts it)",
            ],
        ),
        (
            answer(units={"api": UP | {"serving": False, "put_away": True}}, scope="user"),
            [
                f"{LIVE}  look below",
                "web1: api was stopped and disabled since the last good attempt: it is left so and not watched "
                "(systemctl --user enable --now api starts it)",
            ],
        ),
        (
            answer(live=None, journal=[{"outcome": "committed", "target": SHA, "live": SHA, "at": 0.0}]),
            [
                "web1  nothing               deploy, live  look below",
                f"web1: somebody moved current away from every release; it named {SHA}",
            ],
        ),
        (
            answer(
                target={
                    "state": "damaged",
                    "damage": "/usr/bin/python3.11, which the release needs for 'python3', can no longer be reached",
                }
            ),
            [
                f"{LIVE}  look below",
                f"web1: the live release {SHA} is not as it was built, and may not start: "
                "/usr/bin/python3.11, which the release needs for 'python3', can no longer be reached",
            ],
        ),
        (
            answer(target={"state": "missing", "damage": None}),
            [
                f"{LIVE}  look below",
                f"web1: the live release {SHA} is not as it was built, and may not start: it is gone",
            ],
        ),
        (answer(target={"state": "sealed", "damage": None}), [f"{LIVE}  quiet"]),
        (
            HostUnreachable("connection refused"),
            ["web1  ?                                no answer", "web1: connection refused"],
        ),
    ],
    ids=[
        "quiet",
        "running",
        "interrupted",
        "pushed",
        "held",
        "adopted",
        "configured",
        "new",
        "put back",
        "failed first",
        "not restored",
        "not live",
        "put away",
        "put away by its own user",
        "moved",
        "without its interpreter",
        "removed",
        "whole",
        "unreachable",
    ],
)
def test_status(said: Any, rows: list[str]) -> None:
    """One short row a host: what it serves, since when, how its last attempt ended; sentences stand below."""
    assert status_table({"web1": said}).splitlines()[1:] == rows


def test_a_status_says_what_to_type() -> None:
    """What is down is looked at and restarted; `doctor` names what mends another trouble; else nothing is said."""
    down = answer(units={"api": UP | {"serving": False, "condition": "failed (exit-code)"}})
    left = answer(last={"kind": "deploy", "target": SHA, "phase": "restore_failed"})
    moved = answer(live=None, journal=[{"outcome": "committed", "target": SHA, "live": SHA, "at": 0.0}])
    running = down | {"running": {"attempt": "x", "kind": "deploy", "phase": "gated"}}
    hosts = {
        "web1": down,
        "web2": left,
        "web3": moved,
        "web4": answer(),
        "web5": running,
        "web6": HostUnreachable("no"),
    }
    told = status_told(hosts, Config().typed)
    assert told.removeprefix(status_table(hosts)).splitlines() == [
        "",
        "→ fab -H web1,web2 logs --since=-1h  shows what the services said",
        "→ fab -H web1,web2 restart  restarts the services when the cause is gone, and asks the gate",
        "→ fab -H web3 doctor  names the command that mends it",
    ]
    assert status_told({"web4": answer()}, Config().typed) == status_table({"web4": answer()})


def test_since_is_not_said_of_a_release_that_another_followed() -> None:
    """Who moved `current` back by hand did not make it serve since its own commit."""
    journal = [{"outcome": "committed", "target": each * 40, "live": each * 40, "at": 1_800_000_000.0} for each in "ab"]
    row, note = status_table({"web1": answer(journal=journal)}).splitlines()[1:]
    assert row == "web1  aaaaaaaaaa               deploy, live  look below"
    assert note == f"web1: somebody moved current to {SHA}; it named {'b' * 40}"


def test_the_status_of_long_names_fits_a_terminal() -> None:
    """Eighty columns hold the rows, also after a restore, under a hold, and of hosts with whole names."""
    hold = {"actor": "ada@desk", "at": 1_800_000_000.0, "reason": "the database moves to another house, " * 5}
    back = {"kind": "rollback", "target": SHA, "phase": "restore_failed"}
    shown = status_table({"web1.example.org": answer(hold=hold, last=back), "web20.eu.example.org": answer()})
    assert max(map(len, shown.splitlines()[:3])) <= 80


def test_repairs_say_what_differed_what_was_done_and_what_is_doubtful() -> None:
    """A row each: what it is, what the registry has, what the journals say."""
    one = record(SHA, host("web1", "live"), host("web2", "skipped"), attempt="20300101T110000-0a0b0c0d")
    repairs = Repairs(
        hosts=("web1", "web2"),
        attempts=(AttemptRepair(one, "unknown"),),
        serving=(ServingRepair("web1", SHA, one.attempt, "2030-01-01T12:00:00+00:00", None, None),),
        rows=(RowRepair(SHA, Row("deployed", "2030-01-01T12:00:00.5+00:00", None), None),),
        doubts=(Doubt("web2", "it was not read"), Doubt(None, "2 records wait here")),
    )
    assert repairs_table([repairs]).splitlines() == [
        "Read: web1, web2",
        "WHAT                             REGISTRY  JOURNALS",
        "release aaaaaaaaaa               no row    deployed 2030-01-01T12:00:00",
        "deploy 20300101T110000-0a0b0c0d  unknown   web1 live, web2 skipped",
        "host web1                        nothing   aaaaaaaaaa",
        "Nothing was written (--dry-run).",
        "web2: it was not read",
        "2 records wait here",
    ]
    assert json.loads(repairs_json([repairs]))[0]["doubts"][1] == {"host": None, "message": "2 records wait here"}


def test_nothing_to_repair_is_said_in_one_line() -> None:
    """And a second environment comes after a blank line."""
    nothing = Repairs(("web1",), (), (), (), ())
    line = "Read: web1\nThe registry says what the journals say."
    assert repairs_table([nothing, nothing]) == f"{line}\n\n{line}"


NASTY = "\x1b]52;c;cm0gLXJmIC8=\x07\x1b[2Jeve\u202e"
HOLD = {"actor": NASTY, "at": 0.0, "reason": NASTY}
ENTRY = {"seq": 1, "at": 0.0, "kind": NASTY, "target": NASTY, "actor": NASTY, "outcome": NASTY, "reason": NASTY}
RELEASE = {"id": NASTY, "stays": True, "why": NASTY, "bytes": 0}
WRONG = {"line": 1, "what": NASTY}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (tables.status_table, answer(live=NASTY, hold=HOLD)),
        (tables.status_table, answer(running={"kind": NASTY, "phase": NASTY})),
        (tables.status_table, HostUnreachable(f"{NASTY}\n{NASTY}")),
        (tables.lock_table, {"hold": HOLD, "running": {"kind": NASTY, "target": NASTY}}),
        (tables.unlock_table, {"freed": HOLD}),
        (tables.claim_table, {"was": {"name": NASTY, "root": NASTY}, "now": None, "claimed": False}),
        (tables.pin_table, {"release": NASTY, "pin": HOLD}),
        (tables.unpin_table, {"release": NASTY, "pin": HOLD}),
        (tables.prune_table, {"releases": [RELEASE], "freed": 0, "dry_run": True, "complete": True}),
        (tables.audit_table, {"entries": [ENTRY], "count": 1, "verified": True, "wrong": WRONG}),
        (tables.env_table, {"configuration": NASTY, "origins": {NASTY: NASTY}}),
        (tables.env_diff_table, {"names": {"added": [], "changed": [], "removed": [NASTY]}, "origins": {"A": NASTY}}),
    ],
)
def test_no_answer_reaches_into_the_terminal(table: Any, said: Any) -> None:
    """A name, a reason or a journal that a host made up is shown harmlessly, in every table."""
    shown = table({"web1": said})
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "eve\\u202e" in shown


@pytest.mark.parametrize(
    "entry", [{}, {"seq": "x", "at": "noon", "actor": 5, "kind": [], "reason": {"a": 1}}, {"at": 1e300}]
)
def test_an_entry_that_was_edited_is_shown(entry: dict[str, Any]) -> None:
    """Whatever somebody made of a line of the journal, it does not hide the others."""
    shown = tables.audit_table({"web1": {"entries": [entry, ENTRY], "count": 2, "verified": False, "wrong": None}})  # type: ignore[dict-item, list-item, typeddict-item]
    assert len(shown.splitlines()) == 3


def test_what_was_not_switched_is_called_so() -> None:
    """By `audit` and by `status`, as by `history`: nothing was restored where nothing had changed."""
    entry = {**ENTRY, "outcome": "restored", "switched": False, "reason": "the migration exited 1"}
    audit = tables.audit_table({"web1": {"entries": [entry], "count": 1, "verified": False, "wrong": None}})  # type: ignore[dict-item, list-item, typeddict-item]
    last = {"kind": "deploy", "phase": "restored", "switched": False, "target": A, "source": B}
    status = tables.status_table({"web1": answer(live=B, last=last)})
    assert "not switched: the migration exited 1" in audit
    assert ("deploy, not switched" in status, "restored" in status) == (True, False)


def test_hosts_that_serve_different_releases_are_told() -> None:
    """Below the table it is said how many hosts serve which release; nothing where all serve the same."""
    rows = {"web1": answer(live=A), "web2": answer(live=B), "web3": answer(live=A), "web4": HostUnreachable("gone")}
    told = f"These hosts do not all serve the same: {A[:10]} on 2, {B[:10]} on 1."
    assert status_table(rows).splitlines()[-1] == told
    assert "do not all" not in status_table({"web1": answer(live=A), "web2": answer(live=A)})


def test_the_status_of_very_long_names_fits_a_terminal() -> None:
    """Where rows would wrap, each name is on a line of its own, and the rest in columns below it."""
    names = ["ip-10-0-12-34.eu-central-1.compute.internal.example.org", "web1"]
    lines = status_table(dict.fromkeys(names, answer())).splitlines()
    assert (lines[1], lines[3], max(map(len, lines)) <= 80) == (*names, True)
    assert lines[2] == lines[4]
    assert lines[0].split() == ["LIVE", "SINCE", "(UTC)", "LAST", "ATTEMPT", "NOW"]
