"""The example application, whole: npm, pip, seven units, Caddy in front, on both kinds of registry."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from application import SERVICES, Application
from disposable_host import DisposableHost, free_port

from tests.support.fab import Fab
from tests.support.watching import eventually

pytestmark = pytest.mark.host
KEPT = "<title>Ouroboros, kept as committed</title>\n"
PASSWORD = "not-to-be-seen"
# As the control plane's own migrations made it.
CONTROL_PLANE = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO alembic_version VALUES ('9c1a2b3d4e5f');
CREATE TABLE releases (
    id SERIAL NOT NULL PRIMARY KEY, release_id VARCHAR(64) NOT NULL, commit_sha VARCHAR(64) NOT NULL,
    migration_marker VARCHAR(128), status VARCHAR(32) NOT NULL, deployed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT uq_releases_release_id UNIQUE (release_id));
CREATE INDEX ix_releases_commit_sha ON releases (commit_sha);
CREATE INDEX ix_releases_status ON releases (status);
ALTER TABLE alembic_version OWNER TO registry; ALTER TABLE releases OWNER TO registry;
GRANT ALL ON SCHEMA public TO registry;
"""
WAIT_UNTIL_TOLD = "#!/bin/sh\ntouch /tmp/gating; for i in $(seq 300); do [ -e /tmp/stopped ] && exit; sleep 0.1; done\n"
SCHEMA = "SELECT * FROM information_schema.columns WHERE table_name IN ('releases', 'alembic_version') ORDER BY 3, 4"


def answer(host: DisposableHost) -> str:
    """The commit that answers through the front door."""
    url = f"http://127.0.0.1:{host.http_port}/api/health"
    said = subprocess.run(["curl", "-fsS", "-m", "5", url], check=True, capture_output=True, text=True).stdout
    return str(json.loads(said)["commit"])


def start_database(host: DisposableHost) -> str:
    """A PostgreSQL server on the host's loopback, under a name that only the host knows; returns its URL."""
    port = free_port()
    hosts = host.rootfs / "etc/hosts"
    hosts.write_text(hosts.read_text() + "127.0.0.1 registry-database\n")
    host.run("pg_createcluster", "--port", str(port), "15", "registry", "--start", "--", "--auth-host=scram-sha-256")
    psql = ("psql", "--port", str(port), "--quiet", "--set=ON_ERROR_STOP=1")
    host.run(*psql, f"--command=CREATE ROLE registry LOGIN PASSWORD '{PASSWORD}'", user="postgres")
    host.run(*psql, "--command=CREATE DATABASE control", user="postgres")
    host.run(*psql, "--dbname=control", f"--command={CONTROL_PLANE}", user="postgres")
    return f"postgres://registry:{PASSWORD}@registry-database:{port}/control?via=ssh"


def query(host: DisposableHost, url: str, sql: str) -> str:
    port = url.partition("registry-database:")[2].partition("/")[0]
    argv = ("psql", "--port", port, "--dbname=control", "--no-align", "--tuples-only", f"--command={sql}")
    return str(host.run(*argv, user="postgres").stdout.strip())


def test_deploy_fail_and_roll_back_with_sqlite(tmp_path: Path, host: DisposableHost, app: Application) -> None:
    """Deploy, a bad release that restores itself, a rollback: what answers, what runs and what is recorded agree."""
    fab = Fab(app.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    first = app.commit("the first")
    fab.ok("-H", host.name, "deploy", f"--sha={first}")
    assert answer(host) == first

    second = app.commit("the second")
    fab.ok("-H", host.name, "deploy", "--sha=HEAD")
    assert answer(host) == second

    bad = app.break_api()
    failed = fab("-H", host.name, "deploy", f"--sha={bad}")
    assert (failed.code, answer(host)) == (10, second), failed.said
    assert "ouroboros-api" in failed.out

    fab.ok("rollback", f"--release={first}")
    assert answer(host) == first
    assert fab.statuses() == {first: "rolled_back", second: "replaced_by_rollback", bad: "deploy_failed"}
    assert _states(host) == dict.fromkeys(SERVICES, "active")


def test_virtual_environments_work_where_they_are(tmp_path: Path, host: DisposableHost, app: Application) -> None:
    """Console scripts name the interpreter of their own release, also after the next release is live (no 203/EXEC)."""
    fab = Fab(app.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    first = app.commit("the first")
    fab.ok("-H", host.name, "deploy", f"--sha={first}")
    release = host.rootfs / "srv/oroboros/releases" / first
    for project, script in (("backend", "ouroboros-api"), ("worker", "ouroboros-worker")):
        shebang = (release / project / ".venv/bin" / script).read_text().splitlines()[0]
        assert shebang == f"#!/srv/oroboros/releases/{first}/{project}/.venv/bin/python"
    python = "/srv/oroboros/current/worker/.venv/bin/python"
    places = "import ouroboros_backend as b, ouroboros_worker as w; print(b.__file__, w.__file__)"
    for place in host.run(python, "-c", places, user="ouroboros").stdout.split():
        assert place.startswith("/srv/oroboros/current/worker/.venv/lib/")
    assert (release / "infra/web-main/index.html").is_file()


def test_npm_absent_keeps_the_committed_site(tmp_path: Path, host: DisposableHost, app: Application) -> None:
    """On a host without npm the committed infra/web-main is served, and the deploy says so."""
    fab = Fab(app.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    host.run("sh", "-c", "rm -f /usr/bin/npm /usr/local/bin/npm")
    (app.path / "infra/web-main").mkdir(parents=True)
    sha = app.commit("without npm", {".gitignore": "", "infra/web-main/index.html": KEPT})
    ran = fab.ok("-H", host.name, "deploy", f"--sha={sha}")
    assert "npm is not installed on this host" in ran.out
    url = f"http://127.0.0.1:{host.http_port}/"
    page = subprocess.run(["curl", "-fsS", url], check=True, capture_output=True, text=True).stdout
    assert page == KEPT


@pytest.mark.postgres
def test_postgresql_on_the_hosts_loopback(host: DisposableHost, app: Application) -> None:
    """A control plane's database that only the host can reach is written through SSH, beside its own tables."""
    url = start_database(host)
    before = query(host, url, SCHEMA)
    fab = Fab(app.path, host.ssh_config, url)
    first, second = app.commit("the first"), app.commit("the second")
    for sha in (first, second):
        assert PASSWORD not in fab.ok("-H", host.name, "deploy", f"--sha={sha}").said
    bad = app.break_api()
    failed = fab("-H", host.name, "deploy", f"--sha={bad}")
    assert (failed.code, answer(host)) == (10, second), failed.said
    fab.ok("-H", host.name, "rollback", f"--release={first}")
    rows = query(host, url, "SELECT release_id, commit_sha, status, deployed_at IS NOT NULL FROM releases ORDER BY id")
    assert rows.splitlines() == [
        f"{first}|{first}|rolled_back|t",
        f"{second}|{second}|replaced_by_rollback|t",
        f"{bad}|{bad}|deploy_failed|f",
    ]
    assert query(host, url, SCHEMA) == before
    assert query(host, url, "SELECT * FROM alembic_version") == "9c1a2b3d4e5f"
    assert json.loads(fab.ok("-H", host.name, "registry.get", f"--release={first}").out)["status"] == "rolled_back"
    _assert_no_secret(host)


@pytest.mark.postgres
def test_a_registry_that_is_down_stops_the_deploy(host: DisposableHost, app: Application) -> None:
    """With the database stopped nothing on the host is touched, and the exit code is 60."""
    url = start_database(host)
    host.run("pg_ctlcluster", "15", "registry", "stop")
    ran = Fab(app.path, host.ssh_config, url)("-H", host.name, "deploy", f"--sha={app.commit('the first')}")
    assert (ran.code, list((host.rootfs / "srv/oroboros").iterdir())) == (60, []), ran.said
    assert "nothing was changed" in ran.err and PASSWORD not in ran.err


@pytest.mark.postgres
def test_a_registry_that_dies_midway_is_made_good(host: DisposableHost, app: Application) -> None:
    """The database dies during the deploy: the release is live, exit code 60, the next command writes the record."""
    url = start_database(host)
    first = app.commit("the first", {"scripts/runtime-health-check.sh": WAIT_UNTIL_TOLD})
    fab = Fab(app.path, host.ssh_config, url)
    running = fab.start("-H", host.name, "deploy", f"--sha={first}")
    assert eventually(lambda: host.run("test", "-e", "/tmp/gating", check=False).returncode == 0, 120)
    host.run("systemctl", "stop", "postgresql@15-registry")
    host.run("touch", "/tmp/stopped")
    said, _ = running.communicate(timeout=120)
    assert (running.returncode, answer(host)) == (60, first), said
    host.run("systemctl", "start", "postgresql@15-registry")
    listed = json.loads(fab.ok("-H", host.name, "registry.list").out)
    assert [(row["release_id"], row["status"]) for row in listed] == [(first, "deployed")]


def _states(host: DisposableHost) -> dict[str, str]:
    said = host.run("systemctl", "is-active", *SERVICES, check=False).stdout.split()
    return dict(zip(SERVICES, said, strict=True))


def _assert_no_secret(host: DisposableHost) -> None:
    """The registry's password is nowhere on the host: not in our files, the units, or the journal."""
    places = ("/srv/oroboros", "/run/systemd/transient", "/etc/systemd/system")
    assert host.run("grep", "-rlF", PASSWORD, *places, check=False).stdout == ""
    assert PASSWORD not in host.run("journalctl", "--no-pager", "--quiet").stdout
