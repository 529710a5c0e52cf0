"""Plans on a real systemd host: made, done, and refused when a fact has changed."""

from __future__ import annotations

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import Shop, current, serving

pytestmark = pytest.mark.host


def test_a_deploy_does_what_was_planned_or_nothing(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A plan says what is live and wanted; it is done by its id, without hosts; once done it holds no more (2)."""
    old, new = shop.release(), shop.release(check="test -d ops")
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    made = fab.ok("-H", "prod", "plan", f"--sha={new}", "--json").json
    [told] = made["hosts"]
    assert (told["live"], told["direction"], told["ahead"], told["refusal"], serving(host)) == (
        old,
        "forward",
        1,
        None,
        old,
    )
    done = fab.ok("deploy", f"--plan={made['id']}")
    assert (f"plan: {old[:10]} → {new[:10]}, 1 commit forward" in done.said, serving(host)) == (True, new)
    back = fab.ok("-H", "prod", "deploy", f"--sha={old}")
    assert f"this deploy goes back: {new[:10]}, which is live on {host.name}, is 1 commit newer" in back.said
    made = fab.ok("-H", "prod", "plan", f"--sha={new}", "--json").json
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    gone = fab("deploy", f"--plan={made['id']}")
    assert (gone.code, f"served {old[:10]}, and serves {new[:10]}" in gone.said, serving(host)) == (2, True, new)
    made = fab.ok("-H", "prod", "plan", f"--sha={old}", "--skip-restart", "--skip-healthcheck").out
    assert made.endswith(" --skip-restart --skip-healthcheck\n") and "with --skip-restart --skip-healthcheck\n" in made
    command = made.splitlines()[-1].partition("-H prod ")[2].split()
    assert "are others" in fab("-H", "prod", *command[:-1]).said
    fab.ok("-H", "prod", *command)
    assert (current(host), serving(host)) == (old, new)
    fab.ok("-H", "prod", "lock", "--reason=the fair")
    held = fab("-H", "prod", "plan", f"--sha={new}")
    assert (held.code, "the fair" in held.said, "with exit code 20" in held.said) == (20, True, True)
