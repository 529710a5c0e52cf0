"""A hint becomes a line that can be typed here, for this host."""

from __future__ import annotations

from shlex import split

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.doctor.mending import apart, as_root, mended, named_in_hosts, on
from oroboros_deploy.setup.rules import put

CONFIG = Config.from_mapping({"environments": {"prod": {"hosts": ["web1"]}}})


@pytest.mark.parametrize(
    ("hint", "line"),
    [
        ("on the host: chmod o-w /srv/shop", "ssh web1 chmod o-w /srv/shop"),
        ("on the host: chown deploy /srv/shop", "ssh -t web1 sudo chown deploy /srv/shop"),
        ("on the host: sudo chown deploy /srv/shop", "ssh -t web1 sudo chown deploy /srv/shop"),
        (
            "fab -H root@HOST setup --login=deploy",
            "fab -H root@web1 setup --login=deploy",
        ),
        (
            "on the host, as root, once: loginctl enable-linger deploy",
            "ssh -t web1 sudo loginctl enable-linger deploy",
        ),
        (
            "on the host, as root: apt install dbus && systemctl start x",
            "ssh -t web1 \"sudo sh -c 'apt install dbus && systemctl start x'\"",
        ),
        (
            "add to sudoers: deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run",
            "ssh -t web1 \"echo 'deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run'"
            f" | sudo sh -c '{put('deploy', 'cat')}'\"",
        ),
        ("apt install git", "ssh -t web1 sudo apt install git"),
        ("log in as ada, as the deploys before: -H ada@HOST", "fab -H ada@web1 doctor"),
        (
            "log in as a;reboot, as the deploys before: -H x@HOST",
            "log in as a;reboot, as the deploys before: -H x@HOST",
        ),
        ("on the host:  ", "on the host:  "),
        ("end the hold with: fab -H HOST unlock", "fab -H web1 unlock"),
        ("take `units` out of fabric.yaml", "take `units` out of fabric.yaml"),
        (None, None),
    ],
)
def test_a_hint_as_it_can_be_typed(hint: str | None, line: str | None) -> None:
    """What is to be done on the host goes over ssh, by sudo where it takes root; other words stay as they are."""
    assert mended(CONFIG, "web1", hint, "deploy") == line


@pytest.mark.parametrize(
    ("hint", "parts"),
    [
        ("compare the fingerprint, then ssh-keyscan a >> b", ("compare the fingerprint", "ssh-keyscan a >> b")),
        (
            "if so: ssh-keygen -R a -f b, then ssh-keyscan a >> b",
            ("if so", "ssh-keygen -R a -f b && ssh-keyscan a >> b"),
        ),
        ("install it, then deploy again", ("", "install it, then deploy again")),
        ("ssh web1", ("", "ssh web1")),
        (None, ("", None)),
    ],
)
def test_what_comes_before_a_command(hint: str | None, parts: tuple[str, str | None]) -> None:
    """Words that a person has to heed are no part of the line that is typed."""
    assert apart(hint) == parts


def test_a_host_with_a_login_and_a_port() -> None:
    """ssh is given both, as it wants them."""
    assert mended(CONFIG, "ada@10.0.0.5:2222", "on the host: id", "ada") == "ssh -p 2222 ada@10.0.0.5 id"
    assert as_root("ada@10.0.0.5:2222", "systemctl x", "ada") == "ssh -t -p 2222 ada@10.0.0.5 sudo systemctl x"


def test_root_needs_no_sudo() -> None:
    """A login that is root may be on a host without sudo."""
    assert as_root("web1", "systemctl daemon-reload", "root") == "ssh web1 systemctl daemon-reload"
    assert mended(CONFIG, "web1", "add to sudoers: deploy ALL", "root") == (
        f"ssh -t web1 \"echo 'deploy ALL' | sh -c '{put('deploy', 'cat')}'\""
    )


def test_what_a_shell_would_read_is_quoted() -> None:
    """A variable is the host's, and quotes arrive there."""
    assert on("web1", 'echo "$HOME"') == "ssh web1 'echo \"$HOME\"'"
    assert on("web1", "cat ~/.profile") == 'ssh web1 "cat ~/.profile"'
    assert on("web1", "a | b") == 'ssh web1 "a | b"'


def test_a_host_learns_its_own_name_by_one_line() -> None:
    """Root appends it, and a name that is none breaks out of nothing."""
    assert named_in_hosts("ada@web1", "web1") == "ssh -t ada@web1 \"echo '127.0.1.1 web1' | sudo tee -a /etc/hosts\""
    *_, line = split(named_in_hosts("web1", "'$(id)'"))
    assert split(line) == ["echo", "127.0.1.1 '$(id)'", "|", "sudo", "tee", "-a", "/etc/hosts"]
