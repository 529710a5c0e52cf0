"""The version of a project that takes it from git."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.host.building import git_version
from tests.support.builds import Site, built


@pytest.mark.parametrize(
    ("described", "version"),
    [
        ("v1.2.3", "1.2.3"),
        ("1.2", "1.2"),
        ("api/v1.2.3", "1.2.3"),
        ("release-1.2.3", "1.2.3"),
        ("v2.0-rc1", "2.0rc1"),
        ("v1.2.3-4-g0123456789", "1.2.4.dev4+g0123456789"),
        ("v2.0rc1-1-g0123456789", "2.0rc2.dev1+g0123456789"),
        ("0123456789", "0.1.dev0+g0123456789"),
        ("a" * 40, "0.1.dev0+gaaaaaaaaaa"),
        ("stable-2-g0123456789", "0.1.dev2+g0123456789"),
        ("stable", "0.1.dev0"),
    ],
)
def test_a_version_is_made_of_what_git_says(described: str, version: str) -> None:
    """As setuptools-scm makes it, and as packages may be called."""
    assert git_version.version(described) == version


@pytest.mark.parametrize(
    ("name", "text", "variables"),
    [
        (
            "pyproject.toml",
            '[build-system]\nrequires = ["setuptools-scm>=8"]\n[project]\nname = "my.Shop-api"\n',
            {"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_SHOP_API": "1.2.3"},
        ),
        (
            "pyproject.toml",
            '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\n[project]\nname = "shop"\n',
            {"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_SHOP": "1.2.3"},
        ),
        (
            "setup.py",
            'from setuptools import setup\nsetup(name="shop", use_scm_version=True)\n',
            {"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_SHOP": "1.2.3"},
        ),
        (
            "pyproject.toml",
            '[build-system]\nrequires = ["pdm-backend"]\n[project]\nname = "a"\n[tool.pdm.version]\nsource = "scm"\n',
            {"PDM_BUILD_SCM_VERSION": "1.2.3"},
        ),
        ("pyproject.toml", '[build-system]\nrequires = ["pbr"]\n[project]\nname = "shop"\n', {"PBR_VERSION": "1.2.3"}),
        ("pyproject.toml", '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "shop"\nversion = "1"\n', {}),
        ("requirements.txt", "setuptools-scm\n", {}),
    ],
)
def test_a_project_is_told_its_version(tmp_path: Path, name: str, text: str, variables: dict[str, str]) -> None:
    """By the variable that its own tool reads; other projects are told nothing."""
    (tmp_path / name).write_text(text)
    assert git_version.variables(tmp_path, "v1.2.3") == variables


@pytest.mark.slow
def test_a_project_with_setuptools_scm_is_built(site: Site) -> None:
    """The real tool, which finds no git above the release, calls the wheel by the tag; another tag is another wheel."""
    requires = 'requires = ["setuptools>=77", "setuptools-scm>=8"]\nbuild-backend = "setuptools.build_meta"\n'
    named = f'[build-system]\n{requires}[project]\nname = "shop"\ndynamic = ["version"]\n'
    more = '[tool.setuptools]\npackages = []\n[tool.setuptools_scm]\nroot = ".."\n'
    sha = site.commit(**{"shop/pyproject.toml": named + more})
    for tag in ("v1.2.3", "v1.3"):
        request = site.host.build_request(sha, {"venvs": {"shop": ["shop"]}, "installer": "pip"})
        answer = site.host.call("build", {**request, "described": tag})
        assert built(answer) == ["venv shop", "wheel shop"]
        asked = "import importlib.metadata as m; print(m.version('shop'))"
        python = site.release(sha) / "shop/.venv/bin/python"
        done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
        assert done.stdout == f"{tag[1:]}\n"
        subprocess.run(["chmod", "-R", "u+w", site.release(sha)], check=True)
        subprocess.run([sys.executable, "-c", f"import shutil; shutil.rmtree({str(site.release(sha))!r})"], check=True)
