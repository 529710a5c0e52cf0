"""`.deploy/format`: what a later version wrote is not touched by this one."""

from __future__ import annotations

import pytest

from oroboros_deploy import __version__
from oroboros_deploy.host import calls
from oroboros_deploy.host.constants import FORMAT
from tests.support.each_call import requests
from tests.support.local_agent import Answer, LocalAgent
from tests.support.watching import tree

pytestmark = pytest.mark.slow  # whole builds and activations

SHA = "a" * 40
REFUSED = {
    "kind": "invalid",
    "message": "nothing was changed: a later version of oroboros_deploy wrote .deploy on this host (format 3)",
    "hint": "install oroboros_deploy 0.3.0 or later on this control node",
}


def everything(host: LocalAgent) -> list[dict[str, tuple[str, str]]]:
    """The whole tree, with what is ours."""
    return [tree(host.root), tree(host.paths.ours)]


def newer(host: LocalAgent, number: str = "3") -> None:
    """Have a later version write there."""
    host.paths.create()
    host.paths.format.write_text(f"{number}\n")


def test_the_number_is_that_of_the_version() -> None:
    """Format N came with 0.N.0, which people are told to install: this version is not older."""
    assert FORMAT == 2
    assert [*map(int, __version__.split(".")[:2])] >= [0, FORMAT]


def test_it_is_there_before_anything_else_of_ours(host: LocalAgent) -> None:
    """Reading leaves none; the first write of any kind does, once."""
    host.facts()
    assert not host.paths.format.exists()
    host.call("lock", {"actor": "ada", "reason": "the fair"})
    assert host.paths.format.read_text() == "2\n"
    written = host.paths.format.stat().st_mtime_ns
    host.call("unlock", {"actor": "ada"})
    assert host.paths.format.stat().st_mtime_ns == written


def test_the_number_of_an_earlier_version_is_raised(host: LocalAgent) -> None:
    """The first write notes the number of today, so that agents of the earlier version refuse from then on."""
    newer(host, "1")
    host.facts()
    assert host.paths.format.read_text() == "1\n"
    host.call("lock", {"actor": "ada", "reason": "the fair"})
    assert host.paths.format.read_text() == "2\n"


def test_each_call_has_a_request_here(host: LocalAgent) -> None:
    """So that the tests below leave none out."""
    assert set(requests(host, SHA)) == set(calls.CALLS)


@pytest.mark.parametrize("call", sorted({*calls.CALLS} - {"doctor"}))
def test_an_agent_changes_nothing_that_a_later_version_wrote(host: LocalAgent, call: str) -> None:
    """Every call is refused with the version to install, and the tree is as it was."""
    host.facts()
    for bytecode in host.paths.ours.glob("agent/*.pyz.*"):
        bytecode.unlink()
    newer(host)
    before = everything(host)
    assert (host.call(call, requests(host, SHA)[call]).refusal, everything(host)) == (REFUSED, before)


def test_doctor_tells_of_it_and_changes_nothing(host: LocalAgent) -> None:
    """It is one problem among others, in the same words."""
    host.facts()
    newer(host)
    before = everything(host)
    answer = host.call("doctor", requests(host, SHA)["doctor"])
    told = {name: REFUSED[name] for name in ("message", "hint")}
    assert ((answer.result or {})["problems"], everything(host)) == ([told], before)


def test_a_host_that_lacks_the_agent(host: LocalAgent) -> None:
    """Where a later version wrote, not even the agent is stored."""
    newer(host)
    before = everything(host)
    assert (host.call("facts", {"sha": None}).refusal, everything(host)) == (REFUSED, before)


def test_a_number_that_cannot_be_read(host: LocalAgent) -> None:
    """It could be a later one; with the agent there and without."""
    newer(host, 'the "next"')
    without: Answer = host.call("facts", {"sha": None})
    host.paths.format.unlink()
    host.facts()
    newer(host, 'the "next"')
    file = f"{host.root}/.deploy/format"
    hint = f"if no later version of oroboros_deploy was used there, on the host: rm {file} ; the next deploy writes it"
    for answer in (without, host.call("facts", {"sha": None})):
        refusal = answer.refusal or {}
        assert (refusal["message"], refusal["hint"]) == (f"nothing was changed: {file} holds no number", hint)


@pytest.mark.parametrize("number", ["1", "2"])
def test_a_number_that_is_known(host: LocalAgent, number: str) -> None:
    """Neither is in the way, with the agent there and without."""
    newer(host, number)
    assert (host.facts()["live"], host.facts()["live"]) == (None, None)


def test_the_boot_unit_leaves_it_alone(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that an earlier version left for the boot settles nothing there; whoever comes next with the later
    version does."""
    request = host.request(host.sealed("one"))
    host.keep(request)
    host.paths.unfinished.symlink_to(f"attempts/{request['attempt']}")
    newer(host)
    before = everything(host)
    monkeypatch.setattr("sys.argv", [str(host.paths.boot / "agent.pyz"), "boot"])
    assert (calls.main(), everything(host)) == (1, before)
