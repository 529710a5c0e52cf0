"""Registry rows as another program or a damaged file could have them: no traceback, and no escape in what is shown.

The rows are drawn into a real registry, and all that reads rows is asked: commands, the API, the pages, the metrics.
`--hypothesis-profile=explore` draws ten times as many others.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unicodedata import category
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from oroboros_deploy.cli import tables
from oroboros_deploy.cli.running import print_json, show
from oroboros_deploy.errors import DeployError
from oroboros_deploy.events import Event
from oroboros_deploy.records.reconcile import compare
from oroboros_deploy.records.record import CommitRecord
from oroboros_deploy.registry import Registry
from oroboros_deploy.text import plain
from oroboros_deploy.web.site import site
from tests.support.outside import NASTY, often
from tests.support.samples import A, B, C, host, record

pytestmark = pytest.mark.slow  # hundreds of examples

TIMES = [
    "2030-01-01 12:00:00.000000",
    "2030-01-01T12:00:00Z",
    "2030-01-01 12:00:00+14:00",
    "9999-12-31 23:59:59.999999",
    "9999-12-31 23:59:59-12:00",
    "0001-01-01 00:00:00+12:00",
    "12026-01-01 00:00:00",
    "infinity",
    "today",
]
JSONS = ["{", "[]", '"x"', "3", "null", '{"build": NaN}', '{"build": 1e400}', '{"build": "x"}', "[" * 50_000]
JSONS += ['{"build": null, "activate.gating": [1], "activate": true, "facts": -7}', f'{{"build": {"9" * 400}}}']
cells = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from([NASTY, "", "deploy", "running", "live", "unknown", A, B, C, *TIMES, *JSONS]),
)


def fill(registry: Registry) -> None:
    """Each table has a row, and each state of an attempt is there."""
    registry.finish(record(A, host("web1", "live", live=A, seconds={"build": 3.0, "activate": 1.0}), attempt="one"))
    new = (CommitRecord(B, "subject", "ada", "2030-01-01T10:00:00+00:00"),)
    back = host("web1", "restored", previous=A, message="m", log="l", seconds={"activate": 2.0})
    registry.finish(record(B, back, attempt="two", minute=1, commits=new, subject="s"))
    registry.finish(record(C, host("web2", "unknown", live=C), attempt="three", minute=2, kind="rollback"))
    running = record(B, host("web1", "running"), attempt="four", minute=3, finished_at=None, exit_code=None)
    registry.begin(running)
    registry.intend(running)
    registry.hear("four", [Event("facts.read", "m", "web1", data={"live": A})])


class Drawn:
    """A registry in a file, whose rows are what an example makes of them; the next one begins with the first rows."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        with Registry.open(self.url) as registry:
            fill(registry)
        self.registry = Registry.open(self.url)
        app = site(lambda: self.registry.reader)
        self.client = TestClient(app, base_url="http://localhost")
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._loosen()
        names = [name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: self._db.execute(f"SELECT * FROM {name}").fetchall() for name in names}
        self.rows = {name: found for name, found in rows.items() if found}
        ours = sorted(self.rows.keys() - {"oroboros_schema"})
        self.columns = [(name, row[1]) for name in ours for row in self._db.execute(f"PRAGMA table_info({name})")]

    def _loosen(self) -> None:
        """What another program's `releases` demands is its own business: nothing, here."""
        self._db.execute("PRAGMA writable_schema = ON")
        self._db.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'releases'")
        self._db.execute("PRAGMA writable_schema = RESET")

    def draw(self, changes: list[tuple[int, int, Any]]) -> None:
        """The first rows, but for what is changed in them."""
        self._db.execute("BEGIN")
        for name, rows in self.rows.items():
            self._db.execute(f"DELETE FROM {name}")
            self._db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        for column, row, value in changes:
            name, cell = self.columns[column % len(self.columns)]
            at = f"(SELECT rowid FROM {name} LIMIT 1 OFFSET {row})"
            with suppress(sqlite3.IntegrityError):
                self._db.execute(f"UPDATE OR IGNORE {name} SET {cell} = ? WHERE rowid = {at}", (value,))
        self._db.execute("COMMIT")

    def close(self) -> None:
        self.registry.close()
        self._db.close()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawn]:
    with closing(Drawn(tmp_path_factory.mktemp("rows") / "registry.db")) as made:
        yield made


def printed(registry: Registry) -> Iterator[str]:
    """What each command that reads the registry prints, or says when it cannot."""
    reader = registry.reader
    asked = [
        lambda: print_json(registry.list()),
        lambda: print_json([registry.get(release) for release in (A, B, C)]),
        lambda: print_json([registry.find("a"), registry.hosts_of(A), registry.environment_of(A), registry.serving()]),
        lambda: show(tables.repairs_table([compare(registry.memory("shop"), [])])),
        lambda: show(tables.repairs_json([compare(registry.memory(None), [])])),
        lambda: show(tables.figures_table([reader.figures(environment=name) for name in reader.environments()])),
        lambda: show(tables.figures_json([reader.figures()])),
    ]
    for ask in asked:
        out = io.StringIO()
        with redirect_stdout(out):
            try:
                ask()
            except DeployError as error:
                out.write(plain(error))
        yield out.getvalue()


PATHS = ["/api/releases", f"/api/releases/{A}", "/api/attempts", "/api/attempts/two", "/api/events", "/api/hosts"]
PATHS += ["/api/hosts/web1", "/api/environments", "/api/figures", "/metrics", "/", "/attempts/two", "/attempts/four"]
PATHS += [f"/releases/{A}", f"/releases/{B}", "/hosts", "/hosts/web1", "/figures", "/?state=running", "/?host=web1"]


def answers(client: TestClient) -> Iterator[tuple[str, str]]:
    """Each path of the API and of the pages, with its answer."""
    paths = [*PATHS, *(f"/hosts/{quote(each['host'], safe='')}" for each in client.get("/api/hosts").json()["items"])]
    for path in paths:
        answer = client.get(path)
        assert answer.status_code in (200, 400, 404, 503), (path, answer.text)
        if path.startswith("/api/"):
            json.loads(answer.text, parse_constant=pytest.fail)
        yield path, answer.text


def is_clean(text: str) -> bool:
    """Nothing that a terminal or a browser takes for more than text; the joiner holds emoji together."""
    return not any(category(each) in ("Cc", "Cf", "Cs") for each in text if each not in "\n\t\N{ZERO WIDTH JOINER}")


@often(100)
@given(changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), cells), min_size=1, max_size=4))
def test_rows_of_anything_are_shown(drawn: Drawn, changes: list[tuple[int, int, Any]]) -> None:
    """Every command, every answer of the API and every page either shows the rows or says that it cannot."""
    drawn.draw(changes)
    for said in printed(drawn.registry):
        assert is_clean(said)
    for path, said in answers(drawn.client):
        assert is_clean(said), path
