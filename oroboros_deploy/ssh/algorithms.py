"""Which of paramiko's algorithms may be used for a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import paramiko

from .patterns import matches
from .ssh_config import Setting

# OpenSSH has not offered these for years, paramiko still does.
_WEAK = ("*-cbc", "hmac-md5*", "hmac-sha1-96")


def restrict(transport: paramiko.Transport, settings: Mapping[str, Setting]) -> None:
    """Leave to the transport only what ssh_config allows, in paramiko's order.

    Raises ConfigError when nothing would be left.
    """
    offer = transport.get_security_options()
    offer.ciphers = _allowed(offer.ciphers, settings.get("ciphers"))
    offer.digests = _allowed(offer.digests, settings.get("macs"))
    offer.kex = _allowed(offer.kex, settings.get("kexalgorithms"))
    offer.key_types = _allowed(offer.key_types, settings.get("hostkeyalgorithms"))
    transport._preferred_pubkeys = _allowed(  # type: ignore[attr-defined]
        transport.preferred_pubkeys, settings.get("pubkeyacceptedalgorithms")
    )


def _allowed(offered: Sequence[str], setting: Setting | None) -> tuple[str, ...]:
    sound = {name for name in offered if not matches(_WEAK, name)}
    allowed = sound if setting is None else _named(offered, sound, setting)
    return tuple(name for name in offered if name in allowed)


def _named(offered: Sequence[str], sound: set[str], setting: Setting) -> set[str]:
    sign, patterns = setting.value[0], setting.value.lstrip("+-^").split(",")
    named = {name for name in offered if matches(patterns, name) or matches(patterns, name.removesuffix("@libssh.org"))}
    allowed = {"+": sound | named, "^": sound | named, "-": sound - named}.get(sign, named)
    if not allowed:
        raise setting.error("none of these algorithms is available here")
    return allowed
