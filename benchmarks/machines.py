"""The first table of docs/machines.md, seen again: the demonstration and the tests in containers made for them.

    python benchmarks/machines.py [--only WORDS] [--places DIRECTORY] [-- OPTION...]

Needs root, podman and debootstrap.  What follows ``--`` is given to each `podman run` (a mirror of packages, say:
``-- --env=PIP_INDEX_URL=...``).  The commit that is checked out is tried.  What each command prints is in a file of
DIRECTORY (build/machines unless told); there the trees and the bundle stay, and podman keeps its images.  Prints the
rows of the table as they end; exits 1 when one ends otherwise than it should.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
SUITES = {12: "bookworm", 13: "trixie"}
INCLUDE = "--include=python3,git,ca-certificates"
HEAD = "| machine | command | ends with | exit | seconds | what is left |\n|---|---|---|---|---|---|"

DEMO = "sh examples/demo.sh"
BOOTED = f"{DEMO} --booted"
TWO = f"{DEMO} >/tmp/first 2>&1 & first=$!; {DEMO}; second=$?; wait $first && tail -n 1 /tmp/first && (exit $second)"
QUICK = 'sh tests/run.sh -q -n 2 -m "not slow and not host and not browser and not postgres" tests'
ALL = "sh tests/run.sh"
PLAYED, PASSED, LACKS = "all as promised", " passed", "→ apt-get install"

USUAL = ("--cap-add=MKNOD,NET_RAW,AUDIT_WRITE",)
NOBODY = ("--cap-drop=ALL", "--user=1000:1000", "--env=XDG_CACHE_HOME=/tmp/cache")  # its home is /
GROUPS = ("--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",)
RIGHTS = ("--privileged", "--cgroupns=private")
UNMOUNTED = ("--privileged",)  # the control groups of the container are not mounted in it

# In the container: its own clone, the command again and again, a line with the end of each, and what is left.
SCRIPT = """\
cache=${{XDG_CACHE_HOME:-$HOME/.cache}}/oroboros_deploy
places() {{ find /tmp /var/cache/oroboros_deploy "$cache" -mindepth 1 -maxdepth 1 2>/dev/null; }}
cd /tmp && git clone --quiet --config advice.detachedHead=false /checkout.bundle clone && cd clone || exit 99
before=$(places)
for run in $(seq {runs}); do
    began=$(date +%s)
    {command}
    echo "== $? $(($(date +%s) - began))"
done
echo "== left"
places | while read -r place; do
    echo "$before" | grep -qxF "$place" || echo "$place"
done
"""
CGROUP2 = """\
test -e /sys/fs/cgroup/cgroup.controllers || {
    mount -o remount,rw /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/unified &&
        mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
}
"""


@dataclass(frozen=True)
class Row:
    """One machine and one command, with the end that it should have in one of its last two lines."""

    machine: str
    command: str
    ends: str
    options: tuple[str, ...]
    code: int = 0
    runs: int = 1
    packages: bool = False  # those of tests/run.sh are installed
    ordinary: bool = False  # an ordinary user runs it
    tree: bool = False  # no overlay as root

    @property
    def script(self) -> str:
        """What runs in the container."""
        script = SCRIPT.format(runs=self.runs, command=self.command)
        if self.ordinary:
            become = "useradd --create-home --shell /bin/bash ordinary && HOME=/home/ordinary runuser -u ordinary --"
            return f"{become} sh -c {shlex.quote(script)}"
        return f"{CGROUP2}{script}" if self.options is RIGHTS else script


ROWS = (
    Row("container, root", DEMO, PLAYED, USUAL, runs=2),
    Row("container, uid 1000", DEMO, LACKS, NOBODY, code=2),
    Row("container, uid 1000, with packages", DEMO, PLAYED, NOBODY, runs=2, packages=True),
    Row("container, uid 1000, with packages, two at once", TWO, PLAYED, NOBODY, packages=True),
    Row("container, control groups writable, no right to mount", DEMO, PLAYED, GROUPS, runs=2),
    Row("container, an ordinary user, with packages", DEMO, PLAYED, USUAL, packages=True, ordinary=True),
    Row("privileged container, an overlay as root, without --cgroupns=private", DEMO, PLAYED, UNMOUNTED, runs=2),
    Row("all rights, no overlay, without --cgroupns=private", DEMO, PLAYED, UNMOUNTED, runs=2, tree=True),
    Row("privileged container, an overlay as root", BOOTED, PLAYED, RIGHTS, runs=2),
    Row("all rights, no overlay", BOOTED, PLAYED, RIGHTS, runs=2, tree=True),
    Row("container, root, with packages", QUICK, PASSED, USUAL, packages=True),
    Row("container, uid 1000, with packages", QUICK, PASSED, NOBODY, packages=True),
    Row("container, an ordinary user, with packages", QUICK, PASSED, USUAL, packages=True, ordinary=True),
    Row("all rights, no overlay", ALL, PASSED, RIGHTS, tree=True),
)


class Places:
    """Where trees, images and logs are, made when they are needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.bundle = directory / "checkout.bundle"
        _do("git", "-C", str(CHECKOUT), "bundle", "create", "--quiet", str(self.bundle), "HEAD")

    def tree(self, suite: str) -> Path:
        """A minimal Debian."""
        tree = self.directory / suite
        if not tree.is_dir():
            partial = tree.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            _do("debootstrap", "--variant=minbase", INCLUDE, suite, str(partial))
            partial.rename(tree)
        return tree

    def image(self, suite: str, *, packages: bool) -> str:
        """The same as an image, and one in which the packages of the tests are installed as well."""
        name = f"oroboros-machine-{suite}"
        if not _holds(name):
            _do("sh", "-ec", f"tar -C {shlex.quote(str(self.tree(suite)))} -c . | podman import - {name}")
        if packages and not _holds(f"{name}-packages"):
            install = "RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends"
            script = f"apt-get update -qq && {install} {packages_of_the_tests()}"
            _do("podman", "run", "--name", f"{name}-made", "--network=host", name, "sh", "-ec", script)
            _do("podman", "commit", "--quiet", f"{name}-made", f"{name}-packages")
            _do("podman", "rm", f"{name}-made")
        return f"{name}-packages" if packages else name


def packages_of_the_tests() -> str:
    """What tests/run.sh installs, in one line."""
    found = re.search(r'^packages="([^"]*)"', (CHECKOUT / "tests/run.sh").read_text(), re.MULTILINE)
    assert found, "tests/run.sh names no packages"
    return " ".join([*found[1].split(), "nodejs", "npm"])


def seen(row: Row, debian: int, places: Places, options: Sequence[str]) -> tuple[str, bool]:
    """The row of the table as it is now, and whether it is as it should be."""
    log = places.directory / f"debian-{debian}-{re.sub('[^a-z0-9]+', '-', f'{row.machine} {row.command}'.lower())}.log"
    run = ["podman", "run", "--rm", "--network=host", *row.options, *options]
    run += [f"--volume={places.bundle}:/checkout.bundle:ro", *_root(row, SUITES[debian], places)]
    with log.open("w") as output:
        subprocess.run([*run, "sh", "-c", row.script], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    lines = log.read_text(errors="replace").splitlines()
    ends = list(_ends(lines))
    last = ends[-1][0] if ends else lines[-2:]
    right = len(ends) == row.runs and all(code == row.code for _, code, _ in ends) and row.ends in "\n".join(last)
    told = next((line.strip() for line in reversed(last) if row.ends in line), "; ".join(last))
    left = ", ".join(lines[lines.index("== left") + 1 :]) if "== left" in lines else "?"
    codes, seconds = (", ".join(str(end[at]) for end in ends) for at in (1, 2))
    cells = (f"Debian {debian}, {row.machine}", f"`{row.command}`", told, codes, seconds, left)
    return f"| {' | '.join(cells)} |", right


def _root(row: Row, suite: str, places: Places) -> list[str]:
    """What the container has as its root."""
    if not row.tree:
        return [places.image(suite, packages=row.packages)]
    copy = places.directory / f"{suite}-copy"
    shutil.rmtree(copy, ignore_errors=True)
    _do("cp", "-a", str(places.tree(suite)), str(copy))
    return ["--rootfs", str(copy)]


def _ends(lines: list[str]) -> Iterator[tuple[list[str], int, int]]:
    """The last two lines of each command, its exit code and its seconds."""
    for at, line in enumerate(lines):
        if found := re.fullmatch(r"== (\d+) (\d+)", line):
            yield lines[max(0, at - 2) : at], int(found[1]), int(found[2])


def _holds(image: str) -> bool:
    return subprocess.run(["podman", "image", "exists", image]).returncode == 0


def _do(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def main() -> int:
    """Try each row on both Debians; 1 when one is not as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="rows whose Debian, machine or command has these words")
    parser.add_argument("--places", type=Path, default=CHECKOUT / "build/machines", help="for trees and logs")
    parser.add_argument("options", nargs="*", help="of podman run")
    given = parser.parse_args()
    places, wrong = Places(given.places.resolve()), 0
    print(HEAD, flush=True)
    for debian in SUITES:
        for row in ROWS:
            if given.only in f"Debian {debian}, {row.machine}: {row.command}":
                told, right = seen(row, debian, places, given.options)
                print(told if right else f"{told} **not as it should be**", flush=True)
                wrong += not right
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
