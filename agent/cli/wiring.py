"""What bytes on an RS-485 bus say of its wiring. Pure: `scan` and `doctor` share it.

Promises: a hint says what was seen and what to try, never more than the bytes show. Must not know: ports, time.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from agent.cli.messages import tr
from drivers.modbus.framing import NOISE, crc_ok, rtu_replies


class Symptom(StrEnum):
    """What came after one request."""

    ANSWER = "answer"
    TWICE = "twice"
    SILENT = "silent"
    ECHO = "echo"
    NOISE = "noise"
    CHECKSUM = "checksum"
    FOREIGN = "foreign"
    GARBAGE = "garbage"


class WiringHint(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen, and what to try. `code` stays the same in every version and language."""

    code: str
    what: str
    advice: str


def symptom(unit: int, sent: bytes, heard: bytes) -> Symptom:
    """What `heard` is after `sent` went to `unit`, both as on an RTU line.

    `ECHO`: our own bytes and nothing else. `NOISE`: only bytes that a line without bias makes. `CHECKSUM`: a reply of
    that unit with a wrong CRC. `FOREIGN`: whole replies, of other units. `TWICE`: more than one reply of that unit.
    """
    rest = heard.replace(sent, b"", 1) if sent else heard
    if not rest.strip(NOISE):
        return Symptom.ECHO if rest != heard else Symptom.NOISE if rest else Symptom.SILENT
    units = [one for one, _ in rtu_replies(rest)]
    if units:
        return (Symptom.FOREIGN, Symptom.ANSWER, Symptom.TWICE)[min(units.count(unit), 2)]
    return Symptom.CHECKSUM if _is_spoilt_reply(unit, sent, rest.strip(NOISE)) else Symptom.GARBAGE


def wiring_hints(seen: Mapping[int, Iterable[Symptom]], *, own_echo: bool = False) -> list[WiringHint]:
    """What the symptoms of each unit (at one baud and parity) say together; empty where there is nothing to say.

    `own_echo`: requests came back in front of answers too.
    """
    by_unit = {unit: Counter(symptoms) for unit, symptoms in seen.items()}
    total: Counter[Symptom] = sum(by_unit.values(), Counter())
    answering = [unit for unit, counts in by_unit.items() if counts[Symptom.ANSWER] or counts[Symptom.TWICE]]
    return list(_hints(by_unit, total, answering, own_echo=own_echo))


def _hints(
    by_unit: Mapping[int, Counter[Symptom]], total: Counter[Symptom], answering: list[int], *, own_echo: bool
) -> Iterator[WiringHint]:
    if not answering:
        yield from _nobody(total)
    elif own_echo:
        yield WiringHint(
            code="echo",
            what=tr("the adapter hears itself: each request comes back before the answer"),
            advice=tr("nothing is wrong: oc-agent takes the echo out"),
        )
    for unit, counts in by_unit.items():
        if counts[Symptom.TWICE]:
            yield _twice(unit)
        elif counts[Symptom.CHECKSUM]:
            yield _spoilt(unit, alone=answering in ([], [unit]))
        elif counts[Symptom.GARBAGE] and answering and unit not in answering:
            yield _collision(unit)
    if answering and total[Symptom.NOISE]:
        yield _noise()


def _nobody(total: Counter[Symptom]) -> Iterator[WiringHint]:
    if total[Symptom.GARBAGE] or total[Symptom.FOREIGN]:
        yield WiringHint(
            code="garbage",
            what=tr("bytes come that are no Modbus answer"),
            advice=tr("another baud rate or parity; another master on this bus; an instrument that sends by itself"),
        )
    elif total[Symptom.CHECKSUM]:
        return
    elif total[Symptom.ECHO]:
        yield WiringHint(
            code="only_echo",
            what=tr("only our own requests come back, and no answer"),
            advice=tr(
                "the adapter works: swap A and B, look at the power of the devices, their unit id and baud rate; "
                "RX and TX of an RS-232 adapter may be bridged"
            ),
        )
    elif total[Symptom.NOISE]:
        yield _noise()
    elif total[Symptom.SILENT]:
        yield WiringHint(
            code="silent",
            what=tr("not a single byte came back"),
            advice=tr(
                "look at the power of the devices; swap A and B; is this the right port? RS-485 on an RS-232 port says "
                "nothing; try other baud rates and unit ids"
            ),
        )


def _noise() -> WiringHint:
    return WiringHint(
        code="noise",
        what=tr("only 00 and FF come: a line without a level, not a device"),
        advice=tr("bias and termination: 120 ohm at both ends, and only there; connect the ground of the devices too"),
    )


def _spoilt(unit: int, *, alone: bool) -> WiringHint:
    what = tr("unit {unit} answers with wrong checksums", unit=unit)
    if alone:
        advice = tr("two devices may have this unit id: unplug one; else noise, a long stub, no termination")
    else:
        advice = tr("the others answer well: two devices have this unit id? unplug one and ask again")
    return WiringHint(code="checksum", what=what, advice=advice)


def _twice(unit: int) -> WiringHint:
    return WiringHint(
        code="two_devices",
        what=tr("unit {unit} answers twice to one request", unit=unit),
        advice=tr("two devices have this unit id: unplug one, and give the other another one"),
    )


def _collision(unit: int) -> WiringHint:
    return WiringHint(
        code="collision",
        what=tr("unit {unit} answers with bytes that are no frame, others answer well", unit=unit),
        advice=tr("two devices may have this unit id: unplug one; or its baud rate or parity differs"),
    )


def _is_spoilt_reply(unit: int, sent: bytes, heard: bytes) -> bool:
    """Does `heard` begin like the answer of `unit` to `sent`, and is as long, but its CRC is wrong?"""
    if len(heard) < 5 or heard[0] != unit or heard[1] & 0x7F != sent[1:2][0]:
        return False
    length = 5 if heard[1] & 0x80 else 5 + heard[2]
    return abs(len(heard) - length) <= 2 and not crc_ok(heard[:length])
