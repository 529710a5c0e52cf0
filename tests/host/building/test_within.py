"""A path of a recipe leads into the release, or is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.host.building.within import within
from oroboros_deploy.host.refusal import Refusal


@pytest.fixture
def release(tmp_path: Path) -> Path:
    release = tmp_path / "releases" / "one"
    (release / "real/deep").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    return release


def test_a_link_within_is_followed(release: Path) -> None:
    """The path that a link leads to inside the release is the one that is used."""
    (release / "link").symlink_to("real/deep")
    assert within(release, "link/made") == release / "real/deep/made"


@pytest.mark.parametrize("target", ["/etc", "../../outside", "../one-more", ".."])
def test_a_link_that_leads_out_is_refused(release: Path, target: str) -> None:
    """Wherever a link outside leads, by an absolute path, by a relative one or to a neighbour, it is refused."""
    (release.parent / "one-more").mkdir()
    (release / "link").symlink_to(target)
    with pytest.raises(Refusal, match="link/web leads out of the release, to "):
        within(release, "link/web")
