"""All hosts are asked side by side, each over one channel, and the control node beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from oroboros_deploy import Deployment, SshOptions
from oroboros_deploy.config import Config
from oroboros_deploy.doctor.finding import Diagnosis
from oroboros_deploy.errors import HostUnreachable
from oroboros_deploy.host.contract import DoctorAnswer, DoctorRequest
from oroboros_deploy.remote.host import Host
from oroboros_deploy.testing import LocalHosts
from tests.support.repository import Repository
from tests.support.sshd import Sshd, keygen, requires_sshd

pytestmark = pytest.mark.slow  # each host is an agent that is run


def config(**settings: Any) -> Config:
    build = {"frontend": None, "venvs": {}}
    return Config.from_mapping(
        {"root": "/srv/app", "build": build, "healthcheck": {"command": "ops/check"}, **settings}
    )


def whats(found: Diagnosis, host: str, level: str) -> list[str]:
    return [each.what for each in found.hosts[host] if each.level == level]


@pytest.fixture
def hosts(tmp_path: Path, repository: Repository) -> LocalHosts:
    repository.commit("one", ops__check="#!/bin/sh\n")
    repository.git("update-index", "--chmod=+x", "ops/check")
    repository.git("commit", "--quiet", "--message", "executable")
    repository.git("checkout", "--quiet", "--", "ops/check")
    return LocalHosts(config(), tmp_path, source=repository.path)


def test_one_channel_a_host_and_nothing_changed(hosts: LocalHosts) -> None:
    """Each host gets one call; nothing is written there."""
    found = hosts.deployment().doctor(["web1", "web2"])
    assert (found.here, [*found.hosts]) == ((), ["web1", "web2"])
    assert [whats(found, host, "refused") for host in found.hosts] == [[], []]
    commands = {host: [each.commands for each in made] for host, made in hosts.connections.items()}
    assert commands == {"web1": [["doctor"]], "web2": [["doctor"]]}
    assert not (hosts.directory / "hosts").exists()


def test_a_host_that_cannot_be_reached(hosts: LocalHosts) -> None:
    """It is a problem of that host; the others are asked."""
    open_others: Callable[[str], Any] = hosts.connect

    def connect(name: str) -> Any:
        if name == "web1":
            raise HostUnreachable("connection refused", hint="is sshd running?", host=name)
        return open_others(name)

    found = hosts.deployment(connect=connect).doctor(["web1", "web2"])
    assert whats(found, "web1", "refused") == ["connection refused"]
    assert (whats(found, "web2", "refused"), int(found.exit_code)) == ([], 2)


def test_an_answer_that_is_none(hosts: LocalHosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What cannot be worked with is told of its host, and where the traceback is; the others are told."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    real = Host.doctor

    def doctor(host: Host, request: DoctorRequest) -> DoctorAnswer:
        answer = real(host, request)
        return cast("DoctorAnswer", {"clock": 0.0, "facts": {}}) if host.name == "web1" else answer

    monkeypatch.setattr(Host, "doctor", doctor)
    found = hosts.deployment().doctor(["web1", "web2"])
    (fault,) = found.hosts["web1"]
    assert (fault.level, "nobody foresaw (KeyError: 'user')" in fault.what) == ("refused", True)
    assert (fault.mend or "").startswith("the traceback, for a report of the fault, is in ")
    assert whats(found, "web2", "refused") == []


@requires_sshd
@pytest.mark.parametrize("known", ["nothing", "another key"])
def test_a_host_key(repository: Repository, tmp_path: Path, known: str) -> None:
    """One that is unknown or another is told with the line that learns it, and what to do before that is typed."""
    with Sshd(tmp_path / "sshd") as sshd:
        learn = f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> {sshd.known_hosts}"
        other = f"[127.0.0.1]:{sshd.port} {keygen(tmp_path / 'other').with_suffix('.pub').read_text()}"
        sshd.known_hosts.write_text(other if known == "another key" else "")
        options = SshOptions(config_path=sshd.config_path)
        deployment = Deployment(config(), source=repository.path, ssh=options, state=tmp_path / "state")
        (found,) = deployment.doctor([sshd.alias]).hosts[sshd.alias]
    forget = f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {sshd.known_hosts} && "
    assert (found.level, found.mend) == ("refused", f"{forget if known == 'another key' else ''}{learn}")
    assert ("only if the change is expected" if known == "another key" else "first compare") in found.why


def test_what_is_wrong_here(hosts: LocalHosts, tmp_path: Path) -> None:
    """A repository that is none, a secret that cannot be had and a registry that does not answer, together."""
    (tmp_path / "none").mkdir()
    env = {"secrets": {"names": ["NO_SUCH_SECRET"]}}
    broken = hosts.deployment(source=tmp_path / "none")
    settings = config(env=env)
    (tmp_path / "file").touch()
    registry = f"sqlite:///{tmp_path}/file/registry.db"
    broken = broken.with_config(
        replace(broken.config, env=settings.env, registry_url=registry, provenance=settings.provenance)
    )
    found = broken.doctor(["web1"])
    assert [(each.level, each.why) for each in found.here] == [
        ("refused", "a deploy stops here (exit 2)"),
        ("refused", "a deploy stops here (exit 2)"),
        ("refused", "a deploy stops here (exit 60)"),
    ]
    words = ["git repository", "NO_SUCH_SECRET", "registry"]
    assert [word in each.what for word, each in zip(words, found.here, strict=True)] == [True] * 3
    assert "web1" in found.hosts


def test_the_next_commit(hosts: LocalHosts, repository: Repository) -> None:
    """Its health script is looked at: the live release has another one."""
    repository.git("update-index", "--chmod=-x", "ops/check")
    repository.git("commit", "--quiet", "--message", "closed")
    (closed,) = hosts.deployment().doctor(["web1"]).here
    assert closed.what == "ops/check is not executable in the commit HEAD"
    repository.git("rm", "--quiet", "--force", "ops/check")
    repository.git("commit", "--quiet", "--message", "gone")
    (gone,) = hosts.deployment().doctor(["web1"]).here
    assert gone.what == "ops/check is not in the commit HEAD"


def test_questions_of_the_settings_file(hosts: LocalHosts, repository: Repository) -> None:
    """The file in or above the directory of the command is read."""
    (repository.path / "fabric.yaml").write_text("deploy:\n  # QUESTION: which port?\n  services: []\n")
    (repository.path / "deep").mkdir()
    (found,) = hosts.deployment(source=repository.path / "deep").doctor(["web1"]).here
    assert found.what == "fabric.yaml, line 2: this question of `init` is still open: which port?"


def test_units_that_are_not_committed(hosts: LocalHosts, repository: Repository) -> None:
    """The work tree has them and HEAD has not; when they are committed, what they run is looked for on the host."""
    deployment = hosts.deployment()
    deployment = deployment.with_config(replace(deployment.config, units="infra", skip_restart=False))
    (repository.path / "infra").mkdir()
    (repository.path / "infra/web.service").write_text("[Service]\nExecStart=/usr/bin/no-such --x\n")
    (found,) = deployment.doctor(["web1"]).here
    assert found.mend == "git add infra && git commit -m infra"
    repository.git("add", "infra")
    repository.git("commit", "--quiet", "--message", "units")
    then = deployment.doctor(["web1"])
    told = "infra/web.service runs /usr/bin/no-such, which this host has not, or not as an executable"
    assert (then.here, told in whats(then, "web1", "note")) == ((), True)


def test_a_shell_that_prints(hosts: LocalHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before the agent is told, and hides nothing."""
    real = hosts.connect

    def connect(name: str) -> Any:
        connection = real(name)
        command = connection.command
        monkeypatch.setattr(
            connection, "command", lambda script, **given: command(f"echo welcome\n{script}", **given), raising=True
        )
        return connection

    found = hosts.deployment(connect=connect).doctor(["web1"])
    assert "the login's shell prints before a command begins: 'welcome'" in whats(found, "web1", "note")
