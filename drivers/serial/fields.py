"""From a whole frame to values, and back. Pure.

Promises: a value comes only from a frame that says its values are valid, in a unit that the profile knows; `patch`
is the inverse of reading. Must not know: how frames are cut out of a stream, time, what was read before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drivers.api import Quality, Value
from drivers.scaling import scaled
from drivers.serial import binary, text
from drivers.serial.framing import with_checksum
from drivers.serial.profile import Flags, Frame, Place, SerialPoint, SerialProfile
from drivers.serial.text import Line


@dataclass(frozen=True, slots=True)
class Found:
    """What one frame says of one point.

    `rank` is the number of the place among the point's places, 0 the preferred one. `empty`: the field is there and
    has nothing in it. `status` is the flag, as it was sent, that made the quality.
    """

    point: SerialPoint
    value: Value | None
    quality: Quality = Quality.GOOD
    rank: int = 0
    status: str | None = None
    empty: bool = False


class FieldReader:
    """Reads the frames of one profile. Which points stand in which sentence is worked out once."""

    def __init__(self, profile: SerialProfile) -> None:
        self._frame = profile.frame
        self._points: tuple[SerialPoint, ...] = profile.point
        self._places = _places(self._points) if self._frame.is_text else {}

    def read(self, data: bytes, asked: Sequence[SerialPoint] | None = None) -> list[Found]:
        """What the whole frame `data` says, in the order of the profile; nothing where no point stands in it.

        `asked`: it is the answer to a request, and only these points can be in it.
        """
        if self._frame.is_text:
            places = None if asked is None else _every_place(asked)
            return list(self._line(text.parse(self._frame, data), places))
        return list(self._binary(data, self._points if asked is None else asked))

    def _binary(self, data: bytes, points: Sequence[SerialPoint]) -> Iterator[Found]:
        frame = self._frame
        if _is_warming_up(frame, data):
            yield from (Found(point, None, Quality.WARMING_UP) for point in points)
            return
        verdict = _verdict(frame.flags, lambda index: binary.byte_text(data, index), "")
        for point in points:
            yield _judged(point, binary.raw(frame, point, data), verdict if point.flagged else _TRUSTED)

    def _line(self, line: Line, asked: "_Places | None") -> Iterator[Found]:
        verdict = _verdict(self._frame.sentences.get(line.sentence, self._frame.flags), line.field, line.body)
        places = self._places.get(line.sentence, self._places.get("", ())) if asked is None else asked
        found = ""
        for point, rank, place in places:
            if point.name != found and text.is_at(line, place):
                found = point.name
                yield _read_place(point, rank, place, line, verdict if point.flagged else _TRUSTED)


def patch(frame: Frame, point: SerialPoint, data: bytes, value: Value) -> bytes:
    """The complete frame `data` with `value` in the place of `point`, and its checksum made anew.

    Raises `ValueError` where the frame has no place for the point, or the place cannot hold the value.
    """
    if not frame.is_text:
        return with_checksum(frame, binary.patched(frame, point, data, value))
    line = text.parse(frame, data)
    for place in point.places:
        if text.is_at(line, place):
            return with_checksum(frame, text.build(frame, data, text.patched(frame, line, place, point, value)))
    raise ValueError(f"{point.name} has no place in {line.fields[0]}")


_Places = tuple[tuple[SerialPoint, int, Place], ...]


def _every_place(points: Sequence[SerialPoint]) -> _Places:
    return tuple((point, rank, place) for point in points for rank, place in enumerate(point.places))


def _places(points: Sequence[SerialPoint]) -> dict[str, _Places]:
    """The points, ranks and places of each sentence in the order of the profile; `""` for lines of any name."""
    every = _every_place(points)
    names = {place.sentence for _, _, place in every}
    return {name: tuple(one for one in every if one[2].sentence in ("", name)) for name in names}


def _read_place(point: SerialPoint, rank: int, place: Place, line: Line, verdict: "_Verdict") -> Found:
    written = text.written(place, line)
    if not written and verdict.valid:
        return Found(point, None, Quality.FAULT, rank, empty=True)
    try:
        raw = text.raw(point, place, line)
    except text.UnknownUnit as err:
        return Found(point, None, Quality.CONFIGURATION, rank, status=str(err))
    except text.NotValid as err:
        return Found(point, None, Quality.FAULT, rank, status=str(err))
    return _judged(point, raw, verdict, rank, written)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the flags of one frame say about its values."""

    valid: bool = True
    quality: Quality = Quality.GOOD
    status: str | None = None


_TRUSTED = _Verdict()


def _verdict(flags: Flags, sent: "binary.Sent", body: str) -> _Verdict:
    for index, good in flags.valid.items():
        if (flag := sent(int(index))) not in good:
            return _Verdict(valid=False, status=flag or None)
    for index, good in flags.valid_if_sent.items():
        flag = sent(int(index))
        if flag is not None and flag not in good:
            return _Verdict(valid=False, status=flag or None)
    for index, bad in flags.invalid.items():
        if (flag := sent(int(index))) in bad:
            return _Verdict(valid=False, status=flag)
    for mark, quality in flags.marks.items():
        if mark in body:
            return _Verdict(quality=quality, status=mark)
    for index, qualities in flags.quality.items():
        flag = sent(int(index))
        if flag in qualities:
            return _Verdict(quality=qualities[flag], status=flag)
    return _TRUSTED


def _judged(
    point: SerialPoint, raw: float | str | None, verdict: _Verdict, rank: int = 0, written: str | None = None
) -> Found:
    """The value of a raw number or text under the verdict of its frame; without a raw value it was `written` badly."""
    if not verdict.valid:
        return Found(point, None, Quality.FAULT, rank, verdict.status)
    if raw is None:
        return Found(point, None, Quality.FAULT, rank, written)
    value, quality = _named(point, raw) if isinstance(raw, str) else scaled(point, raw)
    return Found(point, value, verdict.quality or quality, rank, verdict.status)


def _named(point: SerialPoint, raw: str) -> tuple[Value, Quality]:
    if not point.enum:
        return raw, Quality.GOOD
    name = point.enum.get(raw)
    return (name, Quality.GOOD) if name is not None else (raw, Quality.OUT_OF_RANGE)


def _is_warming_up(frame: Frame, data: bytes) -> bool:
    if frame.warming_up != "all_zero":
        return False
    length = frame.length
    start = length.at + length.size if length else len(bytes.fromhex(frame.header))
    return not any(data[start : len(data) - max(frame.checked.tail, len(bytes.fromhex(frame.trailer)))])
