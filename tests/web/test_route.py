"""What every route answers, whichever application it is part of."""

from __future__ import annotations

import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.web import router
from oroboros_deploy.web.pages import pages
from tests.support.samples import A


def refuse() -> None:
    """What an application demands of whoever asks."""
    raise HTTPException(403, "not you")


@pytest.mark.parametrize("path", ["/", "/hosts", "/api/releases", "/api/attempts", "/metrics", "/api/live"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_an_application_demands_is_never_passed_over(registry: Registry, method: str, path: str) -> None:
    """Dependencies of an application that includes the routers are asked before each answer."""
    app = FastAPI()
    app.include_router(router(lambda: registry.reader), dependencies=[Depends(refuse)])
    app.include_router(pages(lambda: registry.reader), dependencies=[Depends(refuse)])
    assert TestClient(app).request(method, path).status_code == 403


@pytest.mark.parametrize("path", ["/", "/api/releases", "/api/live", "/metrics"])
def test_only_reading(client: TestClient, path: str) -> None:
    """HEAD answers with the headers of GET, another method is 405 and is told which there are."""
    headed, posted = client.head(path), client.post(path)
    assert (headed.status_code, headed.headers["content-type"] != "") == (200, True)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/api/releases", f"/api/releases/{A}", "/api/attempts", "/api/live", "/metrics"])
def test_there_is_only_get(client: TestClient, method: str, path: str) -> None:
    """(99) Every method that does not read is 405, whatever path it is for."""
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
