"""What was typed, and the commit, release and hosts that are meant by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.control import resolving
from oroboros_deploy.control.node import ControlNode
from oroboros_deploy.errors import InvalidInput, UnknownCommit, UnknownRelease
from oroboros_deploy.events import Event
from oroboros_deploy.testing import unreachable
from tests.support.repository import Repository
from tests.support.samples import A, B, host, record


class Desk:
    """A control node with a registry and a repository, and what it told."""

    def __init__(self, tmp_path: Path, repository: Repository) -> None:
        self.tmp = tmp_path
        self.repository = repository
        self.events: list[Event] = []

    def node(self, *, source: Path | None = None, **settings: Any) -> ControlNode:
        return ControlNode(
            load([("fabric.yaml", settings)], {}),
            source=source or self.repository.path,
            connect=unreachable,  # type: ignore[arg-type]
            listener=self.events.append,
            state=self.tmp / "own",
        )

    def live(self, release: str, on: str, environment: str | None = None, application: str = "") -> None:
        """Let the registry have seen a release live on a host."""
        name = f"{release}-{on}"
        one = record(release, host(on, "live"), environment=environment, attempt=name, application=application)
        with self.node().registry() as registry:
            registry.finish(one)


@pytest.fixture
def desk(tmp_path: Path, repository: Repository) -> Desk:
    return Desk(tmp_path, repository)


def test_hosts_are_those_named_else_those_of_the_settings() -> None:
    """A name alone is one host, not its letters; each host is asked once; without any it says what to add."""
    config = load([("fabric.yaml", {})], {}, hosts=("web1",))
    assert resolving.named_hosts(config, None) == ["web1"]
    assert resolving.named_hosts(config, "web2") == ["web2"]
    assert resolving.required_hosts(config, ["web3", "web2", "web3"]) == ["web3", "web2"]
    prod = load([("fabric.yaml", {"environments": {"prod": {"hosts": ["deploy@web1"]}}})], {}, environment="prod")
    assert resolving.named_hosts(prod, "web1") == ["deploy@web1"]
    with pytest.raises(InvalidInput, match="no host was named"):
        resolving.required_hosts(load([("fabric.yaml", {})], {}), None)


def test_who_names_no_host_is_told_the_environments() -> None:
    """Where the settings have some: one of them is what is most often meant."""
    hints = []
    for own in ({}, {"environments": {"prod": {"hosts": ["a"]}, "lab": {"hosts": ["b"]}}}):
        with pytest.raises(InvalidInput, match="no host was named") as error:
            resolving.required_hosts(load([("fabric.yaml", own)], {}), None)
        hints.append(error.value.hint)
    add = "add -H HOST or -H ENVIRONMENT"
    assert hints == [add, f"{add}; the settings have the environments prod, lab"]


def test_a_full_release_id_needs_no_registry(desk: Desk) -> None:
    """In any case of its letters; nothing is opened."""
    assert resolving.release_id(desk.node(), A.upper()) == A
    assert not (desk.tmp / "own").exists()


def test_the_beginning_of_a_release_id(desk: Desk) -> None:
    """Names the one recorded release that begins with it; none and several are refused, each by name."""
    alike = f"{A[:20]}{'f' * 20}"
    for release in (A, alike, B):
        desk.live(release, "web1")
    assert resolving.release_id(desk.node(), B[:6]) == B
    with pytest.raises(UnknownRelease, match=r"fits 2 releases: ") as several:
        resolving.release_id(desk.node(), A[:6])
    with pytest.raises(UnknownRelease, match="is no recorded release") as none:
        resolving.release_id(desk.node(), "0000")
    shows = "fab registry.list  shows the releases; one that the registry does not have needs its full id"
    assert (several.value.hint, none.value.hint) == ("type more of the id", shows)


def test_a_release_is_found_where_it_was_live(desk: Desk) -> None:
    """With the hosts and the environment; one that was live nowhere says how to name the hosts."""
    desk.live(A, "web1", "prod")
    assert resolving.recorded_release(desk.node(), A[:8]) == (A, ["web1"], "prod")
    with pytest.raises(UnknownRelease, match=f"no host where release {B} was live") as caught:
        resolving.recorded_release(desk.node(), B)
    assert caught.value.hint == f"name the hosts: fab -H HOST rollback --release={B}"


def test_where_to_go_when_nobody_said(desk: Desk) -> None:
    """To the only environment; of several, to that of the release; else to the hosts that the registry knows."""
    prod, test = {"hosts": ["web1"]}, {"hosts": ["web2"]}
    desk.live(A, "web1", "prod")
    desk.live(B, "web3")
    assert resolving.whereabouts(desk.node(environments={"prod": prod})) == ["prod"]
    both = desk.node(environments={"prod": prod, "test": test})
    assert resolving.whereabouts(both, A) == ["prod"]
    assert resolving.whereabouts(both, B) == ["web3"]
    assert sorted(resolving.whereabouts(both)) == ["web1", "web3"]
    assert resolving.known_hosts(desk.node()) == {"web1": "prod", "web3": None}


def test_nobody_is_sent_to_another_applications_hosts(desk: Desk) -> None:
    """Only to its own; and to an environment of these settings, which may have a root of its own."""
    environments = {"prod": {"hosts": ["web1"], "root": "/srv/shop-prod"}, "test": {"hosts": ["web2"]}}
    shop = desk.node(environments=environments, root="/srv/shop")
    desk.live(A, "web1", "prod", application="shop-prod")
    desk.live(B, "web3", "live", application="blog")
    assert (resolving.whereabouts(shop, A), resolving.whereabouts(shop)) == (["prod"], [])
    with pytest.raises(UnknownRelease, match=f"no host where release {B} was live"):
        resolving.whereabouts(shop, B)


def test_a_commit_is_told_with_its_sha(desk: Desk) -> None:
    """A ref is told to everybody, a sha that was typed only in detail."""
    sha = desk.repository.commit("first", file="1")
    assert resolving.commit(desk.node(), "HEAD").sha == resolving.commit(desk.node(), sha[:10]).sha == sha
    assert [(event.name, event.level, event.message) for event in desk.events] == [
        ("commit", "info", f"HEAD is {sha}: first"),
        ("commit", "detail", f"{sha[:10]} is {sha}: first"),
    ]


def test_with_a_repository_url_a_full_sha_needs_no_clone(desk: Desk) -> None:
    """Whether there is such a commit the host finds out; anything shorter needs a clone here."""
    elsewhere = desk.node(source=desk.tmp, repo_url="https://git.example.com/app")
    assert (resolving.commit(elsewhere, A).sha, resolving.commit(elsewhere, A).subject) == (A, "")
    with pytest.raises(UnknownCommit) as caught:
        resolving.commit(elsewhere, "main")
    assert caught.value.hint == "with repo_url and no clone here, give the full sha"
    sha = desk.repository.commit("first", file="1")
    assert resolving.commit(desk.node(repo_url="https://git.example.com/app"), "HEAD").sha == sha


def test_a_release_id_that_is_the_name_of_a_branch_is_no_commit(desk: Desk) -> None:
    """An id of the registry that is no sha, or that this repository lacks, is described by itself alone."""
    sha = desk.repository.commit("first", file="1")
    assert resolving.described_commit(desk.node(), sha).subject == "first"
    for release in ("main", A):
        found = resolving.described_commit(desk.node(), release)
        assert (found.sha, found.subject, found.committed_at) == (release, "", "")
