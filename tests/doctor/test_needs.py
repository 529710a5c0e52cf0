"""What a host is asked for, by the settings."""

from __future__ import annotations

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.control import plan
from oroboros_deploy.control.plan import Job
from oroboros_deploy.doctor import needs


def job(**settings: object) -> Job:
    return Job("", "deploy", "", "ada", Config.from_mapping({**settings}), "test")


def test_the_request() -> None:
    """It asks for the facts of a deploy, of the live release and of no commit, and does not wait for anybody."""
    step = {"name": "docs", "path": ".", "command": "make -C docs"}
    build = {"python": "/opt/python3", "node": None, "frontend": None, "venvs": {"web": ["."]}, "steps": [step]}
    wanted = job(build=build, healthcheck={"command": "ops/check.sh --fast"}, wait=60)
    facts = {**plan.facts_request(wanted), "sha": None, "live": True}
    del facts["wait"]
    assert needs.request(wanted, ["/usr/bin/caddy"]) == {
        "facts": facts,
        "tools": ["/usr/bin/caddy", "make"],
        "python": "/opt/python3",
        "node": None,
        "venvs": True,
        "script": "ops/check.sh",
    }


@pytest.mark.parametrize(
    ("line", "programs"),
    [
        ("npm ci && npm run build", ["npm", "npm"]),
        ("cd docs && NODE_ENV=production make html | tee log", ["make", "tee"]),
        ("./build.sh; venv/bin/python x.py || true", []),
        ('echo "$X"', []),
        ("sed 's/a;b|c/d/' x >y 2>&1; A='b c' jq . | (tee log)", ["sed", "jq", "tee"]),
        ("npm run \\\n build\nmake", ["npm", "make"]),
        ("unclosed '", []),
    ],
)
def test_the_programs_of_a_line(line: str, programs: list[str]) -> None:
    """Those by which its commands begin; not what bash knows, nor what has a path of its own."""
    assert list(needs.programs(line)) == programs


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("scripts/check.sh", ("scripts/check.sh", True)),
        ("./check.sh --fast", ("check.sh", True)),
        ("bash ops/check.sh", ("ops/check.sh", False)),
        ("sh check.sh", ("check.sh", False)),
        ("test -f fine", (None, False)),
        ("/usr/local/bin/check", (None, False)),
        ("../check.sh", (None, False)),
        ("unclosed '", (None, False)),
        ("curl -f http://127.0.0.1/", (None, False)),
    ],
)
def test_the_health_script(command: str, script: tuple[str | None, bool]) -> None:
    """A path in the release, which has to be executable unless a shell is given it."""
    assert needs.script(Config.from_mapping({"healthcheck": {"command": command}})) == script


def test_tools_of_the_recipe() -> None:
    """npm for the default frontend, uv where it alone may fill environments."""
    assert list(needs.tools(Config.from_mapping({}))) == ["npm"]
    build = {"frontend": None, "venvs": {"web": ["."]}, "installer": "uv"}
    assert list(needs.tools(Config.from_mapping({"build": build}))) == ["uv"]


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("ExecStart=/usr/bin/caddy run", "/usr/bin/caddy"),
        (" ExecStartPre = @!/usr/bin/caddy x", "/usr/bin/caddy"),
        ('ExecReload="/opt/my/caddy" run', "/opt/my/caddy"),
        ("ExecStart=\\\n  /usr/bin/caddy", "/usr/bin/caddy"),
        ("ExecStop=-/usr/bin/caddy stop", None),
        ("ExecStart=@root@/current/bin/x", None),
        ("ExecStart=/srv/shop/current/bin/x", None),
        ("ExecStart=/opt/%i/bin/x", None),
        ("ExecStart=caddy run", None),
        ("# ExecStart=/usr/bin/caddy", None),
    ],
)
def test_the_programs_of_units(line: str, program: str | None) -> None:
    """Those with an absolute path outside of the deploy root, and whose failure systemd does not pass over."""
    units = {"a.service": f"[Service]\n{line}\n"}
    found = needs.runs(Config.from_mapping({"root": "/srv/shop", "units": "infra"}), units)
    assert found == ({program: "infra/a.service"} if program else {})
