"""Users of the host beside the login, on a real host: who runs what, who reads what, and what none of them can do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Shop, current, serving

pytestmark = pytest.mark.host

SECRET = "hunter-two-and-three"
SETTINGS = """\
deploy:
  env:
    values: {MODE: "good"}
    secrets: {command: cat ../secrets}
  shared: {media/uploads: dir}
  run_as: {owner: shop, migrate: shop, gate: watcher, hooks: shop}
  migrate: bash ops/migrate.sh
"""
# Each tries to be more than it is, says whether that failed, and notes who it was.
ATTACK = f"""\
sudo -n true 2>/dev/null && exit 3
/usr/bin/su -c true 2>/dev/null </dev/null && exit 3
cat {ROOT}/.deploy/key 2>/dev/null && exit 4
ls {ROOT}/.deploy {ROOT}/.deploy/config 2>/dev/null && exit 4
grep -q "NoNewPrivs:[[:space:]]*1" /proc/self/status || exit 5
"""
MIGRATE = f"""\
{ATTACK}
(env; id -un; pwd) >{ROOT}/shared/media/uploads/migration
echo told apart >&2
echo 0042
"""
CHECK = f"""\
{ATTACK}
cat {ROOT}/env 2>/dev/null && exit 6
test "$MODE" = good && test -n "$PASSWORD" && (env; id -un; pwd) >/tmp/gate.$DEPLOY_RELEASE
"""
API = f"id -un >{ROOT}/current/media/uploads/api && {SERVE}"


@pytest.fixture
def manned(shop: Shop, host: DisposableHost) -> Shop:
    """The shop, whose services are a user's of their own; a third one watches."""
    for name in ("shop", "watcher"):
        host.run("useradd", "--system", "--user-group", "--home-dir", f"/var/lib/{name}", "--shell", "/bin/sh", name)
    settings = shop.repository.path / "fabric.yaml"
    text = settings.read_text().replace("timeout: 5", "timeout: 15")  # for busy machines
    settings.write_text(text.replace("deploy:\n", SETTINGS))
    for name in ("api", "mailer"):
        unit = host.rootfs / f"etc/systemd/system/shop-{name}.service"
        text = unit.read_text().replace("User=nobody", "User=shop")
        unit.write_text(text.replace("[Service]\n", f"[Service]\nEnvironmentFile={ROOT}/env\n"))
    host.run("systemctl", "daemon-reload")
    (shop.repository.path.parent / "secrets").write_text(f"PASSWORD={SECRET}\n")
    return shop


def release(shop: Shop, api: str = API, check: str = CHECK, migrate: str = MIGRATE) -> str:
    (shop.repository.path / "ops").mkdir(exist_ok=True)
    (shop.repository.path / "ops/migrate.sh").write_text(migrate)
    return shop.release(api=api, check=check)


def read(host: DisposableHost, path: str) -> str:
    return host.run("cat", path).stdout


def test_each_runs_as_its_user(host: DisposableHost, manned: Shop, fab: Fab) -> None:
    """Migration, gate and services are who they should be, in one environment, and become nobody else."""
    sha = release(manned)
    ran = fab.ok("-H", "prod", "deploy", f"--sha={sha}", "--json")
    assert (current(host), serving(host)) == (sha, sha)
    assert read(host, f"{ROOT}/current/media/uploads/api") == "shop\n"
    for path, user in ((f"{ROOT}/shared/media/uploads/migration", "shop"), (f"/tmp/gate.{sha}", "watcher")):
        told = read(host, path)
        *pairs, who, cwd = told.splitlines()
        env = dict(each.split("=", 1) for each in pairs)
        assert (who, cwd) == (user, f"{ROOT}/releases/{sha}")
        own = {name: env.pop(name) for name in ("HOME", "USER", "LOGNAME", "SHELL")}
        assert own == {"HOME": f"/var/lib/{user}", "USER": user, "LOGNAME": user, "SHELL": "/bin/sh"}
        of_bash = ("DEPLOY_VERSION", "PWD", "OLDPWD", "SHLVL", "_", "PATH")
        assert {name: value for name, value in env.items() if name not in of_bash} == {
            "MODE": "good",
            "PASSWORD": SECRET,
            "DEPLOY_RELEASE": sha,
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    assert SECRET not in ran.said
    assert SECRET not in host.run("journalctl", "--output=json").stdout


def test_who_reads_what(host: DisposableHost, manned: Shop, fab: Fab) -> None:
    """Of `.deploy` the owner's group can read the configurations alone, and everybody else nothing at all."""
    first = release(manned)
    fab.ok("-H", "prod", "deploy", f"--sha={first}")
    paths = host.run("find", f"{ROOT}/.deploy", "!", "-type", "l").stdout.splitlines()
    revision = Path(host.run("readlink", f"{ROOT}/env").stdout.strip()).name
    mine = f"{ROOT}/.deploy/config/{revision}"
    assert mine in paths and f"{ROOT}/.deploy/key" in paths
    test = 'while read -r path; do test -r "$path" && echo "$path"; done; :'
    for user, seen in (("shop", [mine]), ("watcher", [])):
        script = f"printf '%s\\n' {' '.join(paths)} | runuser -u {user} -- sh -c '{test}'"
        assert host.run("sh", "-c", script).stdout.splitlines() == seen
    assert read_as(host, "shop", f"{ROOT}/env").endswith(f'PASSWORD="{SECRET}"\n')
    modes = host.run("stat", "-c", "%a %U:%G", f"{ROOT}/.deploy", f"{ROOT}/.deploy/config", mine).stdout.splitlines()
    assert modes == ["711 deploy:deploy", "711 deploy:deploy", "640 deploy:shop"]
    whose = host.run("stat", "-c", "%U:%G", f"{ROOT}/shared", f"{ROOT}/shared/media", f"{ROOT}/shared/media/uploads")
    assert whose.stdout.splitlines() == ["deploy:deploy", "shop:shop", "shop:shop"]

    settings = manned.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("owner: shop", "owner: watcher"))
    second = release(manned, check="true # the same configuration, another owner")
    fab.ok("-H", "prod", "deploy", f"--sha={second}")
    assert host.run("stat", "-c", "%a %U:%G", mine).stdout == "640 deploy:watcher\n"


def test_a_shared_place_with_characters_that_systemd_reads(host: DisposableHost, manned: Shop, fab: Fab) -> None:
    """A directory is made by its own name, whatever systemd would put in the place of `$` and `%`."""
    settings = manned.repository.path / "fabric.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("media/uploads: dir", "media/uploads: dir, 'a$HOME/${b}/50%n': dir"))
    fab.ok("-H", "prod", "deploy", f"--sha={release(manned)}")
    asked = ("find", f"{ROOT}/shared", "-mindepth", "1", "-type", "d", "-printf", "%P %u\\n")
    made = sorted(host.run(*asked).stdout.splitlines())
    names = ["a$HOME", "a$HOME/${b}", "a$HOME/${b}/50%n", "media", "media/uploads"]
    assert made == [f"{name} shop" for name in names]


def test_what_goes_wrong(host: DisposableHost, manned: Shop, fab: Fab) -> None:
    """A missing user, and root by another name, stop everything; a failure is told as ever, and ends all it started."""
    good = release(manned)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    host.run("useradd", "--non-unique", "--uid", "0", "toor")
    settings = manned.repository.path / "fabric.yaml"
    text = settings.read_text()
    for name, said in (("nobody-here", "there is no user nobody-here"), ("toor", "toor is root on this host (uid 0)")):
        settings.write_text(text.replace("gate: watcher", f"gate: {name}"))
        refused = fab("-H", "prod", "deploy", f"--sha={release(manned, check=f'true # {name}')}")
        assert (refused.code, current(host)) == (2, good)
        assert f"run_as.gate: {said}" in refused.said and host.name in refused.said
    settings.write_text(text)

    broken = fab("-H", "prod", "deploy", f"--sha={release(manned, migrate='echo because $PASSWORD >&2; exit 3')}")
    assert (broken.code, current(host)) == (30, good), broken.said
    assert "the migration exited 3" in broken.said and "because ***" in broken.said and SECRET not in broken.said
    final = fab("-H", "prod", "deploy", f"--sha={release(manned, check='exit 78')}")
    assert (final.code, current(host), serving(host)) == (10, good, good)
    assert "the health command exited 78, which no later try changes" in final.said

    hangs = "(sleep 4321 & setsid sleep 4321 & trap '' TERM; sleep 4321)"
    late = fab("-H", "prod", "deploy", f"--sha={release(manned, check=hangs)}")
    assert (late.code, current(host), serving(host)) == (10, good, good)
    assert "the health command did not end within" in late.said
    assert host.run("pgrep", "-f", "sleep 4321", check=False).stdout == ""

    told = fab("-H", "prod", "deploy", f"--sha={release(manned, check=f'mkdir {ROOT}/current/thumbs')}")
    assert told.code == 10 and "name thumbs under `shared` in fabric.yaml" in told.said, told.said
    api = f"mkdir -p {ROOT}/current/uploads/2026 || exit 1; {SERVE}"
    told = fab("-H", "prod", "deploy", f"--sha={release(manned, api=api)}")
    assert told.code == 10 and "name uploads under `shared` in fabric.yaml" in told.said, told.said


def test_a_killed_activation_leaves_no_command(host: DisposableHost, manned: Shop, fab: Fab) -> None:
    """What the activation had started as somebody else ends with it, and the recovery is judged as the user, too."""
    good = release(manned)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    sha = release(manned, migrate="sleep 4321")
    deploy = fab.start("-H", "prod", "deploy", f"--sha={sha}")
    while not host.run("pgrep", "-u", "shop", "-f", "sleep 4321", check=False).stdout:
        time.sleep(0.1)
    host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "oroboros-activate.service")
    deploy.communicate(timeout=60)
    assert (current(host), serving(host)) == (good, good)
    assert host.run("pgrep", "-f", "sleep 4321", check=False).stdout == ""
    assert "oroboros-command" not in host.run("systemctl", "list-units", "--all").stdout


def test_a_rollback_is_judged_as_the_same_user(host: DisposableHost, manned: Shop, fab: Fab) -> None:
    """The release that is gone back to runs its gate as the user that it passed it with, whatever the settings say."""
    good = release(manned, check="test $(id -un) = watcher")
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    settings = manned.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("gate: watcher", "gate: shop"))
    new = release(manned, check="test $(id -un) = shop")
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    record = json.loads(read(host, f"{ROOT}/.deploy/records/{good}"))
    assert record["healthcheck"]["user"] == "watcher"
    fab.ok("-H", "prod", "rollback", f"--release={good}")
    assert (current(host), serving(host)) == (good, good)


def read_as(host: DisposableHost, user: str, path: str) -> str:
    return host.run("cat", path, user=user).stdout
