"""The agent as bytecode, beside the agent: a host compiles it once and not at every call.

It is found by the name that ``__main__`` looks for, one for each version of Python; a Python that cannot read the
bytecode of its namesake takes the agent itself.  It runs with a proof that this login compiled it (`proof`), and is
compiled anew without one.

    the magic number of the bytecode, then by the name of each module whether it is a package, and its code (`compiled`)
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from . import proof

_PACKAGE = "/__init__.py"


def keep(agent: Path) -> None:
    """Compile the agent, unless that was done; a host where it cannot be kept is only slower."""
    kept = agent.with_name(f"{agent.name}.{sys.implementation.cache_tag}")
    if proof.holds(str(kept)) or kept.is_dir():
        return
    from . import durable, key

    with contextlib.suppress(OSError, ValueError):
        key.at(agent.parent.parent / "key")
        durable.write(kept, _compiled(agent))
        durable.write(Path(proof.place(str(kept))), proof.of(str(kept)).encode())


def _compiled(agent: Path) -> bytes:
    import marshal
    import zipfile
    from importlib.util import MAGIC_NUMBER

    with zipfile.ZipFile(agent) as source:
        texts = {name: source.read(name) for name in source.namelist() if "/" in name}  # not what runs before it
    codes = {name: compile(text, f"{agent}/{name}", "exec", dont_inherit=True) for name, text in texts.items()}
    modules = {_module(name): (name.endswith(_PACKAGE), marshal.dumps(code)) for name, code in codes.items()}
    return MAGIC_NUMBER + marshal.dumps(modules)


def _module(name: str) -> str:
    """The name by which a file of the agent is imported."""
    return name[: -len(_PACKAGE if name.endswith(_PACKAGE) else ".py")].replace("/", ".")
