"""The example application, whole: npm, pip, its units and configuration, Caddy in front, on both kinds of registry."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from application import SERVICES, SOURCE, Application, install_application
from disposable_host import DisposableHost, free_port

from tests.support.fab import Fab
from tests.support.shop import Shop, current, serving
from tests.support.watching import eventually

pytestmark = pytest.mark.host
KEPT = "<title>Ouroboros, kept as committed</title>\n"
PASSWORD = "not-to-be-seen"
API_UNIT = "infra/systemd/ouroboros-api.service"
INSTALLED = "etc/systemd/system/ouroboros-api.service"
UNITS = sorted((SOURCE / "infra/systemd").iterdir())
LIMIT = "UPLOAD_LIMIT=1000000"
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
SCHEMA = "SELECT * FROM information_schema.columns WHERE table_name IN ('releases', 'alembic_version') ORDER BY 3, 4"


def get(host: DisposableHost, path: str) -> str:
    """What the application answers through its front door."""
    url = f"http://127.0.0.1:{host.http_port}/api/{path}"
    return subprocess.run(["curl", "-fsS", "-m", "5", url], check=True, capture_output=True, text=True).stdout


def answer(host: DisposableHost) -> str:
    """The commit that answers through the front door."""
    return str(json.loads(get(host, "health"))["commit"])


def put(host: DisposableHost, name: str, content: str, key: str) -> str:
    """The status that the application answers to a file through its front door."""
    url = f"http://127.0.0.1:{host.http_port}/api/uploads/{name}"
    asked = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "-H", f"Authorization: Bearer {key}"]
    return subprocess.run([*asked, "-d", content, url], check=True, capture_output=True, text=True).stdout


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
    """Deploy, a bad release that restores itself, a rollback: what answers, what runs and what is recorded agree.

    Virtual environments work where they are, also after the next release is live.
    """
    fab = Fab(app.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    first = app.commit("the first")
    fab.ok("-H", host.name, "deploy", f"--sha={first}")
    assert answer(host) == first
    assert_environments_of(host, first)

    second = app.commit("the second")
    fab.ok("-H", host.name, "deploy", "--sha=HEAD")
    assert answer(host) == second
    assert_environments_of(host, second)

    bad = app.break_api()
    failed = fab("-H", host.name, "deploy", f"--sha={bad}")
    assert (failed.code, answer(host)) == (10, second), failed.said
    assert "ouroboros-api" in failed.out

    fab.ok("rollback", f"--release={first}")
    assert answer(host) == first
    assert fab.statuses() == {first: "rolled_back", second: "replaced_by_rollback", bad: "deploy_failed"}
    assert _states(host) == dict.fromkeys(SERVICES, "active")


def assert_environments_of(host: DisposableHost, live: str) -> None:
    """Console scripts name the interpreter of their own release (no 203/EXEC), and import what was installed there."""
    release = host.rootfs / "srv/oroboros/releases" / live
    for project, script in (("backend", "ouroboros-api"), ("worker", "ouroboros-worker")):
        shebang = (release / project / ".venv/bin" / script).read_text().splitlines()[0]
        assert shebang == f"#!/srv/oroboros/releases/{live}/{project}/.venv/bin/python"
    python = "/srv/oroboros/current/worker/.venv/bin/python"
    places = "import ouroboros_backend as b, ouroboros_worker as w; print(b.__file__, w.__file__)"
    for place in host.run(python, "-c", places, user="deploy").stdout.split():
        assert place.startswith("/srv/oroboros/current/worker/.venv/lib/")
    assert (release / "infra/web-main/index.html").is_file()


def test_units_configuration_and_uploads_are_the_release(
    tmp_path: Path, host: DisposableHost, app: Application
) -> None:
    """A unit comes and goes with its commit, a configuration that breaks is taken back, an upload survives all.

    What the timer of the release starts removes the uploads that are too old.
    """
    fab = Fab(app.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    key = fab.environ["UPLOAD_KEY"]
    first = app.commit("the first")
    fab.ok("-H", host.name, "deploy", f"--sha={first}")
    assert [put(host, "note.txt", "a note", word) for word in (key, "another")] == ["201", "401"]
    assert _serves(host) == (first, 4, 1000000, "a note")
    unit, configuration = (host.rootfs / INSTALLED).read_text(), _configuration(host)

    eight = (SOURCE / API_UNIT).read_text().replace("--threads=4", "--threads=8")
    second = app.commit("the second", {API_UNIT: eight})
    assert "units: ~ ouroboros-api.service" in fab.ok("-H", host.name, "deploy", f"--sha={second}").said
    assert _serves(host) == (second, 8, 1000000, "a note")

    settings = app.path / "fabric.yaml"
    good = settings.read_text()
    settings.write_text(good.replace("values: {", 'values: {UPLOAD_LIMIT: "1 MB", '))
    pushed = fab("-H", host.name, "env.push")
    settings.write_text(good)
    broken = (SOURCE / "infra/ouroboros.env").read_text().replace(LIMIT, "UPLOAD_LIMIT=1 MB")
    bad = app.commit("the limit", {API_UNIT: eight, "infra/ouroboros.env": broken})
    failed = fab("-H", host.name, "deploy", f"--sha={bad}")
    for ran in (pushed, failed):
        assert (ran.code, "UPLOAD_LIMIT is not a number of bytes" in ran.said) == (10, True), ran.said
    assert (_serves(host), _configuration(host)) == ((second, 8, 1000000, "a note"), configuration)

    fab.ok("rollback", f"--release={first}")
    assert (_serves(host), (host.rootfs / INSTALLED).read_text()) == ((first, 4, 1000000, "a note"), unit)
    told = host.run("grep", "-rlF", key, "/srv/oroboros", "/etc/systemd/system", "/run/systemd", check=False).stdout
    assert {str(Path(file).parent) for file in told.splitlines()} == {"/srv/oroboros/.deploy/config"}
    the_timer_removes_old_uploads(host, key)


def the_timer_removes_old_uploads(host: DisposableHost, key: str) -> None:
    """It waits for the night, and what it starts removes the files that are older than the configuration says."""
    for name in ("old.txt", "new.txt"):
        assert put(host, name, name, key) == "201"
    host.run("touch", "--date=31 days ago", "/srv/oroboros/shared/uploads/old.txt")
    shown = ("--value", "--property=ActiveState", "--property=UnitFileState", "ouroboros-uploads.timer")
    assert host.run("systemctl", "show", *shown).stdout.split() == ["active", "enabled"]
    host.run("systemctl", "start", "ouroboros-uploads.service")
    assert host.run("ls", "/srv/oroboros/shared/uploads").stdout.split() == ["new.txt", "note.txt"]


def test_units_of_an_administrator_and_the_default_settings(tmp_path: Path, host: DisposableHost) -> None:
    """Without `units`, `env` and `shared`: what was put on the host by hand is restarted, and stays as it is."""
    app = Application(tmp_path / "ouroboros", install_application(host))
    fab = Fab(app.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    units = host.run("sha256sum", *(f"/etc/systemd/system/{path.name}" for path in UNITS)).stdout
    first, second, bad = app.commit("the first"), app.commit("the second"), app.break_api()
    for sha in (first, second):
        fab.ok("-H", host.name, "deploy", f"--sha={sha}")
        assert answer(host) == sha
    failed = fab("-H", host.name, "deploy", f"--sha={bad}")
    assert (failed.code, answer(host)) == (10, second), failed.said
    fab.ok("rollback", f"--release={first}")
    assert (answer(host), _states(host)) == (first, dict.fromkeys(SERVICES, "active"))
    assert fab.statuses() == {first: "rolled_back", second: "replaced_by_rollback", bad: "deploy_failed"}
    assert sorted(os.listdir(host.rootfs / "srv/oroboros")) == [".deploy", "current", "releases", "repo"]
    assert host.run("sha256sum", "--check", stdin=units).stdout.count(": OK") == len(UNITS)


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
def test_a_registry_that_dies_midway_is_made_good(host: DisposableHost, shop: Shop) -> None:
    """The database dies during the deploy: the release is live, exit code 60, the next command writes the record."""
    url = start_database(host)
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("timeout: 5", "timeout: 60"))
    wait = "touch /tmp/gating; for i in $(seq 300); do [ -e /tmp/stopped ] && exit; sleep 0.1; done"
    first = shop.release(check=wait)
    fab = shop.fab(url)
    running = fab.start("-H", host.name, "deploy", f"--sha={first}")
    assert eventually(lambda: host.run("test", "-e", "/tmp/gating", check=False).returncode == 0, 120)
    host.run("systemctl", "stop", "postgresql@15-registry")
    host.run("touch", "/tmp/stopped")
    said, _ = running.communicate(timeout=120)
    assert (running.returncode, current(host), serving(host)) == (60, first, first), said
    host.run("systemctl", "start", "postgresql@15-registry")
    listed = json.loads(fab.ok("-H", host.name, "registry.list").out)
    assert [(row["release_id"], row["status"]) for row in listed] == [(first, "deployed")]


def _serves(host: DisposableHost) -> tuple[str, int, int, str]:
    """The commit, the threads and the limit that the API says it has, and a file that it serves."""
    health = json.loads(get(host, "health"))
    return health["commit"], health["threads"], health["upload_limit"], get(host, "uploads/note.txt")


def _configuration(host: DisposableHost) -> str:
    """The configuration in use, asked of the file system."""
    return os.readlink(host.rootfs / "srv/oroboros/env")


def _states(host: DisposableHost) -> dict[str, str]:
    said = host.run("systemctl", "is-active", *SERVICES, check=False).stdout.split()
    return dict(zip(SERVICES, said, strict=True))


def _assert_no_secret(host: DisposableHost) -> None:
    """The registry's password is nowhere on the host: not in our files, the units, or the journal."""
    places = ("/srv/oroboros", "/run/systemd/transient", "/etc/systemd/system")
    assert host.run("grep", "-rlF", PASSWORD, *places, check=False).stdout == ""
    assert PASSWORD not in host.run("journalctl", "--no-pager", "--quiet").stdout
