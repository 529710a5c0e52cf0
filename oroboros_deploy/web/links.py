"""Where a page leads for what the registry does not have: commits, as the settings say where people read them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Links:
    """Addresses with holes for shas; None where no setting says one."""

    commit_url: str | None = None
    compare_url: str | None = None

    def commit(self, sha: str) -> str | None:
        """Where a commit is read."""
        return self.commit_url and self.commit_url.replace("{sha}", quote(sha, safe=""))

    def compare(self, before: str | None, after: str) -> str | None:
        """Where it is read what is new in one commit against another; None when there is nothing before."""
        if not self.compare_url or not before or before == after:
            return None
        return self.compare_url.replace("{before}", quote(before, safe="")).replace("{after}", quote(after, safe=""))
