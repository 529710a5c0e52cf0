"""The four recipes in `examples/`, whole, on a host that was prepared by one block of the docs and no other command."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.support.shapes import Recipe
from tests.support.watching import eventually

pytestmark = [pytest.mark.host, pytest.mark.slow]

Take = Callable[[str], Recipe]
STYLE = "h1 { color: teal; }\n"
UPLOAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="cat.txt"\r\n\r\nmeow\r\n--x--\r\n'
ADD_TITLE = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("photos", "0001_initial")]
    operations = [migrations.AddField("photo", "title", models.CharField(max_length=80, db_default=""))]
"""
ADD_AUTHOR = """\
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("notes", sa.Column("author", sa.String, nullable=True))
"""


@pytest.fixture(scope="module")
def host(image: Path) -> Iterator[DisposableHost]:
    """One host for all four, as four applications."""
    with DisposableHost("shapes", image) as host:
        yield host


@pytest.fixture
def take(tmp_path: Path, host: DisposableHost) -> Take:
    """Takes a recipe over, as a stranger's repository."""
    return lambda name: Recipe(name, tmp_path, host, f"sqlite:///{tmp_path}/registry.db")


def test_django(take: Take) -> None:
    """Static files, migrations, uploads, worker and clock are there; uploads outlive releases."""
    gallery = take("django")
    gallery.fab.environ["SECRET_KEY"] = "only-for-this-test" * 3
    units = ("gallery-beat", "gallery-web", "gallery-worker")
    first = gallery.commit("the first")
    assert (ran := gallery.deploy(first)).code == 0, ran.said
    assert gallery.serving() == dict.fromkeys(units, first)
    assert json.loads(gallery.ask("/health/")) == {"release": first, "ticked": True}
    style = gallery.ask("/").partition('href="')[2].partition('"')[0]
    assert (style.startswith("/static/photos/gallery."), gallery.ask(style)) == (True, STYLE)
    gallery.ask("/photos/", UPLOAD, Content_Type="multipart/form-data; boundary=x")
    done = {"/media/cat.txt": hashlib.sha256(b"meow").hexdigest()}
    assert eventually(lambda: json.loads(gallery.ask("/photos/")) == done, 60), gallery.ask("/photos/")

    old, new = "digest =", 'title = models.CharField(max_length=80, db_default="")\n    digest ='
    second = gallery.edit("photos/models.py", old, new, {"photos/migrations/0002_title.py": ADD_TITLE})
    assert (ran := gallery.deploy(second)).code == 0, ran.said
    assert gallery.columns("data/photos.sqlite3", "photos_photo") == ["id", "file", "digest", "title"]
    assert (json.loads(gallery.ask("/photos/")), gallery.ask("/media/cat.txt")) == (done, "meow")

    # Neither migration nor web server needs the broker: worker and clock do.
    bad = gallery.edit("gallery/settings.py", "sqla+sqlite:///", "nothing-like-it:///")
    assert ((ran := gallery.deploy(bad)).code, gallery.serving()) == (10, dict.fromkeys(units, second)), ran.said
    gallery.fab.ok("rollback", f"--release={first}")
    assert gallery.serving() == dict.fromkeys(units, first)
    assert json.loads(gallery.ask("/health/")) == {"release": first, "ticked": True}
    assert (json.loads(gallery.ask("/photos/")), gallery.ask("/media/cat.txt")) == (done, "meow")


def test_fastapi(take: Take) -> None:
    """What uv.lock pins is installed, alembic finds the database by the configuration, and notes outlive releases."""
    notes = take("fastapi")
    first = notes.commit("the first")
    assert (ran := notes.deploy(first)).code == 0, ran.said
    assert notes.serving() == {"notes-api": first}
    assert json.loads(notes.ask("/health")) == {"release": first, "revision": "0001"}
    notes.ask("/notes", b'{"text": "buy milk"}', Content_Type="application/json")

    second = notes.commit("an author", {"migrations/versions/0002_author.py": ADD_AUTHOR})
    assert (ran := notes.deploy(second)).code == 0, ran.said
    assert json.loads(notes.ask("/health")) == {"release": second, "revision": "0002"}
    assert notes.columns("data/notes.sqlite3", "notes") == ["id", "text", "author"]

    bad = notes.edit("notes/app.py", "app = FastAPI()", "app = FastAPI(); 1 / 0")
    assert ((ran := notes.deploy(bad)).code, notes.serving()) == (10, {"notes-api": second}), ran.said
    notes.fab.ok("rollback", f"--release={first}")
    assert json.loads(notes.ask("/health")) == {"release": first, "revision": "0002"}
    assert json.loads(notes.ask("/notes")) == ["buy milk"]


def test_node(take: Take) -> None:
    """node_modules are there when the server runs, from the lock file; uploads outlive releases."""
    board = take("node")
    first = board.commit("the first")
    assert (ran := board.deploy(first)).code == 0, ran.said
    assert (json.loads(board.ask("/health")), board.serving()) == ({"release": first}, {"board-web": first})
    board.ask("/uploads/cat.txt", b"meow", method="PUT", Content_Type="text/plain")

    second = board.edit("public/index.html", "<h1>Board", "<h1>The board")
    assert (ran := board.deploy(second)).code == 0, ran.said
    assert ("<h1>The board" in board.ask("/"), board.ask("/uploads/cat.txt")) == (True, "meow")

    bad = board.edit("server.js", 'require("express")', 'require("not-in-the-lock")')
    assert ((ran := board.deploy(bad)).code, board.serving()) == (10, {"board-web": second}), ran.said
    board.fab.ok("rollback", f"--release={first}")
    assert (json.loads(board.ask("/health")), board.serving()) == ({"release": first}, {"board-web": first})
    assert ("<h1>Board" in board.ask("/"), board.ask("/uploads/cat.txt")) == (True, "meow")


def test_static(take: Take) -> None:
    """npm makes the pages, Caddy serves those of the release that it was started in."""
    site = take("static")
    first = site.commit("the first")
    assert (ran := site.deploy(first)).code == 0, ran.said
    assert (site.ask("/release.txt").strip(), site.serving()) == (first, {"site-caddy": first})
    assert ("<h1>A static site" in site.ask("/"), site.ask("/style.css")) == (True, STYLE)

    second = site.edit("site/content/index.md", "A static site", "A changed site")
    assert (ran := site.deploy(second)).code == 0, ran.said
    assert ("<h1>A changed site" in site.ask("/"), site.ask("/release.txt").strip()) == (True, second)

    bad = site.edit("infra/Caddyfile", "file_server", "file_sever")
    assert ((ran := site.deploy(bad)).code, site.ask("/release.txt").strip()) == (10, second), ran.said
    site.fab.ok("rollback", f"--release={first}")
    assert ("<h1>A static site" in site.ask("/"), site.ask("/release.txt").strip()) == (True, first)
