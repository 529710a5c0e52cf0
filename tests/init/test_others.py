"""What `init` makes of units, processes, compiled programs, sites, and what it does not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oroboros_deploy.init import others
from oroboros_deploy.init.proposal import Proposal
from oroboros_deploy.init.tree import Tree


def look(top: Path, files: dict[str, str], found: Proposal | None = None) -> Proposal:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    proposal = found or Proposal("shop")
    others.look(Tree(top), proposal)
    return proposal


def test_units_of_a_path_say_the_root(tmp_path: Path) -> None:
    """Units that name `current` by its path come with the release, and their root is the deploy root."""
    text = "[Service]\nExecStart=/srv/store/current/bin/shop\n"
    proposal = look(tmp_path, {"infra/shop-a.service": text, "infra/shop-b@.service": text})
    assert (proposal.services, proposal.roots, proposal.units) == (["shop-a"], ["/srv/store"], "infra")


@pytest.mark.parametrize(
    "files",
    [
        {"shop.service": "WorkingDirectory=@root@/current"},
        {"a/shop.service": "WorkingDirectory=@root@/current", "b/mail.service": "WorkingDirectory=@root@/current"},
        {"a/shop.service": "ExecStart=/usr/bin/true"},
    ],
    ids=["at the top", "in two directories", "of no release"],
)
def test_units_that_cannot_come_with_the_release(tmp_path: Path, files: dict[str, str]) -> None:
    """They are named as services, and a person installs them."""
    proposal = look(tmp_path, files)
    assert (proposal.units, list(proposal.questions)) == (None, ["units"])
    assert len(proposal.services) == len(files)


def test_units_say_what_they_read(tmp_path: Path) -> None:
    """The names in them, and whether they start without the file of the configuration."""
    text = "EnvironmentFile=@root@/env\nExecStart=@root@/current/serve ${PORT} ${SIZE}\n"
    proposal = look(tmp_path, {"infra/shop.service": text})
    assert (proposal.reads, proposal.names) == (True, ["PORT", "SIZE"])


def test_a_procfile_says_what_runs(tmp_path: Path) -> None:
    """Each of its processes is a unit to write; what it does at a release is for `migrate`."""
    proposal = look(tmp_path, {"Procfile": "web: gunicorn shop\nworker: celery\nrelease: ./migrate\n"})
    assert proposal.guessed == ["shop-web", "shop-worker"]
    assert {name: len(asked) for name, asked in proposal.questions.items()} == {"services": 2, "migrate": 1}


def test_a_procfile_is_asked_before_guesses(tmp_path: Path) -> None:
    """What is found besides is started by one of its processes."""
    files = {"Procfile": "web: bin/shop\n", "go.mod": "module shop", "main.go": "package main"}
    assert look(tmp_path, files, Proposal("shop", guessed=["shop-api"])).guessed == ["shop-web"]


@pytest.mark.parametrize(
    ("module", "main", "built"),
    [
        ("example.org/shop", "main.go", "-o bin/shop ."),
        ("example.org/shop/v2", "main.go", "-o bin/shop ."),
        ("example.org/shop", "cmd/shop/main.go", "-o bin/shop ./cmd/shop"),
        ("example.org/shop", "cmd/server/main.go", "-o bin/ ./..."),
    ],
)
def test_which_go_programs_are_built(tmp_path: Path, module: str, main: str, built: str) -> None:
    """The one at the top, else the one of the module's name, else all there are."""
    proposal = look(tmp_path, {"go.mod": f"module {module}\n\ngo 1.22\n", main: "package main"})
    assert proposal.steps[0]["command"] == f"go build {built}"


@pytest.mark.parametrize("name", ["Gemfile", "Cargo.toml", "pom.xml", "mix.exs", "Dockerfile"])
def test_strangers_are_named(tmp_path: Path, name: str) -> None:
    """What cannot be built by what is known here is asked for by its name."""
    [asked] = look(tmp_path, {name: ""}).questions["build.steps"]
    assert asked.startswith(f"{name} is there")


def test_a_lock_that_is_not_read(tmp_path: Path) -> None:
    """Requirements are asked for where the environment stands; when they are there, nothing is asked."""
    asked = look(tmp_path, {"Pipfile": ""}).questions
    assert asked == {
        "build.venvs": [
            "Pipfile is there, and its lock is not read: commit what pipenv requirements --hash >requirements.txt "
            "writes; and write here venvs: {.venv: {requirements: [requirements.txt]}}"
        ]
    }
    assert look(tmp_path, {"Pipfile": ""}, Proposal("shop", venvs={".venv": ["."]})).questions == {}


def test_an_image_says_what_is_started(tmp_path: Path) -> None:
    """What is built is known already, and nobody is asked for it again."""
    image = 'FROM x\nRUN make\nENTRYPOINT ["/start"]\nCMD ["serve", "--port", "8001"]\n'
    proposal = look(tmp_path, {"go.mod": "module shop", "main.go": "package main", "Dockerfile": image})
    started = 'Dockerfile starts `["/start"] ["serve", "--port", "8001"]`: which unit runs it? '
    started += "Where none does, write one, and name it in `services`"
    assert proposal.questions == {"services": [started]}


@pytest.mark.parametrize(
    ("directory", "embedded", "asked"),
    [
        ("server", "all:dist", ["server/web.go embeds dist: are these the pages? "]),
        ("server", "gen/api.yaml", []),
        ("web", "dist/*", []),
    ],
)
def test_pages_that_go_compiles_in(tmp_path: Path, directory: str, embedded: str, asked: list[str]) -> None:
    """A person says whether they are those that the frontend makes, unless they are made right there."""
    files = {"go.mod": "module shop", f"{directory}/web.go": f"package web\n\n//go:embed {embedded}\nvar f embed.FS\n"}
    frontend: dict[str, object] = {"path": "web", "command": "make", "output": "dist", "into": None}
    proposal = look(tmp_path, files, Proposal("shop", frontend=frontend, page="web/dist/index.html"))
    written = "Then write `into: server/dist` below `frontend`: it puts them where go reads them"
    assert proposal.questions.get("build.frontend", []) == [f"{each}{written}" for each in asked]


@pytest.mark.parametrize(("needs", "steps"), [("slim/slim", 1), ("ext-intl", 0), ("php", 0)])
def test_packages_of_php_without_a_lock_file(tmp_path: Path, needs: str, steps: int) -> None:
    """They are installed all the same, or no page works: a person is asked for the lock file."""
    proposal = look(tmp_path, {"index.php": "", "composer.json": json.dumps({"require": {needs: "4"}})})
    command = "composer install --no-dev --no-interaction"
    assert proposal.steps == [{"name": "packages", "command": command, "outputs": ["vendor"]}] * steps
    assert len(proposal.questions.get("build.steps", [])) == steps


def test_pages_that_nobody_makes(tmp_path: Path) -> None:
    """They are served as they are; mkdocs is installed where no requirements name it."""
    assert look(tmp_path, {"index.html": "hello"}).page == "index.html"
    assert look(tmp_path, {"mkdocs.yml": ""}).venvs == {".venv": {"packages": ["mkdocs"]}}


PROJECT = "[project]\nname = 'shop'\ndependencies = ['flask']\n"


@pytest.mark.parametrize(
    "files",
    [{"pyproject.toml": PROJECT}, {"go.mod": "module shop"}, {"a.service": "ExecStart=/bin/a"}, {"Cargo.toml": ""}],
)
def test_the_documentation_of_a_program_is_no_site(tmp_path: Path, files: dict[str, str]) -> None:
    """The mkdocs.yml beside a program is left out, and a question says what to write where it is the site."""
    proposal = look(tmp_path, {"mkdocs.yml": "", **files})
    step = "{name: site, command: .venv/bin/mkdocs build, outputs: [site]}"
    asked = f"is mkdocs.yml the site itself, and no documentation? Then write this step below `steps`: {step}"
    assert asked in proposal.questions["build.steps"]
    assert ([each["name"] for each in proposal.steps if each["name"] == "site"], proposal.page) == ([], None)


def test_a_project_of_pages_is_a_site(tmp_path: Path) -> None:
    """A project that depends on mkdocs itself makes its pages."""
    files = {"mkdocs.yml": "", "pyproject.toml": PROJECT.replace("flask", "mkdocs==1.6")}
    assert look(tmp_path, files).page == "site/index.html"


@pytest.mark.parametrize(
    ("lines", "port"),
    [
        ("ExecStart=/bin/gunicorn shop --bind 127.0.0.1:8123", 8123),
        ("ExecStart=/bin/gunicorn -w 4 -b :8124 shop", 8124),
        ("ExecStart=/bin/uvicorn shop \\\n  --port=8125", 8125),
        ("ExecStart=/bin/next start -p 8126", 8126),
        ("Environment=PORT=8127\nExecStart=/bin/shop --port ${PORT}", 8127),
        ('Environment="A=b" "PORT=8128"', 8128),
        ("ExecStart=/bin/gunicorn --bind unix:/run/shop.sock", 8000),
        ("ExecStartPre=/bin/wait -p 5432\nExecStart=/bin/shop-b a:80", 8000),
    ],
)
def test_units_say_the_port(tmp_path: Path, lines: str, port: int) -> None:
    """It wins over the one that a framework usually has, which stays where the units say none."""
    (tmp_path / "shop.service").write_text(f"[Service]\n{lines}\n")
    proposal = Proposal("shop", port=8000)
    others.look(Tree(tmp_path), proposal)
    assert proposal.port == port


@pytest.mark.parametrize("listen", ["8130", "127.0.0.1:8130", "[::1]:8130"])
def test_a_socket_says_the_port(tmp_path: Path, listen: str) -> None:
    """Where the service itself says none."""
    files = {"shop.service": "ExecStart=/bin/shop\n", "shop.socket": f"[Socket]\nListenStream={listen}\n"}
    assert look(tmp_path, files).port == 8130


@pytest.mark.parametrize(
    ("said", "besides"),
    [
        ('{"autoload": {"psr-4": {"App\\\\": "src/"}}}', None),
        ('{"autoload": {"classmap": ["src/"]}}', "a classmap"),
        ('{"scripts": {"post-autoload-dump": "@php artisan package:discover"}}', "scripts"),
        ('{"repositories": [{"type": "path", "url": "lib/words"}]}', "repositories"),
    ],
)
def test_packages_of_composer_are_kept_where_its_lock_file_says_all(
    tmp_path: Path, said: str, besides: str | None
) -> None:
    """What it reads of the repository besides may change when the lock file does not: it always runs."""
    proposal = look(tmp_path, {"composer.json": said, "composer.lock": "{}"})
    kept = {} if besides else {"inputs": ["composer.json", "composer.lock"]}
    command = "composer install --no-dev --no-interaction"
    assert proposal.steps == [{"name": "packages", "command": command, **kept, "outputs": ["vendor"]}]
    assert len(proposal.reasons["build.steps"]) == (2 if besides else 1)


@pytest.mark.parametrize(
    ("lines", "shared", "asked"),
    [
        ("Environment=XDG_DATA_HOME=@root@/shared/certificates XDG_CONFIG_HOME=@root@/shared/certificates", 1, 0),
        ("ExecStart=/bin/shop /srv/store/shared/certificates/new --now\nExecStart=@root@/current/shop", 1, 0),
        ("ReadWritePaths=@root@/shared", 0, 0),
        ("EnvironmentFile=-@root@/shared/certificates.env", 0, 1),
    ],
)
def test_units_say_what_is_shared(tmp_path: Path, lines: str, shared: int, asked: int) -> None:
    """A directory below `shared` that they name is written; what looks like a file there is asked for."""
    found = look(tmp_path, {"infra/shop.service": f"[Service]\n{lines}\n"})
    assert (found.shared, len(found.reasons.get("shared", []))) == (["certificates"] * shared, shared)
    assert [each.partition(":")[0] for each in found.questions.get("shared", [])] == (
        ["the units name certificates.env in shared"] * asked
    )


@pytest.mark.parametrize(
    ("line", "there", "asked"),
    [
        (
            "ReadWritePaths=@root@/shared/data/x",
            "data/.gitkeep",
            "the units name data in shared, and it is here, too: a release has a link in its place. Take it out of the "
            "commit: git rm -r --cached data; and write shared: {data: dir}",
        ),
        (
            "ReadWritePaths=@root@/shared/app.db",
            "app.db",
            "the units name app.db in shared, and it is here, too: a release has a link in its place. Take it out of "
            "the commit: git rm -r --cached app.db; and write shared: {app.db: file}",
        ),
        (
            "ReadWritePaths=@root@/shared/app.db",
            "page",
            "the units name app.db in shared: is it a file, or a directory? Write shared: {app.db: file}, or "
            "shared: {app.db: dir}",
        ),
    ],
)
def test_the_kind_of_what_is_shared_is_asked_for(tmp_path: Path, line: str, there: str, asked: str) -> None:
    """The question names what to write; what the commit has in its place, which a deploy would refuse, has to go."""
    found = look(tmp_path, {"infra/shop.service": f"[Service]\n{line}\n", there: ""})
    assert (found.shared, found.questions["shared"]) == ([], [asked])
