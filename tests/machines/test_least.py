"""Least privilege on a booted host: deploys go as they go with the rules of sudo, and nobody becomes root by them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disposable_host import DisposableHost, ensure_image

from tests.support.at_a_terminal import Terminal
from tests.support.fab import FABFILE, Fab
from tests.support.repository import Repository
from tests.support.rights import require_hosts
from tests.support.shop import ROOT, SERVE, current, serving, systemctl

pytestmark = pytest.mark.host

SETTINGS = """\
deploy:
  root: /srv/shop
  services: [shop-api, shop-worker@1]
  units: infra
  healthcheck: {{command: bash ops/check.sh, timeout: 20, interval: 0.2, stable_for: 0.6}}
  build: {{frontend: null, venvs: {{}}}}
  migrate: id -un >media/migrated
  shared: {{media: dir}}
  env: {{values: {{COLOUR: blue}}, secrets: {{names: [TOKEN]}}}}
  run_as: {{owner: shop, migrate: shop, gate: shop}}
  environments:
    prod: {{hosts: [{host}]}}
"""
UNIT = """\
[Unit]
Description=Shop \\
  {name}
After=network.target

[Service]
Type=exec
User=@user@
EnvironmentFile=@root@/env
RuntimeDirectory=shop
RuntimeDirectoryPreserve=yes
WorkingDirectory=@root@/current/services
ExecStart=/bin/sh {name}.sh
Restart=always
RestartSec=100ms

[Install]
WantedBy=multi-user.target
"""
UNITS = {"shop-api.service": UNIT.format(name="api"), "shop-worker@.service": UNIT.format(name="worker")}
HELPER = "/usr/local/sbin/oroboros-helper"
ASK = f"sudo -n {HELPER} shop"
COMMAND = "oroboros-command-shop:a1-1-1.service"
REVISION = "0123456789abcdef"  # of no configuration
LIST = "/etc/oroboros_deploy/shop.json"
TOKEN = "a-token-of-the-shop"
CANARY = "/root/canary"


class Shop:
    """A repository, and the one host that it is deployed to with least privilege; ``before`` is a release of before."""

    before = ""

    def __init__(self, path: Path, host: DisposableHost) -> None:
        self.host, self.repository = host, Repository(path / "shop")
        (self.repository.path / "fabfile.py").write_text(FABFILE)
        (self.repository.path / "fabric.yaml").write_text(SETTINGS.format(host=host.name))
        self.fab = Fab(self.repository.path, host.ssh_config, f"sqlite:///{path}/registry.db")
        self.fab.environ["TOKEN"] = TOKEN

    def release(self, check: str = "true", **units: str) -> str:
        """Commit a release with these units beside its own."""
        files = {f"infra__{name}": text for name, text in {**UNITS, **units}.items()}
        scripts = {"services__api.sh": f"{SERVE}\n", "services__worker.sh": f"{SERVE}\n"}
        return self.repository.commit("a release", **files, **scripts, **{"ops__check.sh": f"{check}\n"})

    def environment(self, unit: str = "shop-api") -> str:
        """What a service runs with, asked of the kernel."""
        pid = systemctl(self.host, "show", "--value", "--property=MainPID", unit)
        return self.host.run("cat", f"/proc/{pid}/environ", check=False).stdout  # it may be about to be another one

    def asked(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        """What the helper says to the login."""
        ran = self.host.run("sudo", "-n", HELPER, *arguments, user="deploy", check=False, stdin=stdin)
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture(scope="module", params=[12])
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A host of this Debian that was deployed to by the two rules of sudo, and has least privilege since then."""
    require_hosts()
    with DisposableHost("least", ensure_image(debian=request.param)) as host:
        shop = Shop(tmp_path_factory.mktemp("least"), host)
        host.run("useradd", "--system", "--user-group", "shop")
        host.run("install", "-d", "-o", "deploy", ROOT)
        host.run("install", "-d", "-o", "shop", "-g", "shop", f"{ROOT}/shared/media")
        host.run("chown", "deploy", f"{ROOT}/shared")
        shop.fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
        setup = ("-H", f"root@{host.name}", "setup", "--login=deploy", "--least-privilege", "--yes")
        ran = shop.fab(*setup)
        assert (ran.code, "by a rule of yours" in ran.said) == (2, True), ran.said
        host.run("rm", "/etc/sudoers.d/deploy")
        shop.fab.ok(*setup)
        assert "nothing to do" in shop.fab.ok(*setup).said
        (host.rootfs / CANARY[1:]).write_text("root's\n")
        shop.before = str(current(host))
        shop.fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
        yield shop


def test_the_good_path(shop: Shop) -> None:
    """Doctor, deploy, a failed gate, rollback, logs, prune and a power cut go as ever, by the one rule of sudo."""
    host, fab, first = shop.host, shop.fab, current(shop.host)
    rules = [line.strip() for line in host.run("sudo", "-l", "-U", "deploy").stdout.splitlines() if "NOPASSWD" in line]
    assert rules == [f"(root) NOPASSWD: {HELPER}"]
    assert (serving(host), serving(host, "shop-worker@1")) == (first, first)
    assert "COLOUR=blue" in shop.environment() and TOKEN in shop.environment()
    assert (host.rootfs / "srv/shop/shared/media/migrated").read_text() == "shop\n"

    said = fab("-H", "prod", "doctor")
    assert (said.code, "!" in said.out) == (0, False), said.said

    again = systemctl(host, "show", "--value", "--property=MainPID", "shop-api")
    second = shop.release(**{"shop-api.service.d__slow.conf": "[Service]\nRestartSec=300ms\n"})
    fab.ok("-H", "prod", "deploy", f"--sha={second}")
    assert (serving(host), systemctl(host, "show", "--value", "--property=RestartUSec", "shop-api")) == (
        second,
        "300ms",
    )
    assert systemctl(host, "show", "--value", "--property=MainPID", "shop-api") != again

    failed = fab("-H", "prod", "deploy", f"--sha={shop.release(check='exit 78')}")
    assert (failed.code, current(host), serving(host)) == (10, second, second), failed.said
    fab.ok("-H", "prod", "rollback", f"--release={shop.before}")
    assert (serving(host), "COLOUR=blue" in shop.environment()) == (shop.before, True)
    fab.ok("-H", "prod", "rollback", f"--release={first}")
    assert (serving(host), systemctl(host, "show", "--value", "--property=RestartUSec", "shop-api")) == (first, "100ms")
    assert "Started shop-api" in fab.ok("-H", "prod", "logs").said
    fab.ok("-H", "prod", "restart")
    assert "shop" in fab.ok("-H", "prod", "run", "id -un").said
    console = Terminal(fab, "-H", host.name, "console")
    console.type("echo =$(id -un):$(stty size)=; grep NoNewPrivs /proc/self/status; exit 9\r")
    assert (console.exit_code(), "=shop:30 100=" in console.seen) == (9, True), console.seen
    assert "NoNewPrivs:\t1" in console.seen, console.seen
    assert "other users" not in fab.ok("-H", "prod", "prune", "--keep=2").said


def test_what_the_settings_name_later(shop: Shop) -> None:
    """A service that root did not list is refused before the build, with the command; so is another application."""
    host, fab = shop.host, shop.fab
    settings, before = shop.repository.path / "fabric.yaml", current(host)
    written, sha = settings.read_text(), shop.release()
    again = "-H root@least setup --login=deploy --least-privilege"
    try:
        settings.write_text(written.replace("[shop-api,", "[shop-api, cron,"))
        for words in (("deploy", f"--sha={sha}"), ("plan", f"--sha={sha}"), ("doctor",)):
            ran = fab("-H", "prod", *words)
            assert (ran.code, "the service cron.service: not in the list" in ran.said) == (2, True), ran.said
            assert again in ran.said.replace(" --environment=prod", ""), ran.said
        settings.write_text(written.replace("/srv/shop", "/srv/more"))
        host.run("install", "-d", "-o", "deploy", "/srv/more")
        ran = fab("-H", "prod", "deploy", f"--sha={sha}")
        assert (ran.code, "names this deploy root" in ran.said) == (2, True), ran.said
        assert again in ran.said.replace(" --environment=prod", "") and "sudoers" not in ran.said, ran.said
    finally:
        settings.write_text(written)
    assert (current(host), host.run("ls", f"{ROOT}/releases", check=False).stdout.count(sha)) == (before, 0)


def test_the_power_fails(shop: Shop) -> None:
    """The boot unit that `setup` installed goes back, the units and what the services read with it."""
    host, fab, good = shop.host, shop.fab, current(shop.host)
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("COLOUR: blue", "COLOUR: red"))
    bad = shop.release("sleep 60", **{"shop-new.service": UNIT.format(name="worker")})
    deploy = fab.start("-H", "prod", "deploy", f"--sha={bad}")
    until(lambda: current(host) == bad and "COLOUR=red" in shop.environment())
    host.power_cut()
    deploy.kill()
    deploy.communicate()
    host.boot()
    until(lambda: serving(host) == good and "COLOUR=blue" in shop.environment())
    assert (current(host), (host.rootfs / "etc/systemd/system/shop-new.service").exists()) == (good, False)
    settings.write_text(settings.read_text().replace("COLOUR: red", "COLOUR: blue"))
    shop.repository.git("rm", "-q", "infra/shop-new.service")


LINES = [
    "sudo -n systemd-run --pipe cp /etc/shadow /tmp/owned",
    "sudo -n systemctl restart ssh.service",
    f"sudo -n sh -c 'echo owned >{CANARY}'",
    f"echo '#!/bin/sh' >{HELPER}",
    f"cp /bin/sh {HELPER}.new && mv {HELPER}.new {HELPER}",
    f"echo '{{}}' >{LIST}",
    f"mv {LIST} /tmp/list",
    "echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deploy",
    f"sudo -n {HELPER}2 shop ask",
    f"sudo -n -u shop {HELPER} shop ask",
    f"sudo -n {HELPER} ../../var/evil/list ask",
    f"sudo -n {HELPER} other ask",
    f"{ASK} restart -- other.service",
    f"{ASK} stop -- ssh.service",
    f"{ASK} restart -- 'shop-*'",
    f"{ASK} restart -- 'shop-api.service\n--root=/var/evil'",
    f"{ASK} restart -- shop-root.service",
    f"{ASK} restart -- 'shop@../../var/evil/x.service'",
    f"{ASK} restart --root=/var/evil -- shop-api.service",
    f"{ASK} status --property=x -- shop-api.service",
    f"echo 'import os; os.system(\"id >/tmp/owned\")' | {ASK} run-as root {COMMAND} 5",
    f"echo pass | {ASK} run-as shop ssh.service 5",
    f"{ASK} activate ssh.service /usr/bin/python3 {ROOT}/evil.py a1 5 5",
    f'{ASK} activate oroboros-activate.service /usr/bin/python3 {ROOT}/evil.py "a1\'; +x" 5 5',
    f"ln -s /root {ROOT}/shared/x; {ASK} own-config shared shop x",
    f"ln -s {CANARY} {ROOT}/.deploy/config/{REVISION}; {ASK} own-config config shop {REVISION}",
    f"{ASK} own-config config shop ../../../../root/canary",
    f"mv {ROOT}/.deploy/config {ROOT}/.deploy/away && ln -s /root {ROOT}/.deploy/config && "
    f"{ASK} own-config config shop canary",
    f"rm {ROOT}/env; ln -s /root/secrets {ROOT}/env; {ASK} own-config env",
    f"rm {ROOT}/env; ln -s .deploy/config/{REVISION} {ROOT}/env; {ASK} restart -- shop-api.service",
]
STARTS = [
    "cd /var/evil && sudo -n {helper} shop ask",
    "PYTHONPATH=/var/evil PYTHONHOME=/var/evil PYTHONSTARTUP=/var/evil/json.py sudo -n {helper} shop ask",
    "LD_PRELOAD=/var/evil/x.so LD_LIBRARY_PATH=/var/evil sudo -n {helper} shop ask",
    "PATH=/var/evil:$PATH HOME=/var/evil sudo -n {helper} shop is-system-running",
]
BAD = {
    "shop-evil.service": UNIT.format(name="api").replace("User=@user@", "User=root"),
    "shop-none.service": UNIT.format(name="api").replace("User=@user@\n", ""),
    "shop-plus.service": UNIT.format(name="api") + "[Service]\nExecStartPre=+/bin/cp /etc/shadow /tmp/owned\n",
    "shop-line.service": UNIT.format(name="api") + "[Service]\nEnvironment=A \\\n# b\nUser=root\n",
    "shop-api.service.d/evil.conf": "[Service]\nUser=\n",
    "shop-evil.socket": "[Socket]\nListenStream=22\nExecStartPre=/bin/cp /etc/shadow /tmp/owned\n",
    "shop-api.socket": "[Unit]\nAfter=ssh.service\n[Socket]\nListenStream=9000\n",
    "shop-evil.path": "[Path]\nPathExists=/etc/passwd\nUnit=ssh.service\n",
    "shop-evil.timer": "[Timer]\nOnActiveSec=1\nUnit=reboot.target\n",
}
PLAIN = UNIT.format(name="api").replace("@root@/env", "-/etc/default/shop").replace("@root@", ROOT)
SLOW = "[Service]\nRestartSec=1\n"
PUT: list[tuple[dict[str, object], str]] = [
    ({"files": {f"shop-api.service.d/../../../..{CANARY}": None}}, "none of the units"),
    (
        {"files": {"shop-api.service.d/../../../sudoers.d/deploy": "deploy ALL=(ALL) NOPASSWD: ALL\n"}},
        "none of the units",
    ),
    ({"links": {f"multi-user.target.wants/../../../..{CANARY}": None}}, "may make or take away"),
    (
        {"files": {"shop-packaged@7.service": PLAIN, "shop-packaged@7.service.d/x.conf": SLOW}},
        "where no deploy installs units",
    ),
    (
        {"files": {"shop-packaged@7.service.d/x.conf": SLOW}, "start": ["shop-packaged@7.service"]},
        "where no deploy installs units",
    ),
    ({"files": {"shop-worker@1.service.d/x.conf": SLOW, "shop-worker@.service": None}}, "has drop-ins"),
    ({"start": ["shop-packaged@7.service"]}, "where no deploy installs units"),
    ({"links": {"shop-new.service": "shop-packaged@7.service"}}, "may make or take away"),
    ({"links": {"shop-new.service": "shop-none.service"}}, "may make or take away"),
    ({"links": {"shop-new.service": "../shop-api.service"}}, "may make or take away"),
    ({"links": {"shop-masked.service": None}}, "may make or take away"),
    ({"links": {"shop-link.service": None}}, "may make or take away"),
    ({"start": ["shop-link.service"]}, "is a link that leads to no file of a unit of"),
    (
        {"files": {"shop-pull.service": f"{PLAIN}[Unit]\nUpholds=multi-user.target\n"}},
        "Upholds=multi-user.target is not",
    ),
    ({"files": {"shop-name.service": f"{PLAIN}Alias=ssh.service\n"}}, "Alias=ssh.service is not for"),
]


@pytest.mark.parametrize("shop", [12, 13], indirect=True)
def test_nobody_becomes_root(shop: Shop) -> None:
    """By the key of the login, what it can write, and a repository's units: all is refused, and root's is as it was."""
    host, good = shop.host, current(shop.host)
    whole = f"[Service]\nExecStart=/bin/sh -c 'id -u >{CANARY}.ran; exec sleep infinity'\n"
    for name in ("other", "shop-root"):
        (host.rootfs / f"etc/systemd/system/{name}.service").write_text(whole)
    (host.rootfs / "root/secrets").write_text("PASSWORD=of-root\n")
    evil = host.rootfs / "var/evil"
    evil.mkdir()
    for name in ("json.py", "systemctl"):
        (evil / name).write_text("#!/bin/sh\nopen = id >/tmp/owned\n")
        (evil / name).chmod(0o755)
    (host.rootfs / ROOT[1:] / "evil.py").write_text("import os\nopen('/srv/shop/ran', 'w').write(str(os.getuid()))\n")
    host.run("chmod", "-R", "a+rX", "/var/evil", f"{ROOT}/evil.py")
    host.run("cp", "-a", f"{ROOT}/.deploy/config", "/tmp/kept", user="deploy")
    env, before = host.run("readlink", f"{ROOT}/env").stdout.strip(), state(host)

    for line in LINES:
        ran = host.run("bash", "-c", line, user="deploy", check=False)
        assert (ran.returncode != 0, state(host)) == (True, before), f"{line}: {ran.stdout}{ran.stderr}"
        mended = f"cd {ROOT} && rm -rf .deploy/config shared/x && cp -a /tmp/kept .deploy/config && ln -sfn {env} env"
        host.run("bash", "-c", mended, user="deploy")
    for line in STARTS:
        ran = host.run("bash", "-c", line.format(helper=HELPER), user="deploy", check=False)
        assert (ran.stdout in ("ready\n", "running\n", "degraded\n"), state(host)) == (True, before), line + ran.stderr

    for path, text in BAD.items():
        files = {"files": {path: text.replace("@user@", "shop").replace("@root@", ROOT)}, "links": {}}
        status, said = shop.asked("shop", "put", "5", stdin=json.dumps(files))
        assert (status, path.partition(".d/")[0] in said, state(host)) == (1, True, before), said
    for link in ("shop.service", "ssh.service", "reboot.target.wants/shop-api.service", "../../x"):
        links = {link: "/srv/shop/evil"}
        status, said = shop.asked("shop", "put", "5", stdin=json.dumps({"files": {}, "links": links}))
        assert (status, "may make or take away" in said, state(host)) == (1, True, before), said

    packaged = "etc/systemd/system/shop-link.service", "usr/lib/systemd/system/shop-packaged@.service"
    (host.rootfs / packaged[1]).write_text(whole)
    (host.rootfs / packaged[0]).symlink_to("/srv/shop/link.service")
    (host.rootfs / "etc/systemd/system/shop-masked.service").symlink_to("/dev/null")
    with_links = state(host)
    for asked, why in PUT:
        status, said = shop.asked("shop", "put", "5", stdin=json.dumps(asked).replace("@user@", "shop"))
        assert (status, why in said, state(host)) == (1, True, with_links), f"{asked}: {said}"
    for name in (*packaged, "etc/systemd/system/shop-masked.service"):
        (host.rootfs / name).unlink()

    ran = shop.fab("-H", "prod", "deploy", f"--sha={shop.release(**BAD)}")
    told = [path for path in BAD if path.partition(".d/")[0] not in ran.said]
    assert (ran.code in (2, 30), told, current(host), serving(host), state(host)) == (True, [], good, good, before), (
        ran.said
    )

    activate = f"activate oroboros-activate.service /usr/bin/python3 {ROOT}/evil.py a1 5 5"
    assert shop.asked("shop", *activate.split())[0] == 0
    until(lambda: (host.rootfs / "srv/shop/ran").exists() and (host.rootfs / "srv/shop/ran").read_text() != "")
    assert (host.rootfs / "srv/shop/ran").read_text() == host.run("id", "-u", "deploy").stdout.strip()
    program = "import os, subprocess\nprint(os.getuid(), subprocess.call(['sudo', '-n', 'true']))\n"
    status, said = shop.asked("shop", "run-as", "shop", COMMAND, "9", stdin=program)
    nobody = f"{host.run('id', '-u', 'shop').stdout.strip()} 1\n"
    assert (status, nobody in said, state(host)) == (0, True, before), said


def state(host: DisposableHost) -> str:
    """What is root's: the canary, the helper and its list, rules, users, units, and who runs the other application."""
    looked = f"sha256sum {CANARY} {HELPER} {LIST} /etc/sudoers.d/* /etc/passwd /etc/shadow /etc/oroboros_deploy/env/*"
    places = "/etc/systemd/system /etc/sudoers.d /etc/oroboros_deploy /root"
    units = f"find {places} ! -type d -printf '%p %l %U %G %m\\n' | sort"
    pids = (
        "systemctl show --property=MainPID ssh.service other.service shop-root.service; ls /tmp/owned /root/canary.ran"
    )
    return host.run("bash", "-c", f"{looked}; {units}; {pids} 2>&1", check=False).stdout


def until(holds: Callable[[], bool]) -> None:
    """Wait for what comes about by itself."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
