"""The persisted state goes only where it is declared to go, and what cannot be read is none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import get_args

import pytest

from oroboros_deploy.host import constants, contract, state
from oroboros_deploy.host.state import TRANSITIONS
from tests.support.local_agent import LocalAgent


@pytest.fixture
def begun(host: LocalAgent) -> state.State:
    return state.begin(host.request("b" * 40), "a" * 40)  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", TRANSITIONS)
@pytest.mark.parametrize("after", TRANSITIONS)
def test_it_goes_only_where_it_is_declared_to_go(begun: state.State, phase: str, after: str) -> None:
    """A declared step counts one on; any other is a ValueError."""
    found = begun._replace(phase=phase)  # type: ignore[arg-type]
    if after in TRANSITIONS[phase]:  # type: ignore[index]
        entered = found.entering(after)  # type: ignore[arg-type]
        assert (entered.phase, entered.sequence) == (after, found.sequence + 1)
    else:
        with pytest.raises(ValueError, match=f"does not go from {phase} to {after}"):
            found.entering(after)  # type: ignore[arg-type]


def test_it_is_read_as_it_was_written(begun: state.State, tmp_path: Path) -> None:
    """Every field survives the file."""
    state.save(tmp_path / "state.json", begun)
    assert state.load(tmp_path / "state.json") == begun


@pytest.mark.parametrize("changed", ["KERNEL", "FIRST", "MADE", "nothing", "only the kernel's name was noted"])
def test_a_boot_is_known_by_more_than_its_id(
    begun: state.State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """Another id, another first process or another start of systemd is another boot; 0.1.0 noted the id alone."""
    for name, text in {"KERNEL": "id\n", "FIRST": f"1 (a) b) S {'0 ' * 18}24 0", "MADE": ""}.items():
        monkeypatch.setattr(state, name, tmp_path / name)
        (tmp_path / name).write_text(text)
    os.utime(tmp_path / "MADE", ns=(1, 1))
    noted = begun._replace(boot="id" if changed.startswith("only") else state.boot_id())
    assert (state.boot_id(), noted.of_this_boot) == ("id 24 1", True)
    if changed == "KERNEL":
        (tmp_path / changed).write_text("other\n")
    elif changed == "FIRST":
        (tmp_path / changed).write_text(f"1 (a) b) S {'0 ' * 18}25 0")
    elif changed == "MADE":
        os.utime(tmp_path / changed, ns=(1, 2))
    assert noted.of_this_boot == (not changed.isupper())


@pytest.mark.parametrize("torn", ["", "{", "[]", "{}", '"text"', '{"attempt": "a", "unknown": 1}'])
def test_what_cannot_be_read_is_none(tmp_path: Path, torn: str) -> None:
    """A torn or foreign file is no state, and no error."""
    (tmp_path / "state.json").write_text(torn)
    assert (state.load(tmp_path / "state.json"), state.load(tmp_path / "missing.json")) == (None, None)


@pytest.mark.parametrize(("kind", "phase"), [("restart", "swapped"), ("env", "prepared")])
def test_a_torn_state_of_a_restart_is_taken_for_begun(host: LocalAgent, kind: str, phase: str) -> None:
    """No link says how far a restart came, so what it may have begun is not told as untouched."""
    sha = host.sealed("one")
    host.paths.create()
    host.paths.current.symlink_to(f"releases/{sha}")
    request = host.request(sha, kind=kind)
    host.keep(request)
    host.paths.stage("switch", sha)
    host.paths.stage("restore", sha)
    host.paths.unfinished.symlink_to(host.paths.attempt(request["attempt"]).relative_to(host.paths.ours))
    found = state.traces(host.paths)
    assert found and (found.phase, found.source, found.switched) == (phase, sha, False)


def test_a_refusal_is_no_end(host: LocalAgent) -> None:
    """A result that holds a refusal says that the attempt never began."""
    host.paths.create()
    directory = host.paths.attempt("one")
    directory.mkdir()
    assert not state.has_end(host.paths, "one")
    (directory / "result.json").write_text(json.dumps({"refusal": {}}))
    assert not state.has_end(host.paths, "one")
    (directory / "result.json").write_text(json.dumps({"state": {}, "live": None}))
    assert state.has_end(host.paths, "one")


def test_every_phase_of_the_contract_has_its_transitions() -> None:
    """The state machine knows the contract's phases and no others, and goes only to phases that it knows."""
    assert set(TRANSITIONS) == set(get_args(contract.Phase))
    assert {after for following in TRANSITIONS.values() for after in following} <= set(TRANSITIONS)


def test_nothing_follows_a_final_phase_alone() -> None:
    """What the control node knows as final is where the state machine ends, and something follows all else."""
    assert {phase for phase, following in TRANSITIONS.items() if not following} == set(constants.FINAL)
