"""Calls of the agent on one open connection, through the library: prints how many seconds each took, as JSON.

python further.py HOST SSH_CONFIG COUNT
"""

from __future__ import annotations

import json
import sys
import time

from oroboros_deploy import Deployment, SshOptions, load_config


def main(name: str, ssh_config: str, count: str) -> None:
    host = Deployment(load_config(), ssh=SshOptions(config_path=ssh_config)).node.host(name)
    host.open()
    seconds = []
    for _ in range(int(count)):
        began = time.monotonic()
        host.facts({"sha": None, "services": [], "restart": False})
        seconds.append(time.monotonic() - began)
    host.close()
    print(json.dumps(seconds))


main(*sys.argv[1:])
