"""What comes before the demo: which host it plays on, what that needs, and an environment with fab.

Runs on the machine's own Python with the standard library alone, and ends as ``demo.py`` in a virtual environment.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

import needs
import user_units
from needs import Needs

CHECKOUT = Path(__file__).resolve().parents[1]
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HERE = """\
it is its own host: an sshd of yours on 127.0.0.1, and no systemd. The releases, the configuration, the uploads, the
switch, the gate, the way back and the registry are real. Left out are the services and with them the unit that changes,
the frontend and the front door: the gate itself starts the API."""
HERE_WITH_UNITS = """\
it is its own host: an sshd of yours on 127.0.0.1, and your own service manager (systemctl --user), which runs the API
by a unit of the commit. Left out are the frontend, the front door and all that needs root."""


def main() -> int:
    """Choose the host, install what it needs, and become the demo; 2 when this machine lacks something."""
    way, need = _choose(_asked())
    fab = needs.for_fab()
    need = Needs([*need.unable, *fab.unable], {**need.tools, **fab.tools})
    if way and not need.unable and (not need.tools or _install(need)):
        return _become(_environment(), way)
    if way:
        _tell("The demo lacks", need)
    return 2


def _become(environment: Path | None, way: str) -> int:
    if environment is not None:
        python = str(environment / "bin/python")
        os.execv(python, [python, str(CHECKOUT / "examples/demo.py"), f"--{way}"])  # noqa: S606
    print("the demo failed: its virtual environment could not be made", file=sys.stderr)
    return 1


def _asked() -> str | None:
    parser = argparse.ArgumentParser(
        prog="sh examples/demo.sh", description="Deploy, fail, go back: on a host of its own."
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--booted", action="store_const", const="booted", dest="way", help="on a Debian booted for it")
    one.add_argument("--here", action="store_const", const="here", dest="way", help="on this machine, without root")
    return parser.parse_args().way  # type: ignore[no-any-return]


def _choose(asked: str | None) -> tuple[str, Needs]:
    """The way that is asked for, or the best that this machine can; empty when it can neither."""
    booting = needs.for_booting() if asked != "here" else Needs([], {})
    if asked != "here" and not booting.unable:
        return "booted", booting
    if booting.unable:
        print("This machine cannot boot the demo's host; it lacks", *booting.unable, sep="\n  - ")
    here = needs.for_here()
    if asked == "booted":
        return "", booting
    if here.unable:
        print(
            "Nor can it be its own host, for which it lacks"
            if booting.unable
            else "This machine cannot be its own host; it lacks"
        )
        print("  - " + "\n  - ".join(here.unable), flush=True)
        return "", here
    told = HERE if user_units.refused() else HERE_WITH_UNITS
    print("So" if booting.unable else "This machine is the host:", told, flush=True)
    return "here", here


def _install(need: Needs) -> bool:
    """Install Debian's packages for the tools that are missing; False when that is not ours to do."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print("installing with apt-get:", *need.packages, flush=True)
    # What is only needed by the demo should not start by itself on this machine.
    quiet = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    steps = (["update", "-qq"], ["install", "-qq", "--yes", "--no-install-recommends", *need.packages])
    return all(_run(["apt-get", *step], env=quiet, stdout=subprocess.DEVNULL) for step in steps)


def _tell(what: str, need: Needs) -> None:
    print(what, *need.lacks, sep="\n  - ", file=sys.stderr)
    if need.packages and shutil.which("apt-get"):
        print("  → apt-get install " + " ".join(need.packages) + "   (as root)", file=sys.stderr)


def _environment() -> Path | None:
    """A virtual environment with this checkout; made once for each checkout, Python and list of dependencies."""
    made_from = _key()
    place = _cache() / f"demo-{hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        note = place / "made-from"
        if note.is_file() and note.read_text() == made_from:
            return place
        if not _make(place):
            return None
        note.write_text(made_from)
    return place


def _make(place: Path) -> bool:
    print(f"installing oroboros_deploy into {place}", flush=True)
    pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = ([sys.executable, "-m", "venv", "--clear", str(place)], [*pip, "--editable", str(CHECKOUT)])
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return all(_run(step, signal.SIGTERM, env={**os.environ, "TMPDIR": scratch}) for step in steps)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _run(command: list[str], end: signal.Signals | None = None, **options: Any) -> bool:
    """Run a command that no signal reaches but by us; it has ended when we go on.

    A signal to us is passed on as ``end``; without one the command, which installs packages, comes to its own end.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        return process.wait() == 0
    except BaseException:
        if end:
            os.killpg(process.pid, end)
        process.wait()
        raise


def _stop(number: int, _frame: FrameType | None) -> None:
    """End once, and what was started with us."""
    for name in STOPPING:
        signal.signal(name, signal.SIG_IGN)
    sys.exit(128 + number)


def _key() -> str:
    files = [(CHECKOUT / name).read_text() for name in ("setup.cfg", "pyproject.toml")]
    return hashlib.sha256("\n".join([sys.version, sys.executable, *files]).encode()).hexdigest()


def _cache() -> Path:
    """Root's is where the host image is; everybody else has one of their own."""
    if chosen := os.environ.get("OROBOROS_CACHE"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/oroboros_deploy")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oroboros_deploy"


if __name__ == "__main__":
    for stopping in STOPPING:
        signal.signal(stopping, _stop)
    sys.exit(main())
