"""What nobody foresaw on one host is that host's outcome: told, recorded, and the others keep theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.control.faults import HostFault, hide, in_a_line
from oroboros_deploy.errors import DeployError, HostUnreachable
from oroboros_deploy.outcome import State
from oroboros_deploy.testing import LocalCommand, LocalConnection
from tests.support.site import Site, states

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

HOSTS = ["web1", "web2", "web3"]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tracebacks are written."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/oroboros_deploy/tracebacks"


class AlteredCommand(LocalCommand):
    """The real agent, whose answer to one call arrives as another."""

    def lines(self) -> Iterator[bytes]:
        for line in super().lines():
            altered = self._connection
            assert isinstance(altered, AlteredConnection)
            if altered.commands[-1] == altered.call and line.startswith(b'{"format"'):
                line = json.dumps({**json.loads(line), "result": altered.result}).encode()
            yield line


class AlteredConnection(LocalConnection):
    """A host that answers one call with something else."""

    def __init__(self, places: tuple[str, str], call: str, result: object) -> None:
        super().__init__(places)
        self.call, self.result = call, result

    def command(self, script: str, **_: Any) -> LocalCommand:
        self.running.append(AlteredCommand(self, script))
        return self.running[-1]


def with_altered(site: Site, call: str, result: object) -> Any:
    """How to connect, where web2 is the host that answers something else."""

    def connect(name: str) -> LocalConnection:
        places = str(site.root("HOST")), str(site.root(name))
        return AlteredConnection(places, call, result) if name == "web2" else site.connect(name)

    return connect


@pytest.mark.parametrize("result", [None, [], 7])
def test_a_switch_whose_answer_is_none(site: Site, result: object) -> None:
    """Nobody asks again what would be said again: that host is unknown, the others are as they would be."""
    outcome = site.fleet(connect=with_altered(site, "activate", result)).deploy(HOSTS, sha=site.good)
    assert states(outcome) == {"web1": State.LIVE, "web2": State.UNKNOWN, "web3": State.SKIPPED}
    why = "this host's answer cannot be read: something other than the agent wrote or changed it"
    told = f"the host goes on alone, how it ends is not known here: {why}"
    bad = outcome.hosts[1]
    assert (bad.message, bad.hint) == (told, Config().asks_later("web2"))


@pytest.mark.parametrize("result", [{}, {"state": 3}, {"state": {"phase": "unheard"}}])
def test_a_switch_whose_answer_means_nothing(site: Site, kept: Path, result: object) -> None:
    """That host is unknown, the one before stays live and recorded, the one after is not begun."""
    fleet = site.fleet(connect=with_altered(site, "activate", result))
    outcome = fleet.deploy(HOSTS, sha=site.good)
    assert states(outcome) == {"web1": State.LIVE, "web2": State.UNKNOWN, "web3": State.SKIPPED}
    assert (outcome.exit_code, outcome.registry) == (40, "written")
    bad = outcome.hosts[1]
    assert bad.message.startswith("the host goes on alone, how it ends is not known here: oroboros_deploy failed")
    (file,) = kept.iterdir()
    assert (
        bad.hint
        == "fab -H web2 status  tells what it serves; then  fab -H web2 registry.reconcile  writes the end into the "
        f"history; the traceback, for a report of the fault, is in {file}"
    )
    assert "Traceback" in file.read_text()
    with fleet.registry() as registry:
        assert registry.serving()["web1"] == site.good
        shown = registry.reader.attempt(outcome.attempt)
    assert shown is not None


@pytest.mark.parametrize(
    ("result", "kind", "code", "state", "faults"),
    [
        (None, HostUnreachable, 50, State.UNREACHABLE, 0),
        ([], HostUnreachable, 50, State.UNREACHABLE, 0),
        ({"live": None}, HostFault, 1, State.NOT_SWITCHED, 1),
    ],
)
def test_facts_that_mean_nothing(
    site: Site, kept: Path, result: object, kind: type[DeployError], code: int, state: State, faults: int
) -> None:
    """Before a switch the attempt ends with nothing switched anywhere, and names the host; no traceback is shown."""
    with pytest.raises(kind) as caught:
        site.fleet(connect=with_altered(site, "facts", result)).deploy(HOSTS, sha=site.good)
    error = caught.value
    assert (error.host, getattr(error, "code", int(error.exit_code)), error.message.partition(":")[0]) == (
        "web2",
        code,
        "nothing was switched",
    )
    assert error.outcome is not None
    assert states(error.outcome) == {"web1": State.SKIPPED, "web2": state, "web3": State.SKIPPED}
    assert len(list(kept.glob("*"))) == faults


def test_a_question_is_answered_by_the_others(site: Site) -> None:
    """A host whose answer means nothing is told as a failure beside the answers of the others."""
    answers = site.fleet(connect=with_altered(site, "facts", None)).status(HOSTS)
    assert [isinstance(answers[host], HostUnreachable) for host in HOSTS] == [False, True, False]


def test_secrets_that_come_while_one_is_masked() -> None:
    """A fault is told, without any secret, while another deployment of the same process gets its secrets."""

    class Meanwhile(str):
        def splitlines(self, keepends: bool = False) -> list[str]:
            hide([f"of-another-{number}" for number in range(100)])
            return super().splitlines(keepends)

    hide([Meanwhile("of-the-first")])
    told = "oroboros_deploy failed in a way that nobody foresaw (KeyError: '***')"
    assert in_a_line(KeyError("of-the-first")) == told
    assert in_a_line(KeyError("of-another-99")) == told
    hide(["of-\\-bäckslash"])
    assert in_a_line(KeyError("of-\\-bäckslash")) == told
