"""Several hosts at once: results in host order, and nobody left behind."""

from __future__ import annotations

import threading

import pytest

from oroboros_deploy import threads
from oroboros_deploy.errors import Busy, DeployError


def test_results_come_in_host_order() -> None:
    """Whichever host is done first; an error of ours is the result of its host, and the others go on."""
    second = threading.Event()

    def work(host: str) -> str:
        if host == "web1":
            assert second.wait(10)
        if host == "web2":
            second.set()
            raise Busy("somebody is there")
        return host

    found = threads.on_each(["web1", "web2", "web3"], work, lambda: None)
    assert [str(each) for each in found] == ["web1", "somebody is there", "web3"]
    assert isinstance(found[1], DeployError)


@pytest.mark.parametrize("count", [0, 1, 25])
def test_any_number_of_hosts(count: int) -> None:
    """Also more than work at the same time."""
    assert threads.on_each(range(count), lambda host: host + 1, lambda: None) == list(range(1, count + 1))


def test_no_more_than_allowed_work_at_once() -> None:
    """Of four hosts with two at once the first two meet, and nobody ever sees a third."""
    meeting, working, most = threading.Barrier(2), [0], [0]
    counting = threading.Lock()

    def work(_: int) -> None:
        with counting:
            working[0] += 1
            most[0] = max(most[0], working[0])
        meeting.wait(10)
        with counting:
            working[0] -= 1

    threads.on_each(range(4), work, lambda: None, 2)
    assert most == [2]


def test_what_is_no_error_of_ours_stops_the_work() -> None:
    """A fault is raised when all are done with; it is not taken for an answer."""

    def work(host: int) -> int:
        return 1 // host

    with pytest.raises(ZeroDivisionError):
        threads.on_each([0, 1], work, lambda: None)
    with pytest.raises(ZeroDivisionError):
        threads.on_each([0], work, lambda: None)


def test_work_beside_gives_its_result_or_its_error() -> None:
    """Whoever asks for the result gets what the work came to."""
    assert threads.beside(lambda: "done").result(10) == "done"
    with pytest.raises(ZeroDivisionError):
        threads.beside(lambda: 1 // 0).result(10)
