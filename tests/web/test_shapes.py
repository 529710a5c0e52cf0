"""The shapes that the API's description promises are those of its answers."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from starlette.testclient import TestClient

from oroboros_deploy.web import shapes
from tests.support.samples import A

ANSWERS: dict[str, Any] = {
    "/api/releases": list[shapes.Release],
    f"/api/releases/{A}": shapes.Release,
    "/api/attempts": shapes.AttemptPage,
    "/api/attempts/one": shapes.AttemptInFull,
    "/api/events": shapes.EventPage,
    "/api/hosts": shapes.HostPage,
    "/api/hosts/web1": shapes.Host,
    "/api/environments": list[str],
    "/api/figures": shapes.FigureSet,
    "/api/releases/nothing": shapes.Problem,
}


@pytest.mark.parametrize("path", ANSWERS)
def test_an_answer_has_its_shape(client: TestClient, path: str) -> None:
    """Every field that is described is there, with a value of its type, and no other is."""
    answer = client.get(path).json()
    read = TypeAdapter(ANSWERS[path]).validate_python(answer)
    assert names(read) == names(answer)


def names(value: Any) -> Any:
    """The names of the fields, and of those inside."""
    if isinstance(value, BaseModel):
        return {name: names(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {name: names(each) for name, each in value.items()}
    return [names(each) for each in value] if isinstance(value, list) else None
