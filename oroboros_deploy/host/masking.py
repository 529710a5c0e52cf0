"""Masks: what is kept or told of output never has a secret in it.  Pure."""

from __future__ import annotations

from .annotations import TYPE_CHECKING, Dict, Iterable, Iterator, Set, Tuple, cast

if TYPE_CHECKING:
    from .contract import Level
    from .wire import Say

SHORTEST = 4  # characters of a secret that is masked: of a shorter one every text has some
INSTEAD = "***"
# What people read of an event or an answer.  All else is read by programs, and may hold a secret's letters by chance:
# with `DB_NAME=store` the phase "restored" would be none any more.
FOR_PEOPLE = ("message", "hint", "reason", "transcript", "log", "bad", "damage", "text")


def as_written(secrets: Iterable[str]) -> Set[str]:
    """The secrets, and how errors and tracebacks write them: as literals of Python, as bytes and as JSON."""
    parts = {part for secret in secrets for part in (secret, *secret.splitlines()) if _is_long(part)}
    return {form for part in parts for form in _forms(part)}


def _forms(text: str) -> Iterator[str]:
    import json

    yield text
    yield json.dumps(text)[1:-1]
    both = "'\""  # in a literal that has both, the first is written with a backslash
    data, odd = text.encode("utf-8", "surrogateescape"), both.encode()
    for write in (repr, ascii):
        yield write(text)[1:-1]
        yield write(text + both)[1:-4]
    yield repr(data)[2:-1]
    yield repr(data + odd)[2:-4]


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
        """An event or an answer, without secrets in what people read of it."""
        if isinstance(value, dict):
            return {key: (self._text if key in FOR_PEOPLE else self.value)(each) for key, each in value.items()}
        return [self.value(each) for each in value] if isinstance(value, (list, tuple)) else value

    def _text(self, value: object) -> object:
        return self.text(value) if isinstance(value, str) else self.value(value)

    def saying(self, say: Say) -> Say:
        """What says the same without secrets."""
        if not self._secrets:
            return say

        def masked(event: str, message: str = "", level: Level = "info", **data: object) -> None:
            say(event, self.text(message), level=level, **cast("Dict[str, object]", self.value(data)))

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
        text = self._waiting + data
        cut = min((len(text) - _begun(text, secret) for secret in self._secrets), default=len(text))
        while (earlier := min((_start(text, secret, cut) for secret in self._secrets), default=cut)) < cut:
            cut = earlier
        self._waiting = text[cut:]
        return self._masked(text[:cut])

    def rest(self) -> bytes:
        """What waited, at the end."""
        rest, self._waiting = self._masked(self._waiting), b""
        return rest

    def _masked(self, text: bytes) -> bytes:
        for secret in self._secrets:
            text = text.replace(secret, INSTEAD.encode())
        return text


def _is_long(secret: str) -> bool:
    return len(secret) >= SHORTEST


def _start(text: bytes, secret: bytes, cut: int) -> int:
    """Where a whole secret begins that a cut would divide; the cut itself where it divides none."""
    found = text.find(secret, max(0, cut - len(secret) + 1), cut + len(secret) - 1)
    return found if found >= 0 else cut


def _begun(text: bytes, secret: bytes) -> int:
    """How many bytes at the end of a text may be the beginning of a secret."""
    lengths = range(min(len(text), len(secret) - 1), 0, -1)
    return next((length for length in lengths if secret.startswith(text[-length:])), 0)
