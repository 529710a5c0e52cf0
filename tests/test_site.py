"""The site: all pages, whose links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")

from docs import pages_beside

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_site(tmp_path: Path) -> None:
    """`mkdocs build --strict` finds every page and every link, and each page can be searched."""
    # Not --quiet: with that, mkdocs counts no warnings.
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(mkdocs, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300)
    assert (built.returncode, re.findall("(?m)^WARNING.*", built.stderr)) == (0, []), built.stderr
    index = json.loads((tmp_path / "search/search_index.json").read_text())
    searched = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"README"} | {"pages", "changelog", "contributing"}
    assert {f"{page}/" for page in pages} | {""} <= searched


@pytest.mark.parametrize(
    ("page", "written", "shown"),
    [
        ("start.md", "[units](units.md#names)", "[units](units.md#names)"),
        ("promises.md", "[the example](../examples/ouroboros/README.md)", "[the example](examples/ouroboros.md)"),
        ("index.md", "[changes](CHANGELOG.md)", "[changes](changelog.md)"),
        ("examples/django.md", "[hosts](../../docs/hosts.md)", "[hosts](../hosts.md)"),
        ("speed.md", "[bounds](../benchmarks/bounds.py)", "bounds (`benchmarks/bounds.py`)"),
        ("speed.md", "[`setup.cfg`](../setup.cfg)", "`setup.cfg`"),
        ("index.md", "![a host](docs/host.svg)", "![a host](host.svg)"),
        ("page.md", "![the page](page.png)", "![the page](page.png)"),
        ("speed.md", "[nowhere](nowhere.md)", "[nowhere](nowhere.md)"),
    ],
)
def test_links(page: str, written: str, shown: str) -> None:
    """A link leads to the page of the site; a file that is no page is named; what leads nowhere is left to mkdocs."""
    file = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert pages_beside.on_page_markdown(written, file) == shown
