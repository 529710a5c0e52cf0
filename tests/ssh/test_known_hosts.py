"""Host keys: the same verdict as OpenSSH's own client on the same files, and a message that helps."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from oroboros_deploy.errors import HostNotTrusted
from oroboros_deploy.ssh import SshOptions, connect
from tests.support.sshd import Sshd, keygen

SALT = bytes(range(20))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Public keys that are not the server's, by type."""
    room = tmp_path_factory.mktemp("stranger")
    return {
        kind: " ".join(Path(f"{keygen(room / kind, kind)}.pub").read_text().split()[:2]) for kind in ("ed25519", "rsa")
    }


def hashed(name: str) -> str:
    parts = (SALT, hmac.digest(SALT, name.encode(), "sha1"))
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in parts)


def trusts(sshd: Sshd) -> bool:
    try:
        with connect(sshd.alias, SshOptions(config_path=sshd.config_path)) as host:
            return bool(host.is_connected)
    except HostNotTrusted:
        return False


def openssh(sshd: Sshd) -> subprocess.Popen[bytes]:
    command = ["ssh", "-F", sshd.config_path, "-o", "BatchMode=yes", sshd.alias, "true"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def openssh_trusts(sshd: Sshd) -> bool:
    with openssh(sshd) as process:
        return process.wait(20) == 0


# {N} is the name with port, {P} the port, {E} {R} {C} the server's keys, {XE} {XR} strange ones.
ROWS = {
    "the name with its port": ("{N} {E}", True),
    "hashed": ("{HN} {E}", True),
    "another name, hashed": ("{HO} {E}", False),
    "a list of names": ("other,{N} {E}", True),
    "upper case does not matter": ("*,!OTHER {E}", True),
    "among garbage": ("garbage\n\n# comment\n@what ever\n{N} sk-ssh-ed25519@openssh.com AAAA\n{N} {E}", True),
    "not ASCII, about other hosts": (
        "h\u00f6st ssh-ed25519 \u00e4AAA\n|1|\u00e4|\u00f6 ssh-ed25519 AAAA\n{N} {E}",
        True,
    ),
    "no UTF-8 either, about others and beside the key": (
        "# R\udce4ume\n@r\udce9voked * {E}\nh\udcf6st,k\udcfcche {XE}\n|1|\udce4|\udcf6 {XE}\n{N} {E} J\udcfcrgen",
        True,
    ),
    "bad base64": ("{N} ssh-ed25519 ?????", False),
    "only an RSA key": ("{N} {R}", True),
    "only an ECDSA key": ("{N} {C}", True),
    "a star": ("* {E}", True),
    "a star for the port": ("[127.0.0.1]:* {E}", True),
    "a star in the address": ("[127.0.*.1]:{P} {E}", True),
    "a denied name": ("*,!{N},!127.0.0.1 {E}", False),
    "the bare host": ("127.0.0.1 {E}", True),
    "the bare host, hashed": ("{HB} {E}", True),
    "another port": ("[127.0.0.1]:1 {E}", False),
    "two keys of a type": ("{N} {XE}\n{N} {E}", True),
    "changed": ("{N} {XE}", False),
    "changed, whatever the bare host has": ("{N} {XE}\n127.0.0.1 {E}", False),
    "another key on the bare host only": ("127.0.0.1 {XE}", False),
    "unknown": ("other {E}", False),
    "an empty file": ("", False),
    "a revoked key": ("{N} {E}\n@revoked * {E}", False),
    "a revoked key, first": ("@revoked {N} {E}\n{N} {E}", False),
    "another key revoked": ("@revoked * {XE}\n{N} {E}", True),
    "a key revoked elsewhere": ("@revoked other {E}\n{N} {E}", True),
    "only an authority": ("@cert-authority * {XE}", False),
    "an authority with the host's own key": ("@cert-authority * {E}", False),
    "an authority beside the key": ("@cert-authority * {XE}\n{N} {E}", True),
}


def fill(text: str, sshd: Sshd, stranger: dict[str, str]) -> str:
    name = f"[{sshd.host}]:{sshd.port}"
    values = {
        "N": name, "P": str(sshd.port), "HN": hashed(name), "HB": hashed(sshd.host), "HO": hashed("other"),
        "E": sshd.host_key("ed25519"), "R": sshd.host_key("rsa"), "C": sshd.host_key("ecdsa"),
        "XE": stranger["ed25519"], "XR": stranger["rsa"],
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], text)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ssh"), reason="needs OpenSSH's client to compare with")
@pytest.mark.parametrize("row", ROWS)
def test_verdict(row: str, sshd: Sshd, stranger: dict[str, str]) -> None:
    """For each known_hosts file our verdict is the expected one, and OpenSSH's."""
    text, expected = ROWS[row]
    sshd.known_hosts.write_text(fill(text, sshd, stranger), errors="surrogateescape")
    with openssh(sshd) as process:
        assert (trusts(sshd), process.wait(20) == 0) == (expected, expected)


def refusal(sshd: Sshd) -> HostNotTrusted:
    with pytest.raises(HostNotTrusted) as caught:
        connect(sshd.alias, SshOptions(config_path=sshd.config_path))
    return caught.value


def fingerprint(public: str) -> str:
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@pytest.mark.slow
def test_unknown_says_what_to_type(sshd: Sshd) -> None:
    """An unknown host names host, port, fingerprint, file, and a command that makes it known."""
    sshd.known_hosts.write_text("")
    error = refusal(sshd)
    assert error.host == "box"
    assert error.message == (
        f"127.0.0.1 port {sshd.port}: its host key is not known: ssh-ed25519 {fingerprint(sshd.host_key())}"
        f" is not in {sshd.known_hosts}"
    )
    assert error.hint is not None
    command = error.hint.partition("then ")[2]
    assert command == f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> {sshd.known_hosts}"
    subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL, timeout=20)
    assert trusts(sshd)


def test_changed_says_what_to_type(sshd: Sshd, stranger: dict[str, str]) -> None:
    """A changed key names the line it contradicts, and the command that forgets the old one works."""
    sshd.known_hosts.write_text(f"# first\n[127.0.0.1]:{sshd.port} {stranger['ed25519']}\n")
    error = refusal(sshd)
    assert f"{fingerprint(sshd.host_key())} is not what {sshd.known_hosts}:2 says" in error.message
    assert "has changed" in error.message
    assert error.hint is not None
    command = error.hint.partition(": ")[2].partition(", then")[0]
    assert command == f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {sshd.known_hosts}"
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=20)
    assert "is not known" in refusal(sshd).message


def test_revoked_and_authority_say_so(sshd: Sshd, stranger: dict[str, str]) -> None:
    """A revoked key and a certificate authority are named as such, with their line."""
    sshd.known_hosts.write_text(f"{sshd.known_hosts_line}\n@revoked * {sshd.host_key()}\n")
    assert f"is revoked by {sshd.known_hosts}:4" in refusal(sshd).message
    sshd.known_hosts.write_text(f"@cert-authority * {stranger['ed25519']}\n")
    assert f"authority in {sshd.known_hosts}:1, and host certificates are not supported" in refusal(sshd).message


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_host_with_a_certificate(kind: str, tmp_path: Path) -> None:
    """What the hint names adds the key: `ssh` alone would take the certificate, and add nothing."""
    authority, certificate = keygen(tmp_path / "authority"), tmp_path / f"host_{kind}-cert.pub"
    sshd = Sshd(tmp_path, host_keys=[kind], settings=f"HostCertificate {certificate}")
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "box", "-h", str(tmp_path / f"host_{kind}.pub")]
    subprocess.run(sign, check=True, timeout=30)
    with sshd:
        sshd.known_hosts.write_text(f"@cert-authority * {Path(f'{authority}.pub').read_text()}")
        sshd.write_config("HostKeyAlias prod", "StrictHostKeyChecking accept-new")  # accept-new: nobody answers here
        typed = (refusal(sshd).hint or "").removeprefix("trust the key itself: ")
        ssh, *words = shlex.split(typed)
        plain = [ssh, "-F", sshd.config_path, words[-1], "true"]
        subprocess.run(plain, check=True, timeout=30)
        assert not trusts(sshd)
        subprocess.run([*plain[:3], *words, "true"], check=True, timeout=30)
        assert trusts(sshd)


def test_files(sshd: Sshd, tmp_path: Path) -> None:
    """Several user files and the global ones are read; a missing one is no error."""
    second = tmp_path / "second"
    sshd.write_config(f"UserKnownHostsFile {tmp_path}/absent {second}")
    error = refusal(sshd)
    assert error.message.endswith(f"is not in {tmp_path}/absent, {second}")
    second.write_text(sshd.known_hosts_line)
    assert trusts(sshd)
    sshd.write_config("UserKnownHostsFile none", f"GlobalKnownHostsFile {second}")
    assert trusts(sshd)


def test_no_file_says_which_setting_is_to_name_one(sshd: Sshd, tmp_path: Path, stranger: dict[str, str]) -> None:
    """`ssh` itself would have no place for the key, so that it is no help to type it."""
    (tmp_path / "global").write_text(f"@cert-authority * {stranger['ed25519']}\n")
    sshd.write_config("UserKnownHostsFile none", f"GlobalKnownHostsFile {tmp_path}/global")
    of_authority = refusal(sshd)
    sshd.write_config("UserKnownHostsFile none", "GlobalKnownHostsFile none")
    error = refusal(sshd)
    assert error.message.endswith(" and ssh_config names no known_hosts file for this host")
    assert error.hint == (
        "name a file in UserKnownHostsFile in ssh_config, then type the same command again: "
        "when the key is not in that file, it says how to check the key and how to add it"
    )
    assert "only by the certificate authority" in of_authority.message and of_authority.hint == error.hint


def test_host_key_alias(sshd: Sshd) -> None:
    """With HostKeyAlias the alias is looked up, without a port."""
    sshd.write_config("HostKeyAlias Prod")
    assert not trusts(sshd)
    sshd.known_hosts.write_text(f"prod {sshd.host_key()}\n")
    assert trusts(sshd)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["accept-new", "no"])
def test_accept_new(setting: str, sshd: Sshd, stranger: dict[str, str], tmp_path: Path) -> None:
    """An unknown key is recorded on first sight, as OpenSSH can read it, and a changed one is still refused."""
    file = tmp_path / "new" / "known_hosts"
    lines = (f"StrictHostKeyChecking {setting}", f"UserKnownHostsFile {file}")
    sshd.write_config(*lines)
    assert trusts(sshd)
    assert file.read_text() == f"[127.0.0.1]:{sshd.port} {sshd.host_key()}\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    sshd.write_config(lines[1])
    assert trusts(sshd)
    assert openssh_trusts(sshd)
    sshd.write_config(*lines)
    file.write_text(f"[127.0.0.1]:{sshd.port} {stranger['ed25519']}\n")
    assert "has changed" in refusal(sshd).message
    file.write_text(f"[127.0.0.1]:{sshd.port} {stranger['rsa']}")
    assert "has changed" in refusal(sshd).message, "the known type is asked for first"


def test_accept_new_hashes_and_keeps_lines_apart(sshd: Sshd) -> None:
    """HashKnownHosts hides the name, and a file without a final newline is not damaged."""
    sshd.known_hosts.write_text("other " + sshd.host_key())
    sshd.write_config("StrictHostKeyChecking accept-new", "HashKnownHosts yes")
    assert trusts(sshd)
    first, second = sshd.known_hosts.read_text().splitlines()
    assert first == "other " + sshd.host_key()
    assert second.startswith("|1|")
    sshd.write_config()
    assert trusts(sshd)
    assert openssh_trusts(sshd)


def test_accept_new_needs_a_place_to_remember(sshd: Sshd) -> None:
    """A key that cannot be recorded is not accepted, unless no file is wanted at all."""
    sshd.write_config("StrictHostKeyChecking accept-new", "UserKnownHostsFile /proc/version")
    assert "could not be recorded in /proc/version" in refusal(sshd).message
    sshd.write_config("StrictHostKeyChecking no", "UserKnownHostsFile /dev/null")
    assert trusts(sshd)


def test_another_type_is_not_new(tmp_path: Path, stranger: dict[str, str]) -> None:
    """A host known by a key of another type is not a new host."""
    with Sshd(tmp_path / "one") as sshd:
        sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {stranger['rsa']}\n")
        sshd.write_config("StrictHostKeyChecking accept-new")
        assert "another type than the known one" in refusal(sshd).message


def test_short_rsa_keys(sshd: Sshd) -> None:
    """An RSA host key below RequiredRSASize is refused, a long enough one is not."""
    sshd.write_config("HostKeyAlgorithms rsa-*", "RequiredRSASize 2048")
    assert trusts(sshd)
    sshd.write_config("HostKeyAlgorithms rsa-*", "RequiredRSASize 3072")
    assert "has only 2048 bits" in refusal(sshd).message


def test_many_hashed_lines_are_quick(sshd: Sshd) -> None:
    """Three thousand hashed lines cost no noticeable time."""
    lines = [f"{hashed(f'host{number}')} {sshd.host_key()}" for number in range(3000)]
    sshd.known_hosts.write_text("\n".join([*lines, sshd.known_hosts_line]))
    assert trusts(sshd)
