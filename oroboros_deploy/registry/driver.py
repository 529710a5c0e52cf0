"""Questions run on the driver's own cursor: for a small answer, SQLAlchemy's part would take most of the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Boolean, Connection, Dialect, Select, literal_column, select

from . import place

_Convert = Callable[[Any], Any]
_Watch = Callable[[Any, Callable[[], object]], object]
_NOTHING: Mapping[str, Any] = {}
_IN_OURS = select(literal_column(f"({place.IN_OURS})", Boolean).label("ours"))


class Driver:
    """A connection as its driver made it; raises that driver's errors.

    Statements are SQLAlchemy's, compiled once, with its types for parameters and columns. They have to
    be made once, too: one that is made for every call is compiled for every call.
    """

    __slots__ = ("connection", "dialect", "schema", "watch")

    def __init__(
        self, connection: Any, dialect: Dialect, watch: _Watch | None = None, schema: str | None = None
    ) -> None:
        """``watch`` is given the connection and what may wait for its server, and does that.

        ``schema`` is the one that our tables are in, None for the default one.
        """
        self.connection = connection
        self.dialect = dialect
        self.watch = watch
        self.schema = schema

    @classmethod
    def under(cls, db: Connection) -> Driver:
        """The one under a connection of SQLAlchemy's, in its transaction."""
        return cls(db.connection, db.dialect, schema=place.of(db))

    def locate(self) -> None:
        """Look where our tables are."""
        if self.dialect.name == "postgresql":
            self.schema = place.NAME if self.value(_IN_OURS) else None

    def rows(
        self, statement: Select[*tuple[Any, ...]], values: Mapping[str, Any] = _NOTHING
    ) -> Sequence[Sequence[Any]]:
        """The rows; ``values`` may have more than the statement asks for."""
        compiled = _compiled(statement, self.dialect, self.schema)
        cursor = self.connection.cursor()
        try:
            execute = partial(cursor.execute, compiled.text, compiled.parameters(values))
            self.watch(self.connection, execute) if self.watch else execute()
            return compiled.converted(cursor.fetchall(), cursor.description)
        finally:
            cursor.close()

    def dicts(self, statement: Select[*tuple[Any, ...]], values: Mapping[str, Any] = _NOTHING) -> list[dict[str, Any]]:
        """The rows, by the names of their columns."""
        names = _compiled(statement, self.dialect, self.schema).names
        return [dict(zip(names, row, strict=True)) for row in self.rows(statement, values)]

    def value(self, statement: Select[*tuple[Any, ...]], values: Mapping[str, Any] = _NOTHING) -> Any:
        """The first column of the first row, None when there is no row."""
        rows = self.rows(statement, values)
        return rows[0][0] if rows else None


class _Compiled:
    """A statement as text, with what its types do to parameters and to columns."""

    def __init__(self, statement: Select[*tuple[Any, ...]], dialect: Dialect, schema: str | None) -> None:
        names: dict[str, Any] = {"schema_translate_map": place.translation(schema), "render_schema_translate": True}
        compiled = statement.compile(dialect=dialect, **names)
        self.text = str(compiled)
        columns = statement.column_descriptions
        self.names = [column["name"] for column in columns]
        self._types = [column["type"].dialect_impl(dialect) for column in columns]
        self._dialect = dialect
        self._converts: list[tuple[int, _Convert]] | None = None
        binds = list(compiled.positiontup or () if compiled.positional else compiled.binds)
        self._by_name = None if compiled.positional else binds
        self._parameters = [
            (compiled.binds[name], compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in binds
        ]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """The values as the driver takes them."""
        found = [values[bind.key] if bind.required else bind.value for bind, _ in self._parameters]
        for index, (_, convert) in enumerate(self._parameters):
            if convert:
                found[index] = convert(found[index])
        return found if self._by_name is None else dict(zip(self._by_name, found, strict=True))

    def converted(self, rows: Sequence[Sequence[Any]], description: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The rows as the types of their columns give them."""
        if self._converts is None:
            self._converts = list(self._processors(description))
        if not self._converts:
            return rows
        found = [list(row) for row in rows]
        for index, convert in self._converts:
            for row in found:
                row[index] = convert(row[index])
        return found

    def _processors(self, description: Sequence[Any]) -> Iterator[tuple[int, _Convert]]:
        """What each column needs, which may depend on what the driver calls its type."""
        for index, type in enumerate(self._types):
            if convert := type.result_processor(self._dialect, description[index][1]):
                yield index, convert


@lru_cache(maxsize=1000)
def _compiled(statement: Select[*tuple[Any, ...]], dialect: Dialect, schema: str | None) -> _Compiled:
    return _Compiled(statement, dialect, schema)
