"""From what was seen on a link to what is probably wrong with it. Pure: the same observations, the same diagnosis.

Promises: what all devices of a link share is said once, of the link; a device that only sometimes fails is a warning,
with how often. Codes and texts are in `agent.cli.doctor.devices.faults`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from agent.cli.doctor.devices.observation import LinkSeen, Observation
from agent.cli.doctor.devices.shapes import Shape
from agent.cli.doctor.finding import State

STILL_S: Final = 3_600.0
"""Nothing that is measured stands still for an hour: the last digit of a voltage or a temperature moves."""
BABBLE_BYTES: Final = 6
"""Fewer may be the rest of an answer to whoever used the line before."""
_OTHER_MODEL: Final = (1, 2, 3)
_BY_CODE: Final = {5: "device_busy", 6: "device_busy", 10: "gateway_path", 11: "gateway_target"}
_BY_SHAPE: Final[Mapping[Shape, str]] = {
    "nothing": "unit_silent",
    "echo": "only_echo",
    "noise": "noise",
    "other_unit": "other_unit",
    "other_count": "other_count",
    "bad_checksum": "reply_damaged",
    "short": "reply_short",
    "long": "reply_long",
    "not_modbus": "not_modbus_tcp",
    "garbage": "unit_garbage",
    "bytes": "no_frame",
}
_DAMAGED: Final[frozenset[Shape]] = frozenset(("bad_checksum", "short", "long"))
_OF_LINE: Final[Mapping[Shape, str]] = {
    "echo": "only_echo",
    "noise": "noise",
    "not_modbus": "not_modbus_tcp",
    "garbage": "line_garbage",
}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """A code, of what, and the values for its text. `often`: failures, of so many requests, where some went well."""

    code: str
    state: State
    subject: str
    values: dict[str, str]
    often: tuple[int, int] | None = None


def diagnosed(seen: LinkSeen) -> Iterator[Diagnosis]:
    """What is wrong with the link, then with each device; nothing where all is well."""
    if seen.trouble:
        yield _of_link(seen, seen.trouble)
        return
    asked = [one for one in seen.devices if not one.not_asked]
    shared = _shared(seen, asked)
    if seen.unasked >= BABBLE_BYTES and seen.framing != "bytes":
        yield _of_link(seen, "babble", "warn" if any(one.answers for one in asked) else "fail")
        if not any(one.shapes for one in asked):
            return
    elif shared:
        yield _of_link(seen, shared, hex_=_example(asked))
        return
    if any(one.echoes and one.answers for one in asked):
        yield _of_link(seen, "echo", "warn")
    for one in seen.devices:
        yield from _of_device(seen, one)


def _shared(seen: LinkSeen, asked: Sequence[Observation]) -> str:
    """The code of what all have in common, where nobody answers."""
    if not asked or any(one.answers or one.late_s or one.late_bytes or one.mismatch for one in asked):
        return ""
    shapes = {one.worst for one in asked if one.shapes}
    if shapes == {"nothing"}:
        if not seen.serial:
            return "tcp_mute"
        return "instrument_silent" if seen.framing == "bytes" else "line_silent"
    shapes.discard("nothing")
    if len(asked) > 1 and shapes and shapes <= _DAMAGED:
        return "line_damaged"
    return _OF_LINE.get(shapes.pop(), "") if len(shapes) == 1 else ""


def _of_device(seen: LinkSeen, one: Observation) -> Iterator[Diagnosis]:
    if one.not_asked:
        yield _found(seen, one, "not_asked", "warn")
    elif one.mismatch:
        yield _found(seen, one, "other_model", "fail")
    elif one.shapes:
        yield from _failing(seen, one)
        yield from _refusing(seen, one)
        yield from _odd(seen, one)


def _failing(seen: LinkSeen, one: Observation) -> Iterator[Diagnosis]:
    state: State = "warn" if one.answers else "fail"
    if one.late_s:
        yield _found(seen, one, "late", "warn" if one.total else "fail")
    elif one.late_bytes and one.worst == "nothing":
        yield _found(seen, one, "late_bytes", state)
    elif one.valueless:
        yield _found(seen, one, "no_values", "fail")
    elif one.failures and not (one.slow and one.worst == "short"):
        often = (one.failures, one.shapes.total()) if one.answers else None
        yield _found(seen, one, _BY_SHAPE[one.worst], state, often)


def _refusing(seen: LinkSeen, one: Observation) -> Iterator[Diagnosis]:
    """Refusals; those of single points matter where they have cost a point."""
    code = one.codes[-1] if one.codes else 0
    if one.refused and one.shapes["answer"]:
        yield _found(seen, one, "points_refused", "warn")
    elif code and not one.shapes["answer"]:
        yield _found(
            seen, one, "registers_refused" if code in _OTHER_MODEL else _BY_CODE.get(code, "device_failure"), "fail"
        )
    elif code and code not in _OTHER_MODEL:
        often = (one.shapes["refusal"], one.shapes.total())
        yield _found(seen, one, _BY_CODE.get(code, "device_failure"), "warn", often)


def _odd(seen: LinkSeen, one: Observation) -> Iterator[Diagnosis]:
    """What answers, and yet is not as it should be."""
    if one.slow:
        yield _found(seen, one, "reply_slow", "warn" if one.total else "fail")
    if one.noises:
        yield _found(seen, one, "noise_around", "warn", (one.noises, one.shapes.total()))
    if one.implausible:
        most = len(one.implausible) > 1 and 2 * len(one.implausible) > one.total
        yield _found(seen, one, "byte_order" if most else "out_of_range", "fail" if most else "warn")
    if one.faulty:
        yield _found(seen, one, "device_fault", "warn")
    if one.still_s >= STILL_S:
        yield _found(seen, one, "unchanged", "warn")


def _of_link(seen: LinkSeen, code: str, state: State = "fail", *, hex_: str = "") -> Diagnosis:
    values = {
        "link": seen.link, "endpoint": seen.endpoint, "detail": seen.detail, "count": str(seen.unasked), "hex": hex_,
    }  # fmt: skip
    return Diagnosis(code=code, state=state, subject=seen.link, values=values)


def _found(
    seen: LinkSeen, one: Observation, code: str, state: State, often: tuple[int, int] | None = None
) -> Diagnosis:
    values = {
        "link": seen.link,
        "endpoint": seen.endpoint,
        "device": one.device,
        "unit": "—" if one.unit is None else str(one.unit),
        "other": ", ".join(map(str, one.other_units)),
        "hex": one.example or "…",
        "code": ", ".join(map(str, one.codes)),
        "detail": one.mismatch,
        "ms": f"{1000 * one.late_s:.0f}",
        "timeout_ms": f"{1000 * one.timeout_s:.0f}",
        "enough_s": f"{_enough_s(one.late_s):g}",
        "points": ", ".join(one.refused or one.implausible or one.faulty),
        "minutes": f"{one.still_s / 60:.0f}",
    }
    return Diagnosis(code=code, state=state, subject=one.device, values=values, often=often)


def _enough_s(late_s: float) -> float:
    """Half as much again, in steps of 0.5 s."""
    return max(0.5, round(1.5 * late_s * 2 + 0.49) / 2)


def _example(asked: Sequence[Observation]) -> str:
    return next((one.example for one in asked if one.example), "…")
