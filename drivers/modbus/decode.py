"""What the bytes of a captured exchange mean under a profile, for `oc-agent decode`. Pure.

Promises: everything in the exchange matches, or there is an error and no value. Must not know: ports, time.
"""

from collections.abc import Sequence
from typing import Literal

from drivers.api import Reading
from drivers.errors import BadReply
from drivers.modbus.framing import NOISE, crc16, crc_ok, mbap_frames
from drivers.modbus.guards import judged
from drivers.modbus.pdu import FUNCTIONS, Request, answer, refusal
from drivers.modbus.plan import compile_plan, readings, reply_bytes
from drivers.modbus.profile import ModbusProfile, Table

Framing = Literal["rtu", "mbap", "bare"]
"""RTU with checksum; Modbus/TCP; or unit and PDU alone, as over USB HID."""

_TABLES: dict[int, Table] = {function: table for table, function in FUNCTIONS.items()}


def decode(profile: ModbusProfile, request: bytes | None, response: bytes) -> Sequence[Reading]:
    """The readings of every point that lies wholly inside what was asked; their `mono_ns` is 0.

    What is guarded (`valid_if`) by a point that is not in these bytes is shown as it stands there.
    `request` tells the addresses. Without it the profile must have exactly one place of that function and size.
    Raises `BadReply` where anything does not match, `DeviceRefused` for an exception reply.
    """
    if request is None:
        framing, number = ("mbap" if _looks_mbap(response) else "rtu"), None
        unit, pdu = _open(response, framing)[1:]
        asked = _guess(profile, unit, pdu)
    else:
        framing, number, asked = _parse_request(request)
        answered, unit, pdu = _open(response, framing)
        if answered != number:
            raise BadReply(f"the answer carries number {answered}, the request {number}")
    if unit != asked.unit:
        raise BadReply(f"unit {unit} answered, unit {asked.unit} was asked")
    found = answer(asked, pdu)
    if found is None:
        raise BadReply(f"function {pdu[0]} with {len(pdu) - 2} data bytes does not answer {asked}")
    if found.refused:
        raise refusal(asked, found.refused)
    points = [point for point in profile.point if point.table == asked.table]
    inside = list(readings(profile, points, asked.address, found.words, 0))
    if not inside:
        raise BadReply(f"{profile.vendor} {profile.model} has no point wholly inside {asked}")
    return list(judged(points, {reading.point: reading for reading in inside}).values())


def _parse_request(request: bytes) -> tuple[Framing, int | None, Request]:
    framing: Framing = "bare"
    if _looks_mbap(request):
        framing = "mbap"
    elif len(request) != 6:
        framing = "rtu"
    number, unit, pdu = _open(request, framing)
    table = _TABLES.get(pdu[0])
    if table is None or len(pdu) != 5:
        raise BadReply(f"{request.hex(' ')} is no read of registers or bits (functions 1 to 4)")
    asked = Request(unit, table, int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"))
    if not 1 <= asked.count <= (125 if table in ("holding", "input") else 2000):
        raise BadReply(f"the request asks for {asked.count} at once, which Modbus does not allow")
    return framing, number, asked


def _open(frame: bytes, framing: str) -> tuple[int | None, int, bytes]:
    """Transaction number, unit and PDU of one whole frame."""
    if framing == "mbap":
        frames = list(mbap_frames(frame))
        if len(frames) != 1 or len(frame) != len(frames[0][2]) + 7:
            raise BadReply(f"{frame.hex(' ')} is not one whole Modbus/TCP frame")
        return frames[0]
    if framing == "rtu":
        frame = _without_noise(frame)[:-2]
    if len(frame) < 3:
        raise BadReply(f"{frame.hex(' ') or 'nothing'} is too short for a Modbus frame")
    return None, frame[0], frame[1:]


def _without_noise(heard: bytes) -> bytes:
    """The one RTU frame in `heard`; around it stand only bytes that a line makes while it turns around."""
    before = len(heard) - len(heard.lstrip(NOISE))
    after = len(heard.rstrip(NOISE))
    for start in range(before + 1):
        for end in range(len(heard), after - 1, -1):
            frame = heard[start:end]
            if crc_ok(frame) and _whole(frame):
                return frame
    want = crc16(heard[:-2]).to_bytes(2, "little").hex(" ")
    raise BadReply(f"the checksum of {heard.hex(' ')} is wrong: {want} would fit; is a byte missing?")


def _whole(frame: bytes) -> bool:
    """Has the frame the length of a read request, a read reply or an exception?"""
    if frame[1] & 0x80:
        return len(frame) == 5
    return len(frame) == 8 or len(frame) == 5 + frame[2]


def _looks_mbap(frame: bytes) -> bool:
    return len(frame) > 8 and frame[2:4] == b"\0\0" and int.from_bytes(frame[4:6], "big") == len(frame) - 6


def _guess(profile: ModbusProfile, unit: int, pdu: bytes) -> Request:
    """The request that must have been: the only place of the profile with this function and size."""
    table = _TABLES.get(pdu[0] & 0x7F)
    if table is None:
        raise BadReply(f"function {pdu[0]} is no read of registers or bits (functions 1 to 4)")
    if pdu[0] & 0x80:
        return Request(unit, table, 0, 1)
    points = [point for point in profile.point if point.table == table]
    blocks = [*compile_plan(profile, points).blocks]
    for point in points:
        blocks += compile_plan(profile, [point]).blocks
    places = {(b.address, b.count) for b in blocks if reply_bytes(table, b.count) == len(pdu) - 2}
    if len(places) != 1:
        many = "more than one place" if places else "no place"
        raise BadReply(f"--request is needed: the profile has {many} with {len(pdu) - 2} bytes of {table}")
    [(address, count)] = places
    return Request(unit, table, address, count)
