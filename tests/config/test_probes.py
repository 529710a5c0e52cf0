"""The probes of a health check, as they stand in a file."""

from __future__ import annotations

from typing import Any

import pytest

from oroboros_deploy.config import Config, HttpProbe, explain, load
from tests.support.written import FILE, FROM_FILE, from_file, refusal

URL = "http://127.0.0.1:8000/health"
SECURE = "https://127.0.0.1:8443/health"


def test_probes_that_are_written_in_full() -> None:
    """Every key is taken, one probe or several, and what is left out has its default."""
    whole = {
        "url": SECURE, "status": 401, "contains": "log in", "header": {"X-Forwarded-Proto": "https"},
        "host": "shop.internal", "ca": "/etc/ssl/ours.pem", "unix": "/run/shop.sock", "timeout": 2,
    }  # fmt: skip
    gate = from_file({"healthcheck": {"http": [whole, {"url": URL}], "tcp": "127.0.0.1:5432"}}).healthcheck
    assert gate.http == (
        HttpProbe(
            SECURE, 401, "log in", {"X-Forwarded-Proto": "https"}, "shop.internal", "/etc/ssl/ours.pem",
            "/run/shop.sock", 2.0,
        ),
        HttpProbe(URL, 200, None, {}, None, None, None, 5.0),
    )  # fmt: skip
    assert (gate.tcp, gate.successes, gate.asks) == (("127.0.0.1:5432",), 1, True)
    assert from_file({"healthcheck": {"tcp": ["localhost:80", "[::1]:80", "db.internal:5432"]}}).healthcheck.tcp == (
        "localhost:80", "[::1]:80", "db.internal:5432",
    )  # fmt: skip
    assert from_file({"healthcheck": {"http": gate.http}}).healthcheck.http == gate.http


@pytest.mark.parametrize(
    "url", ["http://localhost", "http://[::1]:8000/", "http://10.0.0.5/?a=1", "http://localhost?a"]
)
def test_urls_of_the_host_itself(url: str) -> None:
    """Addresses and localhost, with and without port, path and query."""
    assert from_file({"healthcheck": {"http": {"url": url}}}).healthcheck.http == (HttpProbe(url),)


def test_a_probe_takes_the_place_of_the_default_command() -> None:
    """A command that somebody wrote stays beside it, and so does that of a flag or a variable."""
    for probe in ({"http": {"url": URL}}, {"tcp": "127.0.0.1:80"}):
        config = from_file({"healthcheck": probe})
        assert (config.healthcheck.command, config.provenance["healthcheck.command"]) == (None, "default")
        assert from_file({"healthcheck": {**probe, "command": "true"}}).healthcheck.command == "true"
        flagged = from_file({"healthcheck": probe}, flags={"healthcheck.command": "check"})
        assert (flagged.healthcheck.command, flagged.by_hand) == ("check", ["healthcheck.command"])
        variable = load([(FILE, {"healthcheck": probe})], {"DEPLOY_HEALTHCHECK_CMD": "check"})
        assert variable.healthcheck.command == "check"
        assert len(variable.healthcheck.http) + len(variable.healthcheck.tcp) == 1


def test_an_environment_has_its_own_probes() -> None:
    """It replaces the whole list, or takes the probes away, and then the default command is there again."""
    prod = {"prod": {"hosts": ["web1"], "healthcheck": {"http": None}}}
    data = {"healthcheck": {"http": {"url": URL}}, "environments": prod}
    assert from_file(data).healthcheck.http == (HttpProbe(URL),)
    found = from_file(data, hosts=["prod"]).healthcheck
    assert (found.http, found.command) == ((), "scripts/runtime-health-check.sh")


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ("http://127.0.0.1/", "must hold {url, status, contains, header, host, ca, unix, timeout}, or be a list of"),
        ({"url": URL, "stauts": 200}, "has the unknown key 'stauts': did you mean status?"),
        ({"url": URL, 5: 200}, "has the unknown key 5"),
        ({"status": 200}, "must say the url of each probe, such as http://127.0.0.1:8000/health"),
        ({"url": None}, "must say the url of each probe"),
        ({"url": "127.0.0.1:8000/health"}, "must have a url such as http://127.0.0.1:8000/health"),
        ({"url": "ftp://127.0.0.1/"}, "must have a url such as"),
        ({"url": "http://127.0.0.1/a b"}, "must have a url such as"),
        ({"url": "http://127.0.0.1/#top"}, "must have a url such as"),
        ({"url": "http://127.0.0.1/é"}, "must have a url such as"),
        ({"url": "http://127.0.0.1/\r\nX: y"}, "without control characters"),
        ({"url": 8000}, "must be text"),
        ({"url": "http://ann:word@127.0.0.1/"}, "must have no user and no password in its url"),
        ({"url": "http://shop.example.org/"}, "must have an address of the host in its url, such as 127.0.0.1: a name"),
        ({"url": "http:///health"}, "must have an address of the host in its url"),
        ({"url": "http://127.0.0.256/"}, "must have an address, which 127.0.0.256 is not"),
        ({"url": "http://127.0.0.1:0/"}, "must have a port from 1 to 65535, not 0"),
        ({"url": "http://127.0.0.1:65536/"}, "must have a port from 1 to 65535, not 65536"),
        ({"url": SECURE}, "must say `host` beside an https url: the name that the certificate is for"),
        ({"url": URL, "ca": "/etc/ca.pem"}, "must have an https url beside `ca`"),
        ({"url": SECURE, "host": "a", "ca": "ca.pem"}, "has no path of the host in `ca`: it must be an absolute path"),
        ({"url": URL, "unix": "run/a"}, "has no path of the host in `unix`: it must be an absolute path"),
        ({"url": URL, "unix": "/" + "a" * 107}, "must have a path of at most 107 bytes in `unix`"),
        ({"url": URL, "status": "200"}, "must have a status from 200 to 599"),
        ({"url": URL, "status": True}, "must have a status from 200 to 599"),
        ({"url": URL, "status": 100}, "must have a status from 200 to 599"),
        ({"url": URL, "contains": 200}, "must have text in `contains`: put it in quotes"),
        ({"url": URL, "contains": ""}, "must have text in `contains`"),
        ({"url": URL, "header": "X: y"}, "must map each name to a value in `header`"),
        ({"url": URL, "header": {"X y": "z"}}, "must have names of headers in `header`, which 'X y' is not"),
        ({"url": URL, "header": {"X": "a\r\nY: b"}}, "must have one line of plain text as the value of the header X"),
        ({"url": URL, "header": {"X": 5}}, "must have one line of plain text as the value of the header X"),
        ({"url": URL, "header": {"Host": "a"}}, "must not set the header Host: say `host`"),
        ({"url": URL, "header": {"Content-Length": "5"}}, "must not set the header Content-Length"),
        ({"url": URL, "host": "shop:80"}, "must have the name of a host in `host`, without a port"),
        ({"url": URL, "host": "a b"}, "must have the name of a host in `host`"),
        ({"url": URL, "timeout": 0}, "has a `timeout` that cannot be: it must be more than 0 seconds"),
        ({"url": URL, "timeout": "5"}, "has a `timeout` that cannot be: it must be a number of seconds"),
        ([{"url": URL}] * 21, "must hold at most 20 probes"),
    ],
)  # fmt: skip
def test_http_probes_that_cannot_be(http: Any, said: str) -> None:
    """Each is refused by what is wrong with it, and where; its values, which may be secret, are not shown."""
    message = refusal({"healthcheck": {"http": http}}).message
    assert f"deploy.healthcheck.http in {FILE} {said}" in message.replace("must be one line ", "")
    assert "(it is" not in message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tcp": 5432}, "deploy.healthcheck.tcp in fabric.yaml must be text"),
        ({"tcp": "5432"}, "must be HOST:PORT, such as 127.0.0.1:5432"),
        ({"tcp": ["127.0.0.1"]}, "must be HOST:PORT"),
        ({"tcp": "127.0.0.300:80"}, "must have an address, which 127.0.0.300 is not"),
        ({"tcp": "db:70000"}, "must have a port from 1 to 65535, not 70000"),
        ({"tcp": ["db:1"] * 21}, "must hold at most 20 probes"),
        ({"successes": 0}, "must be a whole number from 1 to"),
        ({"successes": 101}, "must be a whole number from 1 to 100"),
        ({"successes": True}, "must be a whole number from 1 to"),
        ({"htttp": {}}, "did you mean healthcheck.http?"),
    ],
)
def test_other_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    """Each is refused by its name."""
    refused = refusal({"healthcheck": settings})
    assert said in f"{refused.message} {refused.hint}".replace(FILE, "fabric.yaml")


def test_successes_that_do_not_fit_into_the_gate() -> None:
    """No release would ever pass: both limits and the pause are named."""
    said = refusal({"healthcheck": {"successes": 11, "interval": 1, "timeout": 10}}).message
    assert said == (
        f"nothing was changed: healthcheck.successes (11, {FROM_FILE}) take 10 s with healthcheck.interval"
        f" (1, {FROM_FILE}), and healthcheck.timeout is 10 ({FROM_FILE})"
    )
    assert from_file({"healthcheck": {"successes": 10, "interval": 1, "timeout": 10}}).healthcheck.successes == 10


def test_what_is_shown_of_probes() -> None:
    """What is set, and of headers the names alone."""
    probe = {"url": f"{URL}?token=hush", "contains": "ok", "header": {"Authorization": "hush"}, "timeout": 2}
    config = Config.from_mapping({"healthcheck": {"http": [probe, {"url": URL}], "tcp": ["127.0.0.1:1", "[::1]:2"]}})
    table = {name: value for name, value, _ in explain(config)}
    assert table["healthcheck.http"] == (
        f"{{url: {URL}?token=*** status: 200, contains: ok, header: Authorization, timeout: 2}} "
        f"{{url: {URL}, status: 200}}"
    )
    assert (table["healthcheck.tcp"], table["healthcheck.command"]) == ("127.0.0.1:1 [::1]:2", "none")
