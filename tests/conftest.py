"""What most tests need: a real git repository, and a state directory of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.repository import Repository
from tests.support.rights import require_giving_away

pytest_plugins = [
    "tests.support.databases",
    "tests.support.deploy_root",
    "tests.support.fabfiles",
    "tests.support.site",
]

# The same examples in every run; `--hypothesis-profile=explore` draws others, and more of them.
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
hypothesis.settings.load_profile("same")

# Where `python3` is a script of a version manager's that looks for one, each call of an agent would run it before.
if _found := shutil.which("python3"):
    _asked = [_found, "-c", "import sys; print(sys.executable)"]
    _python = Path(subprocess.run(_asked, capture_output=True, text=True).stdout.strip())
    if _python.is_file() and not _python.samefile(_found):
        os.environ["PATH"] = f"{_python.parent}{os.pathsep}{os.environ['PATH']}"

# A shell without job control starts background work with SIGINT ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "source")


@pytest.fixture
def giving_away() -> None:
    """For a test that gives files to another user."""
    require_giving_away()


@pytest.fixture(autouse=True)
def _own_ctrl_c() -> Iterator[None]:
    """No test leaves Ctrl-C ignored: each program that another test starts would inherit that."""
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the registry, the configuration or the git settings of whoever runs it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in (
        "DEPLOY_ROOT",
        "REPO_ROOT",
        "DEPLOY_SCOPE",
        "DEPLOY_SERVICES",
        "DEPLOY_REGISTRY_URL",
        "DEPLOY_HEALTHCHECK_CMD",
    ):
        monkeypatch.delenv(name, raising=False)
