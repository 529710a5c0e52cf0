"""The gates that `init` writes are ones that the settings take."""

from __future__ import annotations

from oroboros_deploy.config import Config, HttpProbe
from oroboros_deploy.init import gate


def test_each_gate_loads() -> None:
    """A server, a page and services alone, each as a line of `healthcheck`."""
    made = [gate.of_a_server(8000), gate.of_a_page("dist/index.html"), gate.of_services()]
    gates = [Config.from_mapping({"healthcheck": each}).healthcheck for each in made]
    probe = HttpProbe("http://127.0.0.1:8000/")
    found = [(each.command, each.http) for each in gates]
    assert found == [(None, (probe,)), ("test -s dist/index.html", ()), (None, ())]
