"""The control node's repository, asked and bundled with real git."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oroboros_deploy.errors import InvalidInput, UnknownCommit
from oroboros_deploy.source import Commit, Source
from tests.support.rights import require_giving_away

Git = Callable[..., str]
WHEN = "2026-01-02T03:04:05+00:00"


@pytest.fixture(autouse=True)
def _quiet_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "C",
        "GIT_COMMITTER_EMAIL": "c@example.org",
        "GIT_AUTHOR_DATE": WHEN,
        "GIT_COMMITTER_DATE": WHEN,
    }.items():
        monkeypatch.setenv(name, value)


def git(where: Path, *arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(repository: Path, subject: str, text: str = "") -> str:
    (repository / "file").write_text(text or subject)
    git(repository, "add", "file")
    git(repository, "commit", "-q", "-m", subject)
    return git(repository, "rev-parse", "HEAD")


def make(path: Path, *subjects: str, options: tuple[str, ...] = ()) -> Path:
    path.mkdir()
    git(path, "init", "-q", "-b", "main", *options)
    for subject in subjects:
        commit(path, subject)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make(tmp_path / "source", "one", "two", "three")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    (tmp_path / "mirror").mkdir()
    git(tmp_path / "mirror", "init", "-q", "--bare")
    return tmp_path / "mirror"


def sha_of(repository: Path, revision: str = "HEAD") -> str:
    return git(repository, "rev-parse", "--verify", f"{revision}^{{commit}}")


def send(bundle: Iterator[bytes], mirror: Path) -> int:
    """Fetch the bundle into the mirror as a host would; the number of bytes that travelled."""
    path = mirror.parent / "sent.bundle"
    with path.open("wb") as file:
        file.writelines(bundle)
    git(mirror, "bundle", "verify", "-q", str(path))
    git(mirror, "fetch", "-q", str(path), "refs/oroboros/*:refs/oroboros/*")
    git(mirror, "fsck", "--strict")
    return path.stat().st_size


def refusal(repository: Path, text: str) -> UnknownCommit:
    with pytest.raises(UnknownCommit) as refused:
        Source(repository).resolve(text)
    assert refused.value.message.startswith("nothing was changed: ")
    assert refused.value.hint
    return refused.value


def files_of(path: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(file.relative_to(path)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


# --- opening ---


def test_a_directory_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    """Neither a plain directory nor a missing one is a source."""
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InvalidInput, match="is not a readable git repository") as refused:
            Source(path)
        assert refused.value.hint


def test_missing_git_is_said(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git there is an instruction, not a traceback."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InvalidInput, match="git is not installed here"):
        Source(repository)


def test_git_that_hangs_is_given_up(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question to git has a deadline."""
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("oroboros_deploy.source.DEADLINE", 0.2)
    with pytest.raises(InvalidInput, match="git gave no answer within"):
        Source(repository)


def test_what_git_says_beside_an_answer_is_no_part_of_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git that warns at each question is understood all the same."""
    known = Source(repository).resolve("HEAD")
    (tmp_path / "git").write_text(
        f"#!/bin/sh\necho 'warning: unable to access /root' >&2\nexec {shutil.which('git')} \"$@\"\n"
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = Source(repository)
    assert (found.path, found.resolve("HEAD")) == (Source(repository).path, known)
    assert found.resolve(known.sha[:10]).sha == known.sha


@pytest.mark.parametrize("place", ["work tree", "sub-directory", "worktree", "bare"])
def test_any_form_of_repository_works(repository: Path, mirror: Path, tmp_path: Path, place: str) -> None:
    """Work trees, directories in them, linked worktrees and bare repositories can all be deployed from."""
    (repository / "sub").mkdir()
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"), "HEAD")
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    paths = {
        "work tree": repository,
        "sub-directory": repository / "sub",
        "worktree": tmp_path / "linked",
        "bare": tmp_path / "bare.git",
    }
    source = Source(paths[place])
    head = source.resolve("HEAD").sha
    send(source.bundle(head, []), mirror)
    assert git(mirror, "log", "--format=%s", f"refs/oroboros/{head}") == "three\ntwo\none"


def test_a_hook_does_not_lead_elsewhere(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables git sets for hooks do not redirect us to another repository."""
    other = make(tmp_path / "other", "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_SHALLOW_FILE", str(tmp_path / "shallow"))  # as a push to a shallow repository has it
    (tmp_path / "shallow").write_text(f"{sha_of(repository)}\n")
    head = Source(repository).resolve("HEAD")
    assert head.subject == "three"
    assert b"".join(Source(repository).bundle(head.sha, [])).startswith(b"# v2 git bundle")


def test_the_mode_of_what_a_commit_has(repository: Path) -> None:
    """git's own, by the path from the top, wherever in the work tree one is; empty for what is not there."""
    (repository / "ops").mkdir()
    (repository / "ops/check").touch()
    (repository / "ops/check").chmod(0o755)
    (repository / "plain").touch()
    for words in (["add", "--all"], ["commit", "--quiet", "--message", "modes"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    below = Source(repository / "ops")
    found = {path: below.mode("HEAD", path) for path in ("ops/check", "plain", "ops", "check", "-x")}
    assert found == {"ops/check": "100755", "plain": "100644", "ops": "040000", "check": "", "-x": ""}


# --- resolving ---


def test_a_sha_or_prefix_names_its_commit(repository: Path) -> None:
    """Full shas and prefixes, in either case, give the same commit and no ref."""
    sha = sha_of(repository, "HEAD~1")
    expected = Commit(sha=sha, subject="two", committed_at=Source(repository).resolve(sha).committed_at, author="A")
    assert {Source(repository).resolve(text) for text in (sha, sha.upper(), sha[:8], sha[:39], sha[:10].upper())} == {
        expected
    }
    assert re.fullmatch(r"2026-01-02T03:04:05(\+00:00|Z)", expected.committed_at)


def test_a_ref_is_resolved_and_remembered(repository: Path) -> None:
    """Branches, tags (annotated ones peeled) and relative names give the commit and what was typed."""
    git(repository, "tag", "-a", "v1", "-m", "first", "HEAD~1")
    git(repository, "update-ref", "refs/remotes/origin/main", "HEAD~2")
    texts = (
        "main",
        "HEAD",
        "v1",
        "refs/tags/v1",
        "origin/main",
        "HEAD~2",
        "v1^",
        "@",
        "v1-0-g" + sha_of(repository)[:9],
    )
    assert [(c.ref, c.subject) for c in map(Source(repository).resolve, texts)] == list(
        zip(texts, ["three", "three", "two", "two", "one", "one", "one", "three", "three"], strict=True)
    )


HOSTILE = [
    "$(id)",
    "`id`",
    "a|b&c",
    "a'b",
    'a"b',
    "a;b",
    "feature/$(touch${IFS}pwned)",
    "a#x",
    "ü/✓",
    "a%s{}",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_branch_name_is_only_a_name(repository: Path, mirror: Path, name: str) -> None:
    """A branch named like shell code deploys like any other and runs nothing."""
    git(repository, "branch", name, "HEAD~1")
    before = files_of(repository)
    source = Source(repository)
    found = source.resolve(name)
    send(source.bundle(found.sha, []), mirror)
    assert (found.ref, found.subject) == (name, "two")
    assert files_of(repository) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-oops",
        "--upload-pack=x",
        "--all",
        "^main",
        "main..HEAD",
        "main:file",
        ":/three",
        "HEAD^{/three}",
        "@{-1}",
        "main@{0}",
        "HEAD~99999",
        "main\n",
        "main\0",
        "\udcff",
        "a" * 200_000,
        "HEAD^{tree}",
        "HEAD^{/x}",
        "nowhere",
        "abc",
        "٠١٢٣٤",
    ],
)
def test_odd_text_is_refused(repository: Path, text: str) -> None:
    """What looks like an option, a search, a range or nothing at all names no commit."""
    git(repository, "update-ref", "refs/heads/-oops", "HEAD")
    assert refusal(repository, text).message.isprintable()


def test_trees_and_blobs_are_refused(repository: Path) -> None:
    """An object that is no commit is not deployable, by full name or prefix."""
    for revision in ("HEAD^{tree}", "HEAD:file"):
        sha = git(repository, "rev-parse", revision)
        assert f"no commit {sha} in" in refusal(repository, sha).message
        refusal(repository, sha[:12])


def test_an_unknown_commit_says_what_to_fetch(repository: Path) -> None:
    """A full sha that is not here is refused, though git itself would say yes to it."""
    error = refusal(repository, "deadbeef" * 5)
    assert error.message == f"nothing was changed: no commit {'deadbeef' * 5} in {repository}"
    assert error.hint == f"git -C {repository} fetch --all --tags"


def test_a_branch_never_shadows_a_sha(repository: Path) -> None:
    """A branch or tag named like a commit's prefix or full sha does not hide it."""
    sha = sha_of(repository)
    for name in (sha, sha[:7], sha[:4]):
        git(repository, "update-ref", f"refs/heads/{name}", sha_of(repository, "HEAD~2"))
        git(repository, "update-ref", f"refs/tags/{name}", sha_of(repository, "HEAD~2"))
        found = Source(repository).resolve(name)
        assert (found.subject, found.ref) == ("three", None)


def test_a_full_sha_never_names_a_branch(repository: Path) -> None:
    """Where the object is missing, a branch of that name is no substitute."""
    git(repository, "update-ref", f"refs/heads/{'deadbeef' * 5}", "HEAD")
    refusal(repository, "deadbeef" * 5)


def test_a_hexadecimal_ref_is_found_when_no_commit_has_that_prefix(repository: Path) -> None:
    """A tag named `20260102` is a ref like any other."""
    git(repository, "tag", "20260102", "HEAD~1")
    assert Source(repository).resolve("20260102").subject == "two"


def test_a_name_for_a_tag_and_a_branch_is_refused(repository: Path) -> None:
    """Two refs of one name are not guessed between."""
    git(repository, "tag", "v1", "HEAD~1")
    git(repository, "branch", "v1", "HEAD~2")
    git(repository, "config", "core.warnAmbiguousRefs", "false")  # whatever git is told to say about it
    assert refusal(repository, "v1").hint == "say tags/v1 or heads/v1"
    assert Source(repository).resolve("heads/v1").subject == "one"


def test_an_ambiguous_prefix_lists_the_candidates(repository: Path) -> None:
    """A prefix of several commits is refused with each of them and its subject."""
    stream = "".join(
        f"commit refs/heads/many\ncommitter C <c> {n} +0000\ndata <<.\nnumber {n}\n.\n\n" for n in range(1200)
    )
    git(repository, "fast-import", "--quiet", stdin=stream)
    shas = git(repository, "rev-list", "many").split()
    prefixes = [sha[:4] for sha in shas]
    twice = next(prefix for prefix in prefixes if prefixes.count(prefix) > 1)
    error = refusal(repository, twice)
    subject = {sha: git(repository, "log", "-1", "--format=%s", sha) for sha in shas if sha.startswith(twice)}
    listed = "\n".join(f"  {sha}  {subject[sha]}" for sha in sorted(subject))
    assert error.message == f"nothing was changed: {twice} is the beginning of {len(subject)} commits:\n{listed}"


@settings(
    max_examples=settings.default.max_examples * 2 // 5, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=12) | st.text("HEAD@{}^~:/.-main0", max_size=12))
def test_any_text_is_a_commit_or_a_refusal(repository: Path, text: str) -> None:
    """No text makes it fail in another way, or name what is no commit here."""
    try:
        found = Source(repository).resolve(text)
    except UnknownCommit:
        return
    assert found.subject in ("one", "two", "three")


def test_a_replaced_commit_is_seen_as_it_is(repository: Path) -> None:
    """Local `git replace` refs do not change what a sha means."""
    git(repository, "replace", sha_of(repository), sha_of(repository, "HEAD~2"))
    assert Source(repository).resolve("HEAD").subject == "three"


# --- bundling ---


def test_without_haves_the_whole_history_travels(repository: Path, mirror: Path) -> None:
    """An empty mirror gets everything under one ref, and the repository is left byte for byte as it was."""
    source, before = Source(repository), files_of(repository)
    head = source.resolve("HEAD").sha
    send(source.bundle(head, []), mirror)
    assert git(mirror, "for-each-ref", "--format=%(refname) %(objectname)") == f"refs/oroboros/{head} {head}"
    assert git(mirror, "log", "--format=%s", head) == "three\ntwo\none"
    assert files_of(repository) == before


def test_with_haves_only_the_rest_travels(repository: Path, mirror: Path) -> None:
    """On top of what the mirror has, only the new commits are sent, as deltas."""
    noise = os.urandom(200_000).hex()
    commit(repository, "noise", noise)
    source = Source(repository)
    first = send(source.bundle(source.resolve("HEAD").sha, []), mirror)
    old = sha_of(repository)
    new = commit(repository, "more", noise + "more")
    second = send(source.bundle(new, [old, "f" * 40, "--all", "", git(repository, "rev-parse", "HEAD:file")]), mirror)
    assert git(mirror, "rev-list", "--count", new) == "5"
    assert first > 150_000
    assert second < 2_000


def test_a_have_on_another_branch_is_used(repository: Path, mirror: Path) -> None:
    """What the host has need not be an ancestor: common history stays at home."""
    source = Source(repository)
    head = sha_of(repository)
    send(source.bundle(head, []), mirror)
    git(repository, "checkout", "-q", "-b", "side", "HEAD~1")
    side = commit(repository, "side")
    data = b"".join(source.bundle(side, [head]))
    assert data.startswith(f"# v2 git bundle\n-{head}\n{side} refs/oroboros/{side}\n\nPACK".encode())
    send(iter([data]), mirror)
    assert git(mirror, "log", "--format=%s", side) == "side\ntwo\none"


def test_an_older_commit_can_be_sent(repository: Path, mirror: Path) -> None:
    """A commit that the host's own contain already gives an empty pack and its ref."""
    source = Source(repository)
    head, old = sha_of(repository), sha_of(repository, "HEAD~2")
    send(source.bundle(head, []), mirror)
    send(source.bundle(old, [head]), mirror)
    assert git(mirror, "rev-parse", f"refs/oroboros/{old}") == old


def test_a_sha256_repository_can_be_sent(tmp_path: Path) -> None:
    """Repositories with 64-digit shas give bundles of the version that can hold them."""
    repository = make(tmp_path / "source", "one", "two", options=("--object-format=sha256",))
    (tmp_path / "mirror").mkdir()
    git(tmp_path / "mirror", "init", "-q", "--bare", "--object-format=sha256")
    head = Source(repository).resolve("HEAD").sha
    assert Source(repository).resolve(head[:45]).sha == head
    assert next(Source(repository).bundle(head, [])).startswith(b"# v3 git bundle\n@object-format=sha256\n")
    send(Source(repository).bundle(head, []), tmp_path / "mirror")
    assert git(tmp_path / "mirror", "log", "--format=%s", head) == "two\none"


def test_a_prefix_as_long_as_a_short_sha_never_names_a_branch(tmp_path: Path) -> None:
    """In a repository of 64 digits the first 40 are the beginning of a sha, not a ref."""
    repository = make(tmp_path / "long", "one", "two", options=("--object-format=sha256",))
    head, prefix = sha_of(repository), sha_of(repository)[:40]
    git(repository, "update-ref", f"refs/heads/{prefix}", "HEAD~1")
    assert Source(repository).resolve(prefix).sha == head


def test_what_is_not_here_cannot_be_bundled(repository: Path) -> None:
    """Only a full sha of a commit of this repository is sent; the refusal comes before the first byte."""
    for sha in ("deadbeef" * 5, "main", "--all", git(repository, "rev-parse", "HEAD^{tree}")):
        with pytest.raises(UnknownCommit):
            Source(repository).bundle(sha, [])


def test_a_shallow_clone_without_the_history_is_refused(repository: Path, mirror: Path, tmp_path: Path) -> None:
    """A clone cut off too early says how to complete it; cut off below what the host has, it is enough."""
    full = Source(repository)
    base = sha_of(repository)
    for number in range(3):
        commit(repository, f"later {number}")
    git(tmp_path, "clone", "-q", "--depth=4", f"file://{repository}", "shallow")
    shallow = Source(tmp_path / "shallow")
    head = shallow.resolve("HEAD").sha
    with pytest.raises(UnknownCommit, match="is a shallow clone without the history of") as refused:
        shallow.bundle(head, [])
    assert refused.value.hint == f"git -C {tmp_path}/shallow fetch --unshallow"
    assert refusal(tmp_path / "shallow", sha_of(repository, "HEAD~5")).hint == refused.value.hint
    send(full.bundle(base, []), mirror)
    send(shallow.bundle(head, [base]), mirror)
    assert git(mirror, "rev-list", "--count", head) == "6"


def test_a_shallow_clone_of_everything_is_enough(tmp_path: Path, mirror: Path) -> None:
    """A clone that was made shallow but reaches the first commit lacks nothing."""
    repository = make(tmp_path / "source", "one", "two")
    git(tmp_path, "clone", "-q", "--depth=9", f"file://{repository}", "shallow")
    head = sha_of(repository)
    send(Source(tmp_path / "shallow").bundle(head, []), mirror)
    assert git(mirror, "rev-list", "--count", head) == "2"


def test_a_damaged_repository_is_said(repository: Path) -> None:
    """When git cannot read an object, the bundle fails with git's reason and a hint."""
    head = sha_of(repository)
    blob = git(repository, "rev-parse", "HEAD~1:file")
    damaged = repository / ".git/objects" / blob[:2] / blob[2:]
    damaged.chmod(0o600)
    damaged.unlink()
    with pytest.raises(InvalidInput, match=f"git pack-objects failed in .*{blob}") as refused:
        list(Source(repository).bundle(head, []))
    assert refused.value.hint == "git fsck says what is wrong with the repository"


@pytest.mark.slow
def test_a_large_repository_takes_little_memory(repository: Path) -> None:
    """A bundle passes through in chunks, whatever its size, and can be abandoned at any time."""
    (repository / "large").write_bytes(os.urandom(8_000_000))
    git(repository, "add", "large")
    git(repository, "commit", "-q", "-m", "large")
    source = Source(repository)
    head = sha_of(repository)
    tracemalloc.start()
    try:
        sizes = [len(chunk) for chunk in source.bundle(head, [])]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 8_000_000
    assert max(sizes) <= 64 * 1024
    assert peak < 1_000_000


def _children() -> list[str]:
    """The names of the processes that this one has started."""
    pids = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]


def test_an_abandoned_bundle_leaves_no_git_behind(repository: Path) -> None:
    """Whoever stops reading also stops git."""
    (repository / "large").write_bytes(os.urandom(2_000_000))
    git(repository, "add", "large")
    git(repository, "commit", "-q", "-m", "large")
    bundle = Source(repository).bundle(sha_of(repository), [])
    next(bundle)
    next(bundle)
    assert "git" in _children()
    bundle.close()  # type: ignore[attr-defined]
    assert "git" not in _children()


def test_a_git_that_packs_nothing_is_given_up(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that stops coming ends the bundle instead of waiting for ever."""
    real = shutil.which("git")
    (tmp_path / "git").write_text(f'#!/bin/sh\ncase "$*" in *pack-objects*) exec sleep 60;; esac\nexec {real} "$@"\n')
    (tmp_path / "git").chmod(0o755)
    head = sha_of(repository)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("oroboros_deploy.source.SILENCE", 0.2)
    began = time.monotonic()
    with pytest.raises(InvalidInput, match="git, which packs the commits for the host, gave no data for"):
        list(Source(repository).bundle(head, []))
    assert time.monotonic() - began < 10


# --- what is new ---


def test_the_log_is_what_is_new(repository: Path) -> None:
    """Newest first, at most `limit`, and nothing when either end is unknown here."""
    source = Source(repository)
    one, three = sha_of(repository, "HEAD~2"), sha_of(repository)
    assert [found.subject for found in source.log(one, three)] == ["three", "two"]
    assert [found.subject for found in source.log(one, three, limit=1)] == ["three"]
    assert (
        source.log(three, one) == source.log(three, three) == source.log("f" * 40, three) == source.log(one, "") == []
    )


def test_any_subject_survives(repository: Path) -> None:
    """Odd subjects stay whole, on one line, and never become another field."""
    subjects = ["a b  c", "ü ✓", "\x1b[31mred", "commit 123", "%H %s"]
    start = sha_of(repository)
    for subject in subjects:
        commit(repository, subject)
    git(repository, "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", "")
    found = Source(repository).log(start, sha_of(repository))
    assert [item.subject for item in reversed(found)] == [*subjects, ""]


def test_the_usual_questions_cost_one_git_each(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full sha and what is new in it: every process more is waited for at each deploy and rollback."""
    one, three = sha_of(repository, "HEAD~2"), sha_of(repository)
    source, asked, run = Source(repository), [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda argv, **options: asked.append(argv) or run(argv, **options))
    assert (source.resolve(three).subject, len(asked)) == ("three", 1)
    assert (len(source.log(one, three)), len(asked)) == (2, 2)


@pytest.mark.parametrize("how", ["core.sshCommand", "remote.origin.uploadpack", "ext"])
def test_resolving_runs_no_program_of_the_repository(repository: Path, tmp_path: Path, how: str) -> None:
    """A sha that a partial clone lacks is unknown: nothing is fetched by a command that its configuration names."""
    clone, ran = tmp_path / "clone", tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    program.chmod(0o755)
    subprocess.run(["git", "clone", "-q", repository, clone], check=True, capture_output=True)
    urls = {"core.sshCommand": "ssh://nowhere/x", "remote.origin.uploadpack": str(repository), "ext": f"ext::{program}"}
    settings = {"remote.origin.promisor": "true", "remote.origin.partialclonefilter": "blob:none"}
    settings |= {
        "extensions.partialClone": "origin",
        "core.repositoryFormatVersion": "1",
        "remote.origin.url": urls[how],
    }
    settings |= {"protocol.ext.allow": "always"} if how == "ext" else {how: str(program)}
    for name, value in settings.items():
        subprocess.run(["git", "-C", clone, "config", name, value], check=True)
    for missing in ("ab" * 20, "abcdef12"):
        with pytest.raises(UnknownCommit):
            Source(clone).resolve(missing)
    assert not ran.exists()


def test_a_commit_is_described_by_its_newest_tag(repository: Path) -> None:
    """As git does it; without a tag, or without the commit, it is called by its id."""
    first = sha_of(repository)
    assert Source(repository).describe(first) == first[:10]
    git(repository, "tag", "v1.2")
    second = commit(repository, "second")
    described = [Source(repository).describe(sha) for sha in (first, second, "0" * 40)]
    assert described == ["v1.2", f"v1.2-1-g{second[:10]}", "0" * 40]


def test_the_reason_of_git_is_told_and_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository of another user: git's last line is the command that trusts it, its first one the reason."""
    require_giving_away()
    theirs = make(tmp_path / "theirs", "one")
    subprocess.run(["chown", "-R", "12345", theirs], check=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidInput) as refused:
        Source(theirs)
    assert "fatal: detected dubious ownership in repository at" in refused.value.message
    assert refused.value.hint == f"git config --global --add safe.directory {theirs}"


@pytest.mark.parametrize("place", [".git/info/grafts", "elsewhere"])
def test_grafts_are_refused_before_anything_is_sent(
    repository: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """With the command that makes of them what we pass over; after it the whole history travels."""
    grafts = repository / place
    grafts.parent.mkdir(exist_ok=True)
    if place == "elsewhere":
        monkeypatch.setenv("GIT_GRAFT_FILE", str(grafts))
    grafts.write_text(f"# a note\n\n{sha_of(repository, 'HEAD~1')}\n")
    with pytest.raises(InvalidInput) as refused:
        Source(repository).bundle(sha_of(repository), [])
    assert refused.value.exit_code == 2
    assert str(grafts) in refused.value.message
    subprocess.run(["sh", "-c", str(refused.value.hint)], check=True, capture_output=True)
    assert b"".join(Source(repository).bundle(sha_of(repository), [])).startswith(b"# v2 git bundle")
    grafts.write_text("# only a note\n")
    assert next(Source(repository).bundle(sha_of(repository), [])) != b""


@pytest.fixture
def fork(tmp_path: Path) -> tuple[Path, str, str, str]:
    """A repository, its first commit, and two that do not have each other."""
    path = make(tmp_path / "fork", "first")
    first = git(path, "rev-parse", "HEAD")
    one = commit(path, "one")
    git(path, "checkout", "-q", first)
    commit(path, "two")
    return path, first, one, commit(path, "three")


def test_how_far_two_commits_are_apart(fork: tuple[Path, str, str, str]) -> None:
    """By the commits that only one of them has; what is not known here is none."""
    path, first, one, three = fork
    source = Source(path)
    pairs = [(first, three), (three, first), (one, three), (first, first), ("0" * 40, first), ("x", first)]
    assert [source.apart(*pair) for pair in pairs] == [(0, 2), (2, 0), (1, 2), (0, 0), None, None]


def test_a_commit_is_unpushed_where_a_remote_lacks_it(fork: tuple[Path, str, str, str], tmp_path: Path) -> None:
    """Without a remote there is nowhere to push to; what its branches have is pushed, also below their tips."""
    path, first, one, three = fork
    assert [Source(path).is_unpushed(each) for each in (first, three)] == [False, False]
    git(tmp_path, "init", "-q", "--bare", "far")
    git(path, "remote", "add", "origin", str(tmp_path / "far"))
    git(path, "push", "-q", "origin", f"{one}:refs/heads/main")
    assert [Source(path).is_unpushed(each) for each in (first, one, three)] == [False, False, True]


def test_files_that_are_not_committed(fork: tuple[Path, str, str, str], tmp_path: Path) -> None:
    """Changed ones and new ones, whatever their names; a bare repository has none."""
    path = fork[0]
    assert Source(path).dirty() == []
    (path / "file").write_text("changed")
    (path / "a b").write_text("new")
    git(tmp_path, "clone", "-q", "--bare", str(path), "bare")
    assert (sorted(Source(path).dirty()), Source(tmp_path / "bare").dirty()) == (["a b", "file"], [])


def test_files_that_differ_from_one_commit(fork: tuple[Path, str, str, str]) -> None:
    """They are those of the commit that is checked out; of another one nothing is known."""
    path, first, *_ = fork
    (path / "file").write_text("changed")
    head = git(path, "rev-parse", "HEAD").strip()
    assert (Source(path).dirty(head), Source(path).dirty(first)) == (["file"], [])


def test_what_two_commits_have_in_a_directory(tmp_path: Path) -> None:
    """Names in it that were added, changed and removed; against nothing all are added; an unknown commit tells none."""
    path = make(tmp_path / "units", "first")
    (path / "infra").mkdir()
    shas = []
    for files in ({"a": "1", "b": "1"}, {"a": "2", "c": "1"}):
        git(path, "rm", "-q", "-r", "--ignore-unmatch", "infra")
        (path / "infra").mkdir(exist_ok=True)
        for name, text in files.items():
            (path / "infra" / name).write_text(text)
        git(path, "add", "infra")
        shas.append(commit(path, str(files)))
    source = Source(path)
    assert source.differing(*shas, "infra") == {"added": ["c"], "changed": ["a"], "removed": ["b"]}
    assert source.differing(None, shas[0], "infra") == {"added": ["a", "b"], "changed": [], "removed": []}
    assert (source.differing("0" * 40, shas[0], "infra"), source.file(shas[1], "infra/a")) == (None, "2")
    assert source.file(shas[1], "infra/b") == ""


@pytest.mark.parametrize("question", ["differing", "apart", "log"])
def test_what_a_host_calls_its_release_is_no_option_of_git(tmp_path: Path, question: str) -> None:
    """A host's answer that is no id of a commit is unknown here, and git is not asked about it."""
    path, written = make(tmp_path / "shop", "first"), tmp_path / "written"
    old, new = f"--output={written}", commit(path, "second")
    asked = {"differing": (old, new, "infra"), "apart": (old, new), "log": (old, new)}[question]
    assert (getattr(Source(path), question)(*asked) or None, written.exists()) == (None, False)
