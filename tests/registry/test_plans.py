"""Plans in the registry: kept for a week."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.schema import plans
from tests.records.test_plan import host, plan


def age(registry: Registry, plan_id: str, days: int) -> None:
    """Make a plan older."""

    def work(db: Any) -> None:
        made = db.scalar(plans.select().with_only_columns(plans.c.made_at).where(plans.c.plan == plan_id))
        db.execute(plans.update().where(plans.c.plan == plan_id).values(made_at=made - timedelta(days=days)))

    registry.database.write(work)


def test_a_plan_comes_back(registry: Registry) -> None:
    """The same plan by its id, and none by another."""
    one = plan(host(drift=("api is down",)))
    registry.keep_plan(one)
    assert (registry.plan(one.id), registry.plan("x")) == (one, None)


def test_a_plan_is_kept_for_a_week(registry: Registry) -> None:
    """An older one is not given any more, and the next plan takes it away."""
    for name, days in (("six", 6), ("eight", 8)):
        registry.keep_plan(plan(id=name))
        age(registry, name, days)
    assert (registry.plan("eight"), registry.plan("six")) == (None, plan(id="six"))
    registry.keep_plan(plan(id="new"))
    kept = registry.database.read(lambda db: sorted(db.scalars(plans.select().with_only_columns(plans.c.plan))))
    assert kept == ["new", "six"]


def test_what_is_no_plan_is_none(registry: Registry) -> None:
    """Rows of a later version, or of nobody, stop nothing."""
    registry.keep_plan(plan())
    registry.database.write(lambda db: db.execute(plans.update().values(content={"id": 1})))
    assert registry.plan(plan().id) is None
