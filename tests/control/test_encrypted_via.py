"""A registry that is reached through SSH, whose server speaks TLS: what libpq is told of that is done, or refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from oroboros_deploy.config import load
from oroboros_deploy.control.node import ControlNode
from oroboros_deploy.errors import ConfigError, RegistryUnavailable
from oroboros_deploy.ssh import SshOptions, connect
from tests.support.postgres import PASSWORD, QUOTED_PASSWORD, PostgresServer, why_not
from tests.support.sshd import Sshd, requires_sshd

pytestmark = [requires_sshd, pytest.mark.postgres]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The way to the database."""
    with Sshd(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that takes nothing but TLS on its port, with a certificate for `localhost`."""
    if reason := why_not():
        pytest.skip(reason)
    server = PostgresServer(tls="localhost")
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of what whoever runs the tests tells PostgreSQL's clients."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def url_of(server: PostgresServer, host: str, **parameters: object) -> str:
    """The registry's URL, by way of the SSH server."""
    query = "&".join(f"{name}={value}" for name, value in {"via": "box", **parameters}.items())
    return server.database().replace("@127.0.0.1", f"@{host}") + f"?{query}"


def connections(url: str, sshd: Sshd, tmp_path: Path) -> set[tuple[Any, ...]]:
    """How the server sees the connections of a registry that was written to and read: whether encrypted, and whose."""
    node = ControlNode(
        load([("fabric.yaml", {"registry_url": url})], {}),
        source=tmp_path,
        connect=lambda name: connect(name, SshOptions(config_path=sshd.config_path)),
        listener=lambda _: None,
        state=tmp_path / "state",
    )
    asked = (
        "SELECT ssl, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = current_database()"
    )
    with node.registry() as registry:
        registry.upsert("a" * 40, "a" * 40, "deployed")
        assert registry.find("") == ["a" * 40]
        return {tuple(row) for row in registry.database.read(lambda db: db.exec_driver_sql(asked).fetchall())}


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("said", ["in the URL", "in the environment"])
def test_encryption_is_to_the_server_itself(
    server: PostgresServer, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, said: str
) -> None:
    """Whatever SSH encrypts: the certificate is the server's, and it is looked at as `sslmode` says."""
    parameters: dict[str, object] = {"sslmode": mode, "sslrootcert": server.authority}
    if said == "in the environment":
        for name, value in parameters.items():
            monkeypatch.setenv(f"PG{name.upper()}", str(value))
        parameters = {}
    assert connections(url_of(server, "localhost", **parameters), sshd, tmp_path) == {(True, None)}


@pytest.mark.parametrize(
    ("host", "wrong", "words"),
    [
        ("127.0.0.1", {}, 'does not match host name "127.0.0.1"'),
        ("localhost", {"sslrootcert": "/etc/no-such-file"}, 'root certificate file "/etc/no-such-file" does not exist'),
        ("localhost", {"target_session_attrs": "standby"}, "server is not in hot standby mode"),
    ],
)
def test_what_is_not_so_ends_the_connection(
    server: PostgresServer, sshd: Sshd, tmp_path: Path, host: str, wrong: dict[str, object], words: str
) -> None:
    """A name that the certificate does not have, an authority that is not there, a server of another kind."""
    url = url_of(server, host, **{"sslmode": "verify-full", "sslrootcert": server.authority, **wrong})
    with pytest.raises(RegistryUnavailable) as caught:
        connections(url, sshd, tmp_path)
    assert words in caught.value.message


@pytest.mark.parametrize("without", [{}, {"sslmode": "disable"}, {"sslmode": "allow"}])
def test_a_server_that_wants_encryption(
    server: PostgresServer, sshd: Sshd, tmp_path: Path, without: dict[str, object]
) -> None:
    """Nobody asked for it, so the tunnel's socket is used: the message says what to add."""
    with pytest.raises(RegistryUnavailable, match=r"no pg_hba\.conf entry for .* no encryption") as caught:
        connections(url_of(server, "localhost", **without), sshd, tmp_path)
    assert (
        caught.value.hint
        == "to encrypt the connection to the server through via, add sslmode=require to the registry's URL"
    )


def test_a_certificate_of_our_own_is_shown(server: PostgresServer, sshd: Sshd, tmp_path: Path) -> None:
    """`sslcert` and `sslkey` without any `sslmode` are followed as well: the server knows who that is."""
    ours = {"sslcert": tmp_path / "ada.crt", "sslkey": tmp_path / "ada.key"}
    server.sign("ada", ours["sslcert"], ours["sslkey"])
    assert connections(url_of(server, "localhost", **ours), sshd, tmp_path) == {(True, "/CN=ada")}


@pytest.mark.parametrize(("name", "value"), [("PGHOSTADDR", "192.0.2.1"), ("PGSERVICE", "other")])
def test_what_leads_past_the_tunnel_is_refused(
    server: PostgresServer, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A variable of PostgreSQL's own that would be another server's, or nobody's, is named before anything is asked."""
    url = url_of(server, "localhost", sslmode="require").replace(f":{QUOTED_PASSWORD}", "")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"^{name} is set, and ") as caught:
        connections(url, sshd, tmp_path)
    assert caught.value.hint


def test_a_password_file_is_no_way_to_log_in(
    server: PostgresServer, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names servers, not tunnels, in the home directory or by PGPASSFILE: told is where the password can be."""
    url = url_of(server, "localhost", sslmode="require").replace(f":{QUOTED_PASSWORD}", "")
    (tmp_path / ".pgpass").write_text(f"localhost:{server.port}:*:postgres:{PASSWORD}\n")
    (tmp_path / ".pgpass").chmod(0o600)
    direct = url.replace("via=box&", "").replace(":///", "://")
    psycopg2.connect(direct).close()
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / ".pgpass"))
    with pytest.raises(RegistryUnavailable, match="no password supplied") as caught:
        connections(url, sshd, tmp_path)
    assert caught.value.hint == "put the password into the registry's URL, or into PGPASSWORD"
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert connections(url, sshd, tmp_path) == {(True, None)}
