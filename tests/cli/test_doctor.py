"""What `doctor` prints fits 80 columns, and each command is one that a shell reads as it stands."""

from __future__ import annotations

import json
import subprocess

from oroboros_deploy.cli.doctor import as_json, told
from oroboros_deploy.doctor.finding import Diagnosis, Finding

RULE = "'deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run'"
SUDO = f'ssh -t web1 "echo {RULE} | sudo tee /etc/sudoers.d/oroboros_deploy"'
WHAT = "deploy may not restart units here without a password: sudo refuses systemctl restart, systemctl stop"
FOUND = Diagnosis(
    (Finding("note", "the registry is old", "other programs notice", "fab registry.list"),),
    {
        "web2": (),
        "web3": (Finding("note", "the login is root", "all is root's", "log in as another user"),),
        "web1": (
            Finding("refused", WHAT, "a deploy is refused until then", SUDO),
            Finding("refused", "no git", "a deploy is refused until then", None),
            Finding("note", "a clock", "times", "ssh web1 'sed -i \"1i x\" ~/.bashrc'"),
        ),
    },
)


def arriving(typed: str) -> str:
    """What a shell gives ssh to run on the host."""
    script = f"ssh() {{ printf '%s' \"$3\"; }}\n{typed}"
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_for_people() -> None:
    """A block a host, the worst first; one without anything says so."""
    assert (
        told(FOUND)
        == """\
this machine: 1 to know
  ! the registry is old
    other programs notice
    → fab registry.list
web1: 2 that stop a deploy, 1 to know
  ✗ deploy may not restart units here without a password: sudo refuses systemctl
    restart, systemctl stop
    a deploy is refused until then
    → ssh -t web1 "echo 'deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, \\
      /usr/bin/systemd-run' | sudo tee /etc/sudoers.d/oroboros_deploy"
  ✗ no git
    a deploy is refused until then
  ! a clock
    times
    → ssh web1 'sed -i "1i x" ~/.bashrc'
web3: 1 to know
  ! the login is root
    all is root's
    → log in as another user
web2: nothing to tell"""
    )


def test_a_broken_command_is_the_same_command() -> None:
    """A shell puts its lines together to the same words; no line is longer than 80 columns."""
    text = told(FOUND)
    begin = text.index("ssh -t web1")
    typed = text[begin : text.index("\n  ✗ no git")]
    assert arriving(typed).split() == arriving(SUDO).split()
    assert max(map(len, text.splitlines())) <= 80


def test_a_long_command_in_single_quotes_stays_whole() -> None:
    """A backslash in them would be a backslash."""
    line = "ssh web1 'echo \"" + "word " * 20 + "\"'"
    assert f"    → {line}" in told(Diagnosis((), {"web1": (Finding("note", "a", "b", line),)})).splitlines()


def test_for_programs() -> None:
    """Every finding of the control node and of every host, those with none too."""
    said = json.loads(as_json(FOUND))
    assert said["control_node"] == [
        {
            "level": "note",
            "what": "the registry is old",
            "why": "other programs notice",
            "mend": "fab registry.list",
        }
    ]
    assert (list(said["hosts"]), said["hosts"]["web2"]) == (["web2", "web3", "web1"], [])
    assert said["hosts"]["web1"][0]["mend"] == SUDO
