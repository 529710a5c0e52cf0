"""The agent as bytecode, beside the agent: a host compiles it once and not at every call.

It is found by the name that ``__main__`` looks for, one for each version of Python; what is
missing or cannot be read there is taken from the agent itself.  It runs with a proof that
this login compiled it (`proof`), and is compiled anew without one.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from . import proof


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
    import io
    import marshal
    import zipfile
    from importlib.util import MAGIC_NUMBER

    unchecked = MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)  # by a hash that is not looked at: PEP 552
    compiled = io.BytesIO()
    with zipfile.ZipFile(agent) as source, zipfile.ZipFile(compiled, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            code = compile(text, f"{agent}/{name}", "exec", dont_inherit=True)
            target.writestr(name, text)  # for a Python that cannot read the bytecode of its namesake
            target.writestr(f"{name}c", unchecked + marshal.dumps(code))
    return compiled.getvalue()
