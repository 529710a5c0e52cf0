"""Where everything lies on the host."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from . import durable, words
from .annotations import TYPE_CHECKING, Iterator, NamedTuple, Optional
from .constants import FORMAT
from .journal import Journal
from .refusal import Refusal
from .reserve import Reserve
from .sha256 import digest

if TYPE_CHECKING:
    from .contract import LayoutPaths, Scope, TargetId

RELEASE_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


MACHINE_ID = Path("/etc/machine-id")


def machine() -> str:
    """A name for this machine, which does not tell its machine-id; empty where it has none."""
    known = MACHINE_ID.read_bytes().strip() if MACHINE_ID.exists() else b""
    return digest(b"oroboros_deploy " + known)[:32] if known else ""


def of_this_machine(told: TargetId) -> bool:
    """Whether a root with this id is this machine's; where either has no machine-id, nobody can say that it is not."""
    return not told["machine"] or machine() in ("", told["machine"])


class Layout(NamedTuple):
    """The paths of one deploy root; ``releases``, ``current`` and ``repo`` may be overridden one by one.

    ``scope`` is whose service manager runs what is deployed there (``manager.py``).
    """

    root: Path
    releases: Path
    current: Path
    repo: Path
    scope: Scope = "system"

    @classmethod
    def of(cls, paths: LayoutPaths) -> Layout:
        """Build from the request's plain strings."""
        root, releases, current, repo = map(Path, (paths["root"], paths["releases"], paths["current"], paths["repo"]))
        return cls(root, releases, current, repo, paths.get("scope", "system"))

    def as_dict(self) -> LayoutPaths:
        """Plain strings, for requests that are kept."""
        return {
            "root": str(self.root),
            "releases": str(self.releases),
            "current": str(self.current),
            "repo": str(self.repo),
            "scope": self.scope,
        }

    @property
    def ours(self) -> Path:
        """The directory of the agent's own files; nobody else reads it."""
        return self.root / ".deploy"

    @property
    def state(self) -> Path:
        return self.ours / "state.json"

    @property
    def journal(self) -> Path:
        return self.ours / "journal.jsonl"

    @property
    def unfinished(self) -> Path:
        """A link to the attempt that is not finished; there is none when all are."""
        return self.ours / "unfinished"

    @property
    def boot(self) -> Path:
        """What the boot unit needs."""
        return self.ours / "boot"

    @property
    def lock(self) -> Path:
        return self.ours / "lock"

    @property
    def start_lock(self) -> Path:
        """Held while a request is made an attempt."""
        return self.ours / "start.lock"

    @property
    def build_lock(self) -> Path:
        """The file of the lock of `build_lock.py`."""
        return self.ours / "build.lock"

    @property
    def id(self) -> Path:
        """Which target this is, and of which machine."""
        return self.ours / "id"

    @property
    def hold(self) -> Path:
        """Who holds this target on purpose, and why; there is none when nobody does."""
        return self.ours / "hold"

    @property
    def old_hold(self) -> Path:
        """Where 0.1.0 wrote a hold."""
        return self.ours / "freeze.json"

    @property
    def format(self) -> Path:
        """The number of the format that lies in `ours`; there is none where only 0.1.0 wrote."""
        return self.ours / "format"

    @property
    def key(self) -> Path:
        """The secret that digests are keyed by."""
        return self.ours / "key"

    @property
    def cache(self) -> Path:
        """What builds made and may take again."""
        return self.ours / "cache"

    @property
    def tools(self) -> Path:
        """What builds keep to build with."""
        return self.ours / "tools"

    @property
    def told(self) -> Path:
        """What was told once."""
        return self.ours / "told"

    @property
    def shared(self) -> Path:
        """What releases have in common, and services may write."""
        return self.root / "shared"

    @property
    def env(self) -> Path:
        """The link that names the configuration in use."""
        return self.root / "env"

    @property
    def config(self) -> Path:
        """The configurations that are kept, each by its revision."""
        return self.ours / "config"

    @property
    def unit_sets(self) -> Path:
        """The sets of units that are kept, each by its digest."""
        return self.ours / "units"

    @property
    def tmp(self) -> Path:
        return self.ours / "tmp"

    @property
    def reserve(self) -> Reserve:
        """The space that is kept for an activation on a full disk."""
        return Reserve(self.ours / "spare")

    def attempt(self, attempt: str) -> Path:
        """The directory of one attempt: its request, its log, its result."""
        return self.ours / "attempts" / attempt

    def release(self, release_id: str) -> Path:
        """The directory of one release; refuses what is not a release id, so no id can climb out."""
        if not RELEASE_ID.fullmatch(release_id):
            raise Refusal("invalid", f"{release_id!r} is not a release id (a full commit sha)")
        return self.releases / release_id

    def pin(self, release_id: str) -> Path:
        """The note that a release is never pruned."""
        return self.ours / "pins" / self.release(release_id).name

    @property
    def records(self) -> Path:
        return self.ours / "records"

    def record(self, release_id: str) -> Path:
        """What a release was committed with."""
        return self.records / self.release(release_id).name

    def create(self) -> None:
        """Make the directories that are ours to make."""
        for directory in (self.root, self.releases, self.current.parent):
            durable.make_directory(directory, 0o755)
        notes = (self.ours / name for name in ("attempts", "bad", "pins", "records"))
        for directory in (self.ours, self.tmp, self.boot, *notes):
            durable.make_directory(directory, 0o700)
        if not self._has_this_format():
            self.reserve.spend(durable.write, self.format, b"%d\n" % FORMAT)
        if not self.id.exists():
            self.reserve.spend(self._mint)
            self.refuse_other_machine()

    def _has_this_format(self) -> bool:
        """Whether the number is noted for which older agents refuse; `refuse_newer` has refused what is no number."""
        try:
            return int(self.format.read_text("ascii")) >= FORMAT
        except FileNotFoundError:
            return False

    def _mint(self) -> None:
        """Give this root an id of this machine's, unless there is one: of two machines at the same moment one does."""
        new = self.tmp / f"id-{os.urandom(8).hex()}"
        durable.write_json(new, self._new_id())
        try:
            os.link(new, self.id)
        except FileExistsError:
            pass
        finally:
            new.unlink()
        durable.sync_directory(self.ours)

    def _new_id(self) -> TargetId:
        return {"id": os.urandom(16).hex(), "machine": machine(), "name": os.uname().nodename, "root": str(self.root)}

    def claim(self) -> TargetId:
        """Give this root an id of this machine's in the place of whatever it has."""
        new = self._new_id()
        self.reserve.spend(durable.write_json, self.id, new)
        return new

    def target_id(self) -> Optional[TargetId]:
        """The id of this root, None where there is none.  Raises ValueError where the file holds no id."""
        try:
            told = json.loads(self.id.read_bytes())
            return {"id": told["id"], "machine": told["machine"], "name": told["name"], "root": told["root"]}
        except FileNotFoundError:
            return None
        except (TypeError, KeyError) as error:
            raise ValueError("no id") from error

    def target(self) -> Optional[str]:
        """The id of this target; None where there is none, or none that can be read."""
        try:
            found = self.target_id()
        except (OSError, ValueError):
            return None
        return found["id"] if found and isinstance(found["id"], str) else None

    def refuse_other_machine(self) -> None:
        """Raise Refusal when this root is another machine's, or a copy: what is said of it here is said of another."""
        try:
            told = self.target_id()
        except ValueError:
            what = f"nothing was changed: {self.id} holds no id"
            raise Refusal("invalid", what, hint="to give it a new id: fab -H HOST claim") from None
        if told and not of_this_machine(told):
            raise Refusal(
                "invalid",
                f"nothing was changed: {self.root} is the deploy root of the machine {told['name']}, and of that alone",
                hint="if this root is a copy or has moved here, make it this machine's: fab -H HOST claim",
            )
        if told and self.is_copy_of(told):
            raise Refusal(
                "invalid",
                f"nothing was changed: {self.root} is a copy of the deploy root {told['root']}, and has its id",
                hint="give it an id of its own: fab -H HOST claim",
            )

    def is_copy_of(self, told: TargetId) -> bool:
        """Whether the root that this id was made for is another one, and has it still; one that was moved keeps it.

        A place that this login may not look at says nothing; an id that is there and closed may be the same.
        """
        first = self._replace(root=Path(str(told["root"])))
        try:
            if os.path.samefile(first.ours, self.ours):  # by a link, or mounted in two places
                return False
        except OSError:
            return False
        try:
            there = first.target_id()
        except PermissionError:
            return True
        except (OSError, ValueError):
            return False
        return there is not None and there["id"] == told["id"]

    def refuse_newer(self) -> None:
        """Raise Refusal when a later version wrote what lies in `ours`: this one cannot know what it means."""
        try:
            found = self.format.read_text("ascii", "replace").strip()
        except FileNotFoundError:
            return
        if not found.isdigit():
            what = f"nothing was changed: {self.format} holds no number"
            raise Refusal("invalid", what, hint=words.without_format(str(self.format)))
        if int(found) > FORMAT:
            raise Refusal(
                "invalid",
                f"nothing was changed: a later version of oroboros_deploy wrote .deploy on this host (format {found})",
                hint=f"install oroboros_deploy 0.{found}.0 or later on this control node",
            )

    def release_ids(self) -> Iterator[str]:
        """The names in ``releases/`` that can be releases; anything else there is not ours."""
        if self.releases.is_dir():
            yield from sorted(name for name in os.listdir(self.releases) if RELEASE_ID.fullmatch(name))

    def live(self) -> Optional[str]:
        """The release that ``current`` names, None when there is no ``current`` or it is another program's.

        After the first commit a link to something else is one that somebody moved, and none is live.
        """
        if not self.current.is_symlink():
            if self.current.exists():
                raise Refusal(
                    "invalid",
                    f"{self.current} is a real directory or file, not a link to a release",
                    hint=f"move it away on the host: mv {self.current} {self.current}.old",
                )
            return None
        if self.foreign():
            return None
        target = self.current.parent / os.readlink(self.current)
        if target.parent.resolve() != self.releases.resolve() or not RELEASE_ID.fullmatch(target.name):
            if Journal(self.journal).committed():
                return None
            raise Refusal(
                "invalid",
                f"{self.current} points to {target}, which is not a release in {self.releases}",
                hint=f"on the host: ls {self.releases}; ln -sfn {self.releases}/RELEASE {self.current}",
            )
        return target.name

    def foreign(self) -> Optional[str]:
        """Where the link leads that another program has at ``current``: before the first commit it may stay there."""
        if not (self.current.is_symlink() and self.current.exists()):
            return None
        target = self.current.resolve()
        ours = self.releases.resolve() in (target, *target.parents)
        if ours or Journal(self.journal).committed():
            return None
        return os.readlink(self.current)

    def staged(self, name: str) -> Path:
        """Where a link waits to be renamed over ``current``: a place on the same filesystem."""
        parent = self.current.parent
        near = self.tmp if os.path.isdir(self.tmp) and self.tmp.stat().st_dev == parent.stat().st_dev else parent
        return near / f".current.{name}"

    def stage(self, name: str, release_id: str) -> None:
        """Make the link that a later rename puts in the place of ``current``."""
        self._link(self.staged(name), self._named(release_id))

    def put_beside(self, release_id: str) -> None:
        """Switch ``current`` by a link that is made in its own directory, whatever became of ours."""
        beside = self.current.parent / ".current.beside"
        self._link(beside, self._named(release_id))
        durable.replace(beside, self.current)

    def stage_link(self, name: str, text: str) -> None:
        """The same for a link that another program made."""
        self._link(self.staged(name), text)

    def _named(self, release_id: str) -> str:
        """What a link in the place of ``current`` says for a release."""
        return os.path.relpath(self.release(release_id).resolve(), self.current.parent.resolve())

    def _link(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(text)

    def bad(self, release_id: str) -> Path:
        """The note that a release failed its gate or its migration; kept apart, for a sealed tree is never touched."""
        return self.ours / "bad" / release_id
