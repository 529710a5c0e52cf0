"""The host agent as it travels: one zipapp, the same bytes for the same source, named by its hash."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from shlex import quote
from typing import TYPE_CHECKING

from ..host import words
from ..host.constants import FORMAT
from ..host.wire import REQUEST

if TYPE_CHECKING:
    from ..host.contract import Call, Request

_EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed time: the hash depends on the source alone
_packing = threading.Lock()
# What a host takes the agent with.  Every command packs it to know its hash, and compressing is three quarters of that;
# so it is done for the host that lacks it.
_UNPACK = "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))"

# Runs on whatever python3 the host has, so it must be readable by any.  Nothing is collected in the tenth of a second
# that most calls live, and nothing is put away one by one when they end: together that is a tenth of their cost.
# What was compiled of it runs when this login compiled it.
_MAIN = """\
import gc, marshal, os, sys
from importlib.util import MAGIC_NUMBER
if sys.version_info < (3, 9):
    print('{{"refusal": {old_python}}}')
    sys.exit()
import proof
kept = os.path.abspath(f'{{sys.argv[0]}}.{{sys.implementation.cache_tag}}')
gc.disable()
try:
    if proof.holds(kept):
        with open(kept, 'rb') as file:
            magic, compiled = file.read(len(MAGIC_NUMBER)), file.read()
        if magic == MAGIC_NUMBER:
            modules, names = marshal.loads(compiled), {{}}
            exec(marshal.loads(modules['oroboros_deploy.host.compiled'][1]), names)
            names['serve'](modules, sys.argv[0])
except OSError:
    pass
from oroboros_deploy.host.calls import main
status = main()
sys.stdout.flush()
os._exit(status)
"""

# Runs in the host's /bin/sh.  The request travels in it, and not as input: sshd takes input
# only a round trip later.  A host that has no agent yet says "wanted" and takes the bytes, unless a later version
# wrote there: what it keeps there is not ours to change (``Layout.refuse_newer``, for when the agent is there).
# What is run was put there by this login, and nobody else can put anything in its place: whose it is and who may write
# there is looked at first, then the agent's hash.  Two short programs do it; the others run where something is wrong.
_BEGIN = """\
set -u
umask 077
refuse() {{ printf '{{"refusal": %s}}\\n' "$1"; exit 0; }}
inside() {{ sed 's/["\\\\]/\\\\&/g'; }}  # a name as a part of a text in JSON
"""
# A deploy stops at the first of these; a visit tells of all, and goes on.
_STOP = """\
distrust() {{ refuse "$1"; }}
"""
_GATHER = """\
trusted=yes
distrust() {{ trusted=; printf '{{"event": "refused", "data": %s}}\\n' "$1"; }}
"""
_TRUST = """\
command -v python3 >/dev/null || refuse {no_python}
if [ -e {ours} ] && [ ! -O {ours} ]; then
  owner=$(stat -Lc %U {ours} | inside) login=$(id -un | inside)
  distrust {other_login}
fi
if [ -d {root} ] && [ ! -O {root} ] && [ "$(stat -Lc %u {root})" != 0 ]; then
  owner=$(stat -Lc %U {root} | inside) login=$(id -un | inside)
  distrust {other_root}
fi
open=$(find -H {root} {ours} {directory} {path} {path}.* -maxdepth 0 -perm /022 2>/dev/null)
if [ -n "$open" ]; then
  [ "$open" = {root} ] || distrust {open_ours}
  [ -z "$(find -H {root} -maxdepth 0 -perm /002)" ] || distrust {open_root}
  group=$(stat -Lc %g {root}) login=$(id -un)
  member=$({{ getent group "$group" | cut -d: -f4 | tr , '\\n'
    getent passwd | cut -d: -f1,4 | sed -n "s/:$group$//p"; }} |
    grep -vxF -e "$login" -e root -e '' | head -n 1 | inside)
  [ -z "$member" ] || [ -z "$(find -H {root} -maxdepth 0 -perm /020)" ] || distrust {group_root}
fi
"""
_STORE = """\
stored=
[ ! -s {path} ] || stored=$(sha256sum <{path})
if [ "$stored" != '{digest}  -' ]; then
  [ ! -t 0 ] || refuse {terminal}
  [ -p /proc/self/fd/0 ] || [ -S /proc/self/fd/0 ] || refuse {no_input}
  format=0
  [ ! -s {format} ] || read -r format <{format}
  [ "$format" -ge 0 ] 2>/dev/null || refuse {no_format}
  [ "$format" -le {known} ] || refuse "$(printf {newer} "$format" "$format")"
  (umask 022; mkdir -p {root}) 2>/dev/null
  mkdir -p {directory} 2>/dev/null || {{ login=$(id -un | inside); refuse {no_root}; }}
  echo wanted
  new={directory}/.$$
  read -r size && head -c "$size" | python3 -IS -c {unpack} 2>/dev/null >"$new" &&
    [ "$(sha256sum <"$new")" = '{digest}  -' ] && sync "$new" &&
    rm -rf {path}.* && mv "$new" {path} ||
    {{ rm -f "$new"; refuse {no_copy}; }}
fi
export {variable}={request}
exec python3 -IS -X utf8 {path} {command}
"""
# A visit leaves nothing: what a deploy would store in the root is run from a directory of its own, wherever the root is
# and whoever owns it.
_VISIT = """\
above={directory}
while [ ! -e "$above" ]; do above=$(dirname "$above"); done
login=$(id -un | inside)
[ -z "$trusted" ] || {{ [ -d "$above" ] && [ -w "$above" ]; }} || distrust {no_root}
[ ! -t 0 ] || refuse {terminal}
[ -p /proc/self/fd/0 ] || [ -S /proc/self/fd/0 ] || refuse {no_input}
place=$(mktemp -d) || refuse {no_place}
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
echo wanted
read -r size && head -c "$size" | python3 -IS -c {unpack} 2>/dev/null >"$place/agent.pyz" &&
  [ "$(sha256sum <"$place/agent.pyz")" = '{digest}  -' ] || refuse {no_place}
export {variable}={request}
python3 -IS -X utf8 "$place/agent.pyz" {command}
"""
_BOOTSTRAP = _BEGIN + _STOP + _TRUST + _STORE
_VISITING = _BEGIN + _GATHER + _TRUST + _VISIT
VISITS: tuple[Call, ...] = ("doctor",)  # calls that tell of all that a deploy would stop at


@dataclass(frozen=True)
class Agent:
    """The packed agent."""

    data: bytes
    digest: str

    def sent(self) -> bytes:
        """What a host is sent that wants it: how many bytes follow, and the agent, compressed."""
        compressed = zlib.compress(self.data)
        return b"%d\n" % len(compressed) + compressed

    def path(self, root: PurePosixPath) -> PurePosixPath:
        """Where it stays on a host."""
        return root / ".deploy" / "agent" / f"{self.digest[:32]}.pyz"

    def script(self, root: PurePosixPath, command: Call, request: Request) -> str:
        """The shell lines that make one call, whether the host has the agent or not."""
        path, form = self.path(root), str(root / ".deploy" / "format")
        return (_VISITING if command in VISITS else _BOOTSTRAP).format(
            path=quote(str(path)),
            directory=quote(str(path.parent)),
            root=quote(str(root)),
            ours=quote(str(root / ".deploy")),
            **_distrust(root),
            format=quote(form),
            known=FORMAT,
            newer=quote(_NEWER),
            no_format=quote(_refusal(f"nothing was changed: {form} holds no number", words.without_format(form))),
            unpack=quote(_UNPACK),
            digest=self.digest,
            variable=REQUEST,
            request=quote(json.dumps(request)),
            command=quote(command),
            no_python=quote(_NO_PYTHON),
            no_root=_spoken(f"{root} cannot be written by this login", "fab -H root@HOST setup --login=$login"),
            terminal=quote(_refusal(f"nothing was changed: {TERMINAL}", NO_TERMINAL)),
            no_input=quote(_refusal(f"nothing was changed: {NO_INPUT}", INPUT)),
            no_place=quote(
                _refusal("the agent could not be stored in the host's /tmp, or TMPDIR", "df /tmp; df -i /tmp")
            ),
            no_copy=quote(_refusal("the agent could not be stored on this host", f"df {quote(str(root))}")),
        )


def _distrust(root: PurePosixPath) -> dict[str, str]:
    """The refusals of what somebody else could have put on the host, as words of the shell."""
    ours, chmod = root / ".deploy", "on the host: chmod"
    owned = "belongs to $owner, and this login is $login: nothing was changed"
    group = "can be written by the members of a group, such as $member, not by this login alone"
    return {
        "other_login": _spoken(f"{ours} {owned}", "log in as $owner, as the deploys before: -H $owner@HOST"),
        "other_root": _spoken(f"{root} {owned}", f"on the host: sudo chown $login {quote(str(root))}"),
        "open_ours": _spoken(f"what {ours} runs can be changed by others", f"{chmod} -R go-w {quote(str(ours))}"),
        "open_root": _spoken(f"{root} is writable by everybody", f"{chmod} o-w {quote(str(root))}"),
        "group_root": _spoken(f"{root} {group}", f"{chmod} g-w {quote(str(root))}"),
    }


def _spoken(message: str, hint: str) -> str:
    """One word of the shell, in which the names that the shell has found out are variables."""
    said = quote(_refusal(message, hint))
    for name in ("owner", "login", "member"):
        said = said.replace(f"${name}", f"'\"${name}\"'")
    return said


def packed() -> Agent:
    """The agent, which the same process packs once, however many hosts ask for it at the same time."""
    with _packing:
        return _packed()


@cache
def _packed() -> Agent:
    return pack()


def pack() -> Agent:
    """Pack the agent from the installed package."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "__main__.py", _MAIN.format(old_python=_NO_PYTHON).encode())
        _add(archive, "oroboros_deploy/__init__.py", b"")
        for name, data in _sources(files("oroboros_deploy.host"), "oroboros_deploy/host"):
            _add(archive, name, data)
        _add(archive, "proof.py", files("oroboros_deploy.host").joinpath("proof.py").read_bytes())
    data = buffer.getvalue()
    return Agent(data, hashlib.sha256(data).hexdigest())


def _sources(directory: Traversable, place: str) -> Iterator[tuple[str, bytes]]:
    """The modules of a package and of the packages in it, by their path in the archive; not the one of types alone."""
    for item in sorted(directory.iterdir(), key=lambda each: each.name):
        if item.is_dir():
            yield from _sources(item, f"{place}/{item.name}")
        elif item.name.endswith(".py") and item.name != "contract.py":
            yield f"{place}/{item.name}", item.read_bytes()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), data)


def _refusal(message: str, hint: str | None) -> str:
    return json.dumps({"kind": "invalid", "message": message, "hint": hint})


TERMINAL = "a terminal stands between sshd and the agent, and sends back and changes what is sent to it"
NO_TERMINAL = (
    "let this login run commands without one: a session recorder as ForceCommand or login shell"
    " has to leave commands (SSH_ORIGINAL_COMMAND) alone"
)
NO_INPUT = "the agent's input is not what is sent to it: somebody else's file, or nothing, is in its place"
INPUT = "let this login's shell leave the input of commands alone: look for exec and < in its start-up files"
_NEWER = _refusal(
    "nothing was changed: a later version of oroboros_deploy wrote .deploy on this host (format %s)",
    "install oroboros_deploy 0.%s.0 or later on this control node",
)
_NO_PYTHON = _refusal("python3 (3.9 or later) is not installed on this host", "apt install python3")
