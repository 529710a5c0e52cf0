"""How the addresses of a registry and of a git repository may be shown: what can be read, without who logs in.

A typing error moves a password to where a user, a host or a path is expected.  So an address is shown only
where each of its parts can be told from the others, and a user is never shown.
"""

from __future__ import annotations

import re

NOT_SHOWN = "(not shown: it cannot be read)"
# Compiled where they are used: every command imports this.
_REGISTRY = (
    r"(?s)(?P<scheme>postgres(?:ql)?(?:\+psycopg2)?://)(?P<user>[^@/?#\[\]]*@)?"
    r"(?P<place>(?:[\w.-]+|\[[\da-fA-F:.]+\])?(?::\d+)?(?:/[^/?#@=]*)?)(?:\?(?P<query>.*))?"
)
_SQLITE = r"(?s)(?P<scheme>sqlite:///)(?P<user>)(?P<place>[^?]+)(?:\?(?P<query>.*))?"
_KNOWN = (
    r"(?:via|host|port|user|dbname|options|application_name|target_session_attrs|connect_timeout|ssl(?:mode|cert|key"
    r"|rootcert))=[^=]*"
)
_LOGS_IN = r"(?is)((?:ssl)?password=).*"
_PLAIN = r"[^@\s]*"
_GIT = (
    rf"(?:https?|ftps?|git|file)://{_PLAIN}"
    rf"|(?:ssh|git\+ssh|ssh\+git)://(?:[^@/\s]*@)?{_PLAIN}"
    rf"|(?:[^@:/\s]+@)?(?:[^@:/\[\]\s]+|\[{_PLAIN}\]):(?!//){_PLAIN}"
    r"|[^:\s]*"
)


def shown_registry(url: str) -> str:
    """The URL of a registry for messages; anything at all may be passed."""
    found = re.fullmatch(_REGISTRY, url.strip()) or re.fullmatch(_SQLITE, url.strip())
    if found is None:
        return NOT_SHOWN
    query = "&".join(_parameter(pair) for pair in (found["query"] or "").split("&"))
    user = "***@" if found["user"] else ""
    return f"{found['scheme']}{user}{found['place']}" + (f"?{query}" if query else "")


def is_git_url(url: str) -> bool:
    """Whether git, too, would take each part of this URL for what it was meant as."""
    return re.fullmatch(_GIT, url) is not None


def _parameter(pair: str) -> str:
    if re.fullmatch(_KNOWN, pair) or not pair:
        return pair
    password = re.fullmatch(_LOGS_IN, pair)
    return f"{password[1]}***" if password else "***"
