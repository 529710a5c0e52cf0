"""Processes that write to one registry at once, and remember in which order it took what they wrote."""

from __future__ import annotations

import json
import os
import random
import time
from functools import partial
from pathlib import Path
from typing import Any

from oroboros_deploy.control.spool import Spool
from oroboros_deploy.events import Event
from oroboros_deploy.records.record import Record
from oroboros_deploy.registry.registry import Registry
from tests.support.samples import A, host, record

RELEASES = [f"r{number}" for number in range(4)]
HOSTS = [f"h{number}" for number in range(3)]
Step = tuple[str, Any]


class Logged(Registry):
    """A registry that writes each call to a log inside the transaction, so that the log is in the order of commits."""

    log: Path
    step: Step

    def take(self, name: str, *values: Any) -> None:
        """Do one call, given as plain values."""
        self.step = (name, values)
        decoded = [
            Record.from_json(value["record"]) if isinstance(value, dict) and "record" in value else value
            for value in values
        ]
        if name == "hear":
            decoded[1] = [Event(**each) for each in decoded[1]]
        getattr(self, name)(*decoded)

    def finish(self, record: Record) -> None:
        """Also when a spool calls it."""
        self.step = ("finish", [{"record": record.to_json()}])
        super().finish(record)

    def watch(self, log: Path) -> None:
        """Log from now on."""
        database = self.database
        database.write = partial(self._logged, database.write, log)  # type: ignore[method-assign]
        database.write_once = partial(self._logged, database.write_once, log)  # type: ignore[method-assign]

    def _logged(self, write: Any, log: Path, work: Any) -> Any:
        token = os.urandom(8).hex()

        def noted(db: Any) -> Any:
            result = work(db)
            line = json.dumps([token, *self.step]).encode() + b"\n"
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, line)
            os.close(descriptor)
            return result

        return write(noted)


def one_attempt(worker: int, turn: int, chance: random.Random) -> Record:
    """An attempt like many others: on some of the shared hosts, with some of the shared releases."""
    release, kind = chance.choice(RELEASES), chance.choice(["deploy", "rollback"])
    parts = [
        host(
            name, chance.choice(["live", "live", "restored", "not_restored", "busy"]), previous=chance.choice(RELEASES)
        )
        for name in chance.sample(HOSTS, chance.randint(1, 2))
    ]
    ended = f"2030-01-01T12:{worker:02}:{turn:02}.{chance.randrange(1000000):06}+00:00"
    return record(release, *parts, attempt=f"{worker}-{turn}", commit_sha=A, kind=kind, finished_at=ended)


def hammer(url: str, directory: Path, worker: int, turns: int) -> list[str]:
    """What one process wrote: attempts from their intent to their record, now and then by the spool."""
    chance, wrote, spool = random.Random(worker), [], Spool(directory / "spool")
    with Logged.open(url) as registry:
        registry.check()
        registry.watch(directory / "log")
        while time.time() < float((directory / "start").read_text()):
            time.sleep(0.01)
        for turn in range(turns):
            one = one_attempt(worker, turn, chance)
            running = {"record": one.to_json()}
            registry.take("begin", running)
            registry.take("intend", running)
            heard = [
                {"name": "facts.read", "host": one.hosts[0].host, "data": {"live": one.hosts[0].previous}, "at": 1.0}
            ]
            registry.take("hear", one.attempt, heard)
            if chance.random() < 0.3:
                spool.put(one, registry.key)
                spool.replay(registry)
            else:
                registry.take("finish", running)
            registry.take("upsert", f"own{worker}", A, "deploying", None, None)
            registry.take("observe", {one.hosts[0].host: one.release_id})
            wrote.append(one.to_json())
    return wrote
