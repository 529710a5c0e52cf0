"""Whole deploys with a configuration over a local connection: what is asked of a host, and what nobody else sees."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.cli.tables import env_diff_table, env_table
from oroboros_deploy.control.faults import HostFault
from oroboros_deploy.errors import BuildFailed, DeployError, InvalidInput, RegistryUnavailable
from oroboros_deploy.outcome import State
from oroboros_deploy.registry import Registry
from oroboros_deploy.remote.host import Host
from tests.support.rights import MOUNT, refused
from tests.support.site import Site, states

pytestmark = pytest.mark.slow  # whole deploys

SECRET = "hunter-two-and-three"
VALUE = "value-seen-nowhere-else"  # of `values`, which a service alone may see, too


def env(password: str = SECRET, **changes: Any) -> dict[str, Any]:
    return {"values": {"PORT": "8000"}, "secrets": {"command": f"echo 'PASSWORD={password}'"}, **changes}


def values(site: Site, host: str = "web1") -> str:
    """What a service would find, without the comments."""
    lines = (site.root(host) / "env").read_text().splitlines()
    return " ".join(line for line in lines if not line.startswith("#"))


def revision(site: Site) -> str:
    return (site.root() / "env").readlink().name


def test_one_call_more(site: Site) -> None:
    """A deploy with a configuration asks one call more, with a build and without; a rollback asks none more."""
    with_env = site.deployment(env=env())
    for sha in (site.good, site.better):
        assert with_env.deploy(["web1"], sha=sha).ok
        assert site.commands() == ["facts", "build", "configure", "activate"]
    other = site.deployment(env=env("another"))
    assert other.deploy(["web1"], sha=site.good).ok
    assert site.commands() == ["facts", "configure", "activate"]
    assert other.rollback(["web1"], release=site.better).ok
    assert (site.commands(), values(site)) == (["activate"], f'PASSWORD="{SECRET}" PORT="8000"')


def test_a_changed_configuration_alone_is_a_deploy(site: Site) -> None:
    """The live release with the same values is live already; with other ones it is deployed."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    first = revision(site)
    again = site.deployment(env=env()).deploy(["web1"], sha=site.good)
    assert (states(again), revision(site)) == ({"web1": State.ALREADY_LIVE}, first)
    changed = site.deployment(env=env("another")).deploy(["web1"], sha=site.good)
    assert (states(changed), revision(site) != first) == ({"web1": State.LIVE}, True)
    assert values(site) == 'PASSWORD="another" PORT="8000"'


def test_a_rollback_that_keeps_it(site: Site) -> None:
    """With `--keep-env` the release comes back and the present configuration stays, told."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    site.deployment(env=env("another")).deploy(["web1"], sha=site.better)
    kept = revision(site)
    keeping = site.deployment(env=env())
    object.__setattr__(keeping.config, "keep_env", True)
    [end] = keeping.rollback(["web1"], release=site.good).hosts
    assert (site.live(), revision(site), end.configuration) == (site.good, kept, kept)
    warnings = [event.message for event in site.events if event.level == "warning"]
    assert f"the configuration {kept} stays in use: --keep-env was said" in warnings


def test_a_rollback_looks_at_all_before_the_first_switch(site: Site) -> None:
    """Where one of several hosts lost the configuration to go back to, none is switched; `--keep-env` is offered."""
    fleet = site.fleet(env=env())
    fleet.deploy(["web1", "web2"], sha=site.good)
    lost = (site.root("web2") / "env").resolve()
    site.fleet(env=env("another")).deploy(["web1", "web2"], sha=site.better)
    lost.unlink()
    with pytest.raises(InvalidInput, match=f"the configuration {lost.name} is not on this host any more") as refused:
        fleet.rollback(["web1", "web2"], release=site.good)
    assert (refused.value.host, "--keep-env" in str(refused.value.hint)) == ("web2", True)
    assert (site.live("web1"), site.live("web2")) == (site.better, site.better)


def test_what_came_of_it_has_the_names(site: Site) -> None:
    """The outcome has the revision in use, and the names that were changed; no value."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    first = revision(site)
    [end] = site.deployment(env=env("another", values={"SIZE": "1"})).deploy(["web1"], sha=site.good).hosts
    names = {"added": ["SIZE"], "changed": ["PASSWORD"], "removed": ["PORT"]}
    assert (end.configuration, end.names) == (revision(site), names)
    [failed] = site.deployment(env=env()).deploy(["web1"], sha=site.bad).hosts
    assert (failed.state, failed.configuration) == (State.RESTORED, end.configuration)
    assert first != end.configuration


def test_what_is_in_use_and_what_would_change(site: Site) -> None:
    """Names and where each comes from are told, and whether it differs; nothing is changed, and no value is told."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    before = sorted((site.root() / ".deploy/config").iterdir())
    shown = site.deployment(env=env()).show_env(["web1"])["web1"]
    assert not isinstance(shown, DeployError)
    assert (shown.get("configuration"), shown.get("origins")) == (
        revision(site),
        {"PORT": "values", "PASSWORD": "secrets"},
    )
    site.commands()
    different = site.deployment(env=env("another", values={"SIZE": "1"}))
    diff = different.diff_env(["web1"])["web1"]
    assert not isinstance(diff, DeployError)
    assert diff["names"] == {"added": ["SIZE"], "changed": ["PASSWORD"], "removed": ["PORT"]}
    assert (diff["origins"], diff["current"]) == ({"SIZE": "values", "PASSWORD": "secrets"}, revision(site))
    assert sorted((site.root() / ".deploy/config").iterdir()) == before
    tables = env_table({"web1": shown}) + env_diff_table({"web1": diff})
    assert [line.split() for line in tables.splitlines() if "PASSWORD" in line] == [
        ["web1", revision(site), "PASSWORD", "secrets"],
        ["web1", "PASSWORD", "secrets", "changed"],
    ]
    with pytest.raises(InvalidInput, match="the settings have no `env`"):
        site.deployment().diff_env(["web1"])


def test_a_secret_that_cannot_be_had_stops_everything(site: Site) -> None:
    """No host is asked for anything, and the registry has no attempt."""
    with pytest.raises(InvalidInput, match=r"env\.secrets\.command exited 1"):
        site.deployment(env=env(secrets={"command": "exit 1"})).deploy(["web1"], sha=site.good)
    assert (site.commands(), site.statuses()) == ([], {})


def test_it_is_kept_on_every_host_before_the_first_switch(site: Site) -> None:
    """A host that cannot have it stops the others before they switch."""
    (site.root("web2")).mkdir(parents=True)
    (site.root("web2") / "env").write_text("A=1")
    with pytest.raises(InvalidInput, match="is not a link that this tool made"):
        site.fleet(env=env()).deploy(["web1", "web2"], sha=site.good)
    assert (site.live("web1"), site.live("web2")) == (None, None)


def command_lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All command lines from now on, where every session expires at once, so that each call is a first request."""
    from oroboros_deploy.remote.session import Session
    from oroboros_deploy.testing import LocalConnection

    lines: list[str] = []
    original = LocalConnection.command

    def command(self: LocalConnection, line: str, *arguments: Any, **options: Any) -> Any:
        lines.append(line)
        return original(self, line, *arguments, **options)

    monkeypatch.setattr(LocalConnection, "command", command)
    monkeypatch.setattr(Session, "open", property(lambda self: False))
    return lines


def files_with_the_secret(site: Site, secret: str = SECRET) -> list[Path]:
    """All files of the hosts and of the control node that have the secret in them."""
    files = (path for path in Path(site.tmp).rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if secret.encode() in path.read_bytes()]


def leaked(texts: list[str]) -> list[str]:
    """Those that have a secret or a value in them."""
    return [text for text in texts if SECRET in text or VALUE in text]


def test_no_value_travels_in_a_command_line_or_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session's first request stands in a command line: one with values is never the first, even if all expire."""
    lines = command_lines(monkeypatch)
    settings = env(build=["PASSWORD"], values={"COLOUR": VALUE})
    with pytest.raises(BuildFailed):
        build = {"frontend": None, "venvs": {}, "steps": [{"name": "tell", "command": "echo $PASSWORD; exit 1"}]}
        site.deployment(env=settings, build=build).deploy(["web1"], sha=site.good)
    site.deployment(env=settings).deploy(["web1"], sha=site.good)
    outcome = site.deployment(env=settings).deploy(["web1"], sha=site.bad)
    assert (len(lines) > 6, leaked(lines)) == (True, [])
    told = [json.dumps([event.message, event.data], default=str) for event in site.events]
    assert leaked([*told, json.dumps(outcome.as_dict())]) == []
    for value in (SECRET, VALUE):
        assert {path.parent for path in files_with_the_secret(site, value)} == {site.root() / ".deploy/config"}


def test_a_record_that_waits_for_its_registry_has_no_value(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry goes away during a deploy that fails: the spooled record has the names and the words, no value."""

    def down(*_: object) -> None:
        raise RegistryUnavailable("it does not answer")

    site.deployment(env=env("the-first-of-all")).deploy(["web1"], sha=site.good)
    failing = site.deployment(env=env())
    object.__setattr__(failing.config.healthcheck, "command", "echo it is $PASSWORD; exit 78")
    with monkeypatch.context() as registry:
        registry.setattr(Registry, "finish", down)
        outcome = failing.deploy(["web1"], sha=site.better)
    [spooled] = (site.tmp / "state").rglob("spool/*.json")
    text = spooled.read_text()
    assert (states(outcome), outcome.registry) == ({"web1": State.RESTORED}, "spooled")
    assert (outcome.attempt in text, "it is ***" in text) == (True, True)
    places = [{path.parent for path in files_with_the_secret(site)}]
    assert (site.better in site.statuses(), spooled.exists()) == (True, False)  # the next command wrote it
    places.append({path.parent for path in files_with_the_secret(site)})
    assert places == [{site.root() / ".deploy/config"}] * 2  # what failed is kept there, so that logs hide it


def test_a_kept_traceback_has_no_value(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw, with a secret in its words: neither the message nor the file shows the secret."""

    def configure(*_: object) -> None:
        raise KeyError(f"PASSWORD={SECRET}")

    monkeypatch.setattr(Host, "configure", configure)
    with pytest.raises(HostFault) as caught:
        site.deployment(env=env()).deploy(["web1"], sha=site.good)
    [kept] = (site.tmp / "state").rglob("tracebacks/*")
    assert "KeyError: 'PASSWORD=***'" in caught.value.message
    assert kept.read_text().splitlines()[-1] == "KeyError: 'PASSWORD=***'"
    assert files_with_the_secret(site) == []
    with site.deployment().registry() as registry:
        assert SECRET not in json.dumps(registry.reader.attempts().items, default=str)


def test_a_cached_step_that_sees_a_secret(site: Site) -> None:
    """Neither the content of its entry nor its key has the value, and the key has no digest that could be guessed."""
    step = {"name": "tell", "command": 'test "$PASSWORD" && date +%N >told', "inputs": ["ok"], "outputs": ["told"]}
    settings: dict[str, Any] = {"build": {"frontend": None, "venvs": {}, "steps": [step]}}
    hosts = ["web1", "web2"]

    def told(sha: str, password: str) -> list[str]:
        site.fleet(env=env(password, build=["PASSWORD"]), **settings).deploy(hosts, sha=sha)
        return [(site.root(host) / "current/told").read_text() for host in hosts]

    def entries(host: str) -> dict[str, str]:
        places = (site.root(host) / ".deploy/cache").rglob("*")
        return {str(path.relative_to(site.root(host))): path.read_text() for path in places if path.is_file()}

    first = told(site.good, SECRET)
    assert (told(site.better, SECRET), told(site.bad, "another") == first) == (first, False)
    assert {path.parent for path in files_with_the_secret(site)} == {site.root(h) / ".deploy/config" for h in hosts}
    one, two = (entries(host) for host in hosts)
    guesses = [sha256(text.encode()).hexdigest() for text in (SECRET, f"PASSWORD={SECRET}", f'PASSWORD="{SECRET}"')]
    assert [each for each in [SECRET, *guesses] if each in str([one, two])] == []
    keyed = {name for name in one if name.startswith(".deploy/cache/entries")}
    assert (len(keyed), keyed & {*two}) == (2, set())  # one of each value, named by the key of its own host


def test_what_a_build_sees(site: Site) -> None:
    """A build has the names of `env.build` alone; other values of theirs make it anew, of other names they do not."""
    build = {"frontend": None, "venvs": {}} | {
        "steps": [{"name": "tell", "command": "echo $PORT-$PASSWORD-$CI >told", "inputs": ["ok"], "outputs": ["told"]}]
    }
    settings: dict[str, Any] = {"build": build}

    def told(sha: str, **changes: Any) -> tuple[str, list[str]]:
        with_env = site.deployment(env=env(build=["PORT"], **changes), **settings)
        site.commands()
        with_env.deploy(["web1"], sha=sha)
        return (site.root() / "current/told").read_text().strip(), site.commands()

    assert told(site.good)[0] == "8000--1"
    assert told(site.better, secrets={"command": "echo PASSWORD=else"}) == (
        "8000--1",
        ["facts", "build", "configure", "activate"],
    )
    assert told(site.good, values={"PORT": "9"}) == ("9--1", ["facts", "configure", "build", "activate"])
    with pytest.raises(InvalidInput, match="is live here and cannot be built again in its place"):
        told(site.good, values={"PORT": "10"})


@pytest.mark.skipif(bool(refused(*MOUNT)), reason="only root can give a build a view of its own here")
def test_no_build_reads_it(site: Site) -> None:
    """Where a build has a view of its own, it finds neither the configuration in use nor the kept ones."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    look = f"cat {site.root()}/env {site.root()}/.deploy/config/* >told 2>/dev/null || echo closed >>told"
    build = {"frontend": None, "venvs": {}, "steps": [{"name": "look", "command": look}]}
    site.deployment(env=env(), build=build).deploy(["web1"], sha=site.better)
    assert (site.root() / "current/told").read_text() == "closed\n"


def test_a_configuration_that_somebody_edited(site: Site) -> None:
    """The live release with the same values is deployed again where somebody edited them on the host, which is told."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    place = site.root() / ".deploy/config" / revision(site)
    place.write_text(place.read_text().replace("8000", "9000"))
    again = site.deployment(env=env()).deploy(["web1"], sha=site.good)
    assert (states(again), values(site)) == ({"web1": State.LIVE}, f'PASSWORD="{SECRET}" PORT="8000"')
    warnings = [event.message for event in site.events if event.level == "warning"]
    assert f"somebody edited {place}, the configuration in use" in warnings


def test_a_value_that_a_build_says_is_masked(site: Site) -> None:
    """What a build prints of a secret that it sees is masked, in the log and on the way."""
    steps = [{"name": "tell", "command": "echo it is $PASSWORD"}]
    build = {"frontend": None, "venvs": {}, "steps": steps}
    site.deployment(env=env(build=["PASSWORD"]), build=build).deploy(["web1"], sha=site.good)
    [log] = (site.root() / ".deploy/attempts").glob("*/tell.log")
    assert log.read_text() == "it is ***\n"
    assert "it is ***\n" in [event.data.get("text") for event in site.events]
