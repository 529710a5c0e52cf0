from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import make_url

from oroboros_deploy.config import Config, explain
from oroboros_deploy.config.addresses import NOT_SHOWN
from oroboros_deploy.errors import ConfigError
from oroboros_deploy.registry.url import (
    check_via,
    engine_url,
    registry_address,
    registry_via,
    safe_url,
    sqlite_path,
    url_key,
    wants_tls,
)


@pytest.mark.parametrize(
    ("url", "engine", "via", "address"),
    [
        ("postgresql://u:p@h:5433/d", "postgresql+psycopg2://u:p@h:5433/d", None, ("h", 5433)),
        ("postgres://u:p@h/d", "postgresql+psycopg2://u:p@h/d", None, ("h", 5432)),
        ("postgresql+psycopg2://u@h/d\n", "postgresql+psycopg2://u@h/d", None, ("h", 5432)),
        ("postgresql:///d", "postgresql+psycopg2:///d", None, ("localhost", 5432)),
        ("postgresql://u:p@[::1]:5/d?via=web1", "postgresql+psycopg2://u:p@[::1]:5/d", "web1", ("::1", 5)),
        (
            "postgresql://u@localhost/d?sslmode=require&via=ada%40web1&options=-c%20a%3Db",
            "postgresql+psycopg2://u@localhost/d?sslmode=require&options=-c+a%3Db",
            "ada@web1",
            ("localhost", 5432),
        ),
    ],
)
def test_a_postgresql_url_names_driver_tunnel_and_address(url, engine, via, address):
    """The driver is named, via is ours alone, and the address is what the tunnel must reach."""
    assert (engine_url(url), registry_via(url), registry_address(url)) == (engine, via, address)


def test_a_sqlite_url_names_a_file(monkeypatch, tmp_path):
    """A path is absolute with four slashes, relative with three, and may start in the home directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    urls = ("sqlite:////var/r.db", "sqlite:///r#1@x.db?timeout=3", "sqlite:///~/r.db", "postgresql://h/d")
    assert [sqlite_path(url) for url in urls] == [
        Path("/var/r.db"),
        tmp_path / "r#1@x.db",
        Path("/home/ada/r.db"),
        None,
    ]
    assert engine_url(urls[1]) == f"sqlite:///{tmp_path}/r#1@x.db?timeout=3"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "registry.db",
        "mysql://u:pw@h/d",
        "postgresql+asyncpg://u:pw@h/d",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://host/r.db",
        "sqlite:///r.db?via=web1",
        "postgresql://u:pw@h:port/d",
        "postgresql://u:pw/x@h/d",
        "postgresql://u:p@pw@h/d",
        "postgresql://u:pw?x@h/d",
        "postgresql://u:pw#x@h/d",
        "postgresql://u:1/pw@h/d",
        "postgresql://u:pw@[::1/d",
        "postgresql://u:pw@h/d?via=",
        "postgresql://u:pw@h/d?via=a&via=b",
        "postgresql://u:pw@/d?host=db.internal&via=web1",  # it would be the database on web1 itself
        "postgresql://u:pw@h/d?port=6432&via=web1",
        "postgresql://u:pw@h/d?via=web1&passfile=/home/ada/.pgpass",  # it names servers, not tunnels
        "postgresql://u:pw@h1,h2/d?via=web1",
    ],
)
def test_a_wrong_url_is_refused_in_words(url):
    """Every URL that names no registry raises ConfigError, which does not show the password."""
    with pytest.raises(ConfigError) as caught:
        engine_url(url)
    assert "pw" not in str(caught.value)
    assert "DEPLOY_REGISTRY_URL" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "environ", "named"),
    [
        ("postgresql://h/d", {"PGHOSTADDR": "192.0.2.1"}, "PGHOSTADDR"),
        ("postgresql://u:p@h:1/d", {"PGSERVICE": "other"}, "PGSERVICE"),
        ("postgresql:///d", {"PGHOST": "db"}, "PGHOST"),
        ("postgresql://h/d", {"PGPORT": "6432"}, "PGPORT"),
        ("postgresql://h/d", {"PGPASSFILE": "/f"}, None),  # the server may ask for no password
        ("postgresql://u:p@h:1/d", {"PGHOST": "db", "PGPORT": "6432", "PGPASSFILE": "/f", "PGHOSTADDR": ""}, None),
        ("postgresql://h/d?password=p", {"PGPASSFILE": "/f"}, None),
        ("postgresql://h/d", {"PGPASSFILE": "/f", "PGPASSWORD": "p", "PGTARGETSESSIONATTRS": "any"}, None),
    ],
)
def test_variables_of_libpq_that_lead_past_the_tunnel(url, environ, named):
    """With via, what libpq would take from the environment instead of the tunnel is named; what the URL says wins."""
    try:
        check_via(url, environ)
    except ConfigError as error:
        assert named
        assert error.message.startswith(f"{named} is set, and ")
    else:
        assert named is None


@pytest.mark.parametrize(
    ("query", "environ", "wanted"),
    [
        ("", {"SSL_CERT_FILE": "/f", "PGHOST": "h"}, False),
        ("sslmode=verify-full", {}, True),
        ("sslmode=prefer", {"PGSSLMODE": "require"}, False),
        ("", {"PGSSLMODE": "verify-ca"}, True),
        ("", {"PGSSLROOTCERT": "/f"}, True),
        ("sslcert=/f", {"PGSSLMODE": "disable"}, False),
        ("sslmode=require", {"PGSSLMODE": "disable"}, True),
    ],
)
def test_who_asks_for_encryption(query, environ, wanted):
    """In the URL, which wins, or in the variables of libpq; nothing else of the environment counts."""
    assert wants_tls(f"postgresql://h/d?{query}", environ) is wanted


def test_a_sqlite_file_has_no_address():
    """There is nothing to tunnel to for a SQLite file."""
    with pytest.raises(ConfigError):
        registry_address("sqlite:////r.db")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://***@h/d"),
        ("postgresql://:p@h/d", "postgresql://***@h/d"),
        ("postgresql://u@h:5/d?via=a@b", "postgresql://***@h:5/d?via=a@b"),
        ("postgresql://h:5/d?via=a@b", "postgresql://h:5/d?via=a@b"),
        ("postgresql://[::1]:5/d?via=a@b", "postgresql://[::1]:5/d?via=a@b"),
        ("postgresql://h/d?user=u&password=p&sslPassword=q#r", "postgresql://h/d?user=u&password=***&sslPassword=***"),
        ("postgresql://h/d?sslmode=x&other=p", "postgresql://h/d?sslmode=x&***"),
        ("sqlite:////a/b:c@d.db", "sqlite:////a/b:c@d.db"),
        ("postgresql://u:p@h/d\n", "postgresql://***@h/d"),
        ("postgresql://u:p@p/p:p@h/d?via=a@b", NOT_SHOWN),
        ("postgresql://u:p?p@h/d", NOT_SHOWN),
        ("postgresql:/u:p@h/d", NOT_SHOWN),
        ("u:p@h/d", NOT_SHOWN),
        ("postgresql://u:p", NOT_SHOWN),
        ("host=h user=u password=p", NOT_SHOWN),
        ("nonsense", NOT_SHOWN),
    ],
)
def test_a_shown_url_has_no_password(url, shown):
    """Who logs in is masked, and a URL that cannot be read is not shown at all."""
    assert safe_url(url) == shown


SECRET = "hunterTwo%40cret"
WRITTEN = (
    f"postgresql://app:{SECRET}@db.example:5432/registry?sslmode=require&via=web1",
    f"postgresql://db.example/registry?user=app&sslmode=require&password={SECRET}&via=web1",
    f"host=db.example user=app password={SECRET} dbname=registry",
)


def edits(url: str) -> Iterator[str]:
    """The URL with one character left out, replaced, put in or swapped with the next, or cut off after it."""
    for at in range(len(url) + 1):
        before, here, after = url[:at], url[at : at + 1], url[at + 1 :]
        yield from (before + after, before, before + after[:1] + here + after[1:])
        for char in ":/@?&=#;[% x":
            yield from (before + char + after, before + char + here + after)


def told(url: str) -> str:
    """All that is said of a URL: by the settings, and by the error or by what the driver is asked for."""
    shown = [safe_url(url)]
    with suppress(ConfigError):
        shown.append(str(explain(Config.from_mapping({"registry_url": url}))))
    try:
        address = make_url(engine_url(url))
        shown += [str(address.host), str(address.port), str(address.database), *address.query]  # libpq says these
        shown += [str(value) for name, value in address.query.items() if name in ("via", "sslmode", "user")]
    except ConfigError as error:
        shown.append(str(error))
    return "\n".join(shown)


@pytest.mark.parametrize("url", WRITTEN, ids=["as a user", "as a parameter", "as libpq writes it"])
@pytest.mark.slow
def test_no_typing_error_shows_the_password(url):
    """Whichever character of the URL is wrong, no part of its password is told."""
    parts = {SECRET[at : at + 5] for at in range(len(SECRET) - 4)} | {"er@cr", "Two@c", "@cret"}
    said = {edit: told(edit) for edit in edits(url)}
    assert [edit for edit in said if any(part in said[edit] for part in parts)] == []


def test_the_key_names_the_registry_and_not_the_password():
    """A new password or another spelling of the driver keeps the key; another database or tunnel changes it."""
    same = ["postgresql://u:p@h/d", "postgres://u:other@h/d", "postgresql+psycopg2://u@h/d"]
    other = ["postgresql://u@h/e", "postgresql://u@h/d?via=web1", "postgresql://u@h:5433/d", "sqlite:////h/d"]
    assert len({url_key(url) for url in same}) == 1
    assert len({url_key(url) for url in [same[0], *other]}) == 1 + len(other)
