"""The configuration: the environment values of one moment, named by its revision.

    env -> .deploy/config/<revision>     the one in use: units read it by `EnvironmentFile=`, an activation switches it
    .deploy/config/<revision>            comments say where each name comes from, then the values

A revision is readable by the login alone (0600); where `run_as` names an owner, by the group of that user as well
(0640, and everybody may pass through `.deploy` and `config`, which nobody else may list).

A revision is a hash of that text, keyed by `.deploy/key`: who does not know the values cannot find them by it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from . import durable, state
from .annotations import TYPE_CHECKING, Dict, Iterable, Iterator, List, Optional, Tuple
from .constants import ATTEMPTS
from .journal import Journal
from .journal_entry import parse
from .layout import Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import Changes, ConfigureAnswer, ConfigureRequest, JournalEntry, Problem, Sources
    from .masking import Mask
    from .wire import Say

ORIGINS = ("file", "values", "secrets")  # of two that have a name, the later wins
_CORRECT = {
    "file": "correct the file that env.file in fabric.yaml names, and commit it",
    "values": "correct env.values in fabric.yaml",
    "secrets": "correct this secret in the place from which env.secrets in fabric.yaml takes it",
}
# Seconds for which a revision that nothing names stays: it may be about to be put in use; and of one that an attempt
# failed with, services wrote to their logs, where its secrets are to be hidden.
STAGED = 86_400.0
_BETWEEN = 1.0  # seconds at most that an attempt spends between its steps
_NONE = "none"  # what a way back names, where nothing was in use
_ADOPTED = "adopted"
_REVISION = r"[0-9a-f]{16}"  # compiled where it is used: a host without `env` has none
_OURS = "DEPLOY_"  # how names begin that no configuration changes


# --- which one is in use -----------------------------------------------------------------------------------------


def in_use(layout: Layout) -> Optional[str]:
    """The revision that `env` names, None where there is none or somebody else put something there."""
    return _named_by(layout, layout.env)


def since(layout: Layout) -> Optional[float]:
    """When the configuration in use was put in use, by the clock as it goes now; None where there is none.

    Its link has the date of the clock of then, which somebody may have set since.
    """
    used = in_use(layout)
    if used is None:
        return None
    entry = _put_by(layout, used)
    if entry is None or (entry["boot"] == state.boot_id() and "clock" not in entry):
        return _dated(layout)  # somebody else moved it, or the attempt that did died
    now = time.time() - time.monotonic()  # what this boot began at, by the clock as it goes now
    if entry["boot"] != state.boot_id():
        return now
    return _dated(layout) + now - (entry["at"] - entry["clock"])


def _dated(layout: Layout) -> float:
    return layout.env.lstat().st_mtime


def _put_by(layout: Layout, revision: str) -> Optional[JournalEntry]:
    """The attempt from whose end on a configuration was in use until now; None where the last one ended otherwise.

    Most journals have one configuration for hundreds of attempts: their lines are looked through, and not parsed.
    """
    found: List[bytes] = []
    for line in filter(_may_be_attempt, reversed(Journal(layout.journal).lines())):
        if f'"configuration": "{revision}"'.encode() in line:
            found.append(line)
        elif _is_attempt(parse(line)):
            break
    return next(filter(_is_attempt, map(parse, reversed(found))), None)


def _may_be_attempt(line: bytes) -> bool:
    return any(f'"kind": "{kind}"'.encode() in line for kind in ATTEMPTS)


def _is_attempt(entry: Optional[JournalEntry]) -> bool:
    return entry is not None and entry.get("kind") in ATTEMPTS


def problem(layout: Layout) -> Optional[Problem]:
    """That somebody else put something at `env`; None when nothing is there, or it is ours."""
    if not os.path.lexists(layout.env) or in_use(layout):
        return None
    what = f"{layout.env} is not a link that this tool made, and `env` in fabric.yaml needs that place"
    return {"message": what, "hint": f"on the host: mv {layout.env} {layout.env}.old"}


def _named_by(layout: Layout, link: Path) -> Optional[str]:
    try:
        path = Path(os.path.normpath(layout.root / os.readlink(link)))
    except OSError:
        return None
    return path.name if path.parent == layout.config and re.fullmatch(_REVISION, path.name) else None


# --- what is in it -----------------------------------------------------------------------------------------------


def values(layout: Layout, revision: Optional[str]) -> Dict[str, str]:
    """The values of a revision; none where there is none."""
    if not revision:
        return {}
    from . import env_file

    return env_file.parse(_text(layout, revision))


def environment(layout: Layout, revision: Optional[str], given: Dict[str, str]) -> Dict[str, str]:
    """An environment with the whole configuration over it; one that somebody made unreadable has nothing for it."""
    return over(given, _readable(layout, revision))


def over(given: Dict[str, str], configured: Dict[str, str]) -> Dict[str, str]:
    """An environment with values over all of it but what tells of the release and of the build."""
    kept = {name: value for name, value in given.items() if name.startswith(_OURS)}
    return {**given, **configured, **kept}


def mask(layout: Layout, *revisions: Optional[str]) -> Mask:
    """What hides the secrets of these revisions; what cannot be read has none to hide."""
    from .masking import Mask

    secrets: List[str] = []
    for revision in filter(None, revisions):
        with contextlib.suppress(OSError, ValueError):
            found = values(layout, revision)
            secrets += (found[name] for name, origin in origins(layout, revision).items() if origin == "secrets")
    return Mask(secrets)


def origins(layout: Layout, revision: Optional[str]) -> Dict[str, str]:
    """Where each name of a revision comes from; empty where there is none, or none that can be read."""
    from . import env_file

    with contextlib.suppress(OSError, ValueError):
        told = (comment.partition(": ") for comment in env_file.comments(_text(layout, revision)))
        return {name: origin for origin, _, names in told for name in names.split()}
    return {}


def changes(layout: Layout, before: Optional[str], after: Optional[str]) -> Changes:
    """The names in which two revisions differ; all of them where one cannot be read."""
    return _differing(_readable(layout, before), _readable(layout, after))


def _differing(one: Dict[str, str], other: Dict[str, str]) -> Changes:
    return {
        "added": sorted(other.keys() - one.keys()),
        "changed": sorted(name for name in one.keys() & other.keys() if one[name] != other[name]),
        "removed": sorted(one.keys() - other.keys()),
    }


def _readable(layout: Layout, revision: Optional[str]) -> Dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        return values(layout, revision)
    return {}


def _text(layout: Layout, revision: Optional[str]) -> str:
    return (layout.config / str(revision)).read_text("utf-8")


# --- keeping one -------------------------------------------------------------------------------------------------


def configure(layout: Layout, request: ConfigureRequest, say: Optional[Say] = None) -> ConfigureAnswer:
    """Keep the configuration of a release, so that an activation can put it in use.

    One that somebody edited counts as none: what services run with is not known then.
    """
    from . import key

    found = problem(layout)
    if found:
        raise Refusal("invalid", f"nothing was switched: {found['message']}", hint=found["hint"])
    release, sources = layout.release(_meant(layout, request)), request["env"]
    merged = _merged(release, sources)
    if not request.get("dry_run"):
        layout.create()
    current = in_use(layout)
    if current and not _is_whole(layout, current):
        anew = key.is_newer(layout, layout.config / current)
        if say:
            say("warning", _not_whole(layout, current, anew), level="warning")
        current = current if anew else None
    revision, text = _named(layout, merged)
    if not request.get("dry_run"):
        _keep(layout, revision, text)
        give(layout, revision, request.get("owner"))
    return {
        "revision": revision,
        "current": current,
        "names": _differing(_readable(layout, current), {name: each.value for name, each in merged.items()}),
        "origins": {name: merged[name].origin for name in sorted(merged)},
        "fits": _noted(release) in (_ADOPTED, digest_of_build(layout, release, sources)),
    }


def _not_whole(layout: Layout, revision: str, anew: bool) -> str:
    """Why the configuration in use is not the one that its name says, in words."""
    if anew:
        why = f"{layout.key}, the secret that gives configurations their revisions, was lost, or others could read it"
        return f"{why}: it was made anew, and every configuration has another revision from now on"
    return f"somebody edited {layout.config / revision}, the configuration in use"


def for_build(release: Path, sources: Optional[Sources]) -> Dict[str, str]:
    """What a build sees of a configuration: the values of the names that were asked for."""
    if not sources:
        return {}
    merged = _merged(release, sources)
    return {name: merged[name].value for name in sources["build"]}


def digest_of_build(layout: Layout, release: Path, sources: Optional[Sources]) -> Optional[str]:
    """The keyed digest of what a build sees of a configuration; None when it sees nothing."""
    seen = for_build(release, sources)
    return _keyed(layout, repr(sorted(seen.items()))) if seen else None


def digests(layout: Layout, seen: Dict[str, str]) -> Dict[str, str]:
    """The keyed digest of each value, by its name."""
    return {name: _keyed(layout, f"{name}={value}") for name, value in sorted(seen.items())}


def _noted(release: Path) -> Optional[str]:
    """What a release noted of the configuration of its build; one that another tool made fits every one."""
    from . import seal

    return seal.read_meta(release).get("configured") if seal.state_of(release) == "sealed" else _ADOPTED


class _Value:
    """A value, and where it comes from."""

    def __init__(self, value: str, origin: str) -> None:
        self.value = value
        self.origin = origin


def _merged(release: Path, sources: Sources) -> Dict[str, _Value]:
    from . import env_file

    merged: Dict[str, _Value] = {}
    for origin, found in zip(ORIGINS, (_of_file(release, sources["file"]), sources["values"], sources["secrets"])):
        try:
            env_file.check(found)
        except env_file.Wrong as wrong:
            what = f"nothing was switched: env.{origin}: {wrong}"
            raise Refusal("invalid", what, hint=_CORRECT[origin]) from None
        merged.update({name: _Value(value, origin) for name, value in found.items()})
    unknown = [name for name in sources["build"] if name not in merged]
    if unknown:
        what = f"env.build names {', '.join(unknown)}, which the configuration does not have"
        raise Refusal("invalid", f"nothing was switched: {what}", hint="correct env.build in fabric.yaml")
    return merged


def _of_file(release: Path, path: Optional[str]) -> Dict[str, str]:
    """The variables of a file of the commit."""
    from . import env_file

    if path is None:
        return {}
    top, place = os.path.realpath(release), os.path.realpath(release / path)
    hint = f"commit it, or correct env.file in fabric.yaml: {path}"
    if not place.startswith(f"{top}/") or not os.path.isfile(place):
        raise Refusal("invalid", f"nothing was switched: release {release.name} has no file {path}", hint=hint)
    hint = f"correct the file, and commit it: {path}"
    try:
        return env_file.parse(Path(place).read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise Refusal("invalid", f"nothing was switched: {path} is no text in UTF-8", hint=hint) from None
    except env_file.Wrong as wrong:
        raise Refusal("invalid", f"nothing was switched: {path}: {wrong}", hint=hint) from None


def _meant(layout: Layout, request: ConfigureRequest) -> str:
    """The release that a configuration is asked for."""
    found = request["sha"] or layout.live()
    if found is None:
        raise Refusal("missing", "nothing was changed: no release is live on this host", hint="deploy one first")
    return found


def _named(layout: Layout, merged: Dict[str, _Value]) -> Tuple[str, str]:
    """The revision and the text of a configuration.

    Where somebody edited the file of that revision, and it is in use, another one: services read the edited file until
    the switch, and it comes back with a restore.
    """
    text = _rendered(merged)
    revision = _keyed(layout, text)[:16]
    if revision == in_use(layout) and not _is_whole(layout, revision):
        text = _rendered(merged, "written anew")
        revision = _keyed(layout, text)[:16]
    return revision, text


def _rendered(merged: Dict[str, _Value], *remarks: str) -> str:
    """The text of a configuration; its comments say where each name comes from."""
    from . import env_file

    told = ([name for name in sorted(merged) if merged[name].origin == origin] for origin in ORIGINS)
    comments = (f"{origin}: {' '.join(names)}" for origin, names in zip(ORIGINS, told) if names)
    return env_file.render({name: each.value for name, each in merged.items()}, [*comments, *remarks])


def _keep(layout: Layout, revision: str, text: str) -> None:
    place = layout.config / revision
    durable.make_directory(layout.config, 0o700)
    with _alone(layout):
        if place.is_file() and place.read_bytes() == text.encode():
            os.utime(place)  # pruning goes by the date
        else:
            layout.reserve.spend(durable.write, place, text.encode())


@contextlib.contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Nobody else keeps or forgets a revision meanwhile."""
    import fcntl

    number = os.open(layout.config, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def give(layout: Layout, revision: str, owner: Optional[str]) -> None:
    """Let a revision be read by the group of ``owner``, and nobody else; without one by the login alone."""
    from . import another_user

    place = layout.config / revision
    user, status = another_user.owner(owner), place.stat()
    if user and status.st_gid != user.pw_gid:
        place.chmod(0o600)  # the other group reads it no longer
        another_user.give(place, user, group_alone=True)
    if user:
        _let_pass(layout)
    mode = 0o640 if user else 0o600
    if place.stat().st_mode & 0o7777 != mode:
        place.chmod(mode)


def _let_pass(layout: Layout) -> None:
    """Let everybody reach a revision by its name; what else lies in `.deploy` is closed first."""
    for entry in os.scandir(layout.ours):
        with contextlib.suppress(FileNotFoundError):  # what others work with comes and goes
            mode = entry.stat(follow_symlinks=False).st_mode
            if mode & 0o077 and entry.name != layout.config.name and not entry.is_symlink():
                os.chmod(entry.path, mode & 0o7700)
    for directory in (layout.config, layout.ours):
        if directory.stat().st_mode & 0o7777 != 0o711:
            directory.chmod(0o711)


def _is_whole(layout: Layout, revision: str) -> bool:
    """Whether a configuration has the text that it is named by."""
    with contextlib.suppress(OSError, ValueError):
        return _keyed(layout, _text(layout, revision))[:16] == revision
    return False


def _keyed(layout: Layout, text: str) -> str:
    import hmac

    from . import key

    return hmac.new(key.of(layout), text.encode(), "sha256").hexdigest()


# --- the switch --------------------------------------------------------------------------------------------------


def refuse(layout: Layout, revision: str) -> None:
    """Refuse a revision that cannot be put in use."""
    found, unfit = problem(layout), unusable(layout, revision)
    if found:
        raise Refusal("invalid", f"nothing was switched: {found['message']}", hint=found["hint"])
    if unfit:
        hint = "deploy the release, which takes today's configuration"
        raise Refusal("invalid", f"nothing was switched: {unfit}", hint=hint)


def unusable(layout: Layout, revision: Optional[str]) -> Optional[str]:
    """Why a revision cannot be put in use, in words; None when it can, or none is named."""
    if revision is None:
        return None
    if not (layout.config / revision).is_file():
        return f"the configuration {revision} is not on this host any more"
    try:
        values(layout, revision)
    except (OSError, ValueError) as error:
        return f"the configuration {revision} cannot be read: {error}"
    return None


def stage(layout: Layout, revision: str, before: Optional[str]) -> None:
    """Make the links that a later rename puts in the place of `env`: the one for the way back first."""
    for name, named in (("restore", before), ("switch", revision)):
        _link(_staged(layout, name), named)
    _date(_staged(layout, "restore"), _begun(layout, before) if before else None)


def _begun(layout: Layout, revision: str) -> Optional[float]:
    """When a revision was put in use, by the clock of then: before that attempt restarted the services."""
    if in_use(layout) == revision:
        return _dated(layout)
    entry = _put_by(layout, revision)
    return entry["at"] - sum(entry.get("seconds", {}).values()) - _BETWEEN if entry else None


def put(layout: Layout, name: str, revision: Optional[str]) -> None:
    """Let `env` name a revision, by one rename of the link that was made for it; None: nothing, as it was before."""
    if revision is None:
        if in_use(layout):
            layout.env.unlink()
            durable.sync_directory(layout.env.parent)
    elif in_use(layout) != revision:
        if not _staged(layout, name).is_symlink():
            layout.reserve.spend(_link, _staged(layout, name), revision)
        if name == "switch":
            _date(_staged(layout, name), time.time())
        durable.replace(_staged(layout, name), layout.env)


def unstage(layout: Layout) -> None:
    """Take away the links that only an unfinished activation needs."""
    for name in ("switch", "restore"):
        with contextlib.suppress(OSError):
            _staged(layout, name).unlink()


def before(layout: Layout) -> Optional[str]:
    """The revision that an unfinished activation would go back to, by the links that it left."""
    back = _staged(layout, "restore")
    return _named_by(layout, back) if back.is_symlink() else in_use(layout)


def _staged(layout: Layout, name: str) -> Path:
    """Where a link waits to be renamed over `env`: a place on the same filesystem."""
    near = os.path.isdir(layout.tmp) and layout.tmp.stat().st_dev == layout.root.stat().st_dev
    return (layout.tmp if near else layout.root) / f".env.{name}"


def _date(link: Path, at: Optional[float]) -> None:
    """Let a link say since when its configuration is in use: a way back puts none in use that services do not have."""
    if at is not None:
        os.utime(link, (at, at), follow_symlinks=False)


def _link(path: Path, revision: Optional[str]) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(f".deploy/config/{revision or _NONE}")


# --- what stays --------------------------------------------------------------------------------------------------


def was_in_use(layout: Layout, revision: Optional[str]) -> None:
    """Let a revision stay for a day from now: its secrets are in what services said until now."""
    with contextlib.suppress(OSError):
        if revision:
            os.utime(layout.config / revision)


def old(layout: Layout) -> List[Path]:
    """The revisions that nobody asked for within a day."""
    found = layout.config.glob("*") if layout.config.is_dir() else ()
    return [path for path in found if time.time() - path.lstat().st_mtime > STAGED]


def forget_others(layout: Layout, named: Iterable[Optional[str]]) -> None:
    """Remove the revisions that are neither named nor in use, and that nobody asked for within a day.

    The caller keeps activations out: one puts a revision in use that its release's record names.
    """
    if not layout.config.is_dir():
        return
    with _alone(layout):
        kept = {in_use(layout), *named}
        for path in old(layout):
            if path.name not in kept:
                path.unlink(missing_ok=True)
