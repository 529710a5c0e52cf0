"""From a host string and ssh_config files to a target."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.ssh import SshOptions, Target, resolve
from oroboros_deploy.ssh.target import Keepalive


@pytest.fixture(autouse=True)
def _no_system_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("oroboros_deploy.ssh.ssh_config.SYSTEM_FILE", str(tmp_path / "etc" / "ssh_config"))


def config(text: str) -> SshOptions:
    path = Path.home() / "config"
    path.write_text(text)
    return SshOptions(config_path=str(path))


def plain(host: str) -> Target:
    ssh = Path.home() / ".ssh"
    return Target(
        host=host,
        hostname=host,
        port=22,
        user=getpass.getuser(),
        known_hosts=(f"{ssh}/known_hosts", f"{ssh}/known_hosts2"),
        global_known_hosts=("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"),
    )


def test_defaults() -> None:
    """Without any file a host is what it is called, and the files and times are the usual ones."""
    assert resolve("web1") == plain("web1")


def test_the_users_file_wins_over_the_system_file(tmp_path: Path) -> None:
    """Both usual files are read, the user's first."""
    (Path.home() / ".ssh" / "config").write_text("Host web1\n  User jo\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "ssh_config").write_text("User system\nPort 2200\n")
    assert resolve("web1") == replace(plain("web1"), user="jo", port=2200)


def test_a_given_file_is_the_only_one() -> None:
    """With -S nothing else is read."""
    (Path.home() / ".ssh" / "config").write_text("User jo\n")
    assert resolve("web1", config("Port 2200")) == replace(plain("web1"), port=2200)


def test_settings() -> None:
    """Every setting that is followed arrives in the target."""
    home = Path.home()
    options = config(
        """
        # a comment
        Host other
            User nobody
        Host web*  !web2  # and not the second
            HostName %h.example.org
            User=jo
            Port = 2222
            IdentityFile ~/one
            IdentityFile "~/with space %h %%"
            IdentityFile ${HOME}/three
            IdentitiesOnly yes
            IdentityAgent ~/agent-%n
            UserKnownHostsFile ~/a ~/b
            GlobalKnownHostsFile none
            StrictHostKeyChecking accept-new
            HashKnownHosts yes
            HostKeyAlias Alias
            AddressFamily inet6
            ConnectTimeout 1m5s
            ServerAliveInterval 10
            ServerAliveCountMax 2
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PubkeyAuthentication no
            ProxyCommand nc -X "connect" %h %p # %r
            ForwardAgent /some/socket
            SendEnv LANG LC_*
        Host *
            User later
        """
    )
    assert resolve("web1", options) == Target(
        host="web1",
        hostname="web1.example.org",
        port=2222,
        user="jo",
        identities=(f"{home}/one", f"{home}/with space web1.example.org %", f"{home}/three"),
        identities_only=True,
        agent=f"{home}/agent-web1",
        publickey=False,
        password=False,
        proxy_command='nc -X "connect" web1.example.org 2222 # jo',
        known_hosts=(f"{home}/a", f"{home}/b"),
        global_known_hosts=(),
        host_key_alias="alias",
        accept_new=True,
        hash_known_hosts=True,
        family=socket.AF_INET6,
        connect_timeout=65.0,
        banner_timeout=15.0,
        keepalive=Keepalive(10, 10, 2, 20),
    )
    assert resolve("web2", options) == replace(plain("web2"), user="later")


def test_the_command_line_wins() -> None:
    """What the host string and the options say comes before the files."""
    options = config("User jo\nPort 2222\nConnectTimeout 60\nIdentityFile ~/file\nHostName real")
    options = replace(options, identities=("~/flag",), connect_timeout=3)
    target = resolve("root@web1:22", options)
    assert (target.user, target.port, target.hostname) == ("root", 22, "real")
    assert (target.connect_timeout, target.banner_timeout) == (3, 3)
    assert target.identities == (str(Path.home() / "flag"), str(Path.home() / "file"))


def test_connect_timeout_none_is_the_default() -> None:
    """ConnectTimeout none does not wait for ever."""
    assert resolve("web1", config("ConnectTimeout none")) == plain("web1")


def test_include() -> None:
    """Include takes globs and relative paths, stays inside its block, and leaves the block open."""
    ssh = Path.home() / ".ssh"
    (ssh / "conf.d").mkdir()
    (ssh / "conf.d" / "1").write_text("Host web1\n  Port 1001\nHost web2\n  Port 1002\n")
    (ssh / "conf.d" / "2").write_text("User included\nPort 1\n")
    options = config("Host web*\n  Include conf.d/*\n  HostName after\nInclude ~/absent\n")
    expected = {"web1": (1001, "included", "after"), "web2": (1002, "included", "after")}
    found = {name: resolve(name, options) for name in expected}
    assert {name: (t.port, t.user, t.hostname) for name, t in found.items()} == expected
    assert resolve("db1", options) == plain("db1")


def test_include_loop() -> None:
    """A file that includes itself is an error, not a hang."""
    options = config(f"Include {Path.home()}/config")
    with pytest.raises(ConfigError, match="deeper than 16"):
        resolve("web1", options)


def test_match() -> None:
    """Match knows host, originalhost, user, localuser, exec, final, all, and their denials."""
    options = config(
        f"""
        Match originalhost web1 !user jo
            HostName real.example.org
        Match host real.* exec "test %h = real.example.org && touch {Path.home()}/ran"
            Port 2222
        Match localuser !{getpass.getuser()} exec "touch {Path.home()}/never"
            Port 1
        Match user jo
            Port 3333
        Match final host real.example.org
            User final
        Match all
            AddressFamily inet
        """
    )
    target = resolve("web1", options)
    assert (target.hostname, target.port, target.user) == ("real.example.org", 2222, "final")
    assert resolve("jo@web1", options) == replace(plain("web1"), user="jo", port=3333, family=socket.AF_INET)
    assert {path.name for path in Path.home().iterdir()} == {".ssh", "config", "ran"}


def test_what_distributions_ship() -> None:
    """The system files of the large distributions are understood."""
    (Path.home() / ".ssh" / "policy").write_text(
        "Ciphers aes256-ctr\nMACs hmac-sha2-256-etm@openssh.com\nGSSAPIKexAlgorithms gss-group14-sha256-\n"
        "KexAlgorithms curve25519-sha256\nPubkeyAcceptedAlgorithms ssh-ed25519\n"
        "CASignatureAlgorithms ssh-ed25519\nRequiredRSASize 2048\n"
    )
    options = config(
        """
        Match final all
            Include policy
            ForwardX11Trusted yes
        Host *
            SendEnv LANG LC_*
            HashKnownHosts yes
            GSSAPIAuthentication yes
            UseKeychain yes
        Host unix/* vsock/*
            ProxyCommand /usr/lib/systemd/systemd-ssh-proxy %h %p
            ProxyUseFdpass yes
        """
    )
    target = resolve("web1", options)
    lists = ("ciphers", "macs", "kexalgorithms", "pubkeyacceptedalgorithms")
    assert sorted(target.algorithms) == sorted(lists)
    assert replace(target, algorithms={}) == replace(plain("web1"), hash_known_hosts=True, required_rsa_size=2048)


def test_default_identities_only_when_nobody_names_one() -> None:
    """The default key files that exist are used when neither a flag nor a file names any."""
    key = Path.home() / ".ssh" / "id_rsa"
    key.touch()
    assert resolve("web1").default_identities == (str(key),)
    assert resolve("web1", config("IdentityFile ~/x")).default_identities == ()
    assert resolve("web1", config("IdentityFile none")) == plain("web1")


def test_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """IdentityAgent is a path, a variable, none, or by default SSH_AUTH_SOCK."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/default")
    monkeypatch.setenv("OTHER", "/other")
    texts = (
        "",
        "IdentityAgent none",
        "IdentityAgent $OTHER",
        "IdentityAgent SSH_AUTH_SOCK",
        "IdentityAgent ${OTHER}/x",
    )
    agents = [resolve("web1", config(text)).agent for text in texts]
    assert agents == ["/default", None, "/other", "/default", "/other/x"]


def test_preferred_authentications() -> None:
    """A method that is not preferred is not used."""
    target = resolve("web1", config("PreferredAuthentications publickey"))
    assert (target.publickey, target.password) == (True, False)
    target = resolve("web1", config("PreferredAuthentications keyboard-interactive"))
    assert (target.publickey, target.password) == (False, True)


def test_jumps() -> None:
    """ProxyJump builds the chain, the first hop decides for itself, and a wildcard does not loop."""
    options = config(
        """
        Host web1
            ProxyJump jo@first:2201,second
        Host first
            HostName first.example.org
        Host second
            Port 2202
            ProxyCommand never used
        Host *
            ProxyJump outer
        """
    )
    target = resolve("web1", options)
    chain = []
    hop: Target | None = target
    while hop:
        chain.append((hop.hostname, hop.user, hop.port, hop.proxy_command))
        hop = hop.jump
    me = getpass.getuser()
    assert chain == [
        ("web1", me, 22, None),
        ("second", me, 2202, None),
        ("first.example.org", "jo", 2201, None),
        ("outer", me, 22, None),
    ]
    assert resolve("outer", options) == plain("outer")


def test_the_first_of_jump_and_proxy_command_wins() -> None:
    """ProxyJump none before a ProxyCommand means to connect directly."""
    assert resolve("web1", config("ProxyJump none\nProxyCommand nc %h %p")) == plain("web1")


def test_a_loop_of_jumps() -> None:
    """Hosts that jump through each other are an error."""
    with pytest.raises(ConfigError, match="more than 8 hosts"):
        resolve("a", config("Host a\nProxyJump b\nHost b\nProxyJump a"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("CertificateFile ~/c", "not supported"),
        ("BindAddress 10.0.0.1", "not supported"),
        ("CanonicalizeHostname yes", "not supported"),
        ("KnownHostsCommand /bin/true", "not supported"),
        ("RevokedHostKeys ~/r", "not supported"),
        ("VerifyHostKeyDNS yes", "not supported"),
        ("RemoteCommand id", "not supported"),
        ("PKCS11Provider /lib/x", "not supported"),
        ("HostbasedAuthentication yes", "not supported"),
        ("NoHostAuthenticationForLocalhost yes", "not supported"),
        ("FutureSetting yes", "not known"),
        ("Match tagged x", "not supported"),
        ("Match address 10.0.0.0/8", "not supported"),
        ("Port nine", "not understood"),
        ("StrictHostKeyChecking maybe", "not understood"),
        ("PasswordAuthentication perhaps", "not understood"),
        ("ConnectTimeout soon", "not understood"),
        ("AddressFamily ipx", "not understood"),
        ("ProxyJump a,b;c", "is not a host"),
        ("ProxyJump -oProxyCommand=x", "is not a host"),
    ],
)
def test_refusals(line: str, problem: str) -> None:
    """What cannot be followed is refused by name, file and line, but only for the hosts it applies to."""
    options = config(f"Host web1\n{line}\n" if not line.startswith("Match") else f"\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        resolve("web1", options)
    assert caught.value.message.startswith(f"{options.config_path}:2: {line}: ")
    assert problem in caught.value.message
    if not line.startswith("Match"):
        assert resolve("db1", options) == plain("db1")


@pytest.mark.parametrize(
    "line",
    ["VerifyHostKeyDNS no", "CertificateFile none", "CanonicalizeHostname no", "IgnoreUnknown Fut*,x\nFutureThing yes"],
)
def test_a_refused_keyword_that_says_no_is_harmless(line: str) -> None:
    """A value that asks for what happens anyway is accepted."""
    assert resolve("web1", config(line)) == plain("web1")


@pytest.mark.parametrize("line", ["Port", "Host", "!", 'User "open', "ProxyCommand "])
def test_lines_that_say_nothing(line: str) -> None:
    """A line that is not a setting is an error with its place."""
    options = config(f"\n{line}")
    with pytest.raises(ConfigError) as caught:
        resolve("web1", options)
    assert caught.value.message == f"{options.config_path}:2: {line.strip()!r} is not a setting"


def test_missing_file() -> None:
    """A file given by name must exist."""
    with pytest.raises(ConfigError, match="there is no ssh configuration file /no/such"):
        resolve("web1", SshOptions(config_path="/no/such"))


def test_a_file_that_others_can_change() -> None:
    """The user's own file must not be writable by others."""
    path = Path.home() / ".ssh" / "config"
    path.write_text("User jo\n")
    path.chmod(0o666)
    with pytest.raises(ConfigError) as caught:
        resolve("web1")
    assert caught.value.hint == f"chmod go-w {path}"


def test_unknown_token_and_variable() -> None:
    """A %-token or a variable that does not exist is an error, not an empty string."""
    os.environ.pop("NOT_THERE", None)
    for line, problem in (("IdentityFile ~/%Z", "%Z"), ("IdentityFile ${NOT_THERE}/x", "NOT_THERE")):
        with pytest.raises(ConfigError, match=problem):
            resolve("web1", config(line))


def test_options_hide_secrets() -> None:
    """No password or passphrase shows in a repr."""
    assert "hunter2" not in repr(SshOptions(password="hunter2", passphrase="hunter2"))
