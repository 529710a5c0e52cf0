"""What of a journal can be trusted, and what is said of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oroboros_deploy.records.history import History, HostJournal
from tests.support.journals import chained
from tests.support.samples import A


@pytest.mark.parametrize(
    "odd",
    [
        {"attempt": "../../x y"},
        {"target": "HEAD"},
        {"target": None},
        {"source": "; DROP TABLE releases"},
        {"at": "yesterday"},
        {"at": 1e300},
        {"seconds": None},
        {"seconds": {"gating": "long"}},
        {"outcome": "splendid"},
        {"reason": 7},
        {"migration_marker": 7},
        {"actor": None},
        {"origin": 7},
        {"origin": {"hosts": 7}},
        {"origin": {"hosts": [7]}},
        {"origin": {"started_at": "2030-01-01T00:00:00"}},
        {"origin": {"environment": []}},
    ],
    ids=str,
)
def test_a_host_may_say_anything(odd: dict[str, Any]) -> None:
    """An entry that is no entry is left out, in words; the others are taken."""
    good = {
        "attempt": "one",
        "kind": "deploy",
        "target": "a" * 40,
        "source": None,
        "outcome": "committed",
        "live": None,
    }
    good |= {"reason": "", "actor": "ada", "at": 1.0, "seconds": {}, "migration_marker": None}
    raw = chained([dict(good), {**good, "attempt": "two", **odd}])
    read = History(HostJournal("web1", json.loads(json.dumps(raw))))
    assert ([entry.attempt for entry in read.entries], len(read.doubts), read.ends_well) == (["one"], 1, False)


def test_an_end_that_was_cut_off_is_missed() -> None:
    """By the number that the host noted apart, also when it has forgotten its last attempt."""
    good = {"attempt": "one", "kind": "deploy", "target": A, "source": None, "outcome": "committed", "live": A}
    good |= {"reason": "", "actor": "ada", "at": 1.0, "seconds": {}, "migration_marker": None}
    raw = chained([dict(good)])
    read = [History(HostJournal("web1", raw, A, "one", head)) for head in (1, 2)]
    assert [(each.ends_well, each.whole, each.doubts) for each in read] == [
        (True, True, []),
        (False, False, ["its journal ends with entry 1 and once had 2"]),
    ]


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ({"added": ["A"], "changed": [], "removed": []}, {"added": ["A"], "changed": [], "removed": []}),
        ({"added": ["A"]}, None),
        ({"added": [7], "changed": [], "removed": []}, None),
        (7, None),
    ],
)
def test_a_push(names: Any, read: object) -> None:
    """It is an attempt, with the configuration in use at its end and the names that it changed, as far as they are."""
    said = {"attempt": "one", "kind": "env", "target": A, "source": A, "outcome": "restored", "live": A}
    said |= {"reason": "bad", "actor": "ada", "at": 1.0, "seconds": {}, "migration_marker": None, "switched": True}
    raw = chained([{**said, "configuration": "0123456789abcdef", "names": names}])
    [entry] = History(HostJournal("web1", raw, A, "one", 1)).entries
    part = entry.part
    assert (entry.kind, entry.serves, part.state) == ("env", A, "restored")
    assert (part.configuration, part.names) == ("0123456789abcdef", read)
