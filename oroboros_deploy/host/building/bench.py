"""The bench: what every part of a build works with, and how the commands of a part are run."""

from __future__ import annotations

import codecs
import os
import shlex
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import configuration, environment, process
from ..annotations import Dict, Iterable, List, Optional, Sequence
from ..masking import Mask
from ..refusal import Refusal
from ..wire import Say
from . import unfit_python
from .inputs import Inputs, Sources, surroundings, tool
from .toolchain import Toolchain, of_the_agent

LOG = 64_000_000  # bytes of a part's log; what comes later is told, and no more
ELSEWHERE = Path("/")  # where Python is run: a types.py in its working directory would take the place of Python's own
_TOO_SLOW = (
    "make the build faster, or set a larger build.timeout in fabric.yaml (seconds for the whole build, with the wait "
    "for other builds), and deploy again"
)
_A_DIRECTORY = (
    "commit it, or correct the path in build.frontend or in build.steps (without any frontend: build.frontend: null)"
)


@dataclass(frozen=True)
class Bench:
    """What every part works with; ``deadline`` is monotonic, ``stop`` is set when nobody wants the build any more.

    ``tools`` is where a pip of our own is kept, ``installer`` is ``pip``, ``uv`` or ``auto``; ``anew`` means that
    nothing is taken from earlier builds.
    """

    release: Path
    logs: Path
    tools: Path
    tmp: Path
    say: Say
    deadline: float
    stop: threading.Event
    sources: Sources = field(default_factory=Sources)
    installer: str = "auto"
    anew: bool = False
    surroundings: Inputs = field(default_factory=surroundings)
    toolchain: Toolchain = field(default_factory=of_the_agent)
    version: str = ""  # of the commit, as `git describe` calls it
    entering: Sequence[str] = ()  # what starts a command where it cannot write but to a few places
    entering_tools: Sequence[str] = ()  # the same for what makes the tools of later builds
    entering_reading: Sequence[str] = ()  # the same for what may not write to the release either
    known: Dict[str, List[str]] = field(default_factory=dict)  # what the host's tools answered; each is asked once
    left_out: List[str] = field(default_factory=list)  # parts that this host could not make and did without
    kept: List[Path] = field(default_factory=list)  # tools that this build needed and that later ones find
    unkept: List[str] = field(default_factory=list)  # parts whose result no later build may take
    configured: Dict[str, str] = field(default_factory=dict)  # what the build sees of the configuration
    mask: Mask = field(default_factory=Mask)  # hides the secrets among it in all that is kept or told
    bound: bool = True  # whether its commands cannot become root

    @property
    def described(self) -> str:
        """What git calls the commit; its id where nothing else is known."""
        return self.version or self.release.name

    def run(
        self, part: str, what: str, argv: Sequence[str], cwd: Path, *, line: Optional[str] = None, **variables: str
    ) -> None:
        """Run one command of a part, ``what`` in words; raises Refusal when it fails or the build is stopped."""
        if not cwd.is_dir():
            missing = f"{part}: there is no directory {cwd.relative_to(self.release)} in the commit"
            raise Refusal("build_failed", missing, hint=_A_DIRECTORY)
        ended = self._logged(part, argv, cwd, variables, line)
        self.go_on()
        if not ended.ok:
            raise self._failed(part, what, ended, installs=line is None)

    def for_tools(self) -> Bench:
        """This bench for what makes tools: no part of a release may write to them."""
        return replace(self, entering=self.entering_tools)

    def for_reading(self) -> Bench:
        """This bench for what only reads the release."""
        return replace(self, entering=self.entering_reading)

    def go_on(self) -> None:
        """Raise Refusal when nobody wants the build any more."""
        if self.stop.is_set():
            raise Refusal("cancelled", "the build was stopped; nothing was switched")

    def shell(self, part: str, line: str, cwd: Path, **variables: str) -> None:
        """Run one line of a part by bash."""
        self.run(part, repr(line), process.SHELL, cwd, line=line, **variables)

    def environment(self) -> Dict[str, str]:
        """What all commands of the build get; a CI of the host's own goes before ours."""
        told = {"DEPLOY_RELEASE": self.release.name, "DEPLOY_VERSION": self.version or self.release.name}
        around = configuration.over({"CI": "1", **environment.of_this_user(self.toolchain.node)}, self.configured)
        return {**around, **told, "TMPDIR": str(self.temporary)}

    def ask(self, argv: Sequence[str]) -> process.Ended:
        """Run a command whose output is an answer."""
        options = {"cwd": ELSEWHERE, "deadline": self.deadline, "env": self.environment()}
        return process.apart(argv, bound=True, entering=self.entering, **options)

    def find(self, name: str) -> Optional[str]:
        """Where commands of this build find a program; None where it is not on this host."""
        return process.find(name, self.toolchain.node)

    def tool(self, name: str) -> Optional[str]:
        """A program as it is now, where commands of this build find it."""
        return tool(name, self.toolchain.node)

    def programs(self, names: Iterable[str]) -> Dict[str, str]:
        """Those of the names that are programs, as `tool` tells them."""
        places = environment.of_this_user(self.toolchain.node)["PATH"].split(":")
        here = {name for place in places for name in _listed(place)}
        told = ((name, self.tool(name)) for name in sorted(names) if name in here or "/" in name)
        return {name: found for name, found in told if found}

    @property
    def temporary(self) -> Path:
        """Where commands keep what they need for a moment."""
        path = self.tmp / "tmp"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def _failed(self, part: str, what: str, ended: process.Ended, *, installs: bool) -> Refusal:
        """The refusal of a part whose command failed; an installer may say that the Python is none that fits."""
        printed = ended.tail
        unfit = installs and unfit_python.is_told(printed)
        why = unfit_python.said(self.toolchain.python, self.toolchain.version) if unfit else ""
        mend = unfit_python.HINT if unfit else "fix it and deploy again" if ended.status is not None else _TOO_SLOW
        hint = f"{mend}; the log is on the host: {shlex.quote(str(self._log(part)))}"
        return Refusal(
            "build_failed", f"{part}: {what} {ended.reason}{why}", hint=hint, log=process.whole_lines(printed)
        )

    def _logged(
        self, part: str, argv: Sequence[str], cwd: Path, variables: Dict[str, str], line: Optional[str]
    ) -> process.Ended:
        """Run the command; its output goes to the part's log, byte for byte up to a limit, and is told as it comes.

        The next command of the part begins a line of its own.
        """
        env, decoder = {**self.environment(), **variables}, codecs.getincrementaldecoder("utf-8")("replace")
        with self._log(part).open("ab") as log:

            def sink(data: bytes, final: bool = False) -> None:
                if data and log.tell() < LOG:
                    log.write(data[: LOG - log.tell()])
                    if log.tell() == LOG:
                        self.say("warning", f"{part}: its log ends at {LOG // 1_000_000} MB", level="warning")
                text = decoder.decode(data, final)  # a character may come in two pieces
                if text:
                    self.say("output", level="detail", part=part, text=text)

            ended = process.run(
                argv,
                cwd=cwd,
                deadline=self.deadline,
                env=env,
                sink=sink,
                stop=self.stop,
                line=line,
                bound=self.bound,
                entering=self.entering,
                mask=self.mask,
            )
            sink(b"" if ended.whole_lines else b"\n", final=True)
            return ended

    def _log(self, part: str) -> Path:
        return self.logs / f"{part.replace('/', '-')}.log"


def _listed(directory: str) -> List[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
