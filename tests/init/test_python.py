"""What `init` makes of Python projects."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.init import python
from oroboros_deploy.init.proposal import Proposal
from oroboros_deploy.init.tree import Tree
from tests.support.sources import write_files


def look(top: Path, **files: str) -> Proposal:
    """What is found in files, whose names have ``__`` for a slash and ``_`` for a dot."""
    write_files(top, files)
    proposal = Proposal("shop")
    python.look(Tree(top), proposal)
    return proposal


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"uv_lock": ""}, "uv.lock is installed as locked, by uv of the host or one that is kept in .deploy/tools"),
        (
            {"poetry_lock": ""},
            "poetry.lock is installed as locked, by poetry of the host or one that is kept in .deploy/tools",
        ),
        ({"pdm_lock": ""}, "pdm.lock is installed as locked, by pdm of the host or one that is kept in .deploy/tools"),
        ({"requirements_txt": ""}, "pyproject.toml is a project, and is installed with its requirements.txt"),
        ({}, "pyproject.toml is a project; without a lock file the package index decides which versions it gets"),
    ],
)
def test_the_reason_names_the_lock(tmp_path: Path, files: dict[str, str], why: str) -> None:
    """A lock file is followed, and where there is none that is said."""
    proposal = look(tmp_path, pyproject_toml="[project]\nname = 'shop'\n", **files)
    assert (proposal.venvs, proposal.reasons["build.venvs"]) == ({".venv": ["."]}, [why])


def test_the_reason_names_the_file_that_describes_the_project(tmp_path: Path) -> None:
    """A setup.py is one, too, also beside a pyproject.toml that only configures tools."""
    proposal = look(tmp_path, pyproject_toml="[tool.ruff]\n", setup_py="", requirements_txt="")
    assert proposal.reasons["build.venvs"] == ["setup.py is a project, and is installed with its requirements.txt"]


def test_what_a_project_needs_of_its_host_and_of_its_files_is_asked(tmp_path: Path) -> None:
    """Its Python, and what a wheel of it would hold."""
    project = "[project]\nname = 'shop'\nrequires-python = '>=3.14'\n"
    proposal = look(tmp_path, pyproject_toml=project, app__main_py="", static__page_css="")
    assert {name: len(asked) for name, asked in proposal.questions.items()} == {"build": 1, "build.venvs": 1}


def test_hashes_are_told(tmp_path: Path) -> None:
    """Requirements with hashes are installed by them."""
    proposal = look(tmp_path, requirements_txt="a==1 --hash=sha256:0")
    assert proposal.reasons["build.venvs"] == ["requirements.txt, whose hashes pip compares"]


def test_a_pyproject_of_tools_is_no_project(tmp_path: Path) -> None:
    """One that only configures tools installs nothing."""
    assert look(tmp_path, pyproject_toml="[tool.ruff]\n").venvs == {}


def test_a_pyproject_of_tools_hides_no_application(tmp_path: Path) -> None:
    """What is below it is looked at, where nothing at the top is to be installed."""
    proposal = look(tmp_path, pyproject_toml="[tool.ruff]\n", apps__api__requirements_txt="flask")
    assert proposal.venvs == {"apps/api": {"requirements": ["apps/api/requirements.txt"]}}


def test_a_workspace_of_uv_has_its_applications_below(tmp_path: Path) -> None:
    """What locks them is at the top, where no project is: a person is told how its pins are committed."""
    member = "[project]\nname = 'shop-api'\ndependencies = ['fastapi']\n"
    workspace = {"pyproject_toml": "[tool.uv.workspace]\nmembers = ['api']\n", "uv_lock": ""}
    proposal = look(tmp_path, api__pyproject_toml=member, **workspace)
    assert (proposal.venvs, proposal.found) == ({"api": ["api"]}, ["FastAPI in api"])
    [asked] = proposal.questions["build.venvs"]
    assert asked.endswith("uv export --package shop-api --no-dev --no-emit-workspace -o api/requirements.txt")
    assert look(tmp_path, api__requirements_txt="fastapi==1").questions == {}


def test_django_below_the_top(tmp_path: Path) -> None:
    """Its environment, migration and static files are named from the top of the repository."""
    settings = {"site__shop__settings_py": 'STATIC_ROOT = BASE_DIR / "assets"'}
    proposal = look(tmp_path, site__manage_py="", site__requirements_txt="Django", **settings)
    command = "site/.venv/bin/python site/manage.py"
    assert proposal.venvs == {"site": {"requirements": ["site/requirements.txt"]}}
    assert proposal.migrate == f"{command} migrate --noinput"
    collect = {"name": "static files site", "command": f"{command} collectstatic --noinput", "outputs": ["site/assets"]}
    assert proposal.steps == [collect]


def test_units_say_where_the_environment_is(tmp_path: Path) -> None:
    """Or what they run would not be there; one beside the code of another place is not meant."""
    unit = "ExecStart=@root@/current/api/env/bin/gunicorn\nExecStartPre=@root@/current/web/x/bin/a\n"
    proposal = look(tmp_path, api__requirements_txt="flask", shop_service=unit)
    assert proposal.venvs == {"api/env": {"requirements": ["api/requirements.txt"]}}
    assert proposal.reasons["build.venvs"] == ["the units run api/env/bin", "api/requirements.txt"]


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({"shop_py": "URI = 'sqlite:///shop.db'"}, True),
        ({"manage_py": "", "shop__settings_py": "DATABASE = env.dj_db_url('D', default='sqlite:///a.db')"}, True),
        ({"shop_py": "URI = environ['DATABASE_URL']"}, False),
    ],
)
def test_a_database_beside_the_code_is_asked_for(tmp_path: Path, files: dict[str, str], asked: bool) -> None:
    """A release is read-only, whichever framework it has, and the next one would have another database."""
    proposal = look(tmp_path, requirements_txt="flask", **files)
    assert any("SQLite" in each for each in proposal.questions.get("shared", [])) == asked


@pytest.mark.parametrize(("place", "word"), [("api", "api"), ("my api", "'my api'")])
def test_alembic_below_the_top(tmp_path: Path, place: str, word: str) -> None:
    """It is run in the directory of its settings, whose name is one word for the shell."""
    project = "[project]\nname = 'a'\ndependencies = ['alembic']\n"
    proposal = look(tmp_path, **{f"{place}/pyproject_toml": project, f"{place}/alembic_ini": ""})
    assert proposal.migrate == f"cd {word} && .venv/bin/alembic upgrade head"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ('BASE_DIR / "media"', "site/media"),
        ('BASE_DIR / "var" / "media"', "site/var/media"),
        ('BASE_DIR / "var/media"', "site/var/media"),
        ('os.path.join(BASE_DIR, "var", "media")', "site/var/media"),
        ('os.path.join(\n    BASE_DIR,\n    "var",\n    "media",\n)', "site/var/media"),
        ('env("MEDIA_ROOT", default=str(BASE_DIR / "var" / "media"))', "site/var/media"),
        ('f"{BASE_DIR}/var/media"', "site/var/media"),
        ('os.path.join(BASE_DIR, "..", "media")', "media"),
        ('Path("/var/lib/media")', None),
        ('os.path.join("x", "/var/lib/media")', None),
        ('env("MEDIA_ROOT")', None),
    ],
)
def test_the_whole_path_of_uploads(tmp_path: Path, value: str, path: str | None) -> None:
    """Every segment counts, and the line after it does not; what is outside the repository is not shared."""
    settings = f'MEDIA_ROOT = {value}\nMEDIA_URL = "/m/"\nLOGS = BASE_DIR / "logs"\n'
    proposal = look(tmp_path, site__manage_py="", site__requirements_txt="Django", site__shop__settings_py=settings)
    assert proposal.shared == ([path] if path else [])


def test_two_places_migrate(tmp_path: Path) -> None:
    """The migration of a second place comes after that of the first, and replaces nothing."""
    files = {f"{place}__requirements_txt": "Django" for place in ("a", "b")}
    proposal = look(tmp_path, a__manage_py="", b__manage_py="", **files)
    one, two = (f"{place}/.venv/bin/python {place}/manage.py migrate --noinput" for place in "ab")
    assert proposal.migrate == f"({one}) && ({two})"
