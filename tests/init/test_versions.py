"""What `init` says of an application for which Debian has no fitting Python or Node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oroboros_deploy.init import versions
from oroboros_deploy.init.proposal import Proposal
from oroboros_deploy.init.tree import Tree


@pytest.mark.parametrize(
    ("wanted", "fitting"),
    [
        (">=3.9", [11, 13]),
        (">=3.12,<4.0", [13]),
        ("^3.12", [13]),
        ("~=3.11", [11, 13]),
        (">=3.8,!=3.9.0,<3.13", [11]),
        ("==3.11.*", [11]),
        ("3.11", [11]),
        ("<=3.11", [11]),
        (">=3.14", []),
        (">=2.7, <3", []),
        ("~=3.11.2", [11]),
        ("~=3.12.0", []),
        (">=3.11,!=3.13.*", [11]),
        ("!=3.13", [11, 13]),
        ("!=3.*", []),
        ("", [11, 13]),
    ],
)
def test_ranges_of_python(wanted: str, fitting: list[int]) -> None:
    """Each bound counts, by major and minor version."""
    assert [minor for minor in (11, 13) if versions.fits(wanted, (3, minor))] == fitting


@pytest.mark.parametrize(
    ("wanted", "fitting"),
    [
        (">=18", [18, 20]),
        ("^18.18.0 || >=20", [18, 20]),
        ("20.x", [20]),
        ("~20", [20]),
        ("v16.18.0", []),
        (">=18 <20", [18]),
        ("lts/*", [18, 20]),
        (">=24", []),
        ("18 - 20", [18, 20]),
        ("16.4.0 - v19.x", [18]),
        ("8 - 10 || 20 - 22", [20]),
        (f">={'9' * 5000}.{'9' * 5000}", []),
    ],
)
def test_ranges_of_node(wanted: str, fitting: list[int]) -> None:
    """One alternative is enough, and the major version decides."""
    assert [major for major in (18, 20) if versions.fits(wanted, (major,))] == fitting


@pytest.mark.parametrize(
    ("files", "wants"),
    [
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.14"'}, "pyproject.toml wants Python >=3.14"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.14"'}, "pyproject.toml wants Python ^3.14"),
        ({"package.json": json.dumps({"engines": {"node": ">=24"}})}, "package.json wants Node >=24"),
        ({"package.json": "{}", ".nvmrc": "v24.1.0\n"}, ".nvmrc wants Node >=v24.1.0"),
        ({"package.json": json.dumps({"engines": {"node": ">=18"}}), ".nvmrc": "24"}, None),
        ({"package.json": "{}", ".node-version": "16"}, None),
        ({"package.json": "{}", ".nvmrc": "lts/*"}, None),
        ({"package.json": json.dumps({"engines": {"npm": ">=99"}})}, None),
    ],
)
def test_what_debian_does_not_have_is_asked_for(tmp_path: Path, files: dict[str, str], wants: str | None) -> None:
    """The question names the file that wants it; what packages say counts before what developers use."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    proposal = Proposal("shop")
    versions.of_python(Tree(tmp_path), proposal, "")
    versions.of_node(Tree(tmp_path), proposal, "")
    assert [each.partition(";")[0] for each in proposal.questions.get("build", [])] == ([wants] if wants else [])


def test_what_one_debian_has_is_told(tmp_path: Path) -> None:
    """Nobody is asked: the deploy works on that one."""
    (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.12"')
    proposal = Proposal("shop")
    versions.of_python(Tree(tmp_path), proposal, "")
    told = "pyproject.toml wants Python >=3.12; Debian 12 has 3.11, Debian 13 has 3.13. On Debian 12 "
    assert (proposal.questions, proposal.reasons) == (
        {},
        {"build": [f"{told}write the path of a fitting one below `build`: python: /opt/python/bin/python3"]},
    )


@pytest.mark.parametrize(
    ("files", "wants"),
    [
        ({"README.md": "* Python 3.12+\n", "docker/Dockerfile": "FROM python:3.14.7-slim AS builder\n"}, "README.md"),
        ({"README.rst": "needs Python 3.12 or later"}, "README.rst"),
        ({"setup.cfg": "[options]\npython_requires = >=3.12\n", "README.md": "Python 3.13+"}, "setup.cfg"),
        ({"setup.py": "setup(python_requires='>=3.12')"}, "setup.py"),
        ({".python-version": "3.12.4\n", "Dockerfile": "FROM python:3.13"}, ".python-version"),
        (
            {"docker/Dockerfile": "FROM node:22\nFROM --platform=x docker.io/library/python:3.12-slim\n"},
            "docker/Dockerfile",
        ),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.9"', "README.md": "Python 3.12+"}, None),
        ({".python-version": "shop-env", "README.md": "Python 3.12 was the first"}, None),
        ({"Dockerfile": "FROM python:3"}, None),
    ],
)
def test_other_files_say_what_python_is_wanted(tmp_path: Path, files: dict[str, str], wants: str | None) -> None:
    """What is said of installing goes first, then what people read, what developers use, and what an image has."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    proposal = Proposal("shop")
    versions.of_python(Tree(tmp_path), proposal, "")
    told = [reason.partition(";")[0] for reason in proposal.reasons.get("build", [])]
    assert told == ([f"{wants} wants Python >=3.12"] if wants else [])
