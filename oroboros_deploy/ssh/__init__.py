"""The only room that knows SSH: a hardened Fabric connection.

with connect("web1") as host, host.command("uname -a", deadline=30) as command:
    for line in command.lines():
        ...
    status = command.wait()
"""

from .command import Command
from .connection import HostConnection, connect
from .target import SshOptions, Target, resolve
from .tunnel import Tunnel

__all__ = ["Command", "HostConnection", "SshOptions", "Target", "Tunnel", "connect", "resolve"]
