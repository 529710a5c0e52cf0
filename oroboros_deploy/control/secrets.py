"""Where the values of a configuration come from on the control node: settings, a command, our own environment."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from ..host import env_file
from ..host.masking import Mask

if TYPE_CHECKING:
    from ..config import Config, Secrets
    from ..host.contract import Sources

_SAID = 5  # lines of what a command said that failed
_ENDING = 5.0  # seconds that its last words may take


def sources(config: Config, directory: str | Path, environ: Mapping[str, str]) -> Sources | None:
    """All values that a host does not find in the release; None where there is no configuration.

    ``directory`` is where the command runs, ``environ`` our own environment.  Raises InvalidInput.
    """
    if not config.env.given:
        return None
    secrets = _secrets(config.env.secrets, directory, environ)
    build, values = list(config.env.build), dict(config.env.values)
    return {"file": config.env.file, "values": values, "secrets": secrets, "build": build}


def of_build(found: Sources) -> Sources:
    """What a build needs of them: the values of the names that it sees."""
    values, secrets = ({name: each[name] for name in found["build"] if name in each} for each in _values(found))
    return {**found, "values": values, "secrets": secrets}


def mask(found: Sources | None) -> Mask:
    """What hides the secrets among them."""
    return Mask(found["secrets"].values() if found else ())


def _values(found: Sources) -> tuple[dict[str, str], dict[str, str]]:
    return found["values"], found["secrets"]


def named(settings: Secrets, environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets that our own environment has, without asking anybody for one.  Raises InvalidInput."""
    missing = [name for name in settings.names if name not in environ]
    if missing:
        raise _refused(f"env.secrets.names: {', '.join(missing)} is not set here", "set it, and type the command again")
    found = {name: environ[name] for name in settings.names}
    try:
        env_file.check(found)
    except env_file.Wrong as wrong:
        raise _refused(f"env.secrets.names: {wrong}", "correct the variable") from None
    return found


def _secrets(settings: Secrets, directory: str | Path, environ: Mapping[str, str]) -> dict[str, str]:
    ours = named(settings, environ)
    printed = _printed(settings.command, settings.timeout, directory) if settings.command else {}
    twice = sorted(ours.keys() & printed.keys())
    if twice:
        what = f"{', '.join(twice)}: both env.secrets.command and env.secrets.names have this name"
        raise _refused(what, "keep one of the two")
    return ours | printed


def _printed(line: str, seconds: float, directory: str | Path) -> dict[str, str]:
    """What the command prints; nothing of that is ever told."""
    output = _run(line, seconds, directory)
    hint = f"see what it prints: {line}"
    try:
        found = env_file.printed(output.decode("utf-8"))
    except UnicodeDecodeError:
        raise _refused("env.secrets.command printed what is no text in UTF-8", hint) from None
    except env_file.Wrong as wrong:
        raise _refused(f"env.secrets.command: its output is not as it has to be: {wrong}", hint) from None
    if not found:
        raise _refused("env.secrets.command printed no name at all", hint)
    return found


def _run(line: str, seconds: float, directory: str | Path) -> bytes:
    """The output of the command, which gets its time and no more; its children end with it."""
    process = subprocess.Popen(
        ["/bin/bash", "-c", line],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        hint = f"see why it takes so long, or set env.secrets.timeout: {line}"
        raise _refused(f"env.secrets.command did not end within {seconds:g} s", hint) from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_ENDING)
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()
    if process.returncode:
        raise _refused(f"env.secrets.command exited {process.returncode}{_told(output, errors)}", f"run it: {line}")
    return output


def _told(output: bytes, errors: bytes) -> str:
    """The last words of a command that failed, without any value that it printed."""
    lines = output.decode("utf-8", "replace").splitlines()
    hidden = Mask([*lines, *(line.partition("=")[2].strip("'\" ") for line in lines)])
    said = errors.decode("utf-8", "replace").strip().splitlines()[-_SAID:]
    return "".join(f"\n  {hidden.text(each)}" for each in said)


def _refused(what: str, hint: str) -> InvalidInput:
    return InvalidInput(f"nothing was changed: {what}", hint=hint)
