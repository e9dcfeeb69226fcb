"""Pelco-D: position queries, and their answers. Pure.

Source: Pelco D protocol manual, extended commands. Promises: an answer counts only with the right address, opcode and
checksum. Must not know: ports, time.
"""

SIZE = 7
QUERIES = {"pan": 0x51, "tilt": 0x53, "zoom": 0x55}
REPLIES = {"pan": 0x59, "tilt": 0x5B, "zoom": 0x5D}
FULL_CIRCLE = 36_000
"""Pan and tilt come in hundredths of a degree."""


def query(unit: int, source: str) -> bytes:
    """The message that asks the camera `unit` for its position."""
    return message(unit, QUERIES[source], 0)


def message(unit: int, opcode: int, data: int) -> bytes:
    """A whole message."""
    body = bytes([unit, 0, opcode]) + data.to_bytes(2, "big")
    return b"\xff" + body + bytes([sum(body) & 0xFF])


def answered(frame: bytes, unit: int, source: str) -> int | str:
    """The number in the answer, or why it is none."""
    shown = frame.hex(" ").upper()
    if len(frame) != SIZE or frame[0] != 0xFF:
        return f"{shown} is not one message of 7 bytes"
    if frame[6] != sum(frame[1:6]) & 0xFF:
        return f"{shown} has the checksum {frame[6]:02X}, {sum(frame[1:6]) & 0xFF:02X} would fit"
    if frame[1] != unit:
        return f"{shown} is from the camera {frame[1]}"
    if frame[3] != REPLIES[source]:
        return f"{shown} is no answer to the question for {source}"
    return int.from_bytes(frame[4:6], "big")


def degrees(source: str, raw: int) -> float | None:
    """Degrees of a pan or tilt; tilts over 180 are those below 0, as cameras count that look under the horizon.

    None for a number that is no angle.
    """
    if raw >= FULL_CIRCLE:
        return None
    if source == "tilt" and raw > FULL_CIRCLE // 2:
        raw -= FULL_CIRCLE
    return raw / 100
