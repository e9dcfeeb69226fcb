"""What stands behind a line: something that hears bytes and answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from simulators.faults.answers import Dialect
from simulators.faults.catalogue import Transport
from simulators.world import Served


class BytesDialect:
    """A protocol of which only the bytes are known: its checksum is taken to be in the last byte that is not text."""

    transport: Transport = "bytes"

    def wrong_check(self, answer: bytes) -> bytes:
        """With one bit of the last byte before the line's end turned: of the checksum where the frame has one."""
        end = len(answer.rstrip(b"\r\n\x03")) or len(answer)
        return answer[: end - 1] + bytes((answer[end - 1] ^ 0x01,)) + answer[end:]

    def wrong_unit(self, answer: bytes) -> bytes:
        return answer

    def wrong_count(self, answer: bytes, random: Random) -> bytes:
        del random
        return answer

    def exception(self, request: bytes, answer: bytes, code: int) -> bytes:
        del request, code
        return answer

    def registers(self, request: bytes) -> range:
        del request
        return range(0)


BYTES: Final = BytesDialect()


@dataclass(frozen=True, slots=True)
class Answer:
    """What `device` says, to which `request`, and the values that this means to a reader."""

    device: str
    data: bytes
    request: bytes = b""
    served: Sequence[Served] = ()
    dialect: Dialect = BYTES


class NotUnderstood(Exception):
    """These bytes cannot be the protocol of this line; a server closes the connection."""


class Hearing(Protocol):
    """One reader of requests: of a whole line, or of one TCP connection.

    `silence_s`: how long it must have been quiet for `silence` to be called; 0: never.
    """

    silence_s: float

    def feed(self, data: bytes) -> Iterable[Answer]:
        """The answer to every request that is complete now; raises `NotUnderstood`."""

    def silence(self) -> Iterable[Answer]:
        """The line was quiet: what waits is a whole request, or rubbish."""


MakeHearing = Callable[[], Hearing]


class Deaf:
    """Hears nothing: behind it is an instrument that sends by itself."""

    silence_s = 0.0

    def feed(self, data: bytes) -> Iterable[Answer]:
        del data
        return ()

    def silence(self) -> Iterable[Answer]:
        return ()
