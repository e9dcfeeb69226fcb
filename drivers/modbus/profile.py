"""What a Modbus profile and its points say: where a value stands, and how its words are to be read.

What single keys cannot show is looked at in `drivers.modbus.check`. Must not know: links, frames.
"""

from typing import Annotated, Literal

import msgspec

from drivers.modbus.types import TYPES, PointType
from drivers.profile import Point, Profile, WireType

Table = Literal["holding", "input", "coil", "discrete"]
Order = Literal["big", "little"]
Layout = Literal["packed", "low", "high"]
Word = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]

TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
BIT_TABLES: tuple[Table, ...] = ("coil", "discrete")
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
    words of more than 16 bits. `fraction_bits` says that the raw number counts in 2^-n (fixed point, "/512").
    `layout` is for strings: two characters in a register, or one in its `low` or `high` byte. A `sum` adds up parts
    of type `part`, each times its weight; a part above `part_max` is no number. `counter` goes up and begins anew
    after the greatest raw number. `not_available` holds words that mean "no value": a number matches when every word
    of the value equals it, a list when the words equal the list. `valid_if` is the name of another point: the value
    counts only while that one is true, or not 0.
    """

    table: Table
    address: Address
    type: Annotated[PointType, msgspec.Meta(examples=["u16"])]
    word_order: Order | None = None
    byte_order: Order | None = None
    bits: tuple[int, int] | None = None
    length: Annotated[int, msgspec.Meta(ge=1, le=125, examples=[8])] | None = None
    layout: Layout = "packed"
    fraction_bits: Annotated[int, msgspec.Meta(ge=1, le=32, examples=[9])] | None = None
    part: PointType | None = None
    weights: tuple[float, ...] = ()
    part_max: Annotated[int, msgspec.Meta(ge=1)] | None = None
    counter: bool = False
    not_available: tuple[Word | tuple[Word, ...], ...] = ()
    valid_if: str = ""

    @property
    def registers(self) -> int:
        """How many words of its table it takes; bits for a coil or discrete input."""
        if self.table in BIT_TABLES:
            return 1
        if self.type == "sum":
            return len(self.weights) * (TYPES[self.part].registers if self.part else 1)
        return self.length or TYPES[self.type].registers or 1

    @property
    def wraps_at(self) -> float | None:
        raw = TYPES[self.type].raw
        return (raw[1] + 1) * self.scale / (1 << (self.fraction_bits or 0)) if self.counter and raw else None

    @property
    def wire_type(self) -> WireType:
        form = TYPES[self.type].form
        if self.enum or form in ("text", "date"):
            return "string"
        if self.type == "bool":
            return "bool"
        scaled = self.fraction_bits or self.scale != 1.0 or self.offset != 0.0
        whole = form in ("whole", "bcd", "flags") or (form == "sum" and all(w.is_integer() for w in self.weights))
        return "i64" if whole and not scaled else "f64"


class Identification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device says of itself (function 43/14): each text that it must begin with; "" is any."""

    vendor: str = ""
    product: str = ""
    revision: str = ""


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point that tells this model from others: one of these values, or a text that begins so."""

    point: str
    expect: Annotated[tuple[str | int | float, ...], msgspec.Meta(min_length=1)]


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
    readable: dict[Table, tuple[tuple[int, int], ...]] = msgspec.field(default_factory=dict)
    identification: Identification | None = None
    probe: tuple[Probe, ...] = ()

    def readable_range(self, table: Table, address: int) -> tuple[int, int] | None:
        """First and last address of the range of `readable` that `address` is in; None where it is in none."""
        ranges = self.readable.get(table, ((0, 0xFFFF),))
        return next((found for found in ranges if found[0] <= address <= found[1]), None)

    def most(self, table: Table) -> int:
        """How many registers or bits of `table` one request may ask for."""
        return self.max_bits if table in BIT_TABLES else self.max_registers
