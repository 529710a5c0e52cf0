"""A build on a booted host, by a login without root: what it can write to, and what it sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.repository import Repository

pytestmark = pytest.mark.host
SETTINGS = """\
deploy:
  services: []
  healthcheck: {command: env | sort >/tmp/gate}
  migrate: env | sort >/tmp/migrate; ! sudo -n systemctl --version
  build:
    frontend: null
    venvs: {}
    steps: [{name: all, path: ., command: sh reach.sh}]
"""
REACH = """\
env | sort >built
root=/srv/oroboros
for path in $root/made $root/current/made $root/.deploy/journal.jsonl $HOME/.bashrc $HOME/.ssh/made $HOME/.cache/made
do (echo x >>$path) 2>/dev/null && echo $path
done >wrote
cat $root/.deploy/format >>wrote 2>/dev/null
ls $root/.deploy >>wrote
ssh -G example.com 2>/dev/null | grep -q "user committed" || echo ssh >>wrote
sudo -n true 2>/dev/null && echo root >>wrote
export XDG_RUNTIME_DIR=/run/user/$(id -u) DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u)/bus
systemd-run --user --quiet --wait touch $HOME/asked && echo systemd >>wrote
systemd-run --user --machine=deploy@.host --quiet --wait touch $HOME/asked && echo machine >>wrote
systemd-run --no-ask-password --quiet --wait touch /etc/asked && echo bus >>wrote
ls -A /tmp >>wrote
env -i setsid sleep 4321 & exit 0
"""


def test_a_build_reaches_its_own_places_alone(tmp_path: Path, host: DisposableHost) -> None:
    """It writes to caches and its release, and ssh works; its environment is that of migration and health command.

    The login's own systemd, which runs what the login asks it to outside of a build, does not for a build.
    """
    repository = Repository(tmp_path / "source")
    sha = repository.commit("one", **{"fabric.yaml": SETTINGS, "reach.sh": REACH})
    (repository.path / "fabfile.py").write_text("from oroboros_deploy.tasks import ns\n")
    (host.rootfs / "etc/environment").write_text('APP_DB="postgresql://u:p@db/x"\n')
    (host.rootfs / "etc/ssh/ssh_config.d/root.conf").write_text("User committed\n")
    (host.rootfs / "home/deploy/.bashrc").write_text("export MINE=1\n")
    host.run("sh", "-ec", "loginctl enable-linger deploy; touch /tmp/somebodys")
    by_systemd = "XDG_RUNTIME_DIR=/run/user/$(id -u) systemd-run --user --quiet --wait touch /tmp/control"
    host.run("sh", "-ec", f"until {by_systemd} 2>/dev/null; do sleep 0.1; done", user="deploy")
    fab = Fab(repository.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    ran = fab.ok("-H", host.name, "deploy", f"--sha={sha}")
    release = host.rootfs / "srv/oroboros/releases" / sha
    assert (release / "wrote").read_text().split() == ["/home/deploy/.cache/made", "tmp", "tools"]
    assert ("no command of a deploy gets: MINE;" in ran.said, "cannot limit what" in ran.said) == (True, False), (
        ran.said
    )
    assert host.run("pgrep", "-f", "sleep 4321", check=False).stdout == ""
    only_a_build_s = ("CI=1", "DEPLOY_BUILD=", "TMPDIR=")
    built = [line for line in (release / "built").read_text().splitlines() if not line.startswith(only_a_build_s)]
    for command in ("migrate", "gate"):
        assert _without_place(host.run("cat", f"/tmp/{command}").stdout) == _without_place("\n".join(built))
    assert {"APP_DB=postgresql://u:p@db/x", "HOME=/home/deploy", f"DEPLOY_VERSION={sha[:10]}"} <= set(built)


KINDS = ("build", "migrate", "healthcheck")
ASKING = """\
deploy:
  privileged: [KINDS]
  services: []
  healthcheck: {command: sh ask.sh healthcheck}
  migrate: sh ask.sh migrate
  build: {frontend: null, venvs: {}, steps: [{name: ask, path: ., command: sh ask.sh build}]}
"""
ASK = """\
echo $1 >>/var/tmp/asked
sudo -n systemctl --version >/dev/null 2>&1 && sudo -n systemd-run --quiet --wait sh -c "echo $1 >>/root/became"
exit 0
"""


def test_what_becomes_root(tmp_path: Path, host: DisposableHost) -> None:
    """Build, migration and health command cannot, by the rules of sudo that the login has; each can that is named."""
    repository = Repository(tmp_path / "source")
    (repository.path / "fabfile.py").write_text("from oroboros_deploy.tasks import ns\n")
    fab = Fab(repository.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    for kind in ("", *KINDS):
        settings = ASKING.replace("KINDS", kind)
        sha = repository.commit(f"only {kind}", **{"fabric.yaml": settings, "ask.sh": ASK, "kind": kind})
        host.run("sh", "-ec", "rm -f /root/became /var/tmp/asked; touch /root/became")
        fab.ok("-H", host.name, "deploy", f"--sha={sha}")
        assert host.run("cat", "/root/became").stdout.split() == [kind] * bool(kind)
    assert f"{KINDS[-1]} may become root: `privileged` says so" in fab("-H", host.name, "doctor").said


def _without_place(text: str) -> list[str]:
    """Without the directory, and how deep in shells it is."""
    return [line for line in text.splitlines() if not line.startswith(("PWD=", "OLDPWD=", "SHLVL=", "_="))]


LEAVING = """\
deploy:
  services: []
  healthcheck: {command: "true"}
  build: {frontend: null, venvs: {}}
"""
# Of a user who has a directory in there: a directory and a link out of it change places, while root removes it.
ATTACK = """\
import contextlib, glob, os
while True:
    for place in glob.glob("/srv/oroboros/releases/*/theirs") + glob.glob("/srv/oroboros/releases/.*/theirs"):
        with contextlib.suppress(OSError):
            os.makedirs(f"{place}/a/deep", exist_ok=True)
            os.symlink("/var/victim", f"{place}/b")
            for old, new in ("ac", "ba", "ab", "ca"):
                os.rename(f"{place}/{old}", f"{place}/{new}")
            os.unlink(f"{place}/b")
"""


def test_what_others_left_is_removed_as_root(tmp_path: Path, host: DisposableHost) -> None:
    """Where sudo does not allow it, it is told with the line to type; where it does, nothing elsewhere is removed."""
    repository = Repository(tmp_path / "source")
    (repository.path / "fabfile.py").write_text("from oroboros_deploy.tasks import ns\n")
    fab = Fab(repository.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    shas = [repository.commit(name, **{"fabric.yaml": LEAVING, "name": name}) for name in ("one", "two", "three")]
    for sha in shas:
        fab.ok("-H", host.name, "deploy", f"--sha={sha}")
    releases = "/srv/oroboros/releases"
    host.run("sh", "-ec", "mkdir -p /var/victim/deep/er; touch /var/victim/file; mv /etc/sudoers.d /etc/no-rules")
    host.run(
        "sh", "-ec", f"cd {releases}/{shas[0]}; mkdir -p out theirs/many; ln -s /var/victim out/link; touch out/file"
    )
    host.run("sh", "-ec", f"cd {releases}/{shas[0]}/theirs/many; seq 3000 | xargs touch; chown -R nobody ..")
    told = " ".join(fab.ok("-H", host.name, "prune", "--keep=2").said.split())
    [aside] = [name for name in host.run("ls", "-A", releases).stdout.split() if name.startswith(".")]
    assert f"(on the host, as root: rm -rf --one-file-system -- {releases}/{aside})" in told
    (host.rootfs / "var/tmp/attack.py").write_text(ATTACK)
    host.run("sh", "-ec", "mv /etc/no-rules /etc/sudoers.d")
    host.run("systemd-run", "--quiet", "--uid=nobody", "--unit=attack", "python3", "/var/tmp/attack.py")
    fab.ok("-H", host.name, "prune", "--keep=2")
    host.run("systemctl", "stop", "attack")
    assert sorted(host.run("ls", "-A", releases).stdout.split()) == sorted(shas[1:])
    victim = ["/var/victim", "/var/victim/deep", "/var/victim/deep/er", "/var/victim/file"]
    assert sorted(host.run("find", "/var/victim").stdout.split()) == victim
