"""One question to several hosts, asked side by side.

What can be asked is in `remote/host.py` (the calls) and `host/contract.py` (the keys); `plan.py` makes the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from .. import threads
from ..errors import DeployError
from .faults import told_of

if TYPE_CHECKING:
    from ..host.contract import AuditAnswer, Facts, Hold
    from ..records.record import Asked
    from ..remote.host import Host
    from .node import ControlNode

T = TypeVar("T")
Answers = dict[str, T | DeployError]  # by host
REMEMBERING = 2.0  # seconds that an answer waits for the registry


def ask(
    node: ControlNode,
    names: Sequence[str],
    work: Callable[[Host], T],
    then: Callable[[Sequence[Host], Answers[T]], None] | None = None,
) -> Answers[T]:
    """Do the work on every host; ``then`` is called with the answers while the hosts are still connected."""
    hosts = [node.host(name) for name in names]
    try:
        answers: Answers[T] = dict(zip(names, on_each(hosts, work), strict=True))
        if then:
            then(hosts, answers)
    finally:
        close(hosts)
    return answers


def on_each(hosts: Sequence[Host], work: Callable[[Host], T]) -> list[T | DeployError]:
    """Do the work on every host, side by side; an error is the answer of its host alone, an interrupt leaves all."""

    def leave() -> None:
        for host in hosts:
            host.leave()

    def guarded(host: Host) -> T:
        try:
            with told_of(host.name):
                return work(host)
        except DeployError as error:
            host.explain(error)
            raise

    return threads.on_each(hosts, guarded, leave)


def close(hosts: Sequence[Host]) -> None:
    """End the connections to the hosts."""
    for host in hosts:
        host.close()


def told(answers: Answers[T]) -> dict[str, T]:
    """What those hosts answered that answered."""
    return {name: answer for name, answer in answers.items() if not isinstance(answer, DeployError)}


def audited(node: ControlNode, host: Host, *, verify: bool, limit: int) -> AuditAnswer:
    """What a host's journal says; ``verify`` compares it with the end that this machine remembers of that target.

    Which target the host's name leads to is known from its answer: where it was known by another name here, the host
    is asked once more.
    """
    heads, place = node.journal_heads, (host.name, node.config.root)
    seen = heads.seen(*place)
    answer = host.audit(verify=verify, limit=limit, seen=seen)
    own = heads.seen(*place, host.target)
    other = own is not None and own != seen
    if verify and other:
        answer = host.audit(verify=verify, limit=limit, seen=own)
    if other or answer["wrong"] is None:
        node.note_head(host, answer["head"] if answer["wrong"] is None else None)
    return answer


def asked_now(node: ControlNode) -> Asked:
    """What the hosts are asked about from now on."""
    from ..records.record import Asked  # while the hosts are being connected to

    return Asked(node.application, node.config.root, datetime.now(UTC))


def remember(node: ControlNode, asked: Asked, hosts: Sequence[Host], answers: Answers[Facts]) -> None:
    """Tell the registry what the hosts serve; an answer about the hosts does not wait long for that."""

    def observe() -> None:
        # Whatever goes wrong, also because the connections are closed meanwhile, is no news for whoever asked.
        with suppress(Exception):
            found = told(answers)
            live = {name: answer["live"] for name, answer in found.items()}
            holds = {name: answer.get("hold") for name, answer in found.items()}
            with node.registry(hosts) as registry:
                registry.observe(live, node.config.environment, holds, asked)

    _beside(observe)


def remember_holds(node: ControlNode, hosts: Sequence[Host], holds: Mapping[str, Hold | None]) -> None:
    """Tell the registry who holds the hosts from now on (None: nobody); the answer does not wait long for that."""

    asked = asked_now(node)

    def observe() -> None:
        with suppress(Exception), node.registry(hosts) as registry:
            registry.hold(holds, asked)

    if holds:
        _beside(observe)


def _beside(observe: Callable[[], None]) -> None:
    thread = Thread(target=observe, name="observe", daemon=True)
    thread.start()
    thread.join(REMEMBERING)
