"""What a serial link, frame, profile and point may say in a TOML file.

Promises: an options object that exists is possible. What a profile says wrong is found in `drivers.serial.check`.
Must not know: ports, sockets, how frames are cut.
"""

from typing import Annotated, Any, Literal

import msgspec

from drivers.api import Quality
from drivers.profile import Point, Profile, WireType
from drivers.serial.checksums import ChecksumName
from drivers.tomlfile import Section

Order = Literal["big", "little"]
TextType = Literal["f64", "i64", "string"]
BinaryType = Literal["u8", "i8", "u16", "i16", "u32", "i32", "hex"]
Index = Annotated[int, msgspec.Meta(ge=0, le=999, examples=[1])]
IndexKey = Annotated[str, msgspec.Meta(pattern=r"^\d{1,3}$")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]

TEXT_TYPES: tuple[TextType, ...] = ("f64", "i64", "string")
BINARY_TYPES: tuple[BinaryType, ...] = ("u8", "i8", "u16", "i16", "u32", "i32", "hex")

_SERIAL_KEYS = ("port", "baud", "data_bits", "parity", "stop_bits")
_NET_KEYS = ("host", "tcp_port", "connect_timeout_s")


class SerialOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a serial `[[link]]`: a `port`, or `host` and `tcp_port` of a serial server that passes bytes on.

    `timeout_s` is how long to wait for a frame, in seconds: longer than the pause between two bursts.
    """

    port: str = ""
    baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000, examples=[9600])] = 9600
    data_bits: Literal[7, 8] = 8
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    host: str = ""
    tcp_port: Annotated[int, msgspec.Meta(ge=1, le=65_535, examples=[4001])] | None = None
    timeout_s: Seconds = 5.0
    connect_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 3.0

    @property
    def endpoint(self) -> str:
        """The port or address in words."""
        return self.port or f"tcp://{self.host}:{self.tcp_port}"


class Length(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A length field: `size` bytes at offset `at` of the frame, and what it counts.

    The frame has the field's number plus `add` bytes, from the first byte of the header to the last of the
    checksum. A number outside `min` to `max` is no frame of this model.
    """

    at: Index
    size: Literal[1, 2] = 1
    byte_order: Order = "big"
    add: int = 0
    min: Annotated[int, msgspec.Meta(ge=0)]
    max: Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Flags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a frame says about its own values. Keys are field numbers; in a binary frame, offsets of one byte in hex.

    `valid`: the field must be one of these. `valid_if_sent`: the same, where the frame has the field at all; sent
    and empty is not valid. `quality`: what each text of a field says about the values.
    """

    valid: dict[IndexKey, tuple[str, ...]] = {}
    valid_if_sent: dict[IndexKey, tuple[str, ...]] = {}
    quality: dict[IndexKey, dict[str, Quality]] = {}


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """How bytes become frames.

    `line`: one of the characters `start`, then printable text, then `end`; at most `max_length` bytes in all. Its
    fields stand between `separator`s and count from 0. `talker`: so many letters before the name of a sentence say
    who talks; names that begin with P have none (NMEA 0183).
    `length`: `header` in hex, then a length field. `warming_up = "all_zero"`: such a payload means no value yet.
    `max_pause_s`: no frame has such a pause in it, in seconds; what came before it is not joined to what follows.
    """

    mode: Literal["stream", "poll", "wake"] = "stream"
    framing: Annotated[Literal["line", "length"], msgspec.Meta(examples=["line"])]
    checksum: Annotated[ChecksumName, msgspec.Meta(examples=["xor_hex"])]
    start: str = ""
    end: str = "\r\n"
    max_length: Annotated[int, msgspec.Meta(ge=4, le=4096)] = 128
    separator: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    talker: Annotated[int, msgspec.Meta(ge=0, le=8)] = 0
    header: str = ""
    length: Length | None = None
    byte_order: Order = "big"
    warming_up: Literal["", "all_zero"] = ""
    max_pause_s: Annotated[float, msgspec.Meta(gt=0, le=60)] | None = None
    flags: Flags = Flags()
    sentences: dict[str, Flags] = {}


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value stands in a line, and how it is written there.

    `field` of the sentence `sentence`, in lines whose fields equal `where`. `units` gives, for each text of the
    field `unit_field`, the factor to the point's unit; `factor` is for sentences that name no unit. `ddmm`: degrees
    and minutes as one number, 4807.038 is 48° 7.038' (NMEA 0183). `hemisphere` is the field with N, E (positive) or
    S, W (negative).
    """

    sentence: str = ""
    field: Index | None = None
    where: dict[IndexKey, str] = {}
    format: Literal["number", "ddmm"] = "number"
    hemisphere: Index | None = None
    unit_field: Index | None = None
    factor: float = 1.0
    units: dict[str, float] = {}


class SerialPoint(Point, frozen=True, kw_only=True):
    """One value: in binary frames `at` (offset from the first byte of the frame), in text the keys of `Place`.

    `also` holds further places, for instruments that say the same in several sentences; the first that gives a
    value wins. `flagged = false`: the flags of the frame say nothing about this point. `every_s` is how often the
    instrument sends it, in seconds.
    """

    type: TextType | BinaryType = "f64"
    at: Index | None = None
    sentence: str = ""
    field: Index | None = None
    where: dict[IndexKey, str] = msgspec.field(default_factory=dict)
    format: Literal["number", "ddmm"] = "number"
    hemisphere: Index | None = None
    unit_field: Index | None = None
    factor: float = 1.0
    units: dict[str, float] = msgspec.field(default_factory=dict)
    also: tuple[Place, ...] = ()
    flagged: bool = True
    every_s: Seconds = 1.0

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place of a text point, the preferred one first."""
        own: dict[str, Any] = {name: getattr(self, name) for name in Place.__struct_fields__}
        return (Place(**own), *self.also)

    @property
    def wire_type(self) -> WireType:
        if self.enum or self.type in ("string", "hex"):
            return "string"
        whole = self.type != "f64" and self.scale == 1.0 and self.offset == 0.0
        return "i64" if whole else "f64"


class SerialProfile(Profile, frozen=True, kw_only=True):
    """A model of instrument: its frame and its points."""

    frame: Frame


def parse_link(section: Section) -> SerialOptions | None:
    """The keys of one `[[link]]`, or None when problems were reported."""
    before = section.problem_count
    options = section.convert(SerialOptions, ignore=("name", "kind"))
    data = section.data
    if not data.get("port") and not data.get("host"):
        fix = 'add `port = "/dev/serial/by-id/usb-…-port0"`, or `host` and `tcp_port` of a serial server'
        section.problem("port", "is missing: where is the instrument?", fix)
    elif data.get("port") and data.get("host"):
        section.problem("host", "a link is a port or an address, not both", "remove `host` or `port`")
    elif data.get("host") and "tcp_port" not in data:
        section.problem("tcp_port", "is missing: `host` needs it", "add `tcp_port = 4001`")
    else:
        kind = "a port" if data.get("port") else "an address"
        for key in _NET_KEYS if data.get("port") else _SERIAL_KEYS:
            if data.get(key):
                section.problem(key, f"means nothing for {kind}", "remove it; a serial server has its own settings")
    return options if section.problem_count == before else None


def check_device(_options: SerialOptions, unit: int | None, section: Section) -> None:
    """Report a unit id: a stream has one instrument and no addresses."""
    if unit is not None:
        section.problem("unit", "means nothing on a serial stream: the link has one instrument", "remove `unit`")
