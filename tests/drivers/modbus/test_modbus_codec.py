"""Words to values and back."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Quality
from drivers.modbus import codec
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from drivers.modbus.types import TYPES

PROFILE = ModbusProfile(vendor="V", model="M", kind="modbus", source="tests")
ORDERS = st.sampled_from(("big", "little"))
RANGES = {
    "u8h": (0, 255), "u8l": (0, 255), "i8h": (-128, 127), "i8l": (-128, 127), "bits": (0, 65_535),
    **{f"bcd{4 * n}": (0, 10**n - 1) for n in (4, 8, 12, 16)},
    **{f"u{n}": (0, 2**n - 1) for n in (16, 24, 32, 48, 64)},
    **{f"i{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (16, 24, 32, 48, 64)},
}  # fmt: skip


def point(kind: str, table: str = "holding", **keys: Any) -> ModbusPoint:
    return ModbusPoint(name="p", table=table, address=0, type=kind, **keys)  # type: ignore[arg-type]


def words(hexes: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in hexes.split())


@pytest.mark.parametrize(
    ("hexes", "word_order", "byte_order"),
    [
        ("47F1 2000", "big", "big"),
        ("2000 47F1", "little", "big"),
        ("F147 0020", "big", "little"),
        ("0020 F147", "little", "little"),
    ],
)
def test_the_four_orders_of_libmodbus_give_one_float(hexes: str, word_order: Any, byte_order: Any) -> None:
    p = point("f32", word_order=word_order, byte_order=byte_order)
    assert codec.decode(PROFILE, p, words(hexes)) == (123456.0, Quality.GOOD)
    assert codec.encode(PROFILE, p, 123456.0) == words(hexes)


@pytest.mark.parametrize(
    ("kind", "hexes", "keys", "value"),
    [
        ("f32", "4366 3333", {}, 230.2),
        ("f32", "4366 3334", {"decimals": 2}, 230.2),
        ("i16", "FF9B", {"scale": 0.1}, -10.1),
        ("u16", "C800", {"scale": 0.001953125}, 100.0),
        ("u8h", "12FF", {}, 0x12),
        ("u8l", "12FF", {}, 0xFF),
        ("i24", "00FF FFFF", {}, -1),
        ("u24", "0001 0000", {}, 65_536),
        ("u32", "0000 046E", {}, 1134),
        ("u64", "0000 0000 046E 73EA", {}, 74_347_498),
        ("f64", "3FF8 0000 0000 0000", {}, 1.5),
        ("f16", "3C00", {}, 1.0),
        ("bcd32", "1234 5678", {}, 12_345_678),
        ("bits", "2002", {}, 0x2002),
        ("bits", "0000 2002", {"length": 2}, 8194),
        ("u16", "0014", {"bits": (2, 4)}, 5),
        ("bool", "0008", {"bits": (3, 3)}, True),
        ("bool", "0000 2002", {"bits": (13, 13), "length": 2}, True),
        ("bool", "0000", {}, False),
        ("u16", "0001", {"enum": {"0": "off", "1": "on"}}, "on"),
        ("bool", "0001", {"enum": {"0": "off", "1": "on"}}, "on"),
        ("string", "0000 4150 4320 2000", {"length": 4}, "APC"),
        ("string", "4261 7474 0000 FFFF", {"length": 4}, "Batt"),
    ],
)
def test_known_words_mean_known_values(kind: str, hexes: str, keys: dict[str, Any], value: object) -> None:
    assert codec.decode(PROFILE, point(kind, **keys), words(hexes)) == (value, Quality.GOOD)


@pytest.mark.parametrize(
    ("kind", "hexes", "keys"),
    [
        ("f32", "7FC0 0000", {}),
        ("f32", "7F80 0000", {}),
        ("f16", "FC00", {}),
        ("f64", "FFF0 0000 0000 0000", {}),
        ("bcd16", "12A4", {}),
        ("string", "FFFF FFFF", {"length": 2}),
        ("string", "4101 0000", {"length": 2}),
        ("u16", "FFFF", {"not_available": (0xFFFF,)}),
        ("u32", "FFFF FFFF", {"not_available": (0xFFFF,)}),
        ("f32", "8000 8000", {"not_available": ((0x8000, 0x8000),)}),
        ("i16", "FFF9", {"not_available": (0xFFFF, 0xFFF9)}),
    ],
)
def test_words_that_are_no_value_give_none_and_a_fault(kind: str, hexes: str, keys: dict[str, Any]) -> None:
    assert codec.decode(PROFILE, point(kind, **keys), words(hexes)) == (None, Quality.FAULT)


def test_a_no_value_word_in_half_of_a_value_is_a_value() -> None:
    assert codec.decode(PROFILE, point("u32", not_available=(0xFFFF,)), words("0000 FFFF"))[0] == 65_535


def test_a_value_outside_its_range_is_given_and_marked() -> None:
    assert codec.decode(PROFILE, point("u16", range=(0.0, 100.0)), (101,)) == (101, Quality.OUT_OF_RANGE)


@given(number=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_is_given_as_the_shortest_decimal_that_is_the_same_float(number: float) -> None:
    raw = struct.pack(">f", number)
    value, quality = codec.decode(PROFILE, point("f32"), struct.unpack(">2H", raw))
    assert quality is Quality.GOOD
    assert isinstance(value, float)
    assert struct.pack(">f", value) == raw
    assert len(repr(value)) <= len(repr(number))


@given(st.data(), st.sampled_from(sorted(RANGES)), ORDERS, ORDERS)
def test_every_whole_number_comes_back(data: st.DataObject, kind: str, word_order: Any, byte_order: Any) -> None:
    lowest, highest = RANGES[kind]
    number = data.draw(st.integers(lowest, highest))
    p = point(kind, word_order=word_order, byte_order=byte_order)
    encoded = codec.encode(PROFILE, p, number)
    assert len(encoded) == p.registers
    assert codec.decode(PROFILE, p, encoded) == (number, Quality.GOOD)
    for outside in (lowest - 1, highest + 1):
        with pytest.raises(ValueError, match="does not fit"):
            codec.encode(PROFILE, p, outside)


@given(st.data(), st.sampled_from(("f16", "f32", "f64")), ORDERS, ORDERS)
def test_every_float_comes_back(data: st.DataObject, kind: str, word_order: Any, byte_order: Any) -> None:
    p = point(kind, word_order=word_order, byte_order=byte_order)
    number = data.draw(st.floats(width=int(kind[1:]), allow_nan=False, allow_infinity=False))  # type: ignore[arg-type]
    encoded = codec.encode(PROFILE, p, number)
    value, quality = codec.decode(PROFILE, p, encoded)
    assert quality is Quality.GOOD
    assert codec.encode(PROFILE, p, value) == encoded


@given(st.text(max_size=10).map(str.strip).filter(lambda t: t.isprintable()), ORDERS)
def test_every_text_comes_back(text: str, byte_order: Any) -> None:
    p = point("string", length=20, byte_order=byte_order)
    assert codec.decode(PROFILE, p, codec.encode(PROFILE, p, text)) == (text, Quality.GOOD)


@given(st.integers(0, 15), st.integers(0, 15), st.data())
def test_every_bit_range_comes_back(one: int, other: int, data: st.DataObject) -> None:
    lowest, highest = sorted((one, other))
    p = point("u16", bits=(lowest, highest))
    number = data.draw(st.integers(0, 2 ** (highest - lowest + 1) - 1))
    assert codec.decode(PROFILE, p, codec.encode(PROFILE, p, number)) == (number, Quality.GOOD)


@given(st.sampled_from(sorted(TYPES)), st.lists(st.integers(0, 65_535), min_size=8, max_size=8), ORDERS, ORDERS)
def test_no_words_at_all_raise_and_none_is_never_good(kind: str, some: list[int], word_order: Any, byte: Any) -> None:
    keys: dict[str, Any] = {"string": {"length": 4}, "sum": {"part": "f32", "weights": (1.0, 0.5)}}.get(kind, {})
    p = point(kind, word_order=word_order, byte_order=byte, **keys)
    value, quality = codec.decode(PROFILE, p, some[: p.registers])
    assert (value is None) == (quality is Quality.FAULT)
    assert not isinstance(value, float) or math.isfinite(value)


def test_scale_and_offset_are_undone() -> None:
    p = point("u32", scale=0.1, offset=-273.2)
    assert codec.encode(PROFILE, p, 26.8) == (0, 3000)
    assert codec.decode(PROFILE, p, (0, 3000)) == (26.8, Quality.GOOD)


def test_no_value_is_encoded_as_the_words_that_mean_it() -> None:
    assert codec.encode(PROFILE, point("u32", not_available=(0xFFFF,)), None) == (0xFFFF, 0xFFFF)
    assert codec.encode(PROFILE, point("f32", not_available=((0x8000, 0),)), None) == (0x8000, 0)
    with pytest.raises(ValueError, match="no words"):
        codec.encode(PROFILE, point("u16"), None)


@pytest.mark.parametrize(("kind", "value"), [("f16", 1e9), ("f32", 1e300), ("u16", math.inf), ("string", "x" * 99)])
def test_what_does_not_fit_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match="p: "):
        codec.encode(PROFILE, point(kind, length=2 if kind == "string" else None), value)


@pytest.mark.parametrize("table", ["coil", "discrete"])
def test_bits_are_truths(table: str) -> None:
    assert codec.decode(PROFILE, point("bool", table), (1,)) == (True, Quality.GOOD)
    assert codec.encode(PROFILE, point("bool", table), False) == (0,)


@pytest.mark.parametrize(
    ("kind", "keys", "wire"),
    [
        ("u16", {}, "i64"), ("u16", {"scale": 0.1}, "f64"), ("f32", {}, "f64"), ("bool", {}, "bool"),
        ("string", {"length": 2}, "string"), ("bits", {}, "i64"), ("u16", {"enum": {"0": "off"}}, "string"),
    ],
)  # fmt: skip
def test_the_wire_type_is_what_the_values_are(kind: str, keys: dict[str, Any], wire: str) -> None:
    p = point(kind, **keys)
    assert p.wire_type == wire
    value, _ = codec.decode(PROFILE, p, (0,) * p.registers)
    assert type(value) is {"i64": int, "f64": float, "bool": bool, "string": str}[wire]


@pytest.mark.parametrize(
    ("kind", "letters", "word_order", "byte_order"),
    [
        ("u32", "ABCD", "big", "big"), ("u32", "CDAB", "little", "big"),
        ("u32", "BADC", "big", "little"), ("u32", "DCBA", "little", "little"),
        ("u48", "ABCDEF", "big", "big"), ("u48", "EFCDAB", "little", "big"),
        ("u48", "BADCFE", "big", "little"), ("u48", "FEDCBA", "little", "little"),
        ("u64", "ABCDEFGH", "big", "big"), ("u64", "GHEFCDAB", "little", "big"),
        ("u64", "BADCFEHG", "big", "little"), ("u64", "HGFEDCBA", "little", "little"),
    ],
)  # fmt: skip
def test_letters_name_the_orders_of_wide_numbers(kind: str, letters: str, word_order: Any, byte_order: Any) -> None:
    wire = struct.unpack(f">{len(letters) // 2}H", letters.encode())
    expected = int.from_bytes(bytes(sorted(letters.encode())), "big")
    p = point(kind, word_order=word_order, byte_order=byte_order)
    assert codec.decode(PROFILE, p, wire) == (expected, Quality.GOOD)
    assert codec.encode(PROFILE, p, expected) == wire


@pytest.mark.parametrize(
    ("keys", "hexes"),
    [
        ({"length": 2}, "4142 4344"),
        ({"length": 2, "byte_order": "little"}, "4241 4443"),
        ({"length": 4, "layout": "low"}, "0041 0042 0043 0044"),
        ({"length": 4, "layout": "high"}, "4100 4200 4300 4400"),
    ],
)
def test_text_stands_in_registers_in_four_ways(keys: dict[str, Any], hexes: str) -> None:
    p = point("string", **keys)
    assert codec.decode(PROFILE, p, words(hexes)) == ("ABCD", Quality.GOOD)
    assert codec.encode(PROFILE, p, "ABCD") == words(hexes)


@pytest.mark.parametrize(
    ("kind", "hexes", "text"),
    [
        ("epoch32", "4996 02D2", "2009-02-13T23:31:30Z"),
        ("date6", "07EA 000B 0018 0007 0013 002C", "2026-11-24T07:19:44"),
        ("date6", "001A 000B 0018 0007 0013 002C", "2026-11-24T07:19:44"),
        ("date_bcd", "2611 2407 1944", "2026-11-24T07:19:44"),
        ("date_iec", "001A 0B58 0713 ABE0", "2026-11-24T07:19:44"),
        ("date_iec", "001A 0B58 8713 ABEA", "2026-11-24T07:19:44.010000"),
    ],
)
def test_date_times_of_meters_are_iso_8601(kind: str, hexes: str, text: str) -> None:
    p = point(kind)
    assert codec.decode(PROFILE, p, words(hexes)) == (text, Quality.GOOD)
    assert codec.decode(PROFILE, p, codec.encode(PROFILE, p, text)) == (text, Quality.GOOD)


@pytest.mark.parametrize(
    ("kind", "hexes"),
    [
        ("date6", "07EA 000D 0018 0007 0013 002C"),
        ("date_bcd", "2611 3107 1944"),
        ("date_bcd", "261A 2407 1944"),
        ("date_iec", "001A 0B58 0793 ABE0"),
        ("date_iec", "001A 0B58 0713 FFFF"),
        ("date_iec", "FFFF FFFF FFFF FFFF"),
    ],
)
def test_an_impossible_date_is_no_value(kind: str, hexes: str) -> None:
    assert codec.decode(PROFILE, point(kind), words(hexes)) == (None, Quality.FAULT)


@pytest.mark.parametrize(
    ("keys", "hexes", "value"),
    [
        ({"part": "u16", "weights": (1000.0, 1.0)}, "0002 0003", 2_003),
        ({"part": "u16", "weights": (1.0, 10_000.0, 1e8), "part_max": 9_999}, "000F 0002 0001", 100_020_015),
        ({"part": "u16", "weights": (1.0, 10_000.0), "part_max": 9_999}, "2710 0002", None),
        ({"part": "u32", "weights": (1000.0, 1.0), "word_order": "little"}, "0001 0000 0005 0000", 1_005),
        ({"part": "i16", "weights": (1.0, 1.0, 1.0), "scale": 0.1}, "FFFF 0005 0002", 0.6),
        ({"part": "f32", "weights": (1.0, 0.5)}, "3FC0 0000 4000 0000", 2.5),
        ({"part": "f32", "weights": (1.0, 0.5)}, "7FC0 0000 4000 0000", None),
        ({"part": "bcd16", "weights": (100.0, 1.0)}, "0012 00A0", None),
    ],
)
def test_a_sum_adds_its_parts_or_is_no_value(keys: dict[str, Any], hexes: str, value: float | None) -> None:
    quality = Quality.FAULT if value is None else Quality.GOOD
    assert codec.decode(PROFILE, point("sum", **keys), words(hexes)) == (value, quality)


@given(st.integers(0, 99_999_999))
def test_every_sum_of_whole_parts_comes_back(total: int) -> None:
    p = point("sum", part="u16", weights=(1.0, 10_000.0), part_max=9_999)
    assert codec.decode(PROFILE, p, codec.encode(PROFILE, p, total)) == (total, Quality.GOOD)


@given(st.integers(-32_768, 32_767), st.integers(1, 15))
def test_fixed_point_is_exact(raw: int, fraction_bits: int) -> None:
    p = point("i16", fraction_bits=fraction_bits)
    value, quality = codec.decode(PROFILE, p, (raw & 0xFFFF,))
    assert (value, quality) == (raw / 2**fraction_bits, Quality.GOOD)
    assert codec.encode(PROFILE, p, value) == (raw & 0xFFFF,)


def test_a_counter_says_where_it_begins_anew() -> None:
    assert point("u16", counter=True, scale=0.1).wraps_at == pytest.approx(6_553.6)
    assert point("bcd32", counter=True).wraps_at == 1e8
    assert point("u32").wraps_at is None
