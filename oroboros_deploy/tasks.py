"""The Fabric tasks: flags in, one exit code out.

``from oroboros_deploy.tasks import ns`` is a complete fabfile; any task works as well
when imported alone or added to another collection.  Only Fabric is imported here:
``fab --list`` must not wait for a database driver.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial, wraps
from json import dumps
from typing import TYPE_CHECKING, Any

from fabric import task as fabric_task
from invoke import Collection, Context, Exit

from .cli import program

if TYPE_CHECKING:
    from .config import Config
    from .deployment import Answers, Deployment
    from .events import Event
    from .outcome import Kind, Outcome
    from .web.tokens import Tokens

_COMMON = {
    "json": "print JSON instead of text (of a deploy or rollback: one object a line, as it happens)",
    "root": "deploy root on the hosts (default /srv/oroboros)",
    "environment": "environment of fabric.yaml to use when no -H is given",
}
_ACTIVATION = _COMMON | {
    "services": "systemd units to restart, space separated",
    "healthcheck": "health command, a line run by bash in current",
    "parallel": "how many hosts switch at the same time (default 1: one after another)",
    "skip-restart": "restart nothing; then only the health command decides",
    "skip-healthcheck": "switch without running the health command",
    "verbose": "show the output of every build step",
}


def task(**options: Any) -> Callable[[Callable[..., None]], Any]:
    """A task whose hosts are ours to connect, and whose errors are messages with an exit code."""
    help = {name.replace("-", "_"): text for name, text in options.pop("help").items()}

    def decorate(body: Callable[..., None]) -> Any:
        @wraps(body)
        def guarded(context: Context, *args: Any, **kwargs: Any) -> None:
            with program.bytecode_kept(), _exit_codes(as_json=kwargs.get("json", False)):
                body(context, *args, **kwargs)

        return fabric_task(klass=program.FleetTask, auto_shortflags=False, help=help, **options)(guarded)

    return decorate


@task(
    help=_ACTIVATION
    | {
        "sha": "commit to deploy: full sha, unambiguous prefix, or a ref of this repository",
        "no-cache": "build every part anew, whatever earlier builds left",
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
    skip_restart: bool = False,
    skip_healthcheck: bool = False,
    no_cache: bool = False,
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Build a commit on the hosts, switch to it, and go back by itself when the gate fails.

    All hosts build side by side; only when every one has the sealed release do they
    switch, one after another, and the first that fails stops the rest.
    """
    wanted = _required(sha, "deploy --sha=SHA", "HEAD is a valid --sha")
    flags = _flags(root, services, healthcheck, skip_restart, skip_healthcheck, parallel) | {"no_cache": no_cache}
    _attempt(context, "deploy", environment, flags, json, verbose, lambda d: d.deploy(sha=wanted))


@task(help=_ACTIVATION | {"release": "release id to go back to, or an unambiguous prefix of one in the registry"})
def rollback(
    context: Context,
    release: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    services: str | None = None,
    healthcheck: str | None = None,
    parallel: str | None = None,
    skip_restart: bool = False,
    skip_healthcheck: bool = False,
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Switch back to a release that the hosts still have; gated and restored like a deploy.

    Without -H it goes where the environment says, else where the registry saw that
    release live.
    """
    wanted = _required(release, "rollback --release=ID", "fab registry.list  shows release ids")
    flags = _flags(root, services, healthcheck, skip_restart, skip_healthcheck, parallel)
    act = partial(_roll_back, context, flags, wanted)
    _attempt(context, "rollback", environment, flags, json, verbose, act)


@task(help=_COMMON)
def status(context: Context, environment: str | None = None, root: str | None = None, json: bool = False) -> None:
    """Show what each host serves, its last activation and what runs now, read from the hosts."""
    from .cli import tables

    deployment = _placed(context, _deployment(context, environment, _flags(root)), _flags(root))
    answers = deployment.status()
    _answered(answers, tables.status_table, json)


@task(help=_COMMON | {"reason": "why nothing may change there; whoever is refused reads it"})
def lock(
    context: Context,
    reason: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Hold hosts on purpose: every deploy, rollback and prune is refused there until somebody unlocks them.

    An activation that runs goes on to its end; a restore is never held up.
    """
    from .cli import tables

    why = _required(reason, 'lock --reason="why"', "whoever is refused reads the reason")
    _answered(_deployment(context, environment, _flags(root)).lock(reason=why), tables.lock_table, json)


@task(help=_COMMON)
def unlock(context: Context, environment: str | None = None, root: str | None = None, json: bool = False) -> None:
    """Free hosts that somebody locked."""
    from .cli import tables

    _answered(_deployment(context, environment, _flags(root)).unlock(), tables.unlock_table, json)


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

    number = _whole_number(limit, "--limit")
    deployment = _placed(context, _deployment(context, environment, _flags(root)), _flags(root))
    answers = deployment.audit(verify=verify, limit=number)
    _answered(answers, tables.audit_table, json)
    _refuse_damage(deployment, answers)


@task(help=_COMMON | {"release": "release id that stays, or an unambiguous prefix of one in the registry"})
def pin(
    context: Context,
    release: str | None = None,
    environment: str | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Keep a release on its hosts, however many come after it."""
    from .cli import tables

    wanted = _required(release, "pin --release=ID", "fab prune --dry-run  shows release ids")
    _answered(_deployment(context, environment, _flags(root)).pin(release=wanted), tables.pin_table, json)


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

    wanted = _required(release, "unpin --release=ID", "fab prune --dry-run  shows release ids")
    _answered(_deployment(context, environment, _flags(root)).unpin(release=wanted), tables.unpin_table, json)


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
    """Remove old releases, as every deploy does when it went well, and show why each stays or goes."""
    from .cli import tables

    flags = {**_flags(root), "keep": keep}
    deployment = _deployment(context, environment, flags, **({} if json else {"listener": _tell_pruned}))
    _answered(deployment.prune(dry_run=dry_run), tables.prune_table, json)


@task(help=_COMMON, name="config")
def show_config(context: Context, environment: str | None = None, root: str | None = None, json: bool = False) -> None:
    """Show every setting, its value, and where that value comes from."""
    from .cli import tables
    from .config import explain

    rows = explain(_config(context, environment, _flags(root)))
    _show(tables.config_json(rows) if json else tables.config_table(rows))


@task(
    name="list",
    help={"limit": "how many rows at most (default 50)", "status": "only rows with this status"},
)
def registry_list(context: Context, limit: str = "50", status: str | None = None) -> None:
    """Print the newest releases of the registry as a JSON array."""
    with _deployment(context).registry() as registry:
        _print_json(registry.list(limit=_whole_number(limit, "--limit"), status=status))


@task(name="get", help={"release": "release id"})
def registry_get(context: Context, release: str | None = None) -> None:
    """Print one release of the registry as JSON; exits 2 when it is not there."""
    wanted = _required(release, "registry.get --release=ID", "fab registry.list  shows release ids")
    with _deployment(context).registry() as registry:
        row = registry.get(wanted.lower())
    if row is None:
        _print_json({"error": "release_not_found", "release_id": wanted})
        raise Exit(code=2)
    _print_json(row)


@task(
    name="upsert",
    help={
        "release": "release id",
        "sha": "commit sha of the release (default: the release id)",
        "status": "new status of the row",
        "migration-marker": "database revision that belongs to the release",
        "deployed-at": "ISO 8601 time it went live; set by itself the first time the status says so",
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
    release_id = _required(release, "registry.upsert --release=ID --status=STATUS", "fab --help registry.upsert")
    new = _required(status, "registry.upsert --release=ID --status=STATUS", "fab --help registry.upsert")
    with _deployment(context).registry() as registry:
        _print_json(
            registry.upsert(release_id.lower(), (sha or release_id).lower(), new, migration_marker, deployed_at)
        )


@task(help=_COMMON | {"dry-run": "only show what differs; write nothing"}, name="reconcile")
def registry_reconcile(
    context: Context, environment: str | None = None, root: str | None = None, dry_run: bool = False, json: bool = False
) -> None:
    """Make the registry say what the hosts' journals say; also rebuilds an empty one.

    Without -H or --environment it reads all hosts that the registry knows, each with the
    settings of its environment.  A host that cannot be read keeps its part, and then
    the exit code is 50.
    """
    from .cli import tables

    options = {} if json else {"listener": _progress}
    deployments = _by_environment(context, environment, _flags(root), **options)
    found = [deployment.reconcile(dry_run=dry_run) for deployment in deployments]
    _show(tables.repairs_json(found) if json else tables.repairs_table(found))
    if any(each.unread for each in found):
        raise Exit(code=50)


@task(
    help={
        "address": "address to listen on (default 127.0.0.1); any but loopback needs a token",
        "port": "port to listen on (default 8300); 0 for a free one",
        "authenticate": "ask for a token on loopback too, such as behind a proxy",
        "allowed-hosts": "names that browsers reach it by, space separated, besides loopback and --address",
        "root-path": "path under which a proxy shows it, such as /deploys",
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
    environment: str | None = None,
    json: bool = False,
) -> None:
    """Serve the registry as a page and an API, for reading only, until Ctrl-C."""
    with _web_extra():
        from .registry.reopening import StandingRegistry
        from .web import serve as server
    number = _whole_number(port, "--port")
    opened = StandingRegistry(_deployment(context, environment).registry)
    with opened as registry, server.listen(address, number) as listener:
        app = server.guarded(
            lambda: registry.reader,
            listener,
            _tokens(),
            name=address,
            authenticate=authenticate,
            allowed_hosts=allowed_hosts.split(),
            root_path=root_path,
        )
        place = server.url(listener)
        _show(dumps({"url": place}) if json else f"serving the registry at {place}  (Ctrl-C ends it)")
        server.run(app, listener)


@task(
    help={
        "name": "whose token to make; without it the names are listed",
        "revoke": "end that token instead, at once",
        "json": "print JSON",
    },
)
def token(_: Context, name: str | None = None, revoke: bool = False, json: bool = False) -> None:
    """Make a token for `serve`, shown this once, or end one, or list whose there are."""
    tokens = _tokens()
    if revoke:
        tokens.revoke(_required(name, "token --name=NAME --revoke", "fab token  lists whose tokens there are"))
        _show(dumps({"revoked": name}) if json else f"the token of {name} opens nothing any more")
    elif name:
        made = tokens.add(name)
        _show(dumps({"name": name, "token": made}) if json else made)
    else:
        names = tokens.names()
        _show(dumps(names) if json else "\n".join(names) or "no tokens; fab token --name=NAME  makes one")


@task(
    help={
        "environment": "only this environment of fabric.yaml (default: each one, and all together)",
        "days": "how many days back (default 90)",
        "json": "print a JSON array, with a series by day",
    },
)
def figures(context: Context, environment: str | None = None, days: str = "90", json: bool = False) -> None:
    """Show deployment frequency, lead time, change failure rate and time to restore, from the registry."""
    from .cli import tables

    number = _whole_number(days, "--days")
    deployment = _deployment(context, environment)
    with deployment.registry() as registry:
        reader = registry.reader
        only = deployment.config.environment
        names = [only] if only else [None, *reader.environments()]
        rows = [reader.figures(environment=name, days=number) for name in names]
    _show(tables.figures_json(rows) if json else tables.figures_table(rows))


registry = Collection("registry", registry_list, registry_get, registry_upsert, registry_reconcile)
ns = Collection(
    deploy, rollback, status, lock, unlock, audit, pin, unpin, prune, show_config, serve, token, figures, registry
)


def _attempt(
    context: Context,
    component: Kind,
    environment: str | None,
    flags: dict[str, Any],
    as_json: bool,
    verbose: bool,
    act: Callable[[Deployment], Outcome],
) -> None:
    """Run an attempt under a view of its events, then say what came of it."""
    from .cli import views

    outcome = None
    try:
        with views.view(sys.stdout, as_json, component, None, verbose=verbose) as view:
            deployment = _deployment(context, environment, flags, listener=view, verbose=verbose)
            outcome = act(deployment)
    except KeyboardInterrupt:
        if outcome is None:
            raise
    if not as_json:
        told = [views.table(outcome)] if len(outcome.hosts) > 1 else []
        views.write(sys.stdout, "\n".join([*told, views.story(outcome)]) + "\n")
    if outcome.exit_code:
        raise Exit(code=int(outcome.exit_code))


def _answered(answers: Answers, table: Callable[[Answers], str], as_json: bool) -> None:
    """Show what the hosts answered; when one could not, that is how the command ends."""
    from .cli import tables

    _show(tables.answers_json(answers) if as_json else table(answers))
    failures = [answer for answer in answers.values() if isinstance(answer, Exception)]
    if failures:
        raise failures[0]


def _refuse_damage(deployment: Deployment, answers: Answers) -> None:
    """End as a matter for a person when a journal is not what was written."""
    from .errors import JournalDamaged

    for host, answer in answers.items():
        wrong = answer["wrong"] if isinstance(answer, dict) else None
        if wrong:
            seen = deployment.witness.path(host, deployment.config.root)
            raise JournalDamaged(
                f"line {wrong['line']} of the journal {wrong['what']}",
                hint=f"find out who did that; if the host was set up anew: rm {seen}",
                host=host,
            )


def _tell_pruned(event: Event) -> None:
    if event.name == "pruned":
        _show(f"{event.host}: {event.message}")


@contextmanager
def _exit_codes(*, as_json: bool) -> Iterator[None]:
    """Turn what a user can cause into a message and the documented exit code."""
    from .errors import DeployError

    try:
        yield
    except DeployError as error:
        _tell_last(_last_words(error, as_json))
        raise Exit(code=int(error.exit_code)) from None
    except KeyboardInterrupt:
        _tell_last("interrupted; nothing was switched")
        raise Exit(code=130) from None


def _tell_last(text: str) -> None:
    from .cli.views import write

    write(sys.stderr, f"{text}\n")


def _progress(event: Event) -> None:
    if event.level != "detail":
        _tell_last(event.message)


def _last_words(error: Any, as_json: bool) -> str:
    from .cli.views import plain, table

    if as_json:
        from .cli import tables

        return tables.error_json(error)
    if error.outcome is not None and len(error.outcome.hosts) > 1:
        return f"{table(error.outcome)}\n{plain(error)}"
    return plain(error)


def _roll_back(context: Context, flags: dict[str, Any], release: str, deployment: Deployment) -> Outcome:
    return _placed(context, deployment, flags, release).rollback(release=release)


def _placed(context: Context, deployment: Deployment, flags: dict[str, Any], release: str | None = None) -> Deployment:
    """The deployment, with the settings of the hosts it will go to when none were named."""
    if deployment.config.hosts:
        return deployment
    hosts = deployment.whereabouts(release)
    return deployment.with_config(_config(context, None, flags, hosts))


def _by_environment(
    context: Context, environment: str | None, flags: dict[str, Any], **options: Any
) -> Iterator[Deployment]:
    """The deployment for the hosts that were named; without any, one for each environment the registry has hosts of."""
    deployment = _deployment(context, environment, flags, **options)
    if deployment.config.hosts:
        yield deployment
        return
    places: dict[str | None, list[str]] = {}
    for host, place in deployment.known_hosts().items():
        places.setdefault(place if place in deployment.config.environments else None, []).append(host)
    for place, hosts in (places or {None: []}).items():
        config = _config(context, place, flags, [])
        yield deployment.with_config(replace(config, hosts=tuple(hosts)))


@contextmanager
def _web_extra() -> Iterator[None]:
    """Say which extra is missing, when one of its packages is."""
    from .errors import ConfigError

    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__package__):
            raise
        raise ConfigError(
            f"nothing is served: {error.name} is not installed", hint="pip install 'oroboros_deploy[web]'"
        ) from error


def _tokens() -> Tokens:
    from .registry.url import state_directory
    from .web.tokens import Tokens

    return Tokens(state_directory() / "tokens")


def _deployment(
    context: Context, environment: str | None = None, flags: dict[str, Any] | None = None, **options: Any
) -> Deployment:
    from .deployment import Deployment

    return Deployment(_config(context, environment, flags or {}), ssh=_ssh_options(context), **options)


def _config(
    context: Context, environment: str | None, flags: dict[str, Any], hosts: Sequence[str] | None = None
) -> Config:
    from .config import layers_of, load

    named = program.hosts_of(context) if hosts is None else hosts
    return load(layers_of(context.config), os.environ, hosts=named, environment=environment, flags=flags)


def _ssh_options(context: Context) -> Any:
    """What Fabric's command line said about logging in (-i, -S, -t and the password prompts)."""
    from .ssh import SshOptions

    given = context.config
    keywords = given.get("connect_kwargs", {})
    return SshOptions(
        config_path=given.get("ssh_config_path") or getattr(given, "_runtime_ssh_path", None),
        identities=tuple(str(path) for path in given.get("authentication", {}).get("identities", ())),
        password=keywords.get("password"),
        passphrase=keywords.get("passphrase"),
        connect_timeout=keywords.get("timeout") or given.get("timeouts", {}).get("connect"),
    )


def _flags(
    root: str | None,
    services: str | None = None,
    healthcheck: str | None = None,
    skip_restart: bool = False,
    skip_healthcheck: bool = False,
    parallel: str | None = None,
) -> dict[str, Any]:
    return {
        "root": root,
        "services": services,
        "healthcheck.command": healthcheck,
        "skip_restart": skip_restart,
        "skip_healthcheck": skip_healthcheck,
        "parallel": parallel,
    }


def _required(value: str | None, usage: str, hint: str) -> str:
    from .errors import InvalidInput

    if not value:
        raise InvalidInput(f"nothing was changed: usage is  fab {usage}", hint=hint)
    return value


def _whole_number(text: str, flag: str) -> int:
    from .errors import InvalidInput

    if not str(text).isascii() or not str(text).isdigit():
        raise InvalidInput(f"{flag} takes a whole number, not {text!r}")
    return int(text)


def _print_json(value: Any) -> None:
    _show(dumps(value, indent=2))


def _show(text: str) -> None:
    from .cli.views import write

    write(sys.stdout, f"{text}\n")
