"""The demo: two good releases, a broken one and a broken configuration that undo themselves, a rollback, an upload.

    python examples/demo.py --booted | --here

``prepare.py`` has found out what this machine can; ``fab`` is the one beside the interpreter. Exits 1 as soon as
something is not as promised.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Protocol

from application import SOURCE, UNITS, Application, fabric_yaml
from disposable_host import DisposableHost, HostError, cache_directory, ensure_image
from here import Here, HereError
from user_units import HereWithUnits, end_with_units, refused

PREFIX = "oroboros-demo-"
UPLOAD = "It is still here."
BREAK = 's/values: {/&UPLOAD_LIMIT: "1 MB", /'


class Host(Protocol):
    """Where the demo plays."""

    ssh_config: Path
    root: str
    unit: str  # of the API, its path in the commit; empty where no unit runs it
    installed: str  # the same on the host

    @property
    def files(self) -> Mapping[str, str]:
        """Files that the application has there instead of its own."""

    @property
    def told(self) -> str:
        """What is said of the host."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The variables that fab needs for it."""

    def get(self, path: str) -> tuple[str, str]:
        """A command that asks the application, and what the application answers."""

    def put(self, path: str, content: str, key: str) -> tuple[str, str]:
        """A command that sends the application a file, and what the application answers."""

    def look(self, *argv: str) -> str:
        """What a command says on the host."""


class Booted(DisposableHost):
    """A host of its own, on which an administrator made a login, its deploy root and its two rules of sudo."""

    root = "/srv/oroboros"
    unit = f"{UNITS}/ouroboros-api.service"
    installed = "/etc/systemd/system/ouroboros-api.service"
    settings: Mapping[str, str] = MappingProxyType({})

    def __enter__(self) -> Booted:
        super().__enter__()
        return self

    @property
    def files(self) -> Mapping[str, str]:
        """The example's settings, with this host's port."""
        return {"fabric.yaml": fabric_yaml(self)}

    @property
    def told(self) -> str:
        """What the demo says of this host."""
        return f"a host booted: Debian 12, its sshd on 127.0.0.1:{self.port}"

    def get(self, path: str) -> tuple[str, str]:
        """Ask through the front door."""
        url = f"http://127.0.0.1:{self.http_port}/api/{path}"
        return f"curl {url}", self.run("curl", "--silent", "--show-error", "--fail", url).stdout

    def put(self, path: str, content: str, key: str) -> tuple[str, str]:
        """Send through the front door; the key is no argument of a process."""
        url = f"http://127.0.0.1:{self.http_port}/api/{path}"
        send = ["curl", "--silent", "--show-error", "--fail", "--request", "PUT", "--data-binary", content, url]
        answer = self.run(*send, "--header", "@-", stdin=f"Authorization: Bearer {key}\n").stdout
        return f'curl --request PUT --header "Authorization: Bearer $UPLOAD_KEY" --data "{content}" {url}', answer

    def look(self, *argv: str) -> str:
        """Run a command on the host."""
        return self.run(*argv).stdout.strip()


class Surprise(Exception):
    """Something was not as the demo promised."""


class Demo:
    """The application's repository on this machine, the host, and what a person would type between them."""

    def __init__(self, host: Host, scratch: Path) -> None:
        self.host = host
        self.app = Application(scratch / "ouroboros", host.files)
        self.key = secrets.token_hex(16)
        self.environment = {**_environment(host, scratch), "UPLOAD_KEY": self.key}

    def play(self) -> None:
        """Deploy twice, fail twice, roll back, and look at the records."""
        v1, v2 = self.app.commit("The first turn."), self.app.commit("The second turn.", self.more_threads())
        v3 = self.app.break_api()
        first, second = ("The first turn.", 4), ("The second turn.", 8 if self.host.unit else 4)
        say("v1: the first deploy builds everything on the host")
        self.fab("-H", "demo", "deploy", f"--sha={v1}")
        self.upload()
        self.serves(v1, *first)
        say("v2: a visible change" + (", and a unit that starts the API with 8 threads" if self.host.unit else ""))
        self.fab("-H", "demo", "deploy", f"--sha={v2}")
        self.serves(v2, *second)
        say("v3: its API exits as soon as it starts, so the host goes back to v2 by itself")
        self.fab("-H", "demo", "deploy", f"--sha={v3}", exits=10)
        self.serves(v2, *second)
        say("a configuration that the API cannot read, so the host goes back to the one before by itself")
        self.push_what_breaks()
        self.serves(v2, *second)
        say("rollback to v1, with what came with it; where it runs is in the registry")
        self.fab("rollback", f"--release={v1}")
        self.serves(v1, *first)
        say("what the host says, and what the registry remembers")
        self.fab("-H", "demo", "status")
        self.remembers({v1: "rolled_back", v2: "replaced_by_rollback", v3: "deploy_failed"})

    def fab(self, *argv: str, exits: int = 0) -> None:
        """Run fab as typed, and expect its exit code."""
        say("$ fab " + " ".join(argv))
        started = time.monotonic()
        code = subprocess.run(["fab", *argv], cwd=self.app.path, env=self.environment).returncode
        say(f"(exit {code}, {time.monotonic() - started:.1f} s)")
        expect("the exit code", code, exits)

    def more_threads(self) -> dict[str, str]:
        """The API's unit with other arguments, where a unit runs it."""
        if not self.host.unit:
            return {}
        text = self.host.files.get(self.host.unit) or (SOURCE / self.host.unit).read_text()
        return {self.host.unit: text.replace("--threads=4", "--threads=8")}

    def upload(self) -> None:
        """Send the application a file."""
        say("an upload, which has to be there after all that follows")
        command, answer = self.host.put("uploads/note.txt", UPLOAD, self.key)
        say(f"$ {command}\n{answer}")
        expect("the answer to the upload", json.loads(answer), {"detail": "201 Created"})

    def push_what_breaks(self) -> None:
        """Push a value that the API cannot read; the host has to name the configuration that it had before."""
        before = self.host.look("readlink", f"{self.host.root}/env")
        self.type("sed", "-i", BREAK, "fabric.yaml")
        self.fab("-H", "demo", "env.push", exits=10)
        self.type("git", "checkout", "--quiet", "fabric.yaml")
        expect("the configuration in use", self.look("readlink", f"{self.host.root}/env"), before)

    def serves(self, commit: str, greeting: str, threads: int) -> None:
        """Ask the application which commit it runs, how, and with which files; and the host which unit it has."""
        health = {"status": "ok", "commit": commit, "threads": threads, "upload_limit": 1000000}
        expect("the health of the application", json.loads(self.ask("health")), health)
        expect("the greeting", json.loads(self.ask("greeting")), {"greeting": greeting})
        expect("the upload", self.ask("uploads/note.txt"), UPLOAD)
        if self.host.unit:
            start = f"ExecStart={self.host.root}/current/backend/.venv/bin/ouroboros-api --threads={threads}"
            expect("the unit", self.look("grep", "^ExecStart", self.host.installed), start)

    def ask(self, path: str) -> str:
        """Get one answer from the API."""
        command, answer = self.host.get(path)
        say(f"$ {command}\n{answer}")
        return answer

    def look(self, *argv: str) -> str:
        """Ask the host itself."""
        answer = self.host.look(*argv)
        say(f"demo$ {shlex.join(argv)}\n{answer}")
        return answer

    def type(self, *argv: str) -> None:
        """Run what a person types beside fab, in the repository."""
        say(f"$ {shlex.join(argv)}")
        subprocess.run(argv, cwd=self.app.path, check=True)

    def remembers(self, statuses: dict[str, str]) -> None:
        """List the registry and compare every release's status."""
        say("$ fab registry.list")
        done = subprocess.run(
            ["fab", "registry.list"], cwd=self.app.path, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        say(done.stdout.rstrip())
        expect("the exit code", done.returncode, 0)
        expect("the registry", {row["release_id"]: row["status"] for row in json.loads(done.stdout)}, statuses)


def main() -> int:
    """Play the demo on the host that was asked for; 0 when everything was as promised."""
    started = time.monotonic()
    booted = sys.argv[1:] != ["--here"]
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _end)
    try:
        with scratch_directory() as scratch, host_in(scratch, booted) as host:
            say(host.told)
            Demo(host, scratch).play()
    except (HostError, HereError, Surprise) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"all as promised, in {time.monotonic() - started:.0f} s")
    if booted:
        say(f"the host is gone; its image stays in {cache_directory()} for the next time, and may be deleted")
    return 0


def _end(number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C ends: what was begun is cleaned up, once."""
    for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    sys.exit(128 + number)


@contextmanager
def host_in(scratch: Path, booted: bool) -> Iterator[Host]:
    """The host, up inside the block."""
    if booted:
        with Booted("demo", ensure_image(say)) as host:
            yield host
    else:
        with (Here if refused() else HereWithUnits)(scratch) as here:
            yield here


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory of our own that programs may be run from; those of demos that were killed go first."""
    place = _place()
    for left in place.glob(f"{PREFIX}*/owner"):
        with left.open("a") as owner:
            if _taken(owner.fileno()):
                end_with_units(left.parent)
                _remove(left.parent)
    scratch = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        with (scratch / "owner").open("a") as owner:
            _taken(owner.fileno())
            yield scratch
    finally:
        _remove(scratch)


def _remove(directory: Path) -> None:
    """Remove a directory with the releases in it, which nobody may write to."""
    for place, _, _ in os.walk(directory):
        with suppress(OSError):  # somebody else's
            os.chmod(place, 0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _taken(file: int) -> bool:
    """Take the lock that tells a living owner; False while another demo has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _place() -> Path:
    """The usual place for temporary files, or the cache where that one does not let programs run."""
    usual = Path(tempfile.gettempdir())
    if os.statvfs(usual).f_flag & os.ST_NOEXEC:
        return Path(sys.executable).parents[2]
    return usual


def say(line: str) -> None:
    """Print at once: fab writes to the same terminal."""
    print(line, flush=True)


def expect(what: str, found: object, wanted: object) -> None:
    """Raise Surprise unless what was found is what was promised."""
    if found != wanted:
        raise Surprise(f"{what} is {found!r}, expected {wanted!r}")


def _environment(host: Host, scratch: Path) -> dict[str, str]:
    """A home whose settings name the host's ssh_config, a registry of its own, and no setting of whoever runs this."""
    home = scratch / "home"
    home.mkdir(parents=True)
    (home / ".fabric.yaml").write_text(f"ssh_config_path: {host.ssh_config}\n")  # ssh reads no other home
    inherited = {name: os.environ[name] for name in ("LANG", "TERM", "CI", "NO_COLOR") if name in os.environ}
    return {
        **inherited,
        **host.settings,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "DEPLOY_REGISTRY_URL": f"sqlite:///{scratch}/registry.db",
    }


if __name__ == "__main__":
    sys.exit(main())
