"""A settings file that one wrote, and that Fabric does not read, is refused by name."""

from __future__ import annotations

from pathlib import Path

import fabric
import invoke
import pytest

from oroboros_deploy import ConfigError
from oroboros_deploy.cli import program
from oroboros_deploy.control.unread_files import refuse_unread


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with `fabric.yaml` and a directory of its own, and a home beside it."""
    for name in ("home", "etc", "project/backend"):
        (tmp_path / name).mkdir(parents=True)
    project = tmp_path / "project"
    (project / "fabric.yaml").write_text("deploy: {keep: 3}\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(project)
    return project


def read(project: Path, runtime: Path | None = None, *, prepared: bool = False) -> fabric.Config:
    """What Fabric reads for a fabfile in the project; ``prepared`` with the reader that a running `fab` is given."""
    config = fabric.Config(lazy=True, system_prefix=f"{project.parent}/etc/")
    config.load_base_conf_files()
    config.set_project_location(project)
    config.load_project()
    config.set_runtime_path(runtime)
    load = program.read_once(config) if prepared else config.load_runtime
    load()
    return config


@pytest.mark.parametrize("ending", ["yml", "json", "py"])
@pytest.mark.parametrize("stem", ["project/fabric", "home/.fabric", "etc/fabric"])
def test_a_second_file_in_one_place(project: Path, stem: str, ending: str) -> None:
    """Fabric reads the first one alone, of the system, of the user and of the project: the other is named."""
    first, second = (project.parent / f"{stem}.{each}" for each in ("yaml", ending))
    for file in (first, second):
        file.write_text("{}")
    with pytest.raises(ConfigError) as refused:
        refuse_unread(read(project))
    assert (refused.value.message, refused.value.hint) == (
        f"nothing was changed: {second} is not read: {first} goes before it",
        f"put the settings of both into {first}, and "
        + (f"give {second} another name" if ending == "py" else f"rm {second}"),
    )


@pytest.mark.parametrize("place", ["backend", "backend/src"])
def test_a_file_beside_the_working_directory(project: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Where the fabfile is above, its settings hold; those that are nearer are named, unless `-f` names them."""
    (project / "backend/src").mkdir()
    monkeypatch.chdir(project / place)
    file = project / "backend/fabric.yml"
    file.write_text("deploy: {keep: 9}\n")
    with pytest.raises(ConfigError) as refused:
        refuse_unread(read(project))
    assert (refused.value.message, refused.value.hint) == (
        f"nothing was changed: {file} is not read: the settings are those in {project}",
        f"cd {project}, or add the settings of this file: -f {file}",
    )
    refuse_unread(read(project, runtime=file))


def test_a_hidden_file_in_the_project(project: Path) -> None:
    """Fabric reads a hidden one in the home directory alone."""
    (project / ".fabric.yaml").write_text("deploy: {keep: 9}\n")
    with pytest.raises(ConfigError, match=r"/\.fabric\.yaml is not read: a file of this name is not looked at here"):
        refuse_unread(read(project))


def test_a_link_that_cannot_be_followed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one into a closed directory; root may look into each, so a name too long stands for it."""
    (project / "backend/fabric.yaml").symlink_to("x" * 300)
    monkeypatch.chdir(project / "backend")
    with pytest.raises(ConfigError, match=r"/fabric\.yaml is not read: it is a link to nothing that can be read here"):
        refuse_unread(read(project))


def test_a_link_to_nothing(project: Path) -> None:
    """Fabric takes it for no file at all."""
    (project / "fabric.yaml").unlink()
    (project / "fabric.yaml").symlink_to("shared/fabric.yaml")
    with pytest.raises(ConfigError, match=r"/fabric\.yaml is not read: it is a link to nothing that can be read here"):
        refuse_unread(read(project))


@pytest.mark.parametrize("name", ["fabric.py", "fabric.json", ".fabric.py"])
def test_files_of_other_programs_below_the_project(project: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A module about fabrics and the data of fabric.js are no settings where Fabric does not look."""
    (project / "backend" / name).write_text("{}")
    monkeypatch.chdir(project / "backend")
    refuse_unread(read(project))


def test_a_file_that_was_read_from_another_directory(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of somebody's goes elsewhere: what `-f` named was read at the start, and is the same file there."""
    file = project / "backend/fabric.yml"
    file.write_text("deploy: {keep: 9}\n")
    config = read(project, Path("backend/fabric.yml"), prepared=True)
    monkeypatch.chdir(project / "backend")
    refuse_unread(config)
    assert config.deploy.keep == 9
    file.unlink()
    refuse_unread(config)


def test_what_is_read_or_is_no_settings(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file under two names, a directory, what lies beside the project, and a configuration without a project."""
    (project / "fabric.yml").symlink_to("fabric.yaml")
    (project / "fabric.py").mkdir()
    (project.parent / "fabric.json").write_text("{}")
    (project.parent / "home/.fabric.yaml").write_text("{}")
    refuse_unread(read(project))
    monkeypatch.chdir(project.parent)
    refuse_unread(read(project))
    refuse_unread(fabric.Config(lazy=True))


def test_a_file_that_was_named_and_is_not_there(project: Path) -> None:
    """Fabric would go on without it, with other settings than those that were meant."""
    with pytest.raises(ConfigError, match=r"gone\.yaml, the settings file that was named, is not there"):
        refuse_unread(read(project, runtime=project / "gone.yaml"))


def test_fabrics_file_for_another_program(project: Path) -> None:
    """`inv` reads `invoke.yaml`: where there is none, what `fab` would read is not passed over in silence."""
    config = invoke.Config(lazy=True)
    config.set_project_location(project)
    config.load_project()
    with pytest.raises(ConfigError, match=r"/fabric\.yaml is not read: a file of this name is not looked at here"):
        refuse_unread(config)
    (project / "invoke.yaml").write_text("{}")
    config = invoke.Config(lazy=True)
    config.set_project_location(project)
    config.load_project()
    refuse_unread(config)
