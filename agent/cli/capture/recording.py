"""What was said on a line, as exchanges: a request and what came after it, or what came by itself. Pure but its clock.

Modbus/TCP and ASCII stand there framed as RTU, as all captures do. Must not know: profiles, files.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from drivers.errors import BadReply
from drivers.modbus.framing import ascii_body, crc16, mbap_frames
from drivers.tap import Way

PAUSE_S = 0.05
"""So long a silence parts what comes by itself: the frames of a burst follow each other at once."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """`request` is None for what came by itself."""

    request: bytes | None
    response: bytes


class Recorder:
    """A `drivers.tap.Tap` that keeps everything, with its time."""

    def __init__(self) -> None:
        self._events: list[tuple[float, Way, bytes]] = []

    def __call__(self, way: Way, data: bytes) -> None:
        self._events.append((time.monotonic(), way, data))

    def exchanges(self, pause_s: float = PAUSE_S) -> list[Exchange]:
        """Everything in order; what comes by itself in the pieces that a pause parts."""
        return list(in_exchanges(self._events, pause_s))


def in_exchanges(events: Iterable[tuple[float, Way, bytes]], pause_s: float) -> Iterator[Exchange]:
    """A request and all that came until the next one; else pieces of a stream."""
    request: bytes | None = None
    response = b""
    last_s = 0.0
    for at_s, way, data in events:
        is_new = way == "sent" or (request is None and at_s - last_s > pause_s)
        if is_new and (response or request is not None):
            yield Exchange(request, response)
        if is_new:
            request, response = (data, b"") if way == "sent" else (None, data)
        else:
            response += data
        last_s = at_s
    if response or request is not None:
        yield Exchange(request, response)


def as_rtu(exchange: Exchange, framing: str) -> Exchange:
    """The same framed as RTU, without the echo of an adapter; what is no frame stays as it is."""
    request, response = exchange.request or b"", exchange.response
    if framing == "mbap":
        return Exchange(_of_mbap(request), _of_mbap(response, request[:2]))
    response = response.removeprefix(request)
    if framing == "ascii":
        return Exchange(_of_ascii(request), _of_ascii(response))
    return Exchange(request, response)


def rtu(unit: int, pdu: bytes) -> bytes:
    """An RTU frame."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def _of_mbap(stream: bytes, number: bytes = b"") -> bytes:
    """The frame with this number, of all that stand in `stream`; the first where no number is given."""
    with suppress(BadReply):
        for found, unit, pdu in mbap_frames(stream):
            if not number or found == int.from_bytes(number, "big"):
                return rtu(unit, pdu)
    return b"" if number else stream


def _of_ascii(line: bytes) -> bytes:
    body = ascii_body(line[max(0, line.rfind(b":")) :])
    return rtu(body[0], body[1:]) if body else line
