"""Logging in: what is offered, in which order, and what the refusals say."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from oroboros_deploy.errors import HostUnreachable
from oroboros_deploy.ssh import HostConnection, SshOptions, connect, resolve
from tests.support.sshd import Sshd, keygen


def logs_in(sshd: Sshd, *lines: str, **flags: object) -> bool:
    path = sshd.write_config(*lines)
    with connect("box", SshOptions(config_path=path, **flags)) as host:  # type: ignore[arg-type]
        return bool(host.is_connected)


def refusal(sshd: Sshd, *lines: str, **flags: object) -> HostUnreachable:
    with pytest.raises(HostUnreachable) as caught:
        logs_in(sshd, *lines, **flags)
    return caught.value


@contextmanager
def agent(directory: Path, *keys: Path) -> Iterator[str]:
    """A real ssh-agent that holds the keys; gives its socket."""
    path = directory / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        try:
            environment = {**os.environ, "SSH_AUTH_SOCK": str(path), "SSH_ASKPASS_REQUIRE": "never"}
            while subprocess.run(["ssh-add", "-l"], env=environment, capture_output=True).returncode == 2:
                time.sleep(0.005)  # it does not listen yet
            for key in keys:
                subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, stdin=subprocess.DEVNULL)
            yield str(path)
        finally:
            process.terminate()


@pytest.fixture
def locked(sshd: Sshd, tmp_path: Path) -> Path:
    """The server's accepted key, encrypted with the passphrase "sesame"."""
    path = tmp_path / "locked"
    shutil.copy(sshd.identity, path)
    shutil.copy(f"{sshd.identity}.pub", f"{path}.pub")
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "sesame", "-f", str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_key_types(kind: str, tmp_path: Path) -> None:
    """Keys of every common type log in."""
    with Sshd(tmp_path / "sshd") as sshd:
        key = keygen(tmp_path / "key", kind)
        shutil.copy(f"{key}.pub", sshd.directory / "authorized_keys")
        assert logs_in(sshd, identities=(str(key),))


def test_pem_key(tmp_path: Path) -> None:
    """A key in the old PEM format logs in."""
    with Sshd(tmp_path / "sshd") as sshd:
        key = tmp_path / "pem"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", str(key)], check=True
        )
        shutil.copy(f"{key}.pub", sshd.directory / "authorized_keys")
        assert logs_in(sshd, identities=(str(key),))


@pytest.mark.slow
def test_keys_without_a_comment(tmp_path: Path) -> None:
    """Keys load whatever their padding is; ten of them have every kind of it."""
    keys = [keygen(tmp_path / str(number), "ecdsa") for number in range(10)]
    with Sshd(tmp_path / "sshd") as sshd:
        for key in keys:
            shutil.copy(f"{key}.pub", sshd.directory / "authorized_keys")
            assert logs_in(sshd, "PreferredAuthentications publickey", identities=(str(key),))


def test_a_flag_comes_first(sshd: Sshd, tmp_path: Path) -> None:
    """The identity of the command line is offered before those of ssh_config."""
    wrong = keygen(tmp_path / "wrong")
    count = sshd.log().count("Failed publickey")
    assert logs_in(sshd, f"IdentityFile {wrong}", identities=(str(sshd.identity),))
    assert sshd.log().count("Failed publickey") == count


def test_default_key_files(sshd: Sshd) -> None:
    """The usual key files are used when no identity is named."""
    target = resolve("box", SshOptions(config_path=sshd.config_path))
    target = replace(target, identities=(), default_identities=target.identities)
    with HostConnection(target) as host:
        host.open()
        assert host.is_connected


def instead(sshd: Sshd, key: Path, *lines: str) -> str:
    """The server's ssh_config file with another key in place of the accepted one."""
    path = Path(sshd.write_config(*lines))
    path.write_text(path.read_text().replace(str(sshd.identity), str(key)))
    return str(path)


@pytest.mark.slow
def test_encrypted_key(sshd: Sshd, locked: Path) -> None:
    """An encrypted key needs its passphrase, and without it the error says so."""
    path = instead(sshd, locked)
    with connect("box", SshOptions(config_path=path, passphrase="sesame")) as host:
        assert host.is_connected
    reasons = {
        None: "encrypted, with no passphrase given and no agent holding it",
        "x": "encrypted, and the passphrase is wrong",
    }
    for passphrase, reason in reasons.items():
        with pytest.raises(HostUnreachable) as caught:
            connect("box", SshOptions(config_path=path, passphrase=passphrase))
        assert caught.value.message.endswith(f"refused the login; tried {locked} ({reason})")


def test_two_keys(tmp_path: Path) -> None:
    """A server that wants two keys gets the next one after it has accepted the first; with one alone it is named."""
    with Sshd(tmp_path / "sshd", settings="AuthenticationMethods publickey,publickey") as sshd:
        second = keygen(tmp_path / "second")
        with (sshd.directory / "authorized_keys").open("a") as file:
            file.write(Path(f"{second}.pub").read_text())
        assert logs_in(sshd, f"IdentityFile {keygen(tmp_path / 'wrong')}", f"IdentityFile {second}")
        error = refusal(sshd)
        assert f"{sshd.identity} (accepted, but the server also wants publickey)" in error.message


def test_no_authentication_at_all(tmp_path: Path) -> None:
    """An account without a password logs in where the server allows it and there is no key."""
    if os.getuid() != 0:
        pytest.skip("needs root, to give the server accounts of its own")
    shadow = tmp_path / "shadow"
    lines = Path("/etc/shadow").read_text().splitlines()
    shadow.write_text("".join(f"{re.sub('^root:[^:]*:', 'root::', line)}\n" for line in lines))
    settings = "PermitEmptyPasswords yes\nPasswordAuthentication yes\n"
    with Sshd(tmp_path / "sshd", settings=settings, instead={"/etc/shadow": shadow}) as sshd:
        assert logs_in(sshd, "PubkeyAuthentication no")
        assert "Accepted none for root" in sshd.log()


def test_a_passphrase_for_a_plain_key(sshd: Sshd) -> None:
    """A passphrase does no harm to keys that need none."""
    assert logs_in(sshd, passphrase="sesame")


def test_agent(sshd: Sshd, locked: Path, tmp_path: Path) -> None:
    """The agent's keys are used, and with IdentitiesOnly only for the identities that are named."""
    with agent(tmp_path, sshd.identity) as sock:
        named = SshOptions(config_path=instead(sshd, locked, f"IdentityAgent {sock}"))
        connect("box", named).close()
        Path(f"{locked}.pub").unlink()
        with pytest.raises(HostUnreachable, match="encrypted"):
            connect("box", named)
        connect("box", SshOptions(instead(sshd, locked, f"IdentityAgent {sock}", "IdentitiesOnly no"))).close()


@pytest.mark.parametrize("held", [False, True])
def test_the_key_that_was_let_in(sshd: Sshd, tmp_path: Path, held: bool) -> None:
    """It is known as a line of authorized_keys, from a file and from an agent; a certificate is no such key."""
    line = " ".join(Path(f"{sshd.identity}.pub").read_text().split()[:2])
    other, certified = keygen(tmp_path / "other"), keygen(tmp_path / "certified")
    with agent(tmp_path, sshd.identity) as sock:
        lines = ("IdentitiesOnly no", f"IdentityAgent {sock}")
        path = instead(sshd, other, *lines) if held else instead(sshd, sshd.identity)
        with connect("box", SshOptions(config_path=path)) as host:
            assert host.authorized_key == line
    with Sshd(tmp_path / "believer") as believer:
        certify(believer, tmp_path, certified)
        with connect("box", SshOptions(config_path=instead(believer, certified))) as host:
            assert host.authorized_key is None


def certify(sshd: Sshd, directory: Path, key: Path) -> Path:
    """Sign the key by an authority that the server is told to trust; gives the certificate."""
    authority = directory / "authority"
    if not authority.exists():
        keygen(authority)
    line = f"cert-authority {Path(f'{authority}.pub').read_text()}"
    (sshd.directory / "authorized_keys").write_text(line)
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "id", "-n", sshd.user, f"{key}.pub"]
    subprocess.run(sign, check=True)
    return Path(f"{key}-cert.pub")


@pytest.fixture
def believer(tmp_path: Path) -> Iterator[Sshd]:
    """A server that takes certificates alone, once ``certify`` was called."""
    with Sshd(tmp_path / "believer") as sshd:
        yield sshd


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_beside_a_key_that_the_agent_holds(believer: Sshd, tmp_path: Path, kind: str) -> None:
    """The agent signs for a locked key, and the certificate in the file beside it is what the server wants."""
    key = keygen(tmp_path / "id", kind)
    with agent(tmp_path, key) as sock:
        certify(believer, tmp_path, key)
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "sesame", "-f", str(key)], check=True, capture_output=True)
        path = instead(believer, key, f"IdentityAgent {sock}")
        connect("box", SshOptions(config_path=path)).close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_that_the_agent_holds(believer: Sshd, tmp_path: Path, kind: str) -> None:
    """A certificate in the agent alone is offered, without IdentitiesOnly."""
    key = keygen(tmp_path / "id", kind)
    certificate = certify(believer, tmp_path, key)
    with agent(tmp_path, key) as sock:
        certificate.unlink()
        connect(
            "box", SshOptions(instead(believer, tmp_path / "none", f"IdentityAgent {sock}", "IdentitiesOnly no"))
        ).close()


@pytest.mark.parametrize("held", [False, True])
def test_certificate_file(believer: Sshd, tmp_path: Path, held: bool) -> None:
    """CertificateFile goes with the key that it is for, in a file or in the agent, whatever the file is called."""
    key = keygen(tmp_path / "id")
    certificate = certify(believer, tmp_path, key).rename(tmp_path / "elsewhere")
    other = certify(believer, tmp_path, keygen(tmp_path / "other"))
    lines = [f"CertificateFile {other}", f"CertificateFile {certificate}"]
    with agent(tmp_path, key) as sock:
        if held:
            key.unlink()
            lines += [f"IdentityAgent {sock}", "IdentitiesOnly no"]
        connect("box", SshOptions(instead(believer, key, *lines))).close()


def test_an_agent_that_is_gone(sshd: Sshd) -> None:
    """A dead agent is no error as long as a key file works, and is named when none does."""
    dead = "IdentityAgent /nonexistent/agent"
    assert logs_in(sshd, dead)
    sshd.directory.joinpath("authorized_keys").rename(sshd.directory / "hidden")
    try:
        error = refusal(sshd, dead)
    finally:
        sshd.directory.joinpath("hidden").rename(sshd.directory / "authorized_keys")
    assert error.message == (
        f"{sshd.user}@127.0.0.1 port {sshd.port} refused the login; tried the agent /nonexistent/agent"
        f" (No such file or directory); {sshd.identity} (refused)"
    )


def test_an_exposed_key(sshd: Sshd, tmp_path: Path) -> None:
    """A private key that others can read is not used."""
    key = tmp_path / "exposed"
    shutil.copy(sshd.identity, key)
    key.chmod(0o644)
    with pytest.raises(HostUnreachable, match="others can read it: chmod 600 it"):
        connect("box", SshOptions(config_path=instead(sshd, key)))


def test_missing_and_broken_keys(sshd: Sshd, tmp_path: Path) -> None:
    """Missing and broken key files are skipped, and named when nothing else works."""
    broken = tmp_path / "broken"
    broken.write_text("nonsense\n")
    broken.chmod(0o600)
    missing = tmp_path / "missing"
    assert logs_in(sshd, identities=(str(broken), str(missing)))
    error = refusal(
        sshd, "PreferredAuthentications publickey", "User no-such-user", identities=(str(broken), str(missing))
    )
    assert f"{broken} (" in error.message
    assert f"{missing} (No such file or directory)" in error.message
    assert f"{sshd.identity} (refused)" in error.message


@pytest.mark.parametrize("text", ["", "junk", "ssh-ed25519-cert-v01@openssh.com AAAA nobody"])
def test_a_broken_certificate(sshd: Sshd, tmp_path: Path, text: str) -> None:
    """A certificate that cannot be read is named, and the key is offered without it."""
    key = keygen(tmp_path / "certified")
    (tmp_path / "certified-cert.pub").write_text(text)
    error = refusal(sshd, "PreferredAuthentications publickey", "User no-such-user", identities=(str(key),))
    assert f"{key}-cert.pub (" in error.message
    assert f"{key} (refused)" in error.message


def test_too_many_keys(tmp_path: Path) -> None:
    """A server that hangs up after too many keys is reported with the way out."""
    wrong = tuple(str(keygen(tmp_path / f"wrong{number}")) for number in range(3))
    with Sshd(tmp_path / "sshd", settings="MaxAuthTries 2") as sshd:
        error = refusal(sshd, identities=wrong)
    assert f"ended the login after {wrong[0]} (refused); {wrong[1]} (refused)" in error.message
    assert "MaxAuthTries" in (error.hint or "")


@pytest.mark.slow
def test_short_rsa_keys(sshd: Sshd, tmp_path: Path) -> None:
    """An RSA key below RequiredRSASize is not offered."""
    key = keygen(tmp_path / "short", "rsa")
    error = refusal(sshd, "RequiredRSASize 3072", "User no-such-user", identities=(str(key),))
    assert f"{key} (shorter than RequiredRSASize); {sshd.identity} (refused)" in error.message


def test_methods_that_are_switched_off(sshd: Sshd) -> None:
    """Without keys and without a password nothing is tried, and nobody is asked."""
    assert refusal(sshd, "PubkeyAuthentication no").message == (
        f"{sshd.user}@127.0.0.1 port {sshd.port} refused the login;"
        " tried nothing: there is no identity file, no key in an agent and no password that may be used"
    )


class _PasswordServer(paramiko.ServerInterface):
    """Accepts the password "hunter2", after any key when ``keys`` is set."""

    def __init__(self, keys: bool) -> None:
        self.keys = keys

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password" if self.keys else "password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_PARTIALLY_SUCCESSFUL if self.keys else paramiko.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if password == "hunter2" else paramiko.AUTH_FAILED


@contextmanager
def password_server(directory: Path, sshd: Sshd, *, keys: bool) -> Iterator[Sshd]:
    """A server that takes passwords, which sshd does only for real accounts; it has sshd's host key."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            connection, _ = listener.accept()
            transport = paramiko.Transport(connection)
            transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(sshd.directory / "host_ed25519")))
            with suppress(EOFError, paramiko.SSHException):  # a client that is not let in may be gone before
                transport.start_server(server=_PasswordServer(keys))
            transport.join(10)
            transport.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        sshd.write_config(f"Port {port}")
        sshd.known_hosts.write_text(f"[127.0.0.1]:{port} {sshd.host_key()}\n")
        yield sshd
        thread.join(10)


@pytest.mark.parametrize("keys", [False, True])
def test_password(keys: bool, sshd: Sshd, tmp_path: Path) -> None:
    """A password logs in, alone or after a key; a wrong one is an error that does not show it."""
    with (
        password_server(tmp_path, sshd, keys=keys),
        connect("box", SshOptions(config_path=sshd.config_path, password="hunter2")) as host,
    ):
        assert host.is_connected
        assert "hunter2" not in repr(host)
    with password_server(tmp_path, sshd, keys=keys), pytest.raises(HostUnreachable) as caught:
        connect("box", SshOptions(config_path=sshd.config_path, password="secret-but-wrong"))
    assert "the password (refused)" in caught.value.message
    assert "secret-but-wrong" not in str(caught.value)
    if keys:
        assert f"{sshd.identity} (accepted, but the server also wants" in caught.value.message
