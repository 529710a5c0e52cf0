"""The version of a project that takes it from git: a release has no git of its own to ask."""

from __future__ import annotations

import re
from pathlib import Path

from ..annotations import Dict, Optional

# By what a project names: the variable that tells its tool the version.  {} stands for the project's name.
_VARIABLES = {
    r"setuptools[-_]scm|use_scm_version|hatch-vcs|vcs-versioning": "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{}",
    r"\bpdm-backend\b(?s:.*)\bscm\b": "PDM_BUILD_SCM_VERSION",
    r"poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS",
    r"\bpbr\b": "PBR_VERSION",
}
_FILES = ("pyproject.toml", "setup.cfg", "setup.py")
_NAME = re.compile(r"""^\s*(?:setup\()?name\s*=\s*["']?([A-Za-z0-9][\w.-]*)""", re.MULTILINE)
_DESCRIBED = re.compile(r"(?P<tag>.*?)(?:-(?P<distance>\d+)-g(?P<commit>[0-9a-f]+))?")
_OF_A_TAG = re.compile(r"(?:^|[^0-9.])(\d+(?:\.\d+)*(?:-?(?:a|b|rc|\.?post)\d+)?)$")


def variables(directory: Path, described: str) -> Dict[str, str]:
    """What the build of a project finds in its environment, when its version comes from git; else nothing.

    ``described`` is what `git describe` calls the commit.
    """
    texts = [(directory / name).read_text("utf-8", "replace") for name in _FILES if (directory / name).is_file()]
    text = "\n".join(texts)
    name = _NAME.search(text)
    wanted = [variable for pattern, variable in _VARIABLES.items() if re.search(pattern, text)]
    known = re.sub(r"[-_.]+", "_", name.group(1)).upper() if name else None
    return {each.format(known): version(described) for each in wanted if known or "{}" not in each}


def version(described: str) -> str:
    """The version of a commit by what `git describe` calls it, as setuptools-scm makes one."""
    told = _DESCRIBED.fullmatch(described)
    tag, distance, commit = told.group("tag", "distance", "commit") if told else (described, None, None)
    tagged = _of_tag(tag)
    if tagged is None:  # no tag, or one that is no version
        return f"0.1.dev{distance or 0}+g{(commit or tag)[:10]}" if commit or _is_id(tag) else "0.1.dev0"
    return tagged if distance is None else f"{_next(tagged)}.dev{distance}+g{commit}"


def _of_tag(tag: str) -> Optional[str]:
    found = None if _is_id(tag) else _OF_A_TAG.search(tag)
    return found.group(1).replace("-", "") if found else None


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{7,64}", text) is not None


def _next(version: str) -> str:
    """The version after this one: its last number is one more."""
    return re.sub(r"\d+$", lambda last: str(int(last.group()) + 1), version)
