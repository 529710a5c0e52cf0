"""Bare Debian hosts that `setup` makes ready, and the first deploy there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from disposable_host import DisposableHost, ensure_image, free_port, missing

from oroboros_deploy.host.words import sudo_rule
from tests.support.bare import in_terminal, may, reaches_packages, state, sudo_login
from tests.support.fab import FABFILE, Fab
from tests.support.repository import Repository
from tests.support.shop import ROOT, SERVE, UNIT, current, serving
from tests.support.tutorial import Reader, headings

pytestmark = pytest.mark.host
PASSWORD = "only ann knows it"
SETTINGS = """\
deploy:
  root: /srv/shop
  services: [shop-api]
  units: infra
  healthcheck: {command: bash ops/check.sh, timeout: 60, interval: 0.2, stable_for: 0.6}
  build: {frontend: null, venvs: {}, steps: [{name: copy, command: rsync -a ops/ copied/}]}
  shared: {media: dir}
  run_as: {owner: www-data, gate: shop}
"""
USER_SETTINGS = """\
deploy: {root: /srv/shop, scope: user, services: [], build: {frontend: null, venvs: {}}, healthcheck: {command: null}}
"""
RULE = "(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run"
CHECK = 'test "$(id -un)" = shop && test -d copied\n'


@contextmanager
def started(debian: int) -> Iterator[DisposableHost]:
    if lacks := missing():
        pytest.skip(f"a real host needs {', '.join(lacks)}")
    with DisposableHost(f"bare{debian}", ensure_image(debian=debian, bare=True)) as host:
        reaches_packages(host)
        yield host


@pytest.fixture(params=[12, 13])
def debian(request: pytest.FixtureRequest) -> Iterator[DisposableHost]:
    """A host as it comes, of each version of Debian."""
    with started(request.param) as host:
        yield host


@pytest.fixture
def bare() -> Iterator[DisposableHost]:
    with started(12) as host:
        yield host


@pytest.fixture(scope="module")
def shared_bare() -> Iterator[DisposableHost]:
    """A bare host of several tests, each of which leaves it bare for the next."""
    with started(12) as host:
        yield host


def repository(path: Path, host: DisposableHost, settings: str = SETTINGS) -> tuple[Fab, str]:
    """An application with a unit of its own, and its one commit."""
    made = Repository(path / "shop")
    (made.path / "fabfile.py").write_text(FABFILE)
    (made.path / "fabric.yaml").write_text(settings)
    unit = UNIT.format(name="api", root=ROOT) + "[Install]\nWantedBy=multi-user.target\n"
    files = {"infra__shop-api.service": unit, "services__api.sh": f"{SERVE}\n", "ops__check.sh": CHECK}
    sha = made.commit("the first", **files)
    return Fab(made.path, host.ssh_config, f"sqlite:///{path}/registry.db"), sha


def test_from_bare_to_the_first_deploy(tmp_path: Path, debian: DisposableHost) -> None:
    """Dry and unasked it changes nothing; done, the next one finds nothing to do, and a deploy passes its gate."""
    host = debian
    host.run("env", "SUDO_FORCE_REMOVE=yes", "dpkg", "--purge", "sudo")
    fab, sha = repository(tmp_path, host)
    setup, before = ("-H", f"root@{host.name}", "setup", "--login=deploy"), state(host)
    dry, unasked = fab.ok(*setup, "--dry-run"), fab(*setup)
    assert (unasked.code, "no terminal to ask on" in unasked.err, state(host)) == (2, True, before), unasked.said
    for line in ("git python3 sudo rsync\n", sudo_rule("deploy"), "useradd --system"):
        assert line in dry.out and line in unasked.err, dry.said

    assert f"root@{host.name}: ready; 8 actions done\n" in fab.ok(*setup, "--yes").out
    after = state(host)
    assert f"root@{host.name}: ready; nothing to do\n" in fab.ok(*setup).out
    assert (state(host), may(host, "deploy")) == (after, [RULE])
    assert (host.rootfs / "etc/sudoers.d/oroboros-deploy").read_text() == f"{sudo_rule('deploy')}\n"

    fab.ok("-H", host.name, "deploy", f"--sha={sha}")
    assert (current(host), serving(host)) == (sha, sha)
    refused = host.run("sudo", "-n", "cat", "/etc/shadow", user="deploy", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")


def test_with_a_password_of_sudo(tmp_path: Path, bare: DisposableHost) -> None:
    """It is asked for once, and lies nowhere afterwards; a wrong one changes nothing; other rules stay as they are."""
    sudo_login(bare, "ann", PASSWORD)
    other = bare.rootfs / "etc/sudoers.d/others"
    other.write_text("nobody ALL=(root) /usr/bin/true\n")
    fab, sha = repository(tmp_path, bare)
    setup, before = ("-H", f"ann@{bare.name}", "setup"), state(bare)
    asked = fab(*setup, "--yes")
    wrong = in_terminal(fab, *setup, answers=[("password for sudo", "another word")])
    assert (asked.code, wrong.code, state(bare)) == (2, 2, before), asked.said + wrong.said
    assert "sudo did not take the password" in wrong.said

    questions = [("password for sudo", PASSWORD), ("Do all this?", "y")]
    done = in_terminal(fab, *setup, answers=questions)
    assert (done.code, done.said.count("password for sudo"), "ready; " in done.said) == (0, 1, True), done.said
    assert may(bare, "ann") == ["(ALL : ALL) ALL", RULE]
    assert other.read_text() == "nobody ALL=(root) /usr/bin/true\n"
    again = in_terminal(fab, *setup, answers=questions)
    assert (again.code, "nothing to do" in again.said) == (0, True), again.said
    fab.ok("-H", f"ann@{bare.name}", "deploy", f"--sha={sha}")
    assert (current(bare), PASSWORD in done.said) == (sha, False)
    kept = bare.run("grep", "-rlF", PASSWORD, "/etc", "/home", "/root", "/srv", "/tmp", "/var/log", check=False).stdout
    assert (kept, PASSWORD in bare.run("journalctl", "--quiet").stdout) == ("", False)


def test_of_the_scope_user(tmp_path: Path, bare: DisposableHost) -> None:
    """No rule of sudo is made: the login lingers, and has a bus."""
    fab, sha = repository(tmp_path, bare, USER_SETTINGS)
    setup = ("-H", f"root@{bare.name}", "setup", "--login=deploy")
    fab.ok(*setup, "--yes")
    assert "nothing to do" in fab.ok(*setup).out
    rules = bare.run("ls", "/etc/sudoers.d").stdout.split()
    assert (rules, bare.run("ls", "/var/lib/systemd/linger").stdout) == (["README"], "deploy\n")
    fab.ok("-H", bare.name, "deploy", f"--sha={sha}")
    assert current(bare) == sha


def test_what_is_in_the_way_is_left_alone(tmp_path: Path, shared_bare: DisposableHost) -> None:
    """A deploy root of somebody else's is refused with the line that mends it, and nothing at all is done."""
    bare = shared_bare
    fab, _ = repository(tmp_path, bare)
    bare.run("install", "-d", "-o", "nobody", ROOT)
    bare.run("touch", f"{ROOT}/theirs")
    before = state(bare)
    ran = fab("-H", f"root@{bare.name}", "setup", "--login=deploy", "--yes")
    assert (ran.code, state(bare)) == (2, before), ran.said
    assert f"chown deploy {ROOT}" in ran.err
    bare.run("rm", "-r", ROOT)


def test_the_tutorial(tmp_path: Path, shared_bare: DisposableHost) -> None:
    """docs/start.md, typed block by block on a bare host: all that it promises happens, and its page shows it."""
    host, port = shared_bare, free_port()
    reader = Reader(tmp_path, host, port)
    typed = {heading: reader.types(heading) for heading in headings()[1:-1]}
    assert {heading: [ran.returncode for ran in each] for heading, each in typed.items()} == {
        "A repository": [0],
        "The settings": [0, 0],
        "The host": [0, 0],
        "Deploy": [0, 0],
        "The first failure": [0, 0],
        "Go back": [0],
    }, "".join(ran.stdout + ran.stderr for each in typed.values() for ran in each)
    failed, _ = typed["The first failure"]
    assert "exit code 10" in failed.stdout and "RuntimeError: the database is gone" in failed.stdout + failed.stderr
    assert "uid=" in typed["Deploy"][1].stdout and "(shop)" in typed["Deploy"][1].stdout
    first = reader.sha("HEAD~2")
    assert (current(host), reader.asks()) == (first, "Welcome to the shop.\n")
    assert reader.served() == {reader.sha("HEAD"), reader.sha("HEAD~1"), first}
