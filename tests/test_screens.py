"""The screens of the worst five minutes: kept as text in docs/screens.md, each with what is live, why, what to type."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.screens import page, screens
from tests.support.site import Site

pytestmark = pytest.mark.slow  # whole attempts

PAGE = Path(__file__).parent.parent / "docs" / "screens.md"


def test_the_screens_are_those_of_the_page(site: Site) -> None:
    """What is printed is what the page shows, and ends with the state, the cause and the next step."""
    told = screens(site)
    if os.environ.get("WRITE_SCREENS"):
        PAGE.write_text(page(told))
    assert PAGE.read_text() == page(told)
    for title, text in told.items():
        last = text.splitlines()[-3:]
        assert last[-1].startswith("  → "), (title, text)
        assert re.search(r"serves|NEEDS A PERSON|not known here|nothing was changed", "\n".join(last)), (title, text)
