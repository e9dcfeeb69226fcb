"""Which points of a profile share registers, and what each of them measures. Pure."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from drivers.api import Quality, Value
from drivers.modbus import codec, dates
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from simulators.modbus.device import Table
from simulators.modbus.plain import Encode, encoder
from simulators.values import UNLIMITED, Flag, Limits, Waveform, waveform

_MOMENT = 1_795_000_000
"""What a simulated clock shows at the start, in seconds of 1970 (November 2026)."""


@dataclass(frozen=True)
class Field:
    """One point within its cell: where its words begin, how many, and what it measures."""

    profile: ModbusProfile
    point: ModbusPoint
    at: int
    wave: Waveform
    encode: Encode | None
    writes: bool

    @property
    def length(self) -> int:
        return self.point.registers

    @cached_property
    def certain(self) -> Waveform:
        """A value that is certainly good: for the moments when the waveform cannot be said on the wire."""
        return _certain(self.profile, self.point)


@dataclass(frozen=True, slots=True)
class Cell:
    """Addresses that must be served together, because points overlap in them."""

    address: int
    length: int
    fields: tuple[Field, ...]


def cells_of(device: str, profile: ModbusProfile, table: Table, seed: int) -> tuple[Cell, ...]:
    """The points of a table in address order, those that overlap in one cell."""
    points = sorted((p for p in profile.point if p.table == table), key=lambda p: (p.address, p.name))
    groups: list[list[ModbusPoint]] = []
    end = -1
    for point in points:
        if point.address >= end:
            groups.append([])
        groups[-1].append(point)
        end = max(end, point.address + point.registers)
    return tuple(_cell(device, profile, group, seed) for group in groups)


def _cell(device: str, profile: ModbusProfile, points: Sequence[ModbusPoint], seed: int) -> Cell:
    first = points[0].address
    length = max(p.address + p.registers for p in points) - first
    bitwise = any(p.bits for p in points)
    fields = (
        Field(
            profile=profile,
            point=point,
            at=point.address - first,
            wave=_wave(seed, device, point),
            encode=encoder(profile, point),
            writes=bool(point.bits) or not bitwise,
        )
        for point in points
    )
    return Cell(first, length, tuple(fields))


def _wave(seed: int, device: str, point: ModbusPoint) -> Waveform:
    """The waveform, in what the point's type can hold. A status word is 0 but for some seconds a minute."""
    if point.type == "string":
        room = point.registers * (2 if point.layout == "packed" else 1)
        return _always(str(waveform(seed, device, point)(0.0)).encode()[:room].decode(errors="ignore"))
    if point.type in dates.KINDS:
        return lambda elapsed_s: datetime.fromtimestamp(_MOMENT + int(elapsed_s), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if point.type == "bits" and not point.enum:
        flag = waveform(seed, device, Flag(point.name))
        return lambda elapsed_s: int(flag(elapsed_s))
    return waveform(seed, device, point, _capacity(point))


def _certain(profile: ModbusProfile, point: ModbusPoint) -> Waveform:
    """A value that is certainly good: for the moments when the waveform cannot be said on the wire."""
    low, high = point.range or (0.0, 4.0)
    candidates: list[Value] = [
        *point.enum.values(),
        *(low + (high - low) * part for part in (0.5, 0.25, 0.75, 0.0, 1.0)),
    ]
    for value in candidates:
        with suppress(ValueError):
            if codec.decode(profile, point, codec.encode(profile, point, value))[1] is Quality.GOOD:
                return _always(value)
    return _wave(0, profile.model, point)


def _always(value: Value) -> Waveform:
    return lambda _elapsed_s: value


def _capacity(point: ModbusPoint) -> Limits:
    """Between which values the point's type can carry, in its unit."""
    raw = (-60_000, 60_000) if point.type == "f16" else codec.raw_limits(point)
    if raw is None:
        return UNLIMITED
    step = point.scale / (1 << (point.fraction_bits or 0))
    ends = sorted(limit * step + point.offset for limit in raw)
    return ends[0], ends[1]
