"""How requests and answers stand on the wire: RTU with a CRC, ASCII with an LRC, Modbus/TCP with a number. Pure.

Promises: a frame answers a request only when unit, function, count and checksum (or number) all match; what stands
around it is handed back. Must not know: ports, time.
Source: Modbus over Serial Line V1.02, 2.5.1 (RTU), 2.5.2 (ASCII), 6.2; Messaging on TCP/IP V1.0b, 3.1.3.
"""

from collections.abc import Iterator

from drivers.errors import BadReply
from drivers.modbus.pdu import Answer, Identify, Request, answer, answer_length

NOISE = b"\x00\xff"
"""What the line shows while an RS-485 driver switches direction: stray bytes of these values stand around frames."""

_MBAP_BYTES = 6
_READS = (1, 2, 3, 4)

Found = tuple[Answer, bytes]
"""An answer, and the bytes before and after it."""


def _shifted_out(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_CRC_OF = tuple(map(_shifted_out, range(256)))
"""What each byte does to a checksum: bit by bit an answer of 100 registers takes a tenth of the silence after it."""


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS; it goes on the wire low byte first (Serial Line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_OF[(crc ^ byte) & 0xFF]
    return crc


def crc_ok(frame: bytes) -> bool:
    """Do the last two bytes of an RTU frame fit the others?"""
    return len(frame) >= 4 and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def lrc(data: bytes) -> int:
    """The checksum of ASCII frames: two's complement of the sum of the bytes (Serial Line V1.02, 6.2.1)."""
    return -sum(data) & 0xFF


def rtu_answer(request: Request | Identify, heard: bytes, sent: bytes = b"") -> Found | None:
    """The first RTU frame in `heard` that answers `request`; None where there is none yet.

    `sent` is the request as sent: half-duplex adapters echo it, and an echo is no answer.
    """
    if sent:
        if sent.startswith(heard):
            return None
        heard = heard.replace(sent, b"", 1)
    for at in range(len(heard) - 4):
        if heard[at] != request.unit:
            continue
        length = answer_length(request, heard[at + 1 :])
        if length is None or len(frame := heard[at : at + length + 3]) < length + 3:
            continue
        found = answer(request, frame[1:-2])
        if found and crc_ok(frame):
            return found, heard[:at] + heard[at + length + 3 :]
    return None


def rtu_replies(heard: bytes) -> list[tuple[int, bytes]]:
    """Unit and PDU of every whole reply to a read, or refusal of one, in `heard`, whoever was asked."""
    found, at = [], 0
    while at <= len(heard) - 5:
        length = _reply_bytes(heard[at + 1], heard[at + 2])
        frame = heard[at : at + length]
        if length and len(frame) == length and heard[at] and crc_ok(frame):
            found.append((frame[0], frame[1:-2]))
            at += length
        else:
            at += 1
    return found


def _reply_bytes(function: int, count: int) -> int:
    """How long the frame is of a reply with this function, and this number behind it; 0 where it is none to a read."""
    if function & 0x80:
        return 5 if function & 0x7F in _READS and count else 0
    return 5 + count if function in _READS and count else 0


def ascii_answer(request: Request | Identify, heard: bytes, sent: bytes = b"") -> Found | None:
    """The first ASCII frame in `heard` that answers `request`; None where there is none yet. As `rtu_answer`."""
    if sent:
        heard = heard.replace(sent, b"", 1)
    start = heard.find(b":")
    while start >= 0:
        end = heard.find(b"\r\n", start)
        body = ascii_body(heard[start : end + 2]) if end >= 0 else None
        if body and body[0] == request.unit and (found := answer(request, body[1:])):
            return found, heard[:start] + heard[end + 2 :]
        start = heard.find(b":", start + 1)
    return None


def ascii_body(frame: bytes) -> bytes | None:
    """Unit and PDU of one whole ASCII frame, `:` to CR LF; None where it is none or its LRC is wrong."""
    digits = frame[1:-2]
    if frame[:1] != b":" or frame[-2:] != b"\r\n" or len(digits) % 2 or not digits.isalnum():
        return None
    try:
        body = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    return body[:-1] if len(body) >= 4 and lrc(body[:-1]) == body[-1] else None


def mbap_frames(stream: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The whole frames at the start of a Modbus/TCP stream: transaction number, unit, PDU.

    Raises `BadReply` where the stream is no Modbus/TCP.
    """
    while len(stream) > _MBAP_BYTES:
        if stream[2:4] != b"\0\0" or not 3 <= (length := int.from_bytes(stream[4:6], "big")) <= 254:
            raise BadReply(f"{stream[:8].hex(' ')} is no Modbus/TCP header; is this RTU over TCP?")
        if len(stream) < _MBAP_BYTES + length:
            return
        yield int.from_bytes(stream[:2], "big"), stream[6], stream[7 : _MBAP_BYTES + length]
        stream = stream[_MBAP_BYTES + length :]
