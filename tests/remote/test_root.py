"""Becoming root on a host: as root, by sudo without a password, with one, and not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.errors import InvalidInput, LinkLost
from oroboros_deploy.remote.root import RootShell
from oroboros_deploy.ssh import HostConnection, SshOptions, connect
from oroboros_deploy.testing import LocalConnection
from tests.support.sshd import Sshd, requires_sshd
from tests.support.watching import eventually

# As sudo is with -S: it asks on standard error, reads a line, asks again; then it runs what stands after `--`.
SUDO = """\
#!/bin/sh
while [ "$1" != -- ]; do [ "$1" != -p ] || prompt=$2; shift; done
shift
echo "We trust you have received the usual lecture" >&2
[ -e {ours}/free ] || while :; do
  printf '%s' "$prompt" >&2
  read -r said || { echo "sudo: no password was provided" >&2; exit 1; }
  [ "$said" != "the password" ] || break
  echo "Sorry, try again." >&2
done
exec "$@"
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody who is not root, with a `sudo` of the test's own; `free` beside it lets everybody in."""
    for name, text in {"id": "#!/bin/sh\necho 1000\n", "sudo": SUDO.replace("{ours}", str(tmp_path))}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.fixture
def connection() -> Iterator[LocalConnection]:
    connection = LocalConnection()
    yield connection
    connection.close()


def shell(connection: LocalConnection, first: str = "echo one; echo two") -> RootShell:
    return RootShell(connection, first, "web1", "log in as root")  # type: ignore[arg-type]


def test_scripts_one_after_another(user: Path, connection: LocalConnection) -> None:
    """One command on the host runs them all; none reads the next one, ends the shell, or leaves another directory."""
    (user / "free").touch()
    opened = shell(connection)
    heard: list[str] = []
    assert (opened.wants_password, opened.answer()) == (False, ["one", "two"])
    assert opened.run("cat; echo é; echo no >&2; cd /tmp; exit 3", 60, heard.append) == (3, ["é", "no"])
    assert opened.run("pwd; umask", 60, heard.append) == (0, ["/", "0022"])
    assert (heard, len(connection.running)) == (["é", "no", "/", "0022"], 1)


def test_the_password(user: Path, connection: LocalConnection) -> None:
    """sudo's question is answered once, by its input; it stands in no argument."""
    opened = shell(connection)
    assert opened.wants_password
    opened.enter("the password")
    assert (opened.wants_password, opened.answer()) == (False, ["one", "two"])
    script = "tr '\\0' ' ' </proc/$$/cmdline; env"
    assert "the password" not in "".join(opened.run(script, 60, str)[1])


def test_a_wrong_password(user: Path, connection: LocalConnection) -> None:
    """It is not tried a second time, and nothing is run."""
    opened = shell(connection, f"touch {user}/ran")
    with pytest.raises(InvalidInput) as refused:
        opened.enter("another")
    assert (refused.value.message, refused.value.hint) == (
        "nothing was changed: sudo did not take the password",
        "log in as root",
    )
    assert not (user / "ran").exists()


@pytest.mark.parametrize(
    ("sudo", "message"),
    [
        ("#!/bin/sh\necho 'ann is not in the sudoers file.' >&2; exit 1\n", "ann is not in the sudoers file."),
        ("#!/bin/sh\nexit 1\n", "sudo said nothing"),
    ],
)
def test_who_may_not(user: Path, connection: LocalConnection, sudo: str, message: str) -> None:
    """What sudo said is told."""
    (user / "sudo").write_text(sudo)
    with pytest.raises(InvalidInput) as refused:
        shell(connection)
    assert refused.value.message == f"nothing was changed: this login may not become root: {message}"


def test_without_sudo(user: Path, connection: LocalConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that has no sudo, and whose login is not root, is told as that."""
    (user / "sudo").unlink()
    (user / "sh").symlink_to("/bin/sh")
    (user / "printf").symlink_to("/usr/bin/printf")
    monkeypatch.setenv("PATH", str(user))
    with pytest.raises(InvalidInput, match="there is no sudo"):
        shell(connection)


@requires_sshd
@pytest.mark.slow
def test_a_lost_connection(tmp_path: Path) -> None:
    """What was begun goes on to its end, however much it says."""
    with Sshd(tmp_path / "sshd") as sshd:
        host = connect("box", SshOptions(config_path=sshd.config_path))
        _require_root(host)
        _cut(host, tmp_path)
        assert eventually((tmp_path / "ended").exists, 60)


def _require_root(host: HostConnection) -> None:
    """Skip the test where the login of the server, who is whoever runs the tests, is not root."""
    with host.command("id -u", deadline=20) as asked:
        if (uid := b"".join(asked.lines()).decode()) != "0":
            pytest.skip(f"needs a login that is root: this one is uid {uid}")


def _cut(host: HostConnection, tmp_path: Path) -> None:
    """Close the connection in the middle of a script."""
    opened = RootShell(host, "true", "box", "log in as root")
    opened.answer()
    script = f"seq 1000; while [ ! -e {tmp_path}/cut ]; do sleep 0.05; done; seq 100000 && touch {tmp_path}/ended"

    def hear(line: str) -> None:
        if line == "1000":
            host.close()

    with pytest.raises(LinkLost):
        opened.run(script, 60, hear)
    (tmp_path / "cut").touch()


@requires_sshd
@pytest.mark.slow
def test_what_takes_too_long(tmp_path: Path) -> None:
    """It is no longer waited for, and not killed: a package manager may be in the middle of something."""
    with Sshd(tmp_path / "sshd") as sshd:
        host = connect("box", SshOptions(config_path=sshd.config_path))
        _require_root(host)
        opened = RootShell(host, "true", "box", "log in as root")
        opened.answer()
        script = f"while [ ! -e {tmp_path}/over ]; do sleep 0.05; done; seq 100000 && touch {tmp_path}/ended"
        with pytest.raises(LinkLost):
            opened.run(script, 1, str)
        (tmp_path / "over").touch()
        assert eventually((tmp_path / "ended").exists, 60)


def test_a_shell_that_ends_too_early(user: Path, connection: LocalConnection) -> None:
    """It is told, with its last words."""
    (user / "sudo").write_text("#!/bin/sh\necho oroboros-root; echo bye; exit 1\n")
    with pytest.raises(LinkLost, match="ended before its work did: bye"):
        shell(connection).answer()
