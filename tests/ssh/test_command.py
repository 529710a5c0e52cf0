"""Commands on a real server: bytes, statuses, limits, and what is left behind."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oroboros_deploy.errors import DeployError, HostUnreachable, InvalidInput, LinkLost
from oroboros_deploy.ssh import Command, HostConnection, SshOptions, connect
from oroboros_deploy.ssh.command import shell_line
from tests.support.clock import SLOW, within
from tests.support.logins import refusing
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow

MUCH_SOONER = 20.0  # seconds: a slow machine needs fewer, and what would be waited for without the limit takes 30


def output(command: Command) -> bytes:
    return b"\n".join(command.lines())


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_output_status_and_stderr(host: HostConnection) -> None:
    """A command's lines, exit status and standard error arrive apart."""
    with host.command("echo one; echo two; echo three >&2; exit 3", deadline=10) as command:
        assert list(command.lines()) == [b"one", b"two"]
        assert (command.wait(), command.stderr) == (3, b"three\n")


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ("printf ''", []),
        ("printf 'a\\n'", [b"a"]),
        ("printf 'a'", [b"a"]),
        ("printf '\\n\\na\\n\\n'", [b"", b"", b"a", b""]),
        ("printf 'a\\r\\n\\000\\377'", [b"a\r", b"\x00\xff"]),
        ("printf '\\303'; sleep 0.05; printf '\\251\\n'", ["é".encode()]),
    ],
)
def test_lines(script: str, lines: list[bytes], host: HostConnection) -> None:
    """Lines are cut at newlines only, and the rest after the last one counts."""
    with host.command(script, deadline=10) as command:
        assert list(command.lines()) == lines


def test_every_byte_survives_both_ways(host: HostConnection) -> None:
    """A megabyte of every byte value comes back as it was sent."""
    data = bytes(range(256)) * 4096
    with host.command("cat", deadline=20) as command:
        writer = threading.Thread(target=lambda: (command.write(data), command.close_stdin()))
        writer.start()
        assert output(command) == data
        writer.join()
        assert command.wait() == 0


def test_input_larger_than_every_window(host: HostConnection) -> None:
    """Five megabytes of input arrive whole at a slow reader."""
    with host.command("sleep 0.2; wc -c", deadline=20) as command:
        command.write(b"x" * 5_000_000)
        command.close_stdin()
        assert (output(command), command.wait()) == (b"5000000\n"[:-1], 0)


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 1", 1), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("nonesuch", 127)],
)
def test_statuses(script: str, status: int, host: HostConnection) -> None:
    """The exit status is the command's, or 128 plus the signal that killed it."""
    with host.command(script, deadline=10) as command:
        assert command.wait() == status


def test_a_flood_on_stderr_blocks_nothing(host: HostConnection) -> None:
    """Ten megabytes of standard error pass while standard output is read slowly; the end is kept."""
    script = "echo begin; yes error | head -c 10000000 >&2; echo last >&2; echo end"
    with host.command(script, deadline=30) as command:
        lines = command.lines()
        assert next(lines) == b"begin"
        assert eventually(lambda: command.stderr.endswith(b"last\n"))
        assert list(lines) == [b"end"]
        assert command.wait() == 0
        assert (len(command.stderr), command.stderr[-5:]) == (65536, b"last\n")


def test_stderr_is_complete_after_wait(host: HostConnection) -> None:
    """When the exit status is known, so is all of standard error."""
    for _ in range(20):
        with host.command("head -c 60000 /dev/zero >&2", deadline=10) as command:
            assert command.wait() == 0
            assert len(command.stderr) == 60000


def test_much_output_is_cheap(host: HostConnection) -> None:
    """Thirty megabytes in ordinary lines cost far less than a second of processor time."""
    before = time.process_time()
    with host.command("yes 'a line of forty characters, more or less' | head -n 700000", deadline=60) as command:
        assert sum(1 for _ in command.lines()) == 700_000
        assert command.wait() == 0
    assert time.process_time() - before < 1 * SLOW


def test_a_line_without_end_is_an_error(host: HostConnection) -> None:
    """A line beyond four megabytes is refused, not collected."""
    with host.command("head -c 4000000 /dev/zero", deadline=30) as command:
        assert len(output(command)) == 4_000_000
    with host.command("cat /dev/zero", deadline=30) as command, pytest.raises(DeployError, match="longer than"):
        output(command)


def test_deadline(host: HostConnection, sshd: Sshd) -> None:
    """When the deadline is over the command is killed and LinkLost says so."""
    with host.command("echo $$; exec sleep 60", deadline=60) as command:
        pid = int(next(command.lines()))
        command.extend(0.1)
        with within(10), pytest.raises(LinkLost) as caught:
            command.wait()
    assert caught.value.message == "the command was still running after 0.1 s and was stopped"
    assert caught.value.hint == "see what the host did: fab -H box status"
    assert not alive(pid)


def test_deadline_of_a_command_that_never_pauses(host: HostConnection) -> None:
    """A stream without end meets its deadline too."""
    with host.command("yes", deadline=0.6) as command, pytest.raises(LinkLost, match=r"0\.6 s"):
        for _ in command.lines():
            pass


def test_deadline_of_a_write(host: HostConnection) -> None:
    """Writing to a command that does not read ends at the deadline."""
    with host.command("sleep 60", deadline=0.6) as command, pytest.raises(LinkLost, match=r"0\.6 s"):
        command.write(bytes(10_000_000))


def test_deadline_of_many_small_writes(host: HostConnection) -> None:
    """Input that is taken as fast as it is sent meets the deadline too."""
    with host.command("cat >/dev/null", deadline=0.6) as command, pytest.raises(LinkLost, match=r"0\.6 s"):
        while True:
            command.write(b"x")


@pytest.mark.slow
def test_silence(host: HostConnection) -> None:
    """Silence counts from the last byte on either stream, and not while the caller is busy."""
    with host.command("echo a; sleep 60", deadline=30, silence=0.6) as command:
        lines = command.lines()
        assert next(lines) == b"a"
        time.sleep(0.8)
        before = time.monotonic()
        with pytest.raises(LinkLost, match=r"nothing was heard from the command for 0\.6 s"):
            next(lines)
        assert time.monotonic() - before > 0.5
    with host.command("for i in 1 2 3 4 5 6 7 8; do sleep 0.3; echo $i >&2; done", deadline=30, silence=2) as command:
        assert command.wait() == 0


@contextmanager
def stalled(sshd: Sshd) -> Iterator[None]:
    sshd.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        sshd.signal(signal.SIGCONT)


@pytest.mark.slow
def test_a_stalled_session(sshd: Sshd) -> None:
    """A server that stops in the middle is noticed by the silence limit."""
    with connect("box", SshOptions(config_path=sshd.config_path)) as host:
        command = host.command("echo a; sleep 5", deadline=30, silence=0.5)
        lines = command.lines()
        next(lines)
        with within(10), stalled(sshd), pytest.raises(LinkLost, match="nothing was heard"):
            next(lines)


def test_a_stalled_start(sshd: Sshd) -> None:
    """A server that never answers the request for a command is given up at the limit."""
    with connect("box", SshOptions(config_path=sshd.config_path)) as host, stalled(sshd):
        with within(10), pytest.raises(LinkLost, match="the host stopped answering"):
            host.command("true", deadline=30, silence=0.5)
        with pytest.raises(LinkLost, match="the connection is closed"):
            host.command("true", deadline=30)


@pytest.mark.parametrize("script", ["sleep 60", "yes", "cat"])
def test_a_lost_connection(script: str, sshd: Sshd) -> None:
    """A connection that dies is LinkLost at once, never a status, and is not opened again."""
    with connect("box", SshOptions(config_path=sshd.config_path)) as host:
        command = host.command(script, deadline=30)
        killer = threading.Timer(0.2, sshd.signal, (signal.SIGKILL,))
        killer.start()
        before = time.monotonic()
        with pytest.raises(LinkLost, match="connection was lost"):
            if script == "cat":
                while True:
                    command.write(b"x")
            for _ in command.lines():
                pass
        with pytest.raises(LinkLost):
            command.wait()
        assert time.monotonic() - before < MUCH_SOONER
        killer.join()


def test_leaving_the_block_kills(host: HostConnection) -> None:
    """A command that still runs at the end of its block is gone, with its children."""
    with host.command("sleep 60 & echo $! $$; wait", deadline=30) as command:
        pids = [int(word) for word in next(command.lines()).split()]
        assert all(alive(pid) for pid in pids)
    assert eventually(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.slow
def test_children_that_ignore_term(host: HostConnection) -> None:
    """What a killed command leaves in its process group is killed after it."""
    script = "(trap '' TERM; while :; do sleep 0.1; done) & echo $!; wait"
    with host.command(script, deadline=30) as command:
        pid = int(next(command.lines()))
    assert eventually(lambda: not alive(pid))


@pytest.mark.slow
def test_kill_insists(host: HostConnection) -> None:
    """A command that ignores TERM is killed after two seconds; killing twice is fine."""
    with host.command("trap '' TERM; echo $$; while :; do sleep 0.1; done", deadline=30) as command:
        pid = int(next(command.lines()))
        before = time.monotonic()
        command.kill()
        command.kill()
    assert 1.9 < time.monotonic() - before < MUCH_SOONER
    assert eventually(lambda: not alive(pid))


def test_a_command_that_ended_drops_its_input(host: HostConnection) -> None:
    """Writing to a command that has ended is no error: its status tells."""
    with host.command("echo no >&2; exit 7", deadline=30) as command:
        command.write(bytes(20_000_000))
        command.close_stdin()
        assert (command.wait(), command.stderr) == (7, b"no\n")


def test_commands_in_parallel(host: HostConnection, tmp_path: Path) -> None:
    """One connection carries several commands at once: each ends when all have begun."""
    wait = f"while [ $(ls {tmp_path} | wc -l) -lt 4 ]; do sleep 0.01; done"
    scripts = [f"mkdir {tmp_path}/{number}; {wait}; echo {number}" for number in range(4)]
    commands = [host.command(script, deadline=60) for script in scripts]
    assert [list(command.lines()) for command in commands] == [[b"0"], [b"1"], [b"2"], [b"3"]]
    for command in commands:
        with command:
            assert command.wait() == 0


def test_no_session_at_all(tmp_path: Path) -> None:
    """A server that allows none refuses the command by name, although the command was sent already."""
    with (
        Sshd(tmp_path / "none", settings="MaxSessions 0") as sshd,
        connect("box", SshOptions(config_path=sshd.config_path)) as host,
        pytest.raises(HostUnreachable, match="refused to run a command"),
    ):
        host.command("true", deadline=10)


@pytest.mark.parametrize("asked", ["for its output", "for its status", "to read"])
def test_a_command_that_the_server_does_not_run(asked: str) -> None:
    """It is a named error as soon as anything is wanted of the command, and no lost link."""
    with (
        refusing() as transport,
        pytest.raises(HostUnreachable, match="refused to run a command"),
        Command(transport, "true", host="box", deadline=10) as command,
    ):
        if asked == "to read":
            while True:
                command.write(b"x" * 100_000)
        command.wait() if asked == "for its status" else list(command.lines())


def test_too_many_sessions(tmp_path: Path) -> None:
    """A session the server refuses is a named error, and the connection stays usable."""
    with (
        Sshd(tmp_path / "few", settings="MaxSessions 1") as sshd,
        connect("box", SshOptions(config_path=sshd.config_path)) as host,
    ):
        with host.command("cat", deadline=10) as first:
            with pytest.raises(HostUnreachable, match="refused to run a command"):
                host.command("true", deadline=10)
            first.close_stdin()
            assert first.wait() == 0
        assert eventually(lambda: runs(host))


def runs(host: HostConnection) -> bool:
    try:
        with host.command("true", deadline=10) as command:
            return command.wait() == 0
    except HostUnreachable:
        return False


def test_ctrl_c_gets_through(sshd: Sshd, tmp_path: Path) -> None:
    """Ctrl-C ends the wait for a quiet command at once and takes the remote command along."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from oroboros_deploy.ssh import SshOptions, connect\n"
        "with connect('box', SshOptions(config_path=sys.argv[1])) as host:\n"
        "    with host.command('echo $$; exec sleep 60', deadline=60) as command:\n"
        "        for line in command.lines():\n"
        "            print(line.decode(), flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(program), sshd.config_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout
        pid = int(process.stdout.readline())
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
        assert time.monotonic() - before < MUCH_SOONER
    assert eventually(lambda: not alive(pid))


NASTY = r"""echo "it's" 'a' \\ "$(printf 'x\ty')" '!' `echo b` \' \\' \\\\'
printf '%s' "$0" {a,b} *.none ~ # é
"""


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "fish", "ksh", "mksh", "csh", "tcsh"])
def test_any_login_shell_hands_the_script_over(shell: str) -> None:
    """The quoted line means the same to every shell that may be a login shell."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    expected = subprocess.run(["/bin/sh", "-c", 'printf %s "$1"', "sh", NASTY], capture_output=True, check=True).stdout
    script = f"printf %s {shell_quote(NASTY)}"
    result = subprocess.run([shell, "-c", shell_line(script)], capture_output=True, check=True)
    assert result.stdout == expected


def shell_quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


@settings(max_examples=settings.default.max_examples * 3 // 5)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_any_text_travels(text: str) -> None:
    """Whatever a script holds reaches /bin/sh as it is, and in the quotes is nothing that a shell takes for its own."""
    line = shell_line(f"printf %s {shell_quote(text)}")
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout == text.encode()
    encoded = line.split("'")[3]
    assert line == f"""exec /bin/sh -c 'eval "$(printf %b "$0")"' '{encoded}'"""
    assert "\n" not in encoded and "!" not in encoded
    assert "\\" not in re.sub(r"\\0[0-7]{3}", "", encoded)


def test_scripts_that_cannot_travel(host: HostConnection) -> None:
    """A NUL byte or a script beyond the kernel's limit is refused before anything is sent."""
    for script in ("echo \0", "#" * 131_000):
        with pytest.raises(InvalidInput):
            host.command(script, deadline=10)
    with host.command(": " + "x" * 129_000, deadline=10) as command:
        assert command.wait() == 0
