"""What a simulated camera tells of itself, and which values its protocol can carry. Pure."""

from collections.abc import Mapping
from typing import Final

from drivers.api import Value
from drivers.camera.options import CameraPoint, CameraProfile, Protocol
from simulators.values import Carries, Limits, Waveform
from simulators.world import World

_POSITIONS: Final[Mapping[Protocol, Mapping[str, tuple[Limits, int]]]] = {
    "visca": {
        "zoom": ((0, 0xFFFF), 0),
        "focus": ((0, 0xFFFF), 0),
        "pan": ((-0x8000, 0x7FFF), 0),
        "tilt": ((-0x8000, 0x7FFF), 0),
    },
    "pelco-d": {"pan": ((0, 359.99), 2), "tilt": ((-179.99, 180), 2), "zoom": ((0, 0xFFFF), 0)},
}
"""Between which numbers each position is, and how many decimals are sent of it."""
_POWER: Final = ("on", "standby")


def told_by(device: str, profile: CameraProfile, world: World) -> dict[str, Waveform]:
    """What is sent for each name that the protocol reads, as it stands on the wire: scale and offset undone."""
    tells: dict[str, Waveform] = {}
    for point in profile.point:
        found = _POSITIONS.get(profile.protocol, {}).get(point.source)
        if found is not None:
            limits, decimals = found
            wave = world.waveform(device, point, _in_unit(point, limits))
            channel = world.values.channel(device, point, wave, _position(point, limits, decimals))
            tells[point.source] = _raw(point, channel)
        elif point.source == "power":
            tells[point.source] = world.values.channel(device, point, lambda _elapsed_s: "on", _power)
    return tells


def _raw(point: CameraPoint, wave: Waveform) -> Waveform:
    return lambda elapsed_s: (float(wave(elapsed_s)) - point.offset) / point.scale


def _in_unit(point: CameraPoint, limits: Limits) -> Limits:
    low, high = sorted(limit * point.scale + point.offset for limit in limits)
    return low, high


def _position(point: CameraPoint, limits: Limits, decimals: int) -> Carries:
    def read_as(value: Value) -> Value:
        raw = round((float(value) - point.offset) / point.scale, decimals)
        if not limits[0] <= raw <= limits[1]:
            low, high = _in_unit(point, limits)
            raise ValueError(f"it carries {low:g} to {high:g}")
        read = raw * point.scale + point.offset
        return round(read) if point.wire_type == "i64" else read

    return read_as


def _power(value: Value) -> Value:
    if value not in _POWER:
        raise ValueError(f"write {' or '.join(_POWER)}")
    return value
