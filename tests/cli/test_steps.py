"""The steps of an attempt, as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.cli.steps import Steps
from oroboros_deploy.events import Event
from oroboros_deploy.outcome import State
from tests.support.events import A_DEPLOY, happened


def lines_of(events: list[Event], *, verbose: bool = False) -> list[str]:
    steps = Steps(verbose)
    return [line.text(steps.width).rstrip() for event in events for line in steps.take(event)]


def test_finished_steps_are_told_with_their_times() -> None:
    """Each step of a deploy becomes one line with its duration; output that went well is not shown."""
    assert lines_of(A_DEPLOY) == [
        "· deploy 3f2a9c1",
        "✓ web1  connect                       1.0 s",
        "✓ web1  source 1.23 MB                1.0 s",
        "✓ web1  build frontend                 12 s",
        "✓ web1  build backend            1 min 37 s",
        "✓ web1  build                    1 min 38 s",
        "✓ web1  migrate                       2.0 s",
        "✓ web1  switch                        10 ms",
        "✓ web1  restart                       3.0 s",
        "✓ web1  gate                          4.0 s",
        "✓ web1  live                     1 min 52 s",
    ]


def test_what_a_host_is_doing_is_always_known() -> None:
    """After each event there is a word for what the host does now, until it has finished."""
    steps, doing = Steps(), []
    for event in A_DEPLOY:
        steps.take(event)
        doing.append(steps.at_work["web1"].label if "web1" in steps.at_work else None)
    assert doing == [
        "connect", "facts", "waiting", "build", "build", "build frontend", "build frontend, backend",
        "build frontend, backend", "build backend", "build", "waiting", "switch", "migrate", "switch", "switch",
        "restart", "restart", "gate", "gate", "gate try 2", "commit", "finish", None, None,
    ]  # fmt: skip


def test_a_failed_gate_shows_the_last_output_and_the_way_back() -> None:
    """The step that failed is marked, its last lines follow, then the restore."""
    noise = [happened("output", "web1", 5, part="gate", text=f"line {n}") for n in range(30)]
    told = lines_of(
        [
            happened("attempt.started", at=0),
            happened("phase", "web1", 1, phase="restarted"),
            happened("step", "web1", 1, step="gating"),
            *noise,
            happened("phase", "web1", 61, message="failed, going back", failed=True, phase="restoring"),
            happened("step", "web1", 61, step="restoring"),
            happened("phase", "web1", 64, phase="restored"),
            happened("host.finished", "web1", 65, message="the gate was not passed", failed=True, state="restored"),
        ]
    )
    assert told == [
        "✗ web1  gate                          1 min",
        *(f"│ web1  line {n}" for n in range(10, 30)),
        "✗ web1  failed, going back",
        "✓ web1  restore                       3.0 s",
        "✗ web1  restored                  1 min 5 s",
    ]


def test_a_failed_build_shows_only_what_did_not_finish() -> None:
    """The output of a part that went well is forgotten, that of the one that failed is shown."""
    events = [
        happened("attempt.started", at=0),
        happened("build.started", "web1", 0),
        happened("part.started", "web1", 1, part="worker"),
        happened("output", "web1", 1, part="backend", text="fine\n"),
        happened("output", "web1", 1, part="worker", text="no matching\ndistribution\n"),
        happened("part.finished", "web1", 2, part="backend", seconds=1),
        happened("host.finished", "web1", 3, failed=True, state="not_switched"),
    ]
    assert lines_of(events) == [
        "✓ web1  build backend                 1.0 s",
        "✗ web1  build worker                  3.0 s",
        "│ web1  no matching",
        "│ web1  distribution",
        "✗ web1  not switched                  3.0 s",
    ]
    assert [line for line in lines_of(events, verbose=True) if "│" in line] == [
        "│ web1  fine",
        "│ web1  no matching",
        "│ web1  distribution",
    ]


def test_of_a_failed_build_only_the_part_that_failed_is_blamed() -> None:
    """The parts that were stopped with it are not said to have failed, nor said to go on."""
    events = [
        happened("attempt.started", at=0),
        happened("build.started", "web1", 0),
        happened("part.started", "web1", 1, part="frontend"),
        happened("part.started", "web1", 1, part="venv worker"),
        happened("output", "web1", 1, part="frontend", text="npm error\n"),
        happened("output", "web1", 1, part="venv worker", text="collecting\n"),
        happened("part.failed", "web1", 8, part="frontend", seconds=7, failed=True, message="frontend failed"),
        happened("host.finished", "web1", 9, failed=True, state="not_switched"),
    ]
    assert lines_of(events) == [
        "✗ web1  build frontend                7.0 s",
        "│ web1  npm error",
        "✗ web1  build                         9.0 s",
        "✗ web1  not switched                  9.0 s",
    ]


def test_what_a_part_fails_for_that_has_another_name_is_shown() -> None:
    """The pip that several parts need is made under a name of its own; output of parts that go on is not shown."""
    events = [
        happened("part.started", "web1", 1, part="api .venv"),
        happened("part.started", "web1", 1, part="frontend"),
        happened("output", "web1", 1, part="frontend", text="npm warn\n"),
        happened("output", "web1", 1, part="pip", text="ensurepip failed\n"),
        happened("part.failed", "web1", 2, part="api .venv", seconds=1, failed=True, message="api .venv failed"),
    ]
    assert lines_of(events) == ["✗ web1  build api .venv               1.0 s", "│ web1  ensurepip failed"]


def test_what_is_skipped_is_said_to_be_skipped() -> None:
    """A step that had nothing to do has no time: it was skipped."""
    events = [
        happened("step", "web1", 1, step="restarting", skipped=True),
        happened("phase", "web1", 1, phase="restarted"),
        happened("step", "web1", 1, step="gating", skipped=True),
        happened("phase", "web1", 1, phase="gated"),
    ]
    assert lines_of(events) == ["· web1  restart skipped", "· web1  gate skipped"]


def test_a_failed_migration_is_all_that_failed() -> None:
    """Nothing was switched, so nothing is restored, and no step that nobody began is said to have failed."""
    events = [
        happened("attempt.started", at=0),
        happened("phase", "web1", 1, phase="prepared"),
        happened("step", "web1", 1, step="migrating"),
        happened("phase", "web1", 3, message="failed, going back: exit 1", failed=True, phase="restoring"),
        happened("phase", "web1", 3, phase="restored"),
        happened("host.finished", "web1", 4, failed=True, state="not_switched"),
    ]
    assert lines_of(events) == [
        "✗ web1  migrate                       2.0 s",
        "✗ web1  failed, going back: exit 1",
        "✗ web1  not switched                  4.0 s",
    ]


def cut_in_the_gate(at: float) -> Event:
    """The link is lost at this moment; nothing was heard since the second 10."""
    return happened("link.lost", "web1", at, message="the connection was lost", heard_at=10, until=600)


GATING = happened("step", "web1", 7, step="gating")


def test_of_a_host_whose_link_is_lost_only_what_is_known_is_said() -> None:
    """Since when nothing was heard of it and what was last, until there is a connection again."""
    steps, told = Steps(), []
    for event in (GATING, cut_in_the_gate(40), cut_in_the_gate(42), happened("host.connected", "web1", 100)):
        steps.take(event)
        told.append((steps.at_work["web1"].now, steps.at_work["web1"].began))
    away = ("not heard of since 00:00:10Z, it goes on by itself (last: gate)", 10)
    assert told == [("gate", 7), away, away, ("gate", 7)]


def test_a_host_that_is_heard_of_again_goes_on_where_it_was() -> None:
    """A connection made anew is no first one, and the steps that passed meanwhile have the times of the host."""
    meanwhile = [
        happened("phase", "web1", 12, message="failed, going back", failed=True, phase="restoring"),
        happened("step", "web1", 12, step="restoring"),
        happened("phase", "web1", 38, phase="restored"),
    ]
    assert lines_of([GATING, cut_in_the_gate(40), happened("host.connected", "web1", 100), *meanwhile])[1:] == [
        "✓ web1  heard of again after     1 min 30 s",
        "✗ web1  gate                          5.0 s",
        "✗ web1  failed, going back",
        "✓ web1  restore                        26 s",
    ]


def test_the_time_of_a_part_is_its_own() -> None:
    """It counts from when the part began: of several that one whose usual time is shown, else the first."""
    steps, since = Steps(), []
    for event in (
        happened("build.started", "web1", 10),
        happened("part.started", "web1", 11, part="venv"),
        happened("part.started", "web1", 12, part="frontend"),
        happened("build.usual", at=13, seconds={"web1": {"frontend": 40.2}}),
        happened("part.finished", "web1", 14, part="frontend"),
        happened("part.finished", "web1", 15, part="venv"),
    ):
        steps.take(event)
        since.append(steps.at_work["web1"].counted)
    assert since == [10, 11, 11, 12, 11, 10]


def test_messages_are_marked_by_weight() -> None:
    """Warnings and errors stand out; details are for --verbose."""
    events = [
        Event("commit", "3f2a  Fix it"),
        Event("warning", "disk is 91 % full", host="web1"),
        Event("link.lost", "trying again", host="web1", level="warning"),
        Event("registry.spooled", "kept", level="error"),
        Event("swept", "one build", host="web1", level="detail"),
    ]
    told = ["· 3f2a  Fix it", "! web1  disk is 91 % full", "! web1  trying again", "✗ kept"]
    assert lines_of(events) == told
    assert lines_of(events, verbose=True) == [*told, "· web1  one build"]


@given(st.text())
def test_no_text_brings_control_characters_to_people(text: str) -> None:
    """Whatever a host says, as output, message or name, every line shown is printable."""
    told = lines_of([Event("warning", text, host=text), happened("output", text, text=text)], verbose=True)
    assert all(line.isprintable() for line in told)


@pytest.mark.parametrize("state", State)
def test_all_states_can_be_told(state: State) -> None:
    """No state is without words."""
    assert lines_of([happened("host.finished", "h", state=str(state))])
