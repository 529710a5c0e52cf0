"""What `init` writes for repositories of many shapes: settings that load as they are, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from oroboros_deploy.config import Config, HttpProbe
from oroboros_deploy.init.tree import Tree
from oroboros_deploy.init.writing import flow, propose, settings

UNIT = "[Service]\nWorkingDirectory=@root@/current\nExecStart=@root@/current/bin/serve\n"
PROJECT = '[project]\nname = "shop"\ndependencies = ["{needs}"]\n'
NPM = "npm ci && npm run build"


def step(name: str, command: str, path: str = ".", inputs: Any = (), outputs: Any = ()) -> tuple[Any, ...]:
    return (name, path, command, inputs, outputs)


def npm(path: str = "", lock: str = "package-lock.json", command: str = "npm ci") -> tuple[Any, ...]:
    """The step that installs the packages of a server."""
    at = f"{path}/" if path else ""
    return step("packages", command, path or ".", (f"{at}package.json", f"{at}{lock}"), (f"{at}node_modules",))


DJANGO = {
    "manage.py": "",
    "requirements.txt": "Django==5.2\n",
    "shop/settings.py": 'STATIC_ROOT = BASE_DIR / "static"\nMEDIA_ROOT = os.path.join(BASE_DIR, "media")\n',
    "infra/systemd/shop-web.service": UNIT,
}
SERVER = '{"name": "shop", "dependencies": {"express": "5"}, "scripts": {"start": "node server.js", "build": "tsc"}}'
PAGES = '{"name": "shop", "devDependencies": {"vite": "7"}, "scripts": {"build": "vite build", "start": "vite"}}'
NEXT = '{"dependencies": {"next": "15"}, "scripts": {"build": "next build", "start": "next start -p 3100"}}'
COLLECT = step("static files", ".venv/bin/python manage.py collectstatic --noinput", outputs=("static",))
PORT_8000 = (HttpProbe("http://127.0.0.1:8000/"),)

ENV = UNIT.replace("bin/serve", "venv/bin/uvicorn --port ${PORT}") + "EnvironmentFile=@root@/env\n"

# Of each shape its files, the settings that have to come of them, and settings that are left to a person.
SHAPES: dict[str, tuple[Mapping[str, str], Mapping[str, Any], set[str]]] = {
    "Django": (
        DJANGO,
        {
            "services": ("shop-web",),
            "units": "infra/systemd",
            "healthcheck.http": PORT_8000,
            "migrate": ".venv/bin/python manage.py migrate --noinput",
            "shared": {"media": "dir"},
            "venvs": {".venv": ((), ("requirements.txt",))},
            "steps": [COLLECT],
        },
        {"hosts", "port", "allowed"},
    ),
    "Django with SQLite": (
        {
            "manage.py": "",
            "requirements.txt": "Django==5.2\n",
            "shop/settings.py": 'ENGINE = "django.db.backends.sqlite3"\nSECURE_SSL_REDIRECT = True\n',
        },
        {"shared": {}, "healthcheck.command": None},
        {"hosts", "unit", "secure", "allowed", "sqlite"},
    ),
    "Flask with requirements": (
        {"requirements.txt": "flask\n", "Procfile": "web: gunicorn shop:app\n"},
        {"venvs": {".venv": ((), ("requirements.txt",))}, "services": (), "healthcheck.command": None},
        {"hosts", "writes", "unit", "procfile"},
    ),
    "FastAPI with uv": (
        {"pyproject.toml": PROJECT.format(needs="fastapi"), "uv.lock": ""},
        {"venvs": {".venv": (".",)}, "services": (), "healthcheck.command": None},
        {"hosts", "writes", "unit"},
    ),
    "FastAPI with poetry": (
        {
            "pyproject.toml": '[tool.poetry.dependencies]\nfastapi = "*"\nalembic = "*"\n',
            "poetry.lock": "",
            "alembic.ini": "",
        },
        {"venvs": {".venv": (".",)}, "migrate": ".venv/bin/alembic upgrade head"},
        {"hosts", "writes", "unit"},
    ),
    "FastAPI with a unit": (
        {"requirements.txt": "fastapi\n", "infra/shop-api.service": ENV},
        {"venvs": {"venv": ((), ("requirements.txt",))}, "env": {"PORT": "8000"}, "healthcheck.http": PORT_8000},
        {"hosts", "writes", "port"},
    ),
    "FastAPI with pdm": (
        {"pyproject.toml": PROJECT.format(needs="fastapi"), "pdm.lock": ""},
        {"venvs": {".venv": (".",)}},
        {"hosts", "writes", "unit"},
    ),
    "FastAPI with hashes": (
        {"requirements.txt": "fastapi==1 --hash=sha256:00\n"},
        {"venvs": {".venv": ((), ("requirements.txt",))}},
        {"hosts", "writes", "unit"},
    ),
    "Node with npm": (
        {"package.json": SERVER, "package-lock.json": "{}"},
        {"steps": [npm(), step("compile", "npm run build")], "venvs": {}},
        {"hosts", "writes", "unit"},
    ),
    "Node with pnpm": (
        {"package.json": '{"dependencies": {"koa": "3"}}', "pnpm-lock.yaml": ""},
        {"steps": [npm(lock="pnpm-lock.yaml", command="pnpm install --frozen-lockfile --prod")]},
        {"hosts", "writes", "unit"},
    ),
    "Node with yarn": (
        {"package.json": SERVER, "yarn.lock": "", "deploy/shop-web.service": UNIT},
        {
            "steps": [
                npm(lock="yarn.lock", command="yarn install --frozen-lockfile"),
                step("compile", "yarn run build"),
            ],
            "units": "deploy",
            "services": ("shop-web",),
            "healthcheck.http": (HttpProbe("http://127.0.0.1:3000/"),),
        },
        {"hosts", "writes", "port"},
    ),
    "Next with a server": (
        {"package.json": NEXT, "package-lock.json": "{}", "infra/next.service": UNIT},
        {
            "steps": [npm(), step("compile", "npm run build")],
            "services": ("next",),
            "healthcheck.http": (HttpProbe("http://127.0.0.1:3100/"),),
        },
        {"hosts", "writes", "port"},
    ),
    "a static generator": (
        {"package.json": PAGES, "package-lock.json": "{}"},
        {
            "frontend": (".", NPM, "dist", None),
            "healthcheck.command": "test -s dist/index.html",
            "services": (),
        },
        {"hosts"},
    ),
    "Hugo": (
        {"hugo.toml": ""},
        {
            "steps": [step("site", "hugo --minify", outputs=("public",))],
            "healthcheck.command": "test -s public/index.html",
        },
        {"hosts"},
    ),
    "a monorepo": (
        {
            "README.md": "",
            "apps/api/pyproject.toml": PROJECT.format(needs="flask"),
            "apps/web/package.json": PAGES,
            "apps/web/pnpm-lock.yaml": "",
            "infra/shop-api.service": UNIT,
        },
        {
            "venvs": {"apps/api": ("apps/api",)},
            "frontend": ("apps/web", "pnpm install --frozen-lockfile && pnpm run build", "dist", None),
            "services": ("shop-api",),
            "healthcheck.http": PORT_8000,
        },
        {"hosts", "writes", "port"},
    ),
    "Go": (
        {"go.mod": "module example.org/you/shop\n", "main.go": "package main\n"},
        {"steps": [step("compile", "go build -o bin/shop .")], "services": ()},
        {"hosts", "writes", "unit"},
    ),
    "PHP without a build": (
        {"index.php": "<?php"},
        {"steps": [], "venvs": {}, "services": (), "healthcheck.command": "test -s index.php"},
        {"hosts", "php"},
    ),
    "a stranger": (
        {"Gemfile": "", "Gemfile.lock": ""},
        {"steps": [], "venvs": {}, "services": (), "healthcheck.command": None},
        {"hosts", "runs", "stranger"},
    ),
    "unknown": (
        {"README": "what is this?"},
        {"steps": [], "venvs": {}, "services": (), "healthcheck.command": None, "frontend": None},
        {"hosts", "runs"},
    ),
}
QUESTIONS = {
    "hosts": "on which hosts does it run?",
    "port": "does it answer on port",
    "unit": "which systemd units run it?",
    "procfile": "Procfile has",
    "runs": "does something of it run?",
    "php": "PHP keeps compiled files",
    "allowed": "which name does ALLOWED_HOSTS have?",
    "secure": "without the header 301; write beside the url: host: your.domain, header: {X-Forwarded-Proto: https}",
    "writes": "which directories does it write into?",
    "sqlite": "move the file to data/, and share that: shared: {data: dir}",
    "stranger": "Gemfile is there",
}


def written(top: Path, files: Mapping[str, str]) -> str:
    """The settings that are written for a repository with these files."""
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return settings(propose(Tree(top)))


def told(config: Config) -> dict[str, Any]:
    """What the settings say, as the table above has it."""
    build = config.build
    venvs = {
        name: venv if isinstance(venv, tuple) else (venv.projects, venv.requirements)
        for name, venv in build.venvs.items()
    }
    frontend = build.frontend
    return {
        "services": config.services,
        "units": config.units,
        "healthcheck.command": config.healthcheck.command,
        "healthcheck.http": config.healthcheck.http,
        "migrate": config.migrate,
        "shared": dict(config.shared),
        "env": dict(config.env.values),
        "venvs": venvs,
        "frontend": frontend and (frontend.path, frontend.command, frontend.output, frontend.into),
        "steps": [(each.name, each.path, each.command, each.inputs, each.outputs) for each in build.steps],
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape(tmp_path: Path, shape: str) -> None:
    """The file loads as it is, says what fits this shape, and asks what only a person can answer, and nothing else."""
    files, expected, asked = SHAPES[shape]
    text = written(tmp_path, files)
    found = told(Config.from_mapping(yaml.safe_load(text)["deploy"]))
    assert {name: found[name] for name in expected} == expected
    questions = [line.strip() for line in text.splitlines() if "QUESTION:" in line]
    assert {name for name, words in QUESTIONS.items() if any(words in line for line in questions)} == asked
    assert len(questions) == len(asked - {"secure"})  # which is a part of "allowed"


@pytest.mark.parametrize("shape", SHAPES)
def test_each_line_has_its_reason(tmp_path: Path, shape: str) -> None:
    """Above each setting stands where it comes from, or the question to which it is the answer."""
    lines = [line.strip() for line in written(tmp_path, SHAPES[shape][0]).splitlines()]
    settings_of = (
        "root:",
        "services:",
        "units:",
        "healthcheck:",
        "migrate:",
        "shared:",
        "frontend:",
        "venvs:",
        "steps:",
    )
    assert [line for line in lines if line.startswith(settings_of) and lines[lines.index(line) - 1][0] != "#"] == []


def test_a_template_is_the_only_unit(tmp_path: Path) -> None:
    """A person is asked for its instances, and no line says that there is no unit."""
    text = written(tmp_path, {"requirements.txt": "flask\n", "Procfile": "", "infra/web@.service": UNIT})
    lines = [line.strip() for line in text.splitlines()]
    named = lines.index("services: []")
    assert lines[named - 3 : named] == [
        "# QUESTION: infra/web@.service is a template: which of its instances are restarted? Name each, as web@1",
        "# QUESTION: which systemd units run it? Apart from templates, no unit file here is of a service that keeps "
        "running; docs/start.md of oroboros_deploy has one:",
        "# services: [web@1]",
    ]


def test_a_question_about_services_stands_alone(tmp_path: Path) -> None:
    """Beside the question that asks for the unit of PHP no line says that nothing has to run."""
    assert "has to run" in written(tmp_path, {"index.html": "hello"})
    lines = [line.strip() for line in written(tmp_path, {"index.php": "<?php"}).splitlines()]
    named = lines.index("services: []")
    asked = "# QUESTION: PHP keeps compiled files: name its unit, such as php8.2-fpm, to have it restarted"
    assert (lines[named - 1], [line for line in lines if "has to run" in line]) == (asked, [])


def test_steps_of_several_languages_have_names_of_their_own(tmp_path: Path) -> None:
    """Two steps of one name would be refused, and `fab config` accepts what is written."""
    go, php = {"a/go.mod": "module a\n", "b/go.mod": "module b\n"}, {"composer.json": "{}", "composer.lock": "{}"}
    text = written(tmp_path, {**go, **php, "package.json": SERVER, "package-lock.json": "{}"})
    names = [step.name for step in Config.from_mapping(yaml.safe_load(text)["deploy"]).build.steps]
    assert names == ["packages", "compile", "compile 2", "compile 3", "packages 2"]


def test_an_odd_name_stays_in_its_comment(tmp_path: Path) -> None:
    """A directory may be called as it likes: no line of the settings is its own."""
    text = written(tmp_path, {"a\nkeep: 3\nb/requirements.txt": "flask", "Procfile": "web: \x1b[31mrun\n"})
    assert "\x1b" not in text and not any(line.strip().startswith("keep:") for line in text.splitlines())


def test_answers_are_lines_that_load(tmp_path: Path) -> None:
    """What stands in a comment can be taken out of it as it is."""
    text = written(tmp_path, {**DJANGO, "shop/settings.py": 'SECRET = os.environ["SECRET_KEY"]\n'})
    answered = text.replace("# environments:", "environments:").replace("# env:", "env:")
    config = Config.from_mapping(yaml.safe_load(answered)["deploy"])
    assert (config.environments, config.env.secrets.names) == ({"prod": ("deploy@web1.example.org",)}, ("SECRET_KEY",))


def test_secrets_are_asked_for_apart_from_values(tmp_path: Path) -> None:
    """Each name stands once, where its answer goes; those with a default are a number."""
    code = 'environ["ALLOWED"], environ["MAIL_PASSWORD"], environ.get("SECRET_KEY", ""), getenv("SIZE", 1)'
    text = written(tmp_path, {"requirements.txt": "flask\n", "shop.py": code})
    asked = "which values does the environment have? `init` found 3 names that may need one, and 1 more with a default:"
    assert asked in text
    assert "# env: {values: {ALLOWED: value}, secrets: {names: [MAIL_PASSWORD, SECRET_KEY]}}" in text
    assert [text.count(name) for name in ("ALLOWED", "MAIL_PASSWORD", "SECRET_KEY", "SIZE")] == [1, 1, 1, 0]


@pytest.mark.parametrize("unit", [{}, {"infra/shop.service": UNIT}])
@pytest.mark.parametrize("code", ["", "listen(process.env.PORT || 8010)"])
def test_a_port_that_nothing_says_is_called_a_guess(tmp_path: Path, unit: dict[str, str], code: str) -> None:
    """Whether the gate is in a comment or not."""
    text = written(tmp_path, {"package.json": SERVER, "package-lock.json": "{}", "server.js": code, **unit})
    assert ("port 3000 is a guess" in text, "# server.js says port 8010" in text) == (not code, bool(code))


def test_a_port_of_a_unit_is_that_of_no_other_file(tmp_path: Path) -> None:
    """What the unit gives the server goes before the default in its code, which is not named then."""
    unit = {"infra/shop.service": f"{UNIT}Environment=PORT=8127\n", "server.js": "listen(process.env.PORT || 8010)"}
    text = written(tmp_path, {"package.json": SERVER, "package-lock.json": "{}", **unit})
    assert "http://127.0.0.1:8127/" in text and "8010" not in text


def test_at_most_ten_names_are_asked_for(tmp_path: Path) -> None:
    """How many others there are is told."""
    code = "".join(f'environ["NAME_{number:02}"]\n' for number in range(13))
    text = written(tmp_path, {"requirements.txt": "flask\n", "shop.py": code})
    asked = "which values does the environment have? `init` found 13 names that may need one; the first 10 are here:"
    assert asked in text
    assert [f"NAME_{number:02}" in text for number in range(13)] == [True] * 10 + [False] * 3


@pytest.mark.parametrize(
    "value",
    [
        "npm ci && npm run build",
        "yes",
        "a: b",
        "- x",
        "1",
        "*",
        "@x",
        "é",
        "",
        "a #b",
        None,
        7,
        ["a", {"b": [None]}],
        {},
    ],
)
def test_values_are_read_back(value: object) -> None:
    """Whatever a name or a path is, YAML reads it as it was."""
    assert yaml.safe_load(flow(value)) == value
