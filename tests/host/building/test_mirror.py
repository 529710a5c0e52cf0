"""The mirror: where commits come from, and that nothing in them runs."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest

from oroboros_deploy.host import environment
from oroboros_deploy.host.building.mirror import Mirror
from oroboros_deploy.host.refusal import Refusal
from tests.support import mounted
from tests.support.repository import Repository


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    mirror = Mirror(tmp_path / "repo")
    mirror.create("0" * 40)
    return mirror


def soon() -> float:
    return time.monotonic() + 20


def bundled(repository: Repository, sha: str, *without: str) -> Path:
    """A bundle of the commit, on top of the commits that are left out."""
    ref, bundle = f"refs/oroboros/{sha}", repository.path.parent / f"{sha}.bundle"
    repository.git("update-ref", ref, sha)
    repository.git("bundle", "create", "--quiet", str(bundle), ref, *(f"^{each}" for each in without))
    return bundle


def test_an_absent_mirror_has_nothing(tmp_path: Path) -> None:
    """Asking does not make it."""
    mirror = Mirror(tmp_path / "repo")
    assert (mirror.exists, mirror.has("a" * 40), mirror.tips(), list(tmp_path.iterdir())) == (False, False, [], [])


def test_a_fetch_asks_for_the_one_commit(mirror: Mirror, repository: Repository) -> None:
    """What it stands on comes with it, and no branch or tag that nobody asked for."""
    first = repository.commit("first")
    repository.git("tag", "--annotate", "--message", "v1", "v1")
    second = repository.commit("second")
    repository.git("switch", "--quiet", "--create", "other")
    third = repository.commit("third")
    mirror.fetch(str(repository.path), second, soon())
    assert (mirror.has(first), mirror.has(third), mirror.tips()) == (True, False, [second])


def test_a_server_that_gives_no_commit_by_its_name(
    mirror: Mirror, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then all branches and tags are brought, and the newest are offered first."""
    first = repository.commit("first")
    repository.git("tag", "--annotate", "--message", "v1", "v1")
    repository.git("config", "user.name", "Another")
    second = repository.commit("second")
    (tmp_path / "config" / "git").mkdir(parents=True)
    (tmp_path / "config" / "git" / "config").write_text("[protocol]\nversion = 0\n")  # it asks by names alone
    (tmp_path / "environment").write_text(f"XDG_CONFIG_HOME={tmp_path}/config\n")
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")
    mirror.fetch(f"file://{repository.path}", first, soon())
    assert (mirror.has(first), mirror.has(second), sorted(mirror.tips())) == (True, True, sorted([first, second]))


def test_a_commit_on_no_branch_is_fetched_by_its_name(mirror: Mirror, repository: Repository) -> None:
    """Where the server allows it, a sha is enough."""
    repository.commit("kept")
    lost = repository.commit("lost")
    repository.git("reset", "--hard", "--quiet", "HEAD^")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    mirror.fetch(f"file://{repository.path}", lost, soon())
    assert mirror.has(lost)


def test_a_repository_with_long_names_is_fetched(tmp_path: Path) -> None:
    """The mirror names its objects as the commit that it is made for is named."""
    repository, mirror = Repository(tmp_path / "source", "sha256"), Mirror(tmp_path / "repo")
    sha = repository.commit("named by 64 digits")
    mirror.create(sha)
    mirror.fetch(str(repository.path), sha, soon())
    assert (mirror.has(sha), mirror.tips()) == (True, [sha])


def test_a_missing_commit_is_said_with_what_git_said(mirror: Mirror, repository: Repository) -> None:
    """The repository answered, and does not have it."""
    repository.commit("something")
    with pytest.raises(Refusal) as refused:
        mirror.fetch(f"file://{repository.path}", "a" * 40, soon())
    assert refused.value.kind == "missing_commit"
    assert "not our ref" in refused.value.message


def test_a_url_is_shown_without_its_secret(mirror: Mirror) -> None:
    """What git says may hold the URL: who reads the message learns where, and not with which token."""
    with pytest.raises(Refusal) as refused:
        mirror.fetch("//somebody:t0ken@host/repo.git", "a" * 40, soon())
    assert refused.value.message.startswith(
        f"commit {'a' * 40} is not in the repository this host fetches from; "
        "git said: fatal: '//***@host/repo.git' does not appear to be a git repository"
    )
    assert "t0ken" not in str(refused.value.as_dict())


@pytest.mark.parametrize("url", ["ext::sh -c touch% ran", "--upload-pack=touch ran"])
def test_a_url_is_never_a_command(mirror: Mirror, url: str) -> None:
    """Neither git's own ways to run one, nor an option in the place of a URL, do anything."""
    with pytest.raises(Refusal):
        mirror.fetch(url, "a" * 40, soon())
    assert not (mirror.path / "ran").exists()


@pytest.fixture
def hardened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login whose git refuses local transports and names objects by 64 digits."""
    (tmp_path / "config" / "git").mkdir(parents=True)
    settings = '[protocol "file"]\nallow = never\n[init]\ndefaultObjectFormat = sha256\n[core]\nautocrlf = true\n'
    (tmp_path / "config" / "git" / "config").write_text(settings)
    (tmp_path / "config" / "git" / "attributes").write_text("* text eol=crlf\n")
    (tmp_path / "environment").write_text(f"XDG_CONFIG_HOME={tmp_path}/config\n")
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")


@pytest.mark.usefixtures("hardened")
def test_a_bundle_is_taken_whatever_git_is_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login's settings and attributes of git are for repositories of its own: the mirror reads none of them."""
    mirror = Mirror(tmp_path / "repo")
    with monkeypatch.context() as plain:
        plain.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        repository = Repository(tmp_path / "source")
        sha = repository.commit(file="one\ntwo\n")
        bundle = bundled(repository, sha)
    mirror.create(sha)
    mirror.take_bundle(bundle, sha, soon())
    release = tmp_path / "release"
    release.mkdir()
    mirror.check_out(sha, release, tmp_path / "index", soon())
    assert (release / "file").read_bytes() == b"one\ntwo\n"


def test_a_mirror_with_a_work_tree_serves(repository: Repository, tmp_path: Path) -> None:
    """The old scripts kept a clone: it is used as it is, and its files are not touched."""
    sha = repository.commit(file="committed")
    (repository.path / "file").write_text("being edited")
    mirror, release = Mirror(repository.path), tmp_path / "release"
    release.mkdir()
    mirror.check_out(sha, release, tmp_path / "index", soon())
    assert ((release / "file").read_text(), (repository.path / "file").read_text()) == ("committed", "being edited")
    assert (sorted(path.name for path in release.iterdir()), (tmp_path / "index").exists()) == (["file"], False)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lfs", POINTER),
        ("git-crypt", "\0GITCRYPT\0x"),
        ("git-crypt-key2", "\0GITCRYPT\0x"),
        ("crypt", "U2FsdGVkX1+n1dVkPbDD8A==\n"),
        ("annex", "/annex/objects/SHA256E-s1--0.bin\n"),
    ],
)
def test_a_file_that_its_filter_left_out_is_refused(mirror: Mirror, tmp_path: Path, name: str, content: str) -> None:
    """A pointer or a ciphertext is never deployed; the refusal names the file and the filter."""
    repository = Repository(tmp_path / "source")
    attributes = f"*.bin filter={name} -text\n"
    sha = repository.commit("one", **{"sub__.gitattributes": attributes, "sub__model.bin": content, "sub__x.txt": "x"})
    with pytest.raises(Refusal) as refused:
        checked_out(mirror, repository, sha)
    assert refused.value.message == (
        f"nothing was switched: 'sub/model.bin' passes git's filter {name!r}, which does not run on a host: "
        "what is committed is not the file itself"
    )


def test_a_filter_that_left_nothing_out_is_named(mirror: Mirror, repository: Repository) -> None:
    """A file that is whole in the commit is deployed; a filter that nobody here knows is told."""
    attributes = "*.bin filter=lfs\n*.ipynb filter=strip\n*.c text\n*.none -filter\n"
    files = {".gitattributes": attributes, "a.bin": "whole", "b.ipynb": "{}", "c.c": "c", "d.none": "d"}
    sha = repository.commit("one", **files)
    assert checked_out(mirror, repository, sha) == ["strip"]
    assert checked_out(mirror, repository, repository.commit("two", **{".gitattributes": "*.c text\n"})) == []


ATTRIBUTES = "*.sh eol=crlf\n*.txt ident\n*.bin filter=strip\n"
CHECK_OUT = """
import time
from pathlib import Path
from oroboros_deploy.host.building.mirror import Mirror
release = Path({release!r})
release.mkdir()
print(Mirror(Path({mirror!r})).check_out({sha!r}, release, release.with_name("index"), time.monotonic() + 20))
"""


@pytest.mark.parametrize("whose", ["the system's", "the login's"])
def test_attributes_of_the_host_change_no_file(
    mirror: Mirror, repository: Repository, tmp_path: Path, whose: str
) -> None:
    """Neither /etc/gitattributes nor ~/.config/git/attributes: what is committed is what is written."""
    files = {"run.sh": "#!/bin/sh\n", "a.txt": "$Id$\n", "b.bin": "whole\n"}
    sha = repository.commit("one", **files)
    mirror.take_bundle(bundled(repository, sha), sha, soon())
    etc, home = tmp_path / "etc", tmp_path / "home"
    (home / ".config/git").mkdir(parents=True)
    etc.mkdir()
    user = pwd.getpwuid(os.getuid())
    (etc / "passwd").write_text(f"{user.pw_name}:x:{user.pw_uid}:{user.pw_gid}::{home}:/bin/sh\n")
    (etc / "gitattributes" if whose == "the system's" else home / ".config/git/attributes").write_text(ATTRIBUTES)
    code = CHECK_OUT.format(sha=sha, release=str(tmp_path / "release"), mirror=str(mirror.path))
    assert mounted.python(code, {"/etc": etc}) == "[]"
    assert {name: (tmp_path / "release" / name).read_text() for name in files} == files


def checked_out(mirror: Mirror, repository: Repository, sha: str) -> list[str]:
    """What a check-out says of the filters that it did not run."""
    release = repository.path.parent / sha
    release.mkdir()
    mirror.take_bundle(bundled(repository, sha), sha, soon())
    return mirror.check_out(sha, release, release.with_name("index"), soon())


def test_what_somebody_else_put_there_is_refused(tmp_path: Path) -> None:
    """A clone that an application keeps, or files; not what we made, also 0.1.0, nor an empty directory."""
    theirs, note = Repository(tmp_path / "repo"), tmp_path / "mirror"
    mirror = Mirror(theirs.path, note=note)
    with pytest.raises(Refusal) as refused:
        mirror.refuse_strange()
    assert refused.value.hint == f"set repo_root to another path; or on the host: mv {theirs.path} {theirs.path}.theirs"
    sha = theirs.commit("one")
    theirs.git("update-ref", f"refs/oroboros/{sha}", sha)
    mirror.refuse_strange()
    (tmp_path / "empty").mkdir()
    for ours in (Mirror(tmp_path / "empty", note=note), Mirror(tmp_path / "none", note=note)):
        ours.refuse_strange()
    made = Mirror(tmp_path / "made", note=note)
    made.create(sha)
    made.refuse_strange()
    note.unlink()
    fetched_by_0_1_0 = made.path / "refs/remotes/source/main"
    with pytest.raises(Refusal):
        made.refuse_strange()
    fetched_by_0_1_0.parent.mkdir(parents=True)
    fetched_by_0_1_0.write_text(f"{sha}\n")
    made.refuse_strange()
