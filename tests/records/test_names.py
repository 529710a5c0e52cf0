"""A target is called by a name that is still its own."""

from __future__ import annotations

import pytest

from oroboros_deploy.records.names import GONE, Names


@pytest.mark.parametrize(
    ("host", "target_id", "now"),
    [
        ("web1", None, "web1"),  # nobody knows whose name that was
        ("web1", GONE, None),
        ("web1", "new", "web1"),
        ("web1", "old", None),  # another target has its name
        ("alias", "new", "web1"),
        ("web2", "renamed", "mine"),  # as this control node called it
        ("web9", "never", "web9"),  # it has served nothing yet
        ("web5", "taken", "web6"),  # what this control node called it is another's name by now
    ],
)
def test_a_target_is_called_as_it_answers_now(host, target_id, now):
    """By what this control node called it, else its last name, else the one that was typed then; or it is gone."""
    names = Names({"new": "web1", "renamed": "theirs", "taken": "web6"}, {"renamed": "mine", "taken": "web1"})
    assert names.now(host, target_id) == now


@pytest.mark.parametrize(
    ("place", "other", "now"),
    [
        (("shop", "/srv/shop"), ("shop", "/srv/shop"), None),
        (("shop", "/srv/shop"), ("shop", "/srv/other"), "web1"),
        (("shop", "/srv/app"), ("blog", "/srv/app"), "web1"),
        (None, ("shop", "/srv/shop"), None),  # it serves nothing, so nobody knows where it was
    ],
)
def test_a_name_is_one_target_s_for_each_application_and_root(place, other, now):
    """Two targets of one name in other applications or roots do not make one another gone."""
    places = {"one": place, "two": other} if place else {"two": other}
    names = Names({"two": "web1", **({"one": "web1"} if place else {})}, places=places)
    assert (names.now("web1", "one"), names.now("web1", "two")) == (now, None if place == other else "web1")
