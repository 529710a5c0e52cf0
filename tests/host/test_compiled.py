"""Modules that Python imports from memory."""

from __future__ import annotations

import marshal
import subprocess
import sys
import traceback
import zipfile
from importlib.util import module_from_spec
from pathlib import Path

import pytest

from oroboros_deploy.host import compiled

TEXTS = {"given": "", "given.one": "from .two import number\n", "given.two": "number = 2\ndef fail():\n    1 / 0\n"}
FILES = {"given": "given/__init__.py", "given.one": "given/one.py", "given.two": "given/two.py"}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with a package, whose modules are imported from memory."""
    agent = tmp_path / "agent.pyz"
    with zipfile.ZipFile(agent, "w") as archive:
        for name, text in TEXTS.items():
            archive.writestr(FILES[name], text)
    codes = {name: compile(text, f"{agent}/{FILES[name]}", "exec") for name, text in TEXTS.items()}
    modules = {name: (name == "given", marshal.dumps(code)) for name, code in codes.items()}
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    compiled.serve(modules, str(agent))
    return agent


def test_modules_are_imported_by_each_other(served: Path) -> None:
    """Whatever becomes of the file that they were read from, as when somebody removes it."""
    served.unlink()
    from given.one import number  # type: ignore[import-not-found]

    assert number == 2


def test_other_modules_come_from_where_they_did(served: Path) -> None:
    """The package has the modules that were given, and nobody else has any of them."""
    with pytest.raises(ModuleNotFoundError, match=r"given\.three"):
        import given.three  # type: ignore[import-not-found]  # noqa: F401
    assert sys.meta_path[0].find_spec("json", None) is None


def test_a_traceback_shows_the_text(served: Path) -> None:
    """It is read from the agent, so that whoever mends a fault sees the lines."""
    from given import two  # type: ignore[import-not-found]

    with pytest.raises(ZeroDivisionError) as failed:
        two.fail()
    told = traceback.format_exception(failed.value)
    assert told[-2].splitlines()[:2] == [f'  File "{served}/given/two.py", line 3, in fail', "    1 / 0"]


def test_it_needs_nothing_of_ours() -> None:
    """It runs before anything of ours can be imported."""
    read = f"exec(open({compiled.__file__!r}).read())"
    seen = f"{read}\nimport sys\nprint([name for name in sys.modules if name.startswith('oroboros')])"
    ran = subprocess.run([sys.executable, "-IS", "-c", seen], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_a_module_is_made_as_python_makes_it(served: Path) -> None:
    """With the specification that importing it again needs."""
    spec = sys.meta_path[0].find_spec("given", None)
    assert spec is not None
    made = module_from_spec(spec)
    assert (made.__name__, made.__path__, spec.origin) == ("given", [], str(served))
