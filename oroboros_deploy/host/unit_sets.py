"""Sets of units: what a release brings for the service manager, how it comes to a host, and how it goes again.

    /etc/systemd/system/shop.service     what is installed; its first line says whose it is (``unit_files``)
    .deploy/units/<digest>               a set: the texts of all paths that an activation touches, before it or after it
    .deploy/units/before, after          the two sets of an unfinished activation
    .deploy/units/originals              what stood there before this tool came, by path
    .deploy/units/disabled               what somebody had disabled when a release took it away
    .deploy/units/edited/<unit>-<digest> what somebody wrote into one of ours, and was replaced

Both sets of an activation have the same paths, so that either can be put in the place of the other, as often as is
needed, whatever was done of it before.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from pathlib import Path

from . import durable, manager, process, unit_files
from .annotations import (
    TYPE_CHECKING,
    Callable,
    Container,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    cast,
)
from .layout import Layout
from .refusal import Refusal
from .sha256 import digest
from .unit_files import Texts, UnitSet

if TYPE_CHECKING:
    from .contract import Changes, ReleaseRecord, Scope, UnitsRequest
    from .wire import Say

# Where others than an administrator put units; one of ours with such a name would hide theirs.
OTHERS: Dict[Scope, Tuple[str, ...]] = {
    "system": (
        *("/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system"),
        *("/etc/systemd/system.control", "/etc/systemd/system.attached"),
    ),
    "user": ("/usr/lib/systemd/user", "/usr/local/lib/systemd/user", "/etc/systemd/user", "/run/systemd/user"),
}
OWN = ".local/share/systemd/user"  # in the login's home: where its own programs put units
# Where the manager has what it makes itself, as of scripts in /etc/init.d, and what somebody put there until a boot.
MADE = ("generator.early", "generator", "generator.late", "transient")
KEPT = 86_400.0  # seconds for which a set that nothing names may be about to be used
MASKED = "/dev/null"
_MASKED = "is masked on this host"
_ELSES = "a name that something else has"
_ENABLING = (".wants", ".requires", ".upholds")
_UNKNOWN = (".mount", ".automount", ".swap", ".slice", ".scope", ".device")
VERIFYING = 60.0  # seconds
_CHECK_AGAIN = "deploy again; when this is said again, run `systemd-analyze verify` for these units on the host"


class NotPut(Exception):
    """The units of a set could not be put in their place."""


class Look(NamedTuple):
    """What is on the host, what has to be there, and what is to be told and kept before the one becomes the other."""

    before: UnitSet
    after: UnitSet
    said: List[str]
    originals: Texts
    edited: Texts

    @property
    def changes(self) -> Changes:
        return unit_files.compare(self.before, self.after)


# --- what a release brings ---------------------------------------------------------------------------------------


def of_release(layout: Layout, release: Path, asked: UnitsRequest) -> Texts:
    """The units of a release, as they are installed."""
    top = release / asked["directory"]
    texts = {path: _text_of(top, path) for path in _paths(top)} if _is_inside(top, release) else {}
    if not texts:
        what = f"the commit has no unit in {asked['directory']}"
        raise Refusal("build_failed", what, hint="commit one, or correct `units` in fabric.yaml")
    user = asked.get("user") or _login()
    named, root, env = asked["application"], str(layout.root), manager.chosen().env
    return {path: unit_files.render(text, named, root, user, env) for path, text in texts.items()}


def refuse_unknown_words(release: Path, asked: UnitsRequest) -> None:
    """Refuse what stands in a unit in the place of a placeholder and is none: only a build does, no way back."""
    top = release / asked["directory"]
    for path in _paths(top):
        for word in unit_files.unknown_words(_text_of(top, path)):
            what = unit_files.no_placeholder(path, word)
            raise Refusal("build_failed", what, hint=f"correct {asked['directory']}/{path}, and commit it")


def _moved(layout: Layout, text: str) -> str:
    """A text of before this host had least privilege as it is there now."""
    env = manager.chosen().env
    header = unit_files.header(text) if env else None
    if header is None or header.edited:
        return text
    return unit_files.render(unit_files.body(text), header.application, str(layout.root), "@user@", env)


def wanted(
    layout: Layout, release: Path, asked: UnitsRequest, recorded: bool = False, record: Optional[ReleaseRecord] = None
) -> Texts:
    """What the host has to have with a release: what its commit has, or, ``recorded``, what it was committed with.

    With a release from before `units` what was there then comes back.
    """
    if not recorded:
        return of_release(layout, release, asked)
    if record and record.get("units"):
        with contextlib.suppress(OSError, ValueError):
            return {path: _moved(layout, text) for path, text in load(layout, str(record.get("units"))).texts.items()}
    brings = _is_inside(release / asked["directory"], release) and (record is None or record.get("units"))
    return of_release(layout, release, asked) if brings else originals(layout)


def _is_inside(path: Path, release: Path) -> bool:
    return os.path.isdir(path) and os.path.realpath(path).startswith(os.path.realpath(release) + "/")


def _paths(top: Path) -> Iterator[str]:
    """The units and drop-ins of a directory; what is neither (a README) is nobody's business."""
    for name in sorted(os.listdir(top)):
        found = [f"{name}/{each}" for each in sorted(os.listdir(top / name))] if name.endswith(".d") else [name]
        for path in found:
            if unit_files.is_path(path) and path.startswith(unit_files.RESERVED):
                what = f"{path}: names that begin with {unit_files.RESERVED} are this tool's own"
                raise Refusal("build_failed", what, hint="rename the unit")
            if unit_files.is_path(path):
                yield path
            elif path.endswith((*unit_files.KINDS, *_UNKNOWN)):
                kinds = ", ".join(unit_files.KINDS)
                what = f"{path} cannot be installed: it is no {kinds}, or has characters that unit names do not have"
                raise Refusal("build_failed", what, hint="move the file to another directory, and install it by hand")


def _text_of(top: Path, path: str) -> str:
    if not os.path.realpath(top / path).startswith(os.path.realpath(top) + "/"):
        what = f"{path} is a link that leads out of the directory that `units` names"
        raise Refusal("build_failed", what, hint="commit the file itself")
    try:
        return (top / path).read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("build_failed", f"{path} is no text in UTF-8", hint="save it as UTF-8, and commit") from None


def _login() -> str:
    from .environment import of_this_user

    return of_this_user()["USER"]


def verify(layout: Layout, texts: Texts, release: Path, say: Say, directory: str) -> None:
    """Refuse what systemd could not load or run: `current` is the release for that, which is not live yet.

    ``directory`` is where a release has the units.
    """
    _refuse_users(texts)
    if not process.find("systemd-analyze"):
        return
    place = layout.tmp / f"units-{os.getpid()}"
    try:
        for path, text in texts.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(_in_place_of_current(text, layout, release), "utf-8")
        _analyze(
            place, [path for path in texts if "/" not in path], say, lambda lines: _to_do(lines, release, directory)
        )
    finally:
        _discard(place)


def _in_place_of_current(text: str, layout: Layout, release: Path) -> str:
    import re

    return re.sub(rf"{re.escape(str(layout.current))}(?=[/\s\"']|$)", lambda _: str(release), text)


def _to_do(lines: Sequence[str], release: Path, directory: str) -> str:
    """What to do about units that systemd refuses: where a program is missing, a unit may be right."""
    import re

    found = re.search(r"(?m)^(\S+): Command (/\S+) is not executable", "\n".join(lines))
    if not found:
        return "correct them"
    first = "let the release have it" if found[2].startswith(f"{release}/") else "install it on the host"
    return f"{first}, or correct ExecStart in {directory}/{found[1]}"


def _analyze(place: Path, units: Sequence[str], say: Say, to_do: Callable[[Sequence[str]], str]) -> None:
    paths = [str(place / unit) for unit in units]
    argv = manager.chosen().asking("systemd-analyze", "verify", "--man=no", *paths)
    ended = process.run(argv, cwd=Path("/"), deadline=time.monotonic() + VERIFYING) if paths else None
    lines = ended.tail.replace(f"{place}/", "").splitlines() if ended else []
    ours = [
        line
        for line in lines
        if any(line.startswith((f"{unit}:", f"{unit}.d/")) or f" {unit} " in line for unit in units)
    ]
    if ended and (ended.status is None or not (ended.ok or lines)):
        what = f"the units of the release could not be checked: systemd-analyze verify {ended.reason}"
        raise Refusal("build_failed", what, hint=_CHECK_AGAIN, log="\n".join(lines))
    if ended and not ended.ok:
        what = f"systemd refuses units of the release: {'; '.join(ours or lines)}"
        raise Refusal("build_failed", what, hint=to_do(ours))
    for line in ours:
        say("warning", f"systemd says of the units: {line}", level="warning")


def _refuse_users(texts: Texts) -> None:
    import pwd

    for path, text in sorted(texts.items()):
        for user in unit_files.users(text):
            if not manager.chosen().of_the_system:
                what = f"{path} names User={user}, and with scope: user all runs as {_login()}"
                raise Refusal("build_failed", what, hint="take User= out of it")
            try:
                pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
            except KeyError:
                if user.isdigit():
                    continue  # systemd needs no name for a number
                what = f"{path} names User={user}, whom this host does not have"
                raise Refusal("build_failed", what, hint=f"on the host: useradd --system {user}") from None


def _discard(place: Path) -> None:
    from .trees import discard

    with contextlib.suppress(OSError):
        discard(place)


# --- what is there -----------------------------------------------------------------------------------------------


def look(layout: Layout, wanted: Texts, adopt: bool = False) -> Look:
    """What is there at all paths that the release has, or that we installed; refuses what is not ours to replace."""
    root = str(layout.root)
    found = {path: _there(path) for path in {*wanted, *_ours(root)}}
    problems = list(
        filter(None, (_problem(path, each, wanted.get(path), root, adopt) for path, each in sorted(found.items())))
    )
    problems += _aliases_of_others(wanted, found, root)
    if problems:
        raise _refusal(problems)
    texts = {path: each.text for path, each in sorted(found.items())}
    units = [path for path in texts if "/" not in path]
    before = UnitSet(texts, _links(units))
    after = UnitSet({path: wanted.get(path) for path in texts}, None)
    strange = {path: text for path, text in texts.items() if text is not None and unit_files.header(text) is None}
    said = [_taken(path, text, wanted[path]) for path, text in strange.items() if path in wanted]
    edited = {path: text for path, text in texts.items() if text and _is_edited(text)}
    return Look(before, after, said, strange, edited)


def _taken(path: str, there: str, wanted: str) -> str:
    same = there == unit_files.body(wanted)
    return f"{path} was put here by hand: it is taken over{'' if same else ', and what was there is kept'}"


def _is_edited(text: str) -> bool:
    found = unit_files.header(text)
    return bool(found and found.edited)


class _There(NamedTuple):
    """What is at a path: a text, nothing, or what stands in the way, in words."""

    text: Optional[str] = None
    wrong: str = ""


class _Problem(NamedTuple):
    """Why a path is not ours to replace; ``shown`` is how it differs, where --adopt-units would replace it."""

    what: str
    shown: str = ""


def _there(path: str) -> _There:
    place = manager.chosen().units / path
    if place.is_symlink():
        leads = os.readlink(place)
        return _There(wrong=_MASKED if leads == MASKED else f"is a link to {leads} on this host")
    try:
        text = place.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return _There()
    except (OSError, UnicodeDecodeError) as error:
        return _There(wrong=f"cannot be read on this host: {error}")
    return _There(text) if text else _There(wrong=f"{_MASKED}, by an empty file")


def _problem(path: str, there: _There, wanted: Optional[str], root: str, adopt: bool) -> Optional[_Problem]:
    if there.wrong:
        return _Problem(f"{path} {there.wrong}")
    header = unit_files.header(there.text) if there.text else None
    others = _others(installed=header is not None and header.root == root)
    owner = next((each for each in others if os.path.lexists(f"{each}/{path}")), None)
    if owner and wanted is not None:
        return _Problem(f"{path} is {_ELSES}, in {owner}")
    if there.text is None:
        return None
    if header and header.root != root:
        return _Problem(f"{path} belongs to the application {header.application} in {header.root}")
    ours = header is not None and not header.edited
    same = wanted is not None and unit_files.body(there.text) == unit_files.body(wanted)
    if ours or same or adopt:
        return None
    why = "was edited on this host since it was installed" if header else "was put on this host by somebody else"
    return _Problem(f"{path} {why}", unit_files.difference(path, there.text, wanted or ""))


def _aliases_of_others(wanted: Texts, ours: Container[str], root: str) -> Iterator[_Problem]:
    """Other names of units that something else has: a link by that name would hide what has it.

    ``ours`` are the paths of all units of this root, also of one that the release takes away or renames.
    """
    for path, text in sorted(wanted.items()):
        for name in unit_files.aliases(text):
            taken = _taken_name(name, ours, root)
            if taken and name != path:  # systemd passes over a unit's own name
                yield _Problem(f"{path} has Alias={name}, {taken}")


def _taken_name(name: str, ours: Container[str], root: str) -> Optional[str]:
    """Why no link may have this name, in words; None where the name is free, or leads to ours."""
    place = manager.chosen().units / name
    if place.is_symlink() and os.path.basename(os.readlink(place)) in ours:
        return None
    there = _there(name)
    if there.wrong.startswith(_MASKED):
        return f"a name that {there.wrong}"
    header = unit_files.header(there.text) if there.text else None
    if there.wrong or (there.text and (header is None or header.root != root)):
        return f"{_ELSES}, in {place.parent}"
    owner = next((each for each in _others(installed=False) if os.path.lexists(f"{each}/{name}")), None)
    return f"{_ELSES}, in {owner}" if owner else None


def _others(*, installed: bool) -> Iterator[str]:
    """Where units of this manager are that neither an administrator nor this tool put there.

    Of a unit that we ``installed``, an administrator may have masked the name, or added to it, until the next boot.
    """
    chosen = manager.chosen()
    yield from OTHERS[chosen.scope]
    yield from (() if installed else (str(chosen.runtime / each) for each in (chosen.scope, *MADE)))
    if not chosen.of_the_system:
        from .environment import of_this_user

        yield os.path.join(of_this_user()["HOME"], OWN)


def _refusal(problems: Sequence[_Problem]) -> Refusal:
    said = "; ".join(each.what for each in problems)
    shown = "".join(f"\n{each.shown}" for each in problems if each.shown)
    adoptable = all(each.shown for each in problems)
    unmask = f"{manager.chosen().typed('systemctl')} unmask NAME"
    rename = f"rename them in the repository, or free the names on the host ({unmask}: a masked one)"
    hint = "--adopt-units replaces them, and keeps what was there" if adoptable else rename
    return Refusal("invalid", f"{said}{shown}", hint=hint)


def _ours(root: str) -> List[str]:
    """The paths of what we installed for this root, by the first lines."""
    return [path for path in _installed() if (_header_of(path) or ("", ""))[1] == root]


def services(root: str) -> List[str]:
    """The services that we installed for this root, templates too."""
    return [path for path in _ours(root) if path.endswith(".service")]


def _header_of(path: str) -> Optional[unit_files.Header]:
    found = _there(path)
    return unit_files.header(found.text) if found.text else None


def _installed() -> Iterator[str]:
    """All paths of units and drop-ins that are there."""
    top = manager.chosen().units
    for name in sorted(_listed(top)):
        inside = (f"{name}/{each}" for each in sorted(_listed(top / name))) if name.endswith(".d") else (name,)
        yield from filter(unit_files.is_path, inside)


def _links(units: Sequence[str]) -> Dict[str, str]:
    """The links that enable these units, or give them other names, each with where it leads."""
    top = manager.chosen().units
    names = [
        path
        for name in _listed(top)
        for path in ([f"{name}/{each}" for each in _listed(top / name)] if name.endswith(_ENABLING) else [name])
    ]
    found = {name: os.readlink(top / name) for name in sorted(names) if (top / name).is_symlink()}
    return {
        name: leads for name, leads in found.items() if name not in units and unit_files.belongs(units, name, leads)
    }


def _listed(directory: Path) -> List[str]:
    with contextlib.suppress(OSError):
        return os.listdir(directory)
    return []


def in_place(layout: Layout, name: str, links: bool = False) -> bool:
    """Whether the host has what a set says, with ``links`` also what is enabled; no where the set cannot be read."""
    try:
        kept = load(layout, name)
    except (OSError, ValueError):
        return False
    return not _differing(kept) and (not links or kept.links is None or kept.links == _links(_units_of(kept)))


def altered(layout: Layout, name: str) -> List[str]:
    """The paths at which the host has something else than a set says; the set itself where it cannot be read."""
    try:
        return _differing(load(layout, name))
    except (OSError, ValueError):
        return [str(layout.unit_sets / name)]


def half_written(layout: Layout, name: str) -> List[str]:
    """The texts for the paths of a set that somebody wrote, and died before they had their names."""
    with contextlib.suppress(OSError, ValueError):
        return _half_written(load(layout, name))
    return []


def _half_written(kept: UnitSet) -> List[str]:
    return [new for new in map(_new, kept.files) if os.path.lexists(manager.chosen().units / new)]


def _differing(kept: UnitSet) -> List[str]:
    return sorted(path for path, text in kept.files.items() if _there(path) != _There(text))


def _units_of(kept: UnitSet) -> List[str]:
    return [path for path in kept.files if "/" not in path]


# --- keeping sets ------------------------------------------------------------------------------------------------


def keep(layout: Layout, found: UnitSet) -> str:
    """Keep a set; returns its name."""
    text = json.dumps(found._asdict(), sort_keys=True)
    name = digest(text.encode())[:16]
    place = layout.unit_sets / name
    durable.make_directory(layout.unit_sets, 0o700)
    if place.is_file() and place.read_text("utf-8") == text:
        os.utime(place)
    else:
        layout.reserve.spend(durable.write, place, text.encode())
    return name


def load(layout: Layout, name: str) -> UnitSet:
    """A set that was kept.  Raises OSError or ValueError where there is none that can be read."""
    place = layout.unit_sets / name
    text = place.read_text("utf-8")
    try:
        read = json.loads(text)
        return UnitSet(dict(read["files"]), None if read["links"] is None else dict(read["links"]))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{place} is damaged, in which the units of a release are kept") from error


def keep_originals(layout: Layout, found: Texts) -> None:
    """Keep what stood at paths that this tool comes to replace, for a release from before it did."""
    if found:
        durable.make_directory(layout.unit_sets, 0o700)
        layout.reserve.spend(durable.write_json, layout.unit_sets / "originals", {**originals(layout), **found})


def originals(layout: Layout) -> Texts:
    """What stood there before this tool came; nothing where nothing did."""
    with contextlib.suppress(OSError, ValueError):
        return cast("Texts", json.loads((layout.unit_sets / "originals").read_text("utf-8")))
    return {}


def keep_edited(layout: Layout, found: Texts, why: str = "was edited here since it was installed") -> List[str]:
    """Keep for good what somebody wrote into our units and is replaced; says where."""
    directory, said = layout.unit_sets / "edited", []
    for path, text in found.items():
        place = directory / f"{path.replace('/', '-')}-{digest(text.encode())[:8]}"
        durable.make_directory(directory, 0o700)
        layout.reserve.spend(durable.write, place, text.encode())
        said.append(f"{path} {why}: what was there is kept in {place}")
    return said


def strange(layout: Layout, *names: str) -> Texts:
    """What is at the paths of these sets, and is of none of them."""
    sets = [load(layout, name) for name in names]
    found = {path: _there(path).text for each in sets for path in each.files}
    return {path: text for path, text in found.items() if text and text not in [each.files.get(path) for each in sets]}


def note_disabled(layout: Layout, ran: Dict[str, bool], enabled: Iterable[str]) -> None:
    """Keep what somebody has disabled and a release takes away, each with whether it ran; ``enabled`` is so no more."""
    before = disabled(layout)
    wanted = {**{name: noted for name, noted in before.items() if name not in {*enabled}}, **ran}
    if wanted != before:
        durable.make_directory(layout.unit_sets, 0o700)
        layout.reserve.spend(durable.write_json, layout.unit_sets / "disabled", wanted)


def disabled(layout: Layout) -> Dict[str, bool]:
    """What somebody had disabled when a release took it away, by full names, each with whether it ran then."""
    with contextlib.suppress(OSError, ValueError):
        return cast("Dict[str, bool]", json.loads((layout.unit_sets / "disabled").read_text("utf-8")))
    return {}


def stage(layout: Layout, before: str, after: str) -> None:
    """Note the two sets of an activation, for whoever finds it without its state."""
    for name, kept in (("before", before), ("after", after)):
        (layout.unit_sets / name).unlink(missing_ok=True)
        (layout.unit_sets / name).symlink_to(kept)
    durable.sync_directory(layout.unit_sets)


def staged(layout: Layout) -> Optional[Tuple[str, str]]:
    """The two sets of an unfinished activation, None where it had none."""
    with contextlib.suppress(OSError):
        before, after = (os.readlink(layout.unit_sets / name) for name in ("before", "after"))
        return before, after
    return None


def unstage(layout: Layout) -> None:
    """Take away what only an unfinished activation needs."""
    for name in ("before", "after"):
        with contextlib.suppress(OSError):
            (layout.unit_sets / name).unlink()


def forget_others(layout: Layout, named: Iterable[Optional[str]]) -> None:
    """Remove the sets that nothing names, and that nobody is about to use."""
    kept = {*named, *(staged(layout) or ()), "before", "after", "originals", "disabled", "edited"}
    for path in layout.unit_sets.glob("*") if layout.unit_sets.is_dir() else ():
        if path.name not in kept and time.time() - path.lstat().st_mtime > KEPT:
            path.unlink(missing_ok=True)


# --- putting one in place ----------------------------------------------------------------------------------------


def put(
    layout: Layout,
    before: str,
    after: str,
    services: Sequence[str],
    deadline: float,
    start: Sequence[str] = (),
    attempt: str = "",
) -> None:
    """Have the units of one set in the place of those of the other, and let systemd know: all in one call as root.

    ``services`` are the full names of what is restarted; of new templates those instances are enabled.  What is to
    ``start`` is started, and not waited for: at a boot systemd could not do so by itself.  What root does is a command
    of the ``attempt``, which whoever settles that one ends first.
    """
    patience = max(1.0, (deadline - time.monotonic()) / 2)
    step = _Step(load(layout, before), load(layout, after), services, start, patience, disabled(layout))
    told = _told(step) if manager.chosen().bound else {}
    helper = manager.chosen().helper_puts(f"{max(deadline - time.monotonic(), 1.0):.1f}")  # the look took its time
    ended = _helped(told, helper, deadline) if helper else as_root(_script(step), attempt, deadline)
    _ended_well(ended)


def _ended_well(ended: process.Ended) -> None:
    if "No space left" in ended.tail:
        raise OSError(errno.ENOSPC, ended.tail)
    if not ended.ok:
        raise NotPut(f"the units could not be installed: the command for that {ended.reason}: {ended.tail}")


def refuse_unfit(*sets: UnitSet) -> None:
    """With least privilege, refuse before the switch what the helper would not install, there or back."""
    helper = manager.chosen().helper_judges()
    if not helper:
        return
    said: Dict[str, None] = {}
    for each in sets:
        ended = _helped({"files": each.files}, helper, time.monotonic() + 30)
        said.update(dict.fromkeys(filter(None, ended.tail.splitlines())))
    if said:
        what = f"this host is deployed to with least privilege, which refuses these units: {'; '.join(said)}"
        raise Refusal(
            "build_failed",
            what,
            hint="change that in the units; docs/units.md of oroboros_deploy says what they may have there",
        )


class _Step(NamedTuple):
    """From one set of units to the other: what is restarted, what is to ``start``, and what somebody had disabled.

    On the way back the texts return whatever does not stop within ``patience`` seconds.
    """

    before: UnitSet
    after: UnitSet
    services: Sequence[str]
    start: Sequence[str]
    patience: float
    disabled: Container[str]

    @property
    def going(self) -> List[str]:
        """The units that go with it."""
        return unit_files.going(self.before, self.after)

    @property
    def stopping(self) -> Optional[float]:
        """Seconds that those are waited for; None where they have to stop."""
        return None if self.after.links is None else self.patience

    @property
    def enabled(self) -> List[str]:
        """The units that are to be enabled: a set whose links are noted has them already."""
        if self.after.links is not None:
            return []
        return unit_files.to_enable(self.before, self.after, self.services, self.disabled)


def _told(step: _Step) -> Dict[str, object]:
    """What the lines of `_script` would do, for the helper, which does it in their place."""
    after, going = step.after, step.going
    there, links = _links(_units_of(after)), after.links
    if links is None:
        changed: Dict[str, Optional[str]] = {
            path: None for path, leads in there.items() if unit_files.belongs(going, path, leads)
        }
    else:
        changed = {path: links.get(path) for path in {*there, *links} if there.get(path) != links.get(path)}
    return {
        "stop": going,
        "patience": step.stopping,
        "files": {path: text for path, text in after.files.items() if text is None or _there(path).text != text},
        "links": changed,
        "enable": step.enabled,
        "start": [*step.start],
    }


def _helped(told: Dict[str, object], helper: Sequence[str], deadline: float) -> process.Ended:
    """Ask the helper, whose input has what is told."""
    number = os.memfd_create("units")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(json.dumps(told).encode())
        return process.run(helper, cwd=Path("/"), deadline=deadline, given=Path(f"/proc/self/fd/{number}"))
    finally:
        os.close(number)


def _script(step: _Step) -> str:
    """The lines that do it; each may be repeated, by whoever finds half of them done."""
    from shlex import quote

    systemctl = " ".join(map(quote, manager.chosen().asking("systemctl")))
    after, enabled, start = step.after, step.enabled, step.start
    lines = [
        f"mkdir -p {quote(str(manager.chosen().units))}",
        f"cd {quote(str(manager.chosen().units))}",
        *_stopping(systemctl, step.going, step.stopping),
        *_removing(_half_written(after)),
        *_writing({path: text for path, text in after.texts.items() if _there(path).text != text}),
        *_removing([path for path, text in after.files.items() if text is None]),
        *_linking(step.before, after),
        *([f"{systemctl} enable --quiet --no-reload -- {' '.join(map(quote, enabled))}"] if enabled else []),
        "sync .",
        f"{systemctl} daemon-reload",
        *([f"{systemctl} start --no-block -- {' '.join(map(quote, start))} || :"] if start else []),
    ]
    # A function is read whole before it runs, so that nothing in it can read the rest of the script.
    return "put() {\nset -e\n" + "\n".join(lines) + "\n}\nput </dev/null\n"


def _stopping(systemctl: str, going: Sequence[str], patience: Optional[float]) -> List[str]:
    """Patterns, for of a name that systemd does not know it would make an error."""
    from shlex import quote

    names = [
        unit.replace("@.", "@*.") if unit_files.is_template(unit) else f"{unit[:-1]}[{unit[-1]}]" for unit in going
    ]
    bound, anyway = ("", "") if patience is None else (f"timeout {patience:.0f} ", " || :")
    return [f"{bound}{systemctl} stop -- {' '.join(map(quote, names))}{anyway}"] if names else []


def _new(path: str) -> str:
    """Where a text is until it is whole."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")


def _writing(texts: Texts) -> List[str]:
    """All texts are on the disk before the first of them gets its name."""
    from shlex import quote

    new = {path: quote(f"./{_new(path)}") for path in texts}
    directories = sorted({os.path.dirname(path) for path in texts} - {""})
    made = [f"mkdir -p {' '.join(quote(f'./{each}') for each in directories)}"] if directories else []
    written = [f"printf %s {quote(text)} >{new[path]}" for path, text in texts.items()]
    lasting = [f"chmod 0644 {' '.join(new.values())}", f"sync {' '.join(new.values())}"] if new else []
    moved = [f"mv -f {new[path]} {quote(f'./{path}')}" for path in texts]
    synced = [f"sync {' '.join(quote(f'./{each}') for each in directories)}"] if directories else []
    return [*made, *written, *lasting, *moved, *synced]


def _removing(paths: Sequence[str]) -> List[str]:
    from shlex import quote

    directories = sorted({os.path.dirname(path) for path in paths} - {""})
    gone = [f"rm -f {' '.join(quote(f'./{path}') for path in paths)}"] if paths else []
    return [*gone, *(f"rmdir {quote(f'./{each}')} 2>/dev/null || :" for each in directories)]


def _linking(before: UnitSet, after: UnitSet) -> List[str]:
    """Links as the set has them; where it has none noted, those of what goes are removed."""
    from shlex import quote

    there = _links(_units_of(after))
    if after.links is None:
        going = unit_files.going(before, after)
        gone = [path for path, leads in there.items() if unit_files.belongs(going, path, leads)]
        made: Dict[str, str] = {}
    else:
        gone = [path for path in there if path not in after.links]
        made = {path: leads for path, leads in after.links.items() if there.get(path) != leads}
    removed = [f"rm -f {' '.join(quote(f'./{path}') for path in gone)}"] if gone else []
    return [
        *removed,
        *(
            line
            for path, leads in made.items()
            for line in (
                f"mkdir -p {quote(f'./{os.path.dirname(path)}')}",
                f"ln -sfn {quote(leads)} {quote(f'./{path}')}",
            )
        ),
    ]


def as_root(script: str, attempt: str, deadline: float) -> process.Ended:
    """The script travels as input: texts of units are of no length that a command line need take.

    As a unit of the system's it outlives who asked for it, so it has a name by which it is ended.
    """
    from . import another_user

    shell = ("/bin/sh", "-s")
    number = os.memfd_create("units")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(script.encode())
        unit = f"--unit={another_user.unit_of(attempt)}"
        argv = manager.chosen().as_root(*shell, options=(unit, "--property=TimeoutStopSec=2")) or list(shell)
        ended = process.run(argv, cwd=Path("/"), deadline=deadline, given=Path(f"/proc/self/fd/{number}"))
        if ended.status is None:
            another_user.stop(attempt)
        return ended
    finally:
        os.close(number)
