"""ssh_config on a machine without an OpenSSH client, or for a user whom it does not serve."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.ssh import SshOptions, connect, resolve
from oroboros_deploy.ssh.without_openssh import WARNING
from tests.support import mounted
from tests.support.sshd import Sshd


@pytest.fixture
def no_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def config(text: str) -> SshOptions:
    path = Path.home() / "config"
    path.write_text(text)
    return SshOptions(config_path=str(path))


def test_it_logs_in(sshd: Sshd, no_ssh: None) -> None:
    """A host of ssh_config is found, verified and logged in to."""
    with connect("box", SshOptions(config_path=sshd.config_path)) as host:
        assert (host.host, host.port, host.user) == ("127.0.0.1", sshd.port, sshd.user)


def test_settings(no_ssh: None) -> None:
    """What paramiko's parser reads is followed as ever, and the command line wins."""
    options = config(
        "Host web1\n HostName %h.example.org\n User jo\n Port 2200\n ProxyJump first,me@second:2201\n"
        " IdentityFile ~/one\n UserKnownHostsFile /a /b\n StrictHostKeyChecking no\n"
    )
    target = resolve("web1", options)
    assert (target.hostname, target.user, target.port) == ("web1.example.org", "jo", 2200)
    assert (target.known_hosts, target.accept_new) == (("/a", "/b"), True)
    assert target.jump and target.jump.jump
    assert (target.jump.host, target.jump.user, target.jump.port) == ("second", "me", 2201)
    assert target.jump.jump.host == "first"
    assert (resolve("root@web1:1", options).user, resolve("root@web1:1", options).port) == ("root", 1)


def test_refusals(no_ssh: None) -> None:
    """What is refused by name is so here, too."""
    with pytest.raises(ConfigError, match="BindAddress 10.0.0.1: this is not supported here"):  # noqa: RUF043
        resolve("web1", config("BindAddress 10.0.0.1"))
    with pytest.raises(ConfigError, match="ssh_config cannot be read"):
        resolve("web1", config("Nonsense"))
    with pytest.raises(ConfigError, match="No such file"):
        resolve("web1", SshOptions(config_path="/no/such"))


def test_a_warning_once(tmp_path: Path) -> None:
    """A process says it once, and names what is not followed; by itself it is a record of Python's logging."""
    code = "from oroboros_deploy.ssh import *\nfor each in 'abc': resolve(each, SshOptions('/dev/null'))"
    environ = {**os.environ, "PATH": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert ran.stderr == f"{WARNING}\n"
    assert "Include" in WARNING


NOBODY = """if True:
    import logging
    from oroboros_deploy.errors import ConfigError
    from oroboros_deploy.ssh import SshOptions, resolve
    logging.disable()
    target = resolve("web1")
    print(target.user, target.known_hosts, target.default_identities)
    try:
        resolve("web1", SshOptions(identities=("~/x",)))
    except ConfigError as error:
        print(error.message)
"""


@pytest.mark.slow
def test_a_user_without_name_and_home(tmp_path: Path) -> None:
    """Somebody whom the machine does not know logs in as LOGNAME says, and ~ is an error with words."""
    (tmp_path / "passwd").write_text("somebody:x:1:1::/:/bin/sh\n")
    (tmp_path / "nsswitch").write_text("passwd: files\n")  # others know root
    instead = {"/etc/passwd": tmp_path / "passwd", "/etc/nsswitch.conf": tmp_path / "nsswitch"}
    environ = {"PATH": os.environ["PATH"], "LOGNAME": "ci"}
    said = mounted.python(NOBODY, instead, environ).splitlines()
    assert said == ["ci () ()", "the path '~/x' leads nowhere: this user has no home directory"]
    environ["HOME"] = "/somewhere"
    said = mounted.python(NOBODY, instead, environ).splitlines()
    assert said == ["ci ('/somewhere/.ssh/known_hosts', '/somewhere/.ssh/known_hosts2') ()"]
