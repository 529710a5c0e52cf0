"""The host agent as it travels: one zipapp, the same bytes for the same source, named by its hash."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from shlex import quote
from typing import TYPE_CHECKING

from ..host.constants import FORMAT
from ..host.wire import REQUEST

if TYPE_CHECKING:
    from ..host.contract import Call, Request

_EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed time: the hash depends on the source alone

# Runs on whatever python3 the host has, so it must be readable by any.  Nothing is collected in the tenth of a second
# that most calls live, and nothing is put away one by one when they end: together that is a tenth of their cost.
_MAIN = """\
import gc, os, sys
if sys.version_info < (3, 9):
    print('{{"refusal": {old_python}}}')
    sys.exit()
sys.path.insert(0, f'{{sys.argv[0]}}.{{sys.implementation.cache_tag}}')
gc.disable()
from oroboros_deploy.host.calls import main
status = main()
sys.stdout.flush()
os._exit(status)
"""

# Runs in the host's /bin/sh.  The request travels in it, and not as input: sshd takes input
# only a round trip later.  A host that has no agent yet says "wanted" and takes the bytes, unless a later version
# wrote there: what it keeps there is not ours to change (``Layout.refuse_newer``, for when the agent is there).
_BOOTSTRAP = """\
set -u
umask 077
refuse() {{ printf '{{"refusal": %s}}\\n' "$1"; exit 0; }}
command -v python3 >/dev/null || refuse {no_python}
if [ ! -s {path} ]; then
  [ ! -t 0 ] || refuse {terminal}
  format=0
  [ ! -s {format} ] || read -r format <{format}
  [ "$format" -ge 0 ] 2>/dev/null || refuse {no_format}
  [ "$format" -le {known} ] || refuse "$(printf {newer} "$format" "$format")"
  (umask 022; mkdir -p {root}) 2>/dev/null
  mkdir -p {directory} 2>/dev/null || refuse {no_root}
  echo wanted
  head -c {size} >{path}.$$ && [ "$(sha256sum <{path}.$$)" = '{digest}  -' ] && sync {path}.$$ && mv {path}.$$ {path} ||
    {{ rm -f {path}.$$; refuse {no_copy}; }}
fi
export {variable}={request}
exec python3 -IS -X utf8 {path} {command}
"""


@dataclass(frozen=True)
class Agent:
    """The packed agent."""

    data: bytes
    digest: str

    def path(self, root: PurePosixPath) -> PurePosixPath:
        """Where it stays on a host."""
        return root / ".deploy" / "agent" / f"{self.digest[:32]}.pyz"

    def script(self, root: PurePosixPath, command: Call, request: Request) -> str:
        """The shell lines that make one call, whether the host has the agent or not."""
        path = self.path(root)
        return _BOOTSTRAP.format(
            path=quote(str(path)),
            directory=quote(str(path.parent)),
            root=quote(str(root)),
            format=quote(str(root / ".deploy" / "format")),
            known=FORMAT,
            newer=quote(_NEWER),
            no_format=quote(_refusal(f"nothing was changed: {root}/.deploy/format holds no number", None)),
            size=len(self.data),
            digest=self.digest,
            variable=REQUEST,
            request=quote(json.dumps(request)),
            command=quote(command),
            no_python=quote(_NO_PYTHON),
            no_root=quote(
                _refusal(
                    f"{root} cannot be written by this login",
                    f"on the host, once: sudo install -d -o USER {root}  (USER: the login of the deploys)",
                )
            ),
            terminal=quote(_refusal(f"nothing was changed: {TERMINAL}", NO_TERMINAL)),
            no_copy=quote(_refusal("the agent could not be stored on this host", f"df {root}")),
        )


@cache
def packed() -> Agent:
    """Pack the agent from the installed package; the same process packs it once."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "__main__.py", _MAIN.format(old_python=_NO_PYTHON).encode())
        _add(archive, "oroboros_deploy/__init__.py", b"")
        for name, data in _sources(files("oroboros_deploy.host"), "oroboros_deploy/host"):
            _add(archive, name, data)
    data = buffer.getvalue()
    return Agent(data, hashlib.sha256(data).hexdigest())


def _sources(directory: Traversable, place: str) -> Iterator[tuple[str, bytes]]:
    """The modules of a package and of the packages in it, by their path in the archive."""
    for item in sorted(directory.iterdir(), key=lambda each: each.name):
        if item.is_dir():
            yield from _sources(item, f"{place}/{item.name}")
        elif item.name.endswith(".py"):
            yield f"{place}/{item.name}", item.read_bytes()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    archive.writestr(entry, data, compress_type=zipfile.ZIP_DEFLATED)


def _refusal(message: str, hint: str | None) -> str:
    return json.dumps({"kind": "invalid", "message": message, "hint": hint})


TERMINAL = "a terminal stands between sshd and the agent, and sends back and changes what is sent to it"
NO_TERMINAL = (
    "let this login run commands without one: a session recorder as ForceCommand or login shell"
    " has to leave commands (SSH_ORIGINAL_COMMAND) alone"
)
_NEWER = _refusal(
    "nothing was changed: a later version of oroboros_deploy wrote .deploy on this host (format %s)",
    "install oroboros_deploy 0.%s.0 or later on this control node",
)
_NO_PYTHON = _refusal("python3 (3.9 or later) is not installed on this host", "apt install python3")
