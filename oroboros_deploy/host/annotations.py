"""The names that annotations need, without the two milliseconds that each start of the agent would pay for ``typing``.

To mypy they are those of ``typing``.  When the agent runs nobody looks at an annotation.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO as IO
    from typing import Any as Any
    from typing import Callable as Callable
    from typing import Container as Container
    from typing import Dict as Dict
    from typing import Iterable as Iterable
    from typing import Iterator as Iterator
    from typing import List as List
    from typing import Mapping as Mapping
    from typing import NamedTuple as NamedTuple
    from typing import Optional as Optional
    from typing import Sequence as Sequence
    from typing import Set as Set
    from typing import Tuple as Tuple
    from typing import TypeVar as TypeVar
    from typing import Union as Union
    from typing import cast as cast
else:

    class _Anything:
        """What stands for all of them: a type that has any parameters."""

        def __getitem__(self, parameters):
            return self

    class _Named(type):
        """Makes a named tuple of a class: its fields are what it annotates, its values their defaults."""

        def __new__(cls, name, _bases, body):
            fields = body["__annotations__"]
            defaults = [body.pop(field) for field in fields if field in body]
            return type(name, (namedtuple(name, fields, defaults=defaults),), {**body, "__slots__": ()})

    NamedTuple = type.__new__(_Named, "NamedTuple", (), {})
    IO = Any = Callable = Container = Dict = Iterable = Iterator = List = Mapping = _Anything()
    Optional = Sequence = Set = Tuple = Union = Any
    TypeVar = str

    def cast(_, value):
        """The value; only mypy looks at its type."""
        return value
