"""A client that knows nothing but the API's own description, and sends everything that it allows and forbids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from oroboros_deploy.registry import Registry
from oroboros_deploy.web import live
from oroboros_deploy.web.site import site
from tests.support.samples import A, B, host, record

# By itself a few examples, each time the same; the nightly run asks for many, and others each time.
EXAMPLES = int(os.environ.get("API_EXAMPLES", "5"))


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    """The application's description, over a registry with something in it; live streams end at once."""
    path: Path = tmp_path_factory.mktemp("api") / "registry.db"
    patch = pytest.MonkeyPatch()
    patch.setattr(live, "STREAM_SECONDS", 0.0)
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.finish(record(A, host("web1", "live", live=A), attempt="one"))
        registry.finish(record(B, host("web1", "restored", previous=A), attempt="two", minute=1))
        app = site(lambda: registry.reader, allowed_hosts=["localhost", "testserver"])
        yield schemathesis.openapi.from_asgi("/api/openapi.json", app)
    patch.undo()


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.slow
def test_nothing_is_found(described: schemathesis.BaseSchema, mode: GenerationMode) -> None:
    """Whatever is sent, as described or against it, the answer is one that the description allows.

    Which cursors there are no description can say: a text that is none is refused with the status of what is forbidden.
    """
    operations = [found.ok() for found in described.get_all_operations()]
    asked = [operation.path for operation in operations if _ask(operation.as_strategy(generation_mode=mode))]
    assert len(asked) == (12 if mode is GenerationMode.POSITIVE else 7), asked


def _ask(cases: SearchStrategy[schemathesis.Case]) -> bool:
    """Send them all; False when there are none, because the description allows everything."""

    @settings(
        max_examples=EXAMPLES,
        derandomize="API_EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def check(case: schemathesis.Case) -> None:
        response = case.call()
        cursor = response.status_code == 422 and "after: that cursor names no place" in response.text
        case.validate_response(response, excluded_checks=[positive_data_acceptance] if cursor else None)

    try:
        check()
    except Unsatisfiable:
        return False
    return True
