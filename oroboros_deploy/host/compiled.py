"""The compiled agent as Python imports from it: all modules are read at once, and each is made when it is asked for.

`__main__` runs this from the file that it is about (`bytecode`), before anything else of ours, so it imports nothing of
ours.  An archive would be opened for each module again; that was a sixth of a call.
"""

from __future__ import annotations

import marshal
import sys
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Optional, Tuple

    Modules = Mapping[str, Tuple[bool, bytes]]  # by name: whether it is a package, and its code


def serve(modules: Modules, agent: str) -> None:
    """Import these modules from memory from now on; ``agent`` is where their source is."""
    sys.meta_path.insert(0, Compiled(modules, agent))


class Compiled:
    """Finds and makes the modules."""

    def __init__(self, modules: Modules, agent: str) -> None:
        self._modules = modules
        self._agent = agent

    def find_spec(self, name: str, *_: object) -> Optional[ModuleSpec]:
        """What Python has to know of one of the modules; None of all others."""
        found = self._modules.get(name)
        return ModuleSpec(name, self, origin=self._agent, is_package=found[0]) if found else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make it as usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        code = marshal.loads(self._modules[module.__name__][1])  # noqa: S302 - `proof` says who wrote it
        exec(code, module.__dict__)  # noqa: S102 - it is the module

    def get_source(self, name: str) -> Optional[str]:
        """Its text, for a traceback."""
        from zipimport import zipimporter

        directory = "/".join((self._agent, *name.split(".")[:-1]))
        return zipimporter(directory).get_source(name)
