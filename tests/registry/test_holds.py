"""Who holds what is known by application and root, and the newest answer counts, however slow another one was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from oroboros_deploy.events import Event
from oroboros_deploy.records.record import Asked
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.database import Database
from oroboros_deploy.registry.schema import holds, observations
from tests.support.samples import A, B, host, record

NOW = datetime.now(UTC)
SHOP, BLOG = Asked("shop", "/srv/shop"), Asked("blog", "/srv/blog")
ADA = {"actor": "ada", "at": 1_900_000_000.0, "reason": "the fair"}
GRACE = {"actor": "grace", "at": 1_900_000_001.0, "reason": "a move"}


def ago(asked: Asked, seconds: int) -> Asked:
    """The same question, asked before."""
    return asked._replace(at=NOW - timedelta(seconds=seconds))


def held(registry: Registry) -> list[tuple[str, str, str, str]]:
    """What is held: application, host, root, and by whom."""
    return [
        (*(row[name] for name in ("application", "host", "root")), row["hold"]["actor"])
        for row in registry.reader.held()
    ]


def serve(registry: Registry, asked: Asked, release: str, minute: int) -> None:
    """An application is deployed to a host that both have."""
    more = {"application": asked.application, "root": asked.root, "attempt": f"{asked.root}-{minute}"}
    registry.finish(record(release, host("web1", "live", live=release), minute=minute, **more))


def test_applications_on_a_host_have_holds_of_their_own(registry: Registry) -> None:
    """One that is held, asked or freed changes nothing of the other; nor does another root of the same one."""
    second = Asked("shop", "/srv/second")
    registry.observe({"web1": A}, "prod", {"web1": ADA}, SHOP)
    registry.observe({"web1": B}, "prod", {"web1": GRACE}, BLOG)
    registry.observe({"web1": B}, "prod", {"web1": None}, second)
    seen = [held(registry)]
    registry.hold({"web1": None}, BLOG)
    registry.hold({"web1": GRACE}, second)
    seen.append(held(registry))
    shop = ("shop", "web1", "/srv/shop", "ada")
    assert seen == [
        [("blog", "web1", "/srv/blog", "grace"), shop],
        [("shop", "web1", "/srv/second", "grace"), shop],
    ]


def test_a_host_shows_the_hold_of_what_is_served_there(registry: Registry) -> None:
    """That of the application and root that were switched there last, not of another that shares the host."""
    serve(registry, SHOP, A, 1)
    registry.observe({"web1": A}, "prod", {"web1": ADA}, SHOP)
    seen = [registry.reader.host("web1")]
    serve(registry, BLOG, B, 2)
    seen.append(registry.reader.host("web1"))
    serve(registry, Asked("shop", "/srv/second"), B, 3)
    seen.append(registry.reader.host("web1"))
    assert [each and each["hold"] and each["hold"]["actor"] for each in seen] == ["ada", None, None]
    assert held(registry) == [("shop", "web1", "/srv/shop", "ada")]


def test_an_older_answer_that_comes_late_changes_nothing(registry: Registry) -> None:
    """What a slow `status` saw before somebody held or freed the host, or asked it again, is passed over."""
    registry.observe({"web1": B}, "prod", {"web1": None}, ago(SHOP, 30))
    registry.hold({"web1": ADA}, ago(SHOP, 20))
    registry.observe({"web1": A}, "prod", {"web1": None}, ago(SHOP, 40))
    seen = [(held(registry), (registry.reader.host("web1") or {})["observed_release"])]
    registry.observe({"web1": A}, "prod", {"web1": None}, ago(SHOP, 10))
    seen.append((held(registry), (registry.reader.host("web1") or {})["observed_release"]))
    assert seen == [([("shop", "web1", "/srv/shop", "ada")], B), ([], A)]


def test_what_an_attempt_reads_is_of_its_application_and_root(registry: Registry) -> None:
    """Where nobody noted when the host was asked, it counts from the moment in which it came."""
    own = {"application": "shop", "finished_at": None, "exit_code": None}
    registry.begin(record(A, host("web1", "running"), **own))
    registry.hold({"web1": ADA}, SHOP)
    read = [{"live": A, "hold": None}, {"live": A, "hold": GRACE}]
    early, late = (Event("facts.read", "", "web1", data=data, at=at) for data, at in zip(read, _moments(), strict=True))
    registry.hear("attempt", [early], root="/srv/shop")
    seen = [held(registry)]
    registry.hear("attempt", [late], root="/srv/shop")
    seen.append(held(registry))
    assert [[actor for *_, actor in each] for each in seen] == [["ada"], ["grace"]]


def _moments() -> tuple[float, float]:
    return (NOW - timedelta(hours=1)).timestamp(), (NOW + timedelta(hours=1)).timestamp()


def test_facts_count_from_the_moment_in_which_they_were_asked_for(registry: Registry) -> None:
    """Facts that take long to come say nothing against a hold that began while they came."""
    own = {"application": "shop", "finished_at": None, "exit_code": None}
    registry.begin(record(A, host("web1", "running"), **own))
    registry.observe({"web1": B}, "prod", {"web1": ADA}, ago(SHOP, 20))
    data = {"live": A, "hold": None, "asked_at": (NOW - timedelta(seconds=30)).timestamp()}
    late = Event("facts.read", "", "web1", data=data, at=NOW.timestamp())
    registry.hear("attempt", [late], root="/srv/shop")
    seen = registry.reader.host("web1") or {}
    assert (held(registry), seen["observed_release"]) == ([("shop", "web1", "/srv/shop", "ada")], B)


def test_a_clock_that_was_set_back_freezes_nothing(url: str) -> None:
    """What was seen at a time that has not come yet by the registry's clock gives way to what is seen now."""
    with Registry.open(url) as registry:
        registry.observe({"web1": B}, "prod", {"web1": ADA}, SHOP)
        _move(url, timedelta(hours=1))
        registry.observe({"web1": A}, "prod", {"web1": None}, SHOP)
        seen = registry.reader.host("web1") or {}
        assert (held(registry), seen["observed_release"]) == ([], A)


def _move(url: str, by: timedelta) -> None:
    """As if all that is known had been seen that much later."""
    database = Database(url)
    for changed in (update(holds).values(seen_at=NOW + by), update(observations).values(at=NOW + by)):
        database.write(lambda db, changed=changed: db.execute(changed))
    database.close()


@pytest.mark.parametrize("asked", [SHOP, BLOG])
def test_what_was_known_by_the_host_alone_is_told_anew(registry: Registry, asked: Asked) -> None:
    """A hold of which an earlier version did not say whose it is counts until an application there is asked."""
    registry.observe({"web1": A}, "prod", {"web1": ADA})
    seen = [held(registry)]
    registry.observe({"web1": A}, "prod", {"web1": None}, asked)
    assert [*seen, held(registry)] == [[("", "web1", "", "ada")], []]


def test_a_host_that_is_forgotten_is_held_no_more(registry: Registry) -> None:
    """What the other application is told of it stays; so does nothing of a host that is not known."""
    for asked, release, minute in ((SHOP, A, 1), (BLOG, B, 2)):
        serve(registry, asked, release, minute)
        registry.observe({"web1": release}, "prod", {"web1": ADA}, asked)
    registry.hold({"never": ADA}, SHOP)
    registry.forget("web1", "shop")
    assert held(registry) == [("blog", "web1", "/srv/blog", "ada")]
