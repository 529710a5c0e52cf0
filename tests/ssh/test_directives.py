"""Which keywords are followed, refused and ignored: none of ssh is forgotten, and the document says the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.ssh.answer import Answer
from oroboros_deploy.ssh.directives import BY_SSH, FOLLOWED, PASSED_OVER, REFUSED, check

DOCUMENT = Path(__file__).parents[2] / "docs" / "ssh.md"

# What `ssh -G` prints only where it is set.
SET = """
BindAddress 127.0.0.1
BindInterface lo
CertificateFile /c
ControlPath /c
DynamicForward 1
ForwardX11 yes
HostKeyAlias a
IdentityAgent none
IgnoreUnknown x
KnownHostsCommand /k
LocalCommand l
LocalForward 1 a:1
PKCS11Provider /p
PreferredAuthentications publickey
RemoteCommand r
RemoteForward 1 a:1
RevokedHostKeys /r
SendEnv A
SetEnv A=b
"""


def printed(tmp_path: Path, text: str) -> set[str]:
    """The keywords that this machine's ssh prints, in lower case."""
    (tmp_path / "config").write_text(text)
    command = ["ssh", "-G", "-F", str(tmp_path / "config"), "web1"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line.split(" ")[0].lower() for line in said.splitlines()}


def documented(heading: str) -> set[str]:
    """The keywords in a section of the document."""
    section = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{heading}\n")]
    return set(re.findall("`([A-Z][A-Za-z0-9]+)`", text))


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs OpenSSH's client")
@pytest.mark.parametrize("jump", ["ProxyJump a", "ProxyCommand a"])
def test_every_keyword_of_ssh_is_known(tmp_path: Path, jump: str) -> None:
    """Whatever this machine's ssh can say is followed, refused or ignored."""
    known = {keyword.lower() for keyword in BY_SSH | FOLLOWED | PASSED_OVER | set(REFUSED)}
    assert printed(tmp_path, f"{SET}{jump}\n") - known == set()


def test_no_keyword_is_in_two_lists() -> None:
    """The lists exclude each other."""
    lists = (BY_SSH, FOLLOWED, PASSED_OVER, set(REFUSED))
    assert sum(map(len, lists)) == len(BY_SSH | FOLLOWED | PASSED_OVER | set(REFUSED))


def test_the_document_says_the_same() -> None:
    """docs/ssh.md has these lists, keyword by keyword."""
    assert documented("Followed") == BY_SSH | FOLLOWED
    assert documented("Refused") == set(REFUSED)
    assert documented("Ignored") == PASSED_OVER


def test_an_unknown_keyword_that_is_set_is_refused() -> None:
    """A keyword of a later ssh is refused by name where a file sets it, and no matter where none does."""
    values, other = {"future": ("yes",)}, {"future": ("no",)}
    check(Answer("web1", values, values))
    with pytest.raises(ConfigError, match="future yes: this keyword is not known here"):
        check(Answer("web1", values, other))
