"""Paths of a recipe, resolved below the release: a link of the commit, or of a command, may lead anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from ..refusal import Refusal


def within(release: Path, path: str) -> Path:
    """Where a path of the recipe leads at this moment; raises Refusal when that is outside the release."""
    top, found = os.path.realpath(release), os.path.realpath(release / path)
    if found != top and not found.startswith(f"{top}/"):
        hint = (
            "find the symbolic link in that path, and remove it from the commit, or have the build not make it; "
            "the links of the commit: git ls-files -s | grep ^120000"
        )
        raise Refusal("build_failed", f"{path} leads out of the release, to {found}", hint=hint)
    return release / os.path.relpath(found, top)
