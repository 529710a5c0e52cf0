"""The stream that a command writes to may be narrow, or go away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.cli.stream import write


@pytest.mark.parametrize("redirect", ["| head -c 1 >/dev/null", ">/dev/full", ">&-"])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_stream_that_goes_away_changes_nothing(redirect: str, as_json: bool) -> None:
    """A closed pipe, a full disk or no stdout neither stop a deploy nor change its exit code."""
    program = (
        "import sys\nfrom oroboros_deploy.events import Event\nfrom oroboros_deploy.cli.views import view\n"
        f"with view(sys.stdout, {as_json}, 'deploy', None) as tell:\n"
        "    for n in range(20000): tell(Event('warning', 'x' * 50))\nsys.exit(7)"
    )
    script = f'"$0" -c "$1" {redirect}; echo "${{PIPESTATUS[0]}}" >&2'
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
    done = subprocess.run(["bash", "-c", script, sys.executable, program], capture_output=True, text=True, env=env)
    assert done.stderr == "7\n"


def test_text_is_written_as_far_as_the_encoding_goes(tmp_path: Path) -> None:
    """Signs have ASCII forms, other letters become question marks."""
    path = tmp_path / "log"
    with path.open("w", encoding="ascii") as stream:
        write(stream, "✗ é → …\n")
    assert path.read_text() == "x ? -> ...\n"
