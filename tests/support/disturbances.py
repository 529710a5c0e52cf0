"""What somebody else does to a real host, and how releases of every kind come to be there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from disposable_host import DisposableHost

from tests.support.configured import GUARD
from tests.support.shop import ROOT, SERVE, Scope, systemctl
from tests.support.user_shop import UNITS as LOGINS_UNITS

STORE = "/srv/store"
META = "commit_sha={sha}\nbuilt_at_utc=2026-01-01T00:00:00Z\nbuild_host=elsewhere\n"
_JOURNALD = ("systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket")
# `env` names another configuration than before, where there is one.
_MOVE_ENV = f"""
for each in $(ls -t {ROOT}/.deploy/config); do
  test .deploy/config/$each = $(readlink {ROOT}/env) || {{ ln -sfn .deploy/config/$each {ROOT}/env; exit; }}
done
"""

# What the mailer does, which runs as root where the system's manager runs it.
MAILERS = {
    "bytecode": f"python3 -O -c 'import letters'; {SERVE}",
    "foreign": f"mkdir -m 700 -p inbox; touch inbox/one; {SERVE}",
}
LINKS = f"ln {STORE}/lib.txt lib.txt || cp {STORE}/lib.txt lib.txt"  # a store on another filesystem is copied from


def files(api: str, check: str, made: str) -> dict[str, str]:
    """What is committed for a release that is made like this; names as `Repository.commit` takes them."""
    return {
        "services__api.sh": GUARD + api + "\n",
        "services__mailer.sh": MAILERS.get(made, SERVE) + "\n",
        "services__letters.py": "WRITTEN = True\n",
        "ops__check.sh": check + "\n",
        "ops__build.sh": (LINKS if made == "linked" else "true") + "\n",
    }


def arrange(host: DisposableHost, scope: Scope) -> None:
    """No unit is there, for releases bring them; and there is a store to link from."""
    if scope == "user":
        systemctl(host, "disable", "shop-api", "shop-mailer", scope=scope)
    for name in ("api", "mailer"):
        (units_of(host, scope) / f"shop-{name}.service").unlink()
    systemctl(host, "daemon-reload", scope=scope)
    host.run("install", "--directory", "--owner=deploy", STORE)
    host.run("sh", "-c", f"echo library >{STORE}/lib.txt", user="deploy")


def units_of(host: DisposableHost, scope: Scope) -> Path:
    """The directory of units of the shop's service manager."""
    return host.rootfs / ("etc/systemd/system" if scope == "system" else LOGINS_UNITS)


def adopt(host: DisposableHost, sha: str, content: dict[str, str]) -> None:
    """Put a release there as other scripts do: files, and what they say of it."""
    release = host.rootfs / ROOT.removeprefix("/") / "releases" / sha
    for name, text in {**content, ".deploy-meta": META.format(sha=sha)}.items():
        path = release / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    host.run("chown", "-R", "deploy:", f"{ROOT}/releases/{sha}")


def make_immutable(host: DisposableHost, sha: str) -> None:
    """Let nobody change or remove a file of a release; where that is not to be had, it stays as it is."""
    path = host.rootfs / ROOT.removeprefix("/") / "releases" / sha / "ops/build.sh"
    subprocess.run(["chattr", "+i", str(path)], capture_output=True)


def make_mutable(host: DisposableHost) -> None:
    """Let everything be removed again."""
    subprocess.run(["chattr", "-R", "-f", "-i", str(host.rootfs / ROOT.removeprefix("/"))], capture_output=True)


def disturb(
    host: DisposableHost, how: str, other: str | None, scope: Scope, mailer: str = "shop-mailer"
) -> Callable[[], object]:
    """Do what somebody else does (one of ``OUTSIDERS``); returns how that ends.  ``other`` is a release to link to.

    Units are stopped and started where they belong; in the scope of a login it is the login's bus that stops.
    """
    current, lock = f"{ROOT}/current", f"{ROOT}/.deploy/lock"
    unit = units_of(host, scope) / "shop-api.service"
    files: dict[str, tuple[str, ...]] = {
        "moves current": ("ln", "-sfn", f"releases/{other}", current) if other else ("true",),
        "removes current": ("rm", "-f", current),
        "removes the lock": ("rm", "-f", lock),
        "moves env": ("sh", "-c", _MOVE_ENV),
        "edits a unit": ("sh", "-c", f"echo '# by hand' >>/{unit.relative_to(host.rootfs)}")
        if unit.exists()
        else ("true",),
        "stops journald": ("systemctl", "stop", *_JOURNALD, "systemd-journald.service"),
    }
    units: dict[str, tuple[str, ...]] = {
        "stops a unit": ("stop", "--no-block", mailer),
        "restarts a unit": ("restart", "--no-block", "shop-api"),
        "reexecutes systemd": ("daemon-reexec",),
        "reloads systemd": ("daemon-reload",),
        "stops dbus": ("stop", "dbus.socket", "dbus.service"),
    }
    if how in files:
        host.run(*files[how], check=False)
    else:
        systemctl(host, *units[how], scope=scope, check=False)
    if how == "stops dbus":
        return lambda: systemctl(host, "start", "dbus.socket", scope=scope, check=False)
    if how == "stops journald":
        return lambda: systemctl(host, "start", *_JOURNALD[:2], "systemd-journald.service", check=False)
    return lambda: None
