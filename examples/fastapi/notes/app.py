from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import select, text

from notes.database import Note, Session

app = FastAPI()
RELEASE = Path.cwd().name  # the service starts in `current`; the kernel says which release that was


class NewNote(BaseModel):
    text: str


@app.get("/health")
def health() -> dict[str, str]:
    with Session() as session:
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
    return {"release": RELEASE, "revision": str(revision)}


@app.get("/notes")
def notes() -> list[str]:
    with Session() as session:
        return list(session.scalars(select(Note.text).order_by(Note.id)))


@app.post("/notes")
def add(note: NewNote) -> None:
    with Session.begin() as session:
        session.add(Note(text=note.text))
