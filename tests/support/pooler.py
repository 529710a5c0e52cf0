"""A throw-away PgBouncer before a test's PostgreSQL: all its clients take turns in one session of the server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import PASSWORD, PostgresServer, free_port
from tests.support.watching import eventually

_SETTINGS = """\
[databases]
{name} = host=127.0.0.1 port={server} dbname={name} user=postgres password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
"""


def program() -> str | None:
    """Where PgBouncer is, None when it is not installed; an ordinary user of Debian has no /usr/sbin in PATH."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def why_not() -> str | None:
    """Why no pooler can be started here, None when one can."""
    return None if program() else "PgBouncer is not installed: apt-get install pgbouncer"


@contextmanager
def pooled(server: PostgresServer, url: str) -> Iterator[str]:
    """The URL of this database through a pooler in transaction mode, with one connection to the server."""
    port, name = free_port(), url.rpartition("/")[2]
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        settings = Path(directory) / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(name=name, server=server.port, port=port, password=PASSWORD))
        user = server.user  # PgBouncer does not run as root
        for path in (Path(directory), settings) if user else ():
            shutil.chown(path, user)
        process = subprocess.Popen([str(program()), "-q", str(settings)], user=user)
        try:
            eventually(lambda: _answers(port), within=20)
            yield url.replace(f":{server.port}/", f":{port}/")
        finally:
            process.terminate()
            process.wait(20)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
