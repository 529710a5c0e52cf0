"""The bare git mirror that releases are made from."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

from .. import durable, environment, process, seal
from ..annotations import Dict, Iterable, List, Optional
from ..refusal import Refusal

# Nothing in a repository may run a program of its own here; `ext::` would be one.
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never")
_QUIET = ("-c", "gc.autoDetach=false", "-c", "advice.detachedHead=false", "-c", "core.attributesFile=/dev/null")
# The settings and attributes of the login and the host (a name format, a protocol that is refused, line ends) are about
# repositories of their own.  Only a fetch from a URL needs the settings, for credentials and proxies.
_OURS_ALONE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
# Nor does what is missing in somebody's partial clone start a fetch by the programs that its configuration names.
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}
_NAMES = re.compile(r"[0-9a-f]{40,64}( [0-9a-f]{40,64})? ?")  # of an object, and of what a tag names
# How a file begins that passed one of these filters on its way into a commit, and is of no use as it is.
_FILTERED = {
    "lfs": b"version https://git-lfs.github.com/spec/",
    "git-crypt": b"\0GITCRYPT\0",
    "crypt": b"U2FsdGVkX1",
    "annex": b"/annex/objects/",
}
_ODD = 1 | 4  # of the bits of fsck's exit status: an object, or one in a pack, is not as git would write it


class Mirror:
    """One repository on the host; ``path`` may be bare or have a work tree.

    ``stop`` ends what git is doing when nobody wants it any more.  ``note`` is a file that says which mirror we made.
    """

    def __init__(self, path: Path, stop: Optional[threading.Event] = None, note: Optional[Path] = None) -> None:
        self.path = path
        self.stop = stop
        self.note = note

    @property
    def exists(self) -> bool:
        return (self.path / "HEAD").is_file() or (self.path / ".git").exists()

    @property
    def _directory(self) -> Path:
        """Where git keeps it: below a work tree, where it has one."""
        below = self.path / ".git"
        return below if below.exists() else self.path

    def create(self, sha: str) -> None:
        """Make an empty mirror where there is none, for commits with names like this one."""
        if not self.exists:
            self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
            names = ["--object-format=sha256"] if len(sha) == 64 else []  # older gits do not know the option
            self._must("init", "--quiet", "--bare", *names, seconds=30)
            if self.note:
                durable.write(self.note, os.fsencode(self.path))

    @property
    def is_ours(self) -> bool:
        """Whether we made it: the note says so, or it has the names that only we give to commits.

        What 0.1.0 fetched from a URL has no note, and the names of `_FETCHED` alone.
        """
        noted = self.note is not None and self.note.is_file() and self.note.read_bytes() == os.fsencode(self.path)
        bare = self._directory == self.path
        return noted or self._has_names(f"refs/{_NAMESPACE}") or (bare and self._has_names(_FETCHED))

    def _has_names(self, below: str) -> bool:
        packed = self._directory / "packed-refs"
        return (self._directory / below).is_dir() or (packed.is_file() and f" {below}/".encode() in packed.read_bytes())

    def refuse_strange(self) -> None:
        """Refuse to write to what somebody else put here, as a clone that an application keeps for itself."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())) and not self.is_ours:
            raise Refusal(
                "invalid",
                f"nothing was switched: oroboros_deploy did not make what is in {self.path}, and will not write there",
                hint=f"set repo_root to another path; or on the host: mv {self.path} {self.path}.theirs",
            )

    def unlock(self) -> None:
        """Remove the locks of a git that a power cut or a kill ended: builds go one after another, nobody else has one.

        A clone of the old scripts has a work tree, and somebody may be at work in it.
        """
        if self._directory == self.path and self.is_ours:
            places = (
                self.path.glob("*.lock"),
                *((self.path / name).rglob("*.lock") for name in ("refs", "objects/info")),
            )
            for left in (path for place in places for path in place):
                left.unlink(missing_ok=True)

    def damage(self, deadline: float) -> Optional[str]:
        """What git cannot read here, in its words; None when it reads everything, or could not tell in time.

        Objects that are only odd, as some old tools wrote them, are no damage.
        """
        asked = self._git("for-each-ref", until=deadline)
        if asked.ok:
            asked = self._git("fsck", "--no-dangling", "--no-progress", until=deadline)
        if asked.status is None or asked.status < 0 or not asked.status & ~_ODD:
            return None
        words = [line for line in asked.tail.splitlines() if not line.startswith(("error in ", "warning in "))]
        return words[0] if words else asked.reason

    def set_aside(self, damage: str) -> Path:
        """Move a mirror that git cannot read out of the way and return its new path; refuse when it is not ours."""
        if not self.is_ours:
            why = f"git cannot read {self.path}, which oroboros_deploy did not make: {damage}"
            raise Refusal("build_failed", why, hint=f"repair it, or move it away: {self.path} is then made anew")
        aside = self.path.with_name(f"{self.path.name}.damaged")
        if os.path.lexists(aside):
            seal.remove(aside)
        self.path.rename(aside)
        return aside

    def has(self, sha: str) -> bool:
        """Whether the commit is here (a tree or blob of that name is not one)."""
        return self.exists and self._git("cat-file", "-e", f"{sha}^{{commit}}", seconds=30).ok

    def tips(self, limit: int = 64) -> List[str]:
        """Commits that a bundle can build on, newest first."""
        if not self.exists:
            return []
        listing = ("for-each-ref", "--sort=-committerdate", f"--count={limit}", "--format=%(objectname) %(*objectname)")
        lines = self._git(*listing, seconds=30).tail.splitlines()
        if not all(map(_NAMES.fullmatch, lines)):
            return []  # it complains of something: whoever builds on nothing of it needs none of it
        return list(dict.fromkeys(line.split()[-1] for line in lines))

    def take_bundle(self, bundle: Path, sha: str, deadline: float) -> None:
        """Bring in a bundle; git checks that every object it needs is there."""
        ref = f"refs/{_NAMESPACE}/{sha}"
        fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(bundle), f"+{ref}:{ref}")
        reads = {"GIT_ALLOW_PROTOCOL": "file"}
        self._must(*fetch, env=reads, until=deadline)  # git before 2.32 reads all

    def fetch(self, url: str, sha: str, deadline: float) -> None:
        """Bring in a commit from a URL by its name, or with all branches and tags, where the server wants that."""
        common = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", url)
        single = self._git(*common, f"+{sha}:refs/{_NAMESPACE}/{sha}", until=deadline, settings={})
        if not self.has(sha):
            all_refs = (f"+refs/heads/*:{_FETCHED}/*", "+refs/tags/*:refs/tags/*")
            branches = self._git(*common, *all_refs, until=deadline, settings={})
            if not self.has(sha):
                said = (branches if not branches.ok else single).tail
                raise Refusal(
                    "missing_commit",
                    f"commit {sha} is not in the repository this host fetches from; git said: {_redact(said)}",
                    hint="push the commit, or check repo_url and this host's access to it",
                )

    def check_out(self, sha: str, release: Path, index: Path, deadline: float) -> List[str]:
        """Write the commit's files into ``release``, every one as committed, for no filter of a user's own runs.

        Returns the names of the filters that it did not run.  Refuses what is of no use without one.
        """
        env = {"GIT_INDEX_FILE": str(index)}
        try:
            tree = ("--work-tree", str(release))
            self._must("read-tree", sha, options=tree, env=env, until=deadline)
            self._refuse_submodules(sha, env)
            paths = self._filtered(index, env)
            self._must("checkout-index", "--all", "--force", "--quiet", options=tree, env=env, until=deadline)
            _refuse_unfiltered(release, paths)
        finally:
            index.unlink(missing_ok=True)
        return sorted({name for name in paths.values() if name not in _FILTERED})

    def _filtered(self, index: Path, env: Dict[str, str]) -> Dict[str, str]:
        """The files that git would send through a filter, and its name; asked only of commits that have attributes."""
        listed: List[bytes] = []
        self._must("ls-files", "-z", env=env, seconds=60, sink=listed)
        names = b"".join(listed)
        if b".gitattributes\0" not in names:
            return {}
        asked, told = index.with_name("paths"), list[bytes]()
        asked.write_bytes(names)
        self._must("check-attr", "--cached", "-z", "--stdin", "filter", env=env, seconds=60, sink=told, given=asked)
        answers = b"".join(told).split(b"\0")
        found = zip(map(os.fsdecode, answers[::3]), map(os.fsdecode, answers[2::3]))
        return {path: name for path, name in found if name not in ("unspecified", "unset", "set")}

    def listing(self, sha: str, deadline: float) -> Dict[str, str]:
        """Every file and directory of a commit: its path, and what git calls its content (``mode type id``)."""
        told: List[bytes] = []
        self._must("ls-tree", "-r", "-t", "-z", sha, until=deadline, sink=told)
        pairs = (os.fsdecode(line).partition("\t") for line in b"".join(told).split(b"\0") if line)
        return {path: name for name, _, path in pairs}

    def _refuse_submodules(self, sha: str, env: Dict[str, str]) -> None:
        listed: List[bytes] = []
        self._git("ls-files", "--stage", "-z", env=env, seconds=60, sink=listed)
        links = [entry for entry in b"".join(listed).split(b"\0") if entry.startswith(b"160000 ")]
        if links:
            name = links[0].split(b"\t", 1)[1].decode("utf-8", "replace")
            raise Refusal(
                "invalid",
                f"nothing was switched: commit {sha} has a submodule at {name!r}, and a release has none",
                hint="commit its files instead (git subtree), or install it as a package",
            )

    def _must(self, *arguments: str, **options: object) -> process.Ended:
        ended = self._git(*arguments, **options)  # type: ignore[arg-type]
        if not ended.ok:
            what = f"git {arguments[0]} {ended.reason}: {(ended.said or ended.tail)[-2000:]}"
            hint = f"type the same command again; when git fails again, on the host: git -C {self.path} fsck"
            raise Refusal("build_failed", what, hint=hint)
        return ended

    def _git(
        self,
        *arguments: str,
        seconds: float = 60,
        until: Optional[float] = None,
        env: Optional[Dict[str, str]] = None,
        settings: Optional[Dict[str, str]] = None,
        options: Iterable[str] = (),
        sink: Optional[List[bytes]] = None,
        given: Optional[Path] = None,
    ) -> process.Ended:
        login = {**_OURS_ALONE, **_NO_FETCH} if settings is None else settings
        argv = ["git", *_SAFE, *_QUIET, f"--git-dir={self._directory}", *options, *arguments]
        run = process.run if sink is None else process.apart  # what git complains of is no part of an answer
        return run(
            argv,
            cwd=self.path,
            deadline=until if until is not None else time.monotonic() + seconds,
            env={**environment.of_our_tools(), "GIT_TERMINAL_PROMPT": "0", **login, **(env or {})},
            sink=sink.append if sink is not None else None,
            stop=self.stop,
            given=given,
        )


_NAMESPACE = "oroboros"
_FETCHED = "refs/remotes/source"


def _refuse_unfiltered(release: Path, paths: Dict[str, str]) -> None:
    """Refuse files that are only a note of what they stand for, or are encrypted."""
    for path, name in paths.items():
        file = release / path
        begins = _FILTERED.get("git-crypt" if name.startswith("git-crypt-") else name)
        if begins is not None and file.is_file() and not file.is_symlink() and _begins(file, begins):
            raise Refusal(
                "invalid",
                f"nothing was switched: {path!r} passes git's filter {name!r}, which does not run on a host: "
                "what is committed is not the file itself",
                hint="commit the file itself, or let a step of the build fetch it",
            )


def _begins(file: Path, begins: bytes) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(begins)) == begins


def _redact(text: str) -> str:
    """In one line, without the user names, passwords and tokens of its URLs."""
    return re.sub(r"//[^/@\s]+@", "//***@", " ".join(text.split()))[:500] or "nothing"
