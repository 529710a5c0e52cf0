"""Unit files: how a file of the commit becomes one of a host, whose it is, and how two sets differ."""

from __future__ import annotations

import pytest

from oroboros_deploy.host import unit_files
from oroboros_deploy.host.unit_files import UnitSet

API = "[Service]\nExecStart=@root@/current/api --of=@application@\nUser=@user@\n"
TIMER = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"
BEFORE = UnitSet({"api.service": "a", "old.service": "o", "same.timer": "s", "new.socket": None}, None)
AFTER = UnitSet({"api.service": "b", "old.service": None, "same.timer": "s", "new.socket": "n"}, None)


def rendered(text: str = API) -> str:
    return unit_files.render(text, "shop", "/srv/shop", "ada")


def test_a_file_of_the_commit_is_rendered() -> None:
    """The three words are replaced, and the first line names application and root."""
    first, _, rest = rendered().partition("\n")
    assert rest == "[Service]\nExecStart=/srv/shop/current/api --of=shop\nUser=ada\n"
    assert first.startswith("# oroboros_deploy: shop in /srv/shop, ")


@pytest.mark.parametrize(
    ("text", "header"),
    [
        (rendered(), ("shop", "/srv/shop", False)),
        (rendered() + "Nice=5\n", ("shop", "/srv/shop", True)),
        (unit_files.render("a", "My shop", "/srv/a, b", "ada"), ("My shop", "/srv/a, b", False)),
        (API, None),
        (f"\n{rendered()}", None),
    ],
)
def test_the_first_line_tells_whose_it_is(text: str, header: tuple[str, str, bool] | None) -> None:
    """And whether somebody edited the file since; a file without it is nobody's of ours."""
    assert unit_files.header(text) == header


def test_a_file_without_our_line() -> None:
    """What is compared with a file that somebody put there by hand."""
    assert (unit_files.body(rendered("a\n")), unit_files.body("a\n")) == ("a\n", "a\n")


@pytest.mark.parametrize(
    ("path", "can_be"),
    [
        ("api.service", True),
        ("app@.service", True),
        (r"our\x2dapp.timer", True),
        ("api.service.d/limits.conf", True),
        ("README.md", False),
        ("data.mount", False),
        ("api.service.d/notes.txt", False),
        ("dir/api.service", False),
        ("a b.service", False),
    ],
)
def test_what_can_be_installed(path: str, can_be: bool) -> None:
    """Services, sockets, timers, paths, targets, templates, and drop-ins for them."""
    assert unit_files.is_path(path) == can_be


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("[Service]\nUser=ada\n", ["ada"]),
        ("[Service]\n  User = ada  \n", ["ada"]),
        ("[Service]\nUser=\n#User=eve\n", []),
        ("[Service]\nUser=shop-%i\n", []),
        ("[Service]\nUser=made\nDynamicUser=yes\n", []),
    ],
)
def test_the_users_that_have_to_be_there(text: str, users: list[str]) -> None:
    """Not those that systemd makes, nor those that only an instance tells."""
    assert unit_files.users(text) == users


@pytest.mark.parametrize(
    ("name", "brought"),
    [("api.service", True), ("app@1.service", True), ("app.service", False), ("app@1.timer", False)],
)
def test_a_template_brings_its_instances(name: str, brought: bool) -> None:
    """A name that is an instance of what a release has is not missing on the host."""
    assert unit_files.brings(["api.service", "app@.service"], name) == brought


def test_two_sets_are_compared() -> None:
    """By path: what is new, changed and gone, and how people are told."""
    changes = unit_files.compare(BEFORE, AFTER)
    assert changes == {"added": ["new.socket"], "changed": ["api.service"], "removed": ["old.service"]}
    assert unit_files.told(changes) == "+ new.socket, ~ api.service, - old.service"
    assert (unit_files.appearing(BEFORE, AFTER), unit_files.going(BEFORE, AFTER)) == (["new.socket"], ["old.service"])


@pytest.mark.parametrize("drop_in", [("added", None, "x"), ("changed", "x", "y"), ("removed", "x", None)])
def test_a_drop_in_changes_its_unit(drop_in: tuple[str, str | None, str | None]) -> None:
    """A unit is another one when one of its drop-ins is; a drop-in alone is no unit."""
    _, one, other = drop_in
    before = UnitSet({"api.service": "a", "api.service.d/l.conf": one}, None)
    after = UnitSet({"api.service": "a", "api.service.d/l.conf": other}, None)
    assert (unit_files.changed(before, after), after.units) == (["api.service"], ["api.service"])


def test_our_first_line_alone_changes_no_unit() -> None:
    """A unit that is taken over, or whose application has another name now, is written, and stays as it runs."""
    text = "[Socket]\nListenStream=80\n"
    before = UnitSet({"a.socket": text}, None)
    after = UnitSet({"a.socket": unit_files.render(text, "shop", "/srv/shop", "deploy")}, None)
    assert (unit_files.changed(before, after), unit_files.compare(before, after)["changed"]) == ([], ["a.socket"])


def test_what_is_enabled() -> None:
    """What is new and has [Install]; of a template the instances that are named, or its own default."""
    install = "[Install]\nWantedBy=multi-user.target\n"
    texts = {"a.service": install, "b.service": "", "app@.service": install, "here.service": install}
    texts |= {"def@.service": f"{install}DefaultInstance=1\n"}
    before = UnitSet({"here.service": install}, None)
    found = unit_files.to_enable(before, UnitSet(dict(texts), None), ["app@1.service", "a.service"])
    assert found == ["a.service", "app@1.service", "def@.service"]


def test_what_is_opened() -> None:
    """New timers, sockets and paths that a boot would start; a timer that it would not start is told."""
    texts: dict[str, str | None] = {"a.timer": TIMER, "b.timer": "", "c.service": TIMER, "d@.socket": TIMER}
    assert unit_files.to_open(unit_files.NONE, UnitSet(texts, None)) == ["a.timer"]
    assert unit_files.idle(unit_files.NONE, UnitSet(texts, None)) == ["b.timer"]
    assert unit_files.idle(unit_files.NONE, UnitSet(texts, None), ("b.timer",)) == []
    assert unit_files.idle(UnitSet(texts, None), UnitSet(texts, None)) == []


@pytest.mark.parametrize(
    ("socket", "accepts"),
    [("[Socket]\nAccept=yes\n", True), ("accept = True", True), ("Accept=no\n", False), ("", False)],
)
def test_what_is_for_connections(socket: str, accepts: bool) -> None:
    """A template whose socket accepts: systemd makes an instance of it for each connection."""
    kept = UnitSet({"line.socket": socket, "line@.service": "", "app@.service": ""}, None)
    assert (unit_files.for_connections("line@.service", kept), unit_files.for_connections("app@.service", kept)) == (
        accepts,
        False,
    )


@pytest.mark.parametrize(
    ("link", "leads", "ours"),
    [
        ("multi-user.target.wants/api.service", "/etc/systemd/system/api.service", True),
        ("alias.service", "api.service", True),
        ("multi-user.target.wants/app@1.service", "../app@.service", True),
        ("multi-user.target.wants/ssh.service", "/usr/lib/systemd/system/ssh.service", False),
    ],
)
def test_the_links_of_units(link: str, leads: str, ours: bool) -> None:
    """Those that have the name of a unit, and those that lead to one."""
    assert unit_files.belongs(["api.service", "app@.service"], link, leads) == ours


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("User=@login@", ["@login@"]),
        ("EnvironmentFile=-@rot@/env", ["@rot@"]),
        ("ExecStart=/usr/bin/env python @current@/x.py --dir=@Home@/y", ["@current@", "@Home@"]),
        ("User=@user@ ", []),
        ("WorkingDirectory=@root@/current/@application@", []),
        ("# User=@login@", []),
        ("ExecStart=/bin/sed s@one@two@/x", []),
        ('Environment="FORMAT=@time@ @message@"', []),
    ],
)
def test_words_that_nothing_replaces(line: str, words: list[str]) -> None:
    """They are a whole value, or begin a path; what may mean something else is nobody's business."""
    assert unit_files.unknown_words(f"[Service]\n{line}\n") == words
