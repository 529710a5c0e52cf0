"""The doctor call: all that a deploy would stop at or stumble over on this host; it changes nothing.

Nothing here stops at what it finds: a check that a deploy stops at is asked all the same, and what it says is kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from . import environment, manager, process, seal, strays, trees, unit_files, units
from .annotations import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, TypeVar, cast
from .constants import SWITCHABLE
from .facts import facts
from .layout import Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import (
        DiskFacts,
        DoctorAnswer,
        DoctorRequest,
        Facts,
        FactsRequest,
        LastRelease,
        Problem,
        Recipe,
        ScriptState,
    )

Result = TypeVar("Result")
_OLDEST_PIP = (22, 3)
_PIP = "import pip; print(pip.__version__)"
_OF_THE_ROOT = ("sha", "live", "shared", "env", "units")  # what facts without the root cannot be asked for
NSSWITCH, RESOLV_CONF = Path("/etc/nsswitch.conf"), Path("/etc/resolv.conf")
RESOLVED = Path("/run/systemd/resolve/io.systemd.Resolve")  # it listens there while it runs
_LOCAL = ("files", "myhostname")  # sources of names that ask nobody else
_NOT_FOUND = 2  # of getent
_OF_SYSTEMD = ("services", "restart", "starts", "run_as")  # nor those without an answer of systemd's


def doctor(layout: Layout, request: DoctorRequest) -> DoctorAnswer:
    """Look at everything, whatever is wrong with any of it."""
    problems: List[Problem] = []
    unknown: List[str] = []  # of what is only told: no deploy asks it, so none is refused for it
    for refuse in (layout.refuse_newer, layout.refuse_other_machine, lambda: _choose(request)):
        _gather(problems, refuse)
    found = _facts(layout, request, problems)
    services: List[str] = request["facts"].get("services", [])
    none: Dict[str, units.Unit] = {}
    seen = _kept(problems, lambda: units.with_members(services) if units.present() else none, none)
    return {
        "facts": found,
        "problems": problems,
        "disk": _told(unknown, "the space on the disks", lambda: list(_disks(layout)), []),
        "last": _last(layout),
        "tools": {name: process.find(name, request["node"]) for name in request["tools"]},
        "pip": not request["venvs"] or _kept(problems, lambda: _can_fill(layout, request["python"]), True),
        "script": _script(layout, request["script"]),
        "only_login": _told(unknown, "which variables of this login no command of a deploy gets", _only_login, []),
        "shell": environment.of_this_user()["SHELL"],
        "strangers": _told(
            unknown, "what runs from no release", lambda: _strangers(layout, seen) if found["live"] else [], []
        ),
        "as_root": _told(unknown, "which services run as root", lambda: as_root(services_of(layout, seen)), []),
        "view": _told(unknown, "whether this host can limit what a build sees", _view, None),
        "name_by_dns": _told(unknown, "whether this host knows its own name by itself", name_by_dns, None),
        "unknown": unknown,
        "clock": time.time(),
    }


def _gather(problems: List[Problem], refuse: Callable[[], object]) -> None:
    """Ask a check that stops a deploy, and keep what it says."""
    _kept(problems, refuse, None)


def _kept(problems: List[Problem], ask: Callable[[], Result], otherwise: Result) -> Result:
    """The answer; of what cannot be asked, why that is so is kept once, and the rest is looked at all the same."""
    try:
        return ask()
    except Refusal as refusal:
        problem: Problem = {"message": refusal.message, "hint": refusal.hint}
    except OSError as error:
        problem = {"message": f"the host could not go on: {error}", "hint": None}
    problems += [] if problem in problems else [problem]
    return otherwise


def _told(unknown: List[str], what: str, ask: Callable[[], Result], otherwise: Result) -> Result:
    """The answer to what no deploy asks; when it cannot be asked, that is told, and refuses nothing."""
    try:
        return ask()
    except (Refusal, OSError) as error:
        unknown.append(f"{what}: {error}")
    return otherwise


def _facts(layout: Layout, request: DoctorRequest, problems: List[Problem]) -> Facts:
    """What a deploy reads; of a root that is not there, or that this login cannot read, what does not depend on it.

    Where not even that can be read, as when the agent's directory was removed meanwhile, what needs no file of ours.
    """
    found: List[Facts] = []
    if layout.root.is_dir():
        _gather(problems, lambda: found.append(facts(layout, request["facts"])))
    for without in (_OF_THE_ROOT, (*_OF_THE_ROOT, *_OF_SYSTEMD)):
        less = cast("FactsRequest", {name: value for name, value in request["facts"].items() if name not in without})
        if not found:
            _gather(problems, lambda less=less: found.append(facts(_nowhere(layout), less)))  # type: ignore[misc]
    return found[0] if found else least_facts(layout, problems)


def least_facts(layout: Layout, problems: List[Problem]) -> Facts:
    """What this process knows by itself; all else is told as not there, and ``problems`` says that it is not known.

    What nobody asked refuses nothing: a deploy that finds out asks.
    """
    hint = "correct the other problems that are listed for this host, then type the same command again"
    problems.append({"message": "what this host has and serves could not be read", "hint": hint})
    return {
        "hostname": os.uname().nodename,
        "user": environment.of_this_user()["USER"],
        "python": "{}.{}.{}".format(*sys.version_info),
        "boot": "",
        "systemd": _kept(problems, lambda: manager.of("system").present, True),
        "scope": layout.scope,
        "may_manage": True,
        "git": process.find("git") is not None,
        "live": None,
        "releases": [],
        "target": None,
        "has_commit": None,
        "tips": [],
        "units": {},
        "free_bytes": 0,
        "running": None,
        "hold": None,
        "last": None,
        "journal": [],
        "head": None,
        "clock": time.time(),
        "problems": [],
        "unmanaged": [],
        "configuration": None,
        "origins": {},
        "unit_changes": None,
        "needs_bytes": None,
    }


def _strangers(layout: Layout, seen: Mapping[str, units.Unit]) -> List[str]:
    return strays.strangers(seen.values(), layout.releases, layout.current)


def _nowhere(layout: Layout) -> Layout:
    """A root with nothing in it: the directory that the agent was put into for this call."""
    empty = Path(sys.argv[0]).resolve().parent
    return Layout(empty, empty / "releases", empty / "current", empty / "repo", layout.scope)


def _choose(request: DoctorRequest) -> None:
    """Look at the Python and the node of the recipe, as a build does first.  Raises Refusal."""
    from .building import toolchain

    def ask(argv: Sequence[str]) -> process.Ended:
        deadline = time.monotonic() + 30
        return process.run(argv, cwd=Path("/"), deadline=deadline, env=environment.of_this_user(request["node"]))

    recipe = {"python": request["python"], "node": request["node"]}
    toolchain.chosen(cast("Recipe", recipe), ask)


def _disks(layout: Layout) -> Iterator[DiskFacts]:
    """Each file system that a deploy writes to, once."""
    known: Set[int] = set()
    for place in (layout.releases, layout.ours):
        path = _existing(place)
        if path.stat().st_dev not in known:
            known.add(path.stat().st_dev)
            space = os.statvfs(path)
            inodes = space.f_favail if space.f_files else None
            yield {"path": str(path), "bytes": space.f_bavail * space.f_frsize, "inodes": inodes}


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it that this login sees."""
    return path if os.path.exists(path) else _existing(path.parent)


def _last(layout: Layout) -> Optional[LastRelease]:
    """What the newest whole release takes."""
    with contextlib.suppress(OSError):
        whole = [each for each in layout.release_ids() if seal.state_of(layout.release(each), each) in SWITCHABLE]
        newest = max(map(layout.release, whole), key=lambda path: path.stat().st_mtime, default=None)
        sizes = [each.lstat().st_blocks * 512 for each in trees.walk(newest)] if newest else []
        return {"bytes": sum(sizes), "entries": len(sizes)} if newest else None
    return None


def _can_fill(layout: Layout, python: Optional[str]) -> bool:
    """Whether a build finds what fills environments: uv, a pip that is new enough, or what a pip can be made with."""
    own = [] if python else [str(layout.tools / "pip" / "bin" / "python")]  # which a build before has made
    chosen = python or sys.executable
    if process.find("uv") or any(_has_pip(each) for each in (chosen, *own)):
        return True
    return bool(_asked(chosen, "import ensurepip, venv")) and _makes_environments(chosen)


def _has_pip(python: str) -> bool:
    version = (_asked(python, _PIP) or "").strip().split(".")
    return tuple(int(part) for part in version[:2] if part.isdigit()) >= _OLDEST_PIP


def _makes_environments(python: str) -> bool:
    """Whether one with pip can be made, as a build makes it: its wheel may be missing, or not run with this Python."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        argv, deadline = [python, "-m", "venv", place], time.monotonic() + 60
        return process.apart(argv, cwd=Path("/"), deadline=deadline, env=environment.of_this_user()).ok


def _asked(python: str, line: str) -> Optional[str]:
    """What this Python prints for a line of code, a blank at least; None when it fails."""
    deadline, env = time.monotonic() + 30, environment.of_this_user()
    with contextlib.suppress(OSError):
        ended = process.apart([python, "-c", line], cwd=Path("/"), deadline=deadline, env=env)
        return f"{ended.tail} " if ended.ok else None
    return None


def _script(layout: Layout, script: Optional[str]) -> Optional[ScriptState]:
    """How the health script is in what is live."""
    path = layout.current / (script or "")
    if script is None or not os.path.isdir(layout.current):
        return None
    if not os.path.isfile(path):
        return "missing"
    return "ready" if os.access(path, os.X_OK) else "closed"


def _only_login() -> List[str]:
    from .building import login

    return login.only_there()


def services_of(layout: Layout, seen: Mapping[str, units.Unit]) -> List[str]:
    """The services that are named, and those that releases of this root brought: a timer or a socket may start them."""
    from . import unit_sets

    named = [name for name, unit in seen.items() if unit.load == "loaded"]
    known = {*map(units.full_name, named)}
    brought = unit_sets.services(str(layout.root)) if manager.chosen().of_the_system else []
    return [*named, *(unit for unit in brought if not any(unit_files.is_of(unit, name) for name in known))]


def as_root(names: List[str]) -> List[str]:
    """The services of the system's manager whose units name no user, so that they run as root."""
    services = [name for name in names if units.full_name(name).endswith(".service")]
    if not services or not manager.chosen().of_the_system:
        return []
    asked = ("show", "--no-pager", "--property=LoadState", "--property=User", "--property=DynamicUser", "--")
    instances = (units.full_name(name).replace("@.", "@any.") for name in services)  # nobody can ask about a template
    argv = manager.chosen().asking("systemctl", *asked, *instances)
    output: List[bytes] = []
    ended = process.apart(argv, cwd=Path("/"), deadline=time.monotonic() + 10, sink=output.append)
    blocks = b"".join(output).decode("utf-8", "replace").strip().split("\n\n")
    return [name for name, block in zip(services, blocks) if _is_root(block)] if ended.ok else []


def _is_root(block: str) -> bool:
    told = dict(line.partition("=")[::2] for line in block.splitlines())
    runs = told.get("LoadState", "loaded") == "loaded" and told.get("DynamicUser") != "yes"
    return runs and told.get("User", "") in ("", "0", "root")


def _view() -> Optional[str]:
    """Why a build gets no view of its own; the kernel is asked for one, and nothing is run in it."""
    from .building.view import View

    why: List[str] = []
    with View((), (), Path(sys.argv[0]).resolve().parent, (), {}).entered(why.append):
        pass
    return why[0] if why else None


def name_by_dns() -> Optional[str]:
    """The host's own name, which sudo looks up, where nothing on this host knows it before DNS is asked."""
    name, sources = os.uname().nodename, host_sources()
    before = sources[: sources.index("dns")] if "dns" in sources else sources
    if "dns" not in sources or _by_resolved(before):
        return None
    return None if any(knows(each, name) for each in _LOCAL if each in before) else name


def host_sources() -> List[str]:
    """The sources of host names, in the order in which they are asked."""
    lines = map(str.strip, _lines(NSSWITCH))
    line = next((line for line in lines if line.startswith("hosts:")), "hosts: files dns")  # what glibc does without
    return line.partition("#")[0].partition(":")[2].split()


def _lines(path: Path) -> List[str]:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text("utf-8", "replace").splitlines()
    return []


def _by_resolved(before: Sequence[str]) -> bool:
    """Whether systemd-resolved is asked, which knows the own name by itself; with a search list DNS comes first."""
    lines = [line.split() for line in _lines(RESOLV_CONF) if line[:1].isalpha()]
    servers = [words[1:] for words in lines if words[0] == "nameserver"]
    searched = [words for words in lines if words[0] in ("search", "domain") and words[1:] != ["."]]
    alone = servers[:1] == [["127.0.0.53"]] and not searched
    return RESOLVED.exists() and ("resolve" in before or alone)


def knows(source: str, name: str) -> bool:
    """Whether a source alone has the name.  Raises OSError where that cannot be asked."""
    argv, deadline = ["getent", "-s", source, "hosts", name], time.monotonic() + 10
    ended = process.apart(argv, cwd=Path("/"), deadline=deadline)
    if ended.status not in (0, _NOT_FOUND):
        raise OSError(f"getent {ended.reason}")
    return ended.ok
