"""Write docs/modbus-types.md from the table of types; each example is worked out by the codec itself.

Run it after a change of `drivers/modbus/types.py`: `python docs/make_modbus_types.py`. A test compares.
"""

from pathlib import Path
from typing import Any

from drivers.modbus import codec
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from drivers.modbus.types import TYPES

FILE = Path(__file__).with_name("modbus-types.md")
_PROFILE = ModbusProfile(vendor="-", model="-", kind="modbus", source="-")
_EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "u8h": ("12FE", {}), "u8l": ("12FE", {}), "i8h": ("FE12", {}), "i8l": ("12FE", {}),
    "u16": ("00EA", {"scale": 0.1}), "i16": ("FF9B", {"scale": 0.1}),
    "u24": ("0001 0000", {}), "i24": ("00FF FFFF", {}), "u32": ("0001 86A0", {}), "i32": ("FFFF FFFE", {}),
    "u48": ("0000 0001 0000", {}), "i48": ("FFFF FFFF FFFF", {}),
    "u64": ("0000 0000 046E 73EA", {}), "i64": ("FFFF FFFF FFFF FFFF", {}),
    "f16": ("3E00", {}), "f32": ("4366 3333", {}), "f64": ("3FF8 0000 0000 0000", {}),
    "bcd16": ("1234", {}), "bcd32": ("1234 5678", {}), "bcd48": ("0012 3456 7890", {}),
    "bcd64": ("0000 0012 3456 7890", {}),
    "bool": ("2002", {"bits": (13, 13)}), "bits": ("2002", {"bits": (0, 3)}), "string": ("4150 4300", {"length": 2}),
    "sum": ("0002 0003", {"part": "u16", "weights": (1000.0, 1.0)}),
    "epoch32": ("4996 02D2", {}), "date6": ("07EA 000B 0018 0007 0013 002C", {}), "date_bcd": ("2611 2407 1944", {}),
    "date_iec": ("001A 0B58 0713 ABE0", {}),
}  # fmt: skip
_ORDERS = (("big", "big"), ("little", "big"), ("big", "little"), ("little", "little"))
_HEAD = """# Types of Modbus points

Made by `docs/make_modbus_types.py` from `drivers/modbus/types.py`. The examples are what the codec makes of the words.

| `type` | Registers | Meaning | Raw numbers | Example |
|---|---|---|---|---|
"""
_ORDER_HEAD = """
## Word order and byte order

A is the highest byte. Both keys may stand in the profile or at a point. Text and date-times follow the `word_order` of
the point only; devices with low word first still send them forwards.

| `word_order` | `byte_order` | 32 bits | 48 bits | 64 bits |
|---|---|---|---|---|
"""
_TAIL = """
## From the raw number to the value

1. `not_available`: words that mean "no value". A number matches when every word is that number, a list when the words
   are the list. The reading is null with quality `flt`; so are NaN, infinity, digits that are no BCD, impossible dates.
2. `fraction_bits = 9`: the raw number counts in 2^-9 (fixed point; "/512" in manuals). Exact.
3. `value = raw * scale + offset`, rounded to `decimals`, or to the decimals that scale and offset can give.
4. `range = [lowest, highest]`: outside of it the quality is `rng`.
5. `enum = { 0 = "off", 1 = "on" }` names raw numbers; one without a name is `rng`.

A whole number without `scale`, `offset` and `fraction_bits` is sent as it is, also above 2^53. Otherwise the value is a
64-bit float, with about 15 digits.

`counter = true` marks a number that only goes up and begins anew after its greatest raw number. The agent sends what it
read and announces where the counter wraps (`wraps_at`): how often it wrapped during an outage is a guess, and a guess
would be a wrong value.

## Text

| Characters | Keys |
|---|---|
| two in a register, the first in the high byte | (default) |
| two in a register, the first in the low byte | `byte_order = "little"` |
| one in a register, in the low byte | `layout = "low"` |
| one in a register, in the high byte | `layout = "high"` |
"""


def text() -> str:
    """The whole page."""
    return _HEAD + "".join(map(_row, TYPES)) + _ORDER_HEAD + "".join(_order(*order) for order in _ORDERS) + _TAIL


def _row(kind: str) -> str:
    info = TYPES[kind]
    hexes, keys = _EXAMPLES[kind]
    point = ModbusPoint(name="p", table="holding", address=0, type=kind, **keys)  # type: ignore[arg-type]
    value, _ = codec.decode(_PROFILE, point, _words(hexes))
    said = "".join(f" `{key} = {_toml(setting)}`" for key, setting in keys.items())
    raw = f"{info.raw[0]} to {info.raw[1]}" if info.raw else ""
    width = str(info.registers or ("1 or `length`" if info.form == "flags" else "by its keys"))
    return f"| `{kind}` | {width} | {info.meaning} | {raw} | `{hexes}`{said} is `{value}` |\n"


def _order(word_order: str, byte_order: str) -> str:
    cells = (_letters(size, word_order, byte_order) for size in (4, 6, 8))
    return f'| `"{word_order}"` | `"{byte_order}"` | {" | ".join(cells)} |\n'


def _letters(size: int, word_order: str, byte_order: str) -> str:
    """How the bytes A, B, C… of a number stand on the wire, as the codec writes it."""
    point = ModbusPoint(
        name="p",
        table="holding",
        address=0,
        type=f"u{8 * size}",
        word_order=word_order,
        byte_order=byte_order,  # type: ignore[arg-type]
    )
    number = int.from_bytes(b"ABCDEFGH"[:size], "big")
    return b"".join(word.to_bytes(2, "big") for word in codec.encode(_PROFILE, point, number)).decode()


def _words(hexes: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in hexes.split())


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(f'{part:g}' for part in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
