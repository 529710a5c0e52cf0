"""What the result of a part depends on: what changes it changes, and nothing else."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from oroboros_deploy.host import environment
from oroboros_deploy.host.building import inputs
from oroboros_deploy.host.building.inputs import Sources
from oroboros_deploy.host.refusal import Refusal

LISTING = {
    "backend": "040000 tree 1",
    "backend/main.py": "100644 blob 2",
    "frontend": "040000 tree 3",
    "frontend/page": "100644 blob 4",
    "package.json": "100644 blob 5",
    "README.md": "100644 blob 6",
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The files of the listing."""
    for path, name in LISTING.items():
        if " blob " in name:
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text("text")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ({"frontend": "040000 tree 9", "frontend/page": "100644 blob 9"}, True),
        ({"package.json": "100644 blob 9"}, True),
        ({"backend": "040000 tree 9", "backend/main.py": "100644 blob 9"}, False),
        ({"README.md": "100644 blob 9"}, False),
    ],
)
def test_a_part_depends_on_its_directory_and_the_files_above(
    release: Path, changed: dict[str, str], matters: bool
) -> None:
    """Another directory, and prose, are not read by it."""
    before, after = Sources(LISTING, release), Sources(LISTING | changed, release)
    assert (before.of("frontend") != after.of("frontend")) == matters


@pytest.mark.parametrize(
    ("text", "leads_out"),
    [
        ("import '../backend/main.py'", True),
        ('path.join("..", "backend")', True),
        ("import './page'; // and so on...", False),
        ("../", True),
        ("range(1..9)", False),
    ],
)
def test_a_path_out_of_the_directory_is_noticed(release: Path, text: str, leads_out: bool) -> None:
    """Then every change of the commit matters, unless the paths that matter are named."""
    (release / "frontend/page").write_text(text)
    changed = LISTING | {"backend": "040000 tree 9", "backend/main.py": "100644 blob 9"}
    before, after = Sources(LISTING, release), Sources(changed, release)
    assert before.leads_out("frontend") == ("frontend/page" if leads_out else None)
    assert (before.of("frontend") != after.of("frontend")) == leads_out
    named = [Sources(listing, release, ["package.json"]).of("frontend") for listing in (LISTING, changed)]
    assert named[0] == named[1]


def test_a_link_out_of_the_directory_is_noticed(release: Path) -> None:
    """By where it leads, absolute or not."""
    for target, leads_out in (("../package.json", True), ("/etc/hosts", True), ("other", False)):
        (release / "frontend/page").unlink()
        (release / "frontend/page").symlink_to(target)
        assert (Sources(LISTING, release).leads_out("frontend") is not None) == leads_out


def test_a_variable_of_the_host_matters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not told in the clear; and one of the login, or of this build, changes nothing."""
    before = inputs.surroundings()
    for name in ("API_URL", "SSH_CLIENT", "DEPLOY_BUILD"):
        monkeypatch.setenv(name, "some thing")
    assert inputs.differing(before, inputs.surroundings()) == []
    (tmp_path / "environment").write_text("API_URL=some thing\n")
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")
    after = inputs.surroundings()
    assert (inputs.differing(before, after), "some thing" in str(after)) == (["environment"], False)


@pytest.mark.parametrize(
    "variable",
    [
        *("PIP_CONFIG_FILE", "UV_CONFIG_FILE", "NPM_CONFIG_USERCONFIG", "npm_config_globalconfig", "XDG_CONFIG_DIRS"),
        *("PIP_CONSTRAINT", "UV_OVERRIDE"),
    ],
)
def test_a_settings_file_that_a_variable_names_matters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """What it says, wherever it lies, and not only its name."""
    file = tmp_path / ("pip/pip.conf" if variable.startswith("XDG") else "named")
    file.parent.mkdir(exist_ok=True)
    (tmp_path / "environment").write_text(f"{variable}={tmp_path if variable.startswith('XDG') else file}\n")
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")
    file.write_text("one")
    before = inputs.surroundings()
    file.write_text("two")
    assert inputs.differing(before, inputs.surroundings()) == ["settings of tools"]


@pytest.mark.parametrize("line", ["constraint = {}", "build-constraint: {}", "constraint =\n  /nowhere\n  {}"])
def test_a_file_of_constraints_that_pip_is_told_of_matters(tmp_path: Path, line: str) -> None:
    """An environment with the versions of yesterday is not taken again when the host's administrator raised one."""
    conf, versions = tmp_path / "pip.conf", tmp_path / "versions.txt"
    conf.write_text(f"[global]\nno-input = true\n{line.format(versions)}\n")
    versions.write_text("certifi==2023.1.1\n")
    before = inputs.surroundings(str(tmp_path))
    versions.write_text("certifi==2024.1.1\n")
    assert inputs.differing(before, inputs.surroundings(str(tmp_path))) == ["settings of tools"]


def test_the_settings_of_the_chosen_python_and_node_matter(tmp_path: Path) -> None:
    """They lie beside them: in the directory of the one, and in etc of the other's."""
    node, conf, npmrc = tmp_path / "node/bin/node", tmp_path / "python/pip.conf", tmp_path / "node/etc/npmrc"
    for path in (node, conf, npmrc):
        path.parent.mkdir(parents=True)
        path.write_text("one")
    node.chmod(0o755)
    told = [inputs.surroundings(str(conf.parent), str(node))]
    for path in (conf, npmrc):
        path.write_text("two")
        told.append(inputs.surroundings(str(conf.parent), str(node)))
    differing = [inputs.differing(one, other) for one, other in itertools.pairwise(told)]
    assert differing == [["settings of tools"]] * 2


def test_a_digest_is_of_names_types_and_bytes(tmp_path: Path) -> None:
    """Not of times, nor of the place."""
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text("text")
    os.utime(tmp_path / "two/sub/file", (1, 1))
    assert inputs.content(tmp_path / "one") == inputs.content(tmp_path / "two")
    (tmp_path / "two/sub/file").chmod(0o755)
    assert inputs.content(tmp_path / "one") != inputs.content(tmp_path / "two")


@pytest.mark.parametrize("besides", [b"", b"/srv/releases/1"])
def test_a_pipe_below_an_input_is_refused(tmp_path: Path, besides: bytes) -> None:
    """By name; nobody waits for who writes to it."""
    os.mkfifo(tmp_path / "odd")
    with pytest.raises(Refusal) as refused:
        inputs.content(tmp_path, besides)
    assert refused.value.as_dict() == {
        "kind": "build_failed",
        "message": f"{tmp_path}/odd is a device, pipe or socket; a release holds files and links only",
        "hint": "let the build remove it at its end, or make it when the service starts",
    }


def test_a_tool_is_its_file_and_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link is followed to the package that it belongs to; a tool that is not there is none."""
    package = tmp_path / "lib/npm"
    (package / "bin").mkdir(parents=True)
    (package / "bin/npm.js").touch(0o755)
    (package / "package.json").write_text('{"version": "10.1.0"}')
    (tmp_path / "npm").symlink_to(package / "bin/npm.js")
    monkeypatch.setattr(environment, "SYSTEM", str(tmp_path))
    told = inputs.tool("npm") or ""
    assert (told.startswith(str(package / "bin/npm.js")), told.endswith(" 10.1.0")) == (True, True)
    assert inputs.tool("no-such-tool") is None


def test_the_files_that_say_how_to_build_name_programs(tmp_path: Path) -> None:
    """Those of the directory itself; a word in another file is no program of the build."""
    (tmp_path / "package.json").write_text('{"scripts": {"build": "protoc --js_out=. a.proto && vite build"}}')
    (tmp_path / "make.sh").write_text("#!/bin/sh\nconvert a.svg a.png\n")
    (tmp_path / "page.js").write_text("gzip()")
    said = inputs.said_by(tmp_path)
    assert ({"protoc", "vite", "convert"} <= said, "gzip" in said) == (True, False)


def test_what_differs_is_named_one_by_one() -> None:
    """Also where one of the two does not have it."""
    ours = {"command": "make", "tools": {"node": "1", "npm": "1"}}
    assert inputs.differing(ours, {"command": "make", "tools": {"node": "2"}}) == ["tools node", "tools npm"]
