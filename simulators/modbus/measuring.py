"""What a point of a Modbus device measures, and which values its registers can carry. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from drivers.api import Value
from drivers.modbus import codec, dates
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from simulators.values import UNLIMITED, Carries, Channel, Flag, Limits, Waveform
from simulators.world import World

_MOMENT = 1_795_000_000
"""What a simulated clock shows at the start, in seconds of 1970 (November 2026)."""


def channel_of(
    world: World, device: str, profile: ModbusProfile, point: ModbusPoint, made_of: Sequence[str] = ()
) -> Channel:
    """What the point gives; `made_of` names the points whose bits are its word, which must be set in its place."""
    carries = _bits(point, made_of) if made_of else _carries(profile, point)
    return world.values.channel(device, point, _wave(world, device, profile, point), carries)


def _carries(profile: ModbusProfile, point: ModbusPoint) -> Carries:
    def read_as(value: Value) -> Value:
        read, _quality = codec.decode(profile, point, codec.encode(profile, point, value))
        if read is None:
            raise ValueError("on this device these words mean that there is no value")
        if point.type == "sum" and _differ(read, value, min(w for w in point.weights if w > 0) * abs(point.scale)):
            raise ValueError(f"its parts can add up to {read} only")
        return read

    return read_as


def _differ(read: Value, value: Value, step: float) -> bool:
    return abs(float(read) - float(value)) >= step


def _bits(point: ModbusPoint, made_of: Sequence[str]) -> Carries:
    def read_as(_value: Value) -> Value:
        raise ValueError(f"{point.name} is made of the bits of others: set {', '.join(made_of)}")

    return read_as


def _wave(world: World, device: str, profile: ModbusProfile, point: ModbusPoint) -> Waveform:
    """The waveform, in what the point's type can hold. A status word is 0 but for some seconds a minute.

    A probed point says what its profile expects: the device is of that model.
    """
    expected = next((probe.expect[0] for probe in profile.probe if probe.point == point.name), None)
    if expected is not None:
        return lambda _elapsed_s: expected
    if point.type == "string":
        room = point.registers * (2 if point.layout == "packed" else 1)
        text = str(world.waveform(device, point)(0.0)).encode()[:room].decode(errors="ignore")
        return lambda _elapsed_s: text
    if point.type in dates.KINDS:
        return lambda elapsed_s: datetime.fromtimestamp(_MOMENT + int(elapsed_s), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if point.type == "bits" and not point.enum:
        flag = world.waveform(device, Flag(point.name))
        return lambda elapsed_s: int(flag(elapsed_s))
    return world.waveform(device, point, _capacity(point))


def _capacity(point: ModbusPoint) -> Limits:
    """Between which values the point's type can carry, in its unit."""
    raw = (-60_000, 60_000) if point.type == "f16" else codec.raw_limits(point)
    if raw is None:
        return UNLIMITED
    step = point.scale / (1 << (point.fraction_bits or 0))
    ends = sorted(limit * step + point.offset for limit in raw)
    return ends[0], ends[1]
