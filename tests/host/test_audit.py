"""The audit: whatever is done to a journal, the first line that is wrong is named, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oroboros_deploy.cli.tables import audit_table
from oroboros_deploy.host import durable, lock
from oroboros_deploy.host import journal as journal_module
from oroboros_deploy.host.audit import Wrong, verify
from oroboros_deploy.host.contract import AuditAnswer
from oroboros_deploy.host.journal import Journal
from oroboros_deploy.host.journal_entry import digest, line_of
from tests.support.local_agent import LocalAgent

pytestmark = pytest.mark.slow

Lines = list[bytes]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return written(tmp_path)


def written(directory: Path, count: int = 5) -> Journal:
    journal = Journal(directory / "journal.jsonl")
    for number in range(1, count + 1):
        journal.append({"attempt": f"a{number}", "kind": "deploy", "at": 1.5, "reason": "ünï ☃"})
    return journal


def rewrite(journal: Journal, lines: Lines) -> None:
    journal.path.write_bytes(b"".join(line + b"\n" for line in lines))


def rehashed(line: bytes, **changes: object) -> bytes:
    """The line with other content, and a hash that fits it."""
    entry = {**json.loads(line), **changes}
    return line_of({**entry, "hash": digest(entry)})


EDITED = "was edited: it does not fit its hash"
CUT = "is missing: entry {} was written, so the end was cut off"
DAMAGE: dict[str, tuple[Callable[[Lines], Lines], Wrong]] = {
    "edited": (lambda it: [it[0], it[1].replace(b'"a2"', b'"x2"'), *it[2:]], Wrong(2, EDITED)),
    "edited without a change of meaning": (lambda it: [it[0], it[1].replace(b", ", b","), *it[2:]], Wrong(2, EDITED)),
    "said twice": (lambda it: [it[0], it[1].replace(b'"kind"', b'"kind": "x", "kind"'), *it[2:]], Wrong(2, EDITED)),
    "unreadable": (lambda it: [it[0], b"\0" * 80, *it[2:]], Wrong(2, "cannot be read")),
    "no entry": (lambda it: [it[0], b"[]", *it[2:]], Wrong(2, "cannot be read")),
    "blank line": (lambda it: [it[0], b"", *it[1:]], Wrong(2, "cannot be read")),
    "line cut": (
        lambda it: [it[0], *it[2:]],
        Wrong(2, "holds entry 3 where entry 2 belongs: cut, or in another order"),
    ),
    "beginning cut": (lambda it: it[1:], Wrong(1, "holds entry 2 where entry 1 belongs: cut, or in another order")),
    "reordered": (
        lambda it: [it[0], it[2], it[1], *it[3:]],
        Wrong(2, "holds entry 3 where entry 2 belongs: cut, or in another order"),
    ),
    "doubled": (
        lambda it: [*it[:2], it[1], *it[2:]],
        Wrong(3, "holds entry 2 where entry 3 belongs: cut, or in another order"),
    ),
    "edited with its hash": (
        lambda it: [it[0], rehashed(it[1], attempt="x2"), *it[2:]],
        Wrong(3, "does not follow entry 2 as it stands: that one was replaced"),
    ),
    "end cut": (lambda it: it[:-1], Wrong(5, CUT.format(5))),
    "end cut twice": (lambda it: it[:-2], Wrong(4, CUT.format(5))),
    "emptied": (lambda it: [], Wrong(1, CUT.format(5))),
    "last edited with its hash": (
        lambda it: [*it[:-1], rehashed(it[-1], attempt="x5")],
        Wrong(5, "holds an entry 5 that differs from the one that was written: that one was replaced"),
    ),
}


def test_what_was_written_verifies(journal: Journal) -> None:
    """With its head, and with everything ever seen of it."""
    assert verify(journal) is None
    assert [verify(journal, {"seq": entry["seq"], "hash": entry["hash"]}) for entry in journal.entries()] == [None] * 5


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(journal: Journal, case: str) -> None:
    """The first wrong line, and what is wrong with it."""
    damage, wrong = DAMAGE[case]
    rewrite(journal, damage(journal.lines()))
    assert verify(journal) == wrong


@pytest.mark.parametrize("case", DAMAGE)
def test_no_later_entry_closes_over_damage(journal: Journal, case: str) -> None:
    """What comes after follows what was written, not what was left: the damage shows where it is, or right after."""
    damage, wrong = DAMAGE[case]
    rewrite(journal, damage(journal.lines()))
    journal.append({"attempt": "later"})
    found = verify(journal)
    assert found is not None and found.line in (wrong.line, wrong.line + 1)
    assert (journal.has("later"), journal.entries()[-1]["seq"]) == (True, 6)


def test_a_removed_journal_is_found(journal: Journal) -> None:
    """Its head knows that it was there."""
    journal.path.unlink()
    assert verify(journal) == Wrong(1, CUT.format(5))


def test_a_removed_head_is_found(journal: Journal) -> None:
    """Without it nobody would miss the end."""
    journal.head_path.unlink()
    assert verify(journal) == Wrong(6, "may have been cut off: journal.head, which names the last entry, is gone")


@pytest.mark.parametrize("head", [b"", b"{", b"[]", b'{"seq": "5"}'])
def test_a_head_that_cannot_be_read_is_as_good_as_none(journal: Journal, head: bytes) -> None:
    """It is named, stops nobody from writing, and is whole again after that."""
    journal.head_path.write_bytes(head)
    told = "may have been cut off: journal.head, which names the last entry, is gone"
    assert (verify(journal) or Wrong(0, "")).what == told
    journal.append({"attempt": "later"})
    assert verify(journal) is None


def test_the_end_cut_with_its_head(journal: Journal) -> None:
    """Who owns the host can make both fit; somebody who saw the end before notices."""
    seen = {name: journal.entries()[-1][name] for name in ("seq", "hash")}
    lines = journal.lines()
    rewrite(journal, lines[:-2])
    journal.head_path.write_bytes(lines[2])
    assert verify(journal) is None
    assert verify(journal, seen) == Wrong(
        4, "is missing: entry 5 was seen before by this control node, so the end was cut off"
    )
    for number in range(2):
        journal.append({"attempt": f"x{number}"})
    assert verify(journal) is None
    assert verify(journal, seen) == Wrong(
        5, "holds an entry 5 that differs from the one that was seen before by this control node: that one was replaced"
    )


@pytest.mark.parametrize("lost", [1, 2])
def test_a_power_cut_leaves_the_head_behind(tmp_path: Path, lost: int) -> None:
    """After the line and before its head, at the first line as well: that is no damage."""
    journal = written(tmp_path, lost - 1)
    kept = journal.head_path.read_bytes() if journal.head_path.exists() else None
    journal.append({"attempt": "the last"})
    if kept is None:
        journal.head_path.unlink()
    else:
        journal.head_path.write_bytes(kept)
    assert verify(journal) is None
    journal.append({"attempt": "later"})
    assert (verify(journal), [entry["seq"] for entry in journal.entries()]) == (None, list(range(1, lost + 2)))


def test_a_torn_last_line_is_no_damage(journal: Journal) -> None:
    """It was never reported as written."""
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[:40])
    assert verify(journal) is None


def test_the_line_lasts_before_its_head(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the head is never ahead; and a head that cannot be written costs nobody the line."""
    order: list[str] = []
    append = durable.append

    def full(path: Path, value: object, lasting: bool) -> None:
        order.append(path.name)
        raise OSError(28, "No space left on device")

    def noted(path: Path, data: bytes) -> None:
        order.append(path.name)
        append(path, data)

    monkeypatch.setattr(durable, "append", noted)
    monkeypatch.setattr(durable, "write_json", full)
    journal.append({"attempt": "later"})
    assert (order, journal.has("later"), verify(journal)) == (["journal.jsonl", "journal.head"], True, None)


def test_a_writer_that_hangs_is_no_lock_of_an_activation(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it for ever, and nobody takes it for a second activation."""
    monkeypatch.setattr(journal_module, "WAIT", 0.05)
    with (
        lock.take(journal.path.with_suffix(".lock")),
        pytest.raises(OSError, match="another process has held the lock"),
    ):
        journal.append({"attempt": "later"})


@settings(max_examples=settings.default.max_examples * 2)
@given(data=st.data())
def test_any_one_byte(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever byte of the journal is changed to whatever else, a wrong line is found, at or before the next line."""
    journal = written(tmp_path_factory.mktemp("journal"), 3)
    whole = bytearray(journal.path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[place]))
    line = whole[:place].count(b"\n") + 1
    whole[place] = byte
    journal.path.write_bytes(bytes(whole))
    found = verify(journal)
    assert found is not None and found.line == line


def test_the_call(host: LocalAgent) -> None:
    """The last entries, how many there are, the head, and the verdict only when it was asked for."""
    shas = [host.sealed(name) for name in ("a", "b", "c")]
    for sha in shas:
        host.activate_here(sha)
    entries = host.journal
    head = {"seq": 3, "hash": entries[2]["hash"]}
    asked = {"verify": False, "limit": 2, "seen": None}
    expected = {"entries": entries[1:], "count": 3, "head": head, "verified": False, "wrong": None}
    assert host.call("audit", asked).result == expected
    assert host.call("audit", {**asked, "limit": 0}).result == {**expected, "entries": []}
    host.paths.journal.write_bytes(host.paths.journal.read_bytes().replace(b'"tester"', b'"nobody"', 1))
    assert host.call("audit", {**asked, "limit": 9, "verify": True}).result == {
        **expected,
        "entries": host.journal,
        "verified": True,
        "wrong": {"line": 1, "what": EDITED},
    }


def test_the_call_on_an_empty_host(host: LocalAgent) -> None:
    """Nothing was written, and that is what is there."""
    answer = host.call("audit", {"verify": True, "limit": 9, "seen": None}).result
    assert answer == {"entries": [], "count": 0, "head": None, "verified": True, "wrong": None}


@pytest.mark.parametrize(
    "line",
    [
        *(b"[" * 100_000, b'{"hash":"x","seq":1,"a":' + b"[" * 100_000, b'{"hash":"x","seq":' + b"9" * 5000 + b"}"),
        *(b'{"hash":"x","seq":true}', b'{"hash":"x","seq":NaN}', b"null", b""),
    ],
)
def test_a_line_that_no_parser_takes(journal: Journal, line: bytes) -> None:
    """It is the wrong line, whatever it says; the next entry follows what stood before it."""
    lines = journal.lines()
    journal.path.write_bytes(b"\n".join([*lines[:-1], line, b""]))
    assert verify(journal) == Wrong(len(lines), "cannot be read")
    assert len(journal.entries()) == len(lines) - 1


@pytest.mark.parametrize("value", [1e300, [], {}, True, None, "", 10**400, "9" * 5000, "\ud800", -1, [[1]]])
def test_any_edit_of_the_last_line(journal: Journal, value: object) -> None:
    """Whatever stands in any field instead, the line is named as wrong, and all of the journal can be shown."""
    lines = journal.lines()
    last = json.loads(lines[-1])
    for name in {*last, "target", "source", "seconds"} - {"hash"}:
        if last.get(name) != value or isinstance(value, bool):
            journal.path.write_bytes(b"\n".join([*lines[:-1], line_of({**last, name: value}), b""]))
            wrong = verify(journal)
            assert wrong is not None and wrong.line == len(lines), name
            shown: AuditAnswer = {
                "entries": journal.entries(), "count": 1, "head": None, "verified": True, "wrong": None,
            }  # fmt: skip
            assert audit_table({"web1": shown})
