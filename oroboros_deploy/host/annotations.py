"""The names that annotations need, without the two milliseconds that each start of the agent would pay for ``typing``.

To mypy they are those of ``typing``.  When the agent runs nobody looks at an annotation.
"""

from __future__ import annotations

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
    from collections import _tuplegetter

    class _Row(tuple):
        """A tuple whose values have names; `collections.namedtuple` compiles a line of Python for each such class."""

        __slots__ = ()

        def __new__(cls, *values, **named):
            if named or len(values) != len(cls._fields):
                rest = cls._fields[len(values) :]
                known = {**cls._defaults, **named}
                if not (named.keys() <= {*rest} <= known.keys() and len(values) + len(rest) == len(cls._fields)):
                    raise TypeError(f"{cls.__name__} takes {', '.join(cls._fields)}")
                values = (*values, *[known[name] for name in rest])
            return tuple.__new__(cls, values)

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

        def _asdict(self):
            return dict(zip(self._fields, self))

        def _replace(self, **named):
            return type(self)(**{**self._asdict(), **named})

    class _Anything:
        """What stands for all of them: a type that has any parameters."""

        def __getitem__(self, parameters):
            return self

    class _Named(type):
        """Makes a named tuple of a class: its fields are what it annotates, its values their defaults."""

        def __new__(cls, name, _bases, body):
            fields = (*body["__annotations__"],)
            defaults = {field: body.pop(field) for field in fields if field in body}
            getters = {field: _tuplegetter(number, None) for number, field in enumerate(fields)}
            ours = {"_fields": fields, "_defaults": defaults, "__slots__": ()}
            return type(name, (_Row,), {**body, **getters, **ours})

    NamedTuple = type.__new__(_Named, "NamedTuple", (), {})
    IO = Any = Callable = Container = Dict = Iterable = Iterator = List = Mapping = _Anything()
    Optional = Sequence = Set = Tuple = Union = Any
    TypeVar = str

    def cast(_, value):
        """The value; only mypy looks at its type."""
        return value
