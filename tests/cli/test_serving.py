"""What `fab serve` says when the ``web`` extra is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fabfiles import NAMESPACE, fab


@pytest.mark.slow
@pytest.mark.parametrize("absent", ["fastapi"])
def test_a_missing_extra_is_named(project: Path, absent: str) -> None:
    """Without one of its packages nothing is served, and the message says what to install."""
    (project / "fabfile.py").write_text(f"import sys\nsys.modules[{absent!r}] = None\n{NAMESPACE}")
    ran = fab(project, "serve", "--port=0")
    words = f"nothing is served: {absent} is not installed\n  → pip install 'oroboros_deploy[web]'\n"
    assert (ran.returncode, ran.stderr) == (2, words)
