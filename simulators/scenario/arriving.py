"""`[arrives]`: how a gateway that does not speak contract v1 says device, point, value and time. Pure.

A pattern is a JSON pointer in which a part may be `*` (any), `{device}` or `{point}` (any, and that is the name):
`value = "/{device}/*/values/{point}"`, `time = "/{device}/*/ts"`. What a `*` of `value` has found, the same `*` of
`time` means. Without a pointer the payload is the value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from simulators.scenario.evidence import Arrival

_SECONDS_BELOW = 100_000_000_000
"""A time below is in seconds: in milliseconds it would be in 1973."""
_NAMES = ("{device}", "{point}")
Pointer = Annotated[
    str,
    msgspec.Meta(pattern=r"^(/[^/]*)*$", description='a JSON pointer like "/values/{point}"', examples=["/v"]),
]


class Arrives(msgspec.Struct, frozen=True, kw_only=True):
    """`[arrives]`. `device` and `point`: names where neither topic nor pointer says them. The tables translate."""

    topic: Annotated[str, msgspec.Meta(min_length=1, examples=["telemetry/{device}/{point}"])]
    value: Pointer = ""
    time: Pointer = ""
    quality: Pointer = ""
    device: str = ""
    point: str = ""
    devices: dict[str, str] = {}
    points: dict[str, str] = {}
    qualities: dict[str, str] = {}
    tolerance: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-6

    @property
    def filter(self) -> str:
        """The topic filter to subscribe to."""
        return "/".join("+" if part in (*_NAMES, "*") else part for part in self.topic.split("/"))

    def problem(self) -> str:
        """What is missing, in words; empty where device, point and value can be told."""
        for name, given in (("device", self.device), ("point", self.point)):
            if not given and f"{{{name}}}" not in self.topic and f"{{{name}}}" not in self.value:
                return f"nothing says the {name}: write {{{name}}} in `topic` or `value`, or add `{name}`"
        return ""


@dataclass(frozen=True)
class _Found:
    """A value, the names on the way to it, and which parts the stars were."""

    value: Any
    names: Mapping[str, str]
    stars: Sequence[str] = field(default_factory=tuple)


def arrivals(told: Arrives, topic: str, payload: bytes, received_ms: int) -> Iterator[Arrival]:
    """The values in one message; raises `ValueError` where it is not what `[arrives]` says."""
    names = _topic_names(told.topic, topic)
    if names is None:
        return
    document = _document(payload)
    for found in _walk(document, _parts(told.value), _Found(None, names)):
        device = found.names.get("{device}", told.device)
        point = found.names.get("{point}", told.point)
        quality = _quality(told, _at(document, told.quality, found)) if told.quality else ""
        yield Arrival(
            device=told.devices.get(device, device),
            point=told.points.get(f"{device}.{point}", told.points.get(point, point)),
            value=_scalar(found.value),
            time_ms=_time_ms(_at(document, told.time, found)) if told.time else received_ms,
            received_ms=received_ms,
            quality=quality,
        )


def _topic_names(pattern: str, topic: str) -> dict[str, str] | None:
    """What the parts of a topic mean; None where it does not fit."""
    names: dict[str, str] = {}
    wanted, given = pattern.split("/"), topic.split("/")
    for index, part in enumerate(wanted):
        if part == "#":
            return names
        if index >= len(given):
            return None
        if part in _NAMES:
            names[part] = given[index]
        elif part not in ("+", "*", given[index]):
            return None
    return names if len(wanted) == len(given) else None


def _document(payload: bytes) -> Any:
    """JSON, or else text: `21.5` is both."""
    try:
        return msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return payload.decode("utf-8", "replace")


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _walk(value: Any, parts: Sequence[str], found: _Found) -> Iterator[_Found]:
    if not parts:
        yield _Found(value, found.names, found.stars)
        return
    part, rest = parts[0], parts[1:]
    if part in _NAMES:
        for key, one in _members(value):
            yield from _walk(one, rest, _Found(None, {**found.names, part: key}, found.stars))
    elif part == "*":
        for key, one in _members(value):
            yield from _walk(one, rest, _Found(None, found.names, (*found.stars, key)))
    else:
        for key, one in _members(value):
            if key == part:
                yield from _walk(one, rest, found)


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((str(index), one) for index, one in enumerate(value))


def _at(document: Any, pointer: str, found: _Found) -> Any:
    """What another pointer names, for the value that was found; raises `ValueError` where there is nothing."""
    stars = iter(found.stars)
    value = document
    for part in _parts(pointer):
        key = next(stars, "") if part == "*" else found.names.get(part, part)
        members = dict(_members(value))
        if key not in members:
            raise ValueError(f"there is nothing at {pointer}")
        value = members[key]
    return value


def _time_ms(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * 1_000) if value < _SECONDS_BELOW else int(value)
    try:
        if re.fullmatch(r"\d+(\.\d+)?", str(value)):
            return _time_ms(float(value))
        moment = datetime.fromisoformat(str(value))
    except ValueError as err:
        raise ValueError(f"{value!r} is no time") from err
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


def _quality(told: Arrives, value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return told.qualities.get(text, "" if text.casefold() == "good" else text)


def _scalar(value: Any) -> Any:
    """A value as contract v1 could have it; a table or a list is none."""
    return value if isinstance(value, bool | int | float | str) else None
