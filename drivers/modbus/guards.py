"""Points that count only while another one says so (`valid_if`): a deleted region keeps its last temperature. Pure.

Promises: a value counts only where its guard was read in the same poll, not before it, and said yes.
Must not know: the wire.
"""

from collections.abc import Iterable, Mapping, Sequence

from drivers.api import Quality, Reading
from drivers.modbus.profile import ModbusPoint, ModbusProfile


def guards_of(profile: ModbusProfile, points: Iterable[ModbusPoint]) -> list[ModbusPoint]:
    """The guards of `points`, in the order of the profile."""
    names = {point.valid_if for point in points if point.valid_if}
    return [point for point in profile.point if point.name in names]


def with_guards(profile: ModbusProfile, points: Sequence[ModbusPoint]) -> tuple[ModbusPoint, ...]:
    """`points` and the guards that they need, each once."""
    return tuple({point.name: point for point in (*points, *guards_of(profile, points))}.values())


def apart(points: Sequence[ModbusPoint], blocks: Iterable[Sequence[ModbusPoint]]) -> set[str]:
    """The names of the guards that do not stand in one block with everything that they guard."""
    place = {point.name: number for number, block in enumerate(blocks) for point in block}
    return {point.valid_if for point in points if point.valid_if and place[point.valid_if] != place[point.name]}


def judged(points: Iterable[ModbusPoint], readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """`readings` with null for what its guard does not let through; what has no guard in them stays as it is.

    `dsc` where the guard says no; where it could not be read, its own quality.
    """
    guards = {point.name: point.valid_if for point in points}
    found = dict(readings)
    for name, reading in readings.items():
        guard = readings.get(guards.get(name, ""))
        if guard is None or reading.value is None or (guard.value and not guard.quality):
            continue
        quality = guard.quality or Quality.SWITCHED_OFF
        found[name] = Reading(name, None, reading.mono_ns, quality)
    return found
