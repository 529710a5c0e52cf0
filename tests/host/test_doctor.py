"""The agent's look at a host: nothing is changed, and one thing that is wrong hides no other."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.control.plan import Job
from oroboros_deploy.doctor.of_host import Look, findings
from oroboros_deploy.host import contract, doctor, manager, process, unit_files, units
from oroboros_deploy.host.building import login
from oroboros_deploy.host.building.view import View
from oroboros_deploy.host.contract import DoctorRequest
from oroboros_deploy.host.layout import Layout
from oroboros_deploy.host.units import Unit
from oroboros_deploy.remote import agent
from tests.support.local_agent import Answer, LocalAgent
from tests.support.rights import above, require_another_user
from tests.support.watching import tree

pytestmark = pytest.mark.slow  # each is a call of the agent

NEWER = "a later version of oroboros_deploy wrote .deploy on this host (format 3)"


def request(**changes: Any) -> dict[str, Any]:
    return {
        "facts": {"sha": None, "services": [], "restart": False, "source": True},
        "tools": [],
        "python": None,
        "node": None,
        "venvs": False,
        "script": None,
        **changes,
    }


def look(host: LocalAgent, **changes: Any) -> dict[str, Any]:
    answer = host.call("doctor", request(**changes))
    assert answer.result is not None, (answer.refusal, answer.stderr)
    return answer.result


def refused(answer: Answer) -> list[str]:
    return [each["data"]["message"] for each in answer.events if each["event"] == "refused"]


def test_the_answer_is_that_of_the_contract(host: LocalAgent) -> None:
    """All keys, the facts of a deploy among them."""
    host.sealed("one")
    found = look(host)
    assert set(found) == contract.DoctorAnswer.__required_keys__
    assert set(found["facts"]) == contract.Facts.__required_keys__ | contract.Facts.__optional_keys__
    assert set(found["last"]) == contract.LastRelease.__required_keys__
    assert [set(each) for each in found["disk"]] == [contract.DiskFacts.__required_keys__]


def test_nothing_is_left_behind(host: LocalAgent, tmp_path: Any) -> None:
    """Neither a root where there is none, nor the agent, nor its directory for temporary files."""
    places = tmp_path / "temporary"
    places.mkdir()
    host.options = {"env": {**os.environ, "TMPDIR": str(places)}}
    root_less = LocalAgent(tmp_path / "none" / "srv", **host.options)
    assert (look(root_less)["facts"]["live"], (tmp_path / "none").exists()) == (None, False)
    host.sealed("one")
    before = tree(host.root), tree(host.paths.ours)
    look(host)
    assert ((tree(host.root), tree(host.paths.ours)), list(places.iterdir())) == (before, [])


def test_what_the_last_release_took(host: LocalAgent) -> None:
    """Blocks and entries of the newest whole release; without one nobody knows."""
    host.paths.create()
    assert look(host)["last"] is None
    sha = host.sealed("one", more="x" * 50_000)
    found = look(host)["last"]
    files = list((host.root / "releases" / sha).rglob("*"))
    assert found == {"bytes": sum(path.stat().st_blocks * 512 for path in files), "entries": len(files)}


def test_tools_are_those_of_a_build(host: LocalAgent, tmp_path: Any) -> None:
    """A directory that the login's shell alone has is not looked in."""
    own = tmp_path / "bin"
    own.mkdir()
    (own / "only-mine").write_text("#!/bin/sh\n")
    (own / "only-mine").chmod(0o755)
    host.options = {"env": {**os.environ, "PATH": f"{own}:{os.environ['PATH']}"}}
    found = look(host, tools=["sh", "only-mine"])
    assert (found["tools"]["only-mine"], found["tools"]["sh"] is None) == (None, False)
    assert f"{own} in PATH" in found["only_login"]


def test_the_health_script(host: LocalAgent) -> None:
    """In what is live: there and executable, closed, or missing."""
    sha = host.sealed("one", check="true\n")
    host.activate(sha)
    assert look(host, script="check")["script"] == "closed"
    (host.root / "current" / "check").chmod(0o555)
    assert look(host, script="check")["script"] == "ready"
    assert look(host, script="other")["script"] == "missing"
    assert look(host)["script"] is None


def test_the_chosen_python_is_asked_as_a_build_asks_it(host: LocalAgent) -> None:
    """The refusal is the build's."""
    host.paths.create()
    (found,) = look(host, python="/nowhere/python3")["problems"]
    assert found["message"] == "nothing was built: build.python: /nowhere/python3 is not on this host"
    assert look(host, python=sys.executable, venvs=True)["problems"] == []


@pytest.mark.parametrize("made", [0, 1])
def test_a_python_that_says_that_it_can_make_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: int
) -> None:
    """It has ensurepip, and a wheel of pip that may not run with it: only an environment that is made tells."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(process, "find", lambda _: None)
    python = tmp_path / "python3.13"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *__version__*) exit 1;; "-m venv "*) mkdir -p "$3/bin"; exit {made};; esac\n'
    )
    python.chmod(0o755)
    layout = LocalAgent(tmp_path / "srv").paths
    told = doctor.doctor(layout, cast("DoctorRequest", request(python=str(python), venvs=True)))
    assert (told["pip"], list((tmp_path / "temporary").iterdir())) == (made == 0, [])


def test_one_problem_hides_no_other(host: LocalAgent) -> None:
    """A later version's format, another machine's root and a missing Python are told together, with the facts."""
    host.paths.create()
    host.paths.format.write_text("3\n")
    host.paths.id.write_text('{"id": "1", "machine": "another", "name": "web9", "root": "/srv"}')
    found = look(host, node="/nowhere/node")
    assert [each["message"].partition(": ")[2] for each in found["problems"]] == [
        NEWER,
        f"{host.root} is the deploy root of the machine web9, and of that alone",
        "build.node: /nowhere/node is not on this host",
    ]
    assert found["facts"]["git"] is True


def test_somebody_elses_root(host: LocalAgent) -> None:
    """Whose it is is told, by the words that refuse every other call, and the host is looked at all the same."""
    require_another_user()
    host.paths.create()
    os.chown(host.root, 1, 1)
    other = LocalAgent(host.root, user=65534, group=65534, extra_groups=[])
    for path in [host.root, *above(host.root)]:
        path.chmod(path.stat().st_mode | 0o055)
    told, stopped = other.call("doctor", request()), other.call("facts", {"sha": None})
    assert (stopped.refusal or {})["message"] == refused(told)[0]
    assert (told.result or {})["facts"]["git"] is True


def test_a_root_that_cannot_be_made(tmp_path: Any) -> None:
    """A directory that is missing, and that this login may not make, is told before a deploy finds out."""
    require_another_user()
    for path in [tmp_path, *above(tmp_path)]:
        path.chmod(path.stat().st_mode | 0o055)
    host = LocalAgent(tmp_path / "srv" / "shop", user=65534, group=65534, extra_groups=[])
    told, stopped = host.call("doctor", request()), host.call("facts", {"sha": None})
    assert [(stopped.refusal or {})["message"]] == refused(told) == [f"{host.root} cannot be written by this login"]
    hints = [each["data"]["hint"] for each in told.events if each["event"] == "refused"]
    assert hints == ["fab -H root@HOST setup --login=nobody"]


def test_a_visit_hears_of_all_that_is_open(host: LocalAgent) -> None:
    """A deploy stops at the first of them."""
    host.paths.create()
    host.root.chmod(0o777)
    host.paths.ours.chmod(0o777)
    told = host.call("doctor", request())
    assert refused(told) == [
        f"what {host.paths.ours} runs can be changed by others",
        f"{host.root} is writable by everybody",
    ]
    stopped = host.call("facts", {"sha": None}).refusal or {}
    assert stopped["message"] == refused(told)[0]


def test_a_systemd_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once, and all that does not depend on it is told too."""

    def silent(*_: object) -> NoReturn:
        raise units.Silent("systemd gave no answer")

    for name in ("asking", "with_members"):
        monkeypatch.setattr(units, name, silent)
    monkeypatch.setattr(units, "present", lambda: True)
    layout = Layout(tmp_path, tmp_path / "releases", tmp_path / "current", tmp_path / "repo", "system")
    facts = {"sha": None, "services": ["api"], "restart": True, "source": True}
    found = doctor.doctor(layout, cast("DoctorRequest", request(facts=facts, tools=["sh"])))
    assert [each["message"] for each in found["problems"]] == ["the host could not go on: systemd gave no answer"]
    assert (found["facts"]["git"], found["tools"]["sh"] is None) == (True, False)


def test_the_agents_directory_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs no file is told all the same, with why the rest could not be read, and that it is not known."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "gone" / "agent.pyz"), "doctor"])
    monkeypatch.setattr(manager.Manager, "present", True)
    root = tmp_path / "srv"
    layout = Layout(root, root / "releases", root / "current", root / "repo", "system")
    told = doctor.doctor(layout, cast("DoctorRequest", request(tools=["sh"])))
    missing = f"[Errno 2] No such file or directory: '{tmp_path}/gone'"
    assert [each["message"] for each in told["problems"]] == [
        f"the host could not go on: {missing}",
        "what this host has and serves could not be read",
    ]
    found = told["facts"]
    assert set(found) == contract.Facts.__required_keys__ | contract.Facts.__optional_keys__
    assert (found["hostname"], found["git"], found["live"], found["units"]) == (os.uname().nodename, True, None, {})
    assert (told["tools"]["sh"] is None, told["last"]) == (False, None)
    config = Config.from_mapping({"root": str(root), "services": ["api"], "healthcheck": {"command": "true"}})
    shown = findings(Job("", "deploy", "", "ada", config, "test"), "web1", Look(told))
    assert [(each.what, each.mend) for each in shown if each.level == "refused"] == [
        (f"the host could not go on: {missing}", None),
        (
            "what this host has and serves could not be read",
            "correct the other problems that are listed for this host, then type the same command again",
        ),
    ]


def test_what_nobody_could_ask_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where systemd cannot even be looked for, that is told; neither it nor its rights are told as missing."""

    def failing(_: manager.Manager) -> NoReturn:
        raise OSError("too many open files")

    monkeypatch.setattr(manager.Manager, "present", property(failing))
    problems: list[Any] = []
    layout = Layout(tmp_path, tmp_path / "releases", tmp_path / "current", tmp_path / "repo", "system")
    found = doctor.least_facts(layout, problems)
    assert (found["systemd"], found["may_manage"]) == (True, True)
    assert problems[1]["message"] == "the host could not go on: too many open files"


def test_what_is_only_told_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look of doctor's alone that fails is told as not known: no deploy asks it, so it is no reason to refuse one."""

    def broken(*_: object) -> NoReturn:
        raise OSError(5, "Input/output error")

    for owner, name in ((login, "only_there"), (View, "entered"), (doctor, "as_root"), (doctor, "name_by_dns")):
        monkeypatch.setattr(owner, name, broken)
    layout = Layout(tmp_path, tmp_path / "releases", tmp_path / "current", tmp_path / "repo", "system")
    layout.create()
    told = doctor.doctor(layout, cast("DoctorRequest", request()))
    assert (told["problems"], told["only_login"], told["as_root"], told["view"]) == ([], [], [], None)
    assert told["unknown"] == [
        f"{what}: [Errno 5] Input/output error"
        for what in (
            "which variables of this login no command of a deploy gets",
            "which services run as root",
            "whether this host can limit what a build sees",
            "whether this host knows its own name by itself",
        )
    ]


def resolving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: str, knows: list[str], stub: str | None = None
) -> None:
    """A host with these sources of names, of which some know its own, and with a resolver's stub where one is given."""
    (tmp_path / "nsswitch").write_text(f"passwd: files\nhosts: {sources}  # names\n")
    (tmp_path / "resolv").write_text(stub or "nameserver 192.0.2.1\n")
    monkeypatch.setattr(doctor, "NSSWITCH", tmp_path / "nsswitch")
    monkeypatch.setattr(doctor, "RESOLV_CONF", tmp_path / "resolv")
    monkeypatch.setattr(doctor, "RESOLVED", tmp_path / ("resolv" if stub else "none"))
    monkeypatch.setattr(doctor, "knows", lambda source, name: source in knows and name == os.uname().nodename)


STUB = "# systemd-resolved\nnameserver 127.0.0.53\noptions edns0\n"
NAME = os.uname().nodename


@pytest.mark.parametrize(
    ("sources", "knows", "stub", "told"),
    [
        ("files dns", [], None, NAME),
        ("files dns", ["files"], None, None),
        ("files mdns4_minimal [NOTFOUND=return] dns", [], None, NAME),
        ("files myhostname dns", ["myhostname"], None, None),
        ("files dns", ["myhostname"], None, NAME),
        ("files dns myhostname", ["myhostname"], None, NAME),
        ("files", [], None, None),
        ("files resolve [!UNAVAIL=return] dns", [], "nameserver 192.0.2.1\n", None),
        ("files resolve [!UNAVAIL=return] dns", [], None, NAME),
        ("files dns", [], STUB, None),
        ("files dns", [], f"{STUB}search .\n", None),
        ("files dns", [], f"{STUB}search example.org\n", NAME),
    ],
)
def test_the_name_that_only_dns_knows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sources: str,
    knows: list[str],
    stub: str | None,
    told: str | None,
) -> None:
    """It is told where no source before DNS has it, be that /etc/hosts, nss-myhostname or systemd-resolved."""
    resolving(tmp_path, monkeypatch, sources, knows, stub)
    assert doctor.name_by_dns() == told


def test_a_host_without_nsswitch_asks_its_files_before_dns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As glibc does."""
    resolving(tmp_path, monkeypatch, "", ["files"])
    monkeypatch.setattr(doctor, "NSSWITCH", tmp_path / "none")
    assert doctor.host_sources() == ["files", "dns"]


def test_glibc_is_asked_whether_a_source_alone_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has and what it has not are answers, and anything else is none."""
    assert (doctor.knows("files", "localhost"), doctor.knows("files", "nobody.invalid")) == (True, False)
    monkeypatch.setattr(process, "apart", lambda *_, **__: process.Ended(1, "", 0.0))
    with pytest.raises(OSError, match="getent exited 1"):
        doctor.knows("files", "localhost")


BLOCKS = {
    "api.service": "LoadState=loaded\nUser=shop\nDynamicUser=no\n",
    "old.service": "LoadState=loaded\nUser=\nDynamicUser=no\n",
    "line@any.service": "LoadState=loaded\nUser=\nDynamicUser=no\n",
    "own.service": "LoadState=loaded\nUser=\nDynamicUser=yes\n",
    "off.service": "LoadState=masked\nUser=\nDynamicUser=no\n",
}


def test_services_that_nobody_named_and_that_run_as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer or a socket starts them: all that releases of this root brought is asked about, and nothing of others."""
    asked: list[str] = []

    def systemctl(argv: list[str], *, sink: Any, **_: object) -> process.Ended:
        asked.extend(argv[argv.index("--") + 1 :])
        sink("\n".join(BLOCKS[name] for name in asked).encode())
        return process.Ended(0, "", 0.0)

    monkeypatch.setattr(manager, "UNITS", tmp_path)
    monkeypatch.setattr(process, "apart", systemctl)
    for name, root in {**dict.fromkeys(BLOCKS, "/srv/shop"), "other.service": "/srv/other"}.items():
        unit = name.replace("@any.", "@.")
        (tmp_path / unit).write_text(unit_files.render("[Service]\n", "shop", root, "shop"))
    (tmp_path / "old.timer").write_text(unit_files.render("[Timer]\n", "shop", "/srv/shop", "shop"))
    named = {"api": Unit("api", "loaded", "active", "running", "exec", "success", "1", "i", "0", False, "0")}
    found = doctor.as_root(doctor.services_of(LocalAgent(Path("/srv/shop")).paths, named))
    assert (asked[0], sorted(asked), sorted(found)) == ("api.service", sorted(BLOCKS), ["line@.service", "old.service"])


def test_only_doctor_visits() -> None:
    """Every other call stops where something is wrong."""
    assert agent.VISITS == ("doctor",)
