"""Records of attempts: how an attempt stands as a whole, and its JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from oroboros_deploy.records.names import Names
from oroboros_deploy.records.record import Memory, Record
from tests.support.samples import A, B, host, record


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["live", "already_live"], "live"),
        (["restored", "skipped"], "restored"),
        (["restored", "unreachable"], "restored"),
        (["live", "restored"], "failed"),
        (["already_live", "restored"], "failed"),
        (["live", "busy"], "failed"),
        (["not_switched", "skipped"], "failed"),
        ([], "failed"),
        (["live", "restored", "not_restored"], "broken"),
        (["not_restored", "unknown"], "broken"),
        (["restored", "unknown"], "unknown"),
    ],
    ids=str,
)
def test_the_hosts_decide_how_an_attempt_stands(states, state):
    """Restored is one that is live nowhere; one that is live on some hosts only has failed, whatever the others did."""
    assert record(B, *(host(f"h{n}", each) for n, each in enumerate(states))).state == state


def test_a_record_comes_back_from_json_as_it_was():
    """Writing a record and reading it gives an equal record."""
    one = record(A, host("h1", "live", previous=B, seconds={"build": 1.5}, message="caf\u00e9 \0 \ud800"), minute=7)
    assert Record.from_json(one.to_json()) == one


def test_a_record_of_a_later_version_is_read():
    """Fields that this version does not know are left out, in the record and in its hosts."""
    one = record(A, host("h1", "live"))
    values = json.loads(one.to_json()) | {"new": 1}
    values["hosts"][0]["new"] = 1
    assert Record.from_json(json.dumps(values)) == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"hosts": [3]}',
        record(A).to_json().replace("deploy", "destroy"),
        record(A, host("h1", "live")).to_json().replace('"state": "live"', '"state": "alive"'),
        record(A).to_json().replace("2030-01-01T11", "yesterday T11"),
        record(A).to_json().replace("+00:00", ""),
    ],
)
def test_what_is_no_record_is_refused(text):
    """Anything that is no record raises ValueError and nothing else."""
    with pytest.raises(ValueError):
        Record.from_json(text)


@pytest.mark.parametrize(
    ("last", "here", "hosts"),
    [
        ({}, {}, ["web1"]),  # of an earlier version
        ({"one": "web1"}, {}, ["web1"]),
        ({"one": "web1"}, {"one": "desk1"}, ["desk1"]),
        ({"one": "web1", "two": "web2"}, {"two": "desk2"}, ["web1"]),  # web2 serves nothing here
        ({"one": "web1", "two": "web1"}, {"one": "desk1"}, ["desk1", "web1"]),  # two roots
        ({"two": "web1", "one": "web1"}, {"one": "desk1"}, ["desk1", "web1"]),
    ],
)
def test_what_serves_is_called_as_it_is_here(last, here, hosts):
    """A target is among the hosts of a memory once, by the name that this control node has for it."""
    places = {"one": ("shop", "/srv/one"), "two": ("shop", "/srv/two")}
    memory = Memory(serving={"web1": A}, names=Names(last, here, places))
    assert memory.hosts == dict.fromkeys(hosts)


@pytest.mark.parametrize("module", ["records.record", "control.spool", "registry", "registry.url"])
def test_sqlalchemy_is_imported_only_when_the_database_is_used(module):
    """Records, the spool and registry URLs cost no import of the database layer."""
    code = f"import oroboros_deploy.{module}, sys; print([n for n in ('sqlalchemy', 'psycopg2') if n in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
