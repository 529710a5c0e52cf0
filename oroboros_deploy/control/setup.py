"""Hosts made ready for their first deploy: looked at, shown, done, and looked at again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from .. import least
from ..config.checks import address
from ..errors import BuildFailed, DeployError, HostUnreachable, Interrupted, InvalidInput, LinkLost
from ..host.words import WITHOUT_ROOT, keeps_root
from ..remote.root import RootShell
from ..setup.actions import STEP, Action, Problem, actions, notes, problems, script
from ..setup.found import Found, probe, read
from ..setup.wanted import Wanted, wanted
from ..text import telling
from .asking import Answers, close, on_each

if TYPE_CHECKING:
    from ..config import Config
    from ..remote.host import Host
    from .node import ControlNode

T = TypeVar("T")
_WORK = 1800.0  # seconds for all actions: packages may come from far away
_SHOWN = 12  # lines of what failed
_LOOK = 60.0


class ActionAnswer(TypedDict):
    """A command for root, and why it is needed."""

    reason: str
    command: str


class SetupAnswer(TypedDict):
    """What one host needed: ``ready`` says that nothing is left to be done, ``notes`` what only a person can do."""

    login: str
    system: str
    actions: list[ActionAnswer]
    notes: list[str]
    ready: bool


Plans = Mapping[str, SetupAnswer]  # by host
Agree = Callable[[Plans], object]
Password = Callable[[Sequence[str]], str]


@dataclass
class _Work:
    """One host: what it is to have, what it has, and what is to be done there."""

    host: Host
    wanted: Wanted
    shell: RootShell
    found: Found | None = None
    actions: list[Action] = field(default_factory=list)


class Setup:
    """Makes hosts ready.  ``password`` is asked once, and only where sudo wants one; ``agree`` sees all actions first.

    Without ``agree`` nothing is done.  Where one host refuses, nothing is done on any of them.
    """

    def __init__(
        self,
        node: ControlNode,
        login: str | None,
        password: Password,
        agree: Agree | None,
        *,
        least_privilege: bool = False,
    ) -> None:
        self._node = node
        self._helper = _helper(node.config) if least_privilege else None
        self._login = login
        self._password = password
        self._agree = agree
        self._works: dict[str, _Work] = {}

    def run(self, names: Sequence[str]) -> Answers[SetupAnswer]:
        """Look at all hosts, show what is to be done there, and do it side by side."""
        hosts = [self._node.host(name) for name in names]
        try:
            return self._run(hosts)
        finally:
            close(hosts)

    def _run(self, hosts: Sequence[Host]) -> Answers[SetupAnswer]:
        begun = self._each(hosts, self._begin)
        if _failed(begun):
            return begun
        password = self._asked(hosts)
        looked = self._each(hosts, lambda work: self._look(work, password))
        waiting = {name: each for name, each in looked.items() if not isinstance(each, DeployError) and each["actions"]}
        if self._agree is None or not waiting or _failed(looked):
            return looked
        self._agree(waiting)
        return looked | self._done([host for host in hosts if host.name in waiting])

    def _done(self, hosts: Sequence[Host]) -> Answers[SetupAnswer]:
        """Carry out all actions.  Whoever interrupts leaves hosts that go on with theirs."""
        try:
            return self._each(hosts, self._carry_out)
        except KeyboardInterrupt:
            again = self._node.config.typed(",".join(host.name for host in hosts), f"setup{self._flag}")
            hint = f"{again}  shows what is left, when they have ended"
            raise Interrupted("interrupted: the hosts go on with what was begun there", hint=hint) from None

    def _each(self, hosts: Sequence[Host], work: Callable[[_Work], SetupAnswer]) -> Answers[SetupAnswer]:
        done = on_each(hosts, lambda host: work(self._of(host)))
        return dict(zip([host.name for host in hosts], done, strict=True))

    def _of(self, host: Host) -> _Work:
        """The work on a host, whose shell is opened when it is first asked for."""
        if host.name not in self._works:
            connection = host.open()
            want = wanted(self._node.config, self._login, connection.authorized_key, self._helper)
            with _untouched(host.name):
                shell = RootShell(connection, probe(want), host.name, self._as_root(host.name))
            self._works[host.name] = _Work(host, want, shell)
        return self._works[host.name]

    def _as_root(self, host: str) -> str:
        """What to type where a login may not become root."""
        command = self._node.config.typed(
            f"root@{address(host)}",
            f"setup --login={self._login or 'deploy'}{' --least-privilege' if self._helper else ''}",
        )
        return f"the same command again, or log in as root, or as somebody whom sudo lets become root: {command}"

    def _begin(self, work: _Work) -> SetupAnswer:
        return _answer(work, ready=False)

    def _asked(self, hosts: Sequence[Host]) -> str:
        """The password of sudo, which is asked for once, where any host wants it."""
        names = [host.name for host in hosts if self._works[host.name].shell.wants_password]
        return self._password(names) if names else ""

    def _look(self, work: _Work, password: str) -> SetupAnswer:
        with _untouched(work.host.name):
            if work.shell.wants_password:
                work.shell.enter(password)
            self._understand(work, work.shell.answer())
        if found := problems(work.wanted, _seen(work)):
            raise _refused(found, work.host.name)
        return _answer(work, ready=not work.actions)

    def _understand(self, work: _Work, lines: Sequence[str]) -> None:
        try:
            work.found = read(lines)
        except ValueError as wrong:
            raise LinkLost(f"what the host told of itself cannot be read ({wrong})", host=work.host.name) from None
        work.actions = actions(work.wanted, work.found)

    def _carry_out(self, work: _Work) -> SetupAnswer:
        answer = _answer(work, ready=True)
        try:
            self._do(work)
            self._verify(work)
        except LinkLost as lost:
            again = work.host.typed(f"setup{self._flag}")
            what = f"what was begun there goes on, and how it ends is not known here: {lost.message}"
            raise LinkLost(what, hint=f"{again}  shows what is left, and does it", host=work.host.name) from None
        return answer

    def _do(self, work: _Work) -> None:
        begun, steps = 0, [f"{STEP}{number}" for number in range(len(work.actions))]

        def hear(line: str) -> None:
            nonlocal begun
            if line in steps:
                begun = steps.index(line) + 1
                work.host.tell("setup.step", work.actions[begun - 1].reason)

        status, lines = work.shell.run(script(work.actions), _WORK, hear)
        if status:
            raise self._broken(work, begun, lines)

    def _verify(self, work: _Work) -> None:
        _, lines = work.shell.run(probe(work.wanted), _LOOK, lambda _: None)
        self._understand(work, lines)
        left = [each.message for each in problems(work.wanted, _seen(work))] + [each.reason for each in work.actions]
        if left:
            what = "all actions were carried out, but the host is still not ready"
            hint = f"{work.host.typed(f'setup --dry-run{self._flag}')}  shows what is left"
            raise BuildFailed(f"{what}: {'; '.join(left)}", hint=hint, host=work.host.name)

    def _broken(self, work: _Work, begun: int, lines: Sequence[str]) -> BuildFailed:
        failed = work.actions[max(begun, 1) - 1]
        state = f"{max(begun, 1) - 1} of {len(work.actions)} actions are done there, and this one failed"
        hint = f"mend it and go on: {work.host.typed(f'setup{self._flag}')}"
        said = telling([line for line in lines if not line.startswith(STEP)], _SHOWN)
        told = "".join(f"\n  │ {line}" for line in said)
        return BuildFailed(f"{state}: {failed.shown}{told}", hint=hint, host=work.host.name)

    @property
    def _flag(self) -> str:
        mode = " --least-privilege" if self._helper else ""
        return f" --login={self._login}{mode}" if self._login else mode


def _helper(config: Config) -> str:
    """The text of the helper, where the settings can be held to least privilege."""
    if config.scope == "user":
        what = "with scope: user no login becomes root, so there is no privilege to take away"
        raise InvalidInput(what, hint="leave out --least-privilege")
    if keeping := config.privileged:
        raise InvalidInput(keeps_root(keeping), hint=WITHOUT_ROOT)
    return Path(least.__file__).with_name("helper.py").read_text("utf-8")


@contextmanager
def _untouched(host: str) -> Iterator[None]:
    """Say of what is lost before anything was done that nothing was."""
    try:
        yield
    except LinkLost as lost:
        what = f"nothing was changed: {lost.message}"
        raise HostUnreachable(what, hint="type the same command again: it looks at the host first", host=host) from None


def _seen(work: _Work) -> Found:
    assert work.found is not None  # it was looked at before anything is decided
    return work.found


def _failed(answers: Answers[SetupAnswer]) -> bool:
    return any(isinstance(answer, DeployError) for answer in answers.values())


def _answer(work: _Work, *, ready: bool) -> SetupAnswer:
    found = work.found
    return {
        "login": found.login if found else work.wanted.login or "",
        "system": found.system if found else "",
        "actions": [{"reason": each.reason, "command": each.shown} for each in work.actions],
        "notes": notes(work.wanted, found) if found else [],
        "ready": ready,
    }


def _refused(found: Sequence[Problem], host: str) -> InvalidInput:
    """All that is in the way, each with what mends it."""
    if len(found) == 1:
        return InvalidInput(f"nothing was changed: {found[0].message}", hint=found[0].hint, host=host)
    lines = "".join(f"\n  {each.message}\n    → {each.hint}" for each in found)
    return InvalidInput(f"nothing was changed:{lines}", host=host)
