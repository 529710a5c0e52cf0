"""A throw-away PostgreSQL server for tests: a fresh cluster in a temporary directory."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

PASSWORD = "s3cr3t/p@ss"
QUOTED_PASSWORD = "s3cr3t%2Fp%40ss"
_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def binary(name: str) -> str | None:
    """Where a program of PostgreSQL is, None when it is not installed."""
    return shutil.which(name) or next((str(path / name) for path in _DEBIAN if (path / name).exists()), None)


def why_not() -> str | None:
    """Why no server can be started here, None when one can."""
    if not binary("initdb"):
        return "PostgreSQL is not installed (no initdb)"
    if os.getuid() == 0 and not _postgres_user():
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


def started() -> Iterator[PostgresServer]:
    """A server for as long as a fixture lives; skips where none can be started."""
    if reason := why_not():
        pytest.skip(reason)
    server = PostgresServer()
    yield server
    server.close()


class PostgresServer:
    """One server, on a unix socket and a loopback port, with one role that logs in with PASSWORD.

    With ``tls`` it has a certificate for that name, which `authority` signed, and the port takes TLS alone.
    """

    def __init__(self, standby_of: PostgresServer | None = None, tls: str | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir=_place()))
        self.port = free_port()
        self.user = _postgres_user() if os.getuid() == 0 else None
        if self.user:
            shutil.chown(self.directory, self.user)
        self.directory.chmod(0o755)
        self._log = (self.directory / "log").open("w+b")
        self._databases = 0
        if standby_of:
            self._copy(standby_of)
        else:
            self._initdb()
        self._settings = self._encrypt(tls) if tls else []
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-D", str(self._data), "-k", str(self.directory), "-p", str(self.port), "-h", "127.0.0.1"]
        # The files live for seconds: syncing them would only make the tests slow.
        settings = ["-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB", *self._settings]
        self._process = subprocess.Popen([str(binary("postgres")), *options, *settings], **self._logged())
        deadline = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.directory / 'log').read_text()}")
            time.sleep(0.02)

    def restart(self) -> None:
        """Stop it as an administrator would, and start it again."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)
        self.start()

    def promote(self) -> None:
        """Make a standby the primary."""
        self.execute("SELECT pg_promote()", "postgres")

    def kill(self) -> None:
        """Stop it as a crash would."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(20)

    def close(self) -> None:
        """Stop it and delete its files."""
        self.kill()
        self._log.close()
        shutil.rmtree(self.directory)

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"test{self._databases}"
        self.execute(f"CREATE DATABASE {name}", "postgres")
        return f"postgresql://postgres:{QUOTED_PASSWORD}@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Delete one of them, whoever is connected: each has hundreds of files."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)", "postgres")

    def execute(self, sql: str, database: str) -> list[tuple[object, ...]]:
        """Run a statement as the superuser and return its rows."""
        connection = self.connect(database)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    @property
    def authority(self) -> Path:
        """The certificate of the authority that signed the server's."""
        return self.directory / "authority.crt"

    @property
    def _authority_key(self) -> Path:
        return self.directory / "authority.key"

    def sign(self, name: str, certificate: Path, key: Path) -> None:
        """Make a certificate of the authority's."""
        by = ["-CA", str(self.authority), "-CAkey", str(self._authority_key), "-addext", f"subjectAltName=DNS:{name}"]
        _certify(name, certificate, key, *by)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _initdb(self) -> None:
        password = self.directory / "password"
        password.write_text(PASSWORD)
        command = [str(binary("initdb")), "-D", str(self._data), "-U", "postgres", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run([*command, "-A", "scram-sha-256", f"--pwfile={password}"], check=True, **self._logged())

    def _encrypt(self, name: str) -> list[str]:
        """Make the certificates; the settings that use them."""
        key, certificate = self.directory / "server.key", self.directory / "server.crt"
        _certify("authority", self.authority, self._authority_key)
        self.sign(name, certificate, key)
        if self.user:
            shutil.chown(key, self.user)
        rules = self._data / "pg_hba.conf"
        rules.write_text(rules.read_text().replace("host ", "hostssl "))
        files = {"ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": self.authority}
        return ["-c", "ssl=on", *(f"--{name}={path}" for name, path in files.items())]

    def _copy(self, primary: PostgresServer) -> None:
        """The data of another server, to follow it from now on."""
        url = f"postgresql://postgres:{QUOTED_PASSWORD}@127.0.0.1:{primary.port}/"
        command = [str(binary("pg_basebackup")), "-D", str(self._data), "-d", url, "-R", "-X", "stream", "-c", "fast"]
        subprocess.run([*command, "-N"], check=True, **self._logged())

    def _answers(self) -> bool:
        try:
            self.connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def connect(self, database: str) -> psycopg2.extensions.connection:
        """A connection as the superuser, which finds the registry's own tables by their bare names."""
        login = {"host": str(self.directory), "port": self.port, "user": "postgres", "password": PASSWORD}
        return psycopg2.connect(**login, dbname=database, options="-c search_path=public,oroboros")

    def _logged(self) -> dict[str, object]:
        return {"stdout": self._log, "stderr": self._log, "user": self.user, "cwd": "/"}


def _certify(name: str, certificate: Path, key: Path, *more: str) -> None:
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*new, "-keyout", str(key), "-out", str(certificate), *more], check=True, capture_output=True)


def _place() -> str:
    """In memory where there is room: its files live for seconds, and each database has hundreds."""
    memory = "/dev/shm"
    return memory if os.path.isdir(memory) and shutil.disk_usage(memory).free > 1 << 30 else "/tmp"


def _postgres_user() -> str | None:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
