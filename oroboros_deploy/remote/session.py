"""One agent at work on a host: it answers call after call over one channel, until the channel closes or it refuses."""

from __future__ import annotations

import json
import math
import reprlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from ..errors import LineTooLong, LinkLost
from ..host.wire import IDLE
from . import agent
from . import said as heard

if TYPE_CHECKING:
    from ..host.contract import Call, Request, SentAnswer, SentCall, SentEvent
    from ..ssh import HostConnection

T = TypeVar("T")

SILENCE = 30.0  # seconds without a sign of life (the agent gives one every 5) that mean the link is gone
_EVENT = b'{"event"'
_ANSWERS = (b'{"format"', b'{"refusal"')  # the agent's, and that of the shell when no agent could be started
# What a login shell prints comes before this, whatever it is; a greeting may leave its line open.
START = b"oroboros-agent"
TERMINAL = START + b" has a terminal"
NO_INPUT = START + b" has no input"
_IMPEDED = {TERMINAL: (agent.TERMINAL, agent.NO_TERMINAL), NO_INPUT: (agent.NO_INPUT, agent.INPUT)}
_ENDLESS = "this host sent a line without an end, which the agent did not write"
_STRANGE = "this host's answer cannot be read: something other than the agent wrote or changed it"
GREETING = 4 * 1024 * 1024  # bytes that a login shell may print before the agent begins
_PRINTED, _PRINTED_OF_A_LINE = 20, 200  # lines of that, and bytes of each, which are kept
UNHEARD = 76  # the exit status that says that standard output leads to nobody
# sshd gives pipes or sockets; whatever else a descriptor is, somebody put it there.
_START = f"""\
passed() {{ [ -p "/proc/self/fd/$1" ] || [ -S "/proc/self/fd/$1" ]; }}
[ -t 1 ] || passed 1 || exit {UNHEARD}
greeting='{START.decode()}'
if [ -t 0 ]; then
  greeting='{TERMINAL.decode()}'
elif ! passed 0; then
  greeting='{NO_INPUT.decode()}'
  exec </dev/null
fi
printf '\\n%s\\n' "$greeting"
"""
_ALTERED = "something between sshd and the agent changes what the agent says: {}"
_UNALTERED = (
    "let this login's shell leave the output of commands alone: look for exec, tee, ts or sed in its start-up files"
)
_TALKATIVE = f"this login's shell prints more than {GREETING} bytes before a command begins"
_QUIET = "let this login's shell print nothing for commands: look into its start-up files, such as ~/.bashrc"
_UNHEARD = "what the agent says does not come back: standard output leads somewhere else before the agent begins"
ENDING = 5.0  # seconds that the agent may take to end


class AgentEnded(LinkLost):
    """The agent ended without an answer, such as when somebody killed it; the connection stands."""


class Impeded(AgentEnded):
    """What is sent does not reach the agent: a terminal changes it and sends it back, or its input is another."""


class NotUnderstood(LinkLost):
    """Something that is not the agent spoke for it, or changes what it says: it would do so again, whoever asks."""


class Session:
    """Starts the agent with its first call; sends it along when the host lacks it.

    ``deadline`` is seconds, of one call.  Everything here raises LinkLost when the outcome of the call is unknown.
    """

    def __init__(
        self,
        name: str,
        connection: HostConnection,
        root: PurePosixPath,
        call: Call,
        request: Request,
        deadline: float,
    ) -> None:
        self._name = name
        script = agent.packed().script(root, call, request)
        self._remote = connection.command(_START + script, deadline=deadline, silence=SILENCE)
        self._lines = self._remote.lines()
        self._greeted = False
        self._greeting = 0
        self.printed: list[str] = []  # the first lines of what a login shell printed before the agent
        self._impeded: Impeded | None = None
        self._answered = 0.0

    @property
    def open(self) -> bool:
        """Whether it can be asked again: the agent waits for that a limited time, of which half is for the way."""
        return time.monotonic() - self._answered < IDLE / 2 and not self._remote.ended

    def ask(self, call: Call, request: Request, deadline: float) -> None:
        """Make a further call; the answer to the one before is here.  Raises Impeded."""
        if self._impeded:
            raise self._impeded
        self._remote.extend(deadline)
        further: SentCall = {"call": call, "request": request}
        self._remote.write(json.dumps(further).encode() + b"\n")

    def send(self, block: bytes) -> None:
        """Send one block of a stream that belongs to the call; an empty one ends it."""
        self._remote.write(b"%d\n" % len(block) + block)

    def answer(self, hear: Callable[[SentEvent], None]) -> SentAnswer:
        """The answer to the call, its ``result`` or its ``refusal``; its events before that.

        Raises AgentEnded when there is none.
        """
        for said in self._said():
            if said == b"wanted":
                self._remote.write(agent.packed().sent())
            elif said.startswith(_EVENT):
                hear(self._read(said, heard.event))
            elif said.startswith(_ANSWERS):
                self._remote.extend(math.inf)  # until the next call there is nothing to wait for
                self._answered = time.monotonic()
                return self._read(said, heard.answer)
        raise self._no_answer()

    def end(self) -> None:
        """Let the agent end by itself, as it does after a refusal and when there are no more calls."""
        self._remote.extend(ENDING)
        self._remote.close_stdin()
        with suppress(LinkLost):
            self._remote.wait()

    def kill(self) -> None:
        """End the agent.  Never raises."""
        self._remote.kill()

    def _said(self) -> Iterator[bytes]:
        """The lines of the agent, without those of a login shell before it."""
        try:
            for line in self._lines:
                said = line.rstrip(b"\r")
                if self._greeted:
                    yield said
                else:
                    self._greet(said)
        except LineTooLong:
            raise self._not_understood(_ENDLESS if self._greeted else _TALKATIVE, _QUIET) from None

    def _greet(self, said: bytes) -> None:
        """Hear what comes before the agent, or its first line, which is a line of its own."""
        self._greeting += len(said) + 1
        if said and len(self.printed) < _PRINTED and said.strip() and not said.startswith(START):
            self.printed.append(said[:_PRINTED_OF_A_LINE].decode("utf-8", "replace"))
        self._greeted = said in (START, *_IMPEDED)
        if said in _IMPEDED:
            problem, hint = _IMPEDED[said]
            self._impeded = Impeded(problem, hint=hint, host=self._name)
        elif not self._greeted and said.endswith((START, *_IMPEDED)):
            raise self._not_understood(_ALTERED.format(reprlib.repr(said)[1:]), _UNALTERED)
        elif self._greeting > GREETING:
            raise self._not_understood(_TALKATIVE, _QUIET)

    def _read(self, said: bytes, understand: Callable[[bytes], T]) -> T:
        try:
            return understand(said)
        except ValueError:
            hint = f"fab -H {self._name} status  shows what this host serves"
            raise self._not_understood(_STRANGE, hint) from None

    def _not_understood(self, problem: str, hint: str) -> NotUnderstood:
        return NotUnderstood(problem, hint=hint, host=self._name)

    def _no_answer(self) -> LinkLost:
        status = self._remote.wait()
        if self._impeded:
            return self._impeded
        if not self._greeted and (status == UNHEARD or START in self._remote.stderr):
            return self._not_understood(_UNHEARD, _UNALTERED)
        said = self._remote.stderr.decode("utf-8", "replace").strip().splitlines()[-5:]
        return AgentEnded(
            f"the agent ended without an answer (exit {status}): {' | '.join(said) or 'it said nothing'}",
            hint=f"fab -H {self._name} status  shows what this host serves",
            host=self._name,
        )
