"""A restart: the services of the release that is live on each host, anew and gated; nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from ..source import Commit
from .informed import Informed
from .push import Push

if TYPE_CHECKING:
    from ..config import Config
    from .node import ControlNode


class Restart(Push):
    """What a push does, without a configuration; where it fails there is nothing to go back to."""

    def __init__(self, node: ControlNode, names: Sequence[str]) -> None:
        refuse_nothing_to_restart(node.config)
        Informed.__init__(self, node, "restart", Commit("", "", ""), names)


def refuse_nothing_to_restart(config: Config) -> None:
    """Raise InvalidInput where the settings say that nothing is to be restarted."""
    if config.skip_restart:
        what, hint = "restarts are switched off (skip_restart)", "unset DEPLOY_SKIP_SERVICE_RESTART"
    elif not config.services:
        what, hint = "no service is named to be restarted", "name them in fabric.yaml, under deploy:  services: [NAME]"
    else:
        return
    raise InvalidInput(f"nothing was changed: {what}", hint=hint)
