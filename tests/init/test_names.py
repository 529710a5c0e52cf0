"""Which names of the environment `init` asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.init import names
from oroboros_deploy.init.proposal import Proposal
from oroboros_deploy.init.tree import Tree
from tests.support.sources import write_files


def look(top: Path, **files: str) -> list[str]:
    """The names that are found in files, whose names have ``__`` for a slash and ``_`` for a dot."""
    write_files(top, files)
    proposal = Proposal("shop")
    names.look(Tree(top), proposal)
    return proposal.names


@pytest.mark.parametrize(
    "read",
    [
        'os.environ["KEY_ID"]',
        "environ['KEY_ID']",
        'os.getenv("KEY_ID")',
        'os.environ.get(\n    "KEY_ID"\n)',
        'config("KEY_ID", cast=bool)',
        'env("KEY_ID")',
        'env.str("KEY_ID")',
        'os.environ["KEY_ID"].split(",")',
        'os.environ.get("KEY_ID", ""), os.environ["KEY_ID"]',
    ],
)
def test_what_code_reads_without_a_default(tmp_path: Path, read: str) -> None:
    """A name without which the application may not start is asked for."""
    assert look(tmp_path, shop__settings_py=f"KEY = {read}\n") == ["KEY_ID"]


@pytest.mark.parametrize(
    "read",
    [
        'os.getenv("KEY_ID", "x")',
        'env("KEY_ID", default="x")',
        'environ["HOME"]',
        'Config("KEY_ID")',
        'os.environ.get("KEY_ID", "")',
        'os.getenv("KEY_ID") or "x"',
        'os.environ.get("KEY_ID") == "x"',
        'env("KEY_ID"), environ.Env(KEY_ID=(str, "x"))',
        "1\nif key := os.getenv('KEY_ID'):\n    pass",
        '1\nos.environ["KEY_ID"] = "x"',
    ],
)
def test_what_nobody_has_to_answer(tmp_path: Path, read: str) -> None:
    """Nor is a name with a default, or one that every system sets."""
    assert look(tmp_path, shop_py=f"KEY = {read}\n") == []


def test_an_example_of_an_environment_has_the_names(tmp_path: Path) -> None:
    """In its order and once each, with what the code reads after them; its values are for development."""
    example = "# shop\nexport PORT=3000\nDATABASE_URL=x\n#OLD=1\nEMPTY=\n"
    code = 'environ["MAIL"], environ["PORT"]'
    assert look(tmp_path, _env_example=example, shop_py=code) == ["PORT", "DATABASE_URL", "EMPTY", "MAIL"]


@pytest.mark.parametrize("read", ['os.environ.get("MAIL_PASSWORD", "")', "env('DATABASE_URL', default=None)"])
def test_an_empty_default_of_a_secret_is_none(tmp_path: Path, read: str) -> None:
    """The application starts without the secret, and fails when it is needed."""
    assert len(look(tmp_path, shop_py=f"KEY = {read}\n")) == 1


def test_a_key_of_django_for_development_is_none(tmp_path: Path) -> None:
    """Whatever reads it: a key that is in the repository is known to everybody."""
    assert look(tmp_path, shop_py='SECRET_KEY = envsecret("SECRET_KEY", "---")\n') == ["SECRET_KEY"]


def test_an_example_of_what_has_a_default_is_not_asked_for(tmp_path: Path) -> None:
    """Such names are counted, and no more: the application starts without them."""
    files = {"_env_example": "DEBUG=True\nMAIL=x\n", "shop_py": 'envbool("DEBUG", "False"), getenv("SIZE", 3)'}
    assert look(tmp_path, **files) == ["MAIL"]
    proposal = Proposal("shop")
    names.look(Tree(tmp_path), proposal)
    assert proposal.defaults == 2


def test_what_an_application_may_start_without_comes_last(tmp_path: Path) -> None:
    """Before it are the names that fail at the start, and secrets."""
    code = 'getenv("ALBUM"), getenv("API_TOKEN"), environ["ZONE"]'
    assert look(tmp_path, shop_py=code) == ["API_TOKEN", "ZONE", "ALBUM"]


@pytest.mark.parametrize("name", ["SECRET_KEY", "SECRET_OF_X", "DB_PASSWORD", "BOT_TOKEN", "DATABASE_URL", "X_DSN"])
def test_names_of_secrets(name: str) -> None:
    """Their values belong into no file."""
    assert names.is_secret(name)


@pytest.mark.parametrize("name", ["ALLOWED_HOSTS", "PORT", "KEY_ID", "SITE_URL", "KEYBOARD", "TOKENS_PER_DAY"])
def test_names_of_plain_values(name: str) -> None:
    """Nobody has to hide them."""
    assert not names.is_secret(name)
