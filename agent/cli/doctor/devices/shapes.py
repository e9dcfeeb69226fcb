"""What came back to one request: an answer, an echo, noise, a broken frame, nothing. Pure.

More than `agent.cli.wiring` tells: of TCP and ASCII too, and how a frame is broken. Promises: whatever came has exactly
one shape; an echo of the request, and what stands around a frame, are told apart from it. Must not know: ports, time.
"""

from typing import Final, Literal

import msgspec

from drivers.errors import BadReply
from drivers.modbus.framing import NOISE, ascii_body, crc_ok, mbap_frames, rtu_replies

Framing = Literal["rtu", "ascii", "mbap", "bytes"]
"""How messages stand on the wire; `bytes`: a protocol of which nothing is known here."""

Shape = Literal[
    "nothing",
    "answer",
    "refusal",
    "echo",
    "noise",
    "other_unit",
    "other_count",
    "bad_checksum",
    "short",
    "long",
    "not_modbus",
    "garbage",
    "bytes",
]
"""`echo`, `noise`: nothing else came. `short`, `long`: begins as the answer, with bytes missing or too many.

`not_modbus`: no Modbus/TCP header. `garbage`: nothing in it looks like an answer. `bytes`: not to be judged here.
"""
_READS: Final = (1, 2, 3, 4)
_REFUSAL_BYTES: Final = 5
_HIGH_DIGITS: Final = (b"8", b"9", b"A", b"B", b"C", b"D", b"E", b"F")
"""How a function code begins in ASCII that has its highest bit set."""
_IDENTIFY: Final = b"\x2b"


class Heard(msgspec.Struct, frozen=True):
    """The shape of what came. `echo`: our request came back too. `noise`: something stood around a frame.

    `code` is the exception code of a refusal, `unit` the unit that answered in the place of the one that was asked.
    """

    shape: Shape
    echo: bool = False
    noise: bool = False
    code: int = 0
    unit: int = 0


def heard_as(asked: bytes, heard: bytes, framing: Framing) -> Heard:
    """The shape of `heard`, which came after `asked` was sent."""
    rest = heard if framing == "mbap" or not asked else heard.replace(asked, b"", 1)
    echo = len(rest) != len(heard)
    if not rest:
        return Heard("echo" if echo else "nothing", echo)
    if framing == "bytes":
        return Heard("bytes", echo)
    if not rest.strip(NOISE):
        return Heard("echo" if echo else "noise", echo, noise=True)
    match framing:
        case "mbap":
            return _stream(asked, rest)
        case "ascii":
            found = _ascii(asked, rest)
        case _:
            found = _rtu(asked, rest)
    return msgspec.structs.replace(found, echo=echo)


def _rtu(asked: bytes, heard: bytes) -> Heard:
    request = asked[1:-2]
    found = rtu_replies(heard)
    if not found and request[:1] == _IDENTIFY and crc_ok(heard) and heard[0] == asked[0]:
        return Heard("answer")
    for unit, pdu in sorted(found, key=lambda one: one[0] != asked[0]):  # of the unit that was asked first
        around = heard.replace(bytes([unit]) + pdu, b"", 1)[2:] if len(heard) > len(pdu) + 3 else b""
        return msgspec.structs.replace(_pdu(asked[0], request, unit, pdu), noise=bool(around))
    size = _size(request)
    if (at := heard.find(bytes([asked[0], asked[1] | 0x80]))) >= 0:
        return Heard(_by_length(len(heard) - at, _REFUSAL_BYTES))
    head = asked[:2] + bytes([size & 0xFF])
    if (at := heard.find(head)) >= 0:
        return Heard(_by_length(len(heard) - at, size + 5))
    starts = heard[0] in (asked[0], asked[1] | 0x80)  # a refusal whose first byte was lost
    if head.startswith(heard) or (starts and len(heard) < _REFUSAL_BYTES):
        return Heard("short")
    looks_like_it = (head[1:] in heard or heard[0] == asked[0]) and abs(len(heard) - size - 5) <= 1
    return Heard(_by_length(len(heard), size + 5) if looks_like_it else "garbage")


def _ascii(asked: bytes, heard: bytes) -> Heard:
    request = ascii_body(asked) or b"\0\0"
    start, end = heard.find(b":"), heard.find(b"\r\n")
    if start < 0:
        return Heard("garbage")
    body = ascii_body(heard[start : end + 2]) if end > start else None
    if body:
        found = _pdu(request[0], request[1:], body[0], body[1:])
        return msgspec.structs.replace(found, noise=bool(heard[:start] + heard[end + 2 :]))
    is_refusal = heard[start + 3 : start + 4] in _HIGH_DIGITS
    body_bytes = _REFUSAL_BYTES - 1 if is_refusal else _size(request[1:]) + 4
    return Heard(_by_length(len(heard) - start, 1 + 2 * body_bytes + 2))


def _stream(asked: bytes, heard: bytes) -> Heard:
    try:
        frames = list(mbap_frames(heard))
    except BadReply:
        return Heard("not_modbus")
    if not frames:
        return Heard("short")
    number, unit, pdu = frames[-1]
    if number != int.from_bytes(asked[:2], "big"):
        return Heard("garbage")
    return _pdu(asked[6], asked[7:], unit, pdu)


def _pdu(asked_unit: int, asked: bytes, unit: int, pdu: bytes) -> Heard:
    if unit != asked_unit:
        return Heard("other_unit", unit=unit)
    if pdu[0] == asked[0] | 0x80:
        return Heard("refusal", code=pdu[1] if len(pdu) > 1 else 0)
    if pdu[0] != asked[0]:
        return Heard("garbage")
    if asked[0] in _READS and len(pdu) != 2 + _size(asked):
        return Heard("other_count")
    return Heard("answer")


def _size(asked: bytes) -> int:
    """How many data bytes the answer to a read has; 0 where it is no read."""
    if len(asked) < 5 or asked[0] not in _READS:
        return 0
    count = int.from_bytes(asked[3:5], "big")
    return 2 * count if asked[0] > 2 else (count + 7) // 8  # 1 and 2 read bits


def _by_length(length: int, whole: int) -> Shape:
    return "short" if length < whole else "long" if length > whole else "bad_checksum"
