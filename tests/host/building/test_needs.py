"""What is installed into a virtual environment, as its recipe says it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import seal
from tests.support.builds import Site, built, wheel
from tests.support.local_agent import NETWORK

pytestmark = pytest.mark.slow  # whole builds and activations

ALL = {"projects": ["backend"], "requirements": None, "packages": [], "extras": [], "groups": [], "lock": "auto"}


@pytest.fixture
def shop(site: Site) -> str:
    """A project with an extra and a group, a requirements file of another name, and all wheels in the commit."""
    backend, wheels = site.repository.path / "backend", site.repository.path / "wheels"
    making = (backend / "making.py").read_text()
    more = "Provides-Extra: db\\nRequires-Dist: driver; extra == 'db'\\n"
    (backend / "making.py").write_text(making.replace('Version: 1.0\\n"', f'Version: 1.0\\n{more}"'))
    with (backend / "pyproject.toml").open("a") as file:
        file.write("[dependency-groups]\nprod = ['monitor']\n")
    wheels.mkdir()
    for name in ("driver", "gunicorn", "monitor", "flask"):
        wheel(wheels, name)
    return site.commit(**{"requirements/prod.txt": "--no-index\n--find-links ../wheels\nflask\n"})


def installed(site: Site, sha: str) -> list[str]:
    found = site.release(sha).glob("backend/.venv/lib/python3*/site-packages/*.dist-info")
    return sorted(path.name.split("-")[0] for path in found)


def build(site: Site, sha: str, installer: str = "pip", **needs: Any) -> Any:
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    site.host.settled = {**NETWORK, "PATH": tools, "UV_CACHE_DIR": str(site.host.root.parent / "uv-cache")}
    return site.host.build(sha, {"venvs": {"backend": {**ALL, **needs}}, "installer": installer})


@pytest.mark.slow
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_environment_has_all_that_was_named(site: Site, shop: str, installer: str) -> None:
    """Other requirements files, packages that only production needs, extras and dependency groups."""
    named = {"packages": ["gunicorn==1.0"], "extras": ["db"], "groups": ["prod"]}
    answer = build(site, shop, installer, requirements=["requirements/prod.txt"], **named)
    assert answer.refusal is None, answer.refusal
    assert installed(site, shop) == ["api", "driver", "flask", "gunicorn", "monitor"]


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        ({"requirements": ["no.txt"]}, "the requirements file no.txt is not in the commit"),
        ({"extras": ["gui"]}, "build.venvs: no project of the virtual environment has the extra 'gui'"),
        ({"groups": ["gui"]}, "build.venvs: no project of the virtual environment has the dependency group 'gui'"),
    ],
)
@pytest.mark.slow
def test_what_is_not_there_is_named(site: Site, shop: str, needs: dict[str, Any], why: str) -> None:
    """An installer would pass over an extra that no project has."""
    refusal = build(site, shop, **needs).refusal or {}
    assert (refusal["kind"], refusal["message"]) == ("build_failed", why)


@pytest.mark.slow
def test_a_project_that_only_configures_its_tools_stops_nothing(site: Site) -> None:
    """Its requirements are installed; no wheel is built of it."""
    sha = site.commit(**{"tools/pyproject.toml": "[tool.ruff]\nline-length = 100\n", "tools/requirements.txt": "\n"})
    answer = site.host.build(sha, {"venvs": {"tools": ["tools"]}, "installer": "pip"})
    assert built(answer) == ["venv tools"]


@pytest.mark.slow
def test_what_is_named_is_part_of_what_an_environment_depends_on(site: Site) -> None:
    """The same commit with another package is another environment; with the same ones it is taken again."""
    wheels = site.repository.path / "wheels"
    wheels.mkdir()
    wheel(wheels, "gunicorn")
    sha = site.commit(**{"prod.txt": "\n"})
    asked: list[list[str]] = [[], [], ["gunicorn @ https://nowhere.invalid/gunicorn-1.0-py3-none-any.whl"]]
    seen = []
    for packages in asked:
        seal.remove(site.release(sha))
        answer = build(site, sha, requirements=["prod.txt"], packages=packages)
        seen.append(answer.refusal["message"] if answer.refusal else built(answer))
    assert seen == [["venv backend", "wheel backend"], [], "venv backend: pip install exited 1"]
