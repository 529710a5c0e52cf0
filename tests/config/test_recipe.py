"""The digest of a recipe: it differs when something else is made, and not when only the time differs."""

from __future__ import annotations

from typing import Any

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.config.recipe import digest
from oroboros_deploy.config.settings import Build

STEP = {"name": "css", "command": "make"}


def of(**build: Any) -> str:
    return digest(load([("fabric.yaml", {"build": build})], {}).build, {})


@pytest.mark.parametrize(
    "build",
    [
        {"frontend": None},
        {"frontend": {"command": "make"}},
        {"frontend": {"output": "build"}},
        {"venvs": {}},
        {"venvs": {"backend": ["worker"]}},
        {"steps": [STEP]},
        {"steps": [{**STEP, "command": "make all"}]},
        {"steps": [{**STEP, "path": "web"}]},
        {"steps": [{**STEP, "name": "js"}, STEP]},
        {"steps": [STEP, {**STEP, "name": "js"}]},
        {"steps": [{**STEP, "outputs": ["made"]}]},
        {"steps": [{**STEP, "outputs": ["made"], "inputs": ["read"]}]},
        {"steps": [{**STEP, "once": True}]},
        {"installer": "pip"},
        {"inputs": ["shared"]},
        {"python": "/opt/python/bin/python3"},
        {"node": "/opt/node/bin/node"},
    ],
)
def test_what_shapes_the_result_changes_the_digest(build: dict[str, Any]) -> None:
    """Each of these differs from the defaults, and from the same with one more step."""
    more = {**build, "steps": [*build.get("steps", []), {"name": "last", "command": "true"}]}
    assert len({of(), of(**build), of(**more)}) == 3


@pytest.mark.parametrize(
    ("build", "same"),
    [
        ({"timeout": 5, "cache": 7}, {}),
        ({"frontend": {"path": "frontend", "into": "infra/web-main"}, "steps": [], "installer": "auto"}, {}),
        ({"steps": [STEP]}, {"steps": [{**STEP, "path": "."}]} | {"timeout": 9}),
        ({"venvs": {"a": ["b"], "c": ["d"]}}, {"venvs": {"c": ["d"], "a": ["b"]}}),
    ],
)
def test_what_shapes_nothing_changes_no_digest(build: dict[str, Any], same: dict[str, Any]) -> None:
    """How long a build may take, what is kept of it, and a default that is written out."""
    assert of(**build) == of(**same)


def test_the_digest_of_the_defaults_stays() -> None:
    """A new setting has no part in it until somebody sets it, so what hosts noted stays what was asked for."""
    assert digest(Build(), {}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_shared_places_shape_a_release() -> None:
    """Each path, and whether it is a file, changes the digest; their order does not."""
    places: tuple[dict[str, str], ...] = ({}, {"media": "dir"}, {"media": "file"}, {"media": "dir", "log": "dir"})
    assert len({digest(Build(), each) for each in places}) == 4
    assert digest(Build(), {"log": "dir", "media": "dir"}) == digest(Build(), places[3])
