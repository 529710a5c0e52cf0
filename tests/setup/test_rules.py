"""The file of sudo's rules for one login."""

from __future__ import annotations

import re

from oroboros_deploy.setup import rules


def test_each_login_has_a_file_of_its_own() -> None:
    """Two logins never share one, and sudo reads each: no name has a dot."""
    logins = ("deploy", "a.b", "a_b", "a-b", "ab")
    names = [rules.file(login).rpartition("/")[2] for login in logins]
    assert (len({*names}), [name for name in names if re.search(r"\.|~$", name)]) == (len(logins), [])


def test_a_rule_is_checked_before_sudo_reads_it() -> None:
    """It is written beside its place, and moved there by the last command."""
    new, file = "/etc/sudoers.d/oroboros-ann.new", "/etc/sudoers.d/oroboros-ann"
    assert rules.put("ann", "cat") == f"cat >{new} && chmod 0440 {new} && visudo -cf {new} && mv {new} {file}"
