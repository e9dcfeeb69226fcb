"""What single keys of a serial profile cannot show: frames that could never come, points that stand nowhere.

Promises: a profile that passes can be framed and read. Must not know: ports.
"""

from itertools import chain

from drivers.serial.binary import WIDTH, width
from drivers.serial.checksums import CHECKSUMS
from drivers.serial.options import BINARY_TYPES, TEXT_TYPES, Frame, Place, SerialPoint, SerialProfile
from drivers.tomlfile import Section

_TEXT_KEYS = ("sentence", "field", "where", "format", "hemisphere", "unit_field", "factor", "units", "also")


def check_profile(profile: SerialProfile, section: Section) -> None:
    """Report frames and points that make no sense together."""
    frame = profile.frame
    before = section.problem_count
    place = section.child("frame")
    if frame.mode != "stream":
        place.problem("mode", f'"{frame.mode}" is not yet in this version', 'write `mode = "stream"`')
    if frame.framing == "line":
        _check_line(frame, place)
    else:
        _check_length(frame, place)
    if section.problem_count > before:
        return
    for point, where in zip(profile.point, section.children("point"), strict=True):
        if frame.framing == "line":
            _check_text_point(point, where)
        else:
            _check_binary_point(frame, point, where)


def _check_line(frame: Frame, place: Section) -> None:
    if not frame.start.isascii() or not frame.start:
        place.problem("start", "a line begins with one of these ASCII characters", 'add `start = "$"`')
    if not frame.end.isascii() or not frame.end or frame.end.isprintable():
        place.problem("end", "a line ends with control characters", 'write `end = "\\r\\n"`')
    for key in ("header", "length", "warming_up", "byte_order"):
        if key in place.data:
            place.problem(key, "means nothing in a line of text", "remove it")


def _check_length(frame: Frame, place: Section) -> None:
    if not frame.header or not _is_hex(frame.header):
        place.problem("header", "a binary frame begins with these bytes", 'add `header = "42 4D"`')
    if frame.length is None:
        fix = "add `length = { at = 2, size = 2, add = 4, min = 28, max = 28 }`"
        place.problem("length", "is missing: where does the frame say how long it is?", fix)
    elif frame.length.min > frame.length.max:
        place.problem("length", "`min` is above `max`", "write the smallest and the largest number of the field")
    elif frame.length.min + frame.length.add < _least(frame):
        what = "a frame of `min` plus `add` bytes has no room for its header, length and checksum"
        place.problem("length", what, "`add` is what the number does not count")
    for key in ("start", "end", "talker", "separator", "sentences"):
        if key in place.data:
            place.problem(key, "means nothing in a binary frame", "remove it")


def _least(frame: Frame) -> int:
    assert frame.length is not None
    head = max(len(bytes.fromhex(frame.header)) if _is_hex(frame.header) else 0, frame.length.at + frame.length.size)
    return head + CHECKSUMS[frame.checksum].tail


def _is_hex(text: str) -> bool:
    try:
        return bool(bytes.fromhex(text))
    except ValueError:
        return False


def _check_text_point(point: SerialPoint, place: Section) -> None:
    if point.type not in TEXT_TYPES:
        place.problem("type", f"{point.type} is a type of binary frames", f"write one of: {', '.join(TEXT_TYPES)}")
    if point.at is not None:
        place.problem("at", "means nothing in a line of text", "write `field`, counted from 0")
    if point.enum and point.type == "f64":
        place.problem("enum", "names whole numbers or texts", 'write `type = "i64"` or `type = "string"`')
    if point.type == "i64" and any(p.units or p.format != "number" or p.hemisphere is not None for p in point.places):
        place.problem("type", "units, ddmm and hemisphere make fractions", 'write `type = "f64"`')
    factors = chain((point.scale,), *((p.factor, *p.units.values()) for p in point.places))
    if point.decimals is None and any(factor != 1.0 for factor in factors):
        place.problem("decimals", "is missing: a factor gives endless digits", "add `decimals = 2`, or what is true")
    for wanted in point.places:
        _check_place(wanted, place)


def _check_place(wanted: Place, place: Section) -> None:
    if wanted.field is None:
        place.problem("field", "is missing: which field of the line?", "add `field = 1`, counted from 0")
    if (wanted.unit_field is None) != (not wanted.units):
        fix = "write both: `unit_field = 4` and `units = { N = 0.514444, M = 1.0 }`"
        place.problem("units", "`unit_field` and `units` belong together", fix)
    if wanted.factor == 0 or 0.0 in wanted.units.values():
        place.problem(
            "factor" if wanted.factor == 0 else "units",
            "a factor is 0: every value would be 0",
            "write the factor to the point's unit",
        )


def _check_binary_point(frame: Frame, point: SerialPoint, place: Section) -> None:
    if point.type not in BINARY_TYPES:
        what = f"{point.type} is a type of text lines" if "type" in place.data else "is missing"
        place.problem("type", what, f"write one of: {', '.join(WIDTH)}")
    if point.at is None:
        place.problem("at", "is missing: at which byte of the frame, the header included?", "add `at = 4`")
    elif frame.length is not None:
        room = frame.length.min + frame.length.add - CHECKSUMS[frame.checksum].tail
        if point.at + width(point) > room:
            place.problem("at", f"the value goes past byte {room}, where the checksum begins", "check `at` and `type`")
    for key in _TEXT_KEYS:
        if key in place.data:
            place.problem(key, "means nothing in a binary frame", "write `at` and `type`")
