"""What `init` would write: settings, the reason for each, and the questions that only a person can answer."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Proposal:
    """Found by one look after another; ``reasons`` are by the names of settings, ``is_`` says what was found.

    ``page`` is the file that a web server shows first, where nothing has to run, ``gate`` asks a web server that the
    commit brings, and ``port`` is where a server answers; ``questions`` are by the name of the setting that is the
    answer.
    """

    name: str
    found: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    units: str | None = None
    guessed: list[str] = field(default_factory=list)  # services that somebody has to write a unit for
    migrate: str | None = None
    shared: list[str] = field(default_factory=list)
    frontend: dict[str, object] | None = None
    venvs: dict[str, object] = field(default_factory=dict)
    steps: list[dict[str, object]] = field(default_factory=list)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    questions: dict[str, list[str]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # that code and units read from their environment
    defaults: int = 0  # how many more have one in the code
    reads: bool = False  # a unit does not start without the file of the configuration
    port: int | None = None
    port_file: str = ""  # that says the port, where it is none of a script or a unit
    guesses_port: bool = False  # nothing says the port
    page: str | None = None
    gate: dict[str, object] | None = None
    run: bool = False  # something of it has to run

    def migrates(self, line: str) -> None:
        """Add a migration; the one setting there is runs those of several places one after the other."""
        self.migrate = f"({self.migrate}) && ({line})" if self.migrate else line

    def answers(self, port: int | None, *, guess: int, file: str = "") -> None:
        """Keep the first port that is found or, without one, a guess."""
        if self.port is None:
            self.port, self.port_file, self.guesses_port = port or guess, file, port is None

    def because(self, setting: str, reason: str) -> None:
        """Say why a setting is as it is."""
        self.reasons.setdefault(setting, []).append(reason)

    def ask(self, setting: str, question: str) -> None:
        """Leave to a person what a setting is to be."""
        self.questions.setdefault(setting, []).append(question)
