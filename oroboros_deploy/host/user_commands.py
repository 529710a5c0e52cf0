"""A line that an operator has run beside the services: in `current`, as their user, with their configuration."""

from __future__ import annotations

import codecs
import gc
import os
import pwd
import threading
import time
from pathlib import Path

from . import another_user, configuration, environment, line, manager, process, state, units
from .annotations import TYPE_CHECKING, Dict, List, Optional
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
    size = request.get("terminal")
    with ended_by_hang_up() as stop:
        if size:
            from . import terminal

            ended = terminal.run(request["line"], user, name, layout.current, env, size, mask, say, stop)
        else:
            ended = _listened_to(request["line"], user, name, layout.current, env, mask, say, stop)
    status = 128 - ended if ended is not None and ended < 0 else ended
    return {"status": status, "user": user or pwd.getpwuid(os.getuid()).pw_name, "release": live}


def _listened_to(
    text: str,
    user: Optional[str],
    name: str,
    cwd: Path,
    env: Dict[str, str],
    mask: Mask,
    say: Say,
    stop: threading.Event,
) -> Optional[int]:
    """Run a line and tell its output; its exit status."""
    output = _Output(say)
    deadline = time.monotonic() + LONGEST
    ended = line.run(text, user, name, cwd=cwd, deadline=deadline, env=env, mask=mask, sink=output.take, stop=stop)
    output.finish()
    return ended.status


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
    load = found.get("LoadState")
    if load != "loaded":
        state = f"unit {name} is {load} on this host" if load else f"systemd did not say what unit {name} is"
        hint = f"--service=NAME names another one; on the host: systemctl status {name}"
        raise Refusal("invalid", f"nothing was run: {state}, so no user is known to run it", hint=hint)
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
