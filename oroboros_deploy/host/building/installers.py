"""The programs that build wheels and fill virtual environments: uv, the host's pip, or a pip of our own."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from .. import environment
from ..annotations import Dict, List, Optional
from ..refusal import Refusal
from . import build_tools, diversions
from .bench import ELSEWHERE, Bench
from .inputs import Inputs, pip_is_configured, settings_of_pip
from .toolchain import Toolchain

PIP = ("--disable-pip-version-check", "--no-input")
# Against a configuration that sends what is installed elsewhere: to the user's own directory, another root, nowhere.
# What is empty counts as not set.
_HERE = {
    "PIP_USER": "0",
    "PIP_ROOT": "/",
    "PIP_DRY_RUN": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_TARGET": "",
    "PIP_NO_DEPS": "0",
}
# The same of uv, for variables that are set.
_UV_HERE = {
    "UV_WORKING_DIR": ".",
    "UV_WORKING_DIRECTORY": ".",
    "UV_PROJECT": ".",
    "UV_COMPILE_BYTECODE": "0",
    "UV_FROZEN": "0",
}
_NEEDED = (22, 3)  # from this pip on, one can install into another environment
_MAKING_PIP = threading.Lock()  # venvs are made side by side, and each would make it


def install(bench: Bench, venv: Path, place: Path = ELSEWHERE) -> List[str]:
    """The command that installs into an environment, without bytecode; uv must copy, for releases lose write bits.

    It runs in the directory ``place``.
    """
    interpreter = str(venv / "bin" / "python")
    found = uv(bench)
    if found:
        _refuse_diverted(place)
        return [found, "pip", "install", "--python", interpreter, "--link-mode", "copy"]
    return [interpreter, *_pip_install(bench), "--no-compile"]


def build_wheel(bench: Bench, project: str, into: Path) -> List[str]:
    """The command that builds the wheel of a project."""
    found = uv(bench)
    if found:
        return [found, "build", "--wheel", "--python", bench.toolchain.python, "--out-dir", str(into), f"./{project}"]
    return [*_pip_wheel(bench, project), *PIP, "--no-deps", "--wheel-dir", str(into), f"./{project}"]


def variables(bench: Bench, venv: Optional[Path] = None) -> Dict[str, str]:
    """What an installer finds in its environment, so that a configured one installs into ``venv`` all the same."""
    return of_uv() if uv(bench) else _of_pip(bench, venv)


def of_uv() -> Dict[str, str]:
    """What uv finds in its environment: it works where it is started, whatever /etc/environment says."""
    settled = environment.of_this_user()
    return {name: value for name, value in _UV_HERE.items() if name in settled}


def _of_pip(bench: Bench, venv: Optional[Path]) -> Dict[str, str]:
    """The same for pip; in environments it does not find the pip.conf of the Python that they are made with."""
    prefix = bench.toolchain.prefix
    if not pip_is_configured(prefix):
        return {}
    here = {**_HERE, "PIP_PYTHON": str(venv / "bin" / "python") if venv else pip(bench)}
    if _of_python(prefix).is_file() and not environment.of_this_user().get("PIP_CONFIG_FILE"):
        here["PIP_CONFIG_FILE"] = str(_of_python(prefix))
    return {**here, "PIP_PREFIX": str(venv)} if venv else here


def unheard(chosen: Toolchain) -> Optional[Path]:
    """The pip.conf of the chosen Python, where environments cannot have it because another one is named."""
    named = environment.of_this_user().get("PIP_CONFIG_FILE") or os.devnull
    file = _of_python(chosen.prefix)
    return file if named != os.devnull and file.is_file() else None


def _of_python(prefix: str) -> Path:
    return Path(prefix, "pip.conf")


def _refuse_diverted(place: Path) -> None:
    """Raise Refusal for a setting of uv's that would leave the environment without what was asked for."""
    found = diversions.of_uv(place)
    if found:
        hint = f"remove it from {found.file}, or set build.installer: pip"
        why = f"uv would not install into the environment what was asked for: {found.file} sets {found.name} for uv pip"
        raise Refusal("build_failed", why, hint=hint)


def inputs(bench: Bench) -> Inputs:
    """What an environment or a wheel depends on beside its sources: the interpreter and the installer."""
    found = uv(bench)
    installer = bench.tool(found) if found else _asked_once(bench, "__version__")
    return {"python": bench.toolchain.about_python, "installer": installer}


def uv(bench: Bench) -> Optional[str]:
    """uv, when it is wanted or found; not beside a configured pip, whose package indexes uv would not know."""
    found = bench.find("uv") if bench.installer != "pip" else None
    if bench.installer == "uv" and found is None:
        hint = "install it there, or set build.installer: auto (uv is used only where the host has it)"
        raise Refusal("build_failed", "uv is not installed on this host", hint=hint)
    return None if bench.installer == "auto" and pip_is_configured(bench.toolchain.prefix) else found


def pip(bench: Bench) -> str:
    """The interpreter with a pip that can install into another environment: the host's, else one of our own.

    The environments themselves are made without pip: that costs 3 s each and nobody runs it.
    """
    with _MAKING_PIP:
        if "pip" not in bench.known:
            bench.known["pip"] = [_find_pip(bench) or _make_pip(bench)]
    return bench.known["pip"][0]


def _pip_wheel(bench: Bench, project: str) -> List[str]:
    """pip's command for wheels: with tools made before when they can be known, else with tools that pip makes again."""
    make = _pip_install(bench)
    tools = None if bench.anew else build_tools.ready(bench, project, make, lambda target: _of_pip(bench, target))
    if tools is None:
        _refuse_target(bench, project)
    interpreter, more = (str(tools), ["--no-build-isolation"]) if tools else (pip(bench), [])
    return [interpreter, *_pip_runs(bench), "wheel", *more]


def _refuse_target(bench: Bench, project: str) -> None:
    """Raise Refusal where pip would make the tools of a project elsewhere, and end with an error of its own."""
    found = diversions.of_pip(settings_of_pip(bench.toolchain.prefix))
    if found:
        why = f"pip cannot build {project}: {found.file} sets {found.name}, also for what the project is built with"
        raise Refusal("build_failed", why, hint=f"remove it from {found.file}")


def _pip_install(bench: Bench) -> List[str]:
    """What the interpreter of another environment runs to install into it."""
    configured = pip_is_configured(bench.toolchain.prefix)
    return [*_pip_runs(bench), "install", *PIP, *(["--target="] if configured else [])]


def _pip_runs(bench: Bench) -> List[str]:
    """What an interpreter is given to run our pip by itself: a configured pip would start a Python once more."""
    return [_pip_runner(bench), *(["--python="] if pip_is_configured(bench.toolchain.prefix) else [])]


def _pip_runner(bench: Bench) -> str:
    """The file by which another environment's interpreter runs our pip; ``--python`` costs one more start of Python."""
    return str(Path(_asked_once(bench, "__file__")).with_name("__pip-runner__.py"))


def _find_pip(bench: Bench) -> Optional[str]:
    """The interpreter that has a pip which serves."""
    return next((each for each in (bench.toolchain.python, _own_python(bench)) if _serves(each, bench)), None)


def _make_pip(bench: Bench) -> str:
    own, bench = _own_python(bench), bench.for_tools()
    python = bench.toolchain.python
    bench.run("pip", f"{Path(python).name} -m venv", [python, "-m", "venv", "--clear", str(bench.tools)], ELSEWHERE)
    if not _serves(own, bench):
        newer = f"pip>={'.'.join(map(str, _NEEDED))}"
        bench.run(
            "pip",
            f"pip install {newer}",
            [own, "-m", "pip", "install", *PIP, "-U", newer],
            ELSEWHERE,
            **_of_pip(bench, bench.tools),
        )
    return own


def _own_python(bench: Bench) -> str:
    return str(bench.tools / "bin" / "python")


def _serves(interpreter: str, bench: Bench) -> bool:
    version = _ask_pip(interpreter, bench, "__version__") if Path(interpreter).exists() else ""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= _NEEDED


def _asked_once(bench: Bench, name: str) -> str:
    if name not in bench.known:
        bench.known[name] = [_ask_pip(pip(bench), bench, name)]
    return bench.known[name][0]


def _ask_pip(interpreter: str, bench: Bench, name: str) -> str:
    """What ``pip --version`` would tell, in a tenth of the time; nothing when there is no pip."""
    asked = bench.ask([interpreter, "-c", f"import pip; print(pip.{name})"])
    return asked.tail.splitlines()[-1] if asked.ok else ""
