"""The registry: the database that remembers releases, attempts and hosts."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection

from ..config.checks import host_name
from ..errors import InvalidInput
from ..events import Event
from ..records.record import JUST_NOW, Asked, Forgotten, Memory, Record
from ..records.status import IN_PROGRESS, SERVING, Status, transitions
from . import attempts, events, holds, place, releases, schema, targets
from .checks import check_marker, check_release, check_status, parse_time
from .database import Database, Result, clock, skew
from .driver import Driver
from .url import url_key

if TYPE_CHECKING:
    from ..records.plan import DeployPlan
    from ..records.reconcile import Repair
    from .reading import Reader


class Registry:
    """One registry database: what was deployed where, when and by whom.

    **Life.** `open` makes it from a URL.  It connects when it is first asked, and makes or updates its own tables
    then.  Two methods, `tables` and `memory`, only read: they neither make nor update a table.  ``close()``, or the
    end of its ``with`` block, closes the connections.

    **Arguments** of `open`.  ``url`` is a URL of SQLite or PostgreSQL.  ``owner`` says who makes the table `releases`
    where it is missing: "ours", "theirs" (another program), or None: theirs where another program has tables.

    **Attributes.** ``database`` takes questions that have no method here.  ``notice`` is what a person should be told
    of the place of the tables, or None.

    **Errors.** Every method raises RegistryUnavailable when the database cannot be reached, read or written, and when
    a later version of this program made its tables.  What else a method raises, its description names.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as path, Registry.open(f"sqlite:///{path}/registry.db") as registry:
    ...     row = registry.upsert("9f31" * 10, "9f31" * 10, "deployed")
    ...     print(row["status"], len(registry.list()))
    deployed 1
    """

    def __init__(self, database: Database, key: str, owner: str | None = None) -> None:
        self.database = database
        self._owner = owner
        self._checked = False
        self.key = key
        self.notice: str | None = None

    @classmethod
    def open(cls, url: str, *, near: str | int | None = None, owner: str | None = None) -> Self:
        """Return the registry at a URL; nothing is sent yet, but a SQLite file is made.

        Raises ConfigError when the URL cannot be used.  ``near`` is the near end of a tunnel to a PostgreSQL server:
        a port of 127.0.0.1, or the directory of the unix socket ``.s.PGSQL.<port of the URL, or 5432>``.
        """
        return cls(Database(url, near), url_key(url), owner)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """Reach the database and find its tables; make ours when they are missing, and migrate those that are older.

        Raises RegistryUnavailable, also when the tables are of a later version.
        """
        found, lacks, moves = self.database.read(self._standing)
        if found < schema.VERSION:
            from .migration import migrate

            found = self.database.migrate(migrate)
            self.notice = _BESIDE_OTHERS if self.database.read(place.beside_others) else None
        elif moves:
            from .migration import settle

            self.database.migrate(settle)
        self._refuse_newer(found)
        if lacks:
            self.database.migrate(releases.make)
        self._checked = True

    def tables(self) -> int | None:
        """The version of our tables, None where there are none; nothing is made or changed.

        Raises RegistryUnavailable when the database cannot be read, and when the tables are of a later version.
        """
        found = self.database.read(schema.version)
        self._refuse_newer(found or 0)
        return found

    def _refuse_newer(self, found: int) -> None:
        if found > schema.VERSION:
            raise self.database.unavailable(
                f"its tables are of version {found}, this program knows {schema.VERSION}",
                hint="pip install --upgrade oroboros_deploy",
            )

    @property
    def reader(self) -> Reader:
        """An object whose methods return what the registry knows (releases, attempts, hosts), and change none of it."""
        from .reading import Reader  # a deploy asks nothing

        return Reader(self.database, self._check_once)

    def begin(self, record: Record) -> None:
        """Remember an attempt before any host is touched.  Raises InvalidInput when its ids cannot be stored."""
        check_release(record.release_id, record.commit_sha)
        self._write(lambda db: attempts.add(db, record))

    def intend(self, record: Record) -> None:
        """Show on the release's row that it is being deployed or rolled back to, before a host is changed.

        Raises InvalidInput when its ids cannot be stored.
        """
        check_release(record.release_id, record.commit_sha)
        self._write(lambda db: _intend(db, record))

    def finish(self, record: Record) -> None:
        """Remember how an attempt ended, and write the new status of each release whose status the attempt changed.

        When the end on every host is remembered, a further call for this attempt changes nothing.  An attempt
        that ended with a host unknown may be finished again, when it is known.
        """
        self._write(lambda db: _finish(db, record))

    def hear(
        self, attempt: str, heard: Sequence[Event], said: Mapping[str, str] | None = None, *, root: str = ""
    ) -> None:
        """Remember what happened on an attempt's hosts, and that its control node lives.

        A write to the database that fails is not tried again.

        ``said`` is, for each host, what its build printed last.  The registry keeps this text with the host's part in
        the attempt until the attempt ends.  ``root`` is the attempt's root on the hosts.
        """
        self._check_once()
        self.database.write_once(lambda db: events.hear(db, attempt, heard, said or {}, root))

    def observe(
        self,
        served: Mapping[str, str | None],
        environment: str | None = None,
        held: Mapping[str, Mapping[str, Any] | None] | None = None,
        asked: Asked = JUST_NOW,
    ) -> None:
        """Remember which release each of these hosts itself says it serves, and who holds it (None: nobody).

        ``asked`` says of which application and root the hosts were asked, and when.  What hosts said when they were
        asked later than that is not replaced.
        """
        self._write(lambda db: events.observe(db, served, environment, held or {}, asked))

    def hold(self, held: Mapping[str, Mapping[str, Any] | None], asked: Asked = JUST_NOW) -> None:
        """Remember who holds these hosts (None: nobody any more); ``asked`` is as for `observe`."""
        self._write(lambda db: holds.put(db, held, asked, holds.seen_at(db, asked)))

    def memory(
        self, application: str | None = None, root: str | None = None, *, control_node: str | None = None
    ) -> Memory:
        """What can be compared with the hosts' journals of an application and root.

        It is read-only, so an empty database stays empty.  Hosts have the names that ``control_node``
        calls them by, where it has met them.
        """
        from . import mending

        found = self.database.read(schema.version)
        if found is None:
            return Memory()
        if found != schema.VERSION:
            older = "fab registry.list  brings them up to date, as every command that writes does"
            hint = older if found < schema.VERSION else "pip install --upgrade oroboros_deploy"
            raise self.database.unavailable(f"its tables are of version {found}, not {schema.VERSION}", hint=hint)
        return self.database.read(lambda db: mending.remembered(db, application, root, control_node))

    def mend(self, repair: Repair) -> bool:
        """Write one thing into the registry as the hosts' journals have it; True when it was written.

        When that thing was changed in the registry after the registry was compared with the journals, nothing is
        written, and False is returned.
        """
        from . import mending

        return self._write(lambda db: mending.mend(db, repair))

    def keep_plan(self, plan: DeployPlan) -> None:
        """Keep the plan of a deploy for a week."""
        from . import plans

        self._write(lambda db: plans.keep(db, plan))

    def plan(self, plan_id: str) -> DeployPlan | None:
        """The plan of this id, of whichever application; None for one that is older than a week."""
        from . import plans

        return self._read(lambda db: plans.find(db, plan_id))

    def upsert(
        self,
        release_id: str,
        commit_sha: str,
        status: str,
        migration_marker: str | None = None,
        deployed_at: str | None = None,
    ) -> dict[str, Any]:
        """Write a release's row and return it.  Raises InvalidInput when a value does not fit.

        ``deployed_at`` (ISO 8601 with an offset) is set to now when it is not given and the
        release goes live for the first time; a marker that is not given stays as it is.
        """
        check_release(release_id, commit_sha)
        check_status(status)
        check_marker(migration_marker)
        deployed = parse_time(deployed_at) if deployed_at is not None else None

        def work(db: Connection) -> dict[str, Any]:
            live_since = clock(db) if status in SERVING else None
            releases.put(db, release_id, commit_sha, status)
            releases.note(db, release_id, migration_marker, live_since=live_since, deployed_at=deployed)
            return releases.get(Driver.under(db), release_id) or {}

        return self._write(work)

    def list(self, limit: int = 50, status: str | None = None, application: str | None = None) -> list[dict[str, Any]]:
        """Return the newest rows first, at most ``limit`` (1 to 500); with an ``application``, without those of others.

        Raises InvalidInput for an unknown status.
        """
        return self.reader.releases(limit, status, application=application)

    def get(self, release_id: str) -> dict[str, Any] | None:
        """A release's row, None when it has none."""
        return self.reader.release(release_id)

    def find(self, prefix: str) -> builtins.list[str]:
        """The release ids that start with a prefix, sorted."""
        return self._read(lambda db: releases.find(db, prefix))

    def hosts_of(
        self, release_id: str, application: str | None = None, *, control_node: str | None = None
    ) -> builtins.list[str]:
        """The hosts on which a release (of one application) was ever live, those of the newest attempt first.

        Those that are gone are left out; the others are named as ``control_node`` calls them.
        """
        return self._read(lambda db: attempts.hosts_of(db, release_id, application, control_node))

    def environment_of(self, release_id: str, application: str | None = None) -> str | None:
        """The environment in which a release was last live, None when no attempt named one."""
        return self._read(lambda db: attempts.environment_of(db, release_id, application))

    def serving(self, application: str | None = None, *, control_node: str | None = None) -> dict[str, str | None]:
        """The release (of one application) that each known host serves, as far as finished attempts tell.

        Hosts are named as ``control_node`` calls them, where it has met them.
        """
        return self._read(lambda db: targets.serving(db, application, control_node))

    def forget(self, host: str, application: str, *, control_node: str | None = None) -> Forgotten:
        """Remember that an application serves nothing any more on the host of this name; return what it served there.

        ``host`` may be a name that only the machine ``control_node`` uses for the host.  ``host`` may also be a name
        without its user and port, when exactly one host of the application has that name.

        ``served`` in the answer are the releases that were live there.  ``replaced`` are those of the releases in
        ``served`` that nothing serves any more.  The host's attempts stay in the history.
        Raises InvalidInput when the application was never sent to a host of this name.
        """
        return self._write(lambda db: _forget(db, host, application, control_node))

    def _standing(self, db: Connection) -> tuple[int, bool, bool]:
        """The version of our tables, 0 for none, whether `releases` is ours to make, and whether ours can be moved."""
        lacks = self._owner != "theirs" and not releases.there(Driver.under(db))
        makes = lacks and (self._owner == "ours" or not schema.others(db))
        return schema.version(db) or 0, makes, place.beside_others(db) and place.usable(db)

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        self._check_once()
        return self.database.read(work)

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        self._check_once()
        return self.database.write(lambda db: _arrived(db, work))

    def _check_once(self) -> None:
        if not self._checked:
            self.check()


_BESIDE_OTHERS = (
    f"the registry's tables are beside those of other programs: the schema {place.NAME} of PostgreSQL cannot be used\n"
    f"→ to keep them apart, let a database administrator make the schema {place.NAME} for the registry's user; "
    "the next command moves them there"
)


def _forget(db: Connection, host: str, application: str, control_node: str | None) -> Forgotten:
    known = targets.known(db, application)
    alike = [name for name in targets.serving(db, application, control_node) if host_name(name) == host]
    if host not in known and len(alike) == 1:
        host = alike[0]
    if host not in known:
        near = alike or get_close_matches(host, known, 3, 0.5)
        what = f"nothing was changed: the registry knows no host {host!r} of {application}"
        raise InvalidInput(what, hint=_nearly(application, near, known))
    served = targets.forget(db, host, application, control_node)
    replaced = _replace(db, served, Status.REPLACED)
    return {"host": host, "application": application, "served": served, "replaced": replaced}


def _nearly(application: str, near: Sequence[str], known: Sequence[str]) -> str:
    """Which hosts may have been meant."""
    if near:
        return f"hosts of that name or nearly: {', '.join(near)}"
    if known:
        return f"hosts of {application}, such as: {', '.join(known[:3])}"
    name = "the setting `application`, or the last part of `root`"
    return f"the registry knows no host of {application} at all; the name of an application is {name}"


def _replace(db: Connection, served: Iterable[str | None], status: Status) -> list[str]:
    """Change the rows of those releases that served and that nothing serves any more; returns them."""
    left = sorted({*filter(None, served)} - {*targets.served(db).values()})
    found = [release_id for release_id in left if releases.status_of(db, release_id) in SERVING]
    for release_id in found:
        releases.set_status(db, release_id, status)
    return found


def _arrived(db: Connection, work: Callable[[Connection], Result]) -> Result:
    """What ``work`` returns, after the rows that waited for `releases` came there."""
    releases.arrive(db)
    return work(db)


def _intend(db: Connection, record: Record) -> None:
    attempts.add(db, record)
    attempts.tell(db, record)
    intended, _ = attempts.intent(db, record.attempt)
    if intended or not record.moves:
        return
    attempts.intend(db, record.attempt, releases.status_of(db, record.release_id))
    status = Status.DEPLOYING if record.kind == "deploy" else Status.ROLLBACK_IN_PROGRESS
    releases.put(db, record.release_id, record.commit_sha, status)


def _finish(db: Connection, record: Record) -> None:
    ended = parse_time(record.finished_at) if record.finished_at else datetime.now(UTC)
    ended += skew(db)
    attempts.add(db, record)
    served = targets.served(db).values()
    if not attempts.finish(db, record, ended) or not record.moves:
        return
    _change_rows(db, record)
    if record.settled:  # also what a target served that is gone: a machine made anew, an alias of another workstation
        left = Status.REPLACED if record.kind == "deploy" else Status.REPLACED_BY_ROLLBACK
        _replace(db, served, left)
    went_live = any(host.ok for host in record.hosts)
    releases.note(db, record.release_id, record.migration_marker, live_since=ended if went_live else None)


def _change_rows(db: Connection, record: Record) -> None:
    intended, before = attempts.intent(db, record.attempt)
    current = releases.status_of(db, record.release_id)
    # When the row no longer shows an intent, another attempt has settled it; only a release that serves goes over that.
    ours = not intended or current in IN_PROGRESS
    was = before if intended and ours else current
    for release_id, status in transitions(record, targets.served(db), was):
        if release_id == record.release_id and status in (*SERVING, Status.ROLLBACK_TARGET_MISSING):
            releases.put(db, release_id, record.commit_sha, status)
        elif release_id != record.release_id or ours:
            releases.set_status(db, release_id, status)
