"""What people read when something went wrong at night: real attempts, and their last words as `fab` prints them."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from typing import Any

from oroboros_deploy.cli.exit_codes import ended
from oroboros_deploy.cli.summary import summary
from oroboros_deploy.config import Config
from oroboros_deploy.control.resolving import required_hosts
from oroboros_deploy.deployment import Deployment
from oroboros_deploy.errors import BuildFailed, DeployError, LinkLost
from oroboros_deploy.host.refusal import of_host
from oroboros_deploy.outcome import HostOutcome, Outcome, State
from oroboros_deploy.outcome import ended as end_of
from tests.support.site import Site

HEADING = """\
# The last lines of each failure

Written by `WRITE_SCREENS=1 python -m pytest tests/test_screens.py`, from what the program really prints. The last lines
of each screen say what is live (or that nothing was changed), why, and what to type. The output of services and
builds is above these lines.
"""
HEALTHY = "test -e ../../healthy"
OF_A_SITE = {"application": "shop", "environments": {"prod": {"hosts": ["web1"]}}}


def screens(site: Site) -> dict[str, str]:
    """Each screen by its title."""
    told = {title: make(site) for title, make in MAKERS.items()}
    return {title: _plainly(site, text) for title, text in told.items()}


def page(told: dict[str, str]) -> str:
    """The page of the documentation."""
    return HEADING + "".join(f"\n## {title}\n\n```text\n{text}\n```\n" for title, text in told.items())


def _site(site: Site, **settings: Any) -> Deployment:
    return site.deployment(**{**OF_A_SITE, **settings})


def _words(act: Callable[[], Outcome], typed: Callable[[str, str], str]) -> str:
    try:
        return summary(act(), typed)
    except DeployError as error:
        return last_words(error)


def last_words(error: DeployError) -> str:
    """What an error prints."""
    with redirect_stderr(io.StringIO()) as said:
        ended(error)
    return said.getvalue().rstrip("\n")


def _restored(site: Site) -> str:
    hosts = _site(site)
    hosts.deploy(["web1"], sha=site.good)
    return _words(lambda: hosts.deploy(["web1"], sha=site.bad), hosts.config.typed)


def _not_restored(site: Site) -> str:
    same = "in the same way: look for a cause outside of the releases, such as a file, a database or a full disk"
    why = "the gate was not passed: the health command exited 1 (gave up after 60 s)"
    state: Any = {
        "phase": "restore_failed",
        "target": site.better,
        "source": site.good,
        "switched": True,
        "seconds": {},
        "transcript": "cannot connect to the database",
        "migration_marker": None,
        "reason": f"{why}; last output: cannot connect to the database; and the restore failed {same}",
    }
    end, config = end_of("web1", state, "/srv/shop/.deploy/attempts/ID"), _site(site).config
    end = replace(end, hint=config.hinted("web1", end.hint))
    return summary(Outcome("ID", "deploy", site.better, (end,)), config.typed)


def _unknown(site: Site) -> str:
    config = _site(site).config
    what = "the connection was lost after the activation was asked for; the host finishes alone"
    error = LinkLost(what, hint=config.asks_later("web1"), host="web1")
    host = HostOutcome("web1", State.UNKNOWN, None, site.good, error.message, error.hint)
    return summary(Outcome("ID", "deploy", site.better, (host,)), config.typed)


def _full_disk(site: Site) -> str:
    config = _site(site).config
    full = OSError(errno.ENOSPC, "No space left on device", "/srv/shop/releases")
    refusal = of_host("build_failed", "the host could not go on", full)
    hint = config.hinted("web1", refusal.hint)
    error = BuildFailed(f"nothing was switched: {refusal.message}", hint=hint, host="web1")
    host = HostOutcome("web1", State.NOT_SWITCHED, site.good, site.good, error.message, error.hint)
    error.outcome = Outcome("ID", "deploy", site.better, (host,))
    return last_words(error)


def _held(site: Site) -> str:
    hosts = _site(site)
    hosts.lock(["web1"], reason="the database moves")
    said = _words(lambda: hosts.deploy(["web1"], sha=site.better), hosts.config.typed)
    hosts.unlock(["web1"])
    return said


def _dead_registry(site: Site) -> str:
    hosts = _site(site)
    object.__setattr__(hosts.config, "registry_url", "postgresql://shop@127.0.0.1:1/shop")
    return _words(lambda: hosts.deploy(["web1"], sha=site.better), hosts.config.typed)


def _bad_settings(_: Site) -> str:
    try:
        required_hosts(Config.from_mapping({"helthcheck": {"timeout": 5}}), ["web1"])
    except DeployError as error:
        return last_words(error)
    raise AssertionError("the settings were accepted")


MAKERS: dict[str, Callable[[Site], str]] = {
    "A deploy that was restored (10)": _restored,
    "A deploy that was not restored (11)": _not_restored,
    "The connection was lost (40)": _unknown,
    "A full disk (30)": _full_disk,
    "A held host (20)": _held,
    "A registry that is down (60)": _dead_registry,
    "Settings with a mistake (2)": _bad_settings,
}


def _plainly(site: Site, text: str) -> str:
    """Without what another run has otherwise."""
    for sha, name in ((site.good, "1"), (site.better, "2"), (site.bad, "3")):
        text = text.replace(sha, name * 40).replace(sha[:10], name * 10)
    text = text.replace(str(site.root()), "/srv/shop").replace(" --root=/srv/shop", "")
    text = re.sub(r"\d{8}T\d{6}-[0-9a-f]{8}", "20260503T025911-1f2e3d4c", text)
    text = re.sub(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "since 2026-05-03 01:12:09 UTC", text)
    return re.sub(r", after [\d.]+ (s|ms)\b", ", after 9.1 s", text)
