"""Patches Fabric's running ``fab``: a task of ours is called once and gets all its hosts.

Fabric calls a task once a host, one host after another, with a connection that it
made itself.  A deploy has to see all its hosts at once (nobody switches before all
have built), and its connections have to verify host keys.  So the ``fab`` program is
given an executor that hands our tasks the whole ``-H`` list and no connection.
Everybody else's tasks run as ever, also before and after ours (``pre``, ``post``);
the name of an environment means its hosts for them, too.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from io import BufferedRandom, BufferedWriter, TextIOWrapper
from typing import Any

from fabric import Executor, Task
from fabric.exceptions import NothingToDo
from invoke import Call, Context, Exit, Program
from invoke.config import AmbiguousMergeError

from ..errors import DeployError
from .debug_log import hide_secrets
from .interrupts import heard_again, kept_out, never_lost, unheard
from .settings_file import read_yaml, refuse_mixed, refuse_unusable

_TWO_FILES = (
    "two of Fabric's settings files contradict each other: a name has a plain value in one file, and settings below it"
    " in the other; often the plain value is null, or missing: look in /etc/fabric.yaml, in ~/.fabric.yaml, in the"
    " project's fabric.yaml and in the file of -f"
)
_BUFFERED = {TextIOWrapper, BufferedWriter, BufferedRandom}
_UNCOLLECTED = 100_000  # new objects between two collections: what a command imports stays, and half of them are that


class FleetTask(Task):
    """A task that works on all its hosts by itself."""


class FleetCall(Call):
    """The one call of a fleet task."""

    def __init__(self, *args: Any, hosts: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hosts = hosts

    def clone_data(self) -> dict[str, Any]:
        """Carry the hosts along when Invoke copies the call."""
        return {**super().clone_data(), "hosts": self.hosts}

    def make_context(self, config: Any) -> Context:
        """A context without a connection, which knows the hosts."""
        context = Context(config=config)
        context._set(fleet=tuple(self.hosts))
        return context


class FleetExecutor(Executor):
    """Fabric's executor, but for fleet tasks."""

    def execute(self, *tasks: Any) -> Any:
        """Run the tasks; an error of ours that somebody's task lets go by ends `fab` as it ends a task of ours.

        After them all is said: where the program ends now, Ctrl-C would only change the exit code.
        """
        try:
            return super().execute(*tasks)
        except NothingToDo:
            raise Exit("nothing was changed: -H must name the hosts of the command after --", code=2) from None
        except DeployError as error:
            from .exit_codes import ended

            with heard_again():
                raise ended(error) from None
        finally:
            kept_out(Program.run.__code__)

    def expand_calls(self, calls: Iterable[Any], apply_hosts: bool = True) -> list[Any]:
        """One call for a fleet task, one a host for the others, each between what comes before and after it."""
        expanded: list[Any] = []
        for each in calls:
            call = each if isinstance(each, Call) else Call(task=each)
            expanded += self.expand_calls(call.pre, apply_hosts=False)
            expanded += self._one_or_many(call, apply_hosts)
            expanded += self.expand_calls(call.post, apply_hosts=False)
        # Fabric's own adds the command after `--`, and would do that again for each task.
        return expanded + super().expand_calls([]) if apply_hosts and self.core.remainder else expanded

    def _one_or_many(self, call: Call, apply_hosts: bool) -> list[Any]:
        if isinstance(call.task, FleetTask):
            return [call.clone(into=FleetCall, with_={"hosts": self._named_hosts()})]
        hosts = (self._named_hosts() if apply_hosts else []) or getattr(call, "hosts", None)
        return [self.parameterize(call, host) for host in self.normalize_hosts(hosts)] or [call]

    def normalize_hosts(self, hosts: Iterable[Any] | None) -> list[dict[str, Any]]:
        """What Fabric makes of hosts, after names of environments have become their hosts."""
        from ..config import layers_of, with_members

        normal: list[dict[str, Any]] = super().normalize_hosts(with_members(hosts or (), layers_of(self.config)))
        return normal

    def _named_hosts(self) -> list[str]:
        named: str = self.core[0].args.hosts.value or ""
        return [host.strip() for host in named.split(",") if host.strip()]


@contextmanager
def bytecode_kept() -> Iterator[None]:
    """Let Python keep the bytecode of what a task of ours imports, unless its own settings say otherwise.

    Invoke forbids it, for the sake of fabfiles; where an installer compiled nothing, such as uv,
    all that is imported late would be compiled again by every command.
    """
    forbidden = sys.dont_write_bytecode
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
    try:
        yield
    finally:
        sys.dont_write_bytecode = forbidden


def install() -> None:
    """Give a running ``fab`` the executor; a program of somebody's own is left as it is."""
    program = getattr(sys.modules.get("fabric.main"), "program", None)
    if program is not None and program.executor_class is Executor:
        program.executor_class = FleetExecutor
        hide_secrets()
        never_lost()
        if hasattr(program, "config"):  # none before it runs
            prepare(program.config)


def prepare(config: Any) -> None:
    """Let the settings of a program that runs be read as ours are, and let it end soon."""
    config._set(_load_yaml=read_yaml, _load_yml=read_yaml, load_runtime=read_once(config))
    _explain(config, "_load_yaml", "_load_yml", "_load_json", "_load_ssh_files", "load_runtime", "merge")
    gc.freeze()  # what Fabric has made stays until the end: no collection has to look at it
    gc.set_threshold(_UNCOLLECTED)
    atexit.register(_end_soon)


def _explain(config: Any, *readers: str) -> None:
    """Let Fabric name the file it cannot read, where it would show a traceback."""
    for name in readers:
        config._set(**{name: _explained(getattr(config, name), type(config).global_defaults())})


def read_once(config: Any) -> Callable[..., None]:
    """Fabric's reader of the file of ``-f``, whose path is that file's in whatever directory a task is later."""
    read = config.load_runtime

    @wraps(read)
    def load_runtime(*arguments: Any, **named: Any) -> None:
        read(*arguments, **named)
        if config._runtime_path is not None:
            config._set(_runtime_path=os.path.abspath(config._runtime_path))

    return load_runtime


def _explained(read: Callable[..., Any], usual: Mapping[str, Any]) -> Callable[..., Any]:
    @wraps(read)
    def explained(*arguments: Any, **named: Any) -> Any:
        try:
            found = read(*arguments, **named)
            if not isinstance(found, Mapping | None):
                raise TypeError(f"it must hold settings, not a {type(found).__name__}")
            refuse_unusable(found)
            refuse_mixed(found or {}, usual)
            return found
        except Exit:  # it is explained
            raise
        except AmbiguousMergeError:  # its words hold the settings themselves, secrets too
            raise Exit(f"nothing was changed: {_TWO_FILES}", code=2) from None
        except Exception as error:
            missing = isinstance(error, FileNotFoundError)
            if missing and arguments:  # Fabric looks in several places for its settings
                raise
            file = f"{arguments[0]}: " if arguments else ""
            raise Exit(f"nothing was changed: {file}{error}", code=2) from None

    return explained


def _end_soon() -> None:
    """Leave the interpreter's last collections nothing to walk: they take longer than a call of a host.

    What they alone would have done, and somebody could miss, is to flush what was left open.
    All threads have ended: from here on Ctrl-C would only show a traceback.
    """
    unheard()
    with suppress(KeyboardInterrupt):  # how it ended is said
        for each in gc.get_objects():
            if type(each) in _BUFFERED:
                with suppress(OSError, ValueError):  # closed ones, and those whose disk is full
                    each.flush()
        gc.freeze()


install()
