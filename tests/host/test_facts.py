"""The facts: everything a plan needs, read in one call that changes nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import durable, facts, manager, units
from oroboros_deploy.host.refusal import Refusal
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository
from tests.support.watching import tree


def test_an_empty_host_has_no_problems(host: LocalAgent) -> None:
    """What a host that was never deployed to says of itself."""
    facts = host.facts("a" * 40)
    names = ("hostname", "user", "python", "boot", "systemd", "free_bytes", "clock")
    machine = {name: facts.pop(name) for name in names}
    assert facts == {
        "may_manage": os.getuid() == 0,
        "git": True,
        "scope": "system",
        "live": None,
        "releases": [],
        "target": {"state": "missing", "damage": None, "bad": None, "recipe": None, "gate": None}
        | {"configuration": None, "configured": False},
        "has_commit": False,
        "tips": [],
        "units": {},
        "running": None,
        "hold": None,
        "last": None,
        "journal": [],
        "head": None,
        "problems": [],
        "unmanaged": [],
        "configuration": None,
        "origins": {},
        "unit_changes": None,
        "needs_bytes": None,
    }
    assert (machine["hostname"], machine["systemd"]) == (platform.node(), units.present())


def test_the_scope_that_was_asked_for(host: LocalAgent) -> None:
    """What a host says of units has to be typed to the manager that runs them."""
    host.layout["scope"] = "user"
    assert host.facts()["scope"] == "user"


@pytest.mark.slow
def test_a_host_in_use_tells_its_history(host: LocalAgent, mirrored: Repository) -> None:
    """Releases with what is known of each, the mirror's commits, and the last attempts."""
    sha = mirrored.git("rev-parse", "HEAD")
    host.build(sha)
    host.activate(sha)
    bad = host.sealed("bad", health="exit 1")
    gate = {"command": f"test $DEPLOY_RELEASE = {sha} || exit 78", "timeout": 60, "interval": 0.05}
    host.activate_here(bad, healthcheck=gate)
    facts = host.facts(bad, history=5)
    assert (facts["live"], facts["has_commit"], facts["tips"]) == (sha, False, [sha])
    assert sorted((each["id"], each["state"], each["bad"]) for each in facts["releases"]) == sorted(
        [(sha, "sealed", False), (bad, "sealed", True)]
    )
    assert facts["target"]["bad"].startswith("the gate was not passed: ")
    assert [(entry["target"], entry["outcome"]) for entry in facts["journal"]] == [
        (sha, "committed"),
        (bad, "restored"),
    ]
    assert (facts["last"]["phase"], facts["problems"]) == ("restored", [])


@pytest.mark.slow
def test_reading_changes_nothing(host: LocalAgent, mirrored: Repository) -> None:
    """Not even on a host in a bad state."""
    host.facts()
    (host.root / "releases" / ("a" * 40)).mkdir(parents=True)
    (host.root / "current").symlink_to("nowhere")
    before = tree(host.root)
    host.facts("a" * 40)
    assert tree(host.root) == before


@pytest.mark.slow
def test_all_problems_are_told_at_once(host: LocalAgent) -> None:
    """A person should not have to mend one to learn of the next."""
    host.facts()
    host.root.chmod(0o777)
    (host.root / "current").write_text("")
    current = host.root / "current"
    assert facts.facts(host.paths, {"sha": None})["problems"] == [  # type: ignore[typeddict-item]
        {
            "message": f"{current} is a real directory or file, not a link to a release",
            "hint": f"move it away on the host: mv {current} {current}.old",
        },
        {"message": f"{host.root} is writable by everybody", "hint": f"on the host: chmod o-w {host.root}"},
    ]


def test_with_least_privilege_nothing_keeps_the_right_to_become_root(
    host: LocalAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a problem of the host where root's helper serves the application, and nowhere else."""
    asked: Any = {"sha": None, "privileged": ["build", "hooks"]}
    host.paths.create()
    assert facts.facts(host.paths, asked)["problems"] == []
    helped = manager.Helped(*manager.chosen()._replace(application="shop"))
    monkeypatch.setattr(manager, "chosen", lambda: helped)
    assert facts.facts(host.paths, {**asked, "privileged": []})["problems"] == []
    assert facts.facts(host.paths, asked)["problems"] == [
        {
            "message": "with least privilege nothing keeps the right to become root: `privileged` names build, hooks",
            "hint": "take `privileged` out of fabric.yaml; what needs root there is done by root, beside deploys",
        }
    ]


@pytest.mark.parametrize("name", [".", "..", "current", "", "a" * 41, "A" * 40, "１" * 40, "a" * 39 + "\n"])
def test_only_a_full_sha_is_a_release_id(host: LocalAgent, name: str) -> None:
    """No name can climb out of the releases."""
    with pytest.raises(Refusal, match="is not a release id"):
        host.paths.release(name)


@pytest.mark.slow
def test_other_things_among_the_releases_are_not_releases(host: LocalAgent) -> None:
    """What somebody keeps there is neither listed nor swept."""
    host.facts()
    for name in ("lost+found", "backup", "a" * 12):
        (host.root / "releases" / name).mkdir(parents=True)
    assert host.facts()["releases"] == []


def test_a_write_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is on the disk before the name is, and the name before anybody goes on."""
    order: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        order.append("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def noted_rename(source: Path, target: Path) -> None:
        order.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    durable.write_json(tmp_path / "state", {"phase": "swapped"})
    assert order == ["file", "rename", "directory"]
    assert tree(tmp_path) == {"state": ("-rw-------", '{"phase": "swapped"}\n')}
