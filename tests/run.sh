#!/bin/sh
# Everything that has to hold: style, types, the built package, and all tests, on the newest
# and on the oldest dependencies that setup.cfg allows.  Run as root on Debian 12 it installs
# the system packages it needs; elsewhere the tests that need them say what is missing.
#
#   sh tests/run.sh            everything
#   sh tests/run.sh quick      only what needs neither a booted host nor a browser
set -eu
cd "$(dirname "$0")/.."
venvs="${XDG_CACHE_HOME:-$HOME/.cache}/oroboros_deploy/test"
packages="python3-venv git openssh-server openssh-client postgresql debootstrap systemd-container iproute2 curl
    chromium fonts-dejavu-core"

say() { printf '\n== %s\n' "$*"; }

install_packages() {
    missing=""
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && return
    say "installing system packages:$missing"
    apt-get update -q
    # Nothing that is only needed by a test should start by itself on this machine.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}

make_venv() { # NAME PIP-ARGUMENTS...
    say "virtual environment '$1' in $venvs"
    rm -rf "${venvs:?}/$1"
    python3 -m venv "$venvs/$1"
    name=$1
    shift
    "$venvs/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then install_packages; fi

make_venv newest --editable '.[test]'
say "style and types"
"$venvs/newest/bin/ruff" check .
"$venvs/newest/bin/ruff" format --check .
"$venvs/newest/bin/mypy"

make_venv oldest --editable '.[test]' --constraint tests/oldest.txt
say "quick tests on the oldest dependencies"
"$venvs/oldest/bin/python" -m pytest -q -n 4 -m 'not host and not browser'

if [ "${1:-}" = quick ]; then
    say "quick tests"
    exec "$venvs/newest/bin/python" -m pytest -n 4 -m 'not host and not browser'
fi
say "tests"
exec "$venvs/newest/bin/python" -m pytest -n 2 --dist loadscope
