"""Which of paramiko's algorithms may be used for a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import paramiko

from ..errors import ConfigError
from .patterns import matches

# OpenSSH has not offered these for years, paramiko still does.
_WEAK = ("*-cbc", "hmac-md5*", "hmac-sha1-96")


def restrict(transport: paramiko.Transport, lists: Mapping[str, str]) -> None:
    """Leave to the transport only what ssh_config allows, in paramiko's order; ``lists`` by keyword.

    Raises ConfigError when nothing would be left.
    """
    offer = transport.get_security_options()
    offer.ciphers = _allowed(offer.ciphers, "Ciphers", lists)
    offer.digests = _allowed(offer.digests, "MACs", lists)
    offer.kex = _allowed(offer.kex, "KexAlgorithms", lists)
    offer.key_types = _allowed(offer.key_types, "HostKeyAlgorithms", lists)
    transport._preferred_pubkeys = _allowed(  # type: ignore[attr-defined]
        transport.preferred_pubkeys, "PubkeyAcceptedAlgorithms", lists
    )


def _allowed(offered: Sequence[str], keyword: str, lists: Mapping[str, str]) -> tuple[str, ...]:
    sound = {name for name in offered if not matches(_WEAK, name)}
    allowed = _named(offered, sound, lists[keyword]) if keyword in lists else sound
    if not allowed:
        raise _none_left(keyword, lists.get(keyword))
    return tuple(name for name in offered if name in allowed)


def _none_left(keyword: str, listed: str | None) -> ConfigError:
    if listed is None:  # Fabric's `connect_kwargs` took all away
        hint = "take some of them out of connect_kwargs.disabled_algorithms"
        return ConfigError(f"connect_kwargs.disabled_algorithms leaves no algorithm for {keyword}", hint=hint)
    hint = f"add another algorithm to {keyword} in ssh_config"
    return ConfigError(f"ssh_config: {keyword} {listed}: none of these algorithms is available here", hint=hint)


def _named(offered: Sequence[str], sound: set[str], text: str) -> set[str]:
    sign, patterns = text[:1], text.lstrip("+-^").split(",")
    named = {name for name in offered if matches(patterns, name) or matches(patterns, name.removesuffix("@libssh.org"))}
    return {"+": sound | named, "^": sound | named, "-": sound - named}.get(sign, named)
