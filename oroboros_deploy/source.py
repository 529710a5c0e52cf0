"""The control node's git repository: which commit is meant, and the bytes a host lacks of it.

Nothing here writes to the repository, runs a shell, or lets text choose an option.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE
from typing import IO, TYPE_CHECKING

from .errors import InvalidInput, UnknownCommit

if TYPE_CHECKING:
    from .host.contract import Changes

DEADLINE = 60  # seconds for one answer from git
SILENCE = 600  # seconds git may think before the next byte of a pack
_CHUNK = 64 * 1024
_HUNG = "type the same command again; when git hangs again, git fsck says what is wrong with the repository"
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_DIGITS = {"sha1": 40, "sha256": 64}
_HEX = re.compile(r"[0-9a-fA-F]{4,64}")
# Reflog and search syntax mean something else on every machine, or tomorrow.
_ODD = re.compile(r"^[-^]|\s|@\{|\^\{/")
_BEFORE_NAME = {"1": 8, "u": 10, "?": 1}  # fields of a line of `git status`, by what it is about
_AS_COMMITS = ("--encoding=UTF-8", "--format=%H %cI %an%x00%s", "--stdin")
# Set by git while it runs a hook, these would send us to another repository.
_HOOK_VARIABLES = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
}

# What is missing in a partial clone is not fetched to answer a question, by whatever program the repository names
# (core.sshCommand, remote.*.uploadpack, ext::). The first is of git 2.45; the second leaves older ones no transport.
_ALONE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}


@dataclass(frozen=True)
class Commit:
    """A commit of the source: ``committed_at`` is ISO 8601, ``ref`` what was typed when it was not a sha."""

    sha: str
    subject: str
    committed_at: str
    ref: str | None = None
    author: str = ""


class Source:
    """The git repository that holds ``path``: a work tree or a directory in one, or bare."""

    def __init__(self, path: str | Path = ".") -> None:
        """Raises InvalidInput when it is not a git repository, or git is missing."""
        self.path = Path(path).absolute()
        found = self._git("rev-parse", "--is-shallow-repository", "--show-object-format")
        if found.returncode:
            raise InvalidInput(
                f"nothing was changed: {self.path} is not a readable git repository ({_reason(found.stderr)})",
                hint=_remedy(found.stderr) or "run the command inside the project's git repository",
            )
        shallow, self._format = _lines(found)
        self._shallow = shallow == "true"

    def resolve(self, text: str) -> Commit:
        """The one commit that a sha, a prefix of it (4 digits or more) or a ref names.

        Hexadecimal digits name a commit before they name a branch or tag, and a
        full sha never names a ref. Annotated tags stand for their commit.
        Raises UnknownCommit.
        """
        if not text or len(text) > 1024 or not text.isprintable() or _ODD.search(text):
            raise self._unknown(f"{text[:80]!a} is not a commit sha, branch or tag")
        if len(text) == _DIGITS[self._format] and _SHA.fullmatch(text.lower()) and (found := self._shown(text)):
            return found[0]
        if _HEX.fullmatch(text) and (shas := self._named_by_prefix(text)):
            return self._only(text, shas)
        if _SHA.fullmatch(text.lower()):
            raise self._unknown(f"no commit {text} in {self.path}", self._how_to_get())
        return replace(self._describe([self._named_by_ref(text)])[0], ref=text)

    def bundle(self, sha: str, haves: Sequence[str]) -> Iterator[bytes]:
        """A git bundle of the commit on top of the commits a host has already, in chunks.

        It holds one ref, ``refs/oroboros/<sha>``; ``haves`` unknown here are left
        out, and without any the whole history is sent. Raises UnknownCommit when
        this repository has not all of it.
        """
        if not self._commits([sha]):
            raise self._unknown(f"no commit {sha[:80]!a} in {self.path}", self._how_to_get())
        known = self._commits(haves)
        self._refuse_grafts()
        self._refuse_missing_history(sha, known)
        return self._stream(sha, known)

    def log(self, old: str, new: str, limit: int = 50) -> list[Commit]:
        """The newest commits that ``new`` has and ``old`` has not; none when either is unknown here."""
        known = _SHA.fullmatch(old) and _SHA.fullmatch(new)
        return self._shown(new, f"^{old}", walk=f"--max-count={limit}") if known else []

    def describe(self, sha: str) -> str:
        """What git calls a commit by its newest tag; by its id, where no tag leads to it or git cannot tell."""
        found = self._git("describe", "--tags", "--always", "--abbrev=10", sha)
        return _lines(found)[0] if found.returncode == 0 else sha

    def mode(self, sha: str, path: str) -> str:
        """git's mode of what a commit has at a path, such as ``100755``; empty where it has nothing there."""
        found = self._git("ls-tree", "--full-tree", sha, "--", path)
        return _lines(found)[0].partition(" ")[0] if found.returncode == 0 and found.stdout else ""

    def apart(self, old: str, new: str) -> tuple[int, int] | None:
        """How many commits only ``old`` has, and only ``new``; None when either is unknown here."""
        if not (_SHA.fullmatch(old) and _SHA.fullmatch(new)):
            return None
        found = self._git("rev-list", "--left-right", "--count", f"{old}...{new}")
        counts = _text(found)[0].split() if found.returncode == 0 else []
        return (int(counts[0]), int(counts[1])) if len(counts) == 2 else None

    def is_unpushed(self, sha: str) -> bool:
        """Whether there are branches of a remote, and none has the commit, as far as this repository knows."""
        found = self._git("rev-list", "--max-count=1", sha, "--not", "--remotes")
        if found.returncode or not found.stdout:
            return False
        return bool(self._git("for-each-ref", "--count=1", "refs/remotes").stdout)

    def dirty(self, sha: str | None = None, within: str = "") -> list[str]:
        """The files of the work tree that are not as they were committed; none where there is no work tree.

        With a ``sha``, none where another commit is checked out.  Of what was never added directories are told and not
        their files, except ``within`` the one that is named.
        """
        there = ("--untracked-files=all", "--", f":(top,literal){within}") if within else ()
        status = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames", *there)
        found = self._git("-c", "core.fsmonitor=false", *status)
        entries = found.stdout.decode(errors="replace").split("\0")[:-1] if found.returncode == 0 else []
        if sha and f"# branch.oid {sha}" not in entries:
            return []
        return [entry.split(" ", _BEFORE_NAME[entry[0]])[-1] for entry in entries if entry[0] in _BEFORE_NAME]

    def differing(self, old: str | None, new: str, directory: str) -> Changes | None:
        """The files in a directory in which two commits differ (None: nothing is there); None where one is unknown."""
        if not all(_SHA.fullmatch(sha) for sha in (old, new) if sha is not None):
            return None
        if old is None:
            found = self._git("ls-tree", "--full-tree", "-r", "-z", "--name-only", new, "--", f"{directory}/")
            words = [word for name in found.stdout.decode(errors="replace").split("\0")[:-1] for word in ("A", name)]
        else:
            ways = ("--no-renames", "--name-status", "-r", "-z")
            found = self._git("diff-tree", *ways, old, new, "--", f"{directory}/")
            words = found.stdout.decode(errors="replace").split("\0")[:-1]
        return None if found.returncode else _differing(words, f"{directory}/")

    def file(self, sha: str, path: str) -> str:
        """The text of a file of a commit; empty where there is none.  Raises UnicodeDecodeError."""
        found = self._git("cat-file", "blob", f"{sha}:{path}")
        return found.stdout.decode() if found.returncode == 0 else ""

    # --- which commit ---

    def _named_by_prefix(self, prefix: str) -> list[str]:
        objects = _lines(self._git("rev-parse", f"--disambiguate={prefix}"))
        return sorted(set(self._commits_among(f"{name}^{{}}" for name in objects)))

    def _named_by_ref(self, text: str) -> str:
        found = self._git("rev-parse", "--verify", "--end-of-options", f"{text}^{{commit}}")
        if found.returncode:
            raise self._unknown(f"{text[:80]!a} names no commit in {self.path}", self._how_to_get())
        if b"is ambiguous" in found.stderr:
            raise self._unknown(f"{text!a} is both a tag and a branch", f"say tags/{text} or heads/{text}")
        return _lines(found)[0]

    def _only(self, text: str, shas: Sequence[str]) -> Commit:
        commits = self._describe(shas[:10], "--no-walk=unsorted")
        if len(shas) == 1:
            return commits[0]
        listed = "\n".join(f"  {commit.sha}  {commit.subject}" for commit in commits)
        raise self._unknown(f"{text} is the beginning of {len(shas)} commits:\n{listed}", "type more of the sha")

    def _describe(self, revisions: Sequence[str], walk: str = "--no-walk") -> list[Commit]:
        return _commits(self._ask("rev-list", walk, *_AS_COMMITS, lines=revisions))

    def _shown(self, *revisions: str, walk: str = "--no-walk") -> list[Commit]:
        """The same in one question, none when there is any trouble: who needs to know which asks further."""
        found = self._git("rev-list", walk, *_AS_COMMITS, lines=[f"{each}^{{commit}}" for each in revisions])
        return [] if found.returncode else _commits(_text(found))

    def _commits(self, shas: Iterable[str]) -> list[str]:
        return self._commits_among(sha for sha in dict.fromkeys(shas) if _SHA.fullmatch(sha))

    def _commits_among(self, names: Iterable[str]) -> list[str]:
        found = self._ask("cat-file", "--batch-check=%(objectname) %(objecttype)", lines=list(names))
        return [line.split()[0] for line in found if line.endswith(" commit")]

    # --- what to send ---

    def _refuse_missing_history(self, sha: str, known: Sequence[str]) -> None:
        if not self._shallow:
            return
        boundary = _lines(self._git("rev-parse", "--path-format=absolute", "--git-path", "shallow"))
        cut = set(Path(boundary[0]).read_text().split())
        if cut.intersection(self._ask("rev-list", "--stdin", lines=[sha, *(f"^{have}" for have in known)])):
            raise self._unknown(f"{self.path} is a shallow clone without the history of {sha}", self._how_to_get())

    def _refuse_grafts(self) -> None:
        """Refuse other parents than those of the commits: git here would leave out what a host then misses."""
        grafts = Path(_lines(self._git("rev-parse", "--path-format=absolute", "--git-path", "info/grafts"))[0])
        lines = grafts.read_bytes().splitlines() if grafts.is_file() else []
        if any(line.strip() and not line.startswith(b"#") for line in lines):
            raise InvalidInput(
                f"nothing was changed: {grafts} gives commits other parents, and a host would miss the real ones",
                hint=f"git -C {shlex.quote(str(self.path))} replace --convert-graft-file",
            )

    def _stream(self, sha: str, known: Sequence[str]) -> Iterator[bytes]:
        version = "# v2 git bundle" if self._format == "sha1" else f"# v3 git bundle\n@object-format={self._format}"
        yield "\n".join([version, *(f"-{have}" for have in known), f"{sha} refs/oroboros/{sha}", "", ""]).encode()
        yield from self._pack([sha, *(f"^{have}" for have in known)])

    def _pack(self, revisions: Sequence[str]) -> Iterator[bytes]:
        argv = self._argv("pack-objects", "--revs", "--stdout", "--thin", "--delta-base-offset", "-q")
        with tempfile.TemporaryFile() as wanted, tempfile.TemporaryFile() as complaints:
            wanted.write("".join(f"{revision}\n" for revision in revisions).encode())
            wanted.seek(0)
            with subprocess.Popen(argv, stdin=wanted, stdout=PIPE, stderr=complaints, env=_environment()) as git:
                try:
                    yield from _chunks(git.stdout)
                except BaseException:  # whoever reads gave up, and git would wait for ever
                    git.kill()
                    raise
            if git.returncode:
                complaints.seek(0)
                raise self._failed("pack-objects", complaints.read())

    # --- git ---

    def _argv(self, *arguments: str) -> list[str]:
        # With a warning git tells that a name is a tag's and a branch's, which a configuration can switch off.
        warned = ("-c", "core.warnAmbiguousRefs=true")
        return ["git", "--no-pager", "--no-replace-objects", *warned, "-C", str(self.path), *arguments]

    def _git(self, *arguments: str, lines: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                self._argv(*arguments),
                input="".join(f"{line}\n" for line in lines).encode(),
                capture_output=True,
                env=_environment() | _ALONE,
                timeout=DEADLINE,
                check=False,
            )
        except FileNotFoundError:
            raise InvalidInput("nothing was changed: git is not installed here", hint="install git") from None
        except subprocess.TimeoutExpired:
            raise InvalidInput(f"nothing was changed: git gave no answer within {DEADLINE} s", hint=_HUNG) from None

    def _ask(self, *arguments: str, lines: Sequence[str]) -> list[str]:
        if not lines:
            return []
        answer = self._git(*arguments, lines=lines)
        if answer.returncode:
            raise self._failed(arguments[0], answer.stderr)
        return _text(answer)

    def _how_to_get(self) -> str:
        return f"git -C {shlex.quote(str(self.path))} fetch " + ("--unshallow" if self._shallow else "--all --tags")

    def _failed(self, command: str, complaint: bytes) -> InvalidInput:
        reason = f"nothing was changed: git {command} failed in {self.path} ({_reason(complaint)})"
        return InvalidInput(reason, hint="git fsck says what is wrong with the repository")

    def _unknown(self, reason: str, hint: str | None = None) -> UnknownCommit:
        return UnknownCommit(f"nothing was changed: {reason}", hint=hint or "git log --oneline shows the commits")


def _differing(words: Sequence[str], directory: str) -> Changes:
    """Names in a directory by what became of them, from git's ``A name M name D name``."""
    pairs = [(letter, name.removeprefix(directory)) for letter, name in zip(words[::2], words[1::2], strict=True)]
    found = {letters: sorted(name for letter, name in pairs if letter in letters) for letters in ("A", "MT", "D")}
    return {"added": found["A"], "changed": found["MT"], "removed": found["D"]}


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    return own | {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def _chunks(stream: IO[bytes] | None) -> Iterator[bytes]:
    assert stream is not None
    ready = select.poll()  # unlike select(), not limited to the first 1024 descriptors
    ready.register(stream, select.POLLIN)
    while ready.poll(SILENCE * 1000):
        chunk = os.read(stream.fileno(), _CHUNK)
        if not chunk:
            return
        yield chunk
    what = f"git, which packs the commits for the host, gave no data for {SILENCE} s"
    raise InvalidInput(f"nothing was changed: {what}", hint=_HUNG)


def _commits(lines: Sequence[str]) -> list[Commit]:
    return [_commit(line) for line in lines[1::2]]  # rev-list announces every commit with a line of its own


def _commit(line: str) -> Commit:
    head, _, subject = line.partition("\0")
    sha, committed_at, author = head.split(" ", 2)
    return Commit(sha, subject, committed_at, author=author)


def _text(answer: subprocess.CompletedProcess[bytes]) -> list[str]:
    return answer.stdout.decode(errors="replace").split("\n")[:-1]


def _lines(answer: subprocess.CompletedProcess[bytes]) -> list[str]:
    return answer.stdout.decode(errors="surrogateescape").split("\n")[:-1]


def _reason(complaint: bytes) -> str:
    """Why git gave up: it says so in one line of several, before or after what else it has to say."""
    lines = [line.strip() for line in complaint.decode(errors="replace").split("\n") if line.strip()]
    said = [line for word in ("fatal: ", "error: ") for line in lines if line.startswith(word)]
    return next(iter([*said, *reversed(lines)]), "no reason given")


def _remedy(complaint: bytes) -> str | None:
    """The command that git itself names for a repository of another user."""
    lines = complaint.decode(errors="replace").split("\n")
    return next((line.strip() for line in lines if line.strip().startswith("git config --global --add safe.")), None)
