"""Which environments are production, and their order."""

from __future__ import annotations

from oroboros_deploy.records.environments import production, reading_order


def test_production_goes_by_its_name() -> None:
    """Those named so count alone; where none is, all do."""
    assert production(["prod", "qa", "production", "prod-eu"]) == ["prod", "production"]
    assert production(["live", "qa"]) == ["live", "qa"]


def test_people_read_production_first() -> None:
    """Hosts without an environment come last."""
    assert sorted(["", "qa", "prod", "alpha"], key=reading_order) == ["prod", "alpha", "qa", ""]
