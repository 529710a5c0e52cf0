"""Configurations of the destructive series: what is drawn, where each value stands, and what a process has to find."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.clock import SLOW
from tests.support.repository import Repository

# What every release's API does first: a bad value ends it, and a late one kills it once, long after its gate.
CRASH = ("sleep", f"{4.5 * SLOW:g}")
GUARD = f"""\
case "$FILE $VALUE $SECRET" in *bad*) exit 1;; esac
case "$VALUE" in late*) mkdir "/tmp/$VALUE" 2>/dev/null && ({" ".join(CRASH)}; kill -KILL $$) & ;; esac
"""
SETTINGS = """\
  env:
    file: prod.env
    values: {VALUE: "good-0"}
    secrets: {command: cat ../secrets}
"""


@dataclass(frozen=True)
class Values:
    """One configuration: a value from each source."""

    FILE: str
    VALUE: str
    SECRET: str

    @property
    def good(self) -> bool:
        """Whether services start with it."""
        return not any(value.startswith("bad") for value in (self.FILE, self.VALUE, self.SECRET))


def drawn(kind: str, before: Values, number: int) -> Values:
    """The values of a kind of configuration (one of ``CONFIGURATIONS``), after those that were asked for before."""
    good = before if before.good else Values(f"good-{number}", f"good-{number}", f"good-secret-{number}")
    changed = {
        "kept": {},
        "new": {"FILE": f"good-{number}", "VALUE": f"good-{number}", "SECRET": f"good-secret-{number}"},
        "file breaks": {"FILE": f"bad-{number}"},
        "values break": {"VALUE": f"bad-{number}"},
        "secrets break": {"SECRET": f"bad-secret-{number}"},
        "crashes later": {"VALUE": f"late-{number}"},
    }[kind]
    return Values(**{**vars(good), **changed})


def write(repository: Repository, values: Values) -> None:
    """Put each value where `fab` finds it; that of the file is committed with the release."""
    (repository.path / "prod.env").write_text(f"FILE={values.FILE}\n")
    (repository.path.parent / "secrets").write_text(f"SECRET={values.SECRET}\n")
    settings = repository.path / "fabric.yaml"
    lines = settings.read_text().splitlines()
    settings.write_text(
        "".join(f'    values: {{VALUE: "{values.VALUE}"}}\n' if "VALUE:" in each else f"{each}\n" for each in lines)
    )


def found(text: str) -> Values | None:
    """The values in a file or an environment, a line each; None where one is missing."""
    pairs = dict(line.partition("=")[::2] for line in text.splitlines())
    words = {name: pairs.get(name, "").strip('"') for name in ("FILE", "VALUE", "SECRET")}
    return Values(**words) if all(words.values()) else None


def in_use(root: Path) -> Values | None:
    """What the link `env` of a deploy root leads to."""
    link = root / "env"
    if not link.is_symlink():
        return None
    path = root / link.readlink()
    return found(path.read_text()) if path.is_file() else None
