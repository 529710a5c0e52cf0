"""What `init` makes of the web server that a commit brings: a Caddyfile or a site of nginx, and its unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from oroboros_deploy.config import Config, HttpProbe
from oroboros_deploy.init.tree import Tree
from oroboros_deploy.init.writing import propose, settings

CADDY = """\
[Service]
User=@user@
EnvironmentFile=@root@/env
WorkingDirectory=@root@/current{inner}
ExecStart=/usr/bin/caddy run --adapter caddyfile --config infra/Caddyfile
"""
NGINX = "[Service]\nExecStart=/usr/sbin/nginx -c @root@/current/infra/nginx.conf -g 'daemon off;'\n"
CADDYFILE = "# the site\n{\n\tadmin off\n}\n%s {\n\troot * %s\n\tencode gzip\n\tfile_server\n}\n"
PAGES = {"site/package.json": '{"scripts": {"build": "node build.js"}}', "site/package-lock.json": "{}"}


def written(top: Path, said: str, *, unit: str = CADDY.format(inner=""), file: str = "infra/Caddyfile") -> str:
    """The settings that are written for pages of Node beside what a web server is told; no unit where it is empty."""
    files = {**PAGES, file: said, **({"infra/systemd/site-web.service": unit} if unit else {})}
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return settings(propose(Tree(top)))


def loaded(text: str) -> Config:
    return Config.from_mapping(yaml.safe_load(text)["deploy"])


def into(text: str) -> str | None:
    """Where the pages are copied to."""
    frontend = loaded(text).build.frontend
    assert frontend and frontend.output == "dist"
    return frontend.into


@pytest.mark.parametrize(
    ("root", "inner", "served"),
    [
        ("public", "", "public"),
        ("./public/", "", "public"),
        ('"public"', "", "public"),
        ("public", "/infra", "infra/public"),
        ("@root@/current/public", "", "public"),
        ("/srv/site/current/public", "", "public"),
        ("/usr/share/caddy", "", None),
        ("{$PAGES}", "", None),
        ("site/dist", "", None),
    ],
)
def test_pages_are_copied_to_where_the_web_server_serves_from(
    tmp_path: Path, root: str, inner: str, served: str | None
) -> None:
    """A directory of the release that the Caddyfile names; pages that are made where they are served stay there."""
    text = written(tmp_path, CADDYFILE % ("http://127.0.0.1:8030", root), unit=CADDY.format(inner=inner))
    assert into(text) == served
    assert (f"# infra/Caddyfile serves {served}: the pages are copied there" in text) == (served is not None)


def test_a_site_of_nginx_says_where_it_serves_from(tmp_path: Path) -> None:
    """Its root is a path of the host, and its port is asked."""
    listens = "listen 8031 default_server;\n  server_name shop.example.org;"
    said = f"server {{\n  {listens}\n  root /srv/site/current/public;\n}}\n"
    text = written(tmp_path, said, unit=NGINX, file="infra/nginx.conf")
    probe = HttpProbe("http://127.0.0.1:8031/", host="shop.example.org")
    assert (into(text), loaded(text).healthcheck.http, loaded(text).root) == ("public", (probe,), "/srv/site")


def test_a_directory_of_the_commit_is_replaced_by_nobody_unasked(tmp_path: Path) -> None:
    """What the web server serves may be more than the pages that the build makes."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public/logo.svg").write_text("<svg/>")
    text = written(tmp_path, CADDYFILE % (":8030", "public"))
    asked = "infra/Caddyfile serves public, and the commit has files there: into which directory are the pages copied"
    more = "from site/dist? Write it as `into`; `into: public` removes those files from the release"
    assert into(text) is None and f"# QUESTION: {asked} {more}" in text


def test_a_web_server_of_the_host_does_not_say_what_its_paths_begin_with(tmp_path: Path) -> None:
    """Without a unit nobody knows in which directory it runs, so that a person is asked."""
    text = written(tmp_path, CADDYFILE % (":8030", "public"), unit="")
    asked = (
        "# QUESTION: infra/Caddyfile serves public: which directory of the release is that? Write its path as `into`"
    )
    assert into(text) is None and asked in text


def test_a_web_server_that_serves_no_directory_says_nothing_of_pages(tmp_path: Path) -> None:
    """Its file may only lead to other servers."""
    text = written(tmp_path, ":8030 {\n\treverse_proxy localhost:3000\n}\n", unit=CADDY.format(inner="/infra"))
    assert into(text) is None and "infra/Caddyfile serves" not in text


@pytest.mark.parametrize(
    ("address", "probe"),
    [
        ("http://127.0.0.1:8030", {"url": "http://127.0.0.1:8030/"}),
        (":8030", {"url": "http://127.0.0.1:8030/"}),
        ("http://", {"url": "http://127.0.0.1/"}),
        ("http://shop.example.org", {"url": "http://127.0.0.1/", "host": "shop.example.org"}),
        ("http://shop.example.org, http://www.example.org", {"url": "http://127.0.0.1/", "host": "shop.example.org"}),
        ("{$SITE:http://127.0.0.1:8030}", {"url": "http://127.0.0.1:8030/"}),
        ("{$SITE}", None),
        (":{$PORT}", None),
        ("shop.example.org", None),
        ("127.0.0.1:8030", None),
        (":443", None),
    ],
)
def test_the_web_server_is_asked_where_its_file_says(
    tmp_path: Path, address: str, probe: dict[str, Any] | None
) -> None:
    """A plain address is probed; any other is a question, with a probe in a comment, and a file is looked for."""
    text = written(tmp_path, CADDYFILE % (address, "public"))
    gate = loaded(text).healthcheck
    assert (gate.http, gate.command) == (((HttpProbe(**probe),), None) if probe else ((), "test -s public/index.html"))
    asked = f"# QUESTION: infra/Caddyfile says {address}: at which address does the host ask the web server?"
    assert (asked in text) == (probe is None)
    answered = text.replace("  # healthcheck:", "  healthcheck:").replace("  healthcheck: {command", "  # {command")
    assert loaded(answered).healthcheck.http != ()


def test_a_file_with_several_addresses(tmp_path: Path) -> None:
    """No one of them is guessed: the question says that they cannot be told apart."""
    several = CADDYFILE % ("http://:8030", "public") + CADDYFILE % ("http://:8031", "public")
    asked = "# QUESTION: `init` cannot tell one address from infra/Caddyfile: at which address does the host ask"
    assert asked in written(tmp_path, several)


def test_pages_that_nothing_makes_are_asked_for_too(tmp_path: Path) -> None:
    """Also where they are not at the top of the repository, and nothing is known of a first page."""
    for name, text in {
        "infra/web.service": CADDY.format(inner=""),
        "Caddyfile": CADDYFILE % ("{$SITE}", "www"),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    lines = settings(propose(Tree(tmp_path))).splitlines()
    asked = next(number for number, line in enumerate(lines) if "QUESTION: Caddyfile says {$SITE}" in line)
    assert lines[asked + 1 : asked + 3] == [
        "  # when the question is answered, write this line in place of the one below it:",
        '  # healthcheck: {http: {url: "http://127.0.0.1:8080/"}}',
    ]


def test_what_a_caddyfile_reads_is_asked_for(tmp_path: Path) -> None:
    """Its unit reads the configuration, where the variable has to be."""
    text = written(tmp_path, CADDYFILE % ("{$SITE}", "public"))
    assert "SITE" in next(line for line in text.splitlines() if line.startswith("  # env:"))


@pytest.mark.parametrize("unit", [CADDY.format(inner=""), ""])
def test_a_file_that_is_looked_for_is_called_no_more_than_that(tmp_path: Path, unit: str) -> None:
    """The comment above `test -s` does not say that a web server shows it: nobody asked."""
    lines = written(tmp_path, CADDYFILE % ("{$SITE}", "{$PAGES}"), unit=unit).splitlines()
    above = lines[lines.index("  healthcheck: {command: test -s site/dist/index.html}") - 1]
    assert above == "  # site/dist/index.html has to be there, and not empty; no web server is asked for it"
