"""Pictures of the first screen for a person to look at: fleets of some sizes in every state that matters.

``python -m tests.support.shots DIRECTORY`` takes them with the system's Chromium.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from oroboros_deploy.events import Event
from oroboros_deploy.records.record import CommitRecord, HostRecord
from oroboros_deploy.registry import Registry
from oroboros_deploy.web.site import site
from tests.support.applications import listening
from tests.support.history import SUBJECTS, History, sha, times

SIZES = (1, 3, 20, 150)
BESIDES = (20,)  # those that are taken in the dark and on a phone, too
SCREEN = {"width": 1440, "height": 1000}
PHONE = {"width": 390, "height": 844}
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_NEWS = tuple(
    CommitRecord(sha(900 + at), subject, "Ada Lovelace", "2030-01-31T12:00:00+01:00")
    for at, subject in enumerate(SUBJECTS[:3])
)


def fleet(history: History, count: int, ago: timedelta = timedelta()) -> list[str]:
    """Hosts on one release for some hours, with a fifth of them in staging where there are enough; those of prod.

    ``ago`` is for how long nobody has asked them since.
    """
    names = [f"web{at + 1}.example.org" for at in range(count)]
    staging = names[: count // 5]
    prod = names[count // 5 :]
    for where, hosts in {"staging": staging, "prod": prod}.items():
        before = [HostRecord(name, "live", sha(1), sha(7), seconds=times()) for name in hosts]
        if before:
            history.attempt(
                sha(7), *_live(hosts, 7), ago=ago + timedelta(days=2), environment=where, subject=SUBJECTS[5]
            )
            told = {"environment": where, "subject": SUBJECTS[0], "commits": _NEWS, "actor": "ci@runner-12"}
            history.attempt(sha(1), *before, ago=ago + timedelta(hours=4), **told)  # type: ignore[arg-type]
            history.asked(dict.fromkeys(hosts, sha(1)), where, ago + timedelta(hours=1))
    return prod


def _live(hosts: list[str], number: int) -> list[HostRecord]:
    return [HostRecord(name, "live", sha(number), seconds=times()) for name in hosts]


def well(history: History, hosts: list[str]) -> None:
    """All is as it was."""


def running(history: History, hosts: list[str]) -> None:
    """A deploy builds on the first hosts, and has begun on all."""
    parts = [HostRecord(name) for name in hosts]
    attempt = history.attempt(sha(2), *parts, ago=timedelta(seconds=47), subject=SUBJECTS[4], exit_code=None)
    history.hear(attempt, *(Event("build.started", "building", name) for name in hosts))
    history.lose(attempt, timedelta())


def split(history: History, hosts: list[str]) -> None:
    """A deploy went live on some hosts, and was restored on one."""
    some = len(hosts) // 2
    ends = [HostRecord(name, "live", sha(2), sha(1), seconds=times()) for name in hosts[:some]]
    why = "the gate was not passed: the health command exited 1 after 12 tries"
    ends += [HostRecord(name, "restored", sha(1), sha(1), why, times(30, 60, 3)) for name in hosts[some : some + 1]]
    ends += [HostRecord(name, "skipped", sha(1), sha(1)) for name in hosts[some + 1 :]]
    history.attempt(sha(2), *ends, ago=timedelta(minutes=9), subject=SUBJECTS[4], exit_code=10)


def failed(history: History, hosts: list[str]) -> None:
    """The last deploy did not pass the build."""
    why = "the build of 'frontend' exited 1\nnpm: missing script: build"
    ends = [HostRecord(hosts[0], "not_switched", sha(1), sha(1), why, {"build": 12.5})]
    ends += [HostRecord(name, "skipped", sha(1), sha(1)) for name in hosts[1:]]
    history.attempt(sha(2), *ends, ago=timedelta(minutes=9), subject=SUBJECTS[4], exit_code=30)


def unknown(history: History, hosts: list[str]) -> None:
    """The link to the first host was lost while it went on."""
    ends = [HostRecord(hosts[0], "unknown", None, sha(1), "the link was lost")]
    ends += [HostRecord(name, "skipped", sha(1), sha(1)) for name in hosts[1:]]
    history.attempt(sha(2), *ends, ago=timedelta(minutes=9), subject=SUBJECTS[4], exit_code=40)


def held(history: History, hosts: list[str]) -> None:
    """Somebody holds the first host, and nobody ran into that."""
    since = (datetime.now(UTC) - timedelta(hours=2)).timestamp()
    hold = {"actor": "grace@laptop", "at": since, "reason": "the database is being moved"}
    history.registry.observe({hosts[0]: sha(1)}, "prod", {hosts[0]: hold})


def stale(history: History, hosts: list[str]) -> None:
    """Nobody has asked the hosts for days."""


def drifted(history: History, hosts: list[str]) -> None:
    """Asked, the first host served another release than the last attempt put there."""
    history.registry.observe({hosts[0]: sha(5)}, "prod")


def broken(history: History, hosts: list[str]) -> None:
    """A deploy was not restored on the first host: nothing serves there."""
    gate = "the gate was not passed: the health command exited 1 (gave up after 60 s)"
    why = f"the link `current` names {sha(1)}, and the host is not healthy: {gate}; and the restore failed: {gate}"
    ends = [HostRecord(hosts[0], "not_restored", None, sha(1), why, times(30, 60, 63))]
    ends += [HostRecord(name, "skipped", sha(1), sha(1)) for name in hosts[1:]]
    history.attempt(sha(2), *ends, ago=timedelta(minutes=9), subject=SUBJECTS[4], exit_code=11)


STATES: tuple[Callable[[History, list[str]], None], ...] = (
    well,
    running,
    split,
    failed,
    unknown,
    held,
    stale,
    drifted,
    broken,
)
_UNASKED = {stale: timedelta(days=3)}  # for how long nobody has asked


def take(browser: Browser, directory: Path, scratch: Path) -> None:
    """A picture of the first screen of each size in each state."""
    for count in SIZES:
        for state in STATES:
            name = f"{count:03}-{state.__name__}"
            history = History(f"sqlite:///{scratch / name}.db")
            state(history, fleet(history, count, _UNASKED.get(state, timedelta())))
            _picture(browser, history.registry, directory / f"{name}.png")
            if count in BESIDES:
                _picture(browser, history.registry, directory / f"{name}-dark.png", scheme="dark")
                _picture(browser, history.registry, directory / f"{name}-phone.png", size=PHONE)
            history.close()


def _picture(
    browser: Browser,
    registry: Registry,
    path: Path,
    size: Mapping[str, int] = SCREEN,
    scheme: Literal["light", "dark"] = "light",
) -> None:
    with listening(site(lambda: registry.reader)) as url:
        page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(url)
        page.locator("#link[data-state=live]").wait_for(state="attached")
        page.screenshot(path=path)
        page.goto("about:blank")  # the server goes away
        page.close()


def main(directory: Path) -> None:
    """All pictures, into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        take(browser, directory, Path(scratch))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
