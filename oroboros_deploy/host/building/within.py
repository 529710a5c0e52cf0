"""Paths of a recipe, resolved below the release: a link of the commit, or of a command, may lead anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from ..refusal import Refusal


def within(release: Path, path: str) -> Path:
    """Where a path of the recipe leads at this moment; raises Refusal when that is outside the release."""
    top, found = os.path.realpath(release), os.path.realpath(release / path)
    if found != top and not found.startswith(f"{top}/"):
        raise Refusal("build_failed", f"{path} leads out of the release, to {found}", hint="a link of the commit does")
    return release / os.path.relpath(found, top)
