"""The names that an application reads from its environment: what its code needs, and what an example has."""

from __future__ import annotations

import re

from .proposal import Proposal
from .tree import Tree

# Read without a default: os.environ, os.getenv, and the two readers that settings of Django often have.
_READ = r"\benviron\[|\b(?:getenv|environ\.get|config|env(?:\.\w+)?)\("
_NEEDED = re.compile(rf"(?:{_READ})\s*['\"]([A-Z_][A-Z0-9_]+)['\"](?:,\s*cast=[\w.]+)?\s*[\])]")
_EXAMPLES = r"\.?env[._-](?:example|sample|template|dist)|(?:example|sample)\.env"
_ASSIGNED = re.compile(r"^(?:export[ ]+)?([A-Z_][A-Z0-9_]+)=", re.MULTILINE)
_OF_THE_SYSTEM = {"HOME", "PATH", "USER", "LANG", "CI", "TZ", "TMPDIR", "DJANGO_SETTINGS_MODULE"}


def look(tree: Tree, proposal: Proposal) -> None:
    """Add the names of the examples in their order, and after them what the code reads besides."""
    examples = [name for each in tree.files(_EXAMPLES) for name in _ASSIGNED.findall(tree.text(each))]
    needed = sorted({*_NEEDED.findall("\n".join(map(tree.text, tree.files(r".*\.py"))))})
    proposal.names += [name for name in dict.fromkeys([*examples, *needed]) if name not in _OF_THE_SYSTEM]
