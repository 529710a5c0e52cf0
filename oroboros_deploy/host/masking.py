"""Masks: what is kept or told of output never has a secret in it.  Pure."""

from __future__ import annotations

from .annotations import TYPE_CHECKING, Iterable, Tuple

if TYPE_CHECKING:
    from .contract import Level
    from .wire import Say

SHORTEST = 4  # characters of a secret that is masked: of a shorter one every text has some
INSTEAD = "***"


class Mask:
    """Puts `INSTEAD` in the place of each secret; of one with several lines, in the place of each line too."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        parts = {part for secret in secrets for part in (secret, *secret.splitlines())}
        self._secrets: Tuple[str, ...] = tuple(sorted(filter(_is_long, parts), key=lambda each: (-len(each), each)))

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, INSTEAD)
        return text

    def value(self, value: object) -> object:
        """A JSON value, of which no text has a secret."""
        if not self._secrets:
            return value
        if isinstance(value, dict):
            return {key: self.value(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in value]
        return self.text(value) if isinstance(value, str) else value

    def saying(self, say: Say) -> Say:
        """What says the same without secrets."""
        if not self._secrets:
            return say

        def masked(event: str, message: str = "", level: Level = "info", **data: object) -> None:
            say(event, self.text(message), level=level, **{name: self.value(each) for name, each in data.items()})

        return masked

    def stream(self) -> Stream:
        """The same for bytes that come piece by piece."""
        return Stream([secret.encode() for secret in self._secrets])


class Stream:
    """Bytes on their way: what may be the beginning of a secret waits for what comes next."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._secrets = tuple(secrets)
        self._waiting = b""

    def pass_on(self, data: bytes) -> bytes:
        """What can be passed on by now."""
        text = self._masked(self._waiting + data)
        begun = max((_begun(text, secret) for secret in self._secrets), default=0)
        self._waiting = text[len(text) - begun :]
        return text[: len(text) - begun]

    def rest(self) -> bytes:
        """What waited, at the end."""
        rest, self._waiting = self._waiting, b""
        return rest

    def _masked(self, text: bytes) -> bytes:
        for secret in self._secrets:
            text = text.replace(secret, INSTEAD.encode())
        return text


def _is_long(secret: str) -> bool:
    return len(secret) >= SHORTEST


def _begun(text: bytes, secret: bytes) -> int:
    """How many bytes at the end of a text may be the beginning of a secret."""
    lengths = range(min(len(text), len(secret) - 1), 0, -1)
    return next((length for length in lengths if secret.startswith(text[-length:])), 0)
