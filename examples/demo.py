"""The demo: a real host, a good release, a better one, a broken one that undoes itself, and a rollback.

Needs Linux and root; ``fab`` is the one beside the interpreter. Exits 1 as soon as something is not as promised.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from application import Application, install_application
from disposable_host import DisposableHost, HostError, cache_directory, ensure_image, missing

INSTEAD = """\
Without them you can still try it on a host of yours, or on this machine with no root at all:
  1. start an unprivileged sshd of your own on a high port, and give it a name in ~/.ssh/config (say `here`);
  2. in a git repository with a fabfile.py (`from oroboros_deploy.tasks import ns as ns`) and a fabric.yaml, run
       DEPLOY_ROOT=$HOME/oroboros DEPLOY_SKIP_SERVICE_RESTART=1 DEPLOY_HEALTHCHECK_CMD=true \\
       fab -H here deploy --sha=HEAD
     It builds, seals and switches for real; only the services are left out."""


class Surprise(Exception):
    """Something was not as the demo promised."""


class Demo:
    """The application's repository on this machine, the host, and what a person would type between them."""

    def __init__(self, host: DisposableHost, scratch: Path) -> None:
        self.host = host
        self.app = Application(scratch / "ouroboros")
        self.environment = _environment(host, scratch)

    def play(self) -> None:
        """Deploy twice, fail once, roll back, and look at the records."""
        v1, v2, v3 = self.app.commit("The first turn."), self.app.commit("The second turn."), self.app.break_api()
        say("v1: the first deploy builds everything on the host")
        self.fab("-H", "demo", "deploy", f"--sha={v1}")
        self.serves(v1, "The first turn.")
        say("v2: a visible change")
        self.fab("-H", "demo", "deploy", f"--sha={v2}")
        self.serves(v2, "The second turn.")
        say("v3: its API exits as soon as it starts, so the host goes back to v2 by itself")
        self.fab("-H", "demo", "deploy", f"--sha={v3}", exits=10)
        self.serves(v2, "The second turn.")
        say("rollback to v1; where it runs is in the registry")
        self.fab("rollback", f"--release={v1}")
        self.serves(v1, "The first turn.")
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

    def serves(self, commit: str, greeting: str) -> None:
        """Ask the application, through its front door, which commit it runs and how it greets."""
        expect("the commit that serves", self.ask("health")["commit"], commit)
        expect("the greeting", self.ask("greeting")["greeting"], greeting)

    def ask(self, path: str) -> dict[str, str]:
        """Get one JSON object from the API."""
        url = f"http://127.0.0.1:{self.host.http_port}/api/{path}"
        answer = self.host.run("curl", "--silent", "--show-error", "--fail", url).stdout
        say(f"$ curl {url}\n{answer}")
        return dict(json.loads(answer))

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
    """Play the demo on a host of its own; 0 when everything was as promised, 2 when this machine cannot."""
    if lacks := missing():
        print("This machine cannot boot the demo's host; it lacks", *lacks, sep="\n  - ")
        print(INSTEAD)
        return 2
    started = time.monotonic()
    try:
        image = ensure_image(say)
        with tempfile.TemporaryDirectory(prefix="oroboros-demo-") as scratch, DisposableHost("demo", image) as host:
            say(f"a host booted: Debian 12, its sshd on 127.0.0.1:{host.port}")
            install_application(host)
            Demo(host, Path(scratch)).play()
    except (HostError, Surprise) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"all as promised, in {time.monotonic() - started:.0f} s")
    say(f"the host is gone; its image stays in {cache_directory()} for the next time, and may be deleted")
    return 0


def say(line: str) -> None:
    """Print at once: fab writes to the same terminal."""
    print(line, flush=True)


def expect(what: str, found: object, wanted: object) -> None:
    """Raise Surprise unless what was found is what was promised."""
    if found != wanted:
        raise Surprise(f"{what} is {found!r}, expected {wanted!r}")


def _environment(host: DisposableHost, scratch: Path) -> dict[str, str]:
    """A home whose settings name the host's ssh_config, a registry of its own, and no setting of whoever runs this."""
    home = scratch / "home"
    home.mkdir(parents=True)
    (home / ".fabric.yaml").write_text(f"ssh_config_path: {host.ssh_config}\n")  # ssh reads no other home
    inherited = {name: os.environ[name] for name in ("LANG", "TERM", "CI", "NO_COLOR") if name in os.environ}
    return inherited | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "DEPLOY_REGISTRY_URL": f"sqlite:///{scratch}/registry.db",
    }


if __name__ == "__main__":
    sys.exit(main())
