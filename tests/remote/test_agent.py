"""How the agent travels, and what it says where it cannot."""

from __future__ import annotations

import grp
import io
import json
import marshal
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import MAGIC_NUMBER, find_spec, module_from_spec
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from oroboros_deploy.host import compiled, proof
from oroboros_deploy.remote import agent
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository
from tests.support.rights import require_another_user
from tests.support.watching import tree

pytestmark = pytest.mark.slow  # whole builds and activations

PATH = "/usr/bin:/bin"
USER = 65534  # nobody
STRANGER = '{"format": 2, "result": {"live": "a stranger\'s"}}'


@pytest.fixture(autouse=True)
def _travels(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host of these tests has the agent before a call takes it along."""
    monkeypatch.setattr(LocalAgent, "travels", True)


def raw_call(root: Path, data: bytes, **options: Any) -> bytes:
    """What a call for the facts says when it is sent ``data`` as the agent."""
    layout = LocalAgent(root).layout
    script = agent.packed().script(PurePosixPath(root), "facts", {"layout": layout})
    said: bytes = subprocess.run(["/bin/sh", "-c", script], input=data, stdout=-1, timeout=20, **options).stdout
    return said


def kept_agent(host: LocalAgent) -> Path:
    return Path(agent.packed().path(PurePosixPath(host.root)))


def kept_bytecode(host: LocalAgent) -> Path:
    return kept_agent(host).with_suffix(f".pyz.{sys.implementation.cache_tag}")


def only_main(data: bytes) -> bytes:
    """The agent without what its entry imports."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        target.writestr("__main__.py", source.read("__main__.py"))
    return buffer.getvalue()


def path_with(version: str, directory: Path) -> str:
    """A PATH on which python3 is that version; skips the test where there is none."""
    candidates = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")]
    for candidate in [str(each) for each in candidates if each]:
        asked = subprocess.run([candidate, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
        if asked.returncode == 0:
            (directory / "python3").symlink_to(asked.stdout.strip())
            return f"{directory}:{PATH}"
    pytest.skip(f"there is no Python {version} here")


def refusal(said: bytes) -> dict[str, str]:
    refused: dict[str, str] = json.loads(said.splitlines()[-1])["refusal"]
    return refused


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A directory of root's that everybody may read and nobody else may write."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def test_the_agent_travels_once_and_stays(host: LocalAgent) -> None:
    """The first call asks for the agent, the second finds it."""
    first, second = (
        [line for line in raw_call(host.root, sent).splitlines() if b'"alive"' not in line]  # a slow machine's
        for sent in (agent.packed().sent(), b"")
    )
    assert (first[0], len(first), len(second)) == (b"wanted", 2, 1)
    assert json.loads(first[1])["result"]["live"] is None
    proof = kept_bytecode(host).with_name(f"{kept_bytecode(host).name}.proof")
    assert sorted(host.paths.ours.glob("agent/*")) == [kept_agent(host), kept_bytecode(host), proof]


def test_the_agent_is_compiled_once(host: LocalAgent) -> None:
    """What the first call compiled, the second one runs; it is a file that only the login reads."""
    host.facts()
    (first, mode) = kept_bytecode(host).stat().st_mtime_ns, stat.S_IMODE(kept_bytecode(host).stat().st_mode)
    assert host.facts()["live"] is None
    assert (kept_bytecode(host).stat().st_mtime_ns, mode) == (first, 0o600)


def compile_another(path: Path) -> None:
    """An agent of somebody else's, where the compiled one is."""
    texts = {
        "oroboros_deploy": "",
        "oroboros_deploy.host": "",
        "oroboros_deploy.host.calls": f"def main():\n    print({STRANGER!r})\n    return 0\n",
        "oroboros_deploy.host.compiled": Path(compiled.__file__).read_text(),
    }
    codes = {name: marshal.dumps(compile(text, name, "exec", dont_inherit=True)) for name, text in texts.items()}
    modules = {name: (name in ("oroboros_deploy", "oroboros_deploy.host"), code) for name, code in codes.items()}
    path.write_bytes(MAGIC_NUMBER + marshal.dumps(modules))


def test_what_was_compiled_is_run(host: LocalAgent) -> None:
    """The agent's own modules are looked for in the bytecode first, when the proof says that this login made it."""
    host.facts()
    kept = kept_bytecode(host)
    compile_another(kept)
    Path(proof.place(str(kept))).write_text(proof.of(str(kept)))
    assert host.facts()["live"] == "a stranger's"


@pytest.mark.parametrize("way", ["written into", "put in its place", "a directory", "of another agent"])
def test_bytecode_that_this_login_did_not_make_is_not_run(host: LocalAgent, way: str) -> None:
    """Somebody put it there while the directory was open; the agent compiles itself anew."""
    host.facts()
    kept = kept_bytecode(host)
    if way == "written into":
        compile_another(kept)
    elif way == "put in its place":
        compile_another(kept.with_name("new"))
        kept.with_name("new").rename(kept)
    elif way == "a directory":
        kept.unlink()
        for module in ("oroboros_deploy/__init__.py", "oroboros_deploy/host/__init__.py"):
            (kept / module).parent.mkdir(parents=True, exist_ok=True)
            (kept / module).touch()
        (kept / "oroboros_deploy/host/calls.py").write_text(f"def main():\n    print({STRANGER!r})\n    return 0\n")
    else:  # with its proof, which names the file that it was made for
        other = kept.with_name("other")
        compile_another(other)
        Path(proof.place(str(kept))).write_text(proof.of(str(other)))
        other.rename(kept)
    assert host.facts()["live"] is None
    assert way == "a directory" or (host.facts()["live"] is None and proof.holds(str(kept)))


def test_nothing_of_the_session_is_imported(tmp_path: Path) -> None:
    """Not by PYTHONPATH, PYTHONPYCACHEPREFIX, PYTHONSTARTUP, the user's own packages or the working directory."""
    planted, home = tmp_path / "planted", tmp_path / "home"
    user = home / f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for directory in (planted, user):
        directory.mkdir(parents=True)
        for name in ("sitecustomize", "usercustomize", "gc", "json", "proof", "oroboros_deploy"):
            (directory / f"{name}.py").write_text(f"import os\nprint({STRANGER!r}, flush=True)\nos._exit(0)\n")
        (directory / "x.pth").write_text("import sitecustomize\n")
    names = {"PYTHONPATH": planted, "PYTHONPYCACHEPREFIX": planted, "PYTHONSTARTUP": planted / "json.py"}
    more = {"PYTHONHOME": "/nonexistent", "HOME": home, "PATH": os.environ["PATH"]}
    env = {name: str(value) for name, value in {**names, **more}.items()}
    host = LocalAgent(tmp_path / "srv", env=env, cwd=planted)
    assert (host.facts()["live"], host.facts()["live"]) == (None, None)


def test_a_damaged_agent_travels_again(host: LocalAgent) -> None:
    """What is not the agent by its hash is not run, nor what was compiled of it; both are made anew."""
    host.facts()
    kept_agent(host).write_bytes(only_main(agent.packed().data))
    kept_bytecode(host).write_bytes(b"damaged")
    assert raw_call(host.root, agent.packed().sent()).splitlines()[0] == b"wanted"
    assert kept_agent(host).read_bytes() == agent.packed().data
    assert kept_bytecode(host).read_bytes() != b"damaged"


def plant(root: Path) -> None:
    """What a stranger would like the login to run."""
    path = Path(agent.packed().path(PurePosixPath(root)))
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", f"print({STRANGER!r})\n")


def owned(root: Path, mode: int, user: int, group: int) -> None:
    root.mkdir()
    os.chown(root, user, group)
    root.chmod(mode)


OTHERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "everybody": (lambda root: owned(root, 0o1777, USER, USER), "is writable by everybody", "chmod o-w"),
    "a group": (lambda root: owned(root, 0o2775, USER, 1), "can be written by the members of a group", "chmod g-w"),
    "an owner": (lambda root: owned(root, 0o755, 1, USER), "belongs to daemon, and this login is nobody", "sudo chown"),
    "ours is another's": (
        lambda root: (owned(root, 0o755, 0, 0), plant(root)),
        ".deploy belongs to root, and this login is nobody: nothing was changed",
        "log in as root, as the deploys before: -H root@HOST",
    ),
    "ours is open": (
        lambda root: (owned(root, 0o755, USER, USER), plant(root), give(root), (root / ".deploy/agent").chmod(0o775)),
        "can be changed by others",
        "chmod -R go-w",
    ),
    "the agent is open": (
        lambda root: (owned(root, 0o755, USER, USER), plant(root), give(root), agent_in(root).chmod(0o666)),
        "can be changed by others",
        "chmod -R go-w",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_others_can_put_there_is_not_run(foreign: Path, case: str) -> None:
    """It is refused by name, with the command that mends it, and nothing is written."""
    require_another_user()
    arrange, told, mends = OTHERS[case]
    root = foreign / "srv"
    arrange(root)
    before = tree(root)
    said = raw_call(root, b"", user=USER, group=USER, extra_groups=[], env={"PATH": PATH})
    refused = refusal(said)
    assert (refused["kind"], told in refused["message"], mends in refused["hint"]) == ("invalid", True, True), refused
    assert tree(root) == before


def test_a_login_whose_name_has_signs_of_json(foreign: Path) -> None:
    """The refusal stays readable, and names it as it is called."""
    require_another_user()
    (foreign / "bin").mkdir()
    (foreign / "bin/id").write_text("#!/bin/sh\nprintf '%s\\n' 'DOM\\a\"b'\n")
    (foreign / "bin/id").chmod(0o755)
    owned(foreign / "srv", 0o755, 1, USER)
    env = {"PATH": f"{foreign}/bin:{PATH}"}
    refused = refusal(raw_call(foreign / "srv", b"", user=USER, group=USER, extra_groups=[], env=env))
    assert 'belongs to daemon, and this login is DOM\\a"b' in refused["message"]


def test_root_leaves_the_deploys_of_a_login_to_it(foreign: Path) -> None:
    """What root wrote there the login could not write any more."""
    require_another_user()
    root = foreign / "srv"
    owned(root, 0o755, 0, 0)
    plant(root)
    give(root)
    os.chown(root, 0, 0)
    before = tree(root)
    assert refusal(raw_call(root, agent.packed().sent())) == {
        "kind": "invalid",
        "message": f"{root}/.deploy belongs to nobody, and this login is root: nothing was changed",
        "hint": "log in as nobody, as the deploys before: -H nobody@HOST",
    }
    assert tree(root) == before


def test_a_group_of_the_login_alone_may_write(foreign: Path) -> None:
    """As where each user has a group, and directories belong to it; root is no stranger either."""
    require_another_user()
    group = next(number for number in range(60000, 61000) if number not in {each.gr_gid for each in grp.getgrall()})
    root = foreign / "srv"
    owned(root, 0o2775, 0, group)
    said = raw_call(root, agent.packed().sent(), user=USER, group=group, extra_groups=[], env={"PATH": PATH})
    assert json.loads(said.splitlines()[-1])["result"]["live"] is None


def give(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, USER, USER)


def agent_in(root: Path) -> Path:
    return Path(agent.packed().path(PurePosixPath(root)))


@pytest.mark.parametrize("damage", ["cut", "of another python", "unreadable"])
def test_bytecode_that_cannot_be_used_is_not_needed(host: LocalAgent, damage: str) -> None:
    """Whatever became of the compiled agent, the agent itself answers."""
    host.facts()
    kept = kept_bytecode(host)
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-100])
    elif damage == "unreadable":
        kept.unlink()
        kept.mkdir()
    else:
        kept.write_bytes(b"\x00\x00\r\nwhat this Python cannot read")
        Path(proof.place(str(kept))).write_text(proof.of(str(kept)))
    assert host.facts()["live"] is None


def test_a_process_packs_it_once_for_many_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that are asked side by side wait for one packing, and do not each make their own."""
    spec = find_spec(agent.__name__)
    assert spec and spec.loader
    anew = module_from_spec(spec)  # it has packed nothing yet
    spec.loader.exec_module(anew)
    made: list[agent.Agent] = []
    monkeypatch.setattr(anew, "pack", lambda: made.append(agent.pack()) or made[-1])
    with ThreadPoolExecutor(8) as pool:
        got = [*pool.map(lambda _: anew.packed(), range(8))]
    assert (len(made), got) == (1, made * 8)


def test_the_same_source_packs_to_the_same_bytes() -> None:
    """The hash names the source: nothing of the machine, the time or the order gets in."""
    again = agent.pack()
    entries = zipfile.ZipFile(io.BytesIO(again.data)).infolist()
    assert (again, again is not agent.packed()) == (agent.packed(), True)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)


def test_the_number_of_the_version_is_not_in_it() -> None:
    """A release of this tool that changes no file of the agent leaves the agent's name, so hosts need no new one.

    Nor are the types of what it says in it, which it never imports.
    """
    with zipfile.ZipFile(io.BytesIO(agent.packed().data)) as archive:
        assert [name for name in archive.namelist() if name.endswith(("/version.py", "/contract.py"))] == []


def test_a_host_is_sent_less_than_half_of_it() -> None:
    """Nothing is compressed to know the hash, which every command does; what travels is."""
    packed = agent.packed()
    stored = {entry.compress_type for entry in zipfile.ZipFile(io.BytesIO(packed.data)).infolist()}
    assert (stored, len(packed.sent()) < len(packed.data) / 2) == ({zipfile.ZIP_STORED}, True)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"?", lambda data: b""])
def test_a_damaged_copy_is_refused_and_not_stored(host: LocalAgent, damage: Any) -> None:
    """Cut or changed on the way, the agent neither runs nor stays."""
    said = raw_call(host.root, damage(agent.packed().sent()))
    assert refusal(said) == {
        "kind": "invalid",
        "message": "the agent could not be stored on this host",
        "hint": f"df {host.root}",
    }
    assert list((host.paths.ours / "agent").iterdir()) == []


def test_the_directories_are_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    """The root can be read by the services' users, our own files by nobody else."""
    modes = {}
    for umask in (0o000, 0o077):
        host = LocalAgent(tmp_path / f"{umask:o}" / "srv", umask=umask)
        host.facts()
        modes[umask] = [stat.S_IMODE(path.stat().st_mode) for path in (host.root, host.paths.ours)]
    assert modes == {0o000: [0o755, 0o700], 0o077: [0o755, 0o700]}


def test_a_root_that_cannot_be_written_is_said_with_the_way_out(foreign: Path) -> None:
    """A login without the right to write gets the command that gives it, and leaves nothing."""
    require_another_user()
    root = foreign / "srv"
    said = raw_call(root, b"", user=65534, group=65534, extra_groups=[], env={"PATH": PATH})
    assert refusal(said) == {
        "kind": "invalid",
        "message": f"{root} cannot be written by this login",
        "hint": "fab -H root@HOST setup --login=nobody",
    }
    assert list(foreign.iterdir()) == []


def test_an_ordinary_login_deploys_what_others_can_read(foreign: Path) -> None:
    """Without root and with the strictest umask the release is built, goes live and is readable by all."""
    require_another_user()
    root = foreign / "srv"
    repository = Repository(foreign / "source")
    sha = repository.commit(backend__app="1")
    host = LocalAgent(root, user=65534, group=65534, extra_groups=[], umask=0o077, env={"PATH": PATH})
    host.mirror(repository)
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534)
    built, activated = host.build(sha), host.activate(sha)
    assert (built.refusal, activated.refusal, host.live) == (None, None, sha)
    release = host.paths.release(sha)
    found = {str(path.relative_to(release)): stat.S_IMODE(path.stat().st_mode) for path in release.rglob("*")}
    assert found == {
        "backend": 0o555,
        "backend/app": 0o444,
        ".deploy-meta": 0o444,
        ".deploy-manifest": 0o444,
        ".deploy-seal": 0o444,
    }
    assert stat.S_IMODE(release.parent.stat().st_mode) == 0o755


def test_a_host_without_python_is_told_so(host: LocalAgent, tmp_path: Path) -> None:
    """Where there is no python3 the answer is a sentence and a command, not a shell's complaint."""
    tools = tmp_path / "bin"
    tools.mkdir()
    said = raw_call(host.root, b"", env={"PATH": str(tools)})
    assert refusal(said) == {
        "kind": "invalid",
        "message": "python3 (3.9 or later) is not installed on this host",
        "hint": "apt install python3",
    }
    assert not host.root.exists()


@pytest.mark.parametrize("version", ["3.6", "3.8"])
def test_an_old_python_is_told_so(tmp_path: Path, version: str) -> None:
    """A python3 that cannot run the agent is named, not shown failing."""
    env = {"PATH": path_with(version, tmp_path)}
    answer = LocalAgent(tmp_path / "srv", env=env).call("facts", {"sha": None})
    assert answer.refusal == {
        "kind": "invalid",
        "message": "python3 (3.9 or later) is not installed on this host",
        "hint": "apt install python3",
    }


def test_the_oldest_supported_python_runs_every_call(host: LocalAgent, mirrored: Repository, tmp_path: Path) -> None:
    """Facts, build and activate work on Python 3.9."""
    old = LocalAgent(host.root, env={"PATH": path_with("3.9", tmp_path)})
    sha = mirrored.git("rev-parse", "HEAD")
    facts = old.facts(sha)
    assert (facts["python"].rsplit(".", 1)[0], facts["has_commit"]) == ("3.9", True)
    assert old.build(sha).result is not None
    assert old.activate(sha).phases == ["prepared", "swapped", "restarted", "gated", "committed"]
    assert old.live == sha


def test_a_root_with_quotes_and_spaces_is_one_word(tmp_path: Path) -> None:
    """Whatever the root is called, the shell takes it for a path and nothing more."""
    host = LocalAgent(tmp_path / """a 'root' "of" $(touch pwned) mine""")
    assert host.facts()["problems"] == []
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [host.root.name]


def test_a_control_node_that_dies_at_once_is_no_error_of_ours(host: LocalAgent) -> None:
    """A call whose answer nobody waits for ends quietly."""
    host.facts()
    process = host.start("facts", {})
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 1)
    process.stdin.close()
    process.stderr.close()
