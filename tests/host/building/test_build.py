"""The build call: a commit becomes a sealed release, or nothing is left of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from oroboros_deploy.host import manager, seal
from oroboros_deploy.host.building import build as building
from oroboros_deploy.host.refusal import Refusal
from oroboros_deploy.host.wire import REQUEST
from oroboros_deploy.source import Source
from tests.support.builds import began, hang_up, wheel
from tests.support.clock import within
from tests.support.local_agent import RECIPE, LocalAgent
from tests.support.repository import Repository
from tests.support.second_tools import by_npm
from tests.support.watching import eventually, inodes, kill_left, processes, tree

pytestmark = pytest.mark.slow


def step(command: str, name: str = "step", path: str = ".") -> dict[str, Any]:
    return {"steps": [{"name": name, "path": path, "command": command}]}


def head(repository: Repository) -> str:
    return repository.git("rev-parse", "HEAD")


def answer_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What the call said last; then nobody asks any more."""
    assert process.stdout
    answer: dict[str, Any] = next(said for said in map(json.loads, process.stdout) if "event" not in said)
    process.communicate(timeout=20)
    return answer


def log_of(host: LocalAgent, part: str) -> bytes:
    (log,) = host.paths.ours.glob(f"attempts/*/{part}.log")
    return log.read_bytes()


def test_a_commit_becomes_a_sealed_tree(host: LocalAgent, mirrored: Repository) -> None:
    """Modes lose every write and set-id bit, and no other one; three files of ours say what it is."""
    sha = head(mirrored)
    command = "(umask 077; mkdir -p made/deep); cd made; echo 1 >deep/file; chmod 6711 deep/file; ln -s deep link"
    answer = host.build(sha, step(command))
    assert (answer.result or {})["state"] == "sealed"
    release = host.paths.release(sha)
    found = tree(release)
    ours = {name: found.pop(name) for name in seal.OURS}
    assert found == {
        "file": ("-r--r--r--", "content\n"),
        "run": ("dr-xr-xr-x", ""),
        "run/me": ("-r--r--r--", "#!/bin/sh\n"),
        "made": ("dr-x------", ""),
        "made/deep": ("dr-x------", ""),
        "made/deep/file": ("-r-x--x--x", "1\n"),
        "made/link": ("lrwxrwxrwx", "deep"),
    }
    assert {mode for mode, _ in ours.values()} == {"-r--r--r--"}
    assert stat.S_IMODE(release.stat().st_mode) == 0o555
    assert sorted(json.loads(line)[0] for line in ours[seal.MANIFEST][1].splitlines()) == sorted(found)
    assert list(seal.read_meta(release)) == [
        *("commit_sha", "built_at_utc", "build_host", "builder", "version", "built_after", "recipe"),
    ]
    meta = seal.read_meta(release)
    assert (meta["commit_sha"], meta["builder"], meta["recipe"]) == (sha, "oroboros_deploy/test", RECIPE["digest"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", meta["built_at_utc"])


def test_files_are_what_was_committed(host: LocalAgent, mirrored: Repository) -> None:
    """Odd names, bytes and modes arrive as they are; export rules and hooks of the mirror change nothing."""
    odd = os.fsdecode(b"n\xffame \n\x1b[1m")
    (mirrored.path / odd).write_bytes(bytes(range(256)))
    (mirrored.path / ".gitattributes").write_text("file export-ignore\n")
    sha = mirrored.commit()
    host.mirror(mirrored)
    hook = host.paths.repo / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)
    assert host.build(sha).refusal is None
    release = host.paths.release(sha)
    assert (release / odd).read_bytes() == bytes(range(256))
    assert sorted(path.name for path in release.iterdir() if not path.name.startswith(".deploy")) == sorted(
        [".gitattributes", "file", "run", odd]
    )


def test_a_failing_part_leaves_no_release(host: LocalAgent, mirrored: Repository) -> None:
    """The refusal names the part, how it ended and its last words; the directory is gone."""
    sha = head(mirrored)
    request = host.build_request(sha, step("echo first; echo the cause >&2; exit 9", "assets"))
    answer, log = host.call("build", request), host.paths.attempt(request["attempt"]) / "assets.log"
    assert answer.refusal == {
        "kind": "build_failed",
        "message": "assets: 'echo first; echo the cause >&2; exit 9' exited 9",
        "hint": f"fix it and deploy again; the log is on the host: {log}",
        "log": "first\nthe cause",
    }
    assert (list(host.paths.releases.iterdir()), list(host.paths.tmp.iterdir())) == ([], [])
    assert log_of(host, "assets") == b"first\nthe cause\n"


def test_the_log_of_a_part_has_its_output_byte_for_byte(host: LocalAgent, mirrored: Repository) -> None:
    """Whatever a part prints, binary included, is in its log; and its text is told while it runs."""
    answer = host.build(head(mirrored), step(r"printf 'a\0\377\r\n'; head -c 200000 /dev/zero; echo end"))
    assert log_of(host, "step") == b"a\0\xff\r\n" + bytes(200000) + b"end\n"
    told = "".join(event["data"]["text"] for event in answer.events if event["event"] == "output")
    assert told == "a\0�\r\n" + "\0" * 200000 + "end\n"


def test_what_a_build_runs_does_not_see_the_request(host: LocalAgent, mirrored: Repository) -> None:
    """It comes in a variable of the environment, which ends with the agent."""
    host.build(head(mirrored), step("env"))
    assert b"PATH=" in log_of(host, "step") and REQUEST.encode() not in log_of(host, "step")


def test_a_step_in_a_directory_that_is_not_there_is_said(host: LocalAgent, mirrored: Repository) -> None:
    """The name in the message is the one in the configuration."""
    answer = host.build(head(mirrored), step("true", "docs", path="no/such"))
    assert (answer.refusal or {})["message"] == "docs: there is no directory no/such in the commit"


def test_a_sealed_release_is_not_built_again(host: LocalAgent, mirrored: Repository) -> None:
    """The second build finds the first one's release and runs nothing."""
    sha = head(mirrored)
    host.build(sha, step("date +%N >when"))
    before = tree(host.paths.releases)
    assert (host.build(sha, step("exit 1")).result or {})["state"] == "sealed"
    assert tree(host.paths.releases) == before


def other(command: str) -> dict[str, Any]:
    """Another recipe than the one of `step`."""
    return step(command) | {"digest": "e" * 64}


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def earlier(host: LocalAgent, mirrored: Repository) -> str:
    """A release that says so in a file, and is not live."""
    sha = head(mirrored)
    host.build(sha, step("echo one >made"))
    return sha


@pytest.mark.parametrize(
    ("recipe", "asked", "words"),
    [
        (other("echo two >made"), {}, "it was built with other settings of `build`, `shared` or `privileged`"),
        (step("echo two >made"), {"again": True}, "--rebuild was said"),
        (step("echo two >made"), {"bad": "no luck"}, "it failed here before: no luck"),
    ],
)
def test_a_release_that_is_not_what_was_asked_for_is_built_again(
    host: LocalAgent, earlier: str, recipe: dict[str, Any], asked: dict[str, Any], words: str
) -> None:
    """By another recipe, after it failed, or because somebody said so; it is then one that has not failed."""
    if bad := asked.get("bad"):
        host.paths.bad(earlier).write_text(bad)
    answer = host.call("build", {**host.build_request(earlier, recipe), **asked})
    release = host.paths.release(earlier)
    assert (answer.refusal, answer.said("build.again")) == (None, [f"{earlier} is built again: {words}"])
    assert (release / "made").read_text() == "two\n"
    assert (names(host.paths.releases), seal.verify(release)) == ([earlier], None)
    assert host.facts(earlier)["target"]["recipe"] == (recipe.get("digest") or RECIPE["digest"])
    assert host.facts(earlier)["target"]["bad"] is None


def test_what_other_tools_made_is_built_again_on_demand(host: LocalAgent, mirrored: Repository) -> None:
    """Only then: no recipe is known of it, so every recipe fits."""
    sha = head(mirrored)
    release = host.paths.releases / sha
    release.mkdir(parents=True)
    (release / seal.META).write_text(f"commit_sha={sha}\n")
    assert (host.build(sha, other("true")).result or {})["state"] == "adopted"
    asked = {**host.build_request(sha, other("true")), "again": True}
    assert (host.call("build", asked).result or {})["state"] == "sealed"
    assert seal.read_meta(release)["recipe"] == "e" * 64


def test_the_earlier_build_comes_back_when_the_new_one_fails(host: LocalAgent, earlier: str) -> None:
    """It is in its place again, whole, and can be switched to."""
    before = tree(host.paths.releases)
    assert (host.build(earlier, other("echo half >made; exit 1")).refusal or {})["kind"] == "build_failed"
    assert tree(host.paths.releases) == before
    assert host.activate(earlier).phases[-1] == "committed"


def test_the_earlier_build_comes_back_when_the_new_one_is_killed(
    host: LocalAgent, mirrored: Repository, earlier: str
) -> None:
    """Meanwhile a rollback to it is refused by name; after the kill the next call that needs it finds it."""
    before = tree(host.paths.release(earlier))
    process = host.start("build", host.build_request(earlier, other("echo half >half; sleep 60")))
    try:
        assert eventually(lambda: (host.paths.release(earlier) / "half").exists())
        assert host.facts(earlier)["target"]["state"] == "building"
        assert (host.activate(earlier).refusal or {})["kind"] == "busy"
    finally:
        process.kill()
        process.communicate()
    assert host.facts(earlier)["target"]["state"] == "sealed"
    another = mirrored.commit("another")
    host.mirror(mirrored)
    assert host.build(another).refusal is None
    assert (names(host.paths.releases), tree(host.paths.release(earlier))) == (sorted([earlier, another]), before)


def test_a_release_whose_interpreter_is_gone_is_built_again(
    host: LocalAgent, mirrored: Repository, tmp_path: Path
) -> None:
    """A real virtual environment: without its python3 the release is damaged, and then made anew."""
    sha, local = head(mirrored), tmp_path / "python3"
    local.symlink_to(os.path.realpath(sys.executable))
    python3 = f"$(test -x {local} && echo {local} || echo {os.path.realpath(sys.executable)})"
    make = step(f"{python3} -m venv --without-pip .venv")
    assert host.build(sha, make).refusal is None
    assert host.facts(sha)["target"]["state"] == "sealed"
    local.unlink()
    python = host.paths.release(sha) / ".venv" / "bin" / "python"
    assert (host.facts(sha)["target"]["state"], python.exists()) == ("damaged", False)
    assert host.build(sha, make).refusal is None
    assert (host.facts(sha)["target"]["state"], python.exists()) == ("sealed", True)


def test_what_a_process_runs_from_is_not_built_again(host: LocalAgent, earlier: str) -> None:
    """A service that nobody restarted keeps the files that it started with."""
    release = host.paths.release(earlier)
    before = tree(release)
    running = subprocess.Popen(["sleep", "60"], cwd=release)
    try:
        assert host.build(earlier, other("true")).refusal == {
            "kind": "busy",
            "message": f"release {earlier} cannot be built again while process {running.pid} runs from it; a rebuild "
            "is needed because it was built with other settings of `build`, `shared` or `privileged`",
            "hint": "restart its service (fab -H HOST restart), or deploy another commit",
        }
    finally:
        running.kill()
        running.wait()
    assert tree(release) == before


def test_what_is_live_is_not_built_again(host: LocalAgent, earlier: str) -> None:
    """Also when somebody asks for it with --rebuild, or with another recipe."""
    host.activate(earlier)
    before = tree(host.root)
    for asked in ({"recipe": {**RECIPE, "digest": "e" * 64}}, {"again": True}):
        answer = host.call("build", {**host.build_request(earlier), **asked})
        assert "cannot be rebuilt in place" in (answer.refusal or {})["message"]
    assert tree(host.root) == before


def test_a_half_built_directory_is_never_reused(host: LocalAgent, mirrored: Repository) -> None:
    """What an interrupted build left is swept, its own and that of other commits, and built from nothing."""
    sha, other = head(mirrored), "ab" * 20
    for release_id in (sha, other):
        left = host.paths.releases / release_id / "sub"
        left.mkdir(parents=True)
        (left / "half").write_text("")
        left.chmod(0)
    answer = host.build(sha)
    assert sorted(answer.said("swept")) == sorted(f"removed the incomplete build of {each}" for each in (sha, other))
    assert [path.name for path in host.paths.releases.iterdir()] == [sha]
    assert not (host.paths.release(sha) / "sub").exists()


def test_a_build_that_got_as_far_as_its_meta_is_not_adopted(host: LocalAgent, mirrored: Repository) -> None:
    """Ours is complete with its seal only; a meta file of our own making is not enough."""
    sha = head(mirrored)
    release = host.paths.releases / sha
    release.mkdir(parents=True)
    meta = seal.meta_now(sha, "test")
    (release / seal.META).write_text("".join(f"{key}={value}\n" for key, value in meta.items()))
    assert host.facts(sha)["target"]["state"] == "unsealed"
    assert (host.activate(sha).refusal or {})["message"] == f"release {sha} is unsealed on this host"
    assert (host.build(sha).result or {})["state"] == "sealed"
    assert (release / "file").read_text() == "content\n"


def test_a_release_of_the_old_scripts_is_adopted(host: LocalAgent, mirrored: Repository) -> None:
    """A .deploy-meta for this very commit and no seal: usable as it is, never rebuilt, never swept."""
    sha = head(mirrored)
    release = host.paths.releases / sha
    release.mkdir(parents=True)
    (release / seal.META).write_text(f"commit_sha={sha}\nbuilt_at_utc=2020-01-01T00:00:00Z\nbuild_host=old\n")
    (release / "old").write_text("yes")
    before = tree(host.root)
    assert (host.build(sha).result or {})["state"] == "adopted"
    assert host.facts(sha)["target"] == {
        "state": "adopted",
        "damage": None,
        "bad": None,
        "recipe": None,
        "gate": None,
        "configuration": None,
        "configured": False,
    }
    host.build(mirrored.commit("another"))
    assert tree(host.root) == before
    assert host.activate(sha).phases[-1] == "committed"


def test_a_meta_for_another_commit_adopts_nothing(host: LocalAgent, mirrored: Repository) -> None:
    """A directory renamed or copied by hand is not the release its name says."""
    sha = head(mirrored)
    release = host.paths.releases / sha
    release.mkdir(parents=True)
    (release / seal.META).write_text(f"commit_sha={'0' * 40}\n")
    assert host.facts(sha)["target"]["state"] == "unsealed"


def test_a_release_id_that_is_a_file_or_a_link_is_replaced(host: LocalAgent, mirrored: Repository) -> None:
    """What only looks like a release is removed itself, and nothing behind it."""
    sha, other = head(mirrored), "cd" * 20
    host.paths.releases.mkdir(parents=True)
    elsewhere = host.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("precious")
    (host.paths.releases / sha).symlink_to(elsewhere)
    (host.paths.releases / other).write_text("a file")
    assert (host.build(sha).result or {})["state"] == "sealed"
    assert tree(elsewhere) == {"file": ("-rw-r--r--", "precious")}
    assert [path.name for path in host.paths.releases.iterdir()] == [sha]


def change_a_file(release: Path) -> None:
    release.chmod(0o755)
    (release / "file").chmod(0o644)
    (release / "file").write_text("changed")


def lose_the_manifest(release: Path) -> None:
    release.chmod(0o755)
    (release / seal.MANIFEST).unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change_a_file, "'file' changed since the seal"),
        (lose_the_manifest, ".deploy-manifest or .deploy-seal cannot be read"),
    ],
)
def test_damage_is_noticed_and_rebuilt(host: LocalAgent, mirrored: Repository, damage: Any, words: str) -> None:
    """A changed release is damaged in the facts, refused by the activation and made again by the build."""
    sha = head(mirrored)
    host.build(sha)
    damage(host.paths.release(sha))
    assert host.facts(sha)["target"] == {
        "state": "damaged",
        "damage": words,
        "bad": None,
        "recipe": RECIPE["digest"],
        "gate": None,
        "configuration": None,
        "configured": False,
    }
    assert host.activate(sha).refusal == {
        "kind": "invalid",
        "message": f"release {sha} is damaged: {words}",
        "hint": "deploy it again to rebuild it",
    }
    assert (host.build(sha).result or {})["state"] == "sealed"
    assert seal.verify(host.paths.release(sha)) is None
    assert sorted(path.name for path in host.paths.release(sha).iterdir()) == sorted(["file", "run", *seal.OURS])


def test_a_damaged_release_that_is_live_is_not_touched(host: LocalAgent, mirrored: Repository) -> None:
    """Rebuilding what serves would take it away from under the services."""
    sha = head(mirrored)
    host.build(sha)
    host.activate(sha)
    change_a_file(host.paths.release(sha))
    before = tree(host.root)
    assert host.build(sha).refusal == {
        "kind": "invalid",
        "message": f"nothing was switched: release {sha} is live ({host.paths.current} names it), and what is live "
        "cannot be rebuilt in place; a rebuild is needed because 'file' changed since the seal",
        "hint": "roll back first, or deploy another commit: git commit --allow-empty -m 'build again'",
    }
    assert tree(host.root) == before


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [True, False])
def test_the_way_back_of_a_running_activation_is_not_swept(
    host: LocalAgent, mirrored: Repository, tmp_path: Path, damaged: bool
) -> None:
    """Whatever is wrong with it: asked for again it is refused, other builds leave it, and the restore finds it."""
    old, go = head(mirrored), tmp_path / "go"
    host.build(old)
    host.activate(old)
    new, other = mirrored.commit(file="new"), mirrored.commit(file="other")
    host.mirror(mirrored)
    host.build(new)
    release = host.paths.release(old)
    change_a_file(release)
    if not damaged:
        seal.unmake(release)
    gate = f"test $(basename $PWD) = {old} || {{ until test -e {go}; do sleep 0.02; done; false; }}"
    check = {"command": gate, "timeout": 20, "interval": 20, "stable_for": 0}
    running = threading.Thread(target=host.activate, args=(new,), kwargs={"healthcheck": check})
    running.start()
    assert eventually(lambda: host.live == new)
    before = tree(release)
    refusal = host.build(old).refusal or {}
    assert host.build(other).refusal is None
    assert tree(release) == before
    go.touch()
    running.join()
    assert (host.live, host.journal[-1]["outcome"]) == (old, "restored")
    wrong = "'file' changed since the seal" if damaged else "it was never completed"
    assert refusal == {
        "kind": "busy",
        "message": f"release {old} cannot be rebuilt while an activation may go back to it; a rebuild is needed "
        f"because {wrong}",
        "hint": "wait until the activation has ended (fab -H HOST status), or deploy another release first",
    }


def test_a_damaged_release_of_another_commit_is_kept(host: LocalAgent, mirrored: Repository) -> None:
    """It may be the one that processes still run from; only its own build replaces it."""
    sha = head(mirrored)
    host.build(sha)
    change_a_file(host.paths.release(sha))
    other = mirrored.commit("another")
    host.mirror(mirrored)
    assert host.build(other).said("swept") == []
    assert sorted(path.name for path in host.paths.releases.iterdir()) == sorted([sha, other])


def test_a_current_that_leads_nowhere_is_not_filled_by_a_build(host: LocalAgent, mirrored: Repository) -> None:
    """A build in place would show half a release through current."""
    sha = head(mirrored)
    host.paths.create()
    host.paths.current.symlink_to(f"releases/{sha}")
    refusal = host.build(sha).refusal or {}
    assert refusal["message"].endswith("cannot be rebuilt in place; a rebuild is needed because it is gone")
    assert list(host.paths.releases.iterdir()) == []


@pytest.mark.parametrize("name", seal.OURS)
def test_a_commit_with_a_name_of_ours_is_refused(host: LocalAgent, mirrored: Repository, name: str) -> None:
    """A repository cannot bring its own seal."""
    sha = mirrored.commit(**{name: "commit_sha=mine"})
    host.mirror(mirrored)
    assert host.build(sha).refusal == {
        "kind": "invalid",
        "message": f"the commit contains {name}, a name that releases keep for themselves",
        "hint": "give it another name in the repository, and commit that",
    }
    assert list(host.paths.releases.iterdir()) == []


def test_a_submodule_is_refused(host: LocalAgent, mirrored: Repository) -> None:
    """An empty directory in its place would be a silent lie."""
    mirrored.git("update-index", "--add", "--cacheinfo", f"160000,{head(mirrored)},libs/théme")
    mirrored.git("commit", "--quiet", "--message", "a submodule")
    host.mirror(mirrored)
    sha = head(mirrored)
    refusal = host.build(sha).refusal or {}
    assert refusal["message"] == (
        f"nothing was switched: commit {sha} has a submodule at 'libs/théme', and a release has none"
    )
    assert list(host.paths.releases.iterdir()) == []


@pytest.mark.parametrize("make", ["mkfifo odd", "python3 -c 'import socket; socket.socket(1).bind(\"odd\")'"])
def test_a_special_file_is_refused(host: LocalAgent, mirrored: Repository, make: str) -> None:
    """A release holds files and links only."""
    sha = head(mirrored)
    refusal = host.build(sha, step(make)).refusal or {}
    odd = host.paths.release(sha) / "odd"
    assert refusal["message"] == f"{odd} is a device, pipe or socket; a release holds files and links only"
    assert list(host.paths.releases.iterdir()) == []


def test_links_out_of_the_tree_are_never_followed(host: LocalAgent, mirrored: Repository, tmp_path: Path) -> None:
    """Sealing and removing a release leave alone what its links point to."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "file").write_text("precious")
    before = tree(tmp_path / "outside")
    sha = head(mirrored)
    host.build(sha, step(f"ln -s {outside} out; ln -s {outside}/file file-out"))
    seal.remove(host.paths.release(sha))
    assert (tree(outside), stat.S_IMODE(outside.stat().st_mode)) == (before, 0o750)
    assert not host.paths.release(sha).exists()


def test_a_commit_that_is_nowhere_is_said(host: LocalAgent, mirrored: Repository) -> None:
    """The mirror is named, and no directory appears."""
    assert host.build("0" * 40).refusal == {
        "kind": "missing_commit",
        "message": f"commit {'0' * 40} is not in {host.paths.repo}",
        "hint": "deploy again: the commit is then sent to this host, or fetched",
    }
    assert list(host.paths.releases.iterdir()) == []


def test_the_sha_of_a_tree_is_not_a_commit(host: LocalAgent, mirrored: Repository) -> None:
    """An object of that name is not enough."""
    assert (host.build(mirrored.git("rev-parse", "HEAD^{tree}")).refusal or {})["kind"] == "missing_commit"


def bundle(repository: Repository, sha: str) -> bytes:
    repository.git("update-ref", f"refs/oroboros/{sha}", sha)
    repository.git("bundle", "create", "--quiet", "../sent.bundle", f"refs/oroboros/{sha}")
    return (repository.path.parent / "sent.bundle").read_bytes()


@pytest.mark.parametrize("names", ["sha1", "sha256"])
def test_a_bundle_brings_the_commit(host: LocalAgent, tmp_path: Path, names: str) -> None:
    """A host that never saw the repository builds from what it is sent, whatever git names its objects by."""
    repository = Repository(tmp_path / "source", names)
    sha = repository.commit(file="sent")
    assert host.build(sha, bundle=bundle(repository, sha)).refusal is None
    assert (host.paths.release(sha) / "file").read_text() == "sent"


@pytest.mark.parametrize("sent", [b"", b"100000\n", b"5\nabcde", b"5\nabcde3\nab"])
def test_a_bundle_cut_in_the_middle_leaves_nothing(host: LocalAgent, repository: Repository, sent: bytes) -> None:
    """A control node that dies while it sends is never taken for one that has sent all."""
    sha = repository.commit(file="sent")
    process = began(host, host.build_request(sha, source="bundle"))
    output, errors = process.communicate(sent, timeout=10)
    assert (process.returncode, output, errors) == (1, b"", b"")
    assert (list(host.paths.releases.iterdir()), list(host.paths.tmp.iterdir())) == ([], [])


def test_a_bundle_that_is_broken_is_refused(host: LocalAgent, repository: Repository) -> None:
    """What arrives whole but is no bundle ends the build, in git's own words."""
    refusal = host.build(repository.commit(file="sent"), bundle=b"# v2 git bundle\nnonsense\n").refusal or {}
    assert (refusal["kind"], refusal["message"].startswith("git fetch exited 128: ")) == ("build_failed", True)


@pytest.fixture
def removed(tmp_path: Path) -> Iterator[None]:
    """What is left in the end is removed, for pytest recurses."""
    yield
    subprocess.run(["rm", "-rf", tmp_path / "srv"], check=True)


@pytest.mark.usefixtures("removed")
@pytest.mark.parametrize(("depth", "made"), [(1200, True), (5000, False)])
def test_a_deep_tree_stops_no_later_build(host: LocalAgent, mirrored: Repository, depth: int, made: bool) -> None:
    """Deeper than Python recurses it is built; deeper than a path may be long it is refused, and nothing is left."""
    deep_tree = f"import os; [(os.mkdir('d'), os.chdir('d')) for _ in range({depth})]"
    sha = head(mirrored)
    answer = host.build(sha, step(f'python3 -c "{deep_tree}"'))
    assert ((answer.refusal or {"message": ""})["message"].startswith("the host could not go on")) != made
    assert [path.name for path in host.paths.releases.iterdir()] == ([sha] if made else [])
    other = mirrored.commit("another")
    host.mirror(mirrored)
    (host.paths.releases / sha / seal.SEAL).unlink(missing_ok=True)
    assert host.build(other).refusal is None
    assert [path.name for path in host.paths.releases.iterdir()] == [other]


def empty_a_ref(repo: Path, sha: str) -> None:
    (repo / "refs" / "oroboros" / sha).write_text("")


def empty_objects(repo: Path, sha: str) -> None:
    for path in (each for each in (repo / "objects").rglob("*") if each.is_file()):
        path.chmod(0o644)
        path.write_bytes(b"")


def lose_the_head(repo: Path, sha: str) -> None:
    (repo / "HEAD").write_text("")


@pytest.fixture
def sent(host: LocalAgent, repository: Repository) -> str:
    """A commit that the host was sent, and has a release of."""
    sha = repository.commit(file="one")
    assert host.build(sha, bundle=bundle(repository, sha)).refusal is None
    return sha


@pytest.mark.parametrize("damage", [empty_a_ref, empty_objects, lose_the_head])
def test_a_damaged_mirror_is_made_anew(host: LocalAgent, repository: Repository, sent: str, damage: Any) -> None:
    """What a power cut left unreadable is set aside and told, and stops neither this deploy nor the next.

    Where only objects are empty, a newer git (seen with 2.47) writes them anew by itself.
    """
    damage(host.paths.repo, sent)
    assert host.facts(sent)["tips"] == []
    sha = repository.commit(file="two")
    answer = host.build(sha, bundle=bundle(repository, sha))
    told = len(answer.said("mirror.damaged"))
    assert (answer.refusal, told or damage is empty_objects) == (None, True)
    assert (host.paths.release(sha) / "file").read_text() == "two"
    assert (host.root / "repo.damaged").is_dir() == bool(told)
    damage(host.paths.repo, sha)
    third = repository.commit(file="three")
    assert host.build(third, bundle=bundle(repository, third)).refusal is None


@pytest.mark.parametrize("left", ["refs/oroboros/{sha}.lock", "packed-refs.lock", "shallow.lock", "config.lock"])
def test_a_lock_that_a_killed_git_left_stops_no_build(
    host: LocalAgent, repository: Repository, sent: str, left: str
) -> None:
    """A power cut in the middle of a fetch leaves locks that nobody holds; git would wait for their removal by hand."""
    sha = repository.commit(file="two")
    repository.git("update-ref", f"refs/oroboros/{sha}", sha)
    host.paths.repo.joinpath(left.format(sha=sha)).touch()
    assert host.build(sha, bundle=bundle(repository, sha)).refusal is None
    assert list(host.paths.repo.rglob("*.lock")) == []


def test_a_mirror_that_lost_a_file_asks_for_the_history(host: LocalAgent, repository: Repository, sent: str) -> None:
    """The commit is there and one of its files is not: it is sent whole by the next deploy, and the refusal says so."""
    seal.remove(host.paths.release(sent))
    blob = repository.git("rev-parse", f"{sent}:file")
    (pack,) = host.paths.repo.glob("objects/pack/*.pack")
    moved = pack.rename(host.root / "pack")
    with moved.open("rb") as packed:
        subprocess.run(["git", "unpack-objects", "-q"], cwd=host.paths.repo, stdin=packed, check=True)
    (host.paths.repo / "objects" / blob[:2] / blob[2:]).unlink()
    refusal = host.build(sent).refusal or {}
    assert (refusal["kind"], refusal["hint"]) == ("missing_commit", "deploy again: the whole history is sent then")
    assert (host.facts(sent)["has_commit"], list(host.paths.releases.iterdir())) == (False, [])
    assert host.build(sent, bundle=bundle(repository, sent)).refusal is None


def test_a_damaged_repository_of_somebody_else_is_left(host: LocalAgent, mirrored: Repository) -> None:
    """One that we did not make is refused by name, and stays where it is."""
    shutil.rmtree(host.paths.repo / "refs/oroboros")  # what only we write
    lose_the_head(host.paths.repo, "")
    sha = mirrored.commit(file="two")
    refusal = host.build(sha, bundle=bundle(mirrored, sha)).refusal or {}
    assert refusal["message"].startswith("nothing was switched: oroboros_deploy did not make what is in ")
    assert sorted(path.name for path in host.root.glob("repo*")) == ["repo"]


def test_a_failure_of_a_sound_mirror_is_its_own(host: LocalAgent, repository: Repository, sent: str) -> None:
    """A bundle that is cut short says nothing of the mirror, whatever odd objects old tools left in it."""
    tree, who = repository.git("rev-parse", "HEAD^{tree}"), "a <a@example.com> 1 +0000"
    odd = repository.path / "odd"
    odd.write_text(f"tree {tree}\nauthor {who.replace(' <', '<')}\ncommitter {who}\n\nodd\n")
    sha = repository.git("hash-object", "-t", "commit", "-w", "--literally", str(odd))
    assert host.build(sha, bundle=bundle(repository, sha)).refusal is None
    answer = host.build(repository.commit(file="two"), bundle=b"# v2 git bundle\nnonsense\n")
    assert ((answer.refusal or {})["kind"], answer.said("mirror.damaged")) == ("build_failed", [])
    assert host.build(sha).refusal is None


def test_a_hang_up_ends_every_process_of_the_build(host: LocalAgent, mirrored: Repository) -> None:
    """Once the control node is gone, no process and no directory of the build is left, though they ignore TERM."""
    mark, sha = f"765.{os.getpid()}", head(mirrored)
    line = f"trap '' TERM; sleep {mark} & sleep {mark} & sleep {mark} | cat; sleep {mark}"
    request = host.build_request(sha, step(line))
    process = began(host, request)
    assert eventually(lambda: len(processes(mark)) >= 3)
    hang_up(process)
    assert (process.wait(10), processes(mark)) == (1, [])
    assert (list(host.paths.releases.iterdir()), list(host.paths.tmp.iterdir())) == ([], [])


def test_a_build_that_does_not_stop_is_ended_when_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that waits for a file system holds the host's builds no longer than its patience."""
    monkeypatch.setattr(building, "PATIENCE", 0.1)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(read, 0)
        os.close(write)
        with building.ended_by_hang_up():
            time.sleep(10)
        os._exit(0)
    os.close(read)
    os.close(write)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_agent_that_is_asked_to_end_tidies_up(
    host: LocalAgent, mirrored: Repository, number: signal.Signals
) -> None:
    """A signal ends the build as a hang-up does: its processes first, then its directories."""
    mark = f"766.{os.getpid()}"
    process = began(host, host.build_request(head(mirrored), step(f"sleep {mark}; true")))
    assert eventually(lambda: processes(mark))
    process.send_signal(number)
    output, _ = process.communicate(timeout=5)
    assert json.loads(output.splitlines()[-1])["refusal"]["kind"] == "cancelled"
    assert (processes(mark), list(host.paths.releases.iterdir()), list(host.paths.tmp.iterdir())) == ([], [], [])


def test_what_a_killed_build_left_ends_with_the_next(host: LocalAgent, mirrored: Repository) -> None:
    """No process of a killed agent's build writes into the release that is made after it, and nothing of it stays."""
    mark, sha = f"760.{os.getpid()}", head(mirrored)
    late = f"d=$PWD; cd /; sleep {mark}; echo late >$d/late"
    process = began(host, host.build_request(sha, step(f"setsid sh -c '{late}' & {late}")))
    assert eventually(lambda: len(processes(f"sleep\0{mark}")) == 2)
    process.kill()
    hang_up(process)
    process.wait(5)
    assert (host.build(sha).refusal, processes(mark), list(host.paths.tmp.iterdir())) == (None, [], [])


def test_a_hang_up_ends_git_as_well(host: LocalAgent, mirrored: Repository, tmp_path: Path) -> None:
    """A transfer that nobody waits for does not hold the host until the deadline."""
    mark = f"764.{os.getpid()}"
    remote = tmp_path / "git-remote-slow"
    remote.write_text(f"#!/bin/sh\nexec sleep {mark}\n")
    remote.chmod(0o755)
    slow = LocalAgent(host.root)
    slow.settled = {"PATH": str(tmp_path)}
    process = began(slow, slow.build_request("0" * 40) | {"source": {"kind": "fetch", "url": "slow::anywhere"}})
    assert eventually(lambda: processes(mark))
    hang_up(process)
    assert eventually(lambda: not processes(mark), within=10)
    process.wait(5)


def test_two_builds_of_one_commit_make_it_once(host: LocalAgent, mirrored: Repository, tmp_path: Path) -> None:
    """The second waits, says so, and finds the release made."""
    sha, count, go = head(mirrored), tmp_path / "count", tmp_path / "go"
    recipe = step(f"echo built >>{count}; until [ -e {go} ]; do sleep 0.05; done")
    first = began(host, host.build_request(sha, recipe))
    assert eventually(count.exists)
    second = began(host, host.build_request(sha, recipe))
    assert second.stdout
    said = json.loads(second.stdout.readline())
    go.touch()
    ends = [answer_of(build) for build in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert (said["event"], said["message"]) == ("build.waiting", "another build runs on this host; waiting for it")
    assert (count.read_text(), [end["result"]["state"] for end in ends]) == ("built\n", ["sealed", "sealed"])


def test_a_daemon_left_by_a_step_does_not_hold_the_build(host: LocalAgent, mirrored: Repository) -> None:
    """Neither the output nor the lock it could have inherited keeps us waiting."""
    mark = f"763.{os.getpid()}"
    with within(20):
        answer = host.build(head(mirrored), step(f"setsid sleep {mark} & sleep {mark} & echo started"))
    assert answer.refusal is None
    assert (host.build(mirrored.git("rev-parse", "HEAD")).said("build.waiting"), answer.stderr) == ([], "")
    kill_left(mark)  # the one that left the group


@pytest.mark.slow
def test_the_deadline_ends_a_build(host: LocalAgent, mirrored: Repository) -> None:
    """A part that hangs is killed with its children when the build's time is over."""
    mark = f"762.{os.getpid()}"
    answer = host.build(head(mirrored), {**step(f"sleep {mark} & sleep {mark}", "slow"), "timeout": 5})
    refusal = answer.refusal or {}
    assert refusal["kind"] == "build_failed"
    assert re.fullmatch(rf"slow: '.*sleep {mark}' did not end within \d\.\d s and was killed", refusal["message"])
    assert (processes(mark), list(host.paths.releases.iterdir())) == ([], [])


def test_parts_side_by_side_stop_with_the_first_failure(host: LocalAgent, mirrored: Repository) -> None:
    """The part that failed is the one that is reported; its neighbour is stopped, not waited for."""
    mark = f"761.{os.getpid()}"
    recipe = {
        "frontend": {"path": ".", "command": f"sleep {mark}", "output": "out", "into": "web"},
        "venvs": {"backend": ["nowhere"]},
    }
    at = time.monotonic()
    answer = host.build(head(mirrored), recipe)
    refusal = answer.refusal or {}
    assert (refusal["kind"], "'nowhere' of the commit cannot be installed" in refusal["message"]) == (
        "build_failed",
        True,
    )
    assert answer.said("part.failed") == ["venv backend failed"]
    assert (processes(mark), time.monotonic() - at < 10) == ([], True)


def test_an_error_of_the_host_is_a_failed_build(host: LocalAgent, mirrored: Repository) -> None:
    """An error of the host's own during a build is told as one, in words."""
    host.paths.create()
    host.paths.releases.rmdir()
    host.paths.releases.write_text("in the way")
    assert host.build(head(mirrored)).refusal == {
        "kind": "build_failed",
        "message": f"the host could not go on: [Errno 17] File exists: '{host.paths.releases}'",
        "hint": "fab -H HOST status  tells what the host serves",
    }


def test_a_fault_of_the_agent_is_told_in_words(host: LocalAgent, mirrored: Repository) -> None:
    """What nobody foresaw is a failed build, whose traceback waits on the host for whoever mends it."""
    request = host.build_request(head(mirrored)) | {"recipe": {}}
    answer = host.call("build", request)
    log = host.paths.attempt(request["attempt"]) / "fault.log"
    assert (answer.refusal, answer.stderr) == (
        {
            "kind": "build_failed",
            "message": f"a fault of the agent ended the build: KeyError: 'timeout'; its traceback: {log}",
            "hint": "report it with that file of the host",
        },
        "",
    )
    assert log.read_text().splitlines()[-1] == "KeyError: 'timeout'"


def test_a_fault_of_the_agent_tells_no_secret(host: LocalAgent, mirrored: Repository) -> None:
    """Neither its words nor the traceback that is kept have a secret of the configuration in them."""
    request = host.build_request(head(mirrored)) | {"recipe": {}}  # it has no "timeout", here somebody's secret
    request["env"] = {"file": None, "values": {}, "secrets": {"PASSWORD": "timeout"}, "build": ["PASSWORD"]}
    refusal = host.call("build", request).refusal
    log = host.paths.attempt(request["attempt"]) / "fault.log"
    words = "a fault of the agent ended the build: KeyError: '***'; its traceback: "
    assert (refusal and refusal["message"], "timeout" in log.read_text()) == (f"{words}{log}", False)


@pytest.fixture(scope="module")
def pnpm_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a pnpm, which npm brings."""
    return by_npm(tmp_path_factory.mktemp("pnpm"), "pnpm@9") / ".bin"


class Manager(NamedTuple):
    """A package manager with a store: the line that installs what is committed, and a file that it links from there."""

    line: str
    linked: str


@pytest.fixture
def pnpm(mirrored: Repository, pnpm_program: Path, tmp_path: Path) -> Manager:
    (mirrored.path / "dep").mkdir()
    (mirrored.path / "dep" / "package.json").write_text('{"name": "dep", "version": "1.0.0"}')
    (mirrored.path / "dep" / "index.js").write_text("module.exports = 1\n")
    subprocess.run(["npm", "pack", "./dep"], cwd=mirrored.path, check=True, capture_output=True)
    (mirrored.path / "package.json").write_text('{"dependencies": {"dep": "file:dep-1.0.0.tgz"}}')
    line = f"PATH={pnpm_program}:$PATH pnpm install --no-frozen-lockfile --offline --package-import-method hardlink"
    return Manager(f"{line} --store-dir {tmp_path}/store", "node_modules/dep/index.js")


@pytest.fixture
def uv(mirrored: Repository, tmp_path: Path) -> Manager:
    wheel(mirrored.path, "dep", dep="made = 1\n")
    line = f"{Path(sys.executable).with_name('uv')} pip install --offline --no-index --link-mode hardlink --target lib"
    return Manager(f"{line} --cache-dir {tmp_path}/store ./dep-1.0-py3-none-any.whl", "lib/dep.py")


@pytest.mark.parametrize("manager", ["pnpm", "uv"])
def test_a_store_is_left_as_it_was(
    host: LocalAgent, mirrored: Repository, manager: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A later build and a checkout by hand can write to what it links; one that fails changes no release's inodes.

    On a host without views of builds: in a view, releases and stores are mounts of their own, and it would copy.
    """
    host.instead = {str(shutil.which("nsenter")): Path("/dev/null")}
    line, linked = request.getfixturevalue(manager)
    install = f"{line} && test $(stat -c %h {linked}) -gt 1"
    shas: list[str] = []
    for build in ("true", f"echo '#' >>{linked}", f"echo '#' >>{linked}; false"):
        before = inodes(host.paths.releases)
        shas.append(mirrored.commit(build, **{"build.sh": build}))
        host.mirror(mirrored)
        answer = host.build(shas[-1], step(f"{install} && sh build.sh"))
        stored = [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.suffix != ".json"]
        assert stored, answer
        assert all(path.stat().st_mode & 0o200 for path in stored), answer
        assert [seal.verify(host.paths.release(sha)) for sha in shas[:2]] == [None] * len(shas[:2])
    assert (answer.refusal or {})["kind"] == "build_failed"
    assert inodes(host.paths.releases) == before
    subprocess.run(["sh", "-c", f"{install} && test -w {linked}"], cwd=mirrored.path, check=True, capture_output=True)
    assert (mirrored.path / linked).stat().st_mode & 0o200


def bundle_of(repository: Repository, sha: str) -> bytes:
    return b"".join(Source(repository.path).bundle(sha, []))


def as_root(release: Path) -> Path:
    """What a service without `User=` leaves beside its code."""
    (release / "__pycache__").mkdir()
    (release / "__pycache__" / "main.pyc").touch()
    return release / "__pycache__"


def test_what_cannot_be_removed_stops_no_build(a_login: LocalAgent, repository: Repository) -> None:
    """An incomplete build with files of root's is told of once, set aside, and the next builds go their way."""
    left, told = a_login.paths.releases / ("ab" * 20), []
    left.mkdir(parents=True)
    (left / "ours").touch()
    for path in (a_login.paths.releases, left):
        os.chown(path, 65534, 65534)
    as_root(left)
    for message in ("one", "two"):
        sha = repository.commit(message)
        answer = a_login.build(sha, bundle=bundle_of(repository, sha))
        assert answer.refusal is None
        told.append([said for said in answer.said("warning") if left.name in said])
    assert [len(said) for said in told] == [1, 0]
    (aside,) = a_login.paths.releases.glob(".*")
    assert sorted(path.name for path in aside.iterdir()) == ["__pycache__"]
    assert not left.exists()


def test_a_release_in_which_root_wrote_can_be_gone_back_to(a_login: LocalAgent, repository: Repository) -> None:
    """What was added is told, and removed where that is possible; a pruning takes such a release as any other."""
    shas = []
    for message in ("one", "two", "three"):
        shas.append(repository.commit(message))
        assert a_login.build(shas[-1], bundle=bundle_of(repository, shas[-1])).refusal is None
        assert a_login.activate(shas[-1]).phases[-1] == "committed"
        as_root(a_login.paths.release(shas[-1]))
    added = a_login.paths.release(shas[1]) / "note"
    added.touch()
    assert a_login.facts(shas[1])["target"] == {
        "state": "sealed",
        "damage": None,
        "bad": None,
        "recipe": RECIPE["digest"],
        "gate": None,
        "configuration": None,
        "configured": False,
    }
    answer = a_login.activate(shas[1], kind="rollback")
    assert (answer.phases[-1], added.exists()) == ("committed", False)
    assert [said for said in answer.said("warning") if "__pycache__" in said] == [
        f"release {shas[1]} has '__pycache__' and 1 more added since its seal; '__pycache__' cannot be removed "
        "(on the host, as root: rm -rf --one-file-system -- "
        f"{a_login.paths.release(shas[1])}/__pycache__)"
    ]
    pruned = a_login.call("prune", {"keep": 2, "dry_run": False}).result or {}
    assert "not all of it could be removed" in next(each["why"] for each in pruned["releases"] if not each["stays"])
    assert sorted(a_login.paths.release_ids()) == sorted(shas[1:])
    sha = repository.commit("four")
    assert a_login.build(sha, bundle=bundle_of(repository, sha)).refusal is None


@pytest.mark.parametrize("privileged", [False, True])
def test_what_keeps_the_right_to_become_root(host: LocalAgent, mirrored: Repository, privileged: bool) -> None:
    """No command of a build does, unless the request says so; then it gets no view of its own, which is told."""
    tell = "grep NoNewPrivs /proc/self/status >found"
    request = host.build_request(head(mirrored), step(tell)) | ({"privileged": True} if privileged else {})
    answer = host.call("build", request)
    status = Path("/proc/self/status").read_text()
    own = next(line for line in status.splitlines() if line.startswith("NoNewPrivs"))
    found = (host.paths.release(head(mirrored)) / "found").read_text().splitlines()
    assert found[0] == (own if privileged else "NoNewPrivs:\t1")
    told = "commands of a build can become root, and write wherever root can: `privileged` names `build`"
    assert [said for said in answer.said("warning") if "become root" in said] == ([told] if privileged else [])


def test_with_least_privilege_no_build_keeps_the_right_to_become_root(
    host: LocalAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before anything is made, whatever the facts said that it was decided by."""
    helped = manager.Helped(*manager.chosen()._replace(application="shop"))
    monkeypatch.setattr(manager, "chosen", lambda: helped)
    request: Any = {**host.build_request("ab" * 20), "privileged": True}
    with pytest.raises(Refusal, match=r"nothing was built: with least privilege .*: `privileged` names build"):
        building.build(host.paths, request, lambda *_, **__: None)
    assert not host.root.exists() or not [*host.root.iterdir()]
