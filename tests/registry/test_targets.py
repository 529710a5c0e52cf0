"""What serves where is known by the targets themselves; names are what people call them."""

from __future__ import annotations

import pytest

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.registry import Registry
from tests.support.samples import A, B, C, host, record

ONE, TWO = "1" * 32, "2" * 32


def deploy(
    registry: Registry,
    release: str,
    name: str,
    target: str | None,
    minute: int,
    *,
    application: str = "shop",
    root: str = "/srv/shop",
    **more: str,
) -> None:
    """A deploy that went well, to one target by this name."""
    part = host(name, "live", target_id=target)
    values = {"attempt": f"{name}-{minute}", "minute": minute, "application": application, "root": root, **more}
    one = record(release, part, **values)
    registry.begin(one)
    registry.intend(one)
    registry.finish(one)


def statuses(registry: Registry) -> dict[str, str]:
    """The status of each release's row."""
    return {row["release_id"]: row["status"] for row in registry.list()}


def test_a_host_that_is_called_by_another_name_is_the_same(registry):
    """It serves one release, and its older releases are found where it is now; each workstation has its own names."""
    deploy(registry, A, "web1", ONE, 1, control_node="desk")
    deploy(registry, B, "web1.example.org", ONE, 2, control_node="laptop")
    assert (registry.serving("shop"), statuses(registry)) == (
        {"web1.example.org": B},
        {A: "replaced", B: "deployed"},
    )
    found = {node: registry.hosts_of(A, "shop", control_node=node) for node in (None, "desk", "laptop", "ci")}
    other = ["web1.example.org"]
    assert found == {None: other, "desk": ["web1"], "laptop": other, "ci": other}
    assert registry.serving("shop", control_node="desk") == {"web1": B}
    assert list(registry.memory("shop", control_node="desk").hosts) == ["web1"]
    assert [each["host"] for each in registry.reader.hosts().items] == ["web1.example.org"]


def test_a_machine_that_is_made_anew_is_another(registry):
    """The one that had its name before is gone: its releases are live nowhere, and nothing goes there."""
    deploy(registry, A, "web1", ONE, 1)
    deploy(registry, B, "web2", TWO, 2)
    deploy(registry, C, "web1", "3" * 32, 3)
    assert registry.serving("shop") == {"web1": C, "web2": B}
    assert (registry.hosts_of(A, "shop"), registry.hosts_of(C, "shop")) == ([], ["web1"])
    assert statuses(registry)[A] == "replaced"


def test_a_renamed_application_keeps_its_target(registry):
    """What it was called before serves nothing there any more."""
    deploy(registry, A, "web1", ONE, 1, application="store")
    deploy(registry, B, "web1", ONE, 2, application="shop")
    assert (registry.serving("store"), registry.serving("shop")) == ({}, {"web1": B})
    assert statuses(registry) == {A: "replaced", B: "deployed"}


def test_applications_that_call_different_machines_alike_do_not_meet(registry):
    """A name is an alias within an application: neither ends what the other serves."""
    deploy(registry, A, "prod", ONE, 1, application="shop", root="/srv/app")
    deploy(registry, B, "prod", TWO, 2, application="blog", root="/srv/app")
    assert (registry.serving("shop"), registry.serving("blog")) == ({"prod": A}, {"prod": B})
    assert statuses(registry) == {A: "deployed", B: "deployed"}


def test_an_application_may_have_several_roots_on_a_machine(registry):
    """A release is live while one of them serves it."""
    deploy(registry, A, "web1", ONE, 1, root="/srv/one")
    deploy(registry, B, "web1", TWO, 2, root="/srv/two")
    assert statuses(registry) == {A: "deployed", B: "deployed"}
    memories = [registry.memory("shop", root) for root in ("/srv/one", "/srv/two")]
    assert [(each.serving, set(each.elsewhere)) for each in memories] == [({"web1": A}, {B}), ({"web1": B}, {A})]
    deploy(registry, C, "web1", ONE, 3, root="/srv/one")
    assert statuses(registry) == {A: "replaced", B: "deployed", C: "deployed"}


def test_what_has_no_id_is_known_by_name_until_it_is_met(registry):
    """Then its history is the target's too, and an alias of another workstation that nobody met stays by itself."""
    deploy(registry, A, "web1", None, 1, root="")
    deploy(registry, A, "alias", None, 2, root="")
    assert registry.hosts_of(A, "shop") == ["alias", "web1"]
    deploy(registry, B, "web1", ONE, 3)
    assert registry.serving("shop") == {"alias": A, "web1": B}
    deploy(registry, C, "web1.example.org", ONE, 4)
    assert registry.hosts_of(A, "shop") == ["alias", "web1.example.org"]


def test_a_record_that_comes_late_ends_nothing(registry):
    """What a target came to later, by whatever name, stays."""
    deploy(registry, B, "web1.example.org", ONE, 2)
    deploy(registry, A, "web1", ONE, 1)
    assert registry.serving("shop") == {"web1.example.org": B}
    assert [(each["host"], each["drift"]) for each in registry.reader.hosts().items] == [("web1.example.org", False)]


def test_a_forgotten_host_serves_nothing(registry):
    """Its attempts stay; nothing goes there by itself; a release that was live there alone is replaced."""
    deploy(registry, A, "web1", ONE, 1)
    deploy(registry, B, "web2", TWO, 2)
    deploy(registry, B, "web3", None, 3)
    deploy(registry, B, "web3", "4" * 32, 4, application="blog", root="/srv/blog")
    registry.observe({"web1": A}, "prod")
    assert registry.forget("web1", "shop") == {"host": "web1", "application": "shop", "served": [A], "replaced": [A]}
    assert registry.forget("web3", "shop") == {"host": "web3", "application": "shop", "served": [B], "replaced": []}
    assert (registry.serving("shop"), registry.serving("blog")) == ({"web2": B}, {"web3": B})
    assert (registry.hosts_of(A, "shop"), registry.hosts_of(B, "shop")) == ([], ["web2"])
    assert list(registry.memory("shop").hosts) == ["web2"]
    assert [each["host"] for each in registry.reader.hosts().items] == ["web2", "web3"]
    assert len(registry.reader.attempts().items) == 4
    assert statuses(registry) == {A: "replaced", B: "deployed"}
    assert registry.forget("web1", "shop")["served"] == []
    deploy(registry, A, "web1", ONE, 5)
    assert registry.serving("shop") == {"web1": A, "web2": B}


def test_two_targets_of_one_name_do_not_make_one_another_gone(registry):
    """Of two roots, or two applications, each is found where its release was live, and can be gone back to."""
    deploy(registry, A, "web1", ONE, 1, root="/srv/one")
    deploy(registry, B, "web1", TWO, 2, root="/srv/two")
    deploy(registry, C, "web1", "3" * 32, 3, application="blog")
    assert [registry.hosts_of(each) for each in (A, B, C)] == [["web1"], ["web1"], ["web1"]]
    assert [registry.hosts_of(each, "shop") for each in (A, B, C)] == [["web1"], ["web1"], []]
    assert [registry.serving(each) for each in (None, "shop", "blog")] == [{"web1": C}, {"web1": B}, {"web1": C}]
    assert list(registry.memory("shop", "/srv/one").hosts) == ["web1"]


@pytest.mark.parametrize("nameless", [A, C])
def test_what_is_known_to_be_the_application_s_goes_before_what_may_be(registry, nameless):
    """Of one name, what an earlier version wrote is believed only where nothing else is known."""
    deploy(registry, nameless, "web1", None, 3, application="", root="")
    deploy(registry, B, "web1", ONE, 1, control_node="desk")
    deploy(registry, B, "web1.example.org", ONE, 2, control_node="laptop")
    assert registry.serving("shop", control_node="desk") == {"web1": B}
    assert registry.serving("blog") == {"web1": nameless}


def test_a_host_is_forgotten_by_the_name_that_is_typed_here(registry):
    """Another workstation calls it otherwise; that name goes with it, from the list of hosts too."""
    deploy(registry, A, "web1", ONE, 1, control_node="desk")
    deploy(registry, B, "web1.example.org", ONE, 2, control_node="laptop")
    deploy(registry, B, "web2", TWO, 3, control_node="desk")
    forgotten = {"host": "web1", "application": "shop", "served": [B], "replaced": []}
    assert registry.forget("web1", "shop", control_node="desk") == forgotten
    assert (registry.serving("shop"), registry.serving("shop", control_node="desk")) == ({"web2": B}, {"web2": B})
    assert (registry.hosts_of(A, "shop"), registry.hosts_of(B, "shop", control_node="desk")) == ([], ["web2"])
    assert [each["host"] for each in registry.reader.hosts().items] == ["web2"]


def test_a_host_is_forgotten_by_its_name_without_the_login(registry):
    """One target of that host name is meant; of several none is, and the message has them."""
    deploy(registry, A, "deploy@web1:2222", ONE, 1)
    deploy(registry, A, "ann@web1", TWO, 2)
    with pytest.raises(InvalidInput) as caught:
        registry.forget("web1", "shop")
    assert caught.value.hint == "hosts of that name or nearly: ann@web1, deploy@web1:2222"
    registry.forget("ann@web1", "shop")
    forgotten = {"host": "deploy@web1:2222", "application": "shop", "served": [A], "replaced": [A]}
    assert registry.forget("web1", "shop") == forgotten
    assert registry.serving("shop") == {}


def test_another_target_that_had_the_name_of_a_forgotten_one_keeps_its_history(registry):
    """It moved on to another name before: its older releases are found there."""
    deploy(registry, A, "web1", ONE, 1)
    deploy(registry, B, "web2", ONE, 2)
    deploy(registry, C, "web1", TWO, 3)
    assert registry.forget("web1", "shop") == {"host": "web1", "application": "shop", "served": [C], "replaced": [C]}
    assert [registry.hosts_of(each, "shop") for each in (A, B, C)] == [["web2"], ["web2"], []]
    assert (registry.serving("shop"), list(registry.memory("shop").hosts)) == ({"web2": B}, ["web2"])


def test_a_name_that_nobody_knows_is_refused(registry):
    """With those that are nearly the same; another application's hosts are not its own."""
    with pytest.raises(InvalidInput, match="knows no host 'web1' of shop") as caught:
        registry.forget("web1", "shop")
    assert caught.value.hint == (
        "the registry knows no host of shop at all; the name of an application is the setting `application`, or the "
        "last part of `root`"
    )
    deploy(registry, A, "web11", ONE, 1)
    deploy(registry, A, "db", TWO, 2, application="blog")
    for name, hint in (("web1", "hosts of that name or nearly: web11"), ("db", "hosts of shop, such as: web11")):
        with pytest.raises(InvalidInput, match=f"nothing was changed: the registry knows no host '{name}'") as caught:
            registry.forget(name, "shop")
        assert caught.value.hint == hint
