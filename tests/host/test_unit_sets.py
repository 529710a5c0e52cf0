"""Sets of units: what is refused, what is installed in one call as root, and how all of it goes again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from oroboros_deploy.host import activation, environment, manager, state, unit_files, unit_sets
from oroboros_deploy.host.contract import Scope, UnitsRequest
from oroboros_deploy.host.refusal import Failed, Refusal
from oroboros_deploy.host.unit_files import UnitSet
from tests.support.local_agent import LocalAgent

pytestmark = pytest.mark.slow  # a shell for each set that is put in place

ASKED: UnitsRequest = {"directory": "infra", "application": "shop", "adopt": False}
API = "[Service]\nExecStart=@root@/current/bin/api\n[Install]\nWantedBy=multi-user.target\n"
TIMER = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"


class Host:
    """A directory of units, a root that writes there, and a systemctl that notes what it is asked."""

    def __init__(self, agent: LocalAgent, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.agent, self.units, self.log = agent, place / "units", place / "log"
        for directory in (self.units, place / "tools", place / "vendor"):
            directory.mkdir()
        self.log.touch()
        self.tools, self.vendor = place / "tools", place / "vendor"
        self.tool("sudo", 'shift; exec "$@"')
        self.tool("systemd-run", f'echo run >>{self.log}; while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        self.tool("systemctl", f'echo "$@" >>{self.log}')
        monkeypatch.setattr(manager, "UNITS", self.units)
        monkeypatch.setattr(environment, "SYSTEM", f"{self.tools}:{environment.SYSTEM}")
        monkeypatch.setattr(unit_sets, "OTHERS", {"system": (str(self.vendor),)})

    def tool(self, name: str, script: str) -> None:
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    def release(self, name: str, **files: str) -> Path:
        release = self.agent.paths.release(self.agent.sealed(name))
        release.chmod(0o755)
        for file, text in files.items():
            path = release / "infra" / file.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return release

    def texts(self, name: str, **files: str) -> dict[str, str]:
        """What a release with these files brings; ``api_service`` is ``api.service``."""
        named = {".".join(file.rsplit("_", 1)): text for file, text in files.items()}
        return unit_sets.of_release(self.agent.paths, self.release(name, **named), ASKED)

    def look(self, texts: dict[str, str], adopt: bool = False) -> unit_sets.Look:
        return unit_sets.look(self.agent.paths, texts, adopt)

    def install(self, texts: dict[str, str], *services: str, adopt: bool = False) -> tuple[str, str]:
        """Install what a release brings; returns the names of the sets before and after."""
        found = self.look(texts, adopt)
        unit_sets.keep_originals(self.agent.paths, found.originals)
        before, after = (unit_sets.keep(self.agent.paths, each) for each in (found.before, found.after))
        self.put(before, after, *services)
        return before, after

    def put(self, before: str, after: str, *services: str) -> None:
        self.log.write_text("")
        unit_sets.put(self.agent.paths, before, after, services, time.monotonic() + 10)

    @property
    def there(self) -> dict[str, str]:
        """All that is in the directory of units: texts without our line, and links."""
        paths = sorted(path for path in self.units.rglob("*") if path.is_symlink() or path.is_file())
        return {
            str(path.relative_to(self.units)): f"-> {path.readlink()}"
            if path.is_symlink()
            else unit_files.body(path.read_text())
            for path in paths
        }

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    (tmp_path / "srv").mkdir()
    agent = LocalAgent(tmp_path / "srv")
    agent.paths.create()
    yield Host(agent, tmp_path, monkeypatch)


def refused(host: Host, texts: dict[str, str], adopt: bool = False) -> str:
    with pytest.raises(Refusal) as refusal:
        host.look(texts, adopt)
    return refusal.value.message


def api(host: Host) -> str:
    return API.replace("@root@", str(host.agent.root))


# --- what a release brings ---------------------------------------------------------------------------------------


def test_a_release_brings_its_units(host: Host) -> None:
    """Units and drop-ins, with the login as their user; a README is nobody's business."""
    release = host.release("one", **{"api.service": "User=@user@\n", "README.md": "x", "api.service.d__l.conf": "y"})
    texts = unit_sets.of_release(host.agent.paths, release, ASKED)
    bodies = {path: unit_files.body(text) for path, text in texts.items()}
    user = environment.of_this_user()["USER"]
    assert bodies == {"api.service": f"User={user}\n", "api.service.d/l.conf": "y"}
    as_owner = unit_sets.of_release(host.agent.paths, release, {**ASKED, "user": "www-data"})
    assert unit_files.body(as_owner["api.service"]) == "User=www-data\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "the commit has no unit in infra"),
        ({"README.md": "x"}, "the commit has no unit in infra"),
        ({"data.mount": "x"}, "data.mount cannot be installed"),
        ({"a b.service": "x"}, "a b.service cannot be installed"),
        ({"oroboros-boot-srv.service": "x"}, "are this tool's own"),
    ],
)
def test_what_no_host_could_take(host: Host, files: dict[str, str], said: str) -> None:
    """Is a failure of the build, told by name."""
    release = host.release("one", **files)
    with pytest.raises(Refusal, match=said) as refusal:
        unit_sets.of_release(host.agent.paths, release, ASKED)
    assert refusal.value.kind == "build_failed"


def test_a_link_that_leads_out_of_the_release(host: Host) -> None:
    """Is not followed."""
    release = host.release("one", **{"api.service": "x"})
    (release / "infra/out.service").symlink_to("/etc/passwd")
    with pytest.raises(Refusal, match=r"out.service is a link that leads out of the directory that `units` names"):
        unit_sets.of_release(host.agent.paths, release, ASKED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Service]\nExecStart=@root@/current/bin/none\n", "api.service: Command .*/bin/none is not executable"),
        ("[Service]\nType=oneshot\n", "systemd refuses units of the release: api.service: .*ExecStart="),
        ("[Service]\nExecStart=/bin/true\nUser=nobody-here\n", "names User=nobody-here, whom this host does not have"),
    ],
)
def test_systemd_looks_at_the_units(host: Host, text: str, said: str) -> None:
    """What it refuses, and a user that is not there, fail the build; `current` is the release for that."""
    texts = host.texts("one", api_service=text)
    with pytest.raises(Refusal, match=said) as refusal:
        unit_sets.verify(
            host.agent.paths, texts, host.agent.paths.release(host.agent.sealed("two")), no_events, "infra"
        )
    assert (refusal.value.kind, list(host.agent.paths.tmp.iterdir())) == ("build_failed", [])


@pytest.mark.parametrize(
    ("program", "hint"),
    [
        ("/usr/bin/no-such", "install it on the host, or correct ExecStart in infra/api.service"),
        ("@root@/current/bin/none", "let the release have it, or correct ExecStart in infra/api.service"),
    ],
)
def test_what_to_do_about_a_program_that_is_missing(host: Host, program: str, hint: str) -> None:
    """A unit that is right names a program of the host's or of the release."""
    texts = host.texts("one", api_service=f"[Service]\nExecStart={program}\n")
    with pytest.raises(Refusal) as refusal:
        unit_sets.verify(
            host.agent.paths, texts, host.agent.paths.release(host.agent.sealed("two")), no_events, "infra"
        )
    assert refusal.value.hint == hint


def test_a_check_of_units_that_does_not_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told that systemd refuses the units when systemd had no time to look at them."""
    monkeypatch.setattr(unit_sets, "VERIFYING", 0.0)
    release = host.agent.paths.release(host.agent.sealed("two"))
    what = (
        r"^the units of the release could not be checked: systemd-analyze verify did not end within .* s and was killed"
    )
    with pytest.raises(Refusal, match=what) as refusal:
        unit_sets.verify(host.agent.paths, host.texts("one", api_service=API), release, no_events, "infra")
    assert refusal.value.hint == (
        "deploy again; when this is said again, run `systemd-analyze verify` for these units on the host"
    )


def test_a_word_that_nothing_replaces(host: Host) -> None:
    """It is told as that, with the words that there are, before systemd or a look for the user finds it strange."""
    release = host.release("one", **{"api.service": "[Service]\nUser=@login@\n"})
    what = "api.service: @login@ is no placeholder; there are @root@, @application@ and @user@"
    with pytest.raises(Refusal, match=what):
        unit_sets.refuse_unknown_words(release, ASKED)


def test_a_good_unit_passes(host: Host) -> None:
    """Its program is looked for in the release, which is not live yet; what systemd only warns of is told."""
    texts = host.texts("one", api_service=API + "Bogus=1\n")
    release = host.agent.paths.release(host.agent.sealed("two"))
    release.chmod(0o755)
    (release / "bin").mkdir()
    (release / "bin/api").write_text("#!/bin/sh\n")
    (release / "bin/api").chmod(0o755)
    said: list[str] = []
    unit_sets.verify(host.agent.paths, texts, release, lambda event, message="", **_: said.append(message), "infra")
    assert (len(said), "Bogus" in said[0]) == (1, True), said


def no_events(event: str, message: str = "", **_: Any) -> None:
    """Nobody listens."""


# --- whose it is -------------------------------------------------------------------------------------------------


def test_the_first_time(host: Host) -> None:
    """All is new, and nothing is there before."""
    found = host.look(host.texts("one", api_service=API))
    assert (found.changes, found.before.texts, found.said) == (
        {"added": ["api.service"], "changed": [], "removed": []},
        {},
        [],
    )


def test_other_names_that_others_have(host: Host) -> None:
    """Alias= makes no link by the name of a package's unit, an administrator's or a link; one that is there stays."""
    (host.vendor / "ssh.service").touch()
    (host.units / "sshd.service").symlink_to("/lib/systemd/system/ssh.service")
    (host.units / "own.service").write_text("[Service]\n")
    (host.units / "away.service").symlink_to("/dev/null")
    names = "Alias=ssh.service shop.service\nAlias = sshd.service own.service away.service\n"
    texts = host.texts("one", api_service=f"{API}{names}")
    with pytest.raises(Refusal) as refusal:
        host.look(texts)
    places = {"ssh": host.vendor, "sshd": host.units, "own": host.units}
    others = [
        f"api.service has Alias={name}.service, a name that something else has, in {place}"
        for name, place in places.items()
    ]
    masked = "api.service has Alias=away.service, a name that is masked on this host"
    assert str(refusal.value).partition("\n")[0] == "; ".join([*others, masked])
    assert refusal.value.hint == (
        "rename them in the repository, or free the names on the host (systemctl unmask NAME: a masked one)"
    )
    for name in ("ssh.service", "sshd.service", "own.service", "away.service"):
        (host.units / name).unlink(missing_ok=True)
        (host.units / name).symlink_to("api.service")
    assert host.look(texts).changes["added"] == ["api.service"]
    (host.units / "api.service").write_text(texts["api.service"])
    renamed = host.texts("two", web_service=f"{API}Alias=ssh.service\n")
    assert host.look(renamed).changes == {"added": ["web.service"], "changed": [], "removed": ["api.service"]}


def test_names_of_others(host: Host) -> None:
    """What a package has, what another application has, what is masked, and a link: each is refused by name."""
    (host.vendor / "pkg.service").touch()
    theirs = unit_files.render("x", "till", "/srv/till", "ada")
    (host.units / "till.service").write_text(theirs)
    (host.units / "masked.service").symlink_to("/dev/null")
    (host.units / "empty.service").touch()
    (host.units / "link.service").symlink_to("/opt/link.service")
    names = ("pkg", "till", "masked", "empty", "link")
    texts = host.texts("one", **{f"{name}_service": API for name in names})
    assert refused(host, texts, adopt=True).split("; ") == [
        "empty.service is masked on this host, by an empty file",
        "link.service is a link to /opt/link.service on this host",
        "masked.service is masked on this host",
        f"pkg.service is a name that something else has, in {host.vendor}",
        "till.service belongs to the application till in /srv/till",
    ]


@pytest.mark.parametrize("scope", get_args(Scope))
def test_names_that_nobody_put_among_the_units(host: Host, monkeypatch: pytest.MonkeyPatch, scope: Scope) -> None:
    """What systemd made of a script or for a `systemd-run`, what a boot takes away, what the login's programs have."""
    home = host.units.parent / "home"
    monkeypatch.setattr(manager, "RUN", home)
    monkeypatch.setattr(manager, "USER_UNITS", home / ".config/systemd/user")
    monkeypatch.setattr(environment, "of_this_user", lambda: {"USER": "ada", "HOME": str(home)})
    monkeypatch.setattr(unit_sets, "OTHERS", {scope: ()})
    with manager.serving(scope):
        runtime = manager.chosen().runtime
        places = {"boot": runtime / scope, "once": runtime / "transient", "sysv": runtime / "generator.late"}
        places |= {"zeal": home / ".local/share/systemd/user"} if scope == "user" else {}
        texts = host.texts("one", **{f"{name}_service": API for name in places})
        assert host.look(texts).changes["added"] == [f"{name}.service" for name in places]
        for name, place in places.items():
            place.mkdir(parents=True)
            (place / f"{name}.service").touch()
        assert refused(host, texts, adopt=True).split("; ") == [
            f"{name}.service is a name that something else has, in {place}" for name, place in places.items()
        ]


def test_an_installed_unit_that_is_masked_until_the_next_boot(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator may do that to a unit that we installed: its name is ours, and a rollback goes on."""
    monkeypatch.setattr(manager, "RUN", host.units.parent / "run")
    texts = host.texts("one", api_service=API)
    (host.units / "api.service").write_text(texts["api.service"])
    runtime = manager.chosen().runtime / "system"
    runtime.mkdir(parents=True)
    (runtime / "api.service").symlink_to("/dev/null")
    found = host.look(texts)
    assert (found.changes["added"], found.changes["changed"], found.said) == ([], [], [])


def test_the_same_by_hand_is_taken_over(host: Host) -> None:
    """A unit that somebody put there and that says the same becomes ours, and that is told."""
    (host.units / "api.service").write_text(api(host))
    found = host.look(host.texts("one", api_service=API))
    assert (found.said, found.originals) == (
        ["api.service was put here by hand: it is taken over"],
        {"api.service": api(host)},
    )


def test_another_one_by_hand_is_shown(host: Host) -> None:
    """It is refused with what differs, until it may be replaced; then it is kept."""
    (host.units / "api.service").write_text(api(host) + "Nice=5\n")
    texts = host.texts("one", api_service=API)
    said = refused(host, texts)
    assert said.splitlines()[0] == "api.service was put on this host by somebody else"
    assert "-Nice=5" in said.splitlines()
    found = host.look(texts, adopt=True)
    assert found.originals == {"api.service": api(host) + "Nice=5\n"}


@pytest.mark.parametrize("stays", [True, False])
def test_one_that_was_edited_since(host: Host, stays: bool) -> None:
    """Whether the release still has it or not: it is shown and refused until it may be replaced."""
    host.install(host.texts("one", api_service=API, b_timer=TIMER))
    edited = host.units / "api.service"
    edited.write_text(edited.read_text() + "Nice=5\n")
    texts = host.texts("two", **({"api_service": API} if stays else {}), b_timer=TIMER)
    assert refused(host, texts).splitlines()[0] == "api.service was edited on this host since it was installed"
    found = host.look(texts, adopt=True)
    assert found.edited == {"api.service": edited.read_text()}
    [said] = unit_sets.keep_edited(host.agent.paths, found.edited)
    told, _, place = said.rpartition(" in ")
    assert told == "api.service was edited here since it was installed: what was there is kept"
    os.utime(place, (0, 0))
    os.utime(Path(place).parent, (0, 0))
    unit_sets.forget_others(host.agent.paths, [None])
    assert Path(place).read_text() == edited.read_text()


# --- installing --------------------------------------------------------------------------------------------------


def test_one_call_as_root(host: Host) -> None:
    """Files with their modes, what is new is enabled, and systemd reads it all once."""
    host.install(host.texts("one", **{"api_service": API, "api.service.d__l_conf": "x", "b_service": "y"}))
    assert host.asked == ["run", "enable --quiet --no-reload -- api.service", "daemon-reload"]
    assert host.there == {"api.service": api(host), "api.service.d/l.conf": "x", "b.service": "y"}
    assert {(host.units / path).stat().st_mode & 0o777 for path in host.there} == {0o644}


def test_a_rename_between_two_commits(host: Host) -> None:
    """The old unit is stopped and goes with what enabled it; the new one is installed and enabled; a drop-in too."""
    host.install(host.texts("one", **{"old_service": API, "old.service.d__l_conf": "x"}))
    wants = host.units / "multi-user.target.wants"
    wants.mkdir()
    (wants / "old.service").symlink_to(host.units / "old.service")
    host.install(host.texts("two", new_service=API))
    stop = "stop -- old.servic[e]"
    assert host.asked == ["run", stop, "enable --quiet --no-reload -- new.service", "daemon-reload"]
    assert (host.there, (host.units / "old.service.d").exists()) == ({"new.service": api(host)}, False)


def test_disabled_stays_disabled(host: Host) -> None:
    """What was there before is not enabled, whatever became of it; nothing is stopped that stays."""
    host.install(host.texts("one", api_service=API))
    host.install(host.texts("two", api_service=API + "#\n"))
    assert host.asked == ["run", "daemon-reload"]


def test_disabled_stays_disabled_when_it_comes_back(host: Host) -> None:
    """What somebody had disabled when a release took it away is not enabled by the next one that has it."""
    before, after = host.install(host.texts("one", old_timer=TIMER, api_service=API))
    unit_sets.note_disabled(host.agent.paths, {"old.timer": False}, [])
    host.install(host.texts("two", api_service=API))
    host.put(before, after)
    assert host.asked == ["run", "enable --quiet --no-reload -- api.service", "daemon-reload"]
    assert unit_sets.disabled(host.agent.paths) == {"old.timer": False}
    unit_sets.note_disabled(host.agent.paths, {}, ["old.timer"])
    assert unit_sets.disabled(host.agent.paths) == {}


def test_texts_that_a_cut_left_half_done(host: Host) -> None:
    """They are seen on the way back, and go with it."""
    before, after = host.install(host.texts("one", api_service=API))
    there = host.there
    (host.units / ".api.service.new").write_text("half")
    assert unit_sets.half_written(host.agent.paths, before) == [".api.service.new"]
    host.put(after, after)
    assert (host.there, unit_sets.half_written(host.agent.paths, before)) == (there, [])


def test_what_somebody_wrote_meanwhile(host: Host) -> None:
    """What is of neither set is told apart from both, for it is kept before it is replaced."""
    before, after = host.install(host.texts("one", api_service=API, b_timer=TIMER))
    (host.units / "api.service").write_text("by hand\n")
    assert unit_sets.strange(host.agent.paths, before, after) == {"api.service": "by hand\n"}


def test_what_is_edited_before_it_is_replaced(host: Host) -> None:
    """The attempt fails, and its way back takes it for nothing of its own; else the state says that ours may come."""
    host.install(host.texts("one", api_service=API))
    paths, edited = host.agent.paths, host.units / "api.service"
    before, was = unit_sets.keep(paths, host.look(host.texts("two", b_timer=TIMER)).before), edited.read_text()
    request: Any = host.agent.request(host.agent.sealed("new"))
    attempt = activation.Activation(paths, request, no_events)
    attempt.state = state.begin(request, None, {"app@1.service": "i1"})._replace(units_before=before)
    edited.write_text("by hand\n")
    with pytest.raises(Failed, match="somebody changed units while this activation was prepared"):
        attempt.begin_units(before)
    assert (attempt.state.units_begun, attempt.units_otherwise()) == (False, False)
    edited.write_text(was)
    attempt.begin_units(before)
    noted = state.load(paths.state)
    assert (noted and noted.units_begun, attempt.ran_of(["app@.service"])) == (True, ["app@1.service"])


def test_instances_of_a_template(host: Host) -> None:
    """Those that are named are enabled; all that run are stopped when it goes."""
    texts = host.texts("one", **{"app@_service": API, "b_timer": TIMER})
    host.install(texts, "app@1.service", "other.service")
    assert "enable --quiet --no-reload -- app@1.service b.timer" in host.asked
    host.install(host.texts("two", b_timer=TIMER))
    assert "stop -- app@*.service" in host.asked


def test_the_way_back(host: Host) -> None:
    """All is as it was: texts, files that were not there, and what enabled them; also when it is asked twice."""
    host.install(host.texts("one", api_service=API, old_timer=TIMER))
    wants = host.units / "timers.target.wants"
    wants.mkdir()
    (wants / "old.timer").symlink_to("../old.timer")
    was = host.there
    before, after = host.install(host.texts("two", api_service=API + "#\n", new_timer=TIMER))
    (wants / "new.timer").symlink_to("../new.timer")
    assert ("old.timer" in host.there, unit_sets.in_place(host.agent.paths, after)) == (False, True)
    for _ in range(2):
        host.put(after, before)
        assert (host.there, unit_sets.in_place(host.agent.paths, before, links=True)) == (was, True)
    assert host.asked == ["run", "stop -- new.time[r]", "daemon-reload"]


def test_what_does_not_stop_keeps_no_text_away(host: Host) -> None:
    """On the way back the texts return all the same; on the way there a unit that does not stop is a failure."""
    before, after = host.install(host.texts("one", api_service=API))
    host.tool("systemctl", '[ "$1" != stop ]')
    host.put(after, before)
    assert (host.there, unit_sets.in_place(host.agent.paths, before)) == ({}, True)
    before, after = host.install(host.texts("two", api_service=API))
    found = host.look(host.texts("three", other_service=API))
    with pytest.raises(unit_sets.NotPut):
        host.put(*(unit_sets.keep(host.agent.paths, each) for each in (found.before, found.after)))
    assert [*host.there] == ["api.service"]


def test_root_is_asked_as_a_command_of_the_attempt(host: Host) -> None:
    """By its name whoever settles the attempt ends what root still does."""
    host.tool("systemd-run", f'echo "$@" >>{host.log}; while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    found = host.look(host.texts("one", api_service=API))
    names = (unit_sets.keep(host.agent.paths, each) for each in (found.before, found.after))
    unit_sets.put(host.agent.paths, *names, [], time.monotonic() + 10, (), "a1")
    assert " --unit=oroboros-command-a1-" in host.log.read_text().splitlines()[0]


def test_with_least_privilege_the_helper_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets what changes as data, on its input, and says before the switch what it would not install."""
    of_system = manager.Helped(*manager.of("system")._replace(acts=("sudo", "-n"), application="shop"))
    monkeypatch.setattr(manager, "of", lambda scope: of_system)
    monkeypatch.setattr(manager, "HELPER", str(host.tools / "helper"))
    said = host.units.parent / "said"
    host.tool("helper", f'echo "$@" >>{host.log}; cat >{said}; [ "$2" != judge ] || echo "shop.service: no"')
    env = f"EnvironmentFile=-{host.agent.root}/env\n"
    look = host.look(host.texts("one", shop_service=f"{API}{env}", old_timer=TIMER))
    text = look.after.texts["shop.service"]
    assert f"EnvironmentFile=-{manager.HELPED}/env/shop\n" in text
    with pytest.raises(Refusal, match="shop"):
        unit_sets.refuse_unfit(look.before, look.after)
    before, after = (unit_sets.keep(host.agent.paths, each) for each in (look.before, look.after))
    host.put(before, after)
    told = json.loads(said.read_text())
    assert (told["files"], told["stop"], told["links"], told["patience"]) == (look.after.files, [], {}, None)
    assert (sorted(told["enable"]), host.asked[0].split()[:2]) == (["old.timer", "shop.service"], ["shop", "put"])
    assert host.there == {}


def test_the_helper_gets_the_seconds_that_are_left(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the look at the units took is no time of the helper's."""
    helped = manager.Helped(*manager.of("system")._replace(acts=(), application="shop"))
    monkeypatch.setattr(manager, "chosen", lambda: helped)
    monkeypatch.setattr(manager, "HELPER", str(host.tools / "helper"))
    host.tool("helper", f'echo "$@" >>{host.log}')
    going = unit_files.going

    def slow(before: UnitSet, after: UnitSet) -> list[str]:
        monkeypatch.setattr(unit_sets, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 6, time=time.time))
        return going(before, after)

    monkeypatch.setattr(unit_files, "going", slow)
    empty = unit_sets.keep(host.agent.paths, UnitSet({}, None))
    host.put(empty, empty)
    words = host.asked[0].split()
    assert (words[:2], 1.0 <= float(words[2]) <= 4.0) == (["shop", "put"], True)


def test_a_release_from_before_units(host: Host) -> None:
    """What stood there before this tool came is there again; what came with a release goes."""
    (host.units / "api.service").write_text("by hand\n")
    host.install(host.texts("one", api_service=API, new_timer=TIMER), adopt=True)
    record: Any = {"units": None}
    release = host.agent.paths.release(host.agent.sealed("before"))
    host.install(unit_sets.wanted(host.agent.paths, release, ASKED, True, record))
    assert ((host.units / "api.service").read_text(), [*host.there]) == ("by hand\n", ["api.service"])


def test_a_rollback_brings_what_was_committed(host: Host) -> None:
    """The set that the record names, whatever directory the settings name now; without one, what its commit has."""
    texts = host.texts("one", api_service=API)
    _, name = host.install(texts)
    [release] = host.agent.paths.releases.iterdir()
    asked: UnitsRequest = {**ASKED, "directory": "elsewhere"}
    record: Any = {"units": name}
    assert unit_sets.wanted(host.agent.paths, release, asked, True, record) == texts
    assert unit_sets.wanted(host.agent.paths, release, ASKED, True, None) == texts


def test_what_root_refuses(host: Host) -> None:
    """A failure says what was said; a disk without space is told apart, for then there is a reserve."""
    found = host.look(host.texts("one", api_service=API))
    before, after = (unit_sets.keep(host.agent.paths, each) for each in (found.before, found.after))
    host.tool("mv", "echo read-only; exit 1")
    with pytest.raises(unit_sets.NotPut, match="exited 1: read-only"):
        host.put(before, after)
    host.tool("mv", "echo No space left on device; exit 1")
    with pytest.raises(OSError, match="No space left"):
        host.put(before, after)
    assert "daemon-reload" not in host.asked


# --- keeping -----------------------------------------------------------------------------------------------------


def test_sets_are_kept_by_what_they_say(host: Host) -> None:
    """The same set has the same name; one that cannot be read is no set."""
    paths, one = host.agent.paths, UnitSet({"a.service": "x", "b.timer": None}, {"l": "a.service"})
    name = unit_sets.keep(paths, one)
    assert (unit_sets.keep(paths, one), unit_sets.load(paths, name)) == (name, one)
    for text in ("[]", "{"):
        (paths.unit_sets / name).write_text(text)
        with pytest.raises(ValueError, match=f"{paths.unit_sets / name} is damaged, in which the units of a release"):
            unit_sets.load(paths, name)
    assert unit_sets.in_place(paths, name) is False


def test_what_nothing_names_goes(host: Host) -> None:
    """After a day, in which it may be about to be used; originals stay."""
    paths = host.agent.paths
    names = [unit_sets.keep(paths, UnitSet({f"{name}.service": name}, None)) for name in "abcd"]
    unit_sets.keep_originals(paths, {"a.service": "x"})
    unit_sets.stage(paths, names[0], names[1])
    for name in names[:3]:
        os.utime(paths.unit_sets / name, (0, 0))
    unit_sets.forget_others(paths, [None])
    assert {path.name for path in paths.unit_sets.iterdir()} == {*names[:2], names[3], "before", "after", "originals"}
    unit_sets.unstage(paths)
    assert unit_sets.staged(paths) is None
