"""Numbers as instruments write them, and back. Pure.

Promises: text that is no plain decimal number gives None, never a guess; what is written has the form of the text
that it replaces. Must not know: frames, points.
"""

import math
import re

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
_WHOLE = re.compile(r"[+-]?\d+")
_DDMM = re.compile(r"(\d{1,3})(\d\d(?:\.\d*)?)")
_SIGNS = {"N": 1, "E": 1, "S": -1, "W": -1}
DEGREE_DECIMALS = 6
"""About 0.1 m on the ground, one digit more than the four decimals of a minute."""


def number(text: str) -> float | None:
    """A decimal number; `nan`, `inf`, `1e5` and `1_0` are none."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def whole(text: str) -> int | None:
    """A whole number."""
    return int(text) if _WHOLE.fullmatch(text) else None


def degrees(text: str) -> float | None:
    """Degrees from degrees and minutes: the last two digits before the point are minutes."""
    found = _DDMM.fullmatch(text)
    if not found or float(found[2]) >= 60:
        return None
    return round(int(found[1]) + float(found[2]) / 60, DEGREE_DECIMALS)


def sign(hemisphere: str | None) -> int | None:
    """1 for N and E, -1 for S and W, None for anything else."""
    return _SIGNS.get(hemisphere or "")


def hemisphere(value: float, like: str) -> str:
    """The letter of the sign of `value`, of the same axis as `like`."""
    positive, negative = "NS" if like in "NS" else "EW"
    return negative if value < 0 else positive


def write_number(value: float, like: str) -> str:
    """`value` with the decimals of `like`, its zeros in front and its sign where it has them."""
    decimals = _decimals(like)
    digits = like.lstrip("+-")
    padded = len(digits) if digits.startswith("0") and digits[1:2].isdigit() else 0
    sign = "+" if like[:1] in ("+", "-") else ""
    return f"{value:{sign}0{padded}.{decimals}f}"


def write_degrees(value: float, like: str) -> str:
    """`value` as degrees and minutes with the digits of `like`."""
    decimals = _decimals(like)
    width = len(like.partition(".")[0]) - 2
    whole_degrees, minutes = divmod(round(abs(value) * 60, decimals), 60)
    minutes_width = 3 + decimals if decimals else 2
    return f"{math.trunc(whole_degrees):0{width}d}{minutes:0{minutes_width}.{decimals}f}"


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])
