"""Plain numbers to words, without the codec: what makes hundreds of devices fit one core. Pure.

Promises the words of `codec.encode`, or None where the codec must be asked whether a reader would take them for good.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct

from drivers.api import Value
from drivers.modbus import codec
from drivers.modbus.profile import BIT_TABLES, ModbusPoint, ModbusProfile
from simulators.values import Limits

Encode = Callable[[Value], Sequence[int] | None]

_LAYOUTS = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f", "f64": "d"}
_FLOAT_RAW: Limits = (-1e30, 1e30)
_ROUNDING = 1e-6
"""More than rounding to f32 changes a number, as a part of it."""


def encoder(profile: ModbusProfile, point: ModbusPoint) -> Encode | None:
    """The encoder of a point that is nothing but a number in its registers; None for all others."""
    layout = _LAYOUTS.get(point.type)
    if layout is None or point.table in BIT_TABLES or point.enum or point.bits:
        return None
    if point.not_available or point.fraction_bits:
        return None
    pack = _struct(f">{layout}").pack
    big = (point.byte_order or profile.byte_order) == "big"
    unpack = _struct(f"{'>' if big else '<'}{point.registers}H").unpack
    step = 1 if (point.word_order or profile.word_order) == "big" else -1
    low, high = _surely_good(point)
    scale, offset, whole = point.scale, point.offset, layout not in "fd"
    as_it_is = (scale, offset) == (1.0, 0.0)

    def encode(value: Value) -> Sequence[int] | None:
        if isinstance(value, str) or not low <= value <= high:
            return None
        raw = value if as_it_is else (value - offset) / scale
        return unpack(pack(round(raw) if whole else raw))[::step]

    return encode


_struct = lru_cache(maxsize=64)(Struct)


def _surely_good(point: ModbusPoint) -> Limits:
    """Between which values rounding leads neither out of the type nor out of the range."""
    ends = [limit * point.scale + point.offset for limit in codec.raw_limits(point) or _FLOAT_RAW]
    low, high = min(ends), max(ends)
    if point.range:
        low, high = max(low, point.range[0]), min(high, point.range[1])
    margin = _ROUNDING * (max(abs(low), abs(high)) + abs(point.offset))
    margin += abs(point.scale) if point.type[0] != "f" else 0.0
    margin += 10.0**-point.decimals if point.decimals is not None else 0.0
    return low + margin, high - margin
