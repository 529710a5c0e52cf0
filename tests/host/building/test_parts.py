"""The parts of a build: environments whose scripts work where they are, and a frontend that is there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from oroboros_deploy.host import process, seal
from oroboros_deploy.host.building import build, parts, workspace
from oroboros_deploy.host.building.bench import Bench
from oroboros_deploy.host.building.needs import Needs
from oroboros_deploy.host.constants import FRONTEND_COMMAND
from oroboros_deploy.host.refusal import Refusal
from tests.support.builds import FRONTEND, Site, built, project
from tests.support.local_agent import RECIPE, Answer, LocalAgent
from tests.support.repository import Repository
from tests.support.watching import tree

if TYPE_CHECKING:
    from oroboros_deploy.host.contract import BuildAnswer

pytestmark = pytest.mark.slow  # whole builds and activations


class Built:
    """One build with everything in it, looked at by several tests."""

    def __init__(self, root: Path) -> None:
        repository = Repository(root / "source")
        project(repository, "backend", "api")
        project(repository, "worker", "jobs")
        project(repository, "vendor/tools", "tools")
        (repository.path / "worker" / "requirements.txt").write_text("./vendor/tools\n")
        (repository.path / "plain").mkdir()
        (repository.path / "plain" / "requirements.txt").write_text("./vendor/tools\n")
        self.host = LocalAgent(root / "srv")
        self.sha = repository.commit()
        self.host.mirror(repository)
        self.answer: Answer = self.host.build(
            self.sha, {"venvs": {"backend": ["backend"], "worker": ["backend", "worker"], "envs/plain": ["plain"]}}
        )
        self.release = self.host.paths.release(self.sha)

    def said_by(self, script: str) -> str:
        done = subprocess.run([self.release / script], capture_output=True, text=True)
        return done.stdout + done.stderr

    def packages(self, venv: str) -> list[str]:
        found = (self.release / venv).glob("lib/python3*/site-packages/*.dist-info")
        return sorted(path.name.split("-")[0] for path in found)


@pytest.fixture(scope="module")
def whole() -> Iterator[Built]:
    # A short path: the kernel reads 127 bytes of a first line, and for longer ones pip writes another.
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp") as directory:
        whole = Built(Path(directory))
        assert whole.answer.refusal is None
        yield whole


@pytest.mark.slow
def test_a_console_script_works_where_it_is(site: Site) -> None:
    """An environment made by uv, at the release's final path, has scripts that run there and names no other place."""
    sha = site.commit()
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    site.host.settled = {"PATH": tools, "UV_CACHE_DIR": str(site.host.root.parent / "uv-cache")}
    answer = site.host.build(sha, {"venvs": {"backend": ["backend"]}, "installer": "uv"})
    assert answer.refusal is None, answer.refusal
    script = site.release(sha) / "backend/.venv/bin/api"
    done = subprocess.run([script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("api at work\n", "")
    assert script.read_text().splitlines()[0] == f"#!{script.parent}/python"


@pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.slow)])
@pytest.mark.parametrize("vendored", ["backend/vendor/tools", "vendor/tools"])
def test_a_project_beside_the_requirements_is_installed(site: Site, installer: str, vendored: str) -> None:
    """A relative path counts from the project's directory, as by hand, or from the repository's."""
    project(site.repository, vendored, "tools")
    sha = site.commit(**{"backend/requirements.txt": "./vendor/tools\n"})
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    site.host.settled = {"PATH": tools, "UV_CACHE_DIR": str(site.host.root.parent / "uv-cache")}
    answer = site.host.build(sha, {"venvs": {"backend": ["backend"]}, "installer": installer})
    assert answer.refusal is None, answer.refusal
    found = site.release(sha).glob("backend/.venv/lib/python3*/site-packages/*.dist-info")
    assert sorted(path.name for path in found) == ["api-1.0.dist-info", "tools-1.0.dist-info"]


@pytest.mark.slow
def test_console_scripts_work_where_they_are(whole: Built) -> None:
    """Built in the release's final path, sealed, a script runs and names the interpreter beside it."""
    for script, words in (("backend/.venv/bin/api", "api"), ("worker/.venv/bin/jobs", "jobs")):
        assert whole.said_by(script) == f"{words} at work\n"
        first = (whole.release / script).read_text().splitlines()[0]
        assert first == f"#!{(whole.release / script).parent}/python"


@pytest.mark.slow
def test_each_environment_has_what_it_was_given(whole: Built) -> None:
    """Its projects and their requirements, and no pip of its own."""
    assert {venv: whole.packages(venv) for venv in ("backend/.venv", "worker/.venv", "envs/plain")} == {
        "backend/.venv": ["api"],
        "worker/.venv": ["api", "jobs", "tools"],
        "envs/plain": ["tools"],
    }


@pytest.mark.slow
def test_a_directory_of_the_tree_gets_its_environment_inside(whole: Built) -> None:
    """A key that is no directory of the commit becomes the environment itself."""
    found = sorted(str(path.parent.relative_to(whole.release)) for path in whole.release.rglob("pyvenv.cfg"))
    assert found == ["backend/.venv", "envs/plain", "worker/.venv"]


@pytest.mark.slow
def test_a_shared_project_is_built_once(whole: Built) -> None:
    """Two environments install the same wheel, and do not build side by side in one directory."""
    counts = {path: (whole.release / path / "built").read_text() for path in ("backend", "worker")}
    assert counts == {"backend": "x", "worker": "x"}


@pytest.mark.slow
def test_the_sealed_environments_are_whole(whole: Built) -> None:
    """What pip wrote is in the seal, bytecode included; running it changes nothing."""
    whole.said_by("backend/.venv/bin/api")
    assert whole.host.facts(whole.sha)["target"] == {
        "state": "sealed",
        "damage": None,
        "bad": None,
        "recipe": RECIPE["digest"],
        "gate": None,
        "configuration": None,
        "configured": False,
    }


@pytest.mark.parametrize(
    ("venvs", "name"),
    [({"env": ["nowhere"]}, "nowhere"), ({"a": ["file"], "b": ["file"]}, "file"), ({"env": ["run"]}, "run")],
)
def test_a_project_that_cannot_be_installed_is_named(
    host: LocalAgent, mirrored: Repository, venvs: dict[str, list[str]], name: str
) -> None:
    """Absent, a file, or without any packaging: said in the configuration's own words, shared or not."""
    assert host.build(mirrored.git("rev-parse", "HEAD"), {"venvs": venvs}).refusal == {
        "kind": "build_failed",
        "message": f"build.venvs: the directory {name!r} of the commit cannot be installed: it has no setup.py, no "
        "requirements.txt, and no pyproject.toml that describes a project",
        "hint": "name the directories of your projects in build.venvs (by default backend and worker; without any "
        "virtual environment: build.venvs: {})",
    }


@pytest.mark.parametrize(
    ("venvs", "projects"),
    [({}, []), ({"a": ["x", "x"]}, ["x"]), ({"a": ["x"], "b": ["x", "y"], "c": ["y", "z"]}, ["x", "y", "z"])],
)
def test_every_project_is_one_part(venvs: dict[str, list[str]], projects: list[str]) -> None:
    """However many environments install it, and however often one names it."""
    assert parts.projects_of(map(Needs.of, venvs.values())) == projects


def frontend(**changes: Any) -> dict[str, Any]:
    return {"frontend": {**FRONTEND, **changes}}


@pytest.fixture
def with_frontend(host: LocalAgent, repository: Repository) -> str:
    sha = repository.commit(frontend__page="new", infra__web__page="as committed", infra__web__old="old")
    host.mirror(repository)
    return sha


def pages(host: LocalAgent, sha: str) -> dict[str, str]:
    directory = host.paths.release(sha) / "infra" / "web"
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_the_frontend_goes_where_it_is_served_from(host: LocalAgent, with_frontend: str) -> None:
    """Its output takes the place of what was committed there, wholly."""
    assert host.build(with_frontend, frontend()).refusal is None
    assert pages(host, with_frontend) == {"page": "new"}


def test_npm_asks_nobody_what_changes_nothing_in_the_build(host: LocalAgent, with_frontend: str) -> None:
    """Neither its audit nor its search for a later npm, whatever the host's own variables say."""
    names = ("npm_config_audit", "npm_config_fund", "npm_config_update_notifier")
    host.settled = dict.fromkeys(names, "true")
    said = " ".join(f"${name}" for name in names)
    assert host.build(with_frontend, frontend(command=f"mkdir dist && echo {said} > dist/page")).refusal is None
    assert pages(host, with_frontend) == {"page": "false false false\n"}


@pytest.mark.parametrize("into", [None, "frontend/dist"])
def test_the_output_may_stay_where_it_is(host: LocalAgent, with_frontend: str, into: str | None) -> None:
    """With `into: null`, or the output's own path, nothing is copied or removed; a second build takes it again."""
    first = host.build(with_frontend, frontend(into=into))
    made = host.paths.release(with_frontend) / "frontend" / "dist" / "page"
    assert (built(first), made.read_text()) == (["frontend"], "new")
    assert pages(host, with_frontend) == {"page": "as committed", "old": "old"}
    seal.remove(host.paths.release(with_frontend))
    assert (built(host.build(with_frontend, frontend(into=into))), made.read_text()) == ([], "new")


@pytest.mark.parametrize(("link", "to"), [("infra/web", "../frontend/dist/in"), ("infra/web", "../frontend")])
def test_an_output_that_a_link_puts_inside_its_target_is_refused(
    host: LocalAgent, repository: Repository, link: str, to: str
) -> None:
    """The target would be removed with the output in it."""
    (repository.path / "infra").mkdir()
    (repository.path / link).symlink_to(to)
    sha = repository.commit(frontend__page="new", frontend__dist__in__page="old")
    host.mirror(repository)
    refusal = host.build(sha, frontend(into=link)).refusal or {}
    assert (refusal["kind"], "one inside the other" in refusal["message"]) == ("build_failed", True)


@pytest.mark.parametrize("command", ["true", "mkdir dist"])
def test_a_frontend_without_output_is_a_failure(host: LocalAgent, with_frontend: str, command: str) -> None:
    """A build that says it succeeded and left nothing would put an empty page live."""
    assert host.build(with_frontend, frontend(command=command)).refusal == {
        "kind": "build_failed",
        "message": "frontend: its command succeeded but left nothing in dist/",
        "hint": "set build.frontend.output to the directory that the command fills",
    }


def test_a_frontend_that_is_not_there_is_named(host: LocalAgent, with_frontend: str) -> None:
    """Its path is the configured one."""
    refusal = host.build(with_frontend, frontend(path="web/app")).refusal or {}
    assert refusal["message"] == "frontend: there is no directory web/app in the commit"


@pytest.mark.parametrize(
    ("into", "words"), [("infra/web", "infra/web is kept as committed"), ("infra/no", "there is no infra/no")]
)
def test_without_npm_what_was_committed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: str, words: str
) -> None:
    """A host without npm serves what is in the commit, and says so."""
    (tmp_path / "infra" / "web").mkdir(parents=True)
    (tmp_path / "infra" / "web" / "page").write_text("as committed")
    monkeypatch.setattr(process, "find", lambda *_: None)
    said: list[tuple[str, str, str]] = []
    say = lambda event, message="", level="info", **data: said.append((event, message, level))  # noqa: E731
    bench = Bench(tmp_path, tmp_path, tmp_path, tmp_path, say, 0.0, Event())
    parts.frontend({"path": "f", "command": FRONTEND_COMMAND, "output": "dist", "into": into}).work(bench)
    assert said == [("part.left_out", f"npm is not installed on this host: frontend not built, {words}", "warning")]
    assert bench.left_out == ["frontend"]
    assert (tmp_path / "infra" / "web" / "page").read_text() == "as committed"


def test_without_npm_and_without_a_committed_site_there_is_no_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frontend that can be neither built nor kept fails the build: sealed like that, it would never be repaired."""
    (tmp_path / "f").mkdir()
    monkeypatch.setattr(process, "find", lambda *_: None)
    bench = Bench(tmp_path, tmp_path, tmp_path, tmp_path, lambda *_, **__: None, 0.0, Event())
    part = parts.frontend({"path": "f", "command": FRONTEND_COMMAND, "output": "dist", "into": "infra/no"})
    with pytest.raises(Refusal) as refused:
        part.work(bench)
    assert refused.value.as_dict() == {
        "kind": "build_failed",
        "message": "frontend: npm is not installed on this host, and the commit has no infra/no",
        "hint": "install npm there, commit infra/no, or set build.frontend: null",
    }


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose PATH leads to no tool of Node."""
    found = process.find
    monkeypatch.setattr(process, "find", lambda tool, *_: None if tool in ("node", "npm", "pnpm") else found(tool, *_))


def build_here(host: LocalAgent, sha: str, recipe: dict[str, Any]) -> tuple[BuildAnswer, list[str]]:
    """A build in this process, and the events that it told."""
    said: list[str] = []
    request: Any = host.build_request(sha, recipe)
    with pytest.MonkeyPatch.context() as patched:
        # This process has children that no build started.
        patched.setattr(workspace, "all_ended", lambda outlived: nullcontext())
        return build.build(host.paths, request, lambda event, *_, **__: said.append(event)), said


def test_a_required_frontend_is_never_left_out(host: LocalAgent, with_frontend: str, no_npm: None) -> None:
    """With `required: true` a host without npm fails by name, whatever was committed."""
    with pytest.raises(Refusal) as refused:
        build_here(host, with_frontend, frontend(command=FRONTEND_COMMAND, required=True))
    assert refused.value.as_dict() == {
        "kind": "build_failed",
        "message": "frontend: npm is not installed on this host, and build.frontend.required is set",
        "hint": "install npm there, or set build.frontend.required: false",
    }


def test_the_answer_names_what_was_left_out(host: LocalAgent, with_frontend: str, no_npm: None) -> None:
    """The host's answer to the build says which parts it did without."""
    answer, said = build_here(host, with_frontend, frontend(command=FRONTEND_COMMAND))
    assert (answer["left_out"], "part.left_out" in said) == (["frontend"], True)
    assert pages(host, with_frontend) == {"page": "as committed", "old": "old"}


@pytest.mark.parametrize("tool", ["npm", "pnpm"])
def test_a_configured_command_finds_its_own_tools(
    host: LocalAgent, repository: Repository, no_npm: None, tool: str
) -> None:
    """A command of one's own runs where the host's PATH has no npm; what it found is not known, so it runs again."""
    own = host.root.parent / "node" / tool
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\nmkdir -p dist && echo built by $1 >dist/page\n")
    own.chmod(0o755)
    command = f"PATH={own.parent}:$PATH && {tool} ci"
    for text in ("one", "two"):
        sha = repository.commit(frontend__page="same", infra__web__page="as committed", notes=text)
        host.mirror(repository)
        answer, said = build_here(host, sha, frontend(command=command))
        assert (answer["left_out"], "cache.missed" in said) == ([], False)
        assert pages(host, sha) == {"page": "built by ci\n"}


def test_a_configured_command_without_its_tool_fails(host: LocalAgent, with_frontend: str) -> None:
    """What was configured and cannot be run makes no release: the build fails, and its log names the tool."""
    refusal = host.build(with_frontend, frontend(command="npm-of-nowhere ci")).refusal or {}
    assert (refusal["kind"], refusal["message"]) == ("build_failed", "frontend: 'npm-of-nowhere ci' exited 127")
    assert "npm-of-nowhere: command not found" in refusal["log"]


def test_steps_run_in_order_and_know_the_release(host: LocalAgent, mirrored: Repository) -> None:
    """Each after the one before, in its own directory, with the release in its environment."""
    steps = [
        {"name": "one", "path": ".", "command": "echo $DEPLOY_RELEASE $CI >said"},
        {"name": "two", "path": "run", "command": "cat ../said me >both"},
    ]
    sha = mirrored.git("rev-parse", "HEAD")
    answer = host.build(sha, {"steps": steps})
    assert (host.paths.release(sha) / "run" / "both").read_text() == f"{sha} 1\n#!/bin/sh\n"
    assert answer.said("part.finished") == ["one built", "two built"]


def plan(tmp_path: Path, **recipe: Any) -> dict[str, list[str]]:
    """What each part of a plan leaves to the others."""
    whole: Any = {**RECIPE, **recipe}
    return {part.name: sorted(part.made_by_others) for part in parts.plan(whole, tmp_path)}


def making(name: str, *outputs: str) -> dict[str, Any]:
    return {"name": name, "path": ".", "command": "true", "inputs": [], "outputs": [*outputs]}


def test_only_what_is_made_meanwhile_is_left_to_others(tmp_path: Path) -> None:
    """What parts before it made, and what those after it will make, is there or is not while a part is watched."""
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend/pyproject.toml").write_text("[project]\nname = 'backend'\n")
    assert plan(tmp_path, frontend=FRONTEND, venvs={"backend": ["backend"]}, steps=[making("css", "backend/css")]) == {
        "frontend": [".deploy-wheels/backend", "backend", "backend/.venv"],
        "wheel backend": ["frontend", "infra/web"],
        "venv backend": ["frontend", "infra/web"],
        "css": [],
    }


@pytest.mark.slow
def test_a_module_with_the_name_of_one_of_pythons_own_stops_nothing(host: LocalAgent, mirrored: Repository) -> None:
    """Python is not run where the commit's own types.py would be taken for the standard library's."""
    project(mirrored, "backend", "backend")
    for name in ("types", "json", "csv", "compileall"):
        (mirrored.path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    sha = mirrored.commit("with modules of its own")
    host.mirror(mirrored)
    answer = host.build(sha, {"venvs": {"backend": ["backend"]}, "installer": "pip"})
    assert answer.refusal is None


OUT = {"path": "frontend", "command": "mkdir -p dist && echo new >dist/page", "output": "dist", "into": "infra/web"}


@pytest.mark.parametrize(
    ("link", "recipe"),
    [
        ("infra", {"frontend": OUT}),
        ("frontend", {"frontend": OUT}),
        ("frontend/dist", {"frontend": {**OUT, "command": "true"}}),
        ("infra", {"frontend": {**OUT, "command": f"{OUT['command']}; ln -s OUTSIDE ../infra"}, "made": True}),
        ("tools", {"steps": [{"name": "step", "path": "tools", "command": "echo new >page"}]}),
        ("backend", {"venvs": {"backend": ["projects"]}}),
        ("projects", {"venvs": {"backend": ["projects"]}}),
    ],
)
def test_no_path_of_the_recipe_leads_out_of_the_release(
    host: LocalAgent, mirrored: Repository, tmp_path: Path, link: str, recipe: dict[str, Any]
) -> None:
    """A link of the commit, or one that a command makes: it is refused by name, and nothing outside is touched."""
    outside = tmp_path / "outside"
    for path in (outside, outside / "web"):
        path.mkdir()
        (path / "page").write_text("precious")
    (outside / "requirements.txt").touch()
    before = tree(outside)
    recipe = dict(recipe)
    if not recipe.pop("made", False):
        (mirrored.path / link).parent.mkdir(exist_ok=True)
        (mirrored.path / link).symlink_to(outside)
    else:
        recipe["frontend"] = {**OUT, "command": recipe["frontend"]["command"].replace("OUTSIDE", str(outside))}
    for name in ("frontend", "projects"):
        if name != link:
            (mirrored.path / name).mkdir(exist_ok=True)
            (mirrored.path / name / "requirements.txt").touch()
    sha = mirrored.commit("with a link")
    host.mirror(mirrored)
    refusal = host.build(sha, {"installer": "pip", **recipe}).refusal or {}
    assert (refusal["kind"], "leads out of the release" in refusal["message"]) == ("build_failed", True), refusal
    assert link.split("/")[0] in refusal["message"]
    assert tree(outside) == before
