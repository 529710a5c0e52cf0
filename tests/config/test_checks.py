"""What a setting's value has to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.config import load
from oroboros_deploy.errors import ConfigError
from tests.support.written import FILE, refusal

STEP = {"name": "a", "command": "b"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"root": 5}, "must be text (it is 5)"),
        ({"shared": ["media"]}, "must map each path to dir or file"),
        ({"shared": {"media": "link"}}, "must say dir or file for each path"),
        ({"shared": {"/srv/media": "dir"}}, "not absolute"),
        ({"shared": {"a/../b": "dir"}}, "must not contain '..'"),
        ({"shared": {".": "dir"}}, "below the release's own"),
        ({"shared": {"media": "dir", "./media/": "dir"}}, "names a path twice"),
        ({"shared": {"media": "dir", "media/one": "file"}}, "names media/one, which lies in media"),
        ({"shared": {"media": "dir"}, "repo_root": "/srv/oroboros/shared/repo"}, "root's shared"),
        ({"env": {"values": ["PORT=1"]}}, "must map each name to its value"),
        ({"env": {"values": {"PORT": 8000}}}, "has no text as the value of PORT: put it in quotes"),
        ({"env": {"values": {"DEBUG": True}}}, "has no text as the value of DEBUG: put it in quotes"),
        ({"env": {"values": {1: "a"}}}, "has the name 1, which is no text: put it in quotes"),
        ({"env": {"values": {"A-B": "a"}}}, "cannot be given to a service: 'A-B' is no name of a variable"),
        ({"env": {"values": {"A": "a\7"}}}, "cannot be given to a service: the value of A has control characters"),
        ({"env": {"build": ["A B"]}}, "must hold names of variables, which 'A B' is not"),
        ({"env": {"secrets": {"names": ["A", "A"]}}}, "names A twice"),
        ({"env": {"secrets": {"timeout": 0}}}, "must be more than 0 seconds"),
        ({"env": {"secrets": "op inject"}}, "must hold settings of its own"),
        ({"env": {"file": "/etc/env"}}, "not absolute"),
        ({"env": {"value": {}}}, "unknown setting deploy.env.value"),
        ({"env": {"file": "a.env"}, "current_link": "/srv/oroboros/env"}, "root's env"),
        ({"root": None}, "must be text (it is None)"),
        ({"root": ""}, "must not be empty"),
        ({"root": "srv/app"}, "must be an absolute path (it is 'srv/app')"),
        ({"root": "~/app"}, "must be an absolute path"),
        ({"root": "/"}, "must not be the file system's root"),
        ({"root": "//."}, "must not be the file system's root"),
        ({"root": "/srv"}, "must not be a top-level directory"),
        ({"root": "/srv/"}, "must not be a top-level directory"),
        ({"root": "/srv/app/../.."}, "must not contain '..'"),
        ({"root": "/srv/a\0b"}, "without control characters"),
        ({"root": "/srv/a\nb"}, "without control characters"),
        ({"root": "/srv/a\u202eb"}, "without control characters"),
        ({"releases_dir": "/srv"}, "must not be a top-level directory"),
        ({"current_link": "/"}, "must not be the file system's root"),
        ({"current_link": "/srv/oroboros/releases/current"}, "releases_dir (/srv/oroboros/releases) and current_link"),
        ({"releases_dir": "/srv/oroboros/current/r"}, "must lie apart"),
        ({"releases_dir": "/srv/oroboros"}, "must lie apart"),
        ({"current_link": "/srv/oroboros"}, "must lie apart"),
        ({"repo_root": "/srv/oroboros/releases"}, "must lie apart"),
        ({"repo_root": "/srv/oroboros/.deploy/x"}, "must lie apart"),
        ({"services": 5}, "must be a list, or names separated by spaces"),
        ({"services": [5]}, "must be text"),
        ({"services": ["a", "a.service"]}, "names 'a' twice"),
        ({"services": "a b a"}, "names 'a' twice"),
        ({"services": ["web@"]}, "plain systemd unit names, which 'web@' is not"),
        ({"services": ["web@.service"]}, "plain systemd unit names"),
        ({"services": ["web-*"]}, "plain systemd unit names"),
        ({"services": ["web[12]"]}, "plain systemd unit names"),
        ({"services": ["-H evil"]}, "plain systemd unit names"),
        ({"services": ["-Hevil"]}, "plain systemd unit names"),
        ({"services": ["a b"]}, "plain systemd unit names"),
        ({"services": ["a/b"]}, "plain systemd unit names"),
        ({"services": [".service"]}, "plain systemd unit names"),
        ({"services": ["a" * 256]}, "plain systemd unit names"),
        ({"services": ["ü"]}, "plain systemd unit names"),
        ({"healthcheck": None}, f"deploy.healthcheck in {FILE} must hold settings of its own (it is None)"),
        ({"healthcheck": "x"}, "must hold settings of its own (it is a text)"),
        ({"build": {"frontend": False}}, "must hold settings of its own"),
        ({"healthcheck": {"command": "  "}}, "must not be empty"),
        ({"healthcheck": {"command": "a\0"}}, "without NUL"),
        ({"healthcheck": {"command": "\udcff"}}, "valid text"),
        ({"healthcheck": {"timeout": 0}}, "must be more than 0 seconds"),
        ({"healthcheck": {"timeout": -1}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": float("nan")}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": float("inf")}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": 10**400}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": 86401}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": True}}, "must be a number of seconds"),
        ({"healthcheck": {"timeout": "60"}}, "must be a number of seconds"),
        ({"healthcheck": {"interval": -0.1}}, "between 0 and 86400"),
        ({"restart_timeout": 0}, "more than 0"),
        ({"migrate_timeout": []}, "must be a number"),
        ({"keep": 1}, "must be a whole number from 2 to 1000"),
        ({"keep": 0}, "must be a whole number from 2 to 1000"),
        ({"keep": -3}, "must be a whole number from 2 to 1000"),
        ({"keep": 1001}, "must be a whole number from 2 to 1000"),
        ({"keep": 2.5}, "must be a whole number"),
        ({"keep": True}, "must be a whole number"),
        ({"keep": "many"}, "must be a whole number"),
        ({"keep": "٣"}, "must be a whole number"),
        ({"migrate": ""}, "must not be empty"),
        ({"parallel": 0}, "whole number from 1 to 1000"),
        ({"parallel": True}, "whole number from 1 to 1000"),
        ({"parallel": 1.5}, "whole number from 1 to 1000"),
        ({"parallel": "all"}, "whole number from 1 to 1000"),
        ({"build": {"timeout": 0}}, "more than 0"),
        ({"build": {"frontend": {"path": "/ui"}}}, "inside the release"),
        ({"build": {"frontend": {"path": "-ui"}}}, "inside the release"),
        ({"build": {"frontend": {"output": "../dist"}}}, "must not contain '..'"),
        ({"build": {"frontend": {"into": "./"}}}, "below the release's own"),
        ({"build": {"venvs": []}}, "must map each venv"),
        ({"build": {"venvs": {"/x": "a"}}}, "inside the release"),
        ({"build": {"venvs": {".": "a"}}}, "below the release's own: for an environment at its top, name it .venv"),
        ({"build": {"venvs": {"./": "a"}}}, "below the release's own"),
        ({"build": {"venvs": {"a": []}}}, "at least one project"),
        ({"build": {"venvs": {"a": None}}}, "at least one project"),
        ({"build": {"venvs": {"a": 5}}}, "must be a list of project directories"),
        ({"build": {"venvs": {"a": ["../x"]}}}, "must not contain '..'"),
        ({"build": {"venvs": {"a": "a", "a/": "b"}}}, "names a directory twice"),
        ({"build": {"venvs": {5: "a"}}}, "must be text"),
        ({"build": {"python": "python3.12"}}, "must be an absolute path"),
        ({"build": {"node": "/opt/node/bin/nodejs"}}, "must be the path of a program named node"),
        ({"build": {"node": "/opt/a:b/node"}}, "must be the path of a program named node"),
        ({"build": {"steps": {}}}, "must be a list of"),
        ({"build": {"steps": [{"name": "a"}]}}, "must hold only {name, path, command, "),
        ({"build": {"steps": [{"name": "a", "comand": "b", "command": "c"}]}}, "must hold only"),
        ({"build": {"steps": [STEP | {"inputs": ["a"]}]}}, "must name the outputs of a step that has inputs"),
        (
            {"build": {"steps": [STEP | {"outputs": ["a"], "once": True}]}},
            "must not name outputs of a step that is once",
        ),
        ({"build": {"steps": [STEP | {"outputs": ["a", "b", "a/c"]}]}}, "must not name an output inside another one"),
        ({"build": {"steps": [STEP | {"outputs": ["/srv/a"]}]}}, "inside the release, not absolute"),
        ({"build": {"steps": [STEP | {"outputs": ["a/../../b"]}]}}, "must not contain '..'"),
        ({"build": {"steps": [STEP | {"outputs": ["."]}]}}, "below the release's own"),
        ({"build": {"steps": [STEP | {"once": "yes"}]}}, "must be 1 (on) or 0"),
        ({"migrate": {"once": True}}, "must be a line, or hold only {command, once}"),
        ({"migrate": {"command": "a", "one": True}}, "must be a line, or hold only {command, once}"),
        (
            {"build": {"steps": [{"name": "a/b", "command": "c"}]}},
            "must name each step in 1 to 64 letters, digits, spaces, '.', '_' and '-', the first a letter or",
        ),
        ({"build": {"steps": [{"name": "a", "command": "b"}] * 2}}, "names a step twice"),
        ({"commit_url": "https://forge/commit/"}, "{sha}"),
        ({"commit_url": "javascript:alert('{sha}')"}, "http or https"),
        ({"compare_url": "https://forge/{before}"}, "{before} and {after}"),
        ({"repo_url": "--upload-pack=x"}, "plain git URL"),
        ({"repo_url": "ext::sh -c id"}, "plain git URL"),
        ({"repo_url": "ext::id"}, "plain git URL"),
        ({"repo_url": "https://token@git.example.com/x"}, "must not hold a user or token"),
        ({"environments": []}, "deploy.environments in"),
        ({"environments": {"p": "web1"}}, "deploy.environments.p in"),
        ({"environments": {"p": {"hosts": [5]}}}, "deploy.environments.p.hosts in"),
        ([], "deploy in /app/fabric.yaml must hold settings"),
    ],
)
def test_what_cannot_work_is_refused(data: Any, said: str) -> None:
    """Every value that would fail or do harm later is refused before anything happens."""
    assert said in refusal(data).message


@pytest.mark.parametrize("value", ["true", "yes", " 1", "2", "01"])
def test_any_other_skip_value_is_refused(value: str) -> None:
    """A word whose meaning must be guessed skips nothing."""
    with pytest.raises(ConfigError, match=r"DEPLOY_SKIP_HEALTHCHECK must be 1 \(on\) or 0 \(off\)"):
        load([], {"DEPLOY_SKIP_HEALTHCHECK": value})


@pytest.mark.parametrize(("value", "switched"), [("1", True), ("0", False), ("", False)])
def test_skip_variables_are_1_or_0(value: str, switched: bool) -> None:
    """1 is on, 0 and empty are off."""
    variables = {"DEPLOY_SKIP_SERVICE_RESTART": value, "DEPLOY_SKIP_HEALTHCHECK": value}
    config = load([], variables)
    assert (config.skip_restart, config.skip_healthcheck) == (switched, switched)


@pytest.mark.parametrize(
    ("layer", "flags", "environ"),
    [({"services": " "}, {}, {}), ({}, {"services": ""}, {}), ({}, {}, {"DEPLOY_SERVICES": " "})],
)
def test_no_services_by_accident(layer: dict[str, Any], flags: dict[str, Any], environ: dict[str, str]) -> None:
    """Only an empty list says that there is nothing to restart; an empty word is refused."""
    assert load([(FILE, {"services": []})], {}).services == ()
    with pytest.raises(ConfigError, match="must not be empty: name a unit, or use --skip-restart to restart nothing"):
        load([(FILE, layer)], environ, flags=flags)


@pytest.mark.slow
@given(st.text(max_size=30))
def test_an_accepted_root_is_plain_and_below_the_top(text: str) -> None:
    """Whatever is typed, an accepted root is absolute, normal and at least two levels deep."""
    try:
        root = load([], {}, flags={"root": "/" + text}).root
    except ConfigError:
        return
    assert root == str(Path(root))
    assert len(Path(root).parts) >= 3
    assert ".." not in Path(root).parts
