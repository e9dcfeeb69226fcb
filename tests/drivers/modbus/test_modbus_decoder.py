"""Blocks to readings, all at once."""

import struct
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from drivers.api import Quality, Reading
from drivers.modbus import codec
from drivers.modbus.decoder import Decoder
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from drivers.modbus.types import TYPES

COUNT = 24
ORDERS = st.sampled_from(("big", "little"))
NUMBERS = ("u16", "i16", "u32", "i32", "u64", "i64", "f16", "f32", "f64")
WORDS = st.sampled_from((0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x7F80, 0x7FC0, 0x3F80, 0x4366, 0x3333)) | st.integers(
    0, 0xFFFF
)
SHAPES: dict[str, dict[str, Any]] = {
    "string": {"length": 2}, "sum": {"part": "f32", "weights": (1.0, 0.5)}, "bits": {"length": 2, "bits": (3, 20)},
}  # fmt: skip


def profile(**keys: Any) -> ModbusProfile:
    return ModbusProfile(vendor="V", model="M", kind="modbus", source="tests", **keys)


@st.composite
def points(draw: Callable[..., Any], table: str = "holding") -> list[ModbusPoint]:
    """Points of all types and in all orders, side by side and over each other, scaled, named, limited, absent."""
    found: list[ModbusPoint] = []
    for number in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(NUMBERS) | st.sampled_from(sorted(TYPES)))
        keys: dict[str, Any] = dict(SHAPES.get(kind, {}))
        for key, values in {
            "word_order": ORDERS,
            "byte_order": ORDERS,
            "scale": st.sampled_from((0.1, -1.0, 1e300)),
            "offset": st.sampled_from((-40.0, 0.5)),
            "decimals": st.integers(0, 3),
            "range": st.just((0.0, 100.0)),
            "enum": st.just({"0": "off", "1": "on"}),
            "fraction_bits": st.integers(1, 9),
            "not_available": st.lists(st.sampled_from((0xFFFF, 0x8000, (0x7FFF, 0xFFFF), (0,), (0,) * 4))).map(tuple),
        }.items():
            if draw(st.integers(0, 4)) == 0:
                keys[key] = draw(values)
        if kind in ("u16", "i32", "u64") and draw(st.integers(0, 5)) == 0:
            keys["bits"] = (2, 9)
        point = ModbusPoint(name=f"p{number}", table=table, address=0, type=kind, **keys)  # type: ignore[arg-type]
        place = draw(st.integers(0, COUNT - point.registers))
        found.append(ModbusPoint(name=f"p{number}", table=table, address=100 + place, type=kind, **keys))  # type: ignore[arg-type]
    return found


def one_by_one(model: ModbusProfile, some: list[ModbusPoint], words: tuple[int, ...]) -> list[Reading]:
    places = {point.name: slice(point.address - 100, point.address - 100 + point.registers) for point in some}
    decoded = [(point.name, *codec.decode(model, point, words[places[point.name]])) for point in some]
    return [Reading(name, value, 7, quality) for name, value, quality in decoded]


@given(points(), st.lists(WORDS, min_size=COUNT, max_size=COUNT).map(tuple), ORDERS, ORDERS)
def test_a_block_says_what_its_points_say_one_by_one(
    some: list[ModbusPoint], words: tuple[int, ...], word_order: Any, byte_order: Any
) -> None:
    model = profile(word_order=word_order, byte_order=byte_order)
    found = Decoder(model, some, 100, COUNT).readings(words, 7)
    expected = one_by_one(model, some, words)
    assert found == expected
    assert [type(one.value) for one in found] == [type(one.value) for one in expected]
    assert [repr(one.value) for one in found] == [repr(one.value) for one in expected]  # -0.0 is not 0.0


@given(points("coil"), st.lists(st.integers(0, 1), min_size=COUNT, max_size=COUNT).map(tuple))
def test_so_does_a_block_of_bits(some: list[ModbusPoint], words: tuple[int, ...]) -> None:
    assert Decoder(profile(), some, 100, COUNT).readings(words, 7) == one_by_one(profile(), some, words)


@given(st.floats(width=32), ORDERS, ORDERS)
@example(float("nan"), "big", "big")
@example(3.4028234663852886e38, "little", "big")
def test_a_float_of_a_block_is_the_shortest_decimal_too(number: float, word_order: Any, byte_order: Any) -> None:
    model = profile(word_order=word_order, byte_order=byte_order)
    point = ModbusPoint(name="p", table="holding", address=0, type="f32")
    letters = struct.pack(">f", number)
    for words in (struct.unpack(">2H", letters), struct.unpack("<2H", letters)):
        [reading] = Decoder(model, [point], 0, 2).readings(words, 7)
        assert (reading.value, reading.quality) == codec.decode(model, point, words)


def test_a_plain_number_next_to_one_that_shares_its_registers_is_read_too() -> None:
    some = [
        ModbusPoint(name="low", table="holding", address=1, type="u16", scale=0.1),
        ModbusPoint(name="both", table="holding", address=0, type="u32"),
        ModbusPoint(name="flag", table="holding", address=0, type="bool", bits=(0, 0)),
    ]
    assert Decoder(profile(), some, 0, 2).readings((1, 15), 7) == [
        Reading("low", 1.5, 7),
        Reading("both", 65_551, 7),
        Reading("flag", True, 7),
    ]


def test_words_that_mean_no_value_are_none_in_a_block() -> None:
    point = ModbusPoint(name="p", table="holding", address=0, type="i32", not_available=(0x8000, (0xFFFF, 0xFFFF)))
    decoder = Decoder(profile(), [point], 0, 2)
    assert [decoder.readings(words, 7)[0].quality for words in ((0x8000, 0x8000), (0xFFFF, 0xFFFF), (0x8000, 0))] == [
        Quality.FAULT,
        Quality.FAULT,
        Quality.GOOD,
    ]
