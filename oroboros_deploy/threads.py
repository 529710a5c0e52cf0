"""Several hosts at once: one thread each, results in host order, nobody left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Thread
from typing import TypeVar

from .errors import DeployError

T = TypeVar("T")
H = TypeVar("H")

AT_ONCE = 10  # hosts worked on at the same time; more would trip sshd's MaxStartups on a shared gateway


def beside(work: Callable[[], T]) -> Future[T]:
    """Start the work in a thread of its own, which nobody waits for when the program ends."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="beside", daemon=True).start()
    return future


def on_each(
    hosts: Sequence[H], work: Callable[[H], T], stop: Callable[[], None], at_once: int = AT_ONCE
) -> list[T | DeployError]:
    """Do the work on every host, side by side; an error on one is its result and does not stop the others.

    They are begun in order, ``at_once`` at a time.  ``stop`` is called when a person
    interrupts: it has to make the work end soon.
    """

    def guarded(host: H) -> T | DeployError:
        try:
            return work(host)
        except DeployError as error:
            return error

    if len(hosts) == 1:
        return [guarded(hosts[0])]
    with ThreadPoolExecutor(min(at_once, len(hosts) or 1), thread_name_prefix="host") as pool:
        futures: list[Future[T | DeployError]] = [pool.submit(guarded, host) for host in hosts]
        try:
            while wait(futures, timeout=0.2).not_done:
                pass
        except BaseException:
            for future in futures:
                future.cancel()
            stop()
            raise
        return [future.result() for future in futures]
