"""Where everything lies on a host, and what `current` may name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import layout as layout_module
from oroboros_deploy.host.journal import Journal
from oroboros_deploy.host.journal_entry import line_of
from oroboros_deploy.host.layout import Layout
from oroboros_deploy.host.refusal import Refusal

ONE, TWO = "1" * 40, "2" * 40


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    places = {"root": ".", "releases": "releases", "current": "current", "repo": "repo"}
    layout = Layout.of({name: str(tmp_path / "srv" / place) for name, place in places.items()})  # type: ignore[arg-type]
    layout.create()
    return layout


def test_it_is_kept_as_plain_strings(layout: Layout) -> None:
    """A kept request brings back the layout that it was made with."""
    assert Layout.of(layout.as_dict()) == layout


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../" + ONE, ONE + "/x", ONE[:39], ONE + "0", ONE.upper() + "g", f"{ONE}\n"]
)
def test_what_is_no_release_id_names_no_directory(layout: Layout, name: str) -> None:
    """Nothing but a full commit sha becomes a path, so no id leads out of the releases."""
    with pytest.raises(Refusal, match="is not a release id"):
        layout.release(name)


def test_a_root_belongs_to_one_machine(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that writes there gives it an id, which stays; another machine is refused, one with no name not."""
    told = json.loads(layout.id.read_text())
    layout.create()
    layout.refuse_other_machine()
    assert (json.loads(layout.id.read_text()), told["root"], len(told["id"])) == (told, str(layout.root), 32)
    monkeypatch.setattr(layout_module, "MACHINE_ID", tmp_path / "machine-id")
    layout.refuse_other_machine()
    (tmp_path / "machine-id").write_text("of another\n")
    if told["machine"]:
        with pytest.raises(Refusal, match="is the deploy root of the machine"):
            layout.refuse_other_machine()
    layout.id.unlink()
    layout.create()
    layout.refuse_other_machine()
    assert json.loads(layout.id.read_text())["id"] != told["id"]
    layout.id.write_text("torn")
    with pytest.raises(Refusal, match="holds no id"):
        layout.refuse_other_machine()


def test_of_two_machines_at_once_one_has_the_root(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second finds the id of the first, and is refused before it goes on."""
    theirs = {"id": "1", "machine": "other", "name": "web1", "root": "/srv"}
    layout.id.unlink()
    monkeypatch.setattr(layout_module, "machine", lambda: "ours")
    link = os.link

    def slow(new: Path, place: Path) -> None:
        place.write_text(json.dumps(theirs))
        link(new, place)

    monkeypatch.setattr(os, "link", slow)
    with pytest.raises(Refusal, match="web1"):
        layout.create()
    assert (json.loads(layout.id.read_text()), list(layout.tmp.iterdir())) == (theirs, [])


def test_only_release_ids_are_listed(layout: Layout) -> None:
    """What else lies beside the releases is not ours."""
    for name in (TWO, ONE, "lost+found", f".{ONE}"):
        (layout.releases / name).mkdir()
    assert list(layout.release_ids()) == [ONE, TWO]


def test_current_names_a_release_or_nothing(layout: Layout) -> None:
    """No link: nothing is live.  A link into the releases: that release, absolute or relative."""
    assert layout.live() is None
    layout.current.symlink_to(f"releases/{ONE}")
    assert layout.live() == ONE
    layout.current.unlink()
    layout.current.symlink_to(layout.releases / TWO)
    assert layout.live() == TWO


def test_another_programs_link(layout: Layout) -> None:
    """Before the first commit it is no release and no hindrance; after it, it is a link that somebody moved."""
    layout.current.symlink_to("/etc")
    assert (layout.live(), layout.foreign()) == (None, "/etc")
    entry = {"seq": 1, "hash": "", "kind": "deploy", "outcome": "committed", "target": ONE}
    layout.journal.write_bytes(line_of(entry) + b"\n")
    assert (layout.live(), layout.foreign()) == (None, None)


@pytest.mark.parametrize("target", ["releases", f"releases/{ONE}/x", f"elsewhere/{ONE}"])
def test_a_link_elsewhere_is_refused(layout: Layout, target: str) -> None:
    """A `current` that names no release is refused with the place it names."""
    layout.current.symlink_to(target)
    with pytest.raises(Refusal, match="which is not a release in"):
        layout.live()


def test_a_link_that_somebody_moved_elsewhere_names_none(layout: Layout) -> None:
    """Where a release was committed before, the link was ours to make."""
    layout.current.symlink_to("releases/elsewhere")
    ended: dict[str, Any] = {"kind": "deploy", "target": ONE, "outcome": "restored", "attempt": "one"}
    journal = Journal(layout.journal)
    journal.append(ended)  # type: ignore[arg-type]
    with pytest.raises(Refusal, match="which is not a release in"):
        layout.live()
    journal.append({**ended, "outcome": "committed"})  # type: ignore[typeddict-item]
    assert (layout.live(), journal.committed()) == (None, ONE)


def test_a_directory_in_its_place_is_refused(layout: Layout) -> None:
    """A `current` that is no link is refused with the command that moves it away."""
    layout.current.mkdir()
    with pytest.raises(Refusal) as caught:
        layout.live()
    assert caught.value.hint == f"move it away on the host: mv {layout.current} {layout.current}.old"


def test_a_staged_link_names_the_release_from_where_current_is(layout: Layout) -> None:
    """The link that will replace `current` leads to the release once it is in its place."""
    layout.release(ONE).mkdir()
    layout.stage("switch", ONE)
    layout.staged("switch").rename(layout.current)
    assert (layout.live(), layout.current.resolve()) == (ONE, layout.release(ONE))


def test_only_the_owner_reads_ours(layout: Layout) -> None:
    """What the agent keeps is closed to everybody else."""
    assert layout.ours.stat().st_mode & 0o077 == 0
