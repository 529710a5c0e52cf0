"""What pip and uv print when a Python is none that packages want."""

from __future__ import annotations

import pytest

from oroboros_deploy.host.building import unfit_python

_IGNORED = "ERROR: Ignored the following versions that require a different python version: 5.2 Requires-Python >=3.99"
_NO_MATCH = "ERROR: No matching distribution found for"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (f"{_IGNORED}; 6.0 Requires-Python >=3.99\n{_NO_MATCH} Django==6.0", True),
        (f"{_IGNORED}\n{_NO_MATCH} Django==5.2 (from -r requirements.txt (line 1))", True),
        (f"{_IGNORED}\n{_NO_MATCH} Django<6,>=5.2", True),
        (f"{_IGNORED}\n{_NO_MATCH} Django==15.2", False),
        (f"{_IGNORED}\nERROR: could not build a wheel", False),
        ("ERROR: Package 'shop' requires a different Python: 3.11.2 not in '>=3.99'", True),
        ("Because the current Python version (3.11.2) does not satisfy Python>=3.99 and", True),
        (f"{_NO_MATCH} Django==6.0", False),
    ],
)
def test_what_is_told(words: str, told: bool) -> None:
    """Of versions that pip left out only one that is wanted is a reason."""
    assert unfit_python.is_told(words) == told


def test_what_is_said() -> None:
    """The Python and its version, as the end of a sentence."""
    said = unfit_python.said("/usr/bin/python3", (3, 11, 2))
    assert (
        said == ": /usr/bin/python3 is Python 3.11, and a package that is wanted here needs another version of Python"
    )
