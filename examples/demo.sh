#!/bin/sh
# The whole story: on a disposable real host where one can be booted, else on this machine.
#
#   sh examples/demo.sh            whichever of the two this machine can
#   sh examples/demo.sh --booted   on a real Debian with systemd, booted for it; needs root on Linux
#   sh examples/demo.sh --here     on this machine, with an sshd of its own; needs no root and no systemd
#
# PYTHON names another Python than python3.
set -u
examples=$(cd "$(dirname "$0")" && pwd)
python="${PYTHON:-python3}"
if ! command -v "$python" >/dev/null; then
    echo "there is no Python that runs as $python: apt-get install python3, or PYTHON=/path/to/python" >&2
    exit 2
fi
exec "$python" "$examples/prepare.py" "$@"
