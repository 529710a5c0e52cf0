"""The mutations stay what they are said to be: edits of the source as it is, noticed by tests that exist."""

from __future__ import annotations

import pytest

from tests.mutations import MUTATIONS, ROOT, TABLE, Mutation, applies


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_still_applies(mutation: Mutation) -> None:
    """Its text is in the source, once, and its tests are where they are said to be."""
    assert applies(mutation)
    assert (ROOT / mutation.tests[0].partition("::")[0]).is_file()


def test_the_table_is_complete() -> None:
    """Every mutation was run and noticed; nothing else is in the table."""
    rows = [line.strip("|").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip() for row in rows] == [mutation.name for mutation in MUTATIONS]
    assert [row for row in rows if not row[1].startswith("`tests/")] == []
