"""The one environment: of the host and the user, whoever starts a command and how."""

from __future__ import annotations

import ctypes
import os
import pwd
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from oroboros_deploy.host import environment, seal
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository

BUS = "XDG_RUNTIME_DIR=/run/user/0\nDBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/0/bus\n"  # of root's own systemd
PIECES = ["A", "B", "=", "=", "'", '"', " ", "#", "\\", "\n", "\n", "export ", "\\\n", "\xe4", "-"]


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for this host's /etc/environment."""
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")
    return tmp_path / "environment"


def test_nothing_of_a_session_is_in_it(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the user's, the host's file, and fixed; of what is fixed the file is not heard."""
    path = "relative:/opt/tools/bin:/usr/bin::."
    settled.write_text(f'PATH="{path}"\nAPP_DB=postgresql://u:p@db/x\nLANG=de_DE\nHOME=/no\n{BUS}')
    for name in ("LD_PRELOAD", "BASH_ENV", "PYTHONPATH", "MINE", "LC_ALL", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, "of a session")
    user = pwd.getpwuid(os.getuid())
    assert environment.of_this_user() == {
        "APP_DB": "postgresql://u:p@db/x",
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell,
        "LANG": "C.UTF-8",
        "PATH": "/opt/tools/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def test_our_own_tools_answer_in_english(settled: Path) -> None:
    """And git works where we say, whatever the host has for others."""
    settled.write_text("LC_ALL=de_DE.UTF-8\nGIT_DIR=/elsewhere\nHTTPS_PROXY=http://proxy\n")
    ours = {**environment.of_this_user(), "LC_ALL": "C.UTF-8"}
    del ours["GIT_DIR"]
    assert (environment.of_our_tools(), ours["HTTPS_PROXY"]) == (ours, "http://proxy")


def test_a_release_says_which_version_it_is(tmp_path: Path) -> None:
    """One that says nothing of it has its id."""
    of = environment.of_release
    assert {of(tmp_path)[name] for name in ("DEPLOY_RELEASE", "DEPLOY_VERSION")} == {tmp_path.name}
    (tmp_path / seal.META).write_text("version=v1.2\n")
    assert of(tmp_path) == {**environment.of_this_user(), "DEPLOY_RELEASE": tmp_path.name, "DEPLOY_VERSION": "v1.2"}


@pytest.fixture(scope="module")
def pam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory where PAM finds a service that reads one file; skips without PAM."""
    directory = tmp_path_factory.mktemp("pam")
    line = f"session required pam_env.so readenv=1 envfile={directory}/environment conffile=/dev/null user_readenv=0\n"
    (directory / "service").write_text(line)
    if _read_by_pam(directory, "A=1\n") != {"A": "1"}:
        pytest.skip("needs PAM's library, and its module pam_env.so")
    return directory


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(text='A="four five" # x\nB=\'six\'\n A_1="a"b"\nexport B1=a=b\nA\n=x\nA-B=1\nB =2\nA2="a#b"')
@example(text="A=back\\\n# between\n\nslash\nB=x\\ # no\nexport  B1=3\n")
@given(text=st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_the_host_s_file_is_read_as_pam_reads_it(pam: Path, text: str) -> None:
    """Quotes, comments, `export`, names that are none, lines that go on: asked of PAM itself."""
    # A comment or an empty line after a line that goes on: the value ends in PAM 1.7 (Debian 13), and goes on in 1.5.
    assume(_read_by_pam(pam, "A=1\\\n#\n2\n") == {"A": "12"} or not re.search(r"\\\n[ \t]*(#|\n|$)", text))
    asked = _read_by_pam(pam, text)
    assert environment.read(pam / "environment") == asked


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    """Nor does a directory of that name."""
    assert (environment.read(tmp_path / "no"), environment.read(tmp_path)) == ({}, {})


@pytest.mark.slow
def test_all_commands_get_the_same(host: LocalAgent, mirrored: Repository) -> None:
    """A build's step, the migration and the health command; a build has a CI and a place for its files besides."""
    sha = mirrored.git("rev-parse", "HEAD")
    host.settled = {"APP_DB": "postgresql://u:p@db/x", "CI": "false"}
    host.options = {"env": {"PATH": "/usr/bin:/bin", "MINE": "of a session"}}
    keep = "env | sort >"
    request = host.build_request(sha, {"steps": [{"name": "s", "path": ".", "command": f"{keep}built"}]})
    answer = host.call("build", {**request, "described": "v1.2-3-gabcdef"})
    assert answer.refusal is None
    there = host.root.parent
    gate = {"command": f"{keep}{there}/gate", "timeout": 20, "interval": 0.05, "stable_for": 0}
    host.activate(sha, migrate=f"{keep}{there}/migrate", healthcheck=gate)
    built = (host.paths.release(sha) / "built").read_text().splitlines()
    mine = [line for line in built if not line.startswith(("TMPDIR=", "DEPLOY_BUILD="))]
    told = {line for line in mine if line.startswith(("APP_DB", "CI", "DEPLOY", "MINE", "LC_ALL"))}
    assert told == {
        "APP_DB=postgresql://u:p@db/x",
        "CI=false",
        f"DEPLOY_RELEASE={sha}",
        "DEPLOY_VERSION=v1.2-3-gabcdef",
    }
    where = f"PWD={host.paths.release(sha)}"
    assert ((there / "migrate").read_text().splitlines(), where in mine) == (mine, True)
    assert (there / "gate").read_text().splitlines() == mine
    assert answer.said("warning") == [
        "this login has variables, or directories in PATH, that no command of a deploy gets: MINE; "
        "if a command needs one, set it in /etc/environment on the host"
    ]


def _read_by_pam(directory: Path, text: str) -> dict[str, str] | None:
    """What PAM makes of a file with this text; None where it cannot be asked."""
    (directory / "environment").write_bytes(text.encode())
    try:
        library = ctypes.CDLL("libpam.so.0")
        start, listed = library.pam_start_confdir, library.pam_getenvlist
    except (OSError, AttributeError):
        return None
    handle, talk = ctypes.c_void_p(), (ctypes.c_void_p * 2)()
    listed.restype = ctypes.POINTER(ctypes.c_char_p)
    user = pwd.getpwuid(os.getuid()).pw_name.encode()
    if start(b"service", user, ctypes.byref(talk), os.fsencode(directory), ctypes.byref(handle)):
        return None
    silent = 0x8000
    failed = library.pam_open_session(handle, silent)
    found = [] if failed else _until_null(listed(handle))
    library.pam_end(handle, 0)
    return None if failed else dict(os.fsdecode(each).split("=", 1) for each in found)


def _until_null(values: Any) -> list[bytes]:
    found: list[bytes] = []
    while (value := values[len(found)]) is not None:
        found.append(value)
    return found
