"""From a host string and ssh_config files to a target: what ssh itself reads in them, and what becomes of it here."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.ssh import SshOptions, Target, resolve
from oroboros_deploy.ssh.target import Keepalive
from oroboros_deploy.user import user_name
from tests.support import mounted, rights
from tests.support.watching import eventually

pytestmark = pytest.mark.skipif(not shutil.which("ssh"), reason="needs OpenSSH's client")
ME = getpass.getuser()
# What ssh takes for the home directory; below the top directory it writes no second slash.
HOME = pwd.getpwuid(os.getuid()).pw_dir.rstrip("/")


def config(text: str) -> SshOptions:
    """Options that name a file with this text, the only one that is read then."""
    path = Path.home() / "config"
    path.write_text(text)
    return SshOptions(config_path=str(path))


def plain(host: str) -> Target:
    """The target of a host that no file says anything about."""
    return Target(
        host=host,
        hostname=host,
        port=22,
        user=ME,
        known_hosts=(f"{HOME}/.ssh/known_hosts", f"{HOME}/.ssh/known_hosts2"),
        global_known_hosts=("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"),
    )


def bare(target: Target) -> Target:
    """The target without the key files that whoever runs this has."""
    return replace(target, default_identities=())


def test_defaults() -> None:
    """Where the files say nothing a host is what it is called, and the files and times are the usual ones."""
    assert bare(resolve("web1", config(""))) == plain("web1")


def test_the_users_own_files() -> None:
    """Without -S the answer is that of `ssh` as it is typed: the same name, port, user and known_hosts files."""
    said = subprocess.run(["ssh", "-G", "jo@web1"], capture_output=True, text=True, check=True).stdout.splitlines()
    target = resolve("jo@web1")
    expected = {f"hostname {target.hostname}", f"port {target.port}", f"user {target.user}"}
    assert expected | {f"userknownhostsfile {' '.join(target.known_hosts)}"} <= set(said)


def in_a_home(files: dict[str, str], code: str, owner: int = os.getuid()) -> str:
    """What a program prints that asks twice, as the owner the second time; in ~/.ssh are these files alone."""
    home = Path.home() / "of-passwd"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for name, text in files.items():
        (home / ".ssh" / name).write_text(text)
        (home / ".ssh" / name).chmod(0o600)
    # The machine's own file may include root's: ssh refuses those where root is another user, as in a user namespace.
    passwd, machine = Path.home() / "passwd", Path.home() / "ssh_config"
    passwd.write_text(f"{user_name()}:x:{os.getuid()}:0::{home}:/bin/sh\nnobody:x:65534:0::{home}:/bin/sh\n")
    machine.touch()
    imports = "import os\nfrom oroboros_deploy.ssh import SshOptions, resolve"
    as_owner = f"resolve('web1')\nif os.getuid() != {owner}: os.setuid({owner})"  # what is imported may be root's alone
    return mounted.python(f"{imports}\n{as_owner}\n{code}", {"/etc/passwd": passwd, "/etc/ssh/ssh_config": machine})


def test_the_users_file() -> None:
    """~/.ssh/config is read when no file is named."""
    code = "target = resolve('web1'); print(target.user, target.port)"
    assert in_a_home({"config": "Host web1\n User jo\n Port 2200\n"}, code) == "jo 2200"


def test_default_identities() -> None:
    """The default key files that exist are used when neither a flag nor a file names any."""
    code = "print(*resolve('web1', SshOptions('/dev/null')).default_identities)"
    own = Path.home() / "of-passwd/.ssh"
    assert in_a_home({"id_rsa": "", "id_ed25519": ""}, code) == f"{own}/id_rsa {own}/id_ed25519"


def test_a_home_that_is_another_user_s() -> None:
    """Has no default key files; that nobody may look there is no error."""
    rights.require_another_user()
    code = "print(resolve('web1', SshOptions('/dev/null')).default_identities)"
    assert in_a_home({"id_rsa": ""}, code, owner=65534) == "()"


@pytest.mark.parametrize("text", ["IdentityFile ~/x", "IdentityFile none"])
def test_default_identities_only_when_nobody_names_one(text: str) -> None:
    """A file that names an identity, or none, leaves no default ones."""
    assert resolve("web1", config(text)).default_identities == ()
    assert resolve("web1", replace(config(""), identities=("x",))).default_identities == ()


def test_settings() -> None:
    """Every setting that is followed arrives in the target."""
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
            IdentityFile "~/my key #1"
            IdentitiesOnly yes
            IdentityAgent ~/agent-%n
            UserKnownHostsFile "~/a b" ~/known/%k
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
        identities=(
            f"{HOME}/one",
            f"{HOME}/with space web1.example.org %",
            f"{os.environ['HOME']}/three",
            f"{HOME}/my key #1",
        ),
        identities_only=True,
        agent=f"{HOME}/agent-web1",
        publickey=False,
        password=False,
        proxy_command='nc -X "connect" web1.example.org 2222 # jo',
        known_hosts=(f"{HOME}/a b", f"{HOME}/known/alias"),
        global_known_hosts=(),
        host_key_alias="alias",
        accept_new=True,
        hash_known_hosts=True,
        family=socket.AF_INET6,
        connect_timeout=65.0,
        banner_timeout=15.0,
        keepalive=Keepalive(10, 10, 2, 20),
    )
    assert bare(resolve("web2", options)) == replace(plain("web2"), user="later")


def test_the_command_line_wins() -> None:
    """What the host string and the options say comes before the files."""
    options = config("User jo\nPort 2222\nConnectTimeout 60\nIdentityFile ~/file\nHostName real")
    options = replace(options, identities=("~/flag",), connect_timeout=3)
    target = resolve("root@web1:22", options)
    assert (target.user, target.port, target.hostname) == ("root", 22, "real")
    assert (target.connect_timeout, target.banner_timeout) == (3, 3)
    assert target.identities == (f"{HOME}/flag", f"{HOME}/file")


def test_user_and_port_of_the_options() -> None:
    """They come after the address and ssh_config, also where these say what is usual; jump hosts get them, too."""
    options = replace(config("Host web1\n User jo\n Port 2200\nHost web2\n ProxyJump other"), user="deploy", port=2602)
    found = [resolve(name, options) for name in ("web1", f"{ME}@web2:22", "web2")]
    assert [(target.user, target.port) for target in found] == [("jo", 2200), (ME, 22), ("deploy", 2602)]
    jump = found[2].jump
    assert jump and (jump.user, jump.port) == ("deploy", 2602)


def test_connect_timeout_none_is_the_default() -> None:
    """ConnectTimeout none does not wait for ever."""
    assert bare(resolve("web1", config("ConnectTimeout none"))) == plain("web1")


def test_include() -> None:
    """Include passes over dot files and directories, stays inside its block, and leaves the block open."""
    own = Path.home() / "conf.d"
    (own / "directory").mkdir(parents=True)
    (own / "1").write_text("Host web1\n  Port 1001\nHost web2\n  Port 1002\n")
    (own / "2").write_text("User included\nPort 1\n")
    (own / ".2.swp").write_bytes(b"b0VIM 9.0\x00\xff nonsense\n")
    options = config(f"Host web*\n  Include {own}/*\n  HostName after\nInclude {own}/absent\n")
    expected = {"web1": (1001, "included", "after"), "web2": (1002, "included", "after")}
    found = {name: resolve(name, options) for name in expected}
    assert {name: (t.port, t.user, t.hostname) for name, t in found.items()} == expected
    assert bare(resolve("db1", options)) == plain("db1")


def test_match() -> None:
    """Match knows host, originalhost, user, localuser, exec, final, all, and their denials."""
    options = config(
        f"""
        Match originalhost web1 !user jo
            HostName real.example.org
        Match host real.* exec "test %h = real.example.org && touch {Path.home()}/ran"
            Port 2222
        Match localuser !{ME} exec "touch {Path.home()}/never"
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
    expected = replace(plain("web1"), user="jo", port=3333, family=socket.AF_INET)
    assert bare(resolve("jo@web1", options)) == expected
    assert {path.name for path in Path.home().iterdir()} == {".ssh", "config", "ran"}


def test_what_distributions_ship() -> None:
    """The system files of the large distributions are understood."""
    policy = Path.home() / "policy"
    policy.write_text(
        "Ciphers aes256-ctr\nMACs hmac-sha2-256-etm@openssh.com\n"
        "KexAlgorithms curve25519-sha256\nPubkeyAcceptedAlgorithms ssh-ed25519\n"
        "CASignatureAlgorithms ssh-ed25519\nRequiredRSASize 2048\n"
    )
    options = config(
        f"""
        IgnoreUnknown UseKeychain,GSSAPI*
        Match final all
            Include {policy}
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
    lists = ("Ciphers", "MACs", "KexAlgorithms", "PubkeyAcceptedAlgorithms")
    assert sorted(target.algorithms) == sorted(lists)
    assert replace(bare(target), algorithms={}) == replace(plain("web1"), hash_known_hosts=True, required_rsa_size=2048)


def test_the_users_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Match exec runs in the user's own shell, with the user's own environment."""
    monkeypatch.setenv("SHELL", shutil.which("bash") or "")
    monkeypatch.setenv("MINE", "here")
    assert resolve("web1", config('Match exec "[[ $MINE == here ]]"\n Port 2200')).port == 2200


def alive(pid: int) -> bool:
    """Whether a process has not come to its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_match_exec_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """ssh is given up at a deadline, and what hangs is ended with it."""
    monkeypatch.setattr("oroboros_deploy.ssh.openssh.DEADLINE", 0.5)
    pid = Path.home() / "pid"
    with pytest.raises(ConfigError, match=r"did not end within 0\.5 s") as caught:
        resolve("web1", config(f'Match exec "echo $$ >{pid}; exec sleep 600"\n Port 1'))
    assert (caught.value.exit_code, caught.value.hint) == (2, "look for a Match exec that hangs")
    assert eventually(lambda: not alive(int(pid.read_text())), within=10)


def test_what_a_match_exec_leaves_running_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Match exec that starts something in the background holds nobody up."""
    monkeypatch.setattr("oroboros_deploy.ssh.openssh.DEADLINE", 50.0)
    pid = Path.home() / "pid"
    try:
        assert resolve("web1", config(f'Match exec "sleep 60 & echo $! >{pid}"\n Port 2200')).port == 2200
    finally:
        os.kill(int(pid.read_text()), 9)


@pytest.mark.parametrize("text", ["CORP\\alice", '"CORP\\alice"', "CORP\\\\alice"])
def test_a_backslash_in_a_user_name(text: str) -> None:
    """A user of a domain is who ssh takes it for, however it is written."""
    assert resolve("web1", config(f"User {text}")).user == "CORP\\alice"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Match host=web1\n Port 2200", 2200),
        ("Port=2200", 2200),
        ("Port ssh", 22),
        ('Host "web1" other\n Port 2200', 2200),
    ],
)
def test_ways_to_write_it(text: str, expected: int) -> None:
    """Whatever ssh reads is read."""
    assert resolve("web1", config(text)).port == expected


def test_canonical_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CanonicalizeHostname the host is the one that ssh found out, and its blocks apply."""
    text = "CanonicalizeHostname yes\nCanonicalDomains invalid localdomain\nMatch canonical\n Port 2200"
    said = subprocess.run(["ssh", "-F", str(config(text).config_path), "-G", "localhost"], capture_output=True)
    target = resolve("localhost", config(text))
    assert f"hostname {target.hostname}\nport {target.port}\n" in said.stdout.decode()
    assert target.host == "localhost"


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
    """ProxyJump builds the chain, and the first hop decides for itself."""
    options = config(
        """
        Host web1
            ProxyJump jo@first:2201,second
        Host first
            HostName first.example.org
        Host second
            Port 2202
            ProxyCommand never used
        Host first
            ProxyJump outer
        """
    )
    target = resolve("web1", options)
    chain = []
    hop: Target | None = target
    while hop:
        chain.append((hop.hostname, hop.user, hop.port, hop.proxy_command))
        hop = hop.jump
    assert chain == [
        ("web1", ME, 22, None),
        ("second", ME, 2202, None),
        ("first.example.org", "jo", 2201, None),
        ("outer", ME, 22, None),
    ]
    assert bare(resolve("outer", options)) == plain("outer")


def test_the_first_of_jump_and_proxy_command_wins() -> None:
    """ProxyJump none before a ProxyCommand means to connect directly."""
    options = config("ProxyJump none\nProxyCommand nc")
    said = subprocess.run(["ssh", "-F", str(options.config_path), "-G", "web1"], capture_output=True).stdout
    # ssh prints the command, and this says which of the two it goes by.
    assert bool(resolve("web1", options).proxy_command) == (b"proxycommand nc" in said)
    assert resolve("web1", config("ProxyCommand nc %h %p\nProxyJump other")).jump is None


def test_a_loop_of_jumps() -> None:
    """Hosts that jump through each other are an error."""
    with pytest.raises(ConfigError) as caught:
        resolve("a", config("Host a\nProxyJump b\nHost b\nProxyJump a"))
    named = re.fullmatch("ProxyJump leads through more than 8 hosts, ([ab]) among them", caught.value.message)
    assert named
    assert caught.value.hint == f"ssh -G {named[1]}  shows its ProxyJump; look for hosts that jump through each other"


def test_a_host_that_jumps_through_itself() -> None:
    """What ssh itself refuses is told in its words."""
    with pytest.raises(ConfigError, match="jumphost loop via outer"):
        resolve("web1", config("Host *\n ProxyJump outer"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("BindAddress 10.0.0.1", "not supported"),
        ("BindInterface eth0", "not supported"),
        ("KnownHostsCommand /bin/true", "not supported"),
        ("RevokedHostKeys /r", "not supported"),
        ("VerifyHostKeyDNS yes", "not supported"),
        ("RemoteCommand id", "not supported"),
        ("PKCS11Provider /lib/x", "not supported"),
        ("HostbasedAuthentication yes", "not supported"),
        ("NoHostAuthenticationForLocalhost yes", "not supported"),
        ("ProxyJump a,b;c", "is not a host"),
        ("ProxyJump -oProxyCommand=x", "is not a host"),
    ],
)
def test_refusals(line: str, problem: str) -> None:
    """What cannot be followed is refused by name, but only for the hosts it applies to."""
    options = config(f"Host web1\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        resolve("web1", options)
    assert str(caught.value).startswith(f"web1: ssh_config: {line.split()[0]} ")
    assert problem in caught.value.message
    assert bare(resolve("db1", options)) == plain("db1")


@pytest.mark.parametrize(
    "line",
    [
        *("VerifyHostKeyDNS no", "CertificateFile none", "CanonicalizeHostname no", "KnownHostsCommand none"),
        *(
            "IgnoreUnknown Fut*,x\nFutureThing yes",
            "EscapeChar none",
            "SendEnv A",
            "LocalForward 80 a:80",
            "Tunnel yes",
        ),
    ],
)
def test_harmless_settings(line: str) -> None:
    """What asks for what happens anyway, or has no meaning here, is accepted."""
    assert bare(resolve("web1", config(line))) == plain("web1")


@pytest.mark.parametrize(
    "line",
    [
        *("Port", "Host", "!", 'User "open', "ProxyCommand ", "Port nine", "StrictHostKeyChecking maybe"),
        *("PasswordAuthentication perhaps", "ConnectTimeout soon", "AddressFamily ipx", "FutureSetting yes"),
        *("UserKnownHostsFile ~nosuchuser/x", "UserKnownHostsFile ${NOT_THERE}/x", "Include {file}"),
    ],
)
def test_what_ssh_refuses(line: str) -> None:
    """A file that ssh does not take is an error with ssh's own words, without control characters."""
    file = Path.home() / "config"
    options = config("\n" + line.replace("{file}", str(file)))
    said = subprocess.run(["ssh", "-F", str(file), "-TG", "web1"], capture_output=True, text=True)
    assert said.returncode != 0
    with pytest.raises(ConfigError) as caught:
        resolve("web1", options)
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith("ssh refuses its configuration: ")
    assert said.stderr.splitlines()[-1].strip() in caught.value.message
    assert caught.value.message.isprintable()


def test_missing_file() -> None:
    """A file given by name must exist."""
    with pytest.raises(ConfigError, match="/no/such: No such file"):
        resolve("web1", SshOptions(config_path="/no/such"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("IdentityFile ~/%Z", "%Z in '~/%Z' is not a token"),
        (
            "IdentityFile ${NOT_THERE}/x",
            "ssh_config: '${NOT_THERE}/x' names the environment variable NOT_THERE, which is not set",
        ),
        ("IdentityFile ~nosuchuser/x", "there is no user nosuchuser"),
        ("ProxyCommand nc %Z", "%Z in 'nc %Z' is not a token"),
    ],
)
def test_what_cannot_be_expanded(line: str, problem: str) -> None:
    """A %-token, a variable or a user that does not exist is an error, not an empty string or a traceback."""
    os.environ.pop("NOT_THERE", None)
    with pytest.raises(ConfigError) as caught:
        resolve("web1", config(line))
    assert problem in caught.value.message


@pytest.mark.slow
def test_one_process_a_host(tmp_path: Path) -> None:
    """Asking for a hundred hosts at once starts a hundred ssh and one for what is usual; a jump host one more."""
    count = tmp_path / "count"
    (tmp_path / "ssh").write_text(f'#!/bin/sh\necho >>{count}\nexec {shutil.which("ssh")} "$@"\n')
    (tmp_path / "ssh").chmod(0o755)
    (tmp_path / "config").write_text("Host behind\n ProxyJump bastion\n")
    code = """if True:
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from oroboros_deploy.ssh import SshOptions, resolve
        options = SshOptions(sys.argv[1])
        with ThreadPoolExecutor(100) as pool:
            found = list(pool.map(lambda name: resolve(name, options).hostname, [f"web{n}" for n in range(100)]))
        assert found == [f"web{n}" for n in range(100)]
        assert resolve("behind", options).jump.host == "bastion"
    """
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "config")], env=path, check=True)
    assert len(count.read_text().splitlines()) == 100 + 1 + 2
