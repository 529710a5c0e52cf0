"""What the settings need of a host."""

from __future__ import annotations

from typing import Any

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.setup.wanted import Need, Wanted, wanted

GIT, PYTHON, SUDO = (Need(name, f"command -v {name}") for name in ("git", "python3", "sudo"))
VENV = Need("python3-venv", "python3 -c 'import ensurepip'")
CERTIFICATES = Need("ca-certificates", "test -s /etc/ssl/certs/ca-certificates.crt")
PLAIN: dict[str, Any] = {"frontend": None, "venvs": {}}


def of(build: dict[str, Any], **settings: Any) -> Wanted:
    whole = {"root": "/srv/shop", "healthcheck": {"command": None}, "build": build, **settings}
    return wanted(Config.from_mapping(whole), "deploy", "ssh-ed25519 AAAA")


def packages(build: dict[str, Any], **settings: Any) -> list[str]:
    return [each.package for each in of(build, **settings).needs]


def test_the_least() -> None:
    """Without anything to build: git, Python and sudo, and a directory."""
    least = Wanted("deploy", "ssh-ed25519 AAAA", directories=("/srv/shop",), needs=(GIT, PYTHON, SUDO))
    assert (of(PLAIN), of(PLAIN).root, of(PLAIN).places) == (least, "/srv/shop", ("/srv/shop",))


@pytest.mark.parametrize(
    ("build", "more"),
    [
        ({"frontend": None}, ["python3-venv", "ca-certificates"]),
        ({}, ["python3-venv", "ca-certificates"]),
        ({"venvs": {}, "frontend": {"path": "web"}}, ["ca-certificates", "npm"]),
        ({"venvs": {}, "frontend": {"command": "A=1 node b.js && exec npx c"}}, ["ca-certificates", "nodejs", "npm"]),
        ({"venvs": {}, "frontend": {"path": "web"}, "node": "/opt/node/bin/node"}, []),
        (PLAIN | {"steps": [{"name": "copy", "command": "cd a; rsync -a b c | make"}]}, ["make", "rsync"]),
        (PLAIN | {"steps": [{"name": "copy", "command": "echo rsync make"}]}, []),
    ],
    ids=["Python", "the default", "a frontend", "programs", "Node by its path", "steps", "words alone"],
)
def test_what_the_recipe_names(build: dict[str, Any], more: list[str]) -> None:
    """A package is wanted only where a line of the settings begins with its program, or a virtual environment is made.

    The default frontend is nobody's wish: a host without npm leaves it out.
    """
    assert packages(build) == ["git", "python3", "sudo", *more]


def test_health_command_migration_and_url() -> None:
    """Their programs count too, and a host that fetches by itself needs certificates."""
    settings: dict[str, Any] = {"healthcheck": {"command": "curl -f localhost"}, "migrate": "psql -f a.sql"}
    assert packages(PLAIN, **settings)[3:] == ["ca-certificates", "curl", "postgresql-client"]
    assert packages(PLAIN, migrate={"command": "jq . a", "once": False})[3:] == ["jq"]
    assert of(PLAIN, repo_url="https://example.org/shop.git").needs[3:] == (CERTIFICATES,)
    assert of({"frontend": None}).needs[3:] == (VENV, CERTIFICATES)


def test_the_scope_user() -> None:
    """It needs a bus and PAM's part of systemd instead of sudo."""
    assert packages(PLAIN, scope="user") == ["git", "python3", "dbus-user-session", "libpam-systemd"]


def test_users_and_places() -> None:
    """Each user of `run_as` once; the shared places and what they lie in; releases elsewhere are the login's too."""
    found = of(
        PLAIN,
        releases_dir="/data/releases",
        shared={"media": "dir", "config/local.yml": "file"},
        run_as={"owner": "www-data", "gate": "shop", "migrate": "shop"},
    )
    assert (found.owner, found.users) == ("www-data", ("www-data", "shop"))
    assert found.directories == ("/srv/shop", "/data/releases")
    shared = [f"/srv/shop/shared{path}" for path in ("", "/media", "/config", "/config/local.yml")]
    assert found.places == ("/srv/shop", "/data/releases", *shared)
