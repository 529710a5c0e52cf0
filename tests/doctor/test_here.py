"""What the control node itself says."""

from __future__ import annotations

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.doctor.finding import Finding
from oroboros_deploy.doctor.here import Here, findings, open_questions
from oroboros_deploy.errors import InvalidInput, RegistryUnavailable

CONFIG = Config.from_mapping({"healthcheck": {"command": "ops/check.sh"}})
GATE = "the health command begins with it, so that the gate fails and every deploy is taken back"


def test_nothing() -> None:
    """A registry of this version, or none yet, and an executable script are no finding; nor is what nobody knows."""
    assert findings(CONFIG, Here(script="100755", registry=9, version=9)) == ()
    assert findings(CONFIG, Here(version=9)) == ()


def test_what_a_deploy_would_end_with() -> None:
    """Each error of its own checks, with its exit code."""
    errors = (
        RegistryUnavailable("it does not answer", hint="start it"),
        InvalidInput("nothing was changed: no secret"),
    )
    assert findings(CONFIG, Here(errors)) == (
        Finding("refused", "it does not answer", "a deploy stops here (exit 60)", "start it"),
        Finding("refused", "no secret", "a deploy stops here (exit 2)", None),
    )


def test_the_health_script_of_the_next_commit() -> None:
    """It is missing, or not executable where no shell is given it."""
    missing = Finding(
        "note", "ops/check.sh is not in the commit HEAD", GATE, "git add ops/check.sh && git commit -m ops/check.sh"
    )
    assert findings(CONFIG, Here(script="")) == (missing,)
    (closed,) = findings(CONFIG, Here(script="100644"))
    assert closed.mend == "git update-index --chmod=+x ops/check.sh && git commit -m executable"
    by_bash = Config.from_mapping({"healthcheck": {"command": "bash ops/check.sh"}})
    assert findings(by_bash, Here(script="100644")) == ()


def test_an_older_registry() -> None:
    """Its version is told, for other programs that write it notice."""
    (older,) = findings(CONFIG, Here(registry=8, version=9))
    assert (older.level, older.what) == ("note", "the registry's tables are of version 8, this program's are 9")


def with_units(**here: object) -> list[tuple[str, str | None]]:
    config = Config.from_mapping({"units": "infra/units"})
    return [(each.what, each.mend) for each in findings(config, Here(**here))]  # type: ignore[arg-type]


def test_a_commit_without_the_units_that_the_settings_name() -> None:
    """A build of it fails; where the work tree has them, the line commits them."""
    what = "the commit HEAD has no unit in infra/units"
    there = (f"{what}, and this directory has", "git add infra/units && git commit -m infra/units")
    assert with_units(units={}, uncommitted=True) == [there]
    assert with_units(units={}) == [(what, "commit one, or correct `units` in fabric.yaml")]
    assert with_units(units=None) == with_units(units={"a.service": "User=@user@\n"}) == []


def test_a_word_of_a_unit_that_nothing_replaces() -> None:
    """It is told with the words that there are."""
    [(what, mend)] = with_units(units={"a.service": "[Service]\nUser=@login@\n"})
    assert what == "infra/units/a.service: @login@ is no placeholder; there are @root@, @application@ and @user@"
    assert mend == "correct it, and commit it"


@pytest.mark.parametrize(
    ("settings", "noted"),
    [
        ({"build": {"frontend": None}}, True),
        ({"services": ["api"]}, False),
        ({"healthcheck": {"command": "true"}}, False),
        ({"healthcheck": {"command": None, "tcp": "127.0.0.1:80"}}, False),
        ({"build": {"frontend": {"path": "site"}, "venvs": {}}}, False),
    ],
)
def test_nothing_that_decides(settings: dict[str, object], noted: bool) -> None:
    """Without a service and a gate every release counts as healthy; a frontend alone has nothing that runs."""
    config = Config.from_mapping({"services": [], "healthcheck": {"command": None}, **settings})
    whats = [each.what for each in findings(config, Here())]
    assert whats == ["no service and no health check: each release counts as healthy"] * noted


def test_what_init_asked_and_nobody_answered() -> None:
    """The line and the question, which is no question any more when its comment is gone."""
    text = "deploy:\n  # QUESTION: which systemd units run it?\n  services: []\n  # that QUESTION: is none\n"
    asked = open_questions("fabric.yaml", text)
    (found,) = findings(CONFIG, Here(questions=asked))
    what = "fabric.yaml, line 2: this question of `init` is still open: which systemd units run it?"
    assert (found.level, found.what) == ("note", what)
