"""The configuration on a real host: systemd reads it as we do, a bad one restores itself, and nobody sees a value."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from disposable_host import DisposableHost
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.web.site import site
from tests.host.test_env_file import READ
from tests.support.fab import FAB, Fab
from tests.support.shop import ROOT, SERVE, Shop, current, serving

pytestmark = pytest.mark.host

SECRET = "hunter-two-and-three"
VALUES = ("blue-seen-nowhere-else", "green-seen-nowhere-else")  # of `values`, before a push and after it
API = f'test "$MODE" = good || exit 1; test "$PASSWORD" = {SECRET[:6]}"{SECRET[6:]}" || exit 1; {SERVE}'
STRACE = ("strace", "--follow-forks", "--trace=execve", "--string-limit=200000")
SETTINGS = """\
deploy:
  env:
    file: prod.env
    values: {COLOUR: "blue"}
    secrets: {command: cat ../secrets}
"""


@pytest.fixture
def configured(shop: Shop, host: DisposableHost) -> Shop:
    """The shop, whose services read their environment from the configuration."""
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("deploy:\n", SETTINGS))
    for name in ("api", "mailer"):
        unit = host.rootfs / f"etc/systemd/system/shop-{name}.service"
        unit.write_text(unit.read_text().replace("[Service]\n", f"[Service]\nEnvironmentFile={ROOT}/env\n"))
    host.run("systemctl", "daemon-reload")
    (shop.repository.path.parent / "secrets").write_text(f"PASSWORD={SECRET}\n")
    return shop


def release(shop: Shop, mode: str, api: str = API) -> str:
    (shop.repository.path / "prod.env").write_text(f"MODE={mode}\n")
    return shop.release(api=api, check='test "$MODE" = good && test -n "$PASSWORD"')


def environ(host: DisposableHost, unit: str = "shop-api") -> dict[str, str]:
    """What the process behind a unit has in its environment, asked of the kernel."""
    pid = host.run("systemctl", "show", "--value", "--property=MainPID", unit).stdout.strip()
    pairs = host.run("cat", f"/proc/{pid}/environ").stdout.split("\0")
    found = dict(each.split("=", 1) for each in pairs if each)
    return {name: value for name, value in found.items() if name in ("MODE", "COLOUR", "PASSWORD")}


def test_a_bad_configuration_restores_itself(host: DisposableHost, configured: Shop, fab: Fab) -> None:
    """With the release before comes its configuration: services run with the old values again, after a cut too."""
    good = release(configured, "good")
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    first = {"MODE": "good", "COLOUR": "blue", "PASSWORD": SECRET}
    assert (current(host), environ(host), environ(host, "shop-mailer")) == (good, first, first)

    bad = fab("-H", "prod", "deploy", f"--sha={release(configured, 'bad')}")
    assert (bad.code, current(host), serving(host), environ(host)) == (10, good, good, first), bad.said

    (configured.repository.path.parent / "secrets").write_text("PASSWORD=a-wrong-one\n")
    alone = fab("-H", "prod", "deploy", f"--sha={good}")
    assert (alone.code, current(host), environ(host), environ(host, "shop-mailer")) == (10, good, first, first)
    assert ("a-wrong-one" in alone.said, SECRET in alone.said) == (False, False)

    host.power_cut()
    host.boot()
    host.run("systemctl", "start", "shop-api")
    assert (current(host), environ(host)) == (good, first)


def test_a_push_of_a_bad_configuration_restores_itself(host: DisposableHost, configured: Shop, fab: Fab) -> None:
    """The services of the live release run with the values before again (10), and with new ones when these are good."""
    good = release(configured, "good")
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    secrets = configured.repository.path.parent / "secrets"
    secrets.write_text("PASSWORD=a-wrong-one\n")
    bad = fab("-H", "prod", "env.push")
    assert (bad.code, current(host), serving(host), environ(host)["PASSWORD"]) == (10, good, good, SECRET), bad.said
    assert ("a-wrong-one" in bad.said, "has the configuration from before again" in bad.said) == (False, True)
    secrets.write_text(f"PASSWORD={SECRET}\n")
    settings = configured.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("blue", "green"))
    pushed = fab.ok("-H", "prod", "env.push")
    assert (environ(host)["COLOUR"], environ(host, "shop-mailer")["COLOUR"]) == ("green", "green")
    assert ("today's configuration is live on" in pushed.said, "(~COLOUR)" in pushed.said) == (True, True)
    again = fab.ok("-H", "prod", "env.push")
    assert "today's configuration was in use already on" in again.said


def test_a_push_that_restarted_nothing(host: DisposableHost, configured: Shop, fab: Fab) -> None:
    """The next one restarts what still runs with the values before, although `env` names today's already."""
    good = release(configured, "good")
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    settings = configured.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("blue", "green"))
    fab.ok("-H", "prod", "env.push", "--skip-restart")
    assert environ(host)["COLOUR"] == "blue"
    said = fab.ok("-H", "prod", "env.push").said
    assert (environ(host)["COLOUR"], environ(host, "shop-mailer")["COLOUR"]) == ("green", "green")
    assert "shop-api was not restarted since the configuration" in said
    assert "today's configuration was in use already on" in fab.ok("-H", "prod", "env.push").said


def test_a_rollback_brings_its_configuration_back(host: DisposableHost, configured: Shop, fab: Fab) -> None:
    """The services of the release that is gone back to have the values that it was committed with."""
    good = release(configured, "good", api=SERVE)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    (configured.repository.path.parent / "secrets").write_text("PASSWORD=another-one\n")
    new = release(configured, "good", api=f"true; {SERVE}")
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    assert environ(host)["PASSWORD"] == "another-one"
    fab.ok("-H", "prod", "rollback", f"--release={good}")
    assert (current(host), environ(host)["PASSWORD"]) == (good, SECRET)


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace here to watch what is executed")
def test_nobody_sees_a_value(host: DisposableHost, configured: Shop, fab: Fab, tmp_path: Path) -> None:
    """No command line of any process, no other file, no log, no page and nothing that is told has a value in it."""
    settings = configured.repository.path / "fabric.yaml"
    steps = 'build: {frontend: null, venvs: {}, steps: [{name: tell, command: "echo $PASSWORD"}]}'
    text = settings.read_text().replace("build: {frontend: null, venvs: {}}", steps).replace("blue", VALUES[0])
    settings.write_text(text.replace("    secrets:", "    build: [PASSWORD]\n    secrets:"))
    sha = release(configured, "good")
    said, executed = "", ""
    for number, task in enumerate([("deploy", f"--sha={sha}", "--verbose"), ("env.push",)]):
        trace, near = tmp_path / f"executed{number}", tmp_path / f"here{number}"
        asked = ("-H", "prod", *task, "--json")
        with traced(host, trace):
            ran = subprocess.run(
                [*STRACE, f"--output={near}", str(FAB), "--ssh-config", str(fab.ssh_config), *asked],
                cwd=fab.directory,
                env=fab.environ,
                capture_output=True,
                text=True,
            )
        seen = environ(host)
        assert (ran.returncode, seen["PASSWORD"], seen["COLOUR"]) == (0, SECRET, VALUES[number]), ran.stderr
        said += ran.stdout + ran.stderr
        executed += trace.read_text() + near.read_text()
        both = trace.read_text() + near.read_text()
        assert [name in both for name in ("systemd-run", "bash", "ssh", "cat ../secrets")] == [True] * 4
        settings.write_text(settings.read_text().replace(*VALUES))
    assert "***" in said
    told = said + fab.ok("-H", "prod", "status", "--json").said + host.run("journalctl", "--output=json").stdout
    assert [value for value in (SECRET, *VALUES) if value in executed + told] == []
    for value in (SECRET, *VALUES):
        assert places(host, value, sha) == {f"{ROOT}/.deploy/config"}
    url = f"sqlite:///{tmp_path}/registry.db"
    with Registry.open(url) as registry:  # while it is open, there is a -wal as well
        shown = pages(TestClient(site(lambda: registry.reader), base_url="http://localhost"), sha, host.name)
        here = [path for path in (*tmp_path.glob("registry.db*"), *(tmp_path / "state").rglob("*")) if path.is_file()]
        kept = [path.read_bytes() for path in here]
    assert kept and [value for value in (SECRET, *VALUES) if any(value.encode() in each for each in kept)] == []
    assert ("COLOUR" in shown, [value for value in (SECRET, *VALUES) if value in shown]) == (True, [])


def places(host: DisposableHost, value: str, sha: str) -> set[str]:
    """The directories of files with a value; not the link to those in use, nor the settings as committed."""
    roots = ("/srv", "/var", "/etc", "/home", "/run", "/tmp", "/root")
    found = host.run("grep", "-rls", "--devices=skip", value, *roots, check=False).stdout.splitlines()
    expected = (f"{ROOT}/env", f"{ROOT}/releases/{sha}/fabric.yaml")
    return {str(Path(line).parent) for line in found if not line.startswith(expected)}


def pages(client: TestClient, sha: str, host: str) -> str:
    """All that page and API show of a release, its attempts and its host."""
    found = client.get("/api/attempts").json()["items"]
    paths = ["/", "/figures", "/releases", f"/releases/{sha}", "/hosts", f"/hosts/{host}", "/metrics"]
    paths += ["/api/attempts", "/api/attempts.csv", "/api/events", "/api/hosts", f"/api/hosts/{host}", "/api/releases"]
    paths += [f"{place}/attempts/{each['attempt']}" for each in found for place in ("", "/api")]
    answers = [client.get(path) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return "\n".join(answer.text for answer in answers)


def test_systemd_reads_the_same(host: DisposableHost) -> None:
    """A service gets the values that we read, of every text that this tool reads."""
    for number, text in enumerate(READ):
        (host.rootfs / f"etc/env.{number}").write_bytes(text.encode())
    script = "; ".join(
        f"systemd-run --quiet --wait --pipe --property=EnvironmentFile=/etc/env.{number} env -0; printf '\\1'"
        for number in range(len(READ))
    )
    answers = host.run("sh", "-ec", script).stdout.split("\1")[:-1]
    pairs = [dict(each.split("=", 1) for each in answer.split("\0") if each) for answer in answers]
    found = [{name: value for name, value in each.items() if name in ("A", "B")} for each in pairs]
    assert dict(zip(READ, found, strict=True)) == READ


@contextmanager
def traced(host: DisposableHost, file: Path) -> Iterator[None]:
    """Note what every process of the host executes, and those that they start."""
    watched = [f"--attach={pid}" for pid in below(host.leader)]
    tracer = subprocess.Popen([*STRACE, f"--output={file}", *watched], stderr=subprocess.PIPE)
    try:
        time.sleep(2)
        yield
    finally:
        tracer.terminate()
        tracer.communicate()


def below(pid: int) -> list[int]:
    """A process and all that it started, as this machine numbers them."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(each for child in children for each in below(int(child)))]
