"""The gate that `init` writes: the one place that says which key of `healthcheck` asks a server how it is."""

from __future__ import annotations


def of_a_server(port: int) -> dict[str, object]:
    """The gate of a server that answers on a port of the host."""
    return {"http": {"url": f"http://127.0.0.1:{port}/"}}


def of_a_site(url: str, host: str | None) -> dict[str, object]:
    """The gate of a web server, which is asked for a name where its address has one."""
    return {"http": {"url": url} | ({"host": host} if host else {})}


def of_a_page(path: str) -> dict[str, object]:
    """The gate of pages that another program serves: the file is there, and no more."""
    return {"command": f"test -s {path}"}


def of_services() -> dict[str, object]:
    """The gate of services alone: they stay up."""
    return {"command": None}
