"""Releases of every kind, as target and as way back, in every phase: they are switched to and gone back to as any."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import launch, seal
from oroboros_deploy.host.state import TRANSITIONS
from tests.host.test_fault_table import ended
from tests.support.builds import wheel
from tests.support.faults import World
from tests.support.invariants import broken, untrue
from tests.support.rights import require_immutable

pytestmark = pytest.mark.slow

NAMES = ("of the row: source", "of the row: target")
ENDS = ("committed", "restored")
UV = Path(sys.executable).with_name("uv")


def plain(release: Path) -> None:
    """As it was sealed."""


def with_bytecode(release: Path) -> None:
    """A service of root's wrote bytecode into it."""
    (release / "__pycache__").mkdir()
    (release / "__pycache__/name.cpython-311.pyc").write_bytes(b"code")


def with_a_file_of_another_user(release: Path) -> None:
    """A service wrote what nobody else may read."""
    (release / "inbox").mkdir()
    (release / "inbox/one").write_text("a letter")
    (release / "inbox").chmod(0o700)
    if os.getuid() == 0:
        os.chown(release / "inbox/one", 65534, 65534)
        os.chown(release / "inbox", 65534, 65534)


def linked(release: Path) -> None:
    """uv put a package there by hard links from its store before the seal; and a file has a name elsewhere since."""
    store, other = release.parent.parent / "store", release.parent.parent / "other"
    other.mkdir()
    seal.unmake(release)
    into = ["--python", sys.executable, "--target", release / "lib", wheel(other, "dep", dep="made = 1\n")]
    quiet = ["--quiet", "--offline", "--no-index", "--no-config"]
    subprocess.run([UV, "pip", "install", *quiet, "--link-mode", "hardlink", "--cache-dir", store, *into], check=True)
    (stored,) = store.rglob("dep.py")
    assert stored.samefile(release / "lib/dep.py")
    seal.seal(release, seal.meta_now(release.name, "test"))
    assert (stored.stat().st_nlink, stored.stat().st_mode & 0o200) == (1, 0o200)
    os.link(release / "name", other / "name")


def immutable(release: Path) -> None:
    """A file of it can be changed and removed by nobody."""
    require_immutable(release.parent.parent)
    subprocess.run(["chattr", "+i", str(release / "name")], check=True)


def adopted(release: Path) -> None:
    """Another tool made it."""
    release.chmod(0o755)
    for name in seal.OURS:
        (release / name).unlink()
    (release / seal.META).write_text(f"commit_sha={release.name}\nbuilt_at_utc=2026-01-01T00:00:00Z\nbuild_host=a\n")


KINDS: dict[str, Callable[[Path], None]] = {
    act.__name__.replace("_", " "): act
    for act in (plain, with_bytecode, with_a_file_of_another_user, linked, immutable, adopted)
}
ROWS = [
    pytest.param(kind, side, phase, boots, id=f"{kind}-{side}-{phase}{'-boots' if boots else ''}")
    for kind in KINDS
    for side in ("target", "way back")
    for phase in TRANSITIONS
    if phase != "restore_failed"
    for boots in ((False,) if phase in ENDS else (False, True))
]


@pytest.fixture(autouse=True)
def _removed(world: World) -> Iterator[None]:
    yield
    for path in world.host.paths.releases.iterdir():
        name = path / "name"
        if name.exists() and name.read_text() in NAMES:
            subprocess.run(["chattr", "-i", str(name)], capture_output=True)
            seal.remove(path)


@pytest.mark.parametrize(("kind", "side", "phase", "boots"), ROWS)
def test_a_release_of_this_kind(
    world: World, kind: str, side: str, phase: str, boots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undisturbed or killed in a phase, recovered or booted again: the end is as with any other release."""
    good = phase not in ("restoring", "restored")
    source, target = NAMES
    old = world.host.sealed(source, health="good", migration="good")
    launch.run(world.host.paths, world.request(old))
    new = world.host.sealed(target, health="good" if good else "bad", migration="good")
    KINDS[kind](world.host.paths.release(new if side == "target" else old))
    request = world.request(new)
    if phase in ENDS:
        launch.run(world.host.paths, request)
    else:
        world.die_in(request, phase)
    if boots:
        world.lose_power(monkeypatch)
        launch.after_boot(world.host.paths, request)
        world.services.start()
    launch.recover(world.host.paths, request)
    assert ended(world, request) == ("committed" if phase in ("gated", "committed") else "restored")
    assert untrue(world.host.root, request["attempt"], world.services.running) == []
    assert broken(world.host.root, serving=world.services.running) == []
