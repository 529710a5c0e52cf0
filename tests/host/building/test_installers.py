"""What builds wheels and fills environments: uv, the host's pip, or a pip of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from oroboros_deploy.host import environment
from oroboros_deploy.host.building import installers
from oroboros_deploy.host.building.bench import Bench
from oroboros_deploy.host.building.toolchain import Toolchain
from oroboros_deploy.host.refusal import Refusal
from tests.support.builds import PARTS, PYPROJECT, Site, built, manifest, project, wheel
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository

pytestmark = pytest.mark.slow


def test_a_pip_of_our_own_is_made_once(tmp_path: Path) -> None:
    """Two environments made side by side share it, and neither disturbs the other's making of it."""
    made: list[str] = []

    class Making(Bench):
        def run(self, part: str, what: str, argv: Sequence[str], cwd: Path, **variables: str) -> None:
            time.sleep(0.05)
            made.append(part)
            own = self.tools / "bin" / "python"
            own.parent.mkdir()
            own.write_text("#!/bin/sh\necho 25.0\n")  # what it answers when it is asked for the version of its pip
            own.chmod(0o755)

    bench = Making(
        *(tmp_path, tmp_path, tmp_path, tmp_path, lambda *_, **__: None, time.monotonic() + 60, Event()),
        toolchain=Toolchain("/bin/false", "none", (3, 9)),
    )
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(installers.pip, [bench, bench]))
    assert (made, found) == (["pip"], [f"{tmp_path}/bin/python"] * 2)


def test_the_python_that_makes_no_pip_is_named(tmp_path: Path) -> None:
    """It may be another than the host's python3."""
    python = tmp_path / "python3.13"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    bench = Bench(
        *(tmp_path, tmp_path, tmp_path, tmp_path, lambda *_, **__: None, time.monotonic() + 60, Event()),
        toolchain=Toolchain(str(python), "none", (3, 13)),
    )
    with pytest.raises(Refusal, match=r"pip: python3.13 -m venv exited 1"):
        installers.pip(bench)


@pytest.mark.slow
def test_a_host_without_pip_gets_one_of_its_own(host: LocalAgent, tmp_path: Path) -> None:
    """A bare Debian has python3 without pip: environments are made all the same."""
    python = tmp_path / "bin" / "python3"
    subprocess.run(["/usr/bin/env", "python3", "-m", "venv", "--without-pip", tmp_path], check=True)
    assert subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode != 0
    repository = Repository(tmp_path / "source")
    project(repository, "backend", "backend")
    sha = repository.commit()
    host.mirror(repository)
    bare = LocalAgent(host.root, env={"PATH": f"{python.parent}:/usr/bin:/bin"})
    answer = bare.build(sha, {"venvs": {"backend": ["backend"]}})
    assert answer.refusal is None, json.dumps(answer.refusal)
    logs = [path.name for path in host.paths.ours.glob("attempts/*/pip.log")]
    assert (logs, (host.paths.ours / "tools" / "pip" / "bin" / "python").exists()) == (["pip.log"], True)


@pytest.mark.parametrize("installer", [pytest.param("pip", marks=pytest.mark.slow), "uv"])
def test_a_project_that_cannot_be_built_is_told_in_words(
    host: LocalAgent, repository: Repository, installer: str
) -> None:
    """What ran, how it ended, what it printed last, and where the rest is."""
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    host.settled = {"PATH": tools}
    (repository.path / "worker").mkdir()
    (repository.path / "worker" / "pyproject.toml").write_text("[build-system\n")
    sha = repository.commit()
    host.mirror(repository)
    request = host.build_request(sha, {"venvs": {"worker": ["worker"]}, "installer": installer})
    refusal = host.call("build", request).refusal or {}
    ran = {"pip": "pip wheel ./worker exited 2", "uv": "uv build ./worker exited 2"}[installer]
    log = host.paths.attempt(request["attempt"]) / "wheel worker.log"
    assert (refusal["message"], refusal["hint"]) == (
        f"wheel worker: {ran}",
        f"fix it and deploy again; the log is on the host: '{log}'",
    )
    assert ("TOML" in refusal["log"], log.read_text().strip().endswith(refusal["log"])) == (True, True)


@pytest.mark.parametrize("setting", ["user = true", "dry-run = true", "target = {0}/t\nroot = {0}/r\nprefix = {0}/p"])
@pytest.mark.slow
def test_a_configured_pip_installs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    """Whatever pip.conf says of where to install to: an environment gets what it was meant to have."""
    (tmp_path / "pip").mkdir()
    conf = f"[global]\nrequire-virtualenv = true\n[install]\n{setting.format(tmp_path)}\n"
    (tmp_path / "pip" / "pip.conf").write_text(conf)
    (tmp_path / "environment").write_text(f"XDG_CONFIG_HOME={tmp_path}\n")
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")
    say = lambda *_, **__: None  # noqa: E731
    bench = Bench(tmp_path, tmp_path, tmp_path, tmp_path, say, time.monotonic() + 60, Event(), installer="pip")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    argv = [*installers.install(bench, venv), str(wheel(tmp_path, "ours", ours="1"))]
    bench.run("venv", "pip install", argv, tmp_path, **installers.variables(bench, venv))
    assert [path.name for path in venv.glob("lib/python3*/site-packages/ours*")] != []


@pytest.mark.slow
def test_uv_installs_what_pip_does(site: Site) -> None:
    """The same distributions, and console scripts that work, cached as well; its own cache keeps its write bits."""
    kept, tools = site.host.root.parent / "uv-cache", site.host.root.parent / "tools"
    tools.mkdir()
    (tools / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    site.host.settled = {"UV_CACHE_DIR": str(kept), "PATH": f"{tools}:{os.environ['PATH']}"}
    first, second, third = site.commit(), site.commit(docs__notes="two"), site.commit(docs__notes="three")
    assert built(site.build(first, installer="uv")) == PARTS
    assert built(site.build(second, installer="uv")) == []
    files = [path for path in kept.rglob("*.py") if path.is_file()]
    assert files and all(path.stat().st_mode & 0o200 for path in files)
    site.build(third)
    assert _distributions(site.release(second)) == _distributions(site.release(third))
    done = subprocess.run([site.release(second) / "worker/.venv/bin/jobs"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("jobs at work\n", "")
    taken = manifest(site.release(second))
    assert taken == site.fresh(second, installer="uv")


def test_uv_that_is_wanted_and_absent_is_said(site: Site) -> None:
    """The refusal names it, and what to do."""
    site.host.settled = {"PATH": "/usr/bin:/bin"}
    refusal = site.build(site.commit(), installer="uv").refusal or {}
    assert (refusal["message"], refusal["hint"]) == (
        "uv is not installed on this host",
        "install it there, or set build.installer: auto (uv is used only where the host has it)",
    )


def needing(site: Site, directory: Path) -> dict[str, str]:
    """Make the backend's project one that is built with a wheel of the directory, which pip gets from there alone."""
    directory.mkdir()
    wheel(directory, "tooling", tooling="1")
    wheel(directory, "library", library="1")
    backend = site.repository.path / "backend"
    (backend / "making.py").write_text(f"import tooling\n{(backend / 'making.py').read_text()}")
    (backend / "pyproject.toml").write_text(PYPROJECT.replace("requires = []", 'requires = ["tooling"]'))
    (backend / "requirements.txt").write_text("library\n")
    return {"PIP_FIND_LINKS": str(directory), "PIP_NO_INDEX": "1"}


@pytest.mark.parametrize(
    "settled",
    [
        {"PIP_TARGET": "ELSEWHERE"},
        {"PIP_PREFIX": "ELSEWHERE"},
        {"PIP_PYTHON": "/usr/bin/python3"},
        {"PIP_PYTHON": "/usr/bin/python3", "PIP_TARGET": "ELSEWHERE", "PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1"},
        {"PIP_NO_DEPS": "1", "PIP_DRY_RUN": "1", "PIP_ROOT": "ELSEWHERE"},
    ],
    ids=" ".join,
)
def test_variables_of_the_host_do_not_send_what_is_installed_elsewhere(
    site: Site, tmp_path: Path, settled: dict[str, str]
) -> None:
    """Neither an environment nor the tools that pip makes for a wheel, whatever /etc/environment says to pip."""
    elsewhere = tmp_path / "elsewhere"
    told = {name: value.replace("ELSEWHERE", str(elsewhere)) for name, value in settled.items()}
    site.host.settled = {**needing(site, tmp_path / "wheels"), "PATH": os.environ["PATH"], **told}
    sha = site.commit()
    assert built(site.build(sha)) == PARTS
    found = _distributions(site.release(sha))["backend"]
    assert ({"library.py", "api.py", "api"} <= set(found), elsewhere.exists()) == (True, False)
    done = subprocess.run([site.release(sha) / "backend/.venv/bin/api"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("api at work\n", "")


def test_a_pip_conf_that_would_break_pip_is_named(site: Site, tmp_path: Path) -> None:
    """It gives its directory to the pip that makes what a project is built with, and no argument takes that back."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(f"[install]\ntarget = {tmp_path}/elsewhere\n")
    needed = needing(site, tmp_path / "wheels")
    site.host.settled = {**needed, "PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(tmp_path)}
    refusal = site.build(site.commit()).refusal or {}
    file = tmp_path / "pip" / "pip.conf"
    assert (refusal["kind"], refusal["message"], refusal["hint"]) == (
        "build_failed",
        f"pip cannot build backend: {file} sets target, also for what the project is built with",
        f"remove it from {file}",
    )
    assert not (tmp_path / "elsewhere").exists()


def test_the_pip_conf_of_the_chosen_python_is_followed(site: Site, tmp_path: Path) -> None:
    """For wheels and in environments, which pip alone would look for in vain; what it says is part of what is built."""
    needed = needing(site, tmp_path / "wheels")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    conf, recipe = tmp_path / "python/pip.conf", {"python": str(tmp_path / "python/bin/python")}
    conf.write_text(f"[global]\nno-index = true\nfind-links = {needed['PIP_FIND_LINKS']}\n")
    first, second, third = site.commit(), site.commit(docs__notes="two"), site.commit(docs__notes="three")
    assert built(site.build(first, **recipe)) == PARTS
    assert "library.py" in _distributions(site.release(first))["backend"]
    assert built(site.build(second, **recipe)) == []
    conf.write_text(f"{conf.read_text()}timeout = 20\n")
    assert built(site.build(third, **recipe)) == PARTS


def test_a_pip_conf_that_cannot_be_followed_is_named_once(site: Site, tmp_path: Path) -> None:
    """Two files at once cannot be given to the pip of an environment, and the host's own choice goes first."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    conf, recipe = tmp_path / "python/pip.conf", {"python": str(tmp_path / "python/bin/python")}
    conf.write_text("[global]\ntimeout = 20\n")
    (tmp_path / "other.conf").touch()
    site.host.settled = {"PIP_CONFIG_FILE": str(tmp_path / "other.conf"), "PATH": os.environ["PATH"]}
    said = [site.build(site.commit(docs__notes=name), **recipe).said("warning") for name in ("one", "two")]
    instead = "it reads the file that PIP_CONFIG_FILE in /etc/environment names (copy the settings into that file)"
    assert [[line for line in lines if str(conf) in line] for lines in said] == [
        [f"pip does not read {conf} when it fills the environments of a release: {instead}"],
        [],
    ]


def test_uv_that_would_install_elsewhere_is_refused_by_name(site: Site, tmp_path: Path) -> None:
    """By the login's settings or the commit's; nothing is installed there, and pip does not hear of it."""
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = str(site.host.root.parent / "uv")
    site.host.settled = {"PATH": tools, "XDG_CONFIG_HOME": str(tmp_path), "UV_CACHE_DIR": kept}
    (tmp_path / "uv").mkdir()
    login = tmp_path / "uv" / "uv.toml"
    login.write_text(f'[pip]\ntarget = "{tmp_path}/elsewhere"\n')
    sha = site.commit()
    refusal = site.build(sha, installer="uv").refusal or {}
    why = "uv would not install into the environment what was asked for"
    assert (refusal["kind"], refusal["message"], refusal["hint"]) == (
        "build_failed",
        f"{why}: {login} sets target for uv pip",
        f"remove it from {login}, or set build.installer: pip",
    )
    assert not (tmp_path / "elsewhere").exists()
    assert site.build(sha).refusal is None
    login.unlink()
    sha = site.commit(**{"uv.toml": "pip.no-deps = true\n"})
    refusal = site.build(sha, installer="uv").refusal or {}
    assert refusal["message"] == f"{why}: {site.release(sha)}/uv.toml sets no-deps for uv pip"


def test_variables_of_the_host_do_not_move_uv(site: Site, tmp_path: Path) -> None:
    """It works where it is started, copies what it installs, and compiles nothing, for bytecode is ours to make."""
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    moved = {name: str(tmp_path) for name in ("UV_WORKING_DIR", "UV_WORKING_DIRECTORY", "UV_PROJECT")}
    more = {"UV_COMPILE_BYTECODE": "1", "UV_SYSTEM_PYTHON": "1", "UV_PYTHON": "/usr/bin/python3"}
    more |= {"UV_LINK_MODE": "symlink", "UV_FROZEN": "1"}
    site.host.settled = {"PATH": tools, "UV_CACHE_DIR": str(site.host.root.parent / "uv"), **moved, **more}
    sha = site.commit()
    assert built(site.build(sha, installer="uv")) == PARTS
    log = next(site.host.paths.ours.glob("attempts/*/venv backend.log")).read_text()
    assert "Bytecode" not in log
    assert [path for path in site.release(sha).glob("*/.venv/lib/python3*/**/*.py") if path.is_symlink()] == []
    done = subprocess.run([site.release(sha) / "backend/.venv/bin/api"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("api at work\n", "")


def _distributions(release: Path) -> dict[str, list[str]]:
    """The names of what each environment has, its scripts included."""
    venvs = {"backend": release / "backend/.venv", "worker": release / "worker/.venv"}
    found = {}
    for name, venv in venvs.items():
        made = [*venv.glob("lib/python3*/site-packages/*"), *venv.glob("bin/*")]
        found[name] = sorted(path.name for path in made if path.name != "__pycache__")
    return found
