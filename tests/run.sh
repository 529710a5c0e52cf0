#!/bin/sh
# Everything that has to hold: style, types, the built package, and all tests on the newest dependencies that setup.cfg
# allows; when everything runs, also those of what has dependencies on the oldest.  All stages run, also after one that
# failed.  Run as root on Debian it installs the system packages it needs; elsewhere the tests that need them say what is
# missing.
#
#   sh tests/run.sh             everything
#   sh tests/run.sh quick       nothing that boots a host, starts a browser or a PostgreSQL, or runs whole deploys or builds
#   sh tests/run.sh PATH...     these tests alone, with any of pytest's options: tests/test_source.py -k clone
#
# PYTHON names another Python than python3; MINUTES is what the whole may take, 80 unless told.  The virtual environments are made once, and anew when setup.cfg,
# pyproject.toml, the version, tests/oldest.txt, the Python or the place of this checkout change.
set -u
cd "$(dirname "$0")/.." || exit 2
python="${PYTHON:-python3}"
deadline=$(($(date +%s) + ${MINUTES:-80} * 60))
packages="python3-venv git openssh-server openssh-client postgresql pgbouncer debootstrap systemd-container iproute2 curl
    chromium fonts-dejavu-core e2fsprogs fish ksh93u+m mksh tcsh zsh strace tmux"
failed=""
child=""
stopped=""

say() { printf '\n== %s\n' "$*"; }

give_up() {
    printf 'tests/run.sh: %s\n' "$*" >&2
    exit 2
}

# Another nodejs than Debian's has npm in it, and Debian's npm conflicts with that.
install_packages() {
    missing=""
    command -v npm >/dev/null || packages="$packages nodejs npm"
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && return
    say "installing system packages:$missing"
    # Nothing that is only needed by a test should start by itself on this machine.
    # shellcheck disable=SC2086
    apt-get update -q &&
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing ||
        give_up "the system packages cannot be installed"
}

check_python() {
    least=$(sed -n 's/^python_requires = >=//p' setup.cfg)
    found=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) ||
        give_up "there is no Python that runs as $python: apt-get install python3, or PYTHON=/path/to/python"
    "$python" -c "import sys; sys.exit(sys.version_info < ($(echo "$least" | tr . ,)))" ||
        give_up "$python is Python $found, and $least or later is needed: PYTHON=/path/to/python sh tests/run.sh"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        give_up "$python cannot make virtual environments: apt-get install python3-venv"
}

find_home() {
    [ -z "${HOME:-}" ] || return
    HOME=$("$python" -c 'import os.path; print(os.path.expanduser("~"))')
    [ "$HOME" != "~" ] || give_up "user $(id -u) has no home directory: export HOME=/some/directory"
    export HOME
}

key_of() { # NAME
    {
        cat setup.cfg pyproject.toml oroboros_deploy/version.py tests/oldest.txt
        "$python" -c 'import sys; print(sys.version, sys.executable)'
        pwd
        echo "$1"
    } | sha256sum
}

is_made() { # NAME
    [ "$(cat "$venvs/$1/made-from" 2>/dev/null)" = "$(key_of "$1")" ]
}

become_pip() { # NAME
    bin="$venvs/$1/bin"
    case "$1" in newest) set -- ;; *) set -- --constraint tests/oldest.txt ;; esac
    exec "$bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[test]' "$@" 9>&-
}

# The lock is shared while tests run, and exclusive while environments are made: nobody's is taken away.  One pip keeps one
# processor busy for half a minute, so they work side by side.
make_environments() { # NAME...
    lacking=""
    for name in "$@"; do
        is_made "$name" || lacking=yes
    done
    [ -n "$lacking" ] || return 0
    flock --nonblock 9 || say "waiting for another run of these tests" && flock 9
    pips=""
    for name in "$@"; do
        is_made "$name" && continue
        say "virtual environment $venvs/$name"
        rm -rf "${venvs:?}/$name"
        "$python" -m venv "$venvs/$name" || continue
        become_pip "$name" &
        pips="$pips $name=$!"
    done
    for each in $pips; do
        wait "${each#*=}" && key_of "${each%=*}" >"$venvs/${each%=*}/made-from"
        [ -z "$stopped" ] && continue
        for each in $pips; do
            kill "${each#*=}" 2>/dev/null
        done
        exit 130
    done
    flock --shared 9
}

# One directory for each checkout; those of checkouts that are gone are removed.
find_environments() {
    all="${XDG_CACHE_HOME:-$HOME/.cache}/oroboros_deploy/test"
    venvs="$all/$(pwd | sha256sum | cut -c 1-12)"
    mkdir -p "$venvs" && pwd >"$venvs/checkout" || give_up "the virtual environments need a place: XDG_CACHE_HOME=/some/directory"
    for checkout in "$all"/*/checkout; do
        [ -d "$(cat "$checkout")" ] || rm -rf "${checkout%/checkout}"
    done
    exec 9>"$venvs/lock"
    flock --shared 9
}

bounded() { # SECONDS COMMAND...
    seconds=$1
    shift
    left=$((deadline - $(date +%s)))
    [ "$seconds" -lt "$left" ] || seconds=$((left > 0 ? left : 1))
    timeout --signal INT --kill-after 60 "$seconds" "$@" 9>&- &
    child=$!
    while :; do
        wait "$child"
        status=$?
        kill -0 "$child" 2>/dev/null || break # else it was a signal to this script, which was passed on
    done
    [ -z "$stopped" ] || exit 130
    [ "$status" != 124 ] || echo "cut after $seconds s"
    return "$status"
}

stage() { # NAME SECONDS COMMAND...
    name=$1
    shift
    say "$name"
    bounded "$@" || failed="${failed:+$failed, }$name"
}

tests() { # NAME ENVIRONMENT SECONDS PYTEST-ARGUMENTS...
    name=$1
    bin="$venvs/$2/bin/python"
    note="$venvs/$2/running"
    seconds=$3
    shift 3
    : >"$note"
    stage "$name" "$seconds" "$bin" -m pytest -p tests.support.once_more "--running-note=$note" \
        "--failed-before=$failed" "--flaky-note=$flaky" --durations=10 "$@"
    [ "$status" != 137 ] || sed 's/^/killed in /' "$note"
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    case "${1:-quick}" in quick) install_packages ;; esac
fi
check_python
find_home
find_environments
flaky="$venvs/flaky-$$" # the flaky tests of all stages of this run
trap 'stopped=yes; kill -INT "$child" 2>/dev/null' INT TERM HUP
trap 'rm -f "$flaky"' EXIT
rm -f "$flaky" # a run that was killed may have left one of this number

case "${1:-}" in
"") make_environments newest oldest ;;
*) make_environments newest ;;
esac
is_made newest || give_up "the virtual environment cannot be made"
case "${1:-}" in
"")
    marked=""
    spread="-n 3 --dist loadscope --no-loadscope-reorder -p tests.support.spread"
    ;;
quick)
    marked="not host and not browser and not slow and not postgres"
    spread="-n auto --maxprocesses 4" # each worker collects all tests first: more than there are processors take longer
    ;;
*) exec "$venvs/newest/bin/python" -m pytest "$@" ;;
esac

bin="$venvs/newest/bin"
stage "style" 300 "$bin/ruff" check .
stage "format" 300 "$bin/ruff" format --check .
stage "types" 600 "$bin/mypy"
# Of the oldest dependencies nothing is asked by tests of what has none, or that read the repository alone; what comes
# from outside is tried in thousands of examples once.  Of what a control node does in whole deploys, the registry alone
# has dependencies: tests/registry, test_deployment.py, test_tasks.py and the rest of tests/control deploy with them.
without="host init least records setup support test_benchmarks.py test_demo.py test_docstrings.py test_hints.py test_mirror.py
    test_mutations.py test_rooms.py test_run.py test_screens.py test_site.py test_source.py test_text.py
    test_wheel.py test_words.py remote/test_agent.py remote/test_said.py control/test_attempt.py control/test_back.py
    control/test_bound.py control/test_faults.py control/test_informed.py
    control/test_planning.py control/test_push.py control/test_restarting.py"
if [ "${1:-}" = quick ]; then
    : # the oldest dependencies would take another minute, and few changes work with the newest alone
elif is_made oldest; then
    # shellcheck disable=SC2086
    tests "tests on the oldest dependencies" oldest 1800 -q -n 4 $(printf -- '--ignore=tests/%s ' $without) \
        --ignore-glob='tests/test_outside*' -m "not host and not browser"
else
    failed="${failed:+$failed, }virtual environment of the oldest dependencies"
fi
# shellcheck disable=SC2086
tests "tests" newest 4500 $spread -m "$marked"
[ -z "$failed" ]
