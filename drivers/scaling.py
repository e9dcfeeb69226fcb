"""From a raw number to a value in its unit: scale, offset, rounding, plausible range, names. Pure."""

import math
from decimal import Decimal
from functools import lru_cache

from drivers.api import Quality, Value
from drivers.profile import Point


def scaled(point: Point, raw: int | float) -> tuple[Value | None, Quality]:
    """`raw * scale + offset` as `point` says, with its quality. NaN and infinity are no values (`flt`).

    Rounded to the decimals that scale and offset can give, so that 305 * 0.1 is 30.5 and not 30.500000000000004.
    A raw number that `enum` does not name is given as a number in text, with quality `rng`.
    """
    if not math.isfinite(raw):
        return None, Quality.FAULT
    if point.enum:
        name = point.enum.get(str(raw))
        return (name, Quality.GOOD) if name is not None else (str(raw), Quality.OUT_OF_RANGE)
    value: int | float = raw
    if point.scale != 1.0 or point.offset != 0.0:
        value = raw * point.scale + point.offset
    digits = point.decimals
    if digits is None and isinstance(raw, int) and isinstance(value, float):
        digits = _decimals(point.scale, point.offset)
    if digits is not None and isinstance(value, float):
        value = round(value, digits)
    if not math.isfinite(value):
        return None, Quality.FAULT
    if point.range is not None and not point.range[0] <= value <= point.range[1]:
        return value, Quality.OUT_OF_RANGE
    return value, Quality.GOOD


@lru_cache(maxsize=256)
def _decimals(scale: float, offset: float) -> int:
    """How many decimals an integer times `scale` plus `offset` can have, at most 12."""
    exponents = (Decimal(repr(x)).normalize().as_tuple().exponent for x in (scale, offset))
    return min(12, max(0, *(-e if isinstance(e, int) else 0 for e in exponents)))
