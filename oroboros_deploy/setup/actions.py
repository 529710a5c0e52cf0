"""What is to be done so that a host has what is wanted, each action as the command that does it.  Pure.

What is there already is left alone; what is there and is in the way is a problem, and then nothing is done at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from shlex import quote

from ..host.words import PLAIN_ROOT, boot_unit, interpreted, is_plain, sudo_rule
from . import rules
from .found import Found, Place
from .least import HELPER, JOURNAL, Least, digest, overlap
from .wanted import Wanted

STEP = "oroboros-step "  # begins the line that says which action begins
_LOGIN = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_OLDEST = (3, 9)
_NO_SHELLS = ("/nologin", "/false")
# A host that was just made may be at its own first update: it is waited for, as apt-get itself waits for dpkg's lock.
_UPDATE = (
    "(n=0; until said=$(apt-get update 2>&1); do"
    " case $said in *'Could not get lock'*) n=$((n+1)); [ $n -lt 60 ] && sleep 5;; *) false;; esac"
    ' || { echo "$said"; exit 1; }; done)'
)
_INSTALL = (
    f"{_UPDATE} && DEBIAN_FRONTEND=noninteractive"
    " apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300"
)


@dataclass(frozen=True)
class Action:
    """A command for root, and why it is needed; ``command`` has no secret in it."""

    reason: str
    command: str
    instead: str = ""

    @property
    def shown(self) -> str:
        """What people see of it: of a file that comes as it is in this package, its name, size and hash."""
        return self.instead or self.command


@dataclass(frozen=True)
class Problem:
    """What keeps a host from being made ready, and what to type."""

    message: str
    hint: str


def actions(wanted: Wanted, found: Found) -> list[Action]:
    """All that is to be done, in its order; none where the host is ready."""
    return [
        *_packages(found),
        *_login(found),
        *_users(wanted, found),
        *_directories(wanted, found),
        *(() if wanted.least else _shared(wanted, found)),
        *(_linger(found) if wanted.scope == "user" else _least(wanted.least, found) if wanted.least else _sudo(found)),
        *(_shared(wanted, found) if wanted.least else ()),  # the helper gives them away
        *_key(wanted, found),
    ]


def script(steps: Sequence[Action]) -> str:
    """What root runs: each action after the line that announces it; the first that fails ends it."""
    return "\n".join(f"echo '{STEP}{number}'\n(\n{each.command}\n) || exit 1" for number, each in enumerate(steps))


def notes(wanted: Wanted, found: Found) -> list[str]:
    """What only a person can do before the first deploy."""
    files = (f"{wanted.root}/shared/{path}" for path, kind in wanted.shared.items() if kind == "file")
    return [f"the shared file {path} is not there yet: the first deploy needs it" for path in _absent(found, files)]


def _packages(found: Found) -> Iterator[Action]:
    if found.missing:
        names = " ".join(found.missing)
        yield Action(f"packages that are not there: {', '.join(found.missing)}", f"{_INSTALL} {names}")


def _login(found: Found) -> Iterator[Action]:
    if not found.account:
        command = f"useradd --create-home {_own_group(found, found.login)} --shell /bin/bash {quote(found.login)}"
        yield Action(f"the login of the deploys, {found.login}, is no user here", command)


def _users(wanted: Wanted, found: Found) -> Iterator[Action]:
    for user in wanted.users:
        if user not in found.users:
            command = f"useradd --system {_own_group(found, user)} {quote(user)}"
            yield Action(f"run_as names {user}, which is no user here", command)


def _own_group(found: Found, user: str) -> str:
    """useradd makes no group that is there."""
    return f"--gid {quote(user)}" if user in found.groups else "--user-group"


def _directories(wanted: Wanted, found: Found) -> Iterator[Action]:
    for path in wanted.directories:
        if path not in found.places:
            yield Action(f"{path} is not there", _guarded(wanted, found, path, _made(found, path)))
        elif found.places[path].owner != found.login:
            owner = f"{found.login}:{_group(found)}"
            given = _guarded(wanted, found, path, f"chown {quote(owner)} {quote(path)}")
            yield Action(f"{path} is empty and belongs to {found.places[path].owner}", given)


def _guarded(wanted: Wanted, found: Found, path: str, line: str) -> str:
    """Where the login is not to be root, root uses no path above which the login, or anybody, can put a link."""
    if not wanted.least or line.startswith("runuser "):
        return line
    above = " ".join(quote(str(each)) for each in PurePosixPath(path).parents)
    look = rf'"$(find -L {above} -maxdepth 0 \( -user {quote(found.login)} -o -perm -2 ! -perm -1000 \) 2>/dev/null)"'
    why = f"{found.login}, or anybody, can write in a directory above {path}: have it in a directory of root's"
    return f"if [ -n {look} ]; then echo {quote(why)}; exit 1; fi; {line}"


def _made(found: Found, path: str) -> str:
    """The line that makes a directory of the login's; in what the login owns its own rights have to be enough."""
    home = found.account.home if found.account else f"/home/{found.login}"
    if home not in ("/", path) and PurePosixPath(path).is_relative_to(home):
        return _as(found.login, f"mkdir -p {quote(path)}")
    return f"install -d -o {quote(found.login)} -g {quote(_group(found))} {quote(path)}"


def _shared(wanted: Wanted, found: Found) -> Iterator[Action]:
    """Places that an owner has are given away only directly below `shared`: deeper ones are made with its rights."""
    below = f"{wanted.root}/shared"
    if wanted.shared and below not in found.places:
        yield Action(f"{below} is not there", _as(found.login, f"mkdir -p {quote(below)}"))
    for path, kind in sorted(wanted.shared.items()):
        place, top = f"{below}/{path}", f"{below}/{PurePosixPath(path).parts[0]}"
        if kind == "dir" and place not in found.places and (not wanted.owner or top not in found.places):
            yield Action(f"the shared directory {path} is not there", _shared_made(wanted, found, top, place))


def _shared_made(wanted: Wanted, found: Found, top: str, place: str) -> str:
    if not wanted.owner:
        return _as(found.login, f"mkdir -p {quote(place)}")
    owner = quote(wanted.owner)
    made = _as(found.login, f"mkdir {quote(top)}")  # no link that the login puts there misleads root
    given = f"{made} && chown -h {owner}: {quote(top)}"
    if wanted.least:
        given = f"{made} && {_helper(wanted.least)} own-config shared {owner} {quote(PurePosixPath(top).name)}"
    return given if top == place else f"{given} && {_as(wanted.owner, f'mkdir -p {quote(place)}')}"


def _sudo(found: Found) -> Iterator[Action]:
    if not found.sudo:
        command = rules.put(found.login, f"printf '%s\\n' {quote(sudo_rule(found.login))}")
        yield Action(f"{found.login} may not run systemctl and systemd-run as root", command)


def _least(least: Least, found: Found) -> Iterator[Action]:
    """The rule of sudo comes after what it lets the login run; one of ours that made the login root goes with it."""
    for file, text in least.files(found.login).items():
        if found.digests.get(file) != digest(text):
            yield _file(file, text)
    if found.moves:
        what = f"units read {least.root}/env, a link that {found.login} can point to any file of the host"
        yield Action(what, f"{_helper(least)} move-env")
    if not found.enabled:
        command = f"systemctl daemon-reload && systemctl enable --quiet {quote(boot_unit(least.root))}"
        yield Action("a boot would not settle an activation that a power cut interrupted", command)
    if not found.reads:
        command = f"usermod --append --groups {JOURNAL} {found.login}"
        yield Action(f"{found.login} may not read what the services said", command)
    if found.sudo or not found.obeyed:
        command = rules.put(found.login, f"printf '%s\\n' {quote(sudo_rule(found.login, HELPER))}")
        what = f"sudo's rule for {found.login} is not as it has to be: to run {HELPER} as root, and nothing else"
        yield Action(what, command)


def _helper(least: Least) -> str:
    """The helper asked by root, whoever used sudo for this shell."""
    return f"env -u SUDO_UID {HELPER} {quote(least.application)}"


def _file(file: str, text: str) -> Action:
    new, mode = f"{file}.new", "0755" if file == HELPER else "0644"
    directory = file.rpartition("/")[0]
    write = f"mkdir -p {directory} && printf %s {quote(text)} >{quote(new)} && chmod {mode} {quote(new)}"
    command = f"{write} && mv {quote(new)} {quote(file)}"
    about = (
        f"# {file} is written: {len(text.splitlines())} lines, SHA-256 {digest(text)}, oroboros_deploy/least/helper.py"
    )
    return Action(f"{file} is not as it has to be", command, about if file == HELPER else "")


def _linger(found: Found) -> Iterator[Action]:
    if not found.linger:
        command = f"loginctl enable-linger {found.login}"
        yield Action(f"the services of {found.login} would end with its last session", command)


def _key(wanted: Wanted, found: Found) -> Iterator[Action]:
    """The key comes last: nobody logs in as the login before all else is done."""
    if wanted.key and not found.key and found.caller != found.login:
        file = f"~{found.login}/.ssh/authorized_keys"
        line = quote(f"\n{wanted.key}" if found.account else wanted.key)  # a last line may lack its newline
        inner = f"umask 077; mkdir -p ~{found.login}/.ssh && printf '%s\\n' {line} >>{file}"
        yield Action(f"the key that logged in may not log in as {found.login}", _as(found.login, inner))


def _as(user: str, line: str) -> str:
    """The line, run with a user's own rights, so that no link which that user put somewhere misleads root."""
    return f"runuser -u {quote(user)} -- sh -c {quote(line)}"


def _group(found: Found) -> str:
    return found.account.group if found.account else found.login


def _absent(found: Found, paths: Iterator[str]) -> Iterator[str]:
    return (path for path in paths if path not in found.places)


def problems(wanted: Wanted, found: Found) -> list[Problem]:
    """All that keeps the host from being made ready: it is left as it is."""
    found_here = [
        *_login_problems(wanted, found),
        *_root_problems(wanted),
        *_host_problems(found),
        *_user_problems(found),
        *_place_problems(wanted, found),
        *(_rule_problems(wanted, found) if wanted.scope == "system" else ()),
    ]
    return [*dict.fromkeys(found_here)]


def _login_problems(wanted: Wanted, found: Found) -> Iterator[Problem]:
    login, account = found.login, found.account
    if login == "root" or (account and account.uid == 0):
        yield Problem(f"the login of the deploys must not be root, and {login} is", "add --login=deploy")
    elif not _LOGIN.fullmatch(login):
        rule = "a to z or _ first, then a to z, 0 to 9, _ . or -, at most 32 in all"
        yield Problem(f"the login of the deploys cannot have the name {login!r}: {rule}", "add --login=deploy")
    elif account and account.shell.endswith(_NO_SHELLS):
        hint = f"on the host, as root: usermod --shell /bin/bash {login}"
        yield Problem(f"{login} cannot log in: its shell is {account.shell}", hint)
    elif not account and not wanted.key:
        hint = (
            "log in with a key without a certificate: ssh-copy-id -i KEY.pub puts one on the host, and -i KEY names it"
        )
        yield Problem(f"there is no key to let in as {login}: this login was without a key, or by a certificate", hint)


def _root_problems(wanted: Wanted) -> Iterator[Problem]:
    """Units name the deploy root; the helper takes plain ASCII alone."""
    if not is_plain(wanted.root):
        yield Problem(f"the deploy root {interpreted(wanted.root)}", PLAIN_ROOT)
    elif wanted.least and not wanted.root.isascii():
        what = f"the deploy root {wanted.root!r} has letters outside of ASCII, which {HELPER} does not take"
        yield Problem(what, f"{PLAIN_ROOT}, all of ASCII")


def _host_problems(found: Found) -> Iterator[Problem]:
    if not found.systemd:
        yield Problem("systemd does not run there", "deploys need a host whose first process is systemd")
    if found.missing and not found.apt:
        names = ", ".join(found.missing)
        yield Problem(f"there is no apt-get to install what is missing: {names}", f"install there: {names}")
    if found.python and found.python < _OLDEST:
        version = ".".join(map(str, found.python))
        yield Problem(f"its python3 is {version}", "python3 has to be 3.9 or later: Debian 11, Ubuntu 22.04")


def _user_problems(found: Found) -> Iterator[Problem]:
    for user in (user for user, uid in found.users.items() if uid == 0):
        yield Problem(f"run_as names {user}, which is root there", "name another user in run_as")


def _place_problems(wanted: Wanted, found: Found) -> Iterator[Problem]:
    for path in wanted.directories:
        if place := found.places.get(path):
            yield from _directory_problems(found, path, place)
    for path, kind in wanted.shared.items():
        there = found.places.get(f"{wanted.root}/shared/{path}")
        name = f"{wanted.root}/shared/{path}"
        if there and there.kind == "link":
            yield _to_nothing(name)
        elif there and there.kind != kind:
            yield Problem(f"{name} is no {'directory' if kind == 'dir' else 'file'}", _look(name))
    yield from _parent_problems(wanted, found)


def _parent_problems(wanted: Wanted, found: Found) -> Iterator[Problem]:
    """What is there of a shared directory that the login is to make: it has to lie in directories of the login's."""
    for path in _parents(wanted, found):
        place = found.places[path]
        if place.kind == "link":
            yield _to_nothing(path)
        elif place.kind != "dir":
            yield Problem(f"{path} is no directory", _look(path))
        elif not wanted.owner and place.owner != found.login and not place.mode & 0o022:
            hint = f"if it is to be {found.login}'s, on the host: chown {found.login} {quote(path)}"
            yield Problem(f"{path} belongs to {place.owner}, and {found.login} is to make a directory in it", hint)


def _parents(wanted: Wanted, found: Found) -> Iterator[str]:
    """The nearest place that is there of each shared directory that is not."""
    below = PurePosixPath(wanted.root, "shared")
    for path in _absent(found, (f"{below}/{path}" for path, kind in wanted.shared.items() if kind == "dir")):
        above = (str(each) for each in PurePosixPath(path).parents if each.is_relative_to(below))
        yield from [each for each in above if each in found.places][:1]


def _directory_problems(found: Found, path: str, place: Place) -> Iterator[Problem]:
    if place.kind == "link":
        yield _to_nothing(path)
    elif place.kind != "dir":
        yield Problem(f"{path} is no directory", _look(path))
    elif place.owner != found.login and not (place.empty and place.owner == "root"):
        hint = f"if it is to be {found.login}'s, on the host: chown {found.login} {quote(path)}"
        yield Problem(f"{path} belongs to {place.owner} and {'is' if place.empty else 'is not'} empty", hint)
    elif place.mode & 0o002:
        yield Problem(f"{path} is writable by everybody", f"on the host: chmod o-w {quote(path)}")
    elif place.mode & 0o020 and place.group != _group(found):
        yield Problem(f"{path} is writable by the group {place.group}", f"on the host: chmod g-w {quote(path)}")


def _rule_problems(wanted: Wanted, found: Found) -> Iterator[Problem]:
    """The rule is there, and so are the login and sudo, whom it could not have helped before."""
    if wanted.least:
        yield from (*_least_problems(found), *_names_of_others(wanted.least, found))
    elif found.listed:
        what = f"{found.login} has least privilege on this host; without --least-privilege, setup would let this login"
        give_up = f"or, to give least privilege up, on the host, as root: rm {' '.join(found.listed)}"
        again = "then type the same command again"
        yield Problem(f"{what} run systemctl and systemd-run as root", f"add --least-privilege; {give_up} ; {again}")
    elif found.rule and found.account and "sudo" not in found.missing and not found.sudo:
        file = rules.file(found.login)
        what = f"{file} is there, but sudo still refuses {found.login} the commands that a deploy needs"
        yield Problem(what, f"on the host, as root: cat {file}; sudo -l -U {found.login}")


def _least_problems(found: Found) -> Iterator[Problem]:
    if found.sudo and not found.rule:
        what = f"{found.login} may run systemctl or systemd-run (or both) as root by a rule of yours, and so anything"
        yield Problem(what, f"on the host, as root: sudo -l -U {found.login}; take that rule away")
    if found.unchecked:
        what = "the units in /etc/systemd/system could not be checked: the check by the host's python3 failed"
        hint = "on the host: python3 --version  has to say 3.9 or later; or leave out --least-privilege"
        yield Problem(f"{what}; without this check no application gets least privilege", hint)
    for wrong in found.more:
        what = f"{wrong}: applications with such units get no least privilege"
        yield Problem(what, "on the host, as root: change that in /etc/systemd/system; or leave out --least-privilege")
    for mighty in found.mighty:
        yield _is_mighty(mighty, found.login)
    for unit in found.linked:
        what = f"{unit} is a link out of /etc/systemd/system: least privilege allows no unit that lies elsewhere"
        yield Problem(what, f"on the host: ls -l {quote(unit)}; as root, take the link away, and put the file there")


def _is_mighty(mighty: str, login: str) -> Problem:
    """A user who can become root: the login itself, or one of `run_as`, as whom the login runs commands."""
    if mighty.startswith(f"{login} "):
        what = f"{mighty}, and so can become root, which a login with least privilege must not"
        return Problem(
            what, f"on the host, as root: take {login} out of that group; or name another login: --login=NAME"
        )
    what = f"{mighty}, and so can become root; the login of a host with least privilege may run commands as that user"
    away = "take the user out of that group, or the user's rule out of sudo"
    return Problem(what, f"on the host, as root: {away}; or name another user in run_as")


def _names_of_others(least: Least, found: Found) -> Iterator[Problem]:
    """A name that the login may not have, for others have it already."""
    hint = "choose another name by `application`, or rename the service, in fabric.yaml"
    for file in found.packaged:
        what = (
            f"no deploy installed {file}, but {found.login} could change it: its name is one of {least.application}'s"
        )
        yield Problem(what, hint)
    for unit, file in dict.fromkeys(found.claimed):
        if mine := [each for each in least.units if overlap(each, unit)]:
            what = (
                f"{least.application} needs the units {' '.join(mine)}, but {file} gives {unit} to another application"
            )
            yield Problem(what, hint)


def _to_nothing(path: str) -> Problem:
    hint = f"make or mount what it names, or take the link away, on the host, as root: rm {quote(path)}"
    return Problem(f"{path} is a link to nothing", hint)


def _look(path: str) -> str:
    return f"on the host: ls -ld {quote(path)}"
