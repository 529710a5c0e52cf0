"""The shop on a host where the login may not become root: its services belong to the login's own service manager."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Literal

from disposable_host import DisposableHost
from host_image import POLKIT

from tests.support import shop as shops
from tests.support.shop import Shop

HOME = "home/deploy"
UNITS = f"{HOME}/.config/systemd/user"
SERVICES = ("shop-api", "shop-mailer")
Packages = Literal["as they are", "with polkit", "without a bus"]

systemctl = partial(shops.systemctl, scope="user")
serving = partial(shops.serving, scope="user")


def give_to_the_login(shop: Shop) -> None:
    """Make the units the login's own, started at boot; no rule of sudo is left, and the settings say so."""
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text() + "  scope: user\n")
    for host in shop.hosts:
        host.run("install", "--directory", "--owner=deploy", *_upwards(UNITS))
        for name in SERVICES:
            unit = host.rootfs / f"etc/systemd/system/{name}.service"
            own = unit.read_text().replace("User=nobody\n", "") + "\n[Install]\nWantedBy=default.target\n"
            (host.rootfs / UNITS / unit.name).write_text(own)
            unit.unlink()
        host.run("sh", "-c", "rm /etc/sudoers.d/*; systemctl daemon-reload; loginctl enable-linger deploy")
        host.run("sh", "-c", "until test -S /run/user/1000/bus; do sleep 0.05; done")
        systemctl(host, "daemon-reload")
        systemctl(host, "enable", "--quiet", *SERVICES)


@contextmanager
def packages_of(host: DisposableHost, packages: Packages) -> Iterator[None]:
    """Have polkit from now on, or no bus of the login from the next boot to the end of the block."""
    if packages == "with polkit":
        install_polkit(host)
    with _no_bus(host) if packages == "without a bus" else nullcontext():
        yield


@contextmanager
def _no_bus(host: DisposableHost) -> Iterator[None]:
    """Have no bus of the login from the next boot on; at the end it is there again, also when the block failed."""
    host.run("systemctl", "--global", "mask", "dbus.socket")
    try:
        yield
        assert host.run("test", "-e", "/run/user/1000/bus", check=False).returncode, "there is a bus"
    finally:
        host.run("systemctl", "--global", "unmask", "dbus.socket")
        systemctl(host, "daemon-reload")
        systemctl(host, "start", "dbus.socket")


def install_polkit(host: DisposableHost) -> None:
    """Install what the image has of it, as an administrator does."""
    host.run("sh", "-ec", f"DEBIAN_FRONTEND=noninteractive dpkg --install {POLKIT}/*.deb")


def remove_polkit(host: DisposableHost) -> None:
    """Remove it again; harmless where it is not installed."""
    host.run("dpkg", "--purge", "polkitd")


def _upwards(path: str) -> list[str]:
    """The directories on the way, below the home."""
    parts = path.removeprefix(f"{HOME}/").split("/")
    return ["/" + "/".join((HOME, *parts[: number + 1])) for number in range(len(parts))]
