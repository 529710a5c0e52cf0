"""A registry with a past: every way an attempt can stand, over some weeks, and texts that mean harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import create_engine, select, update

from oroboros_deploy.events import Event
from oroboros_deploy.outcome import Kind
from oroboros_deploy.records.record import CommitRecord, HostRecord, Record
from oroboros_deploy.registry import Registry, place
from oroboros_deploy.registry.schema import attempt_hosts, attempts, hosts, observations

HARM = (
    "</td><script>document.title='owned'</script><b onclick=\"x()\">javascript:alert(1) \x1b[31mred\x1b[0m \u202edcba"
)
SUBJECTS = (
    "Round invoice totals half to even",
    "Queue: retry a job at most five times, with growing pauses",
    "Search understands umlauts",
    "Bump the database driver",
    "Show who approved a transfer",
    "Speed up the export of large ledgers by reading them in pages rather than whole",
)


class History:
    """Writes attempts into a registry, backdated."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.registry = Registry.open(url)
        self.registry.check()
        where = self.registry.database.read(place.of)
        self._engine = create_engine(url).execution_options(schema_translate_map=place.translation(where))
        self._made = 0

    def close(self) -> None:
        self.registry.close()
        self._engine.dispose()

    def attempt(
        self,
        release_id: str,
        *parts: HostRecord,
        ago: timedelta = timedelta(),
        took: float = 40.0,
        kind: Kind = "deploy",
        environment: str | None = "prod",
        actor: str = "ada@desk",
        subject: str | None = None,
        commits: tuple[CommitRecord, ...] = (),
        exit_code: int | None = 0,
    ) -> str:
        """One attempt; without an exit code it goes on."""
        self._made += 1
        name = f"2030-{self._made:04}"
        began = datetime.now(UTC) - ago
        begun = Record(
            attempt=name,
            kind=kind,
            release_id=release_id,
            commit_sha=release_id,
            environment=environment,
            actor=actor,
            control_node="desk",
            tool_version="0.1.0",
            started_at=began.isoformat(),
            hosts=tuple(HostRecord(part.host) for part in parts),
        )
        self.registry.begin(begun)
        if exit_code is not None:
            self.registry.finish(
                Record(
                    **vars(begun)
                    | {
                        "hosts": parts,
                        "finished_at": (began + timedelta(seconds=took)).isoformat(),
                        "exit_code": exit_code,
                        "subject": subject,
                        "commits": commits,
                        "committed_at": (began - timedelta(hours=3 + self._made % 7)).isoformat(),
                    }
                )
            )
        self._backdate(name, began, took if exit_code is not None else None, subject)
        return name

    def reach(self, attempt: str, host: str, phase: str, message: str = "") -> None:
        """Let a host of an attempt have reached a phase, just now."""
        self.hear(attempt, Event("phase", message, host, data={"phase": phase}))

    def hear(self, attempt: str, *heard: Event) -> None:
        self.registry.hear(attempt, heard)

    def asked(self, served: dict[str, str | None], environment: str, ago: timedelta) -> None:
        """Let hosts have said so long ago what they serve."""
        self.registry.observe(served, environment)
        with self._engine.begin() as db:
            said = observations.c.host.in_(served)
            db.execute(update(observations).where(said).values(at=datetime.now(UTC) - ago))

    def age(self, ago: timedelta) -> None:
        """Let every attempt and what came of it be so old."""
        then = datetime.now(UTC) - ago
        with self._engine.begin() as db:
            db.execute(update(attempts).values(started_at=then, finished_at=then, seen_at=then))
            db.execute(update(attempt_hosts).values(started_at=then))
            db.execute(update(hosts).values(since=then))

    def lose(self, attempt: str, ago: timedelta) -> None:
        """Let the control node have been silent for so long."""
        with self._engine.begin() as db:
            seen = {"seen_at": datetime.now(UTC) - ago}
            db.execute(update(attempts).where(attempts.c.attempt == attempt).values(seen))

    def _backdate(self, name: str, began: datetime, took: float | None, subject: str | None) -> None:
        ended = None if took is None else began + timedelta(seconds=took)
        with self._engine.begin() as db:
            number = db.scalar(select(attempts.c.id).where(attempts.c.attempt == name))
            values = {"started_at": began, "finished_at": ended, "subject": subject, "seen_at": ended or began}
            db.execute(update(attempts).where(attempts.c.id == number).values(values))
            db.execute(update(attempt_hosts).where(attempt_hosts.c.attempt_id == number).values(started_at=began))
            db.execute(update(hosts).where(hosts.c.attempt_id == number).values(since=ended))


def sha(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}" * 5


def times(build: float = 31.0, gate: float = 6.2, restore: float | None = None) -> dict[str, float]:
    steps = {"swapping": 0.1, "restarting": 2.4, "gating": gate} | ({"restoring": restore} if restore else {})
    seconds = {"connect": 0.4, "facts": 0.2, "build": build, "activate": sum(steps.values())}
    return seconds | {f"activate.{name}": value for name, value in steps.items()}


def write(history: History) -> dict[str, str]:
    """Three weeks of three environments, then everything that can be seen at once; returns the attempts, by state."""
    for day in range(24, 1, -1):
        if day % 7 in (1, 2):
            continue
        for hour in range(day % 3 + 1):
            number = day * 10 + hour
            failed = number % 9 == 0
            where = ("prod", "staging")[number % 2]
            names = ("web1", "web2") if where == "prod" else ("stage1",)
            state, live = ("restored", sha(number - 1)) if failed else ("live", sha(number))
            parts = [HostRecord(name, state, live, sha(number - 1), seconds=times(20 + number % 30)) for name in names]
            history.attempt(
                sha(number),
                *parts,
                ago=timedelta(days=day, hours=9 - 3 * hour),
                environment=where,
                subject=SUBJECTS[number % len(SUBJECTS)],
                actor=("ada@desk", "grace@laptop")[number % 2],
                took=60 + number % 30,
                exit_code=10 if failed else 0,
            )
    news = tuple(
        CommitRecord(sha(900 + at), subject, ("Ada Lovelace", "Grace Hopper")[at % 2], "2030-01-31T12:00:00+01:00")
        for at, subject in enumerate(SUBJECTS)
    )
    made = {}
    made["live"] = history.attempt(
        sha(1),
        *(
            HostRecord(name, "live", sha(1), sha(50), f"{sha(1)} is live", times(), log="HTTP 200 in 12 ms\nok 1\nok 2")
            for name in ("web1", "web2", "web3")
        ),
        ago=timedelta(hours=22),
        subject=SUBJECTS[0],
        commits=news,
    )
    failure = f"{sha(1)} was restored and is live; {sha(2)} failed: the gate was not passed: exit 1 after 12 tries"
    made["restored"] = history.attempt(
        sha(2),
        HostRecord(
            "web1", "restored", sha(1), sha(1), failure, times(33, 60, 3.1), log="curl: (7) connection refused\n" * 12
        ),
        HostRecord(
            "web2",
            "skipped",
            sha(1),
            sha(1),
            "not switched: another host failed first",
            {"connect": 0.5, "facts": 0.2, "build": 30.1},
        ),
        ago=timedelta(hours=20),
        took=97,
        subject=SUBJECTS[1],
        commits=news[:2],
        exit_code=10,
    )
    made["rollback"] = history.attempt(
        sha(20),
        HostRecord(
            "stage1",
            "live",
            sha(20),
            sha(30),
            f"{sha(20)} is live",
            {key: value for key, value in times().items() if key != "build"},
        ),
        ago=timedelta(hours=5),
        took=9.4,
        kind="rollback",
        environment="staging",
        actor="grace@laptop",
        subject=SUBJECTS[2],
    )
    made["failed"] = history.attempt(
        sha(3),
        HostRecord(
            "stage1",
            "not_switched",
            sha(20),
            sha(20),
            "the build of 'frontend' exited 1\nnpm: missing script: build",
            {"connect": 0.3, "facts": 0.2, "build": 12.5},
        ),
        ago=timedelta(hours=4),
        took=13.2,
        environment="staging",
        subject=SUBJECTS[5],
        exit_code=30,
    )
    made["broken"] = history.attempt(
        sha(4),
        HostRecord(
            "lab1", "not_restored", None, None, "no release is live, the services are stopped", times(12, 30, 1.2)
        ),
        ago=timedelta(hours=3),
        environment=None,
        exit_code=11,
    )
    made["unknown"] = history.attempt(
        sha(5),
        HostRecord("lab2", "unknown", None, None, "the connection was lost; the host finishes alone", times(12)),
        ago=timedelta(hours=2, minutes=10),
        environment=None,
        subject=SUBJECTS[3],
        exit_code=40,
    )
    made["harm"] = history.attempt(
        sha(6),
        HostRecord(f"h/{HARM}", "live", sha(6), None, HARM, times(), log=HARM),
        ago=timedelta(hours=2),
        environment=HARM,
        actor=HARM,
        subject=HARM,
        commits=(CommitRecord(sha(6), HARM, HARM, "2030-01-31T12:00:00+00:00"),),
    )
    history.hear(made["harm"], Event("warning", HARM, f"h/{HARM}", "warning"))
    made["lost"] = history.attempt(
        sha(7), HostRecord("web3"), ago=timedelta(minutes=6), subject=SUBJECTS[3], exit_code=None
    )
    history.reach(made["lost"], "web3", "swapped")
    history.lose(made["lost"], timedelta(minutes=4))
    made["running"] = history.attempt(
        sha(8), HostRecord("web1"), HostRecord("web2"), ago=timedelta(seconds=47), subject=SUBJECTS[4], exit_code=None
    )
    history.hear(
        made["running"],
        Event("host.connected", "connected", "web1"),
        Event("host.connected", "connected", "web2"),
        Event("build.started", "building", "web1"),
        Event("build.started", "building", "web2"),
        Event("phase", "every service was restarted", "web1", data={"phase": "restarted"}),
    )
    history.lose(made["running"], -timedelta(hours=1))  # heard of until long after the tests
    history.registry.observe({"web1": sha(1), "web2": sha(50)}, "prod")
    return made
