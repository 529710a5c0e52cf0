"""A line that an operator has run beside the services: in `current`, as their user, with their configuration."""

from __future__ import annotations

import codecs
import gc
import os
import pwd
import time
from pathlib import Path

from . import another_user, configuration, environment, line, manager, process, state, units
from .annotations import TYPE_CHECKING, List, Optional
from .building.build import ended_by_hang_up as ended_by_hang_up  # what nobody waits for any more is ended
from .journal import Journal
from .layout import Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import RunAnswer, RunRequest
    from .masking import Mask
    from .wire import Say

LONGEST = 30 * 86400.0  # seconds that anything of this may take


def run(layout: Layout, request: RunRequest, say: Say) -> RunAnswer:
    """Note the line in the journal, run it, and tell its output as it comes."""
    gc.enable()  # it may live long
    live, user = layout.live(), user_of(request["service"])
    if live is None:
        raise Refusal("invalid", "nothing was run: no release is live on this host", hint="deploy one first")
    used = configuration.in_use(layout)
    mask, name = hidden(layout), f"run-{os.getpid()}"
    env = configuration.environment(layout, used, environment.of_release(layout.release(live), user))
    another_user.sweep("run")
    _note(layout, request["actor"], mask.text(request["line"]))
    output = _Output(say)
    with ended_by_hang_up() as stop:
        options = {"cwd": layout.current, "deadline": time.monotonic() + LONGEST, "env": env, "mask": mask}
        ended = line.run(request["line"], user, name, **options, sink=output.take, stop=stop)
    output.finish()
    status = 128 - ended.status if ended.status is not None and ended.status < 0 else ended.status
    return {"status": status, "user": user or pwd.getpwuid(os.getuid()).pw_name, "release": live}


def hidden(layout: Layout) -> Mask:
    """What hides the secrets of all configurations that are kept here: what is shown may be of an earlier one."""
    kept = sorted(os.listdir(layout.config)) if layout.config.is_dir() else []
    return configuration.mask(layout, configuration.in_use(layout), *kept)


def user_of(service: Optional[str]) -> Optional[str]:
    """Who a service runs as, where that is neither root nor this login; None for the login."""
    if service is None or not manager.chosen().of_the_system:
        return None
    if set("*?[").intersection(service):
        what = f"nothing was run: {service} is a pattern, and no unit's name"
        raise Refusal("invalid", what, hint="--service=NAME names one unit")
    name = units.full_name(service)
    asked = manager.chosen().asking("systemctl", "show", "--property=LoadState,User", "--", name)
    said = process.apart(asked, cwd=Path("/"), deadline=time.monotonic() + 10).tail.splitlines()
    found = dict(each.partition("=")[::2] for each in said)
    if found.get("LoadState") != "loaded":
        what = f"nothing was run: there is no unit {name} on this host, whose user would run it"
        raise Refusal("invalid", what, hint="--service=NAME names another one")
    return _name_of(found.get("User", ""))


def _name_of(user: str) -> Optional[str]:
    """The name of a unit's user, which may be given as a number; None for root, and where there is none."""
    name = _of_number(int(user)) if user.isdigit() else user
    if not name or name == "root":
        return None
    wrong = another_user.problem(name)
    if wrong:
        raise Refusal("invalid", f"nothing was run: {wrong['message']}", hint="--service=NAME names another unit")
    return name


def _of_number(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        what = f"nothing was run: the unit runs as the user {uid}, whom this host does not know by a name"
        raise Refusal("invalid", what, hint="--service=NAME names another unit") from None


def _note(layout: Layout, actor: str, said: str) -> None:
    layout.reserve.spend(
        Journal(layout.journal).append,
        {
            "kind": "run",
            "outcome": "ran",
            "actor": actor,
            "reason": said,
            "at": time.time(),
            "boot": state.boot_id(),
        },
    )


class _Output:
    """What a line prints, told in whole lines."""

    def __init__(self, say: Say) -> None:
        self._say, self._rest = say, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        self._tell(whole)

    def finish(self) -> None:
        self._tell([self._rest] if self._rest else [])

    def _tell(self, lines: List[str]) -> None:
        if lines:
            self._say("run.output", "\n".join(lines))
