"""With least privilege: what the settings name and root's list of the application does not, told before a deploy."""

from __future__ import annotations

import os
import re

from . import environment, manager, units, words
from .annotations import TYPE_CHECKING, Iterator, List

if TYPE_CHECKING:
    from .contract import FactsRequest, Problem, Users


def problems(request: FactsRequest, users: Users) -> List[Problem]:
    """What the helper would refuse in the middle of an activation, and what has root list it.

    It is asked for a deploy alone, which needs a source: a way back is held to its record, not to the settings.
    """
    services: List[str] = request.get("services", []) if request.get("restart") else []
    lacking = [*_units(services), *_users(users)] if request.get("source") else []
    if not lacking:
        return []
    login = environment.of_this_user()["USER"]
    what = f"{', '.join(lacking)}: not in the list that root made of what {login} may touch here (least privilege)"
    return [{"message": what, "hint": words.setup_least(login)}]


def _units(services: List[str]) -> Iterator[str]:
    patterns = [re.escape(each).replace(r"\*", ".*") for each in manager.listed("units")]
    for name in map(units.full_name, services):
        stem = os.path.splitext(name)[0]
        if not any(re.fullmatch(each, stem) for each in patterns):
            yield f"the service {name}"


def _users(users: Users) -> Iterator[str]:
    known = manager.listed("users")
    for setting, name in sorted(users.items()):
        if name not in known:
            yield f"the user {name} of run_as.{setting}"
