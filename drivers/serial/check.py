"""What single keys of a serial profile cannot show: frames that could never come, points that stand nowhere.

Promises: a profile that passes can be framed and read. Must not know: ports.
"""

import re
from collections.abc import Sequence
from itertools import chain

from drivers.serial.binary import width
from drivers.serial.profile import BINARY_TYPES, PER_UNIT, TEXT_TYPES, Factor, Frame, Place, SerialPoint, SerialProfile
from drivers.tomlfile import Section

_TEXT_KEYS = (
    "sentence",
    "field",
    "pattern",
    "repeats",
    "not_valid",
    "where",
    "format",
    "hemisphere",
    "unit_field",
    "factor",
    "units",
    "also",
)


def check_profile(profile: SerialProfile, section: Section) -> None:
    """Report frames, requests and points that make no sense together."""
    frame = profile.frame
    before = section.problem_count
    place = section.child("frame")
    if frame.is_text:
        _check_line(frame, place)
    else:
        _check_binary(frame, place)
    if frame.alone and frame.max_pause_s is None:
        place.problem("alone", "between which pauses?", "add `max_pause_s = 0.05`")
    _check_patterns(place.children("refusals"), ("reply",))
    check_asking(profile, section)
    if section.problem_count > before:
        return
    for point, where in zip(profile.point, section.children("point"), strict=True):
        if frame.is_text:
            _check_text_point(point, where)
        else:
            _check_binary_point(frame, point, where)


_BINARY_KEYS = ("header", "length", "size", "trailer", "stuffing", "warming_up", "byte_order")
_LINE_KEYS = ("start", "end", "talker", "separator", "sentences")


def _check_line(frame: Frame, place: Section) -> None:
    if not frame.start.isascii() or (not frame.start and frame.mode == "stream"):
        place.problem("start", "a line begins with one of these ASCII characters", 'add `start = "$"`')
    if not frame.end.isascii() or not frame.end or frame.end.isprintable():
        place.problem("end", "a line ends with control characters", 'write `end = "\\r\\n"`')
    for key in _BINARY_KEYS:
        if key in place.data:
            place.problem(key, "means nothing in a line of text", "remove it")


def _check_binary(frame: Frame, place: Section) -> None:
    if not frame.header and frame.framing != "stuffed":
        place.problem("header", "a binary frame begins with these bytes", 'add `header = "42 4D"`')
    if frame.framing == "fixed":
        if frame.size is None:
            place.problem("size", "is missing: how many bytes has a frame?", "add `size = 10`")
        elif frame.size < len(bytes.fromhex(frame.header + frame.trailer)) + frame.checked.tail:
            place.problem("size", "has no room for header, checksum and trailer", "count all bytes of the frame")
    elif frame.length is None:
        if frame.framing == "length":
            fix = "add `length = { at = 2, size = 2, add = 4, min = 28, max = 28 }`"
            place.problem("length", "is missing: where does the frame say how long it is?", fix)
    elif frame.length.min > frame.length.max:
        place.problem("length", "`min` is above `max`", "write the smallest and the largest number of the field")
    elif frame.length.min + frame.length.add < _least(frame):
        what = "a frame of `min` plus `add` bytes has no room for its header, length and checksum"
        place.problem("length", what, "`add` is what the number does not count")
    for key in _LINE_KEYS:
        if key in place.data:
            place.problem(key, "means nothing in a binary frame", "remove it")


def _least(frame: Frame) -> int:
    assert frame.length is not None
    return max(len(bytes.fromhex(frame.header)), frame.length.at + frame.length.size) + frame.checked.tail


def check_asking(profile: SerialProfile, section: Section) -> None:
    """Report requests and steps that could not be said, or whose answers could not be known."""
    frame = section.child("frame")
    if not profile.is_asked:
        for key in ("request", "settings", "duty"):
            if key in section.data:
                section.problem(key, "means nothing for an instrument that sends by itself", 'or write `mode = "poll"`')
        return
    if not profile.request:
        frame.problem("mode", "asks, but there is no `[[request]]`", 'add `[[request]]` with `send = "R\\n"`')
        return
    requests = section.children("request")
    for request, place in zip(profile.request, requests, strict=True):
        if bool(request.send) == bool(request.send_hex):
            place.problem("send", "a request is text or bytes", 'write `send = "R"` or `send_hex = "FF 01 86"`')
        if len(profile.request) > 1 and not request.reply:
            what = "is missing: with several requests, which frame is the answer to this one?"
            place.problem("reply", what, "add a regular expression that fits no other answer")
        _check_patterns(place.children("before"), _PATTERN_KEYS)
    _check_patterns(requests, ("reply",))
    _check_patterns(section.children("settings"), _PATTERN_KEYS)
    names = [request.name for request in profile.request]
    for point, place in zip(profile.point, section.children("point"), strict=True):
        if point.request not in names:
            known = ", ".join(names) or "none yet"
            place.problem("request", f'there is no request "{point.request}"', f"known: {known}")
    if profile.duty is not None and profile.frame.warm_up_s > MAX_WARM_UP_S:
        what = f"{profile.frame.warm_up_s:g} s is too long for an instrument that is woken for each reading"
        frame.problem("warm_up_s", what, f"write at most {MAX_WARM_UP_S:g}, or leave `duty` out")


_PATTERN_KEYS = ("expect", "ready", "unless")
MAX_WARM_UP_S = 45.0


def _check_patterns(places: Sequence[Section], keys: Sequence[str]) -> None:
    for place in places:
        for key in keys:
            _check_pattern(place, key)


def _check_pattern(place: Section, key: str) -> None:
    try:
        re.compile(str(place.data.get(key, "")).replace(PER_UNIT, "0").encode("latin-1"))
    except (re.error, ValueError) as err:
        place.problem(key, f"is no regular expression: {err}", "try it with Python's `re`")


def _check_text_point(point: SerialPoint, place: Section) -> None:
    if point.type not in TEXT_TYPES:
        place.problem("type", f"{point.type} is a type of binary frames", f"write one of: {', '.join(TEXT_TYPES)}")
    if point.at is not None:
        place.problem("at", "means nothing in a line of text", "write `field`, counted from 0")
    if point.enum and point.type == "f64":
        place.problem("enum", "names whole numbers or texts", 'write `type = "i64"` or `type = "string"`')
    if point.type == "i64" and any(p.units or p.format != "number" or p.hemisphere is not None for p in point.places):
        place.problem("type", "units, ddmm and hemisphere make fractions", 'write `type = "f64"`')
    factors = chain((point.scale,), *((p.factor, *map(_times, p.units.values())) for p in point.places))
    if point.decimals is None and any(factor != 1.0 for factor in factors):
        place.problem("decimals", "is missing: a factor gives endless digits", "add `decimals = 2`, or what is true")
    for wanted in point.places:
        _check_place(wanted, place)


def _check_place(wanted: Place, place: Section) -> None:
    if wanted.pattern:
        _check_value_pattern(wanted, place)
    elif wanted.field is None:
        place.problem("field", "is missing: which field of the line?", "add `field = 1`, counted from 0")
    has_unit = wanted.unit_field is not None or bool(wanted.pattern and wanted.units)
    if has_unit != bool(wanted.units):
        fix = "write both: `unit_field = 4` and `units = { N = 0.514444, M = 1.0 }`"
        place.problem("units", "`unit_field` and `units` belong together", fix)
    if wanted.factor == 0 or 0.0 in map(_times, wanted.units.values()):
        place.problem(
            "factor" if wanted.factor == 0 else "units",
            "a factor is 0: every value would be 0",
            "write the factor to the point's unit",
        )


def _check_value_pattern(wanted: Place, place: Section) -> None:
    try:
        groups = re.compile(wanted.pattern).groupindex
    except re.error as err:
        place.problem("pattern", f"is no regular expression: {err}", "try it with Python's `re`")
        return
    if "value" not in groups:
        place.problem("pattern", "has no group `value`", 'write `pattern = "Ta=(?P<value>[-.0-9]+)"`')
    if wanted.units and "unit" not in groups:
        place.problem("pattern", "has no group `unit`, but there are `units`", "add `(?P<unit>.)`")


def _times(factor: Factor) -> float:
    return factor[0] if isinstance(factor, tuple) else factor


def _check_binary_point(frame: Frame, point: SerialPoint, place: Section) -> None:
    if point.type not in BINARY_TYPES:
        what = f"{point.type} is a type of text lines" if "type" in place.data else "is missing"
        place.problem("type", what, f"write one of: {', '.join(BINARY_TYPES)}")
    if point.at is None:
        place.problem("at", "is missing: at which byte of the frame, the header included?", "add `at = 4`")
    elif (room := _room(frame)) is not None and point.at + width(point) > room:
        place.problem("at", f"the value goes past byte {room}, where the checksum begins", "check `at` and `type`")
    for key in _TEXT_KEYS:
        if key in place.data:
            place.problem(key, "means nothing in a binary frame", "write `at` and `type`")


def _room(frame: Frame) -> int | None:
    """How many bytes of a frame may hold values; None where that is not told. Answers to requests differ in length."""
    if frame.length is not None:
        value = frame.length.max if frame.mode == "poll" else frame.length.min
        return value + frame.length.add - frame.checked.tail
    return None if frame.size is None else frame.size - max(frame.checked.tail, len(bytes.fromhex(frame.trailer)))
