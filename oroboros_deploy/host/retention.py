"""Which releases a host keeps, and why.  Pure: nothing here touches anything.

Their order is that of the journal, when each was last live or after which entry it was
built, for clocks jump.
"""

from __future__ import annotations

from .annotations import TYPE_CHECKING, Dict, Iterable, Iterator, List, NamedTuple, Optional
from .constants import SWITCHABLE

if TYPE_CHECKING:
    from .contract import JournalEntry, ReleaseState

ATTEMPTS = 50  # attempts whose requests, logs and results are kept


def due(releases: int, attempts: int, keep: Optional[int]) -> bool:
    """Whether there can be anything to prune, as far as counting tells."""
    return keep is not None and (releases > keep or attempts > 2 * ATTEMPTS)


class Release(NamedTuple):
    """What decides about one release; a higher ``sequence`` is newer."""

    id: str
    state: ReleaseState
    bad: bool
    sequence: int

    @property
    def good(self) -> bool:
        """Complete, and did not fail the last time it was tried."""
        return self.state in SWITCHABLE and not self.bad


class Verdict(NamedTuple):
    """Whether a release stays, and why."""

    id: str
    stays: bool
    why: str


def judge(releases: Iterable[Release], keep: int, held: Dict[str, str], others: Dict[str, str]) -> List[Verdict]:
    """What stays and what goes, the newest first.

    ``held`` (the live release and the one to go back to) count among the ``keep``
    good ones; ``others`` (pinned, in use) stay beside them.  Of those that failed
    their gate the newest stays, to be looked at.
    """
    newest_first = sorted(releases, key=lambda release: release.sequence, reverse=True)
    good = [release.id for release in newest_first if release.good]
    places = keep - len(set(good) & held.keys())
    newest = [release_id for release_id in good if release_id not in held][:places]
    failed = [release.id for release in newest_first if release.bad and release.state != "unsealed"]
    stays = {
        **dict.fromkeys(failed[:1], "the newest that failed here: to be looked at"),
        **others,
        **dict.fromkeys(newest, f"one of the {keep} newest good releases"),
        **held,
    }
    return [Verdict(each.id, each.id in stays, stays.get(each.id) or _goes(each, keep)) for each in newest_first]


def _goes(release: Release, keep: int) -> str:
    if release.state == "unsealed":
        return "its build was never completed"
    return "failed here" if release.bad else f"older than the {keep} good releases that stay"


def sequences(entries: List[JournalEntry]) -> Dict[Optional[str], int]:
    """When each release was last live, in thirds of an entry: one that was left, one that came, one built after."""
    places: Dict[Optional[str], int] = {}
    for entry in entries:
        if entry["outcome"] == "committed":
            places.update({entry["source"]: 3 * entry["seq"] - 1, entry["target"]: 3 * entry["seq"]})
    return places


def served(entries: List[JournalEntry], last: Optional[str]) -> Iterator[Optional[str]]:
    """The releases that served, the last first; ``last`` is what the last activation started from."""
    yield last
    for entry in reversed(entries):
        if entry["outcome"] == "committed":
            yield from (entry["target"], entry["source"])


def built_after(seq: int) -> int:
    """The place of a release that was built when the journal had come to this entry."""
    return 3 * seq + 1
