from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from oroboros_deploy.control.spool import Spool
from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.url import url_key
from tests.support.samples import PROCESSES, A, B, C, host, record

pytestmark = pytest.mark.slow

# What the spool of 0.1.0 had, written by its own code: a deploy that went well, one that was restored, and a rollback
# to a release that the host did not have.
OF_0_1_0 = (Path(__file__).parent / "spooled_by_0_1_0.jsonl").read_text().splitlines()


def test_a_spooled_record_is_finished_once_the_registry_is_back(registry, tmp_path):
    """Replaying writes what finish would have written, and empties the spool."""
    spool = Spool(tmp_path / "spool")
    one = record(A, host("h1", "live"), minute=1)
    spool.put(one, registry.key)
    assert (spool.pending(), registry.list()) == ([one], [])
    assert [spool.replay(registry), spool.replay(registry)] == [1, 0]
    assert (spool.pending(), registry.serving(), registry.get(A)["status"]) == ([], {"h1": A}, "deployed")


def test_records_are_replayed_in_the_order_they_ended(registry, tmp_path):
    """Whatever the order they were spooled in, the rows say what the last of them did."""
    spool = Spool(tmp_path)
    ones = [
        record(A, host("h1", "live"), attempt="1", minute=1),
        record(B, host("h1", "live", previous=A), attempt="2", minute=2),
        record(C, host("h1", "restored", previous=B), attempt="3", minute=3),
    ]
    for one in (ones[2], ones[0], ones[1]):
        spool.put(one, registry.key)
    assert spool.pending() == ones
    assert spool.replay(registry) == 3
    assert ({row["release_id"]: row["status"] for row in registry.list()}, registry.serving()) == (
        {A: "replaced", B: "deployed"},
        {"h1": B},
    )


def test_a_record_is_kept_once_and_privately(tmp_path):
    """Putting the same record again makes no second file; nobody else can read it; nothing else is left behind."""
    spool = Spool(tmp_path / "spool")
    paths = {spool.put(record(A, attempt="../odd/name"), "key") for _ in range(2)}
    assert list((tmp_path / "spool").iterdir()) == list(paths)
    assert [each.stat().st_mode & 0o777 for each in (tmp_path / "spool", *paths)] == [0o700, 0o600]


@pytest.mark.parametrize(
    ("text", "ended", "rows", "serving"),
    [
        (OF_0_1_0[0], ("live", "the fair", 1), {A: "deployed"}, {"web1": A}),
        (OF_0_1_0[1], ("restored", None, 0), {}, {"web1": A}),
        (OF_0_1_0[2], ("failed", None, 0), {C: "rollback_target_missing"}, {}),
    ],
    ids=["live", "restored", "missing"],
)
def test_a_record_that_0_1_0_spooled_is_replayed(registry, tmp_path, text, ended, rows, serving):
    """Who upgrades while records wait loses none: the new version writes them as the old one would have."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{registry.key}.{hashlib.sha256(text.encode()).hexdigest()[:32]}.json").write_text(text)
    spool = Spool(tmp_path / "spool")
    (waiting,) = spool.pending(registry.key)
    assert (waiting.state, waiting.subject, len(waiting.commits), waiting.tool_version) == (*ended, "0.1.0")
    assert (spool.replay(registry), spool.pending()) == (1, [])
    assert ({row["release_id"]: row["status"] for row in registry.list()}, registry.serving()) == (rows, serving)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("sqlite:////srv/state/registry.db", "a0beae7506765e4a"),
        ("postgresql://ada:secret@db.example.org:5432/shop?via=web1", "925df50cc5790d32"),
    ],
)
def test_what_0_1_0_spooled_is_found_by_its_key(url, key):
    """The beginning of the file's name is what 0.1.0 made of the same address."""
    assert url_key(url) == key


def test_records_for_another_registry_wait(tmp_path):
    """A registry takes its own records and leaves the others where they are."""
    spool = Spool(tmp_path / "spool")
    mine, other = f"sqlite:///{tmp_path}/mine.db", f"sqlite:///{tmp_path}/other.db"
    with Registry.open(mine) as registry, Registry.open(other) as elsewhere:
        spool.put(record(A, attempt="1"), registry.key)
        spool.put(record(B, attempt="2"), elsewhere.key)
        assert (spool.replay(registry), spool.pending()) == (1, [record(B, attempt="2")])


def test_an_unreadable_record_is_set_aside_and_reported(registry, tmp_path, caplog):
    """It does not keep the others from being replayed, and it is not deleted."""
    spool = Spool(tmp_path)
    spool.put(record(A, host("h1", "live")), registry.key)
    (tmp_path / f"{registry.key}.0.json").write_bytes(b"\xff{")
    (tmp_path / f"{registry.key}.1.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        assert spool.replay(registry) == 1
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".db") == [
        f"{registry.key}.0.bad",
        f"{registry.key}.1.bad",
        *(["state"] if (tmp_path / "state").exists() else []),
    ]
    assert len(caplog.messages) == 2


def test_a_registry_that_fails_again_leaves_the_records_waiting(tmp_path):
    """Nothing is lost by trying too early."""
    spool = Spool(tmp_path)
    with Registry.open("postgresql://u:p@127.0.0.1:1/d") as registry:
        spool.put(record(A), registry.key)
        with pytest.raises(RegistryUnavailable):
            spool.replay(registry)
    assert spool.pending() == [record(A)]


def test_an_empty_or_missing_spool_has_nothing_to_replay(registry, tmp_path):
    """Before the first record there is no directory, and that is no error."""
    spool = Spool(tmp_path / "none")
    assert (spool.pending(), spool.replay(registry), (tmp_path / "none").exists()) == ([], 0, False)


def test_a_spool_that_cannot_be_written_is_explained(tmp_path):
    """A file in its place raises RegistryUnavailable with the path, not a traceback."""
    (tmp_path / "spool").write_text("")
    with pytest.raises(RegistryUnavailable, match="spool cannot be used: File exists"):
        Spool(tmp_path / "spool").put(record(A), "key")


def replay(directory: Path, url: str) -> int:
    """Replay a spool in a process of its own."""
    with Registry.open(url) as registry:
        return Spool(directory).replay(registry)


def test_two_processes_replay_each_record_once(url, tmp_path):
    """Together they finish every record, none of them twice, and nothing is left."""
    spool = Spool(tmp_path / "spool")
    with Registry.open(url) as registry:
        for number in range(30):
            spool.put(record(f"r{number}", host("h1", "live"), commit_sha=A, attempt=str(number)), registry.key)
        with ProcessPoolExecutor(2, mp_context=PROCESSES) as pool:
            counts = list(pool.map(replay, [tmp_path / "spool"] * 2, [url] * 2))
        assert (sum(counts), spool.pending(), len(registry.list())) == (30, [], 30)
