"""What a host has: the script that finds it out as root, changing nothing, and what it says, read.  Pure."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from .least import HELPER, JOURNAL, KINDS, LISTS, OTHERS, Least
from .rules import INSTEAD_OF_A_DOT, RULES
from .wanted import Wanted

_FACT = "oroboros-fact "
_UNITS = "/etc/systemd/system"
_RUNS = ("systemctl", "systemd-run")
_FLAGS = ("systemd", "apt", "key", "rule", "sudo", "linger", "enabled", "obeyed", "reads", "moves", "unchecked")

# sudo is asked as an activation asks it: `sudo -l` says yes to a rule that wants a password, too.
_PROBE = """\
fact() {{ printf 'oroboros-fact %s %s\\n' "$1" "$2"; }}
login={login}
caller=${{SUDO_USER:-$(id -un)}}
[ -n "$login" ] || login=$caller
fact login "$login"
fact caller "$caller"
fact system "$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME")"
[ ! -d /run/systemd/system ] || fact systemd yes
! command -v apt-get >/dev/null || fact apt yes
fact python "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"
group() {{ ! getent group "$1" >/dev/null || fact group "$1"; }}
group "$login"
account=$(getent passwd "$login") && fact account "$(id -gn "$login"):$account"
home=$(printf '%s' "$account" | cut -d: -f6)
keys() {{ grep -v "^[[:blank:]]*#" "$home/.ssh/authorized_keys" 2>/dev/null; }}
[ -z "$account" ] || [ -z {key} ] || ! keys | grep -qF {key} || fact key yes
[ ! -e "/var/lib/systemd/linger/$login" ] || fact linger yes
[ ! -e "{rules}$(printf %s "$login" | tr . {plus})" ] || fact rule yes
may() {{ runuser -u "$login" -- sudo -n -k -- "$1" --version >/dev/null 2>&1; }}
[ -z "$account" ] || ! command -v sudo >/dev/null || ! {{ {may}; }} || fact sudo yes
{least}
for list in {lists}/*.json; do
  ! grep -qsF '"login": "'"$login"'"' "$list" || fact listed "$list"
done
{users}
{needs}
place() {{
  followed=-L
  [ -e "$1" ] || {{ [ -L "$1" ] || return 0; followed=; }}
  kind=other; [ -n "$followed" ] || kind=link; [ ! -d "$1" ] || kind=dir; [ ! -f "$1" ] || kind=file
  used=used; [ $kind != dir ] || [ -n "$(ls -A "$1")" ] || used=empty
  fact place "$(stat $followed -c %U:%G:%a "$1"):$kind:$used:$1"
}}
{places}
"""

_LEAST = """\
for file in {files}; do
  [ -z "$(find "$file" -maxdepth 0 -type f -user root ! -perm /022 2>/dev/null)" ] ||
    fact digest "$(sha256sum <"$file" | cut -d ' ' -f 1) $file"
done
for file in {units} {drop_ins}; do
  [ ! -f "$file" ] || [ -z "$(sed -n '1{{/^# oroboros_deploy: /p}}' "$file")" ] ||
    ! grep -qE "^[[:blank:]]*EnvironmentFile[[:blank:]]*=[[:blank:]]*-?"{env}"[[:blank:]]*$" "$file" || fact moves yes
done
! systemctl is-enabled --quiet {boot} 2>/dev/null || fact enabled yes
! id -nG "$login" 2>/dev/null | tr ' ' '\\n' | grep -qx {journal} || fact reads yes
[ -z "$account" ] || ! runuser -u "$login" -- sudo -n -k -- {helper} >/dev/null 2>&1 || fact obeyed yes
if command -v python3 >/dev/null; then
  wrong=$(python3 -IS -c {judge} {code} {said} /etc/systemd/system "$login" 2>/dev/null) || fact unchecked yes
  printf '%s\\n' "$wrong" | while read -r words; do fact more "$words"; done
fi
for user in {users}; do
  for group in $(id -nG "$user" 2>/dev/null); do
    case $group in docker|lxd|disk|sudo) fact mighty "$user is in the group $group" ;; esac
  done
  [ "$user" = "$login" ] || ! command -v sudo >/dev/null || ! id "$user" >/dev/null 2>&1 ||
    ! LC_ALL=C runuser -u "$user" -- sudo -n -l 2>/dev/null | grep -q 'may run the following' ||
    fact mighty "$user may use sudo without a password"
done
for file in {paths}; do
  [ ! -L "$file" ] || [ "$(readlink "$file")" = /dev/null ] ||
    [ "$(dirname "$(readlink -m "$file")")" = /etc/systemd/system ] || fact linked "$file"
done
for file in {packaged}; do
  [ ! -e "$file" ] || fact packaged "$file"
done
for file in {lists}/*.json; do
  [ ! -f "$file" ] || [ "$file" = {list} ] ||
    python3 -IS -c 'import json, sys; print(*json.load(open(sys.argv[1]))["units"], sep="\\n")' "$file" |
    while read -r unit; do fact claimed "$unit $file"; done
done
"""

# The helper judges what is there, before it is on the host itself; a link that it mends later is no problem.
_JUDGE = """\
import base64, json, os, pwd, sys, zlib
names = {"__name__": "helper"}
exec(zlib.decompress(base64.b64decode(sys.argv[1])), names)
names["UNITS"] = sys.argv[3]
name, root, units, users = json.loads(sys.argv[2])
login = sys.argv[4]
there = {each.pw_name for each in pwd.getpwall()}
app = names["Application"](name, login, root, tuple(units), tuple(each for each in [*users, login] if each in there))
env = names["CHECKS"]["env"]
names["CHECKS"]["env"] = lambda app, value: value.lstrip("-") == app.root + "/env" or env(app, value)
print(*(names["before"](app) if os.path.isdir(sys.argv[3]) else ()), sep="\\n")
"""


@dataclass(frozen=True)
class Account:
    """A user of the host, and the name of its own group."""

    group: str
    uid: int
    home: str
    shell: str


@dataclass(frozen=True)
class Place:
    """What lies at a path: whose it is, its permissions, ``dir``, ``file``, ``link`` (to nothing) or ``other``."""

    owner: str
    group: str
    mode: int
    kind: str
    empty: bool = False


@dataclass(frozen=True)
class Found:
    """What a host has of all that is wanted.

    ``caller`` is who logged in, ``account`` the login's (None: there is no such user), ``key`` whether the wanted
    key may log in as it, ``rule`` whether there is a file of sudo's rules by our name, ``sudo`` whether it may do
    what a deploy needs, ``linger`` whether its own manager outlives its sessions. ``missing`` are packages,
    ``groups`` those that are called as a user, ``users`` the uid of each user of `run_as` that is there, and
    ``python`` the version of python3, empty without one.
    With least privilege ``listed`` are the files that name the login, ``digests`` those of the files that root puts
    there, ``enabled`` whether a boot starts the boot unit, ``obeyed`` whether the helper obeys the login, ``reads``
    whether the login may read the journal, ``moves`` whether units read the configuration by a link of the login's,
    ``unchecked`` whether the check of the units failed, ``more`` what they have more than they may, ``mighty`` who
    could become root, ``linked`` those that are links to other places, ``packaged`` files of others by a name of
    the list, and ``claimed`` what the lists of others have.
    """

    login: str
    caller: str
    system: str = ""
    systemd: bool = False
    apt: bool = False
    python: tuple[int, ...] = ()
    account: Account | None = None
    key: bool = False
    rule: bool = False
    sudo: bool = False
    linger: bool = False
    missing: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    users: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    listed: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = False
    obeyed: bool = False
    reads: bool = False
    moves: bool = False
    unchecked: bool = False
    more: tuple[str, ...] = ()
    mighty: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    packaged: tuple[str, ...] = ()
    claimed: tuple[tuple[str, str], ...] = ()


def probe(wanted: Wanted) -> str:
    """The script that root runs to find out what there is; it changes nothing."""
    needs = (f"{{ {each.test}; }} >/dev/null 2>&1 || fact missing {each.package}" for each in wanted.needs)
    users = (f'uid=$(id -u {user} 2>/dev/null) && fact user "{user} $uid"; group {user}' for user in wanted.users)
    return _PROBE.format(
        login=quote(wanted.login or ""),
        key=quote(_blob(wanted.key)),
        rules=RULES,
        plus=INSTEAD_OF_A_DOT,
        may=(" || " if wanted.least else " && ").join(f"may /usr/bin/{name}" for name in _RUNS),
        users="\n".join(users),
        lists=LISTS,
        least=_LEAST.format(**_of_least(wanted.least)) if wanted.least else "",
        needs="\n".join(needs),
        places="\n".join(f"place {quote(path)}" for path in wanted.places),
    )


def _of_least(least: Least) -> dict[str, str]:
    units = [f"{_UNITS}/{_pattern(each)}.service" for each in least.units]
    names = [f"{_pattern(each)}{kind}" for each in least.units for kind in KINDS]
    return {
        "judge": quote(_JUDGE),
        "code": base64.b64encode(zlib.compress(least.helper.encode(), 9)).decode(),
        "said": quote(json.dumps([least.application, least.root, least.units, least.users])),
        "users": " ".join((*map(quote, least.users), '"$login"')),
        "files": " ".join(map(quote, (HELPER, least.list_file, least.boot_file))),
        "boot": quote(least.boot_file.rpartition("/")[2]),
        "journal": JOURNAL,
        "helper": f"{HELPER} {quote(least.application)} ask",
        "units": " ".join(units),
        "paths": " ".join(f"{_UNITS}/{name}" for name in names),
        "packaged": " ".join(f"{place}/{name}" for place in OTHERS for name in names),
        "lists": LISTS,
        "list": quote(least.list_file),
        "drop_ins": " ".join(f"{each}.d/*.conf" for each in units),
        "env": quote(f"{least.root}/env"),
    }


def _pattern(name: str) -> str:
    """A name with a star, for the shell."""
    return "*".join(quote(part) if part else "" for part in name.split("*"))


def _blob(key: str | None) -> str:
    """The part of a public key that no comment changes."""
    return " ".join((key or "").split()[:2])


def read(lines: Sequence[str]) -> Found:
    """What the script said.  Raises ValueError where that is not what it says."""
    facts = [(name, value) for name, _, value in (line.partition(" ") for line in _told(lines))]
    one, many = dict(facts), [*facts]
    return Found(
        login=_one(one, "login"),
        caller=_one(one, "caller"),
        system=one.get("system", ""),
        **{name: name in one for name in _FLAGS},
        python=tuple(int(part) for part in one.get("python", "").split(".") if part),
        account=_account(one["account"]) if "account" in one else None,
        missing=tuple(dict.fromkeys(value for name, value in many if name == "missing")),
        groups=tuple(dict.fromkeys(value for name, value in many if name == "group")),
        users={user: int(uid) for user, uid in (value.split() for name, value in many if name == "user")},
        places=dict(_place(value) for name, value in many if name == "place"),
        listed=tuple(value for name, value in many if name == "listed"),
        digests=dict(value.split(" ", 1)[::-1] for name, value in many if name == "digest"),
        more=tuple(filter(None, _all(many, "more"))),
        mighty=_all(many, "mighty"),
        linked=_all(many, "linked"),
        packaged=_all(many, "packaged"),
        claimed=tuple(_claimed(value) for name, value in many if name == "claimed"),
    )


def _told(lines: Sequence[str]) -> Iterator[str]:
    return (line.removeprefix(_FACT) for line in lines if line.startswith(_FACT))


def _one(facts: Mapping[str, str], name: str) -> str:
    if not facts.get(name):
        raise ValueError(f"the host did not tell its {name}")
    return facts[name]


def _all(facts: Sequence[tuple[str, str]], wanted: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for name, value in facts if name == wanted))


def _claimed(text: str) -> tuple[str, str]:
    unit, _, file = text.partition(" ")
    return unit, file


def _account(text: str) -> Account:
    group, _, entry = text.partition(":")
    _, _, uid, _, _, home, shell = entry.split(":")
    return Account(group, int(uid), home, shell)


def _place(text: str) -> tuple[str, Place]:
    owner, group, mode, kind, used, path = text.split(":", 5)
    return path, Place(owner, group, int(mode, 8), kind, used == "empty")
