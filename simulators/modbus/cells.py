"""Which points of a profile share registers, and what each of them measures. Pure."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from drivers.api import Quality, Value
from drivers.modbus import codec
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from simulators.modbus.device import Table
from simulators.modbus.measuring import channel_of
from simulators.modbus.plain import Encode, encoder
from simulators.values import Channel, Waveform, waveform
from simulators.world import World


@dataclass(frozen=True)
class Field:
    """One point within its cell: where its words begin, how many, and what it measures."""

    profile: ModbusProfile
    point: ModbusPoint
    at: int
    wave: Channel
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


def cells_of(device: str, profile: ModbusProfile, table: Table, world: World) -> tuple[Cell, ...]:
    """The points of a table in address order, those that overlap in one cell."""
    points = sorted((p for p in profile.point if p.table == table), key=lambda p: (p.address, p.name))
    groups: list[list[ModbusPoint]] = []
    end = -1
    for point in points:
        if point.address >= end:
            groups.append([])
        groups[-1].append(point)
        end = max(end, point.address + point.registers)
    return tuple(_cell(device, profile, group, world) for group in groups)


def _cell(device: str, profile: ModbusProfile, points: Sequence[ModbusPoint], world: World) -> Cell:
    first = points[0].address
    length = max(p.address + p.registers for p in points) - first
    bitwise = [p.name for p in points if p.bits]
    fields = (
        Field(
            profile=profile,
            point=point,
            at=point.address - first,
            wave=channel_of(world, device, profile, point, () if point.bits else bitwise),
            encode=encoder(profile, point),
            writes=bool(point.bits) or not bitwise,
        )
        for point in points
    )
    return Cell(first, length, tuple(fields))


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
    return waveform(0, profile.model, point)


def _always(value: Value) -> Waveform:
    return lambda _elapsed_s: value
