"""The Debian image that disposable hosts boot from: built once, cached, then only read."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import needs

Say = Callable[[str], object]

SUITES = {12: "bookworm", 13: "trixie"}
BASE = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,openssh-server,sudo,ca-certificates,iproute2"
PACKAGES = "python3 python3-venv python3-pip git curl caddy nodejs npm postgresql"
POLKIT = "/var/cache/polkit"  # its packages lie here and are not installed: a test does that

# Installing a daemon must not start it, unpacking need not survive a power cut, and nobody reads a manual in there.
PREPARE = """\
printf '#!/bin/sh\\nexit 101\\n' > "$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d"
for option in force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*'; do
    echo "$option" >> "$1/etc/dpkg/dpkg.cfg.d/image"
done
"""
INSTALL = f"""\
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends {PACKAGES}
apt-get clean
install --directory {POLKIT}/partial
apt-get install --yes --no-install-recommends --download-only --option Dir::Cache::Archives={POLKIT} polkitd
"""
# Hosts share the machine's network, so nothing may listen on a port of its own choice.
QUIET = """\
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \\
    logrotate.timer getty@tty1.service console-getty.service systemd-pstore.service
"""
CLEAN = "rm -f /etc/ssh/ssh_host_* /etc/machine-id /usr/sbin/policy-rc.d /etc/dpkg/dpkg.cfg.d/image\n"
SETTLE = f"""\
systemctl disable caddy postgresql e2scrub_reap
{QUIET}useradd --uid 1000 --create-home --shell /bin/bash deploy
install --directory --owner=deploy --group=deploy /srv/oroboros
install --directory --mode=700 /root/.ssh
install --directory --mode=700 --owner=deploy --group=deploy /home/deploy/.ssh
echo 'deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run' > /etc/sudoers.d/deploy
chmod 440 /etc/sudoers.d/deploy
{CLEAN}"""
# A host as it comes: root, who logs in by key, and neither the packages nor the login of the deploys.
BARE = f"""\
dpkg --purge dbus-user-session
install --directory --mode=700 /root/.ssh
{QUIET}{CLEAN}"""

NSPAWN = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no", "--link-journal=no"]
NSPAWN += ["--resolv-conf=replace-host"]


class HostError(Exception):
    """A disposable host or its image could not be made; the message ends with the log's last lines."""


def missing() -> list[str]:
    """Say what this machine lacks for booting disposable hosts, one line each; empty when it can."""
    return needs.for_booting().lacks


def cache_directory() -> Path:
    """Where the image and the running hosts are kept: $OROBOROS_CACHE, or /var/cache/oroboros_deploy."""
    return Path(os.environ.get("OROBOROS_CACHE", "/var/cache/oroboros_deploy")).absolute()


def image_path(debian: int = 12, *, bare: bool = False) -> Path:
    """Where the image of this recipe is, or will be."""
    recipe = "\n".join((SUITES[debian], BASE, PREPARE, *((BARE,) if bare else (INSTALL, SETTLE))))
    return cache_directory() / f"debian-{debian}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure_image(say: Say = print, debian: int = 12, *, bare: bool = False) -> Path:
    """Return the image's directory, building it first if it is not there (1 to 2 minutes).

    A ``bare`` one has root alone, and none of the packages.  Raises HostError when a build step fails.
    """
    image = image_path(debian, bare=bare)
    with locked(cache_directory() / "image.lock"):
        if not image.is_dir():
            _build(image, SUITES[debian], say, bare=bare)
    return image


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock ``path``, waiting for whoever has it; it goes with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(image: Path, suite: str, say: Say, *, bare: bool) -> None:
    partial = image.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # a build that was killed
    say(f"building the host image {image} (once)")
    try:
        _step("base system", ["debootstrap", "--variant=minbase", f"--include={BASE}", suite, str(partial)], say)
        _step("quiet package manager", ["sh", "-ec", PREPARE, "sh", str(partial)], say)
        if not bare:
            _step("packages", _inside(partial, INSTALL), say)
        _step("users and settings", _inside(partial, BARE if bare else SETTLE), say)
        partial.rename(image)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _inside(root: Path, script: str) -> list[str]:
    return [*NSPAWN, f"--directory={root}", "--pipe", "sh", "-ec", script]


def _step(title: str, command: list[str], say: Say) -> None:
    started = time.monotonic()
    log = cache_directory() / "image.log"
    # Namespaces of its own, and no life without us: whatever it mounts or starts is gone when it or we are.
    alone = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with log.open("w") as output:
        process = subprocess.Popen([*alone, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _wait(process, title, started, say)
    if process.returncode:
        raise HostError(f"the host image could not be built: {title} failed\n{tail(log)}")


def _wait(process: subprocess.Popen[bytes], title: str, started: float, say: Say) -> None:
    try:
        while process.poll() is None:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                say(f"  {title} … {time.monotonic() - started:.0f} s")
        say(f"  {title}: {time.monotonic() - started:.1f} s")
    finally:
        process.kill()
        process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
