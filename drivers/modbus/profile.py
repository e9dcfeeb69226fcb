"""What a Modbus profile and its points say: where a value stands, and how its words are to be read.

What single keys cannot show is looked at in `drivers.modbus.check`. Must not know: links, frames.
"""

from typing import Annotated, Literal

import msgspec

from drivers.profile import Point, Profile, WireType

Table = Literal["holding", "input", "coil", "discrete"]
Order = Literal["big", "little"]
PointType = Literal[
    "u8h", "u8l", "i16", "u16", "i24", "u24", "i32", "u32", "i64", "u64",
    "f16", "f32", "f64", "bcd16", "bcd32", "bool", "bits", "string",
]  # fmt: skip
Word = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]

TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
BIT_TABLES: tuple[Table, ...] = ("coil", "discrete")
WIDTH: dict[PointType, int] = {
    "u8h": 1, "u8l": 1, "i16": 1, "u16": 1, "i24": 2, "u24": 2, "i32": 2, "u32": 2, "i64": 4, "u64": 4,
    "f16": 1, "f32": 2, "f64": 4, "bcd16": 1, "bcd32": 2, "bool": 1, "bits": 1,
}  # fmt: skip
"""How many registers a value of each type takes; a string takes `length`."""
WHOLE = ("u8h", "u8l", "i16", "u16", "i24", "u24", "i32", "u32", "i64", "u64", "bcd16", "bcd32", "bits")
"""The types whose raw values are whole numbers."""

Address = Annotated[
    int,
    msgspec.Meta(
        ge=0,
        description="the number on the wire, zero-based: `40001` of a manual is holding 0, `30001` is input 0",
        examples=[0],
    ),
]


class ModbusPoint(Point, frozen=True, kw_only=True):
    """One value of a Modbus device: where it stands and how its words are to be read.

    `bits` takes bits lo to hi of the value (0 is the lowest); `length` is registers, for strings and for status
    words of more than 16 bits. `not_available` holds words that mean "no value": a number matches when every word
    of the value equals it, a list when the words equal the list.
    """

    table: Table
    address: Address
    type: Annotated[PointType, msgspec.Meta(examples=["u16"])]
    word_order: Order | None = None
    byte_order: Order | None = None
    bits: tuple[int, int] | None = None
    length: Annotated[int, msgspec.Meta(ge=1, le=125, examples=[8])] | None = None
    not_available: tuple[Word | tuple[Word, ...], ...] = ()

    @property
    def wire_type(self) -> WireType:
        if self.enum or self.type == "string":
            return "string"
        if self.type == "bool":
            return "bool"
        whole = self.type in WHOLE and self.scale == 1.0 and self.offset == 0.0
        return "i64" if whole else "f64"


class ModbusProfile(Profile, frozen=True, kw_only=True):
    """A Modbus device model: its points, and what its requests must respect."""

    word_order: Order = "big"
    byte_order: Order = "big"
    max_registers: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    max_bits: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 2000
    max_gap: Annotated[int, msgspec.Meta(ge=0, le=124)] = 0
    no_gap_reads: bool = False
    inter_frame_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    response_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] | None = None
    literal_addresses: bool = False

    def most(self, table: Table) -> int:
        """How many registers or bits of `table` one request may ask for."""
        return self.max_bits if table in BIT_TABLES else self.max_registers
