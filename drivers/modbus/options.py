"""What a Modbus link, profile and point may say in a TOML file, and what single keys cannot show.

Promises: an options object that exists is possible; a point that exists can be read and decoded.
Must not know: sockets, ports, frames.
"""

from typing import Annotated, Literal

import msgspec

from drivers.profile import Point, Profile, WireType
from drivers.tomlfile import Section

Transport = Literal["tcp", "rtu", "rtu-over-tcp", "ascii", "udp", "tls"]
Table = Literal["holding", "input", "coil", "discrete"]
Order = Literal["big", "little"]
PointType = Literal[
    "u8h", "u8l", "i16", "u16", "i24", "u24", "i32", "u32", "i64", "u64",
    "f16", "f32", "f64", "bcd16", "bcd32", "bool", "bits", "string",
]  # fmt: skip
Word = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=60)]

TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
BIT_TABLES: tuple[Table, ...] = ("coil", "discrete")
WIDTH: dict[PointType, int] = {
    "u8h": 1, "u8l": 1, "i16": 1, "u16": 1, "i24": 2, "u24": 2, "i32": 2, "u32": 2, "i64": 4, "u64": 4,
    "f16": 1, "f32": 2, "f64": 4, "bcd16": 1, "bcd32": 2, "bool": 1, "bits": 1,
}  # fmt: skip
"""How many registers a value of each type takes; a string takes `length`."""

_READY: tuple[Transport, ...] = ("tcp", "rtu", "rtu-over-tcp")
_SERIAL_KEYS = ("port", "baud", "parity", "stop_bits")
_NET_KEYS = ("host", "tcp_port", "connect_timeout_s")
_WHOLE = ("u8h", "u8l", "i16", "u16", "i24", "u24", "i32", "u32", "i64", "u64", "bcd16", "bcd32", "bits")
_SLICEABLE = ("u16", "u32", "u64", "bits", "bool")
_PRINTED: dict[Table, tuple[int, int]] = {"holding": (40_001, 49_999), "input": (30_001, 39_999)}


Address = Annotated[
    int,
    msgspec.Meta(
        ge=0,
        description="the number on the wire, zero-based: `40001` of a manual is holding 0, `30001` is input 0",
        examples=[0],
    ),
]


class ModbusOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a Modbus `[[link]]`. A serial line has `port`, a network address has `host`."""

    transport: Transport
    port: str = ""
    baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000, examples=[9600])] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    host: str = ""
    tcp_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 502
    given_timeout_s: Seconds | None = msgspec.field(default=None, name="timeout_s")
    connect_timeout_s: Seconds = 3.0
    delay_after_connect_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0

    @property
    def endpoint(self) -> str:
        """The port or address in words; TCP and RTU over TCP to one socket are one endpoint."""
        return self.port if self.transport == "rtu" else f"tcp://{self.host}:{self.tcp_port}"

    @property
    def timeout_s(self) -> float:
        """How long a reply may take to begin, in seconds: as given, else 0.5 on a serial port and 1.0 on a network."""
        if self.given_timeout_s is not None:
            return self.given_timeout_s
        return 0.5 if self.transport == "rtu" else 1.0

    @property
    def numbered(self) -> bool:
        """Do requests carry a number, so that a late reply is known by it? Only Modbus/TCP has one."""
        return self.transport == "tcp"

    @property
    def char_s(self) -> float:
        """One character on the wire in seconds, 11 bits (Modbus over Serial Line V1.02, 2.5.1); 0 on a network."""
        return 11 / self.baud if self.transport == "rtu" else 0.0

    @property
    def silence_s(self) -> float:
        """The silence that ends a frame: 3.5 characters, 1.75 ms above 19200 baud (Serial Line V1.02, 2.5.1.1)."""
        return max(3.5 * self.char_s, 0.00175) if self.transport == "rtu" else 0.0


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
        whole = self.type in _WHOLE and self.scale == 1.0 and self.offset == 0.0
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


def parse_link(section: Section) -> ModbusOptions | None:
    """The keys of one `[[link]]`, or None when problems were reported."""
    before = section.problem_count
    options = section.convert(ModbusOptions, ignore=("name", "kind"))
    transport = section.data.get("transport")
    if transport not in _READY:
        if options is not None:
            fix = f"write one of: {', '.join(_READY)}"
            section.problem("transport", f'"{transport}" is not yet in this version', fix)
        return None
    serial = transport == "rtu"
    needed, example = ("port", "/dev/serial/by-id/usb-…-port0") if serial else ("host", "192.0.2.10")
    if not section.data.get(needed):
        section.problem(needed, f'is missing: transport "{transport}" needs it', f'add `{needed} = "{example}"`')
    for key in _NET_KEYS if serial else _SERIAL_KEYS:
        if key in section.data:
            section.problem(key, f'means nothing with transport "{transport}"', "remove it, or change `transport`")
    return options if section.problem_count == before else None


def check_device(options: ModbusOptions, unit: int | None, section: Section) -> None:
    """Report a unit id that cannot be on this link: 1-247 on a bus, 0-255 behind a TCP port."""
    lowest, highest = (0, 255) if options.numbered else (1, 247)
    if unit is None:
        section.problem("unit", "is missing: a Modbus device has a unit id", f"add `unit = 1` ({lowest} to {highest})")
    elif not lowest <= unit <= highest:
        where = f'transport "{options.transport}"'
        section.problem("unit", f"is {unit}: not possible with {where}", f"write a number from {lowest} to {highest}")


def check_profile(profile: ModbusProfile, section: Section) -> None:
    """Report points that cannot be asked for or decoded."""
    for point, place in zip(profile.point, section.children("point"), strict=True):
        _check_address(profile, point, place)
        _check_type(profile, point, place)
        _check_bits(point, place)
        _check_meaning(point, place)


def _check_address(profile: ModbusProfile, point: ModbusPoint, place: Section) -> None:
    first, last = _PRINTED.get(point.table, (1, 0))
    address = point.address
    if address > 0xFFFF:
        fix = f"write `address = {max(0, address % 100_000 - 1)}`, zero-based"
        place.problem("address", f"is {address}: there is no such address on the wire", fix)
    elif first <= address <= last and not profile.literal_addresses:
        fix = f"write `address = {address - first}`; if the device really wants {address}: `literal_addresses = true`"
        place.problem("address", f"is {address}: a number of the manual, not of the wire", fix)
    elif address + _width(point) > 0x10000:
        place.problem("address", "the value goes past address 65535", "check `address` and `type`")


def _check_type(profile: ModbusProfile, point: ModbusPoint, place: Section) -> None:
    if point.table in BIT_TABLES:
        if point.type != "bool":
            place.problem("type", f"a {point.table} is one bit", 'write `type = "bool"`')
        for key in ("bits", "length", "not_available", "word_order", "byte_order"):
            if key in place.data:
                place.problem(key, f"means nothing for a {point.table}", "remove it")
        return
    if point.type == "string" and point.length is None:
        place.problem("length", "is missing: a string needs its length in registers", "add `length = 8`")
    if point.length is not None and point.type not in ("string", "bits", "bool"):
        place.problem("length", f"the type {point.type} has its own length", "remove it, or change `type`")
    if point.length is not None and point.type in ("bits", "bool") and point.length > 4:
        place.problem("length", "a status word has at most 4 registers", "write one point for each 4 registers")
    width = _width(point)
    if width > profile.max_registers:
        what = f"takes {width} registers; one request has {profile.max_registers}"
        place.problem("type", what, "check `max_registers`")
    for pattern in point.not_available:
        if isinstance(pattern, tuple) and len(pattern) != width:
            place.problem("not_available", f"a list needs {width} words here", "or write one number for all words")


def _check_bits(point: ModbusPoint, place: Section) -> None:
    if point.bits is None or point.table in BIT_TABLES:
        return
    width = 16 * _width(point)
    lowest, highest = point.bits
    if point.type not in _SLICEABLE:
        place.problem("bits", f"cannot be taken from {point.type}", f"write `type` as one of: {', '.join(_SLICEABLE)}")
    elif not 0 <= lowest <= highest < width:
        place.problem("bits", f"has {width} bits, 0 to {width - 1}", "write `bits = [lowest, highest]`")
    elif point.type == "bool" and lowest != highest:
        place.problem("bits", "a bool is one bit", f'write `bits = [{lowest}, {lowest}]`, or `type = "bits"`')


def _check_meaning(point: ModbusPoint, place: Section) -> None:
    if point.type in ("string", "bool"):
        for key in ("scale", "offset", "range", "decimals"):
            if key in place.data:
                place.problem(key, f"means nothing for a {point.type}", "remove it")
    if point.enum and (point.type not in (*_WHOLE, "bool") or "scale" in place.data or "offset" in place.data):
        place.problem("enum", "names whole raw numbers", "use a whole-number type without `scale` and `offset`")
    for key in point.enum:
        if not key.removeprefix("-").isascii() or not key.removeprefix("-").isdigit():
            place.problem(f"enum.{key}", "is not a number", 'write the raw numbers as keys: `0 = "off"`')


def _width(point: ModbusPoint) -> int:
    """Registers of the value; 1 for a string without its length, which is reported by itself."""
    return point.length or WIDTH.get(point.type, 1)
