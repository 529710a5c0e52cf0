"""Plans of deploys, each kept for a week."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, delete, select

from ..records.plan import DAYS, DeployPlan
from .database import clock, insert
from .schema import plans

_KEPT = timedelta(days=DAYS)


def keep(db: Connection, plan: DeployPlan) -> None:
    """Keep a plan, and forget those that are older than a week."""
    now = clock(db)
    db.execute(delete(plans).where(plans.c.made_at < now - _KEPT))
    row = {"plan": plan.id, "application": plan.application, "made_at": now, "content": plan.as_dict()}
    db.execute(insert(db, plans).values(**row))


def find(db: Connection, plan_id: str) -> DeployPlan | None:
    """A plan by its id; None for one that is not there, that is too old, or that is no plan."""
    named = (plans.c.plan == plan_id, plans.c.made_at >= clock(db) - _KEPT)
    content = db.scalar(select(plans.c.content).where(*named))
    try:
        return DeployPlan.from_dict(content) if content else None
    except (KeyError, TypeError, ValueError):
        return None
