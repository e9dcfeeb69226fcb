"""Which profile fits a device of which nothing is known: what was read of it, held against every profile. Pure.

Promises: what is said is what was shown. That a value is plausible proves nothing; a text that a device says of itself
does. Must not know: the wire.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from agent.cli.messages import tr
from drivers.api import Quality, Reading
from drivers.modbus import codec
from drivers.modbus.identity import object_mismatch, probe_mismatch
from drivers.modbus.pdu import EXCEPTIONS, Request
from drivers.modbus.plan import Block, compile_plan, probe_plan, readings
from drivers.modbus.profile import ModbusPoint, ModbusProfile

Fit = Literal["fits", "may_fit", "untold", "no"]
"""`fits`: the device says so itself. `may_fit`: what it says is possible. `untold`: the registers are there, and say
nothing. `no`: something shows that it is another model."""
_ORDER: tuple[Fit, ...] = ("fits", "may_fit", "untold", "no")
_TINY = 1e-6
"""Registers that are no f32 mostly give a number near 0 as one, which is in every range that has 0 in it."""
_ILLEGAL_FUNCTION = 1
SHOWN_VALUES = 3


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One profile held against one device. `plausible` counts values in their range that are not 0."""

    profile: str
    fit: Fit
    why: str
    plausible: int = 0


class Registers:
    """What one device has said so far: words, refusals, silence."""

    def __init__(self) -> None:
        self.told: Mapping[int, str] | None = None
        """What it says that it is (43/14); None where it says nothing."""
        self._words: list[tuple[Request, tuple[int, ...]]] = []
        self._failed: list[tuple[Request, int]] = []

    @property
    def silences(self) -> int:
        """How often it was silent."""
        return sum(not code for _, code in self._failed)

    def answered(self, request: Request, words: tuple[int, ...]) -> None:
        self._words.append((request, words))

    def failed(self, request: Request, code: int) -> None:
        """It refused with the exception `code`, or was silent (0)."""
        self._failed.append((request, code))

    def words(self, block: Block) -> tuple[int, ...] | None:
        """The words of `block`, where they lie wholly in something that was answered."""
        for request, words in self._words:
            at = block.address - request.address
            if request.table == block.table and at >= 0 and at + block.count <= request.count:
                return words[at : at + block.count]
        return None

    def failure(self, block: Block) -> int | None:
        """Why `block` need not be asked for: the exception, 0 for silence; None where it may be answered."""
        for request, code in self._failed:
            if request.table == block.table and (
                code == _ILLEGAL_FUNCTION
                or (request.address, request.count) == (block.address, block.count)
                or (code == 2 and _lies_in(request, block))
            ):
                return code
        return None


def to_ask(profiles: Iterable[ModbusProfile], known: Registers, unit: int) -> Request | None:
    """What to ask next: the longest block of any profile that is not yet known; None where all is."""
    blocks = [
        block
        for profile in profiles
        for block in telling_blocks(profile)
        if known.words(block) is None and known.failure(block) is None
    ]
    if not blocks:
        return None
    block = max(blocks, key=lambda one: (one.count, -one.address))
    return Request(unit, block.table, block.address, block.count)


def telling_blocks(profile: ModbusProfile) -> tuple[Block, ...]:
    """The probed points, and one block of points with a range or names; where there is none, just one block."""
    probed = probe_plan(profile) if profile.probe else None
    plain = probe_plan(msgspec.structs.replace(profile, probe=())) or compile_plan(profile, profile.point)
    return (*(probed.blocks if probed else ()), *plain.blocks[:1])


def candidates(profiles: Mapping[str, ModbusProfile], known: Registers) -> list[Candidate]:
    """Every profile, the best first."""
    found = [candidate(name, profile, known) for name, profile in profiles.items()]
    return sorted(found, key=lambda one: (_ORDER.index(one.fit), -one.plausible, one.profile))


def candidate(name: str, profile: ModbusProfile, known: Registers) -> Candidate:
    """One profile held against what is `known`."""
    if profile.identification:
        wrong = object_mismatch(profile.identification, known.told) if known.told is not None else tr("says nothing")
        if wrong:
            return Candidate(profile=name, fit="no", why=wrong)
    blocks = telling_blocks(profile)
    if problem := next(filter(None, (_unread(block, known) for block in blocks)), ""):
        return Candidate(profile=name, fit="no", why=problem)
    values = [one for block in blocks for one in _values(profile, block, known)]
    wrong = probe_mismatch(profile, values) or _implausible(profile, values)
    if wrong := wrong or next(filter(None, (_no_float(profile, block, known) for block in blocks)), ""):
        return Candidate(profile=name, fit="no", why=wrong)
    plausible = _plausible(profile, values)
    shown = ", ".join(f"{one.point} {_text(profile, one)}" for one in plausible[:SHOWN_VALUES])
    fit: Fit = "may_fit"
    if proof := _proof(profile, values):
        fit, why = "fits", tr("it says so itself: {proof}", proof=proof)
    elif profile.probe:
        told = ", ".join(f"{one.point} {_text(profile, one)}" for one in values if one.point in _probed(profile))
        why = tr("its probe is right ({told}); {count} plausible values", told=told, count=len(plausible))
    elif plausible:
        why = tr("{count} plausible values, which proves nothing: {shown}", count=len(plausible), shown=shown)
    else:
        fit, why = "untold", tr("its registers are there, but say nothing")
    return Candidate(profile=name, fit=fit, why=why, plausible=len(plausible))


def _unread(block: Block, known: Registers) -> str:
    if known.words(block) is not None:
        return ""
    last = block.address + block.count - 1
    place = f"{block.table} {block.address}..{last}"
    code = known.failure(block)
    if not code:
        return tr("silent on {place}", place=place)
    return tr("refuses {place}: exception {code} ({text})", place=place, code=code, text=EXCEPTIONS.get(code, "?"))


def _values(profile: ModbusProfile, block: Block, known: Registers) -> list[Reading]:
    words = known.words(block)
    return [] if words is None else list(readings(profile, block.points, block.address, words, 0))


def _implausible(profile: ModbusProfile, values: Sequence[Reading]) -> str:
    for one in values:
        point = _point(profile, one)
        if one.quality is Quality.OUT_OF_RANGE:
            return tr("{point} would be {value}", point=one.point, value=_text(profile, one))
        if point.enum and one.quality is not Quality.GOOD:
            return tr("{point} has no name for what it says", point=one.point)
    return ""


def _no_float(profile: ModbusProfile, block: Block, known: Registers) -> str:
    for point in (one for one in block.points if one.type in ("f32", "f64")):
        at = point.address - block.address
        words = (known.words(block) or ())[at : at + point.registers]
        bare = msgspec.structs.replace(point, decimals=None, range=None, scale=1.0, offset=0.0)
        value = codec.decode(profile, bare, words)[0] if words else None
        if isinstance(value, float) and 0 < abs(value) < _TINY:
            return tr("{point} would be {value}", point=point.name, value=value)
    return ""


def _plausible(profile: ModbusProfile, values: Sequence[Reading]) -> list[Reading]:
    ranged = [one for one in values if _point(profile, one).range and one.quality is Quality.GOOD]
    return [one for one in ranged if isinstance(one.value, int | float) and not math.isclose(one.value, 0)]


def _proof(profile: ModbusProfile, values: Sequence[Reading]) -> str:
    """What the device says of itself: its identification, or a text that the profile expects."""
    wanted = profile.identification
    parts = [wanted.vendor, wanted.product, wanted.revision] if wanted else []
    texts = [one for one in values if one.point in _probed(profile) and _point(profile, one).type == "string"]
    return " ".join(filter(None, (*parts, *(str(one.value) for one in texts))))


def _probed(profile: ModbusProfile) -> set[str]:
    return {probe.point for probe in profile.probe}


def _point(profile: ModbusProfile, reading: Reading) -> ModbusPoint:
    found: ModbusPoint = next(point for point in profile.point if point.name == reading.point)
    return found


def _text(profile: ModbusProfile, reading: Reading) -> str:
    unit = _point(profile, reading).unit
    return f"{reading.value}" if unit == "1" else f"{reading.value} {unit}"


def _lies_in(request: Request, block: Block) -> bool:
    return block.address <= request.address and request.address + request.count <= block.address + block.count
