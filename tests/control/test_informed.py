"""Attempts that ask their hosts before the registry hears of them: what is refused then leaves no trace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oroboros_deploy.deployment import Deployment
from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.outcome import Outcome
from tests.control.test_configured import env
from tests.support.site import Site

pytestmark = pytest.mark.slow  # whole attempts


@pytest.mark.parametrize(
    "act",
    [lambda hosts: hosts.rollback(["web1"]), lambda hosts: hosts.push_env(["web1"])],
    ids=["rollback", "push"],
)
def test_what_is_refused_is_no_attempt(site: Site, act: Callable[[Deployment], Outcome]) -> None:
    """On a host without a release neither knows which one is meant: one question, and nothing in the registry."""
    with pytest.raises(InvalidInput, match="nothing was changed") as refused:
        act(site.deployment(env=env()))
    assert refused.value.outcome is not None and refused.value.outcome.release_id == ""
    assert site.commands() == ["facts"]
    with site.deployment().registry() as registry:
        assert registry.reader.attempts().items == []
