"""Steps of the user's own: what they make is shared with other releases, and taken again where that is known."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host.building.steps import Step
from oroboros_deploy.source import Source
from tests.support.builds import Site, built, manifest
from tests.support.local_agent import Answer, LocalAgent
from tests.support.repository import Repository

pytestmark = pytest.mark.slow

CSS = "mkdir -p made && cp page made/css"


def step(command: str = CSS, **more: Any) -> dict[str, Any]:
    return {"name": "css", "path": "frontend", "command": command, **more}


def build(site: Site, sha: str, *steps: dict[str, Any], **changes: Any) -> Answer:
    return site.host.build(sha, {"steps": list(steps), **changes})


def why(site: Site, *steps: dict[str, Any]) -> str:
    sha = site.commit(made=str(len(list(site.host.root.parent.glob("*")))))
    return str((build(site, sha, *steps).refusal or {})["message"])


def test_a_step_is_taken_again_when_what_it_reads_is_the_same(site: Site) -> None:
    """What it declares decides: its inputs, and its line."""
    site.commit()
    made = step(inputs=["frontend/page"], outputs=["frontend/made"])
    first, second = site.commit(frontend__page="one"), site.commit(docs__notes="two")
    third = site.commit(frontend__page="three")
    assert built(build(site, first, made)) == ["css"]
    assert built(build(site, second, made)) == []
    assert os.path.samefile(site.release(first) / "frontend/made/css", site.release(second) / "frontend/made/css")
    assert built(build(site, third, made)) == ["css"]
    assert (site.release(third) / "frontend/made/css").read_text() == "three"
    fourth = site.commit(docs__notes="four")
    assert built(build(site, fourth, made | {"command": f"{CSS}; true"})) == ["css"]


def test_what_a_step_makes_comes_back_as_it_was(site: Site) -> None:
    """Links, programs, directories that are empty, modes: as node_modules has them."""
    line = (
        "mkdir -p nm/.bin nm/pkg nm/empty; echo '#!/bin/sh' >nm/pkg/cli.js; chmod 755 nm/pkg/cli.js;"
        " ln -s ../pkg/cli.js nm/.bin/cli; echo secret >nm/pkg/key; chmod 600 nm/pkg/key"
    )
    made = step(line, inputs=["frontend/page"], outputs=["frontend/nm"])
    site.commit()
    first, second = site.commit(docs__notes="one"), site.commit(docs__notes="two")
    assert built(build(site, first, made)) == ["css"]
    assert built(build(site, second, made)) == []
    assert manifest(site.release(first))["frontend/nm/.bin/cli"][3] == "../pkg/cli.js"
    taken = {path: row for path, row in manifest(site.release(second)).items() if path.startswith("frontend/nm")}
    assert taken == {path: row for path, row in manifest(site.release(first)).items() if path.startswith("frontend/nm")}
    assert [path for path in taken if "/" in path[12:]] == [
        "frontend/nm/.bin/cli",
        "frontend/nm/pkg/cli.js",
        "frontend/nm/pkg/key",
    ]


def test_a_virtual_environment_of_a_step_works_in_the_next_release(site: Site) -> None:
    """Its programs and links name the release that they are in; bytecode that names another one is left out."""
    line = (
        "python3 -m venv --without-pip env; site=$(echo env/lib/python3*/site-packages);"
        " echo 'def main(): print(__file__)' >$site/tool.py; env/bin/python -m compileall -q $PWD/$site;"
        " printf '#!%s\\nimport tool; tool.main()\\n' $PWD/env/bin/python >env/bin/tool; chmod 755 env/bin/tool"
    )
    made = step(line, inputs=["frontend/page"], outputs=["frontend/env"])
    site.commit()
    first, second = site.commit(docs__notes="one"), site.commit(docs__notes="two")
    assert built(build(site, first, made)) == ["css"]
    assert built(build(site, second, made)) == []
    for sha in (first, second):
        ran = subprocess.run([site.release(sha) / "frontend/env/bin/tool"], capture_output=True, text=True)
        assert (ran.stdout.startswith(f"{site.release(sha)}/frontend/env/lib/"), ran.stderr) == (True, "")
    other = first.encode()
    told = [path for path in (site.release(second) / "frontend/env").rglob("*") if path.is_file()]
    assert [str(path) for path in told if other in path.read_bytes()] == []


def test_an_output_may_be_a_file(site: Site) -> None:
    """It is taken again as a directory is, also where the commit has one that it replaces."""
    made = step("cp page made", inputs=["frontend/page"], outputs=["frontend/made"])
    site.commit()
    shas = [site.commit(frontend__made="committed"), site.commit(docs__notes="two")]
    assert [built(build(site, sha, made)) for sha in shas] == [["css"], []]
    assert [(site.release(sha) / "frontend/made").read_text() for sha in shas] == ["hello", "hello"]


def test_outputs_alone_are_shared_by_content(site: Site) -> None:
    """Such a step always runs, for nobody said what it reads; a file that comes out the same costs nothing."""
    made = step(f"{CSS}; echo $DEPLOY_RELEASE >made/id", outputs=["frontend/made"])
    site.commit()
    first, second = site.commit(docs__notes="one"), site.commit(docs__notes="two")
    assert [built(build(site, sha, made)) for sha in (first, second)] == [["css"], ["css"]]
    one, other = (site.release(sha) / "frontend/made" for sha in (first, second))
    assert os.path.samefile(one / "css", other / "css")
    assert ((other / "id").read_text(), (other / "css").stat().st_mode & 0o222) == (f"{second}\n", 0)


def test_what_another_part_made_is_an_input_wherever_the_release_lies(site: Site) -> None:
    """A text with the release's path in it is the same input in the next release."""
    place = step("echo $PWD >place", name="place")
    made = step("mkdir made; wc -l <place >made/lines", inputs=["frontend/place"], outputs=["frontend/made"])
    site.commit()
    first, second = site.commit(docs__notes="one"), site.commit(docs__notes="two")
    assert built(build(site, first, place, made)) == ["css", "place"]
    assert built(build(site, second, place, made)) == ["place"]


def test_what_a_step_writes_beside_its_outputs_is_told(site: Site) -> None:
    """A result that is taken again would lack it, so it is not kept."""
    made = step(f"{CSS}; echo x >beside", inputs=["frontend/page"], outputs=["frontend/made"])
    site.commit()
    first, second = site.commit(docs__notes="one"), site.commit(docs__notes="two")
    why = "its command wrote frontend/beside, which is in none of its outputs"
    told = f"the result of css is not kept for later builds: {why}"
    assert build(site, first, made).said("cache.refused") == [told]
    assert built(build(site, second, made)) == ["css"]


ONE = "echo page >page; mkdir -p en; echo one >en/page"  # in made, by a step whose outputs are all of it
TWO = "cat en/page >>en/page.txt; echo two >en/page"  # in made, by a step whose output is what is below en


@pytest.mark.parametrize(
    ("first", "second", "again"),
    [
        (("made", f"mkdir made; cd made; {ONE}"), ("made/en", f"cd made; {TWO}"), ["one"]),
        (("made/en", f"mkdir -p made; cd made; {ONE}"), ("made", "cd made; rm -r en; touch all"), ["one"]),
        (("made/en", f"mkdir -p made; cd made; {ONE}; rm page"), ("made", "touch made/all"), []),
    ],
)
def test_two_steps_that_make_one_inside_the_other(
    site: Site, first: tuple[str, str], second: tuple[str, str], again: list[str]
) -> None:
    """An entry with a file that a later step changed is not kept; taken or made, the release comes out the same."""
    steps = [
        step(line, name=name, path=".", inputs=["frontend/page"], outputs=[output])
        for name, (output, line) in {"one": first, "two": second}.items()
    ]
    site.commit()
    shas = [site.commit(docs__notes=text) for text in ("1", "2", "3")]
    assert [built(build(site, sha, *steps)) for sha in shas] == [["one", "two"], again, again]
    releases = [manifest(site.release(sha)) for sha in shas]
    made = [{path: row for path, row in release.items() if path.startswith("made")} for release in releases]
    assert made == [made[0]] * 3


def test_a_line_may_name_what_nobody_may_look_at(a_login: LocalAgent, repository: Repository) -> None:
    """A path in a closed directory, and a word too long for a name, are no files that the step reads."""
    closed = a_login.root / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").touch()
    sha = repository.commit(page="text", Makefile="all:\n")
    line = f"cp page made; test ! -e ../../closed/file; : {'n' * 300}"
    made = {"name": "css", "path": ".", "command": line, "inputs": ["page"], "outputs": ["made"]}
    answer = a_login.build(sha, {"steps": [made]}, b"".join(Source(repository.path).bundle(sha, [])))
    assert (built(answer), (a_login.paths.release(sha) / "made").read_text()) == (["css"], "text")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"outputs": ["frontend/no"]}, "css: its command succeeded but made no frontend/no"),
        (
            {"inputs": ["frontend/no"], "outputs": ["frontend/made"]},
            "css: its input frontend/no is not in the commit, and no part before it made it",
        ),
        (
            {"command": "ln -s ../docs made", "outputs": ["frontend/made"]},
            "css: its output frontend/made is or lies behind a link, frontend/made -> ../docs",
        ),
        (
            {"command": "mkdir ../docs; ln -s ../docs in; echo x >in/x", "outputs": ["frontend/in/x"]},
            "css: its output frontend/in/x is or lies behind a link, frontend/in -> ../docs",
        ),
    ],
)
def test_what_is_declared_wrong_is_refused_by_name(site: Site, more: dict[str, Any], message: str) -> None:
    """Before anything is kept of it."""
    site.commit()
    assert why(site, step(**more)) == message


def test_a_step_that_is_once_sees_the_release_read_only(site: Site) -> None:
    """It may use its temporary directory."""
    sha = site.commit()
    log = "touch made || echo closed; echo x >$TMPDIR/x && cat $TMPDIR/x"
    answer = build(site, sha, step(log, once=True))
    assert answer.refusal is None
    (told,) = site.host.paths.ours.glob("attempts/*/css.log")
    assert told.read_text().splitlines()[-2:] == ["closed", "x"]
    assert not (site.release(sha) / "frontend/made").exists()


def test_a_step_without_outputs_says_nothing_of_itself(tmp_path: Path) -> None:
    """It always runs, and nothing of it is known."""
    plain = Step({"name": "a", "path": ".", "command": "true"})
    assert (plain.always_runs, plain.outputs) == (True, [])
