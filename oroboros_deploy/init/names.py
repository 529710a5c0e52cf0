"""The names that an application reads from its environment: what its code needs, and what an example has."""

from __future__ import annotations

import re

from .proposal import Proposal
from .tree import Tree

# Where a name is read: by what, and how the brackets and the line go on.
_READ = re.compile(
    r"(?<![\w.])((?:\w{1,40}\.){0,4}\w{0,40}env\w{0,40}(?:\.\w{1,40}){0,2}|config)\s*[\[(]\s*['\"]([A-Z_][A-Z0-9_]+)['\"]\s*"
    r"([\])]|,[^\n()]{0,99}(?:\([^\n()]*\)[^\n()]{0,99})*\)?)(?=([^\n]{0,9}))"
)
_STRICT = re.compile(r"(?:os\.)?environ|(?:\w+\.)?env(?:\.\w+)?|config")  # these fail without the name
_LENIENT = re.compile(r"(?:os\.)?(?:getenv|environ\.get)")  # and these do not
_BARE = re.compile(r"[\])]|,\s*(?:cast=[\w.]+\s*,?\s*)?\)")
_EMPTY = re.compile(r",\s*(?:default\s*=\s*)?(?:''|\"\"|None)\s*,?\s*\)")
_OPTIONAL = re.compile(r"\s*(?:or\b|in\b|is\b|==|!=|:)")  # after a reader that may find nothing
_ASSIGNED_TO = re.compile(r"\s*=(?!=)")
_SCHEME = re.compile(r"\b([A-Z_][A-Z0-9_]+)=\(\s*[\w.]+\s*,")  # of django-environ: a type and a default
_EXAMPLES = r"\.?env[._-](?:example|sample|template|dist)|(?:example|sample)\.env"
_ASSIGNED = re.compile(r"^(?:export[ ]+)?([A-Z_][A-Z0-9_]+)=", re.MULTILINE)
_OF_THE_SYSTEM = {"HOME", "PATH", "USER", "LANG", "CI", "TZ", "TMPDIR", "DJANGO_SETTINGS_MODULE"}
_SECRET = re.compile(r".*(?:SECRET.*|KEY|PASSWORD|PASSWD|TOKEN|_DSN|(?:DATABASE|REDIS|BROKER|MONGO|MONGODB)_URL)")


def look(tree: Tree, proposal: Proposal) -> None:
    """Add the names of the examples in their order, and after them what the code reads besides.

    What an application starts without, and is no secret, comes last; what has a default is only counted.
    """
    code = "\n".join(map(tree.text, tree.files(r".*\.py")))
    strict, lenient, given = _read(code)
    examples = [name for each in tree.files(_EXAMPLES) for name in _ASSIGNED.findall(tree.text(each))]
    found = dict.fromkeys([*examples, *sorted(strict | lenient)])
    needed = [name for name in found if name not in _OF_THE_SYSTEM and (name in strict or name not in given)]
    proposal.names += sorted(needed, key=lambda name: name in lenient - strict and not is_secret(name))
    proposal.defaults = len({*examples, *given} - {*proposal.names, *_OF_THE_SYSTEM})


def is_secret(name: str) -> bool:
    """Whether a name is called as secrets are: its value belongs into no file."""
    return _SECRET.fullmatch(name) is not None


def _read(code: str) -> tuple[set[str], set[str], set[str]]:
    """The names without which the code fails, those that it asks for without a default, and those with one."""
    schemed = {*_SCHEME.findall(code)}
    found: tuple[set[str], set[str], set[str]] = set(), set(), set()
    for by, name, how, rest in _READ.findall(code):
        if not (how == "]" and _ASSIGNED_TO.match(rest)):
            found[_kind(by, name, how, rest)].add(name)
    return found[0] - schemed, found[1], found[2] | schemed


def _kind(by: str, name: str, how: str, rest: str) -> int:
    """0 where the code fails without the name, 1 where it goes on without a value, 2 where there is a default."""
    if (is_secret(name) and _EMPTY.fullmatch(how)) or (name == "SECRET_KEY" and how[0] == ","):
        return 0
    if not _BARE.fullmatch(how) or (_LENIENT.fullmatch(by) and _OPTIONAL.match(rest)):
        return 2
    return 1 if _LENIENT.fullmatch(by) else 0 if _STRICT.fullmatch(by) else 2
