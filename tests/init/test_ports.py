"""The port of a Node server, as its code and its configuration say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.init.test_node import look


@pytest.mark.parametrize(
    ("files", "port", "guessed"),
    [
        ({"server.js": "app.listen(Number(process.env.PORT) || 8010)\n"}, 8010, False),
        ({"src/main.ts": "await app.listen(process.env.PORT ?? '8011')\n"}, 8011, False),
        ({"server.js": "const { PORT = 8012 } = process.env\n"}, 8012, False),
        (
            {"defaults/config.js": "module.exports = {\n\thost: undefined,\n\tport: 9000,\n\tirc: {port: 6697},\n}\n"},
            9000,
            False,
        ),
        ({"config/default.json": '{"server": {"port": 9001}}'}, 9001, False),
        ({"server.js": "app.listen(8013, () => {})\n"}, 8013, False),
        ({"server.js": "app.listen(Number(process.env.PORT))\n"}, 3000, True),
        ({"client/main.js": "fetch('http://localhost:8014')\n"}, 3000, True),
    ],
)
def test_a_server_says_its_port(tmp_path: Path, files: dict[str, str], port: int, guessed: bool) -> None:
    """By the default in its code or its configuration; where nothing says it, 3000 is called a guess."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    proposal = look(tmp_path, {"dependencies": {"express": "5"}})
    assert (proposal.port, proposal.guesses_port) == (port, guessed)


def test_a_port_of_a_script_is_no_guess(tmp_path: Path) -> None:
    """It goes before what the code says, and a name that the code reads is asked for."""
    package = {"dependencies": {"express": "5"}, "scripts": {"start": "node . --port 8020"}}
    proposal = look(tmp_path, package, server_js="listen(process.env.PORT || 8010)")
    assert (proposal.port, proposal.guesses_port, proposal.names) == (8020, False, ["PORT"])
