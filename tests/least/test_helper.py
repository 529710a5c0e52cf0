"""What root does for a login with least privilege: each way to root, by a unit or an argument, is refused."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import unit_files
from oroboros_deploy.least import helper
from oroboros_deploy.least.helper import Application, Refused, problems, read

USER = pwd.getpwuid(1).pw_name  # one that every system has
GROUP = "daemon"
ROOT = "/srv/shop"
APP = Application("shop", "deploy", ROOT, ("shop", "shop-*", "shop@*"), (USER,))
HEADER = f"{helper.OURS}shop in {ROOT}, 0\n"
UNIT = f"{HEADER}[Unit]\nDescription=Shop\n[Service]\nUser={USER}\nExecStart=/srv/shop/current/bin/shop\n"


@pytest.fixture(autouse=True)
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Places of the test's own in the place of root's."""
    for name in ("ETC", "UNITS", "RUN"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setattr(helper, name, str(tmp_path / name.lower()))
    monkeypatch.setattr(helper, "OTHERS", (str(tmp_path / "packages"),))
    return tmp_path


def judged(text: str, path: str = "shop-api.service") -> list[str]:
    """What is wrong with one unit, or with a drop-in for one that is in order."""
    main = path.partition(".d/")[0]
    return problems(APP, {main: UNIT, path: text} if ".d/" in path else {path: text})


def service(*lines: str) -> str:
    return UNIT + "".join(f"{line}\n" for line in lines)


GOOD = [
    UNIT,
    service(
        "ExecStartPre=-/bin/mkdir -p x", "ExecStart=", "ExecStart=@/bin/sh shop -c 'a; b'", "ExecReload=:/bin/kill"
    ),
    service("# a comment", "; another", "", "Environment=A=\\", "  B=c", "Restart=always"),
    service(
        "CapabilityBoundingSet=", "SystemCallFilter=~@mount", "SystemCallFilter=@file-system", "NoNewPrivileges=True"
    ),
    service("EnvironmentFile=-/etc/default/shop", f"Group={GROUP}", "RuntimeDirectory=shop", "StandardOutput=journal"),
    service("[Install]", "WantedBy=multi-user.target", "Alias=shop-old.service", "Also=shop-web@.service"),
    f"[Unit]\nBefore=shop-web.service multi-user.target\nConditionPathExists=|!{ROOT}/held\n{UNIT}Nice=5\n",
    f"[Unit]\nAfter=postgresql.service\nWants=network-online.target shop-db.service\n{UNIT}",
    UNIT.replace("[Service]", " [Service]  ").replace("User=", "User = "),
]


def test_what_services_need() -> None:
    """Units as people write them are in order."""
    assert [judged(text) for text in GOOD] == [[]] * len(GOOD)


BAD = [
    UNIT.replace(f"User={USER}\n", ""),
    *(
        UNIT.replace(f"User={USER}", f"User={user}")
        for user in ("root", "0", "", "%i", f'"{USER}"', "nobody2", f"{USER} x")
    ),
    *(service(line) for line in ("User=", "User=root", "User=0", "User\t= root", f"Group=root\nUser={USER}")),
    *(
        service(f"ExecStart{when}={value}")
        for when in ("", "Pre", "Post")
        for value in ("+/bin/x", "!/bin/x", "!!/bin/x")
    ),
    *(
        service(f"ExecStart={value}")
        for value in (
            *("-+/bin/x", "@!/bin/x x", ":+/bin/x", '"+/bin/x"', "\\x2b/bin/x", "'+/bin/x'", "|/bin/x", "%h/x", "$X"),
            *(
                "/bin/a ; +/bin/x",
                "/bin/a\t;\t+/bin/x",
                "/bin/a ; ; +/bin/x",
                "/bin/a \\\n; +/bin/x",
                "/bin/a ;  !/bin/x",
            ),
        )
    ),
    *(
        service(line)
        for line in (
            "SystemCallFilter=~@mount",
            "SystemCallFilter=~getuid:0\nNoNewPrivileges=yes",
            "SystemCallErrorNumber=0\nNoNewPrivileges=yes",
            "RestrictAddressFamilies=AF_UNIX",
            "LockPersonality=yes",
            "PrivateDevices=yes",
            "ProtectKernelLogs=yes",
            "CapabilityBoundingSet=CAP_KILL",
            "NoNewPrivileges=no",
            "NoNewPrivileges=",
            "NoNewPrivileges=yes\nNoNewPrivileges=0",
            "PermissionsStartOnly=yes",
            "RootDirectoryStartOnly=yes",
            "AmbientCapabilities=CAP_SYS_ADMIN",
            "SecureBits=keep-caps",
            "DynamicUser=yes",
            "PAMName=login",
            "RootDirectory=/srv/shop/root",
            "RootImage=/srv/shop/image",
            "BindPaths=/srv/shop/sudoers:/etc/sudoers",
            "TemporaryFileSystem=/etc",
            "InaccessiblePaths=/etc/pam.d",
            "LoadCredential=a:/etc/shadow",
            "EnvironmentFile=/srv/shop/env",
            "EnvironmentFile=/etc/shadow",
            "EnvironmentFile=/etc/default/%i",
            "StandardOutput=append:/etc/passwd",
            "StandardOutput=file:/etc/cron.d/x",
            "StandardInput=file:/etc/shadow",
            "PIDFile=/srv/shop/pid",
            "RuntimeDirectory=sshd",
            "StateDirectory=../etc",
            "StateDirectory=shop/../../etc",
            "StateDirectory=shop:link",
            "ConfigurationDirectory=sudoers.d",
            "LogNamespace=x",
            "Slice=system.slice",
            "Delegate=yes",
            "TTYPath=/dev/tty1",
            "Sockets=ssh.socket",
            "SupplementaryGroups=shadow",
            "SupplementaryGroups=",
            "Group=disk",
            "USER=root",
            "X-User=x",
            "[X-Shop]\nUser=root",
            "[Manager]\nDefaultEnvironment=x",
            "[Unit]\nOnFailure=ssh.service",
            "[Unit]\nConflicts=ssh.service",
            "[Unit]\nRequires=reboot.target",
            "[Unit]\nWants=ssh.service",
            "[Unit]\nJoinsNamespaceOf=shop-db.service",
            "[Unit]\nStopPropagatedFrom=shop-db.service",
            "[Unit]\nStartLimitAction=reboot-force",
            "[Unit]\nFailureAction=reboot",
            "[Unit]\nRequiresMountsFor=/srv/shop/../etc",
            "[Unit]\nWants=shop-%i.service",
            "[Install]\nAlias=ssh.service",
            "[Install]\nAlias=dbus-org.freedesktop.login1.service",
            "[Install]\nAlias=default.target",
            "[Install]\nAlso=ssh.service",
            "[Install]\nUpheldBy=multi-user.target",
            "[Install]\nAlias=shop-../ssh.service",
            "[Install]\nRequiredBy=ssh.service",
            "[Install]\nWantedBy=ssh.service",
            "[Install]\nWantedBy=sysinit.target",
            "[Install]\nWantedBy=basic.target",
            "[Unit]\nBefore=ssh.service",
            "[Unit]\nBefore=sysinit.target",
            "[Unit]\nDefaultDependencies=no",
            "[Unit]\nConditionPathExists=!/etc/shadow",
            "[Unit]\nConditionFileNotEmpty=/root/x",
            "OOMScoreAdjust=-1000",
            "Nice=-20",
            "[Socket]\nListenStream=80",
            ".include /srv/shop/more",
            "no assignment",
            "Description=\\",
            "Environment=A \\\n# hidden\nUser=root",
            "# a comment \\\nUser=root",
            "Environment=a\rUser=root",
            "Environment=a\x00",
            "Environment=a\u2028User=root",
            "\ufeffUser=root",
        )
    ),
]


def test_what_would_be_root() -> None:
    """Each is refused, and its path told."""
    told = {text: judged(text) for text in BAD}
    assert [text for text, found in told.items() if not found] == []
    assert all(each.startswith("shop-api.service") for found in told.values() for each in found)


@pytest.mark.parametrize(
    ("character", "shown"), [("\xa0", r"\xa0"), ("\ufeff", r"\ufeff"), ("\r", r"\r"), ("\x1b", r"\x1b")]
)
def test_a_character_that_nobody_sees(character: str, shown: str) -> None:
    """It is named with its line; nothing that stands in the text is said to be missing."""
    lines = len(UNIT.splitlines())
    said = f"shop-api.service: line {lines + 2} has the character '{shown}', which is not allowed in a unit"
    assert judged(f"\n\n{UNIT.replace('ExecStart=', f'ExecStart={character}')}") == [said]


BEYOND = ("ssh.service", "reboot.target", "shutdown.target", "system.slice", "ssh%.service", "%i.service")
PULLED = frozenset({"network-online.target", "sysinit.target"})
KNOWN = frozenset({*PULLED, "basic.target", "multi-user.target", "sockets.target"})
OWN = frozenset({"shop-b.service", "shop-b.socket"})
NAMING = {  # by key: what it may name of these
    **dict.fromkeys(("Wants", "Requires", "BindsTo"), OWN | PULLED),
    **dict.fromkeys(("Requisite", "PartOf"), OWN | KNOWN),
    **dict.fromkeys(("Upholds", "Conflicts", "OnFailure", "OnSuccess"), OWN),
    **dict.fromkeys(("PropagatesReloadTo", "ReloadPropagatedFrom", "PropagatesStopTo"), OWN),
    **dict.fromkeys(("JoinsNamespaceOf", "StopPropagatedFrom"), frozenset[str]()),
}


@pytest.mark.parametrize("key", NAMING)
def test_what_it_starts_and_stops(key: str) -> None:
    """No unit starts, stops, reloads or joins units of others, by a target that starts what is enabled neither."""
    good = {name for name in (*OWN, *KNOWN, *BEYOND) if not judged(f"[Unit]\n{key}={name}\n{UNIT}")}
    assert good == NAMING[key]
    mixed = judged(f"[Unit]\n{key}=shop-b.service ssh.service\n{UNIT}")
    assert [each.startswith(f"shop-api.service:2: {key}=") for each in mixed] == [True]


OTHERS = {
    "ssh.service": UNIT,
    "shop-.service": UNIT,
    "shop-@.service": UNIT,
    "shop-api.mount": UNIT,
    "../shop-api.service": UNIT,
    "shop-a/b.service": UNIT,
    "shop-a\n.service": UNIT,
    "oroboros-boot-srv-shop.service": UNIT,
    "service.d/x.conf": "[Service]\nUser=root\n",
    "ssh.service.d/x.conf": "[Service]\nNice=1\n",
    "shop-api.service.d/x.conf": "[Service]\nUser=\n",
    "shop-api.service.d/z.conf": "[Service]\nNoNewPrivileges=no\n",
    "shop-api.service.d/f.conf": "[Service]\nSystemCallFilter=~@mount\n",
    "shop-api.service.d/../x.conf": "[Service]\nNice=1\n",
    "shop-api.service.d/y.conf": "[Service]\nExecStartPre=+/bin/x\n",
    "shop-api.socket": "[Socket]\nListenStream=9000\nExecStartPre=/bin/x\n",
    "shop-b.socket": "[Socket]\nListenStream=/etc/x.sock\n",
    "shop-c.socket": "[Socket]\nListenStream=22\n",
    "shop-d.socket": "[Socket]\nListenFIFO=/run/shop\n",
    "shop-e.socket": "[Socket]\nListenStream=9000\nService=ssh.service\n",
    "shop-f.socket": "[Socket]\nListenStream=9000\nSocketUser=root\n",
    "shop-g.socket": "[Socket]\nListenStream=9000\nSymlinks=/etc/x\n",
    "shop-h.socket": "[Socket]\nListenStream=9000\nReusePort=yes\n",
    "shop-a.path": "[Path]\nPathChanged=/srv/shop/x\nUnit=ssh.service\n",
    "shop-b.path": "[Path]\nPathExists=/etc/shadow\n",
    "shop-d.path": "[Path]\nPathExistsGlob=/srv/shop/*\n",
    "shop-c.path": "[Path]\nPathExists=/srv/shop/x\nMakeDirectory=yes\n",
    "shop-a.timer": "[Timer]\nOnCalendar=daily\nUnit=reboot.target\n",
    "shop-a.target": "[Service]\nUser=root\n",
}


def test_units_of_others() -> None:
    """Names of others, drop-ins that add what a unit may not have, and what starts or opens something of others."""
    assert [path for path, text in OTHERS.items() if not judged(text, path)] == []


def test_what_else_is_in_order() -> None:
    """A socket on a high port or in /run, a timer, a path, a target and a drop-in of the application's own."""
    units = {
        "shop-api.service": UNIT,
        "shop-api.service.d/slow.conf": "[Service]\nRestartSec=3\n",
        "shop-api.socket": f"[Socket]\nListenStream=[::1]:8000\nListenStream=/run/shop.sock\nSocketUser={USER}\n",
        "shop-api.timer": "[Timer]\nOnCalendar=daily\nUnit=shop-api.service\n",
        "shop-api.path": "[Path]\nPathChanged=/srv/shop/shared/x\n",
        "shop-all.target": "[Unit]\nWants=shop-api.service\n",
        "shop@.service": UNIT,
    }
    assert problems(APP, units, ("shop@1.service",)) == []


SOCKET, WATCH = "[Socket]\nListenStream=9000\n", f"[Path]\nPathExists={ROOT}/x\n"
WAITED_FOR = "a .socket or .path starts before all services, and waits for no unit of the application"
CYCLES = {  # by path and text: the line, what it says, and why it is refused
    ("shop.socket", f"{SOCKET}[Unit]\nAfter=ssh.service\n"): (4, "After=ssh.service", "a .socket starts"),
    ("shop.socket", f"{SOCKET}[Unit]\nAfter=shop.service\n"): (4, "After=shop.service", "a .socket starts"),
    ("shop.socket", f"{SOCKET}[Unit]\nAfter=network-online.target\n"): (4, "After=network-online.target", "a .socket"),
    ("shop.socket", f"[Unit]\nRequiresMountsFor={ROOT}\n{SOCKET}"): (2, f"RequiresMountsFor={ROOT}", "a .socket"),
    ("shop.socket.d/x.conf", "[Unit]\nAfter=ssh.service\n"): (2, "After=ssh.service", "a .socket starts"),
    ("shop.path", f"{WATCH}[Unit]\nAfter=dbus.service\n"): (4, "After=dbus.service", "a .path starts"),
    ("shop-a.service", f"[Unit]\nBefore=shop.socket\n{UNIT}"): (2, "Before=shop.socket", WAITED_FOR),
    ("shop-a.service", f"[Unit]\nBefore=shop@7.path\n{UNIT}"): (2, "Before=shop@7.path", WAITED_FOR),
    ("shop-a.target", "[Unit]\nBefore=shop.socket\n"): (2, "Before=shop.socket", WAITED_FOR),
    ("shop-a.timer", "[Timer]\nUnit=shop.socket\n"): (2, "Unit=shop.socket", WAITED_FOR),
    ("shop-a.target", "[Install]\nWantedBy=sockets.target\n"): (
        2,
        "WantedBy=sockets.target",
        "sockets.target is for a",
    ),
    ("shop.path", f"{WATCH}[Install]\nWantedBy=sockets.target\n"): (4, "WantedBy=sockets.target", "sockets.target is"),
    ("shop.socket", f"{SOCKET}[Install]\nWantedBy=paths.target\n"): (4, "WantedBy=paths.target", "paths.target is"),
    ("shop.service", f"{UNIT}[Install]\nWantedBy=timers.target\n"): (8, "WantedBy=timers.target", "timers.target is"),
}


def test_cycles_at_a_boot() -> None:
    """What would order a socket or a path after a service is refused by file, line and reason."""
    there = {"shop.socket": SOCKET}
    for (path, text), (line, says, why) in CYCLES.items():
        told = problems(APP, {**there, path: text})
        begin = f"{path}:{line}: {says} could keep units of others from starting at a boot: {why}"
        assert [each.startswith(begin) for each in told] == [True], (path, text, told)


def test_orders_that_are_no_cycle() -> None:
    """A socket, a path and a timer of the usual shape, and a service that waits for its own socket, are in order."""
    wanted = "[Install]\nWantedBy="
    units = {
        "shop.service": f"[Unit]\nAfter=network.target shop.socket\nRequires=shop.socket\n{UNIT}",
        "shop.socket": f"[Unit]\nAfter=local-fs.target\nBefore=shop.service\n{SOCKET}{wanted}sockets.target\n",
        "shop.path": f"[Unit]\nAfter=sysinit.target\n{WATCH}Unit=shop.service\n{wanted}paths.target\n",
        "shop-b.path": f"{WATCH}{wanted}multi-user.target\n",
        "shop.timer": f"[Unit]\nAfter=ssh.service\n[Timer]\nUnit=shop.service\n{wanted}timers.target\n",
        "shop.target": f"[Unit]\nAfter=ssh.service\nWants=shop.socket\n{wanted}multi-user.target\n",
        "shop-c.service": f"[Unit]\nBefore=shop.service shop.timer shop.target\n{UNIT}",
    }
    assert problems(APP, units) == []


def test_links_of_a_kind(directories: Path, asking: Asking) -> None:
    """sockets.target wants sockets alone, by a link too, and so on; a link of before that is none may go."""
    for name, text in (("shop.service", UNIT), ("shop.socket", SOCKET), ("shop.path", WATCH)):
        (directories / "units" / name).write_text(text)
    kinds = {"sockets": "socket", "paths": "path", "timers": "timer", "multi-user": ""}
    links = [f"{target}.target.wants/shop.{kind}" for target in kinds for kind in ("service", "socket", "path")]
    told = {link: asking.put(links={link: f"../{link.partition('/')[2]}"}) for link in links}
    good = {link for link in links if link.startswith("multi") or link.endswith(kinds[link.partition(".")[0]])}
    assert {link for link, why in told.items() if not why} == good
    assert asking.put(links={"sockets.target.wants/shop.service": None}) == ""


def test_what_is_there(directories: Path) -> None:
    """Root's own units of these names, those of packages, and drop-ins without their unit are refused as well."""
    (directories / "packages").mkdir()
    (directories / "packages/shop-db.service").write_text(UNIT)
    assert problems(APP, {"shop-db.service": UNIT}) == [
        f"shop-db.service is also in {directories}/packages/shop-db.service, where no deploy installs units: "
        "rename the unit in the repository, or have root take that file away"
    ]
    (directories / "units/shop-old.service").write_text("[Service]\nExecStart=/srv/shop/current/x\n")
    (directories / "units/shop@7.service").write_text("[Service]\nExecStart=/srv/shop/current/x\n")
    (directories / "units/shop-alias.service").symlink_to("shop-old.service")
    for unit in ("shop-old", "shop@7", "shop-alias"):
        assert "has no User=" in str(problems(APP, {}, (f"{unit}.service",))), unit
    drop_in = {"shop@7.service.d/x.conf": "[Service]\nNice=1\n", "shop@.service": UNIT}
    assert "has no User=" in str(problems(APP, drop_in))
    with_a_timer = problems(APP, {"shop-old.timer": "[Timer]\nOnCalendar=daily\n"})
    assert f"shop-old.service has no User=, so that it would run as root: add User= with one of {USER}" in with_a_timer
    (directories / "units/shop-old.service").unlink()
    (directories / "units/shop@7.service").unlink()
    (directories / "units/shop-old.socket").write_text("[Socket]\nListenStream=22\n")
    assert "ListenStream=22 is not" in str(problems(APP, {"shop-new.service": UNIT}))
    assert "ListenStream=22 is not" in str(helper.before(APP))
    (directories / "units/shop-old.socket").unlink()
    started = problems(APP, {"shop-new.service": f"[Unit]\nWants=shop-db.service\n{UNIT}"})
    assert ["Wants=shop-db.service" in each for each in started] == [True]
    alone = problems(APP, {"shop-new.service.d/x.conf": "[Service]\nNice=1\n"})
    assert alone == [
        "shop-new.service has drop-ins, but the unit itself is not on the host, or is taken away by this release: keep "
        f"the unit, or take its drop-ins away, too, which lie or would lie in {helper.UNITS}/shop-new.service.d"
    ]
    assert problems(APP, {}, ("ssh.service", "*.service"))[0].endswith(
        "none of the units of shop: shop, shop-*, shop@*"
    )


@pytest.mark.parametrize(
    "place", ["shop@7.service.d", "shop@.service.d", "shop-.service.d", "service.d", "shop-b.service.d"]
)
def test_drop_ins_of_before(directories: Path, place: str) -> None:
    """What was installed for the application with more rights counts for its units, wherever systemd looks for it."""
    units = directories / "units"
    for unit in ("shop@.service", "shop-a.service", "shop-b.service"):
        (units / unit).write_text(UNIT)
    (units / "shop-c.service").symlink_to("shop-b.service")
    (units / place).mkdir()
    asked = {"shop@": "shop@7.service", "shop-": "shop-a.service", "shop-b": "shop-c.service"}
    unit = asked.get(place.partition(".")[0].removesuffix("7"), "shop-a.service")
    assert problems(APP, {}, (unit,)) == []
    (units / place / "x.conf").write_text("[Service]\nNice=-5\nExecStart=\n")
    assert problems(APP, {}, (unit,)) == []  # an administrator's
    for line in ("User=", "ExecStartPre=+/bin/x", "PermissionsStartOnly=yes", "NoNewPrivileges=no"):
        (units / place / "x.conf").write_text(f"[Service]\n{line}\n")
        assert [line in each for each in problems(APP, {}, (unit,))] == [True], line
        assert [line in each for each in helper.before(APP)] == [True], line
    (units / place / "x.conf").write_text(f"{helper.OURS}shop in /srv/shop, 0\n[Service]\nUser=\n")
    assert [each.startswith(place) for each in problems(APP, {}, (unit,))] == [True]


def test_lines_are_read_as_systemd_reads_them() -> None:
    """Continued lines are one, an even number of backslashes continues nothing, blanks around do not count."""
    text = "[Service]\n ExecStart = a \\\n  b\\\n\nEnvironment=c\\\\\n"
    assert [each[1:] for each in read(text)] == [
        ("Service", "ExecStart", "a    b"),
        ("Service", "Environment", "c\\\\"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("restart", "--", "ssh.service"),
        ("restart", "--", "shop-api.service", "ssh.service"),
        ("restart", "--force", "--", "shop-api.service"),
        ("stop", "--", "shop-*"),
        ("stop", "--", "oroboros-command-other:a1-1-1.service"),
        ("status", "--root=/", "--", "shop-api.service"),
        ("restart",),
        ("daemon-reload",),
        ("edit", "shop-api.service"),
        ("activate", "x.service", "/usr/bin/python3", f"{ROOT}/.deploy/agent/a.pyz", "a1", "1", "1"),
        ("activate", "oroboros-activate.service", "/usr/bin/python3", "/etc/x", "a1", "1", "1"),
        ("activate", "oroboros-activate.service", "/bin/sh -c", f"{ROOT}/a.pyz", "a1", "1", "1"),
        ("activate", "oroboros-activate.service", "/usr/bin/python3", f"{ROOT}/a.pyz", "a1'\n+/bin/x", "1", "1"),
        ("activate", "oroboros-activate.service", "/usr/bin/python3", f"{ROOT}/a.pyz", "$USER", "1", "1"),
        ("run-as", "root", "oroboros-command-shop:a1-1-1.service", "5"),
        ("run-as", "nobody", "oroboros-command-shop:a1-1-1.service", "5"),
        ("run-as", USER, "ssh.service", "5"),
        ("run-as", USER, "oroboros-command-shop:a.service\n--uid=0", "5"),
        ("run-as", USER, "oroboros-command-shop:a.service", "5 --uid=0"),
        ("own-config", "config", USER, "../../../etc/shadow"),
        ("own-config", "shared", USER, ".."),
        ("own-config", "shared", "root", "media"),
        ("own-config", "x"),
        ("watch", "1/../../etc"),
        ("put", "x"),
    ],
)
def test_what_is_not_to_be_had(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """No verb takes more than it says, and nothing is run."""
    monkeypatch.setattr(helper, "application", lambda name: APP)
    monkeypatch.setattr(helper, "refuse_others", lambda app: None)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "chdir", lambda path: None)
    monkeypatch.setattr(os, "execve", lambda *command: pytest.fail(f"it was run: {command}"))
    monkeypatch.setattr(subprocess, "run", lambda *command, **_: pytest.fail(f"it was run: {command}"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises((Refused, ValueError, OSError, KeyError)):
        helper.main("shop", *arguments)


def test_whom_it_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The login that root wrote down, and root; sudo says who asks, and nobody else is obeyed."""
    for asks, obeyed in (("1", True), ("0", True), (None, True), ("2", False), ("", False)):
        monkeypatch.setattr(os, "environ", {"SUDO_UID": asks} if asks is not None else {})
        refused = None
        try:
            helper.refuse_others(APP._replace(login=USER))
        except Refused as said:
            refused = str(said)
        assert refused == (None if obeyed else "shop is not deployed by this login"), asks


@pytest.mark.usefixtures("giving_away")
def test_root_believes_root_alone(directories: Path) -> None:
    """A list that others own or may write, a link in its place, and a name that is a path are refused."""
    place = directories / "etc/shop.json"
    place.write_text(json.dumps({"login": USER, "root": ROOT, "units": ["shop-*"], "users": ["root"]}))
    os.chmod(directories / "etc", 0o755)
    place.chmod(0o644)
    found = helper.application("shop")
    with pytest.raises(Refused, match="root on this host"):
        found.user("root")
    place.chmod(0o664)
    with pytest.raises(Refused, match="written by others"):
        helper.application("shop")
    (directories / "etc/other.json").symlink_to(place)
    with pytest.raises(OSError, match="other"):
        helper.application("other")
    with pytest.raises(Refused, match="no name"):
        helper.application("../etc/shop")


@pytest.mark.usefixtures("giving_away")
def test_what_is_given_away(directories: Path) -> None:
    """A configuration and an empty directory of the login's, and neither a link, nor a file with two names."""
    root, user = directories / "shop", pwd.getpwnam(USER)
    app = Application("shop", "nobody", str(root), ("shop-*",), (USER,))
    config, shared, login = root / ".deploy/config", root / "shared", pwd.getpwnam("nobody").pw_uid
    for directory in (config, shared / "media"):
        directory.mkdir(parents=True)
    revision = config / ("0" * 16)
    revision.write_text("A=b\n")
    for path in (revision, shared / "media"):
        os.chown(path, login, -1)
    helper.own_config(app, "config", USER, revision.name)
    helper.own_config(app, "shared", USER, "media")
    assert (revision.stat().st_gid, (shared / "media").stat().st_uid) == (user.pw_gid, user.pw_uid)

    canary = directories / "canary"
    canary.write_text("root's")
    (config / ("1" * 16)).symlink_to(canary)
    os.link(canary, config / ("2" * 16))
    (config / ("3" * 16)).write_text("the login's, by two names")
    os.chown(config / ("3" * 16), login, -1)
    os.link(config / ("3" * 16), directories / "another name")
    shutil.copytree(config, directories / "elsewhere")
    (shared / "away").symlink_to("/etc")
    for what, name in (("config", "1" * 16), ("config", "2" * 16), ("config", "3" * 16), ("shared", "away")):
        with pytest.raises((Refused, OSError)):
            helper.own_config(app, what, USER, name)
    (root / "env").symlink_to(f".deploy/config/{revision.name}")
    helper.keep_env(app)
    kept = Path(app.env)
    assert (kept.read_text(), oct(kept.stat().st_mode & 0o777)) == ("A=b\n", "0o600")
    for leads in ("/etc/shadow", str(canary), f".deploy/config/{'1' * 16}"):
        (root / "env").unlink()
        (root / "env").symlink_to(leads)
        with pytest.raises((Refused, OSError)):
            helper.keep_env(app)
    config.rename(config.with_name("moved"))
    config.symlink_to(directories / "elsewhere")
    with pytest.raises(OSError, match="config"):
        helper.own_config(app, "config", USER, revision.name)
    assert (canary.read_text(), canary.stat().st_uid, canary.stat().st_gid) == ("root's", 0, 0)


def test_it_needs_nothing_but_python() -> None:
    """It is installed as one file, which starts in Python's isolated mode; asked badly it says so and does nothing."""
    file = Path(helper.__file__)
    assert file.read_text().startswith("#!/usr/bin/python3 -I\n")
    ran = subprocess.run([sys.executable, "-I", str(file), "no/name", "ask"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        "oroboros-helper: refused: that is no name of an application\n",
    )


def test_units_of_before(directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They read root's copy of the configuration afterwards, and count as untouched; edited ones are left alone."""
    monkeypatch.setattr(helper, "copy_env", lambda app: None)
    done: list[tuple[str, ...]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: done.append(tuple(command)))
    text = f"[Service]\nUser={USER}\nEnvironmentFile=-{ROOT}/env\n"
    ours, edited = unit_files.render(text, "shop", ROOT, USER), f"{unit_files.render(text, 'shop', ROOT, USER)}Nice=1\n"
    for name, each in (("shop-a.service", ours), ("shop-b.service", edited), ("ssh.service", ours)):
        (directories / "units" / name).write_text(each)
    (directories / "units/shop-0.service").symlink_to("shop-a.service")
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listed(path)))  # the alias comes first
    helper.move_env(APP)
    assert os.readlink(directories / "units/shop-0.service") == "shop-a.service"
    (directories / "units/shop-0.service").unlink()
    there = {path.name: path.read_text() for path in (directories / "units").iterdir()}
    moved = unit_files.render(text, "shop", ROOT, USER, APP.env)
    assert there == {"shop-a.service": moved, "shop-b.service": edited, "ssh.service": ours}
    assert (f"EnvironmentFile=-{APP.env}\n" in moved, done) == (True, [("/usr/bin/systemctl", "daemon-reload")])


class Asking:
    """What `put` is asked for; what it runs is noted, and not run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch, self.ran = monkeypatch, list[tuple[str, ...]]()
        monkeypatch.setattr(subprocess, "run", lambda command, **_: self.ran.append(tuple(command)))
        monkeypatch.setattr(os, "sync", lambda: None)
        monkeypatch.setattr(helper, "copy_env", lambda app: None)
        monkeypatch.setattr(helper, "application", lambda name: APP)

    def put(self, **asked: object) -> str:
        """Why it was refused; empty where it was done."""
        said = io.TextIOWrapper(io.BytesIO(json.dumps(asked).encode()))
        self._patch.setattr("sys.stdin", said)
        try:
            helper.put(APP, "5")
        except (Refused, ValueError) as refused:
            return str(refused)
        return ""


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Asking:
    return Asking(monkeypatch)


def everything(directory: Path) -> dict[str, str]:
    """All files and links of a directory, with what is in them, or where they lead."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_symlink() or path.is_file())
    return {
        str(path.relative_to(directory)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in found
        if path.suffix != ".lock"
    }


@pytest.mark.parametrize(
    "path",
    ["shop-x.service.d/../../canary", "shop-x.service.d/../shop.json", "../canary", "shop-x.service.d/x", ".", ""],
)
@pytest.mark.parametrize("text", [None, "[Service]\nNice=1\n"])
def test_paths_out_of_the_directory(directories: Path, asking: Asking, path: str, text: str | None) -> None:
    """What is taken away is held to the same names as what is put: nothing outside of units is touched."""
    (directories / "canary").write_text("root's")
    (directories / "units/shop-x.service.d").mkdir()
    before = everything(directories)
    assert "none of the units" in asking.put(files={path: text})
    assert "may make or take away" in asking.put(links={path: text and "shop-x.service"})
    assert (everything(directories), asking.ran) == (before, [])


def test_directories_that_are_links(directories: Path, asking: Asking) -> None:
    """A directory of drop-ins or of links that leads elsewhere is not entered."""
    (directories / "canary").mkdir()
    (directories / "units/shop-x.service").write_text(UNIT)
    for name in ("shop-x.service.d", "multi-user.target.wants"):
        (directories / "units" / name).symlink_to(directories / "canary")
    (directories / "canary/x.conf").write_text(f"{HEADER}[Service]\nNice=1\n")
    before = everything(directories)
    for text in (None, "[Service]\nNice=2\n"):
        with pytest.raises(NotADirectoryError):
            asking.put(files={"shop-x.service.d/x.conf": text})
    with pytest.raises(NotADirectoryError):
        asking.put(links={"multi-user.target.wants/shop-x.service": "../shop-x.service"})
    assert everything(directories) == before
    assert {each[1] for each in asking.ran} == {"daemon-reload"}  # systemd knows what is there, whatever happened


@pytest.mark.parametrize("name", ["shop-a.service", "shop-t@7.service", "shop-t@.service"])
def test_names_that_packages_have(directories: Path, asking: Asking, name: str) -> None:
    """No unit, drop-in, alias or start has a name that systemd finds elsewhere, by a template either."""
    (directories / "packages").mkdir()
    for packaged in ("shop-a.service", "shop-t@.service"):
        (directories / "packages" / packaged).write_text("[Service]\nExecStart=/bin/true\n")
    (directories / "units/shop-b.service").write_text(UNIT)
    before = everything(directories)
    drop_in = f"{name}.d/x.conf"
    told = [
        asking.put(files={name: UNIT, drop_in: "[Service]\nNice=1\n"}),
        asking.put(files={name: None}),
        asking.put(start=[name]),
        asking.put(links={name: "shop-b.service"}),
        asking.put(links={"shop-c.service": name}),
        asking.put(links={f"multi-user.target.wants/{name}": f"../{name}"}),
        "; ".join(problems(APP, {}, (name,))),
    ]
    assert [("where no deploy installs units" in each, "may make or take away" in each) for each in told] == [
        *[(True, False)] * 3,
        *[(False, True)] * 3,
        (True, False),
    ]
    assert (everything(directories), asking.ran) == (before, [])
    (directories / "units" / name).write_text(UNIT)
    assert "may make or take away" in asking.put(links={"shop-c.service": name})


@pytest.mark.parametrize(
    ("main", "drop_in"),
    [
        ("shop-x.service", "shop-x.service.d/x.conf"),
        ("shop-x@.service", "shop-x@7.service.d/x.conf"),
        ("shop-x@.service", "shop-x@.service.d/x.conf"),
    ],
)
def test_no_drop_in_outlives_its_unit(directories: Path, asking: Asking, main: str, drop_in: str) -> None:
    """A unit does not go while drop-ins of it, or of its instances, stay; with them it goes."""
    text = f"{HEADER}[Service]\nNice=1\n"
    assert asking.put(files={main: UNIT, drop_in: text}) == ""
    before = everything(directories)
    assert " has drop-ins, but the unit itself is not on the host, or is taken away by " in asking.put(
        files={main: None}
    )
    assert everything(directories) == before
    assert asking.put(files={main: None, drop_in: None}) == ""
    assert everything(directories) == {}


@pytest.mark.parametrize("leads", ["/srv/shop/x.service", "/usr/lib/systemd/system/ssh.service", "ssh.service"])
def test_units_that_are_links(directories: Path, asking: Asking, leads: str) -> None:
    """A unit of the list that leads out of the directory, or to another's unit, is a problem; the link stays."""
    (directories / "units/ssh.service").write_text(UNIT)
    (directories / "units/shop-x.service").symlink_to(leads)
    (directories / "units/shop-y@.service").symlink_to(leads)
    before = everything(directories)
    away = "on the host is a link that leads to no file of a unit of shop there: root has to take the link away, or put"
    for unit, link in (("shop-x.service", "shop-x.service"), ("shop-y@1.service", "shop-y@.service")):
        assert problems(APP, {}, (unit,)) == [f"{helper.UNITS}/{link} {away} the file itself there"]
    assert "is a link that leads to no file of a unit of shop there" in asking.put(files={"shop-z.service": UNIT})
    for to in (None, "shop-z.service"):
        assert "may make or take away" in asking.put(links={"shop-x.service": to})
    assert (everything(directories), asking.ran) == (before, [])


def test_aliases(directories: Path, asking: Asking) -> None:
    """Another name leads to a unit that is there or comes; a mask stays, and no file has a link put in its place."""
    (directories / "units/shop-a.service").write_text(UNIT)
    (directories / "units/shop-b.service").write_text(UNIT)
    (directories / "units/shop-masked.service").symlink_to("/dev/null")
    before = everything(directories)
    refused: list[dict[str, str | None]] = [
        {"shop-old.service": "shop-none.service"},
        {"shop-old.service": "ssh.service"},
        {"ssh.service": "shop-a.service"},
        {"shop-b.service": "shop-a.service"},
        {"shop-old.service": "../shop-a.service"},
        {"shop-old.socket": "shop-a.service"},
        {"dbus-org.freedesktop.login1.service": "shop-a.service"},
        {"shop-masked.service": None},
        {"shop-masked.service": "shop-a.service"},
        {"sysinit.target.wants/shop-a.service": "../shop-a.service"},
    ]
    assert ["may make or take away" in asking.put(links=links) for links in refused] == [True] * len(refused)
    assert (everything(directories), asking.ran) == (before, [])
    assert asking.put(files={"shop-c.service": UNIT}, links={"shop-old.service": "shop-c.service"}) == ""
    assert asking.put(files={"shop-b.service": None}, links={"shop-b.service": "shop-a.service"}) == ""
    assert (
        asking.put(links={"shop-old.service": None, "multi-user.target.wants/shop-a.service": "../shop-a.service"})
        == ""
    )
    assert everything(directories / "units") == {
        "multi-user.target.wants/shop-a.service": "../shop-a.service",
        "shop-a.service": UNIT,
        "shop-b.service": "shop-a.service",
        "shop-c.service": UNIT,
        "shop-masked.service": "/dev/null",
    }


def test_units_of_another_application(directories: Path, asking: Asking) -> None:
    """What the header gives to another application, or what runs as root, is neither replaced nor taken away."""
    (directories / "units/shop-x.service").write_text(f"{helper.OURS}other in /srv/other, 0\n{UNIT}")
    (directories / "units/shop-x.service").chmod(0o644)
    before = everything(directories)
    for text in (None, UNIT):
        assert asking.put(files={"shop-x.service": text}).endswith("belongs to the application other in /srv/other")
    (directories / "units/shop-x.service").write_text(UNIT.partition("\n")[2])
    for text in (None, UNIT):
        assert asking.put(files={"shop-x.service": text}).startswith("shop-x.service was installed by no deploy")
    (directories / "units/shop-x.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert "has no User=" in asking.put(files={"shop-x.service": None})
    assert (sorted(everything(directories)), asking.ran) == (sorted(before), [])


def test_what_cannot_be_written_changes_nothing(directories: Path, asking: Asking) -> None:
    """A text that is no UTF-8 is refused before anything is written."""
    assert "surrogates not allowed" in asking.put(files={"shop-a.service": UNIT, "shop-b.service": f"{UNIT}#\ud800\n"})
    assert (everything(directories), asking.ran) == ({}, [])


def test_one_at_a_time(directories: Path, asking: Asking) -> None:
    """Whoever waits too long for another helper is refused, and changes nothing."""
    with (
        helper.locked(APP, 0),
        pytest.raises(Refused, match="another oroboros-helper still works"),
        helper.locked(APP, 0),
    ):
        pytest.fail("both have the lock")
    assert asking.put(files={"shop-a.service": UNIT}) == ""


def test_root_alone_has_the_lock(directories: Path) -> None:
    """Nobody else can open its file, whether it is new or was there, and so nobody else can lock it."""
    lock = directories / "run/oroboros-helper-shop.lock"
    for _ in ("new", "there"):
        with helper.locked(APP, 0):
            assert oct(lock.stat().st_mode & 0o777) == "0o600"
        lock.chmod(0o644)


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf"])
def test_no_wait_is_for_ever(asking: Asking, seconds: str) -> None:
    """What is no finite number is refused, for the lock and for what is to stop."""
    with pytest.raises(Refused, match="are no seconds"):
        helper.put(APP, seconds)
    assert "are no seconds" in asking.put(patience=float(seconds), stop=["shop-a.service"])
    assert asking.ran == []


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A caller who opened the helper and sends nothing, with the signal of the alarm blocked; after 20 s it goes."""
    out, into = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    goes = threading.Timer(20, os.close, [into])
    goes.start()
    with open(out, encoding="utf-8") as given:
        monkeypatch.setattr("sys.stdin", given)
        yield
        goes.cancel()
        goes.join()
        with contextlib.suppress(OSError):
            os.close(into)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # forgets one that is pending
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


@pytest.mark.usefixtures("unread")
def test_an_input_that_does_not_come(directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who sends nothing is refused in time; nobody else waits for it, and what ends the helper still comes."""
    monkeypatch.setattr(helper, "INPUT", 0.05)
    helper.alarm(helper.LAST)
    for verb in (lambda: helper.put(APP, "5"), lambda: helper.judge(APP)):
        with pytest.raises(Refused, match=r"the input did not end within 0\.05 seconds"):
            verb()
    assert [*(directories / "run").iterdir()] == []  # the lock was not even opened
    assert helper.LAST - 60 < signal.getitimer(signal.ITIMER_REAL)[0] < helper.LAST


def test_what_is_said_and_not_read() -> None:
    """The kernel ends a helper whose caller does not read, however the caller has the signal."""
    begin = "import os, signal; from oroboros_deploy.least import helper; signal.signal(signal.SIGALRM, signal.SIG_IGN)"
    fill = "os.set_blocking(1, False)\ntry:\n    while os.write(1, bytes(1 << 16)): pass\nexcept BlockingIOError: pass"
    asks = f"{begin}\n{fill}\nos.set_blocking(1, True)\nhelper.LAST = 0.05\nhelper.main = print\nhelper.ask('said')\n"
    with subprocess.Popen([sys.executable, "-c", asks], stdout=subprocess.PIPE) as one:
        assert one.wait(timeout=20) == -signal.SIGALRM


def test_the_list_that_counts(directories: Path, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that root changed while the helper waited for its input is not overtaken: nothing is installed."""
    monkeypatch.setattr(helper, "application", lambda name: APP._replace(units=("shop",)))
    assert asking.put(files={"shop-a.service": UNIT}).endswith("/etc/shop.json was changed meanwhile")
    assert (everything(directories), asking.ran) == ({}, [])


def test_drop_ins_of_an_instance_that_another_unit_starts(directories: Path, asking: Asking) -> None:
    """An administrator's drop-in that makes an instance root's keeps all from being installed, started or restarted."""
    wants = f"[Unit]\nWants=shop@7.service\n{UNIT}"
    for name, text in (("shop@.service", UNIT), ("shop-a.service", wants)):
        (directories / "units" / name).write_text(text)
    (directories / "units/shop@7.service.d").mkdir()
    (directories / "units/shop@7.service.d/x.conf").write_text("[Service]\nUser=root\n")
    why = "shop@7.service.d/x.conf:2: User=root is not for an application without root"
    assert asking.put(files={"shop-b.service": wants}) == why
    assert asking.put(files={"shop@.service": UNIT}) == why
    assert asking.put(start=["shop-a.service"]) == why
    with pytest.raises(Refused, match=re.escape(why)):
        helper.systemctl(APP, "restart", "--", "shop-a.service")
    assert asking.ran == []
    assert asking.put(stop=["shop-a.service"]) == ""


def test_mounts_whose_names_are_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A mount that any user can make does not keep the processes from being looked at."""
    mounts = {"/proc/1/mountinfo": b"1 2 /a\xff /b"}
    monkeypatch.setattr(helper, "open", lambda path, *_: io.BytesIO(mounts.get(path, b"")), raising=False)
    helper.watch(APP, "1")
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == ["/proc/1/mountinfo:1 2 /a\ufffd /b", "looked"]


def test_what_of_environments_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Paths of releases of the application alone: others look like secrets, and can be some."""
    release, secret = f"{ROOT}/releases/{'a' * 40}", f"https://example.org/hook/{'b' * 40}"
    environ = {"A": f"{release}/bin", "B": secret, "C": f"/srv/other/releases/{'c' * 40}"}
    program = "import sys; print('up', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None and one.stdout.readline() == b"up\n"
        helper.watch(APP)
        one.communicate()
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"/proc/{one.pid}/environ:")]
    assert told == [f"/proc/{one.pid}/environ:{release}"]


def test_what_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program of root's shows pages, in which one could type; nothing of the login's is given hours."""
    ran: list[tuple[tuple[str, ...], dict[str, str]]] = []
    left: list[bool] = []

    def execve(path: str, command: tuple[str, ...], environ: dict[str, str]) -> None:
        ran.append((command, environ))
        left.append(signal.getitimer(signal.ITIMER_REAL)[0] > 0)

    monkeypatch.setattr(os, "execve", execve)
    helper.alarm(helper.LAST)
    helper.systemctl(APP, "status", "--", "shop-a.service")
    helper.activate(
        APP._replace(login=USER), "activate", "", "/usr/bin/python3", f"{ROOT}/a.pyz", "a1", "99999", "99999"
    )
    assert ran[0][0] == ("/usr/bin/systemctl", "--no-pager", "status", "--", "shop-a.service")
    assert {"--property=RuntimeMaxSec=3600", "--property=TimeoutStopSec=3600"} <= {*ran[1][0]}
    helper.run_as(APP, USER, "oroboros-command-shop:a1-1-1.service", "99999")
    assert [environ["SYSTEMD_PAGER"] for _, environ in ran] == ["cat"] * 3
    assert left == [True, True, False]  # a console lasts as long as it was asked for


@pytest.mark.parametrize("said", ["[]", "[" * 100_000, '{"files": []}', '{"patience": 1e999, "files": {"x": 1}}'])
def test_what_is_no_set_of_units(said: str, tmp_path: Path) -> None:
    """Whatever the input is, the helper says that it is refused, in a line."""
    names = ("ETC", "UNITS", "RUN")
    places = "".join(f"helper.{name} = {str(tmp_path / name.lower())!r}; " for name in names)
    app = "Application('shop', 'x', '/srv/shop', ('shop',), ())"
    begin = f"from oroboros_deploy.least import helper; {places}helper.application = lambda name: helper.{app}; "
    ran = subprocess.run(
        [sys.executable, "-c", f"{begin}helper.ask('shop', 'judge')"], input=said, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr.startswith("oroboros-helper: refused: "), ran.stderr.count("\n")) == (1, True, 1)
