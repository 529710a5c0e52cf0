"""The Fabric tasks: flags in, one exit code out.

``from oroboros_deploy.tasks import ns`` is a complete fabfile; any task works as well
when imported alone or added to another collection.  Only Fabric is imported here:
``fab --list`` must not wait for a database driver.
"""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING

from invoke import Collection, Context, Exit

from .cli.arguments import (
    by_environment,
    config,
    deployment,
    flags,
    own_application,
    placed,
    required,
    tell_warnings,
    whole_number,
)
from .cli.running import (
    answered,
    attempt,
    print_json,
    refuse_damage,
    show,
    task,
    tell_progress,
    tell_pruned,
)

if TYPE_CHECKING:
    from .cli.views import View
    from .deployment import Deployment
    from .outcome import Outcome

_COMMON = {
    "json": "print JSON instead of text (deploy, rollback, restart and push: one object in each line, as it happens)",
    "root": "deploy root on the hosts (default: `root` in fabric.yaml, else /srv/oroboros)",
    "environment": "environment of fabric.yaml to use when no -H is given",
}
_ACTIVATION = _COMMON | {
    "services": "systemd units to restart, space separated",
    "healthcheck": "health command: a line that bash runs in current, beside the URLs and ports of fabric.yaml",
    "parallel": "how many hosts switch at the same time (default 1: one after another)",
    "wait": "seconds to wait for an activation that runs on a host (default: 60 when it is of another root, else 0)",
    "skip-restart": "restart nothing; the health command, URLs and ports alone decide",
    "skip-healthcheck": "do not ask health command, URLs and ports; the services alone decide",
    "verbose": "also show minor events of each host",
}
_CLAIMED = (
    "Each deploy root will belong to the host at the beginning of its line. Another machine that uses the same"
    " directory, on a shared disk, is refused there from then on."
)
_ADOPT = {"adopt-units": "replace units that were put on a host by hand, or edited there since they were installed"}


@task(
    help=_ACTIVATION
    | _ADOPT
    | {
        "sha": "commit to deploy: full sha, unambiguous prefix, or a ref of this repository",
        "no-cache": "build every part again, and take nothing from earlier builds",
        "rebuild": "build the release again although it is complete on a host; refused on a host where it is live",
        "plan": "id of a plan: do exactly what it says; do nothing when a fact has changed since",
        "yes": "do not ask, although the settings say `confirm`",
        "verbose": "also show the output of every build step, and minor events of each host",
    }
)
def deploy(
    context: Context,
    sha: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    services: str | None = None,
    healthcheck: str | None = None,
    parallel: str | None = None,
    wait: str | None = None,
    skip_restart: bool = False,
    skip_healthcheck: bool = False,
    no_cache: bool = False,
    rebuild: bool = False,
    adopt_units: bool = False,
    plan: str | None = None,
    yes: bool = False,
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Build a commit on the hosts, switch to it, and go back by itself when the gate fails.

    All hosts build at the same time.  When every host has the complete release, the hosts switch one
    after another.  When a host fails, the hosts that have not begun to switch stay as they are.
    """
    wanted = sha if plan and sha is None else required(sha, "deploy --sha=SHA", "HEAD is a valid --sha")
    given = flags(root, services, healthcheck, skip_restart, skip_healthcheck, parallel, wait)
    given |= {"no_cache": no_cache, "rebuild": rebuild, "adopt_units": adopt_units}

    def act(hosts: Deployment, view: View) -> Outcome:
        from .cli import planning

        made = None
        if plan:
            hosts, made = planning.by_plan(context, hosts, given, plan)
        commit = wanted or (made.sha if made else "")
        return hosts.deploy(sha=commit, plan=made, consent=planning.consent(hosts, view, yes=yes))

    attempt(context, "deploy", environment, given, json, verbose, act)


@task(
    name="plan",
    help=_COMMON
    | _ADOPT
    | {
        "sha": "commit that would be deployed: full sha, unambiguous prefix, or a ref of this repository",
        "no-cache": "plan to build every part again",
        "rebuild": "plan to build the release again although it is complete on a host",
    }
    | {name: _ACTIVATION[name] for name in ("services", "healthcheck", "parallel", "skip-restart", "skip-healthcheck")},
)
def plan_deploy(
    context: Context,
    sha: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    services: str | None = None,
    healthcheck: str | None = None,
    parallel: str | None = None,
    skip_restart: bool = False,
    skip_healthcheck: bool = False,
    no_cache: bool = False,
    rebuild: bool = False,
    adopt_units: bool = False,
    json: bool = False,
) -> None:
    """Show what a deploy would do on each host, and keep this plan for `deploy --plan=ID`; nothing is changed.

    It exits 0 when it finds nothing for which the deploy would be refused, else with the exit code of that refusal.
    Give the deploy the flags with which the plan was made: the last line of the plan has them.
    """
    from .cli import planning

    wanted = required(sha, "plan --sha=SHA", "HEAD is a valid --sha")
    given = flags(root, services, healthcheck, skip_restart, skip_healthcheck, parallel)
    given |= {"no_cache": no_cache, "rebuild": rebuild, "adopt_units": adopt_units}
    hosts = deployment(context, environment, given)
    made = hosts.plan(sha=wanted)
    show(planning.as_json(made) if json else planning.table(made, hosts.config.typed, hosts.config.of_deploy))
    if made.exit_code:
        raise Exit(code=made.exit_code)


@task(
    help=_ACTIVATION
    | _ADOPT
    | {
        "release": "release id to go back to, or an unambiguous prefix of one in the registry; it may be left out",
        "keep-env": "leave the configuration in use as it is",
        "yes": "without --release: do not ask first",
    }
)
def rollback(
    context: Context,
    release: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    services: str | None = None,
    healthcheck: str | None = None,
    parallel: str | None = None,
    wait: str | None = None,
    skip_restart: bool = False,
    skip_healthcheck: bool = False,
    keep_env: bool = False,
    yes: bool = False,
    adopt_units: bool = False,
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Switch back to a release that the hosts still have; gated and restored like a deploy.

    Without --release it chooses the newest release that passed its gate on every host and went live
    for the first time before the present release.  It shows the chosen release, and asks.

    Without -H, the hosts depend on the environments of the settings.  One environment: its hosts.  Several:
    with --release=ID, the environment (or the hosts) where the registry saw that release live; without
    --release, the rollback is refused.  None: with --release=ID, the hosts where the registry saw that
    release live; without --release, all hosts that the registry knows.

    A rollback also brings back the configuration with which the release passed its gate last.
    """
    given = flags(root, services, healthcheck, skip_restart, skip_healthcheck, parallel, wait)
    given |= {"keep_env": keep_env, "adopt_units": adopt_units}

    wanted = release
    if release is not None:
        wanted = required(release, "rollback --release=ID", "fab registry.list  shows release ids")

    def roll_back(hosts: Deployment, view: View) -> Outcome:
        if wanted:
            return placed(context, hosts, given, wanted).rollback(release=wanted)
        from .cli import going_back

        agree = None if yes else lambda way: going_back.ask(way, view)
        return going_back.whole(context, hosts, given).rollback(agree=agree)

    attempt(context, "rollback", environment, given, json, verbose, roll_back)


@task(help={name: text for name, text in _ACTIVATION.items() if name != "skip-restart"})
def restart(
    context: Context,
    environment: str | None = None,
    root: str | None = None,
    services: str | None = None,
    healthcheck: str | None = None,
    parallel: str | None = None,
    wait: str | None = None,
    skip_healthcheck: bool = False,
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Restart the services of the release that is live on each host, and check its gate; nothing else changes.

    The services are restarted host after host; when a host fails, the next hosts are left alone.  When the gate
    fails, nothing is restored, because there is nothing to go back to: the exit code is 11, and a person has to look.
    """
    given = flags(root, services, healthcheck, False, skip_healthcheck, parallel, wait)

    def act(hosts: Deployment, _: View) -> Outcome:
        return placed(context, hosts, given).restart()

    attempt(context, "restart", environment, given, json, verbose, act)


@task(
    help=_COMMON
    | {
        "since": "from when on, as journalctl on the host reads it: 2026-05-01 13:00 UTC, -2h, yesterday, today",
        "grep": "only lines that match this regular expression; one in small letters matches capitals, too",
        "follow": "also show new lines as they are written, until Ctrl-C",
        "lines": "how many lines of each host at most (default 100); with --since all lines are shown",
        "services": "only these units, space separated",
        "json": "print a JSON object for each line",
    }
)
def logs(
    context: Context,
    since: str | None = None,
    grep: str | None = None,
    follow: bool = False,
    lines: str = "100",
    services: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Show what the services wrote to systemd's journal, of all hosts in one stream; times are UTC."""
    from .cli import streaming

    stream = streaming.Stream("log.line", streaming.log_line, kept=not follow, as_json=json)
    given = flags(root, services)
    hosts = placed(context, deployment(context, environment, given, listener=stream), given)
    stream.hosts = hosts.config.hosts
    most = whole_number(lines, "--lines")
    with streaming.ended_by_ctrl_c(follow):
        answers = hosts.logs(since=since, grep=grep, lines=most, follow=follow)
        stream.finish()
        streaming.refuse_all(answers)


@task(
    help=_COMMON
    | {
        "line": "what bash runs, as one argument",
        "service": "the unit whose user runs the line (default: the first of `services`); for root's units: the login",
        "json": "print a JSON object for each piece of output (one or more lines), then one for each host",
    },
    positional=["line"],
)
def run(
    context: Context,
    line: str,
    service: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Run a line with bash in `current` on each host, as the user of a service.

    The line runs with the configuration of fabric.yaml (`env`), not with Environment= of a unit.  Each host's
    journal has the line (a secret of the configuration is masked there, and in the output).  The exit code is 1
    when the line does not exit with 0 on every host.  Ctrl-C ends the line on the hosts.
    """
    from .cli import streaming
    from .cli.exit_codes import tell

    stream = streaming.Stream("run.output", lambda event: event.message, as_json=json)
    hosts = placed(context, deployment(context, environment, flags(root), listener=stream), flags(root))
    stream.hosts = hosts.config.hosts
    with streaming.cut_by_ctrl_c(hosts.config.hosts, hosts.config.typed):
        answers = hosts.run(line=line, service=service)
    if json:
        show("\n".join(dumps({"host": name, **each}) for name, each in answers.items() if isinstance(each, dict)))
    if wrong := streaming.failed(answers):
        tell("\n".join(wrong))
    streaming.refuse_all(answers)
    if wrong:
        raise Exit(code=1)


@task(
    help={name: text for name, text in _COMMON.items() if name != "json"}
    | {
        "line": "what bash runs (default: a shell)",
        "service": "the unit whose user runs the line (default: the first of `services`); for root's units: the login",
    }
)
def console(
    context: Context,
    line: str | None = None,
    service: str | None = None,
    environment: str | None = None,
    root: str | None = None,
) -> None:
    """Sit at a terminal in `current` on one host, as the user of a service.

    Programs there start with the configuration of fabric.yaml (`env`), not with Environment= of a unit.  Ctrl-C,
    and the size of the window, go to the program there; the exit code is the program's.  The host's journal has
    the line, not what is typed.  A secret of the configuration is masked in what is shown.
    """
    from .cli.console import SHELL, Console, need_terminal

    terminal = Console()
    hosts = placed(context, deployment(context, environment, flags(root), listener=terminal), flags(root))
    need_terminal(hosts.config.typed(",".join(hosts.config.hosts), "run LINE"))
    with terminal.held():
        answer = hosts.console(typed=terminal.typed(), terminal=terminal.terminal, line=line or SHELL, service=service)
    if answer["status"] != 0:
        raise Exit(code=1 if answer["status"] is None else answer["status"])


@task(help=_COMMON)
def status(context: Context, environment: str | None = None, root: str | None = None, json: bool = False) -> None:
    """Show what each host serves, its last activation and what runs now, read from the hosts."""
    from .cli import tables

    hosts = placed(context, deployment(context, environment, flags(root)), flags(root))
    answered(hosts.status(), lambda answers: tables.status_told(answers, hosts.config.typed), json)


@task(help=_COMMON)
def doctor(context: Context, environment: str | None = None, root: str | None = None, json: bool = False) -> None:
    """Show what would stop a deploy or be noticed too late, on every host, with the command that mends it.

    doctor makes the checks of a deploy, and changes nothing.  It exits 2 when anything would stop a deploy.
    """
    from .cli import doctor as shown

    found = placed(context, deployment(context, environment, flags(root)), flags(root)).doctor()
    show(shown.as_json(found) if json else shown.told(found))
    if found.exit_code:
        raise Exit(code=int(found.exit_code))


@task(help=_COMMON | {"reason": "why nothing may change there; whoever is refused reads it"})
def lock(
    context: Context,
    reason: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Hold hosts on purpose: deploy, rollback, env.push, restart and prune are refused there until `unlock`.

    The hold is of one deploy root on each host; other deploy roots of the host are free.  An activation that runs goes
    on to its end; a restore is never held up.
    """
    from .cli import tables

    why = required(reason, 'lock --reason="why"', "whoever is refused reads the reason")
    answered(deployment(context, environment, flags(root)).lock(reason=why), tables.lock_table, json)


@task(help=_COMMON)
def unlock(context: Context, environment: str | None = None, root: str | None = None, json: bool = False) -> None:
    """Free hosts that somebody holds by `lock`."""
    from .cli import tables

    answered(deployment(context, environment, flags(root)).unlock(), tables.unlock_table, json)


@task(
    help=_COMMON
    | {
        "verify": "check every line of the journals: find one that was edited, cut or put elsewhere",
        "limit": "how many entries of a host at most, the latest (default 20)",
    }
)
def audit(
    context: Context,
    verify: bool = False,
    limit: str = "20",
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Print the hosts' journals: what was done, when, by whom, and how it ended."""
    from .cli import tables

    number = whole_number(limit, "--limit")
    hosts = placed(context, deployment(context, environment, flags(root)), flags(root))
    answers = hosts.audit(verify=verify, limit=number)
    answered(answers, tables.audit_table, json)
    refuse_damage(hosts, answers)


@task(help=_COMMON | {"release": "release id that stays, or an unambiguous prefix of one in the registry"})
def pin(
    context: Context,
    release: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Keep a release on its hosts, however many releases come after it."""
    from .cli import tables

    wanted = required(release, "pin --release=ID", "fab prune --dry-run  shows release ids")
    answered(deployment(context, environment, flags(root)).pin(release=wanted), tables.pin_table, json)


@task(help=_COMMON | {"release": "release id, or an unambiguous prefix of one in the registry"})
def unpin(
    context: Context,
    release: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Let a pinned release be pruned like any other."""
    from .cli import tables

    wanted = required(release, "unpin --release=ID", "fab prune --dry-run  shows release ids")
    answered(deployment(context, environment, flags(root)).unpin(release=wanted), tables.unpin_table, json)


@task(help=_COMMON | {"yes": "do not ask first"})
def claim(
    context: Context,
    environment: str | None = None,
    root: str | None = None,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Let a host take over its deploy root, which belongs to another machine (it is a copy, or on a shared disk).

    From then on, the machine that the root belonged to is refused there.  The command first shows which
    machine the root belongs to, and asks.
    """
    from .cli import confirming, tables

    hosts = deployment(context, environment, flags(root))
    found = hosts.claim(dry_run=True)
    others = {host: answer for host, answer in found.items() if isinstance(answer, dict) and answer["now"] is None}
    if others and not yes:
        what = f"{tables.claim_table(others)}\n{_CLAIMED}"
        confirming.confirm(what, "Give each deploy root to the host at the beginning of its line?")
    answered({**found, **hosts.claim(list(others))} if others else found, tables.claim_table, json)


@task(
    help=_COMMON
    | {
        "dry-run": "remove nothing, only show what would go",
        "keep": "how many good releases stay (default: the setting, 5)",
    }
)
def prune(
    context: Context,
    dry_run: bool = False,
    keep: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Remove old releases, as every successful deploy does, and show why each release stays or goes."""
    from .cli import tables

    given = flags(root) | {"keep": keep}
    hosts = deployment(context, environment, given, listener=tell_warnings if json else tell_pruned)
    answered(hosts.prune(dry_run=dry_run), tables.prune_table, json)


@task(help={"print": "write nothing, and print what would be written", "json": "print a JSON object"})
def init(_: Context, print: bool = False, json: bool = False) -> None:
    """Look at this repository and write fabfile.py and fabric.yaml for it, with the reason for each line.

    Nothing is overwritten, nothing is asked at the terminal, and nothing of the repository is run.  Where only
    a person knows the answer, fabric.yaml has a comment with the word QUESTION.
    """
    from pathlib import Path

    from .cli import init as files_of

    top = files_of.top_of(Path.cwd())
    found = files_of.files_for(top)
    files = found if print else files_of.write(top, found)
    asked = files_of.questions(files.get("fabric.yaml", ""))
    words = files_of.printed(files) if print else files_of.told(top, files, asked, files_of.kept(top, found, files))
    show(dumps({"directory": str(top), "files": files, "questions": asked}) if json else words)


@task(
    help=_COMMON
    | {
        "login": "the user who will deploy; setup makes a missing user, and lets your key log in as this user",
        "least-privilege": "instead of the two sudo rules, the login gets one: it may run one program as root",
        "dry-run": "change nothing, only show what would be done",
        "yes": "do not ask first",
    }
)
def setup(
    context: Context,
    login: str | None = None,
    least_privilege: bool = False,
    environment: str | None = None,
    root: str | None = None,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Make bare hosts ready for the first deploy: login, deploy root, rules of sudo, packages, shared places.

    It needs a login that is root (-H root@HOST setup --login=deploy) or may become root by sudo.  When sudo wants a
    password, setup asks for it once and stores it nowhere.  It first shows everything that it will do, and asks.
    """
    from .cli import setup as bare

    bare.run(context, login, environment, root, yes=yes, dry_run=dry_run, as_json=json, least_privilege=least_privilege)


@task(help=_COMMON | {"verbose": "also show the purpose of each setting"}, name="config")
def show_config(
    context: Context,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Show every setting, its value, and where that value comes from."""
    from .cli import tables
    from .config import explain
    from .control.state_directory import default_registry_url

    rows = [
        (name, default_registry_url() if (name, value) == ("registry_url", "none") else value, source)
        for name, value, source in explain(config(context, environment, flags(root)))
    ]
    table = tables.config_manual if verbose else tables.config_table
    show(tables.config_json(rows) if json else table(rows))


@task(
    name="list",
    help={"limit": "how many rows at most (default 50)", "status": "only rows with this status"},
)
def registry_list(context: Context, limit: str = "50", status: str | None = None) -> None:
    """Print the newest releases of this application in the registry as a JSON array."""
    hosts = deployment(context)
    own = own_application(context, hosts)
    with hosts.registry() as registry:
        print_json(registry.list(limit=whole_number(limit, "--limit"), status=status, application=own))


@task(name="get", help={"release": "release id"})
def registry_get(context: Context, release: str | None = None) -> None:
    """Print one release of the registry as JSON; exits 2 when the registry does not have it."""
    wanted = required(release, "registry.get --release=ID", "fab registry.list  shows release ids")
    with deployment(context).registry() as registry:
        row = registry.get(wanted.lower())
    if row is None:
        print_json({"error": "release_not_found", "release_id": wanted})
        raise Exit(code=2)
    print_json(row)


@task(
    name="upsert",
    help={
        "release": "release id",
        "sha": "commit sha of the release (default: the release id)",
        "status": "new status of the row",
        "migration-marker": "database revision that belongs to the release",
        "deployed-at": "when the release went live, ISO 8601 (default: now, if it goes live for the first time)",
    },
)
def registry_upsert(
    context: Context,
    release: str | None = None,
    sha: str | None = None,
    status: str | None = None,
    migration_marker: str | None = None,
    deployed_at: str | None = None,
) -> None:
    """Write one release's row in the registry and print it as JSON."""
    release_id = required(release, "registry.upsert --release=ID --status=STATUS", "fab --help registry.upsert")
    new = required(status, "registry.upsert --release=ID --status=STATUS", "fab --help registry.upsert")
    with deployment(context).registry() as registry:
        print_json(registry.upsert(release_id.lower(), (sha or release_id).lower(), new, migration_marker, deployed_at))


@task(help=_COMMON | {"dry-run": "only show what differs; write nothing"}, name="reconcile")
def registry_reconcile(
    context: Context, environment: str | None = None, root: str | None = None, dry_run: bool = False, json: bool = False
) -> None:
    """Correct the registry by the hosts' journals; rebuild it when it is empty.

    Without -H or --environment it reads all hosts that the registry knows, each with the
    settings of its environment.  When a host cannot be read, what the registry
    says about this host stays as it is, and the exit code is 50.
    """
    from .cli import tables

    listener = tell_warnings if json else tell_progress
    places = by_environment(context, environment, flags(root), listener=listener)
    found = [hosts.reconcile(dry_run=dry_run) for hosts in places]
    show(tables.repairs_json(found) if json else tables.repairs_table(found))
    if any(each.unread for each in found):
        raise Exit(code=50)


@task(
    name="forget",
    help={
        "host": "the name of a host that is gone, or that nobody uses any more",
        "environment": "environment of fabric.yaml whose registry is meant",
        "root": _COMMON["root"],
        "json": "print a JSON object",
    },
)
def registry_forget(
    context: Context,
    host: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Tell the registry that a host serves nothing any more: the machine is gone, or nobody uses its name.

    Its attempts stay in the history.  Nothing is asked of the host or changed there.
    """
    from .cli import tables

    wanted = required(host, "registry.forget --host=NAME", "fab registry.reconcile --dry-run  shows the names")
    answer = deployment(context, environment, flags(root)).forget(wanted)
    show(dumps(answer) if json else tables.forgotten(answer))


@task(
    help={
        "address": "address to listen on (default 127.0.0.1); any but loopback needs a token",
        "port": "port to listen on (default 8300); 0 for a free one",
        "authenticate": "ask for a token on loopback, too; use this behind a proxy",
        "allowed-hosts": "host names by which browsers reach the page, space separated, besides loopback and --address",
        "root-path": "path under which a proxy shows it, such as /deploys",
        "access-log": "write a line for each request to standard error",
        "environment": "environment of fabric.yaml whose registry is served",
        "json": "print where it listens as a JSON object",
    },
)
def serve(
    context: Context,
    address: str = "127.0.0.1",
    port: str = "8300",
    authenticate: bool = False,
    allowed_hosts: str = "",
    root_path: str = "",
    access_log: bool = False,
    environment: str | None = None,
    json: bool = False,
) -> None:
    """Serve the registry as a page and an API, for reading only, until Ctrl-C."""
    from .cli import serving

    serving.serve(
        deployment(context, environment),
        address,
        whole_number(port, "--port"),
        authenticate=authenticate,
        allowed_hosts=allowed_hosts.split(),
        root_path=root_path,
        access_log=access_log,
        show=lambda url: show(dumps({"url": url}) if json else f"serving the registry at {url}  (Ctrl-C ends it)"),
    )


@task(
    help={
        "name": "whose token to make; without it the names are listed",
        "revoke": "end that token instead, at once",
        "json": "print JSON",
    },
)
def token(_: Context, name: str | None = None, revoke: bool = False, json: bool = False) -> None:
    """Make a token for `serve` and show it once; with --revoke end it; without --name list who has one."""
    from .cli import serving
    from .cli.typeable import typeable

    tokens = serving.tokens()
    if revoke:
        tokens.revoke(required(name, "token --name=NAME --revoke", "fab token  lists whose tokens there are"))
        show(dumps({"revoked": name}) if json else f"the token of {name} opens nothing any more")
    elif name:
        made = tokens.add(name)
        show(dumps({"name": name, "token": made}) if json else made)
    else:
        names = tokens.names()
        none = typeable("no tokens; fab token --name=NAME  makes one")
        show(dumps(names) if json else "\n".join(names) or none)


@task(
    help={
        "environment": "only this environment of fabric.yaml (default: each one, and all together)",
        "days": "how many days back (default 90)",
        "json": "print a JSON array, with a series by day",
    },
)
def figures(context: Context, environment: str | None = None, days: str = "90", json: bool = False) -> None:
    """Show deployment frequency, lead time, change failure rate and time to restore of this application."""
    from .cli import tables

    number = whole_number(days, "--days")
    hosts = deployment(context, environment)
    own, only = own_application(context, hosts), hosts.config.environment
    with hosts.registry() as registry:
        reader = registry.reader
        names = [only] if only else [None, *(each for each in reader.environments() if reader.latest(each, own))]
        rows = [reader.figures(environment=name, days=number, application=own) for name in names]
    show(tables.figures_json(rows) if json else tables.figures_table(rows))


@task(
    help={
        "host": "only attempts on this host (also: -H HOST)",
        "environment": "only attempts in this environment of fabric.yaml (also: -H ENVIRONMENT)",
        "limit": "how many at most, the newest (1 to 500, default 20)",
        "json": "print a JSON array, with the hosts of each attempt",
    }
)
def history(
    context: Context,
    host: str | None = None,
    environment: str | None = None,
    limit: str = "20",
    json: bool = False,
) -> None:
    """Show who deployed what, when, and how it ended: one line for each attempt, the newest first."""
    from .cli import history as told

    number = whole_number(limit, "--limit")
    hosts = deployment(context, environment)
    wanted = [host] if host else told.named(context, hosts.config)
    place = environment if wanted and not host else hosts.config.environment
    with hosts.registry() as registry:
        attempts = told.newest_on(registry.reader, hosts.node.application, number, wanted, place)
    show(told.as_json(attempts) if json else told.table(attempts))


@task(help=_COMMON, name="show")
def env_show(context: Context, environment: str | None = None, root: str | None = None, json: bool = False) -> None:
    """Show the names of the configuration in use on each host, and where each comes from; never a value."""
    from .cli import tables

    answered(deployment(context, environment, flags(root)).show_env(), tables.env_table, json)


@task(help=_COMMON, name="diff")
def env_diff(context: Context, environment: str | None = None, root: str | None = None, json: bool = False) -> None:
    """Show which names of today's configuration differ from the one in use on each host; never a value.

    `env.secrets.command` runs, as for a deploy; nothing is changed.
    """
    from .cli import tables

    answered(deployment(context, environment, flags(root)).diff_env(), tables.env_diff_table, json)


@task(help=_ACTIVATION, name="push")
def env_push(
    context: Context,
    environment: str | None = None,
    root: str | None = None,
    services: str | None = None,
    healthcheck: str | None = None,
    parallel: str | None = None,
    wait: str | None = None,
    skip_restart: bool = False,
    skip_healthcheck: bool = False,
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Put a new configuration in use with the live release: the release's `env.file`, and today's values and secrets.

    All hosts store the new configuration before the first host switches to it.  Each host restarts its services
    and checks them by the gate that its release passed.  When the gate fails, the configuration from before is put
    back.  On a host where nothing differs, nothing is done.
    """
    given = flags(root, services, healthcheck, skip_restart, skip_healthcheck, parallel, wait)
    attempt(context, "env", environment, given, json, verbose, lambda hosts, _: hosts.push_env())


env = Collection("env", env_push, env_show, env_diff)
registry = Collection("registry", registry_list, registry_get, registry_upsert, registry_reconcile, registry_forget)
ns = Collection(
    init,
    setup,
    plan_deploy,
    deploy,
    rollback,
    restart,
    logs,
    run,
    console,
    status,
    doctor,
    lock,
    unlock,
    audit,
    pin,
    unpin,
    prune,
    claim,
    show_config,
    serve,
    token,
    figures,
    history,
    env,
    registry,
)
