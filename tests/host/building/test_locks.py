"""Lock files are installed as locked, by the real tools and from the real package index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host.building import locks
from oroboros_deploy.host.building.locks import Lock
from oroboros_deploy.host.building.needs import Needs
from oroboros_deploy.host.refusal import Refusal
from tests.support.builds import Site, built
from tests.support.local_agent import NETWORK
from tests.support.watching import tree

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "shop"
version = "1"
requires-python = ">=3.9"
dependencies = ["packaging"]
[project.optional-dependencies]
more = ["iniconfig"]
[dependency-groups]
dev = ["toml"]
prod = ["pluggy"]
[tool.setuptools]
packages = []
"""
UV = str(Path(sys.executable).with_name("uv"))


def installed(site: Site, sha: str) -> dict[str, str]:
    """The distributions of the environment, and their versions."""
    found = site.release(sha).glob("shop/.venv/lib/python3*/site-packages/*.dist-info")
    return dict(path.name.removesuffix(".dist-info").split("-") for path in found)


def build(site: Site, sha: str, venv: Any, path: str = os.environ["PATH"]) -> Any:
    cache = {"UV_CACHE_DIR": str(site.host.root.parent / "uv")}
    site.host.settled = {**NETWORK, **cache, "PATH": path, "UV_FROZEN": "1"}
    return site.host.build(sha, {"venvs": {"shop": venv}, "installer": "pip"})


def lock(site: Site, *older: str) -> Path:
    """A project with a uv.lock that pins older versions than the newest."""
    shop = site.repository.path / "shop"
    shop.mkdir()
    (shop / "pyproject.toml").write_text(PROJECT)
    upgrades = [f"--upgrade-package={each}" for each in older]
    cache = ["--cache-dir", str(site.host.root.parent / "uv-cache")]
    subprocess.run([UV, "lock", "--quiet", *cache, "--project", shop, *upgrades], check=True)
    return shop


@pytest.mark.slow
def test_a_lock_is_installed_as_locked(site: Site) -> None:
    """By its own tool, which the host lacks and the build makes: pins older than the newest, no development group."""
    lock(site, "packaging==23.1", "iniconfig==2.0.0", "pluggy==1.4.0")
    sha = site.commit()
    more = {"requirements": None, "packages": [], "extras": ["more"], "groups": ["prod"], "lock": "auto"}
    assert built(build(site, sha, {"projects": ["shop"], **more})) == ["venv shop", "wheel shop"]
    assert installed(site, sha) == {"shop": "1", "packaging": "23.1", "iniconfig": "2.0.0", "pluggy": "1.4.0"}


@pytest.mark.slow
def test_what_a_lock_calls_virtual_is_not_built(site: Site) -> None:
    """`uv init` writes no build system: uv installs what such a project needs, and its code is run where it lies."""
    shop = lock(site, "packaging==23.1")
    for name in ("shop", "infra"):  # setuptools would refuse to guess which of them to pack
        (shop / name).mkdir()
        (shop / name / "code.py").touch()
    (shop / "pyproject.toml").write_text(PROJECT[PROJECT.index("[project]") : PROJECT.index("[tool")])
    subprocess.run([UV, "lock", "--quiet", "--project", shop], check=True)
    sha = site.commit()
    assert built(build(site, sha, ["shop"], f"{Path(UV).parent}:{os.environ['PATH']}")) == ["venv shop"]
    assert installed(site, sha) == {"packaging": "23.1"}


@pytest.mark.parametrize(
    ("files", "unbuilt"),
    [
        ({"uv.lock": 'source = { virtual = "." }\n'}, True),
        ({"uv.lock": 'source = { virtual = "lib" }\n[[package]]\nsource = { editable = "." }\n'}, False),
        ({"poetry.lock": "", "pyproject.toml": "[tool.poetry]\npackage-mode = false\n"}, True),
        ({"poetry.lock": "", "pyproject.toml": "[tool.poetry]\nname = 'shop'\n"}, False),
        ({"pdm.lock": "", "pyproject.toml": "[tool.pdm]\ndistribution = false\n"}, True),
        ({"pdm.lock": ""}, False),
        ({"pyproject.toml": "[tool.poetry]\npackage-mode = false\n"}, False),
    ],
)
def test_a_lock_says_whether_its_project_is_built(tmp_path: Path, files: dict[str, str], unbuilt: bool) -> None:
    """Only beside a lock that counts, for without one the project is how its needs are known."""
    (tmp_path / "shop").mkdir()
    for name, text in files.items():
        (tmp_path / "shop" / name).write_text(text)
    assert Needs(["shop"]).built(tmp_path) == ([] if unbuilt else ["shop"])
    assert Needs(["shop"], lock=None).built(tmp_path) == ["shop"]


@pytest.mark.slow
def test_a_lock_that_is_out_of_date_is_refused(site: Site) -> None:
    """What it does not pin cannot be installed as locked, not with `UV_FROZEN` either; `lock: null` ignores it."""
    shop = lock(site, "packaging==23.1")
    text = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(text.replace('["packaging"]', '["packaging", "iniconfig==2.0.0"]'))
    sha = site.commit()
    path = f"{Path(UV).parent}:{os.environ['PATH']}"
    before = tree(shop)
    refusal = build(site, sha, ["shop"], path).refusal or {}
    assert refusal["message"] == "venv shop: uv export of shop/uv.lock exited 1", refusal
    assert tree(shop) == before
    ignored = {"requirements": None, "packages": [], "extras": [], "groups": [], "lock": None}
    assert build(site, sha, {"projects": ["shop"], **ignored}, path).refusal is None
    assert installed(site, sha)["iniconfig"] == "2.0.0"


@pytest.mark.parametrize(
    ("name", "text", "contained"),
    [
        ("uv.lock", 'source = { editable = "." }\nsource = { registry = "https://index.example/simple" }\n', True),
        ("uv.lock", 'source = { editable = "../lib" }\n', False),
        ("poetry.lock", '[package.source]\ntype = "directory"\n', False),
        ("poetry.lock", '[package.source]\ntype = "git"\n', True),
        ("pdm.lock", 'path = "./lib"\n', False),
    ],
)
def test_a_lock_that_names_directories_is_not_cached(tmp_path: Path, name: str, text: str, contained: bool) -> None:
    """What lies in the repository may change when the lock does not; the project itself is a wheel of its own."""
    (tmp_path / name).write_text(text)
    assert Lock(".", name).is_self_contained(tmp_path) == contained


def test_one_project_has_one_lock(tmp_path: Path) -> None:
    """Which of several counts is nobody's guess."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "uv.lock").touch()
    assert locks.of(tmp_path, ["shop", "shop", "none"]) == [Lock("shop", "shop/uv.lock")]
    (tmp_path / "shop" / "pdm.lock").touch()
    with pytest.raises(Refusal) as refused:
        locks.of(tmp_path, ["shop"])
    assert refused.value.message == "shop has several lock files: shop/uv.lock, shop/pdm.lock"


PINNED = {
    "packaging": ("23.2", "8c491190033a9af7e1d931d0b5dacc2ef47509b34dd0de67ed209b5203fc88c7"),
    "iniconfig": ("2.0.0", "b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374"),
}
TOLD = """\
[[package]]
name = "{name}"
version = "{version}"
summary = ""
description = ""
optional = {optional}
python-versions = ">=3.7"
requires_python = ">=3.7"
groups = {groups}
{more}files = [{{file = "{name}-{version}-py3-none-any.whl", hash = "sha256:{sha256}"}}]

"""
HEADS = {
    "poetry": '[extras]\nmore = ["iniconfig"]\n[metadata]\nlock-version = "2.1"\npython-versions = ">=3.9"\n'
    'content-hash = "HASH"\n',
    "pdm": '[metadata]\ngroups = ["default", "more"]\nstrategy = ["inherit_metadata"]\nlock_version = "4.5.0"\n'
    'content_hash = "sha256:HASH"\n[[metadata.targets]]\nrequires_python = ">=3.9"\n',
}
ASKED = {  # what each tool calls the text that it locked
    "poetry": "from poetry.factory import Factory; p = Factory().create_poetry(); print(p.locker._get_content_hash())",
    "pdm": "from pdm.core import Core; print(Core().create_project('.').pyproject.content_hash())",
}
GROUPS = {"poetry": ('["main"]', '["main"]'), "pdm": ('["default"]', '["more"]')}


def write_lock(shop: Path, tool: str, cache: Path) -> str:
    """Write the lock that a tool would write, without asking the package index as it does; returns its digest."""
    shop.mkdir()
    (shop / "pyproject.toml").write_text(PROJECT)
    environment = {**os.environ, "UV_CACHE_DIR": str(cache), "PDM_CHECK_UPDATE": "0"}
    asking = [UV, "tool", "run", "--quiet", "--from", tool, "python", "-c", f"from pathlib import Path; {ASKED[tool]}"]
    asked = subprocess.run(asking, cwd=shop, check=True, env=environment, capture_output=True, text=True)
    packages = ""
    for (name, (version, sha256)), groups in zip(PINNED.items(), GROUPS[tool], strict=True):
        extra = tool == "poetry" and name == "iniconfig"
        more = "markers = 'extra == \"more\"'\n" if extra else ""
        told = {"name": name, "version": version, "sha256": sha256, "groups": groups, "more": more}
        packages += TOLD.format(**told, optional="true" if extra else "false")
    digest = asked.stdout.split()[-1]
    (shop / f"{tool}.lock").write_text(packages + HEADS[tool].replace("HASH", digest))
    for path in shop.glob(".pdm-python"):
        path.unlink()
    return digest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "what"), [("poetry", "poetry export of shop/poetry.lock"), ("pdm", "pdm lock --check of shop/pdm.lock")]
)
def test_the_lock_of_another_tool_is_installed_as_locked(site: Site, tool: str, what: str) -> None:
    """The build makes the tool where the host has none; a lock that is out of date is refused, as with uv."""
    shop = site.repository.path / "shop"
    digest = write_lock(shop, tool, site.host.root.parent / "uv-cache")
    lock = shop / f"{tool}.lock"
    lock.write_text(lock.read_text().replace(digest, "0" * 64))
    more = {"requirements": None, "packages": [], "extras": ["more"], "groups": [], "lock": "auto"}
    refusal = build(site, site.commit(), {"projects": ["shop"], **more}).refusal or {}
    assert (refusal["kind"], refusal["message"]) == ("build_failed", f"venv shop: {what} exited 1")
    sha = site.commit(**{f"shop/{tool}.lock": lock.read_text().replace("0" * 64, digest)})
    assert "venv shop" in built(build(site, sha, {"projects": ["shop"], **more}))
    assert installed(site, sha) == {"shop": "1", "packaging": "23.2", "iniconfig": "2.0.0"}
    assert not (site.release(sha) / "shop" / ".pdm-python").exists()
