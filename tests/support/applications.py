"""Applications as other people run them: with a session of their own, on a real port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from oroboros_deploy.registry.reading import Reader
from oroboros_deploy.web import router, serve, session_reader


def mounted(engine: Engine, see: Callable[[Session], object] = lambda _: None) -> FastAPI:
    """An application whose own sessions our routes read through; ``see`` is shown each."""

    def get_session() -> Iterator[Session]:
        with Session(engine) as session:
            see(session)
            yield session

    given = Depends(get_session)

    def reader(session: Session = given) -> Reader:
        return session_reader(session)

    app = FastAPI()
    app.include_router(router(reader))
    return app


@contextmanager
def listening(app: FastAPI, **options: Any) -> Iterator[str]:
    """An application on a free port, in a thread; its URL."""
    with serve.listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(app, lifespan="off", log_level="error", timeout_graceful_shutdown=1, **options)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield serve.url(listener).rstrip("/")
        server.should_exit = True
        thread.join(10)
