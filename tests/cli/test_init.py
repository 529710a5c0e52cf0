"""`init`: two files beside the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oroboros_deploy.cli.init import files_for, kept, questions, told, top_of, write
from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.init.writing import FABFILE
from tests.cli.test_oroboros import oroboros
from tests.support.watching import tree


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository of a Flask application, without our files."""
    place = tmp_path / "shop"
    (place / ".git").mkdir(parents=True)
    (place / "src").mkdir()
    (place / "requirements.txt").write_text("flask\n")
    return place


@pytest.mark.slow
def test_both_files_are_written_and_accepted(top: Path) -> None:
    """Without a terminal nothing is asked, also from a directory below the top; the settings hold as they are."""
    ran = oroboros(top / "src", "init")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"wrote fabfile.py and fabric.yaml in {top}\n  ? which systemd units run it?")
    assert {name: (top / name).read_text() for name in ("fabfile.py", "fabric.yaml")} == files_for(top)
    shown = json.loads(oroboros(top, "config", "--json").stdout)
    assert (shown["root"]["value"], shown["build.frontend"]["value"]) == ("/srv/shop", "none")


@pytest.mark.slow
def test_what_would_be_written_is_printed(top: Path) -> None:
    """--print writes nothing, and --json has the same with the questions."""
    before = tree(top)
    ran = oroboros(top, "init", "--print")
    answer = json.loads(oroboros(top, "init", "--print", "--json").stdout)
    assert (ran.returncode, ran.stdout.startswith("--- fabfile.py\n"), tree(top)) == (0, True, before)
    files = files_for(top)
    assert answer == {"directory": str(top), "files": files, "questions": questions(files["fabric.yaml"])}


@pytest.mark.parametrize("settings", ["fabric.yaml", "fabric.yml", "fabric.json", "fabric.py"])
def test_nothing_is_overwritten(top: Path, settings: str) -> None:
    """Where both files are there, whatever the ending of the settings, they are named and nothing is written (2)."""
    for name in ("fabfile.py", settings):
        (top / name).write_text("mine")
    before = tree(top)
    with pytest.raises(InvalidInput, match=f"fabfile.py and {settings} are there already") as refused:
        write(top, files_for(top))
    assert (refused.value.exit_code, tree(top)) == (2, before)


@pytest.mark.parametrize(
    ("there", "missing", "said"),
    [
        ("fabric.yml", "fabfile.py", ["fabric.yml was there and is as it was"]),
        (
            "fabfile.py",
            "fabric.yaml",
            [
                "fabfile.py was there and is as it was",
                "fabfile.py does not have the tasks of oroboros_deploy: "
                "add the line  from oroboros_deploy.tasks import ns  to it, or type oroboros in place of fab",
            ],
        ),
    ],
)
def test_what_is_missing_is_written(top: Path, there: str, missing: str, said: list[str]) -> None:
    """Beside a file that is there, which stays as it is and is told."""
    (top / there).write_text("mine")
    files = files_for(top)
    written = write(top, files)
    assert (written, (top / missing).read_text(), (top / there).read_text()) == (
        {missing: files[missing]},
        files[missing],
        "mine",
    )
    assert kept(top, files, written) == said


def test_a_fabfile_with_our_tasks_wants_nothing(top: Path) -> None:
    """It is told as one that was there, and no more."""
    (top / "fabfile.py").write_text(FABFILE)
    files = files_for(top)
    assert kept(top, files, write(top, files)) == ["fabfile.py was there and is as it was"]


def test_a_link_that_leads_nowhere_is_there(top: Path) -> None:
    """Nothing is written through it."""
    (top / "fabric.yaml").symlink_to(top / "elsewhere")
    assert [*write(top, files_for(top))] == ["fabfile.py"]
    assert not (top / "elsewhere").exists()


def test_the_top_of_a_repository(top: Path, tmp_path: Path) -> None:
    """Where its `.git` is; a directory that is in none is its own."""
    assert (top_of(top / "src"), top_of(tmp_path)) == (top, tmp_path)


def test_without_a_question_nothing_is_left_to_say(top: Path) -> None:
    """Questions are told once more after the files."""
    assert told(top, {"a": "", "b": ""}, []) == f"wrote a and b in {top}"
    assert questions("# QUESTION: which?\n#  QUESTION of no kind\n  # QUESTION: where:\n") == ["which?", "where"]
