#!/bin/sh
# The whole story on a disposable real host. On Debian 12 as root: sh examples/demo.sh
set -eu
examples=$(cd "$(dirname "$0")" && pwd)
cache=${OROBOROS_CACHE:-/var/cache/oroboros_deploy}
packages="python3-venv git openssh-client debootstrap systemd-container"

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    exec python3 "$examples/demo.py" # which says what is missing
fi

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "installing with apt-get:$missing"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $missing >/dev/null
fi

echo "installing oroboros_deploy into $cache/venv"
[ -x "$cache/venv/bin/pip" ] || python3 -m venv "$cache/venv"
"$cache/venv/bin/pip" install --quiet --disable-pip-version-check --editable "$examples/.."
exec "$cache/venv/bin/python" "$examples/demo.py"
