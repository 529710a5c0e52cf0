"""The memory of attempts: where a release was live, and in which environment."""

from __future__ import annotations

from tests.support.samples import A, B, C, host, record


def run(registry, one):
    """An attempt from its begin to its end."""
    registry.begin(one)
    registry.intend(one)
    registry.finish(one)


def test_a_host_that_was_not_restored_serves_nothing(registry):
    """Whatever the host named last, no release is known to serve there."""
    run(registry, record(A, host("h1", "live"), attempt="1", minute=1))
    run(registry, record(B, host("h1", "not_restored", live=B, previous=A), attempt="2", minute=2))
    assert (registry.serving(), registry.get(B)["status"]) == ({"h1": None}, "deploy_failed")


def test_the_hosts_and_environment_of_a_release_are_found(registry):
    """Where a release was ever live counts, also as the one that was left; failed attempts do not."""
    run(registry, record(B, host("old", "live", previous=A), attempt="1", environment="stage"))
    run(registry, record(B, host("h1", "live", previous=C), host("h2", "restored", previous=A), attempt="2"))
    run(registry, record(B, host("h9", "restored", previous=C), attempt="3", environment="test"))
    run(registry, record(B, host("h1", "already_live", live=B), attempt="4", environment=None))
    assert [registry.hosts_of(release) for release in (A, B, C)] == [["h2", "old"], ["h1", "old"], ["h9", "h1"]]
    assert [registry.environment_of(release) for release in (A, B, C, "d" * 40)] == ["prod", "prod", "test", None]


def test_what_another_application_serves_is_never_replaced(registry):
    """Two applications on one host each have their own release there, their own hosts, and their own statuses."""
    run(registry, record(A, host("h1", "live"), attempt="1", minute=1, application="shop"))
    run(registry, record(B, host("h1", "live"), attempt="2", minute=2, application="blog"))
    assert [registry.get(each)["status"] for each in (A, B)] == ["deployed", "deployed"]
    assert [registry.serving(each) for each in ("shop", "blog", "none")] == [{"h1": A}, {"h1": B}, {}]
    assert [registry.hosts_of(A, each) for each in ("shop", "blog", None)] == [["h1"], [], ["h1"]]
    assert [registry.environment_of(B, each) for each in ("shop", "blog", None)] == [None, "prod", "prod"]
    assert [sorted(registry.memory(each).own) for each in ("shop", "blog", None)] == [["1"], ["2"], ["1", "2"]]
    run(registry, record(C, host("h1", "live", previous=A), attempt="3", minute=3, application="shop"))
    assert [registry.get(each)["status"] for each in (A, B, C)] == ["replaced", "deployed", "deployed"]


def test_one_release_in_two_applications_is_live_as_long_as_one_serves_it(registry):
    """One commit of a repository with two applications: left by the first, it is still what the second serves."""
    run(registry, record(A, host("h1", "live"), attempt="1", minute=1, application="shop"))
    run(registry, record(A, host("h1", "live"), attempt="2", minute=2, application="blog"))
    run(registry, record(B, host("h1", "live", previous=A), attempt="3", minute=3, application="shop"))
    assert registry.get(A)["status"] == "deployed"
    run(registry, record(C, host("h1", "live", previous=A), attempt="4", minute=4, application="blog"))
    assert registry.get(A)["status"] == "replaced"
