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
from tests.support.builds import PARTS, Site, built, manifest, project, wheel
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
        f"fix it and deploy again; the whole log is on the host: {log}",
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
    bench.run("venv", "pip install", argv, tmp_path, **installers.variables(venv))
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
        "install it there, or set build.installer",
    )


def _distributions(release: Path) -> dict[str, list[str]]:
    """The names of what each environment has, its scripts included."""
    venvs = {"backend": release / "backend/.venv", "worker": release / "worker/.venv"}
    found = {}
    for name, venv in venvs.items():
        made = [*venv.glob("lib/python3*/site-packages/*"), *venv.glob("bin/*")]
        found[name] = sorted(path.name for path in made if path.name != "__pycache__")
    return found
