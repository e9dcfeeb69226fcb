"""What a serial profile says: how bytes become frames, how the instrument is asked, and where values stand.

What a profile says wrong is found in `drivers.serial.check`. Must not know: links, ports, how frames are cut.
"""

from typing import Annotated, Any, Literal

import msgspec

from drivers.api import Quality
from drivers.profile import Point, Profile, WireType
from drivers.serial.checksums import CHECKSUMS, ChecksumName, PlacedChecksum
from drivers.serial_line import Seconds

Order = Literal["big", "little"]
TextType = Literal["f64", "i64", "string"]
BinaryType = Literal["u8", "i8", "u16", "i16", "u24", "u32", "i32", "f32", "hex"]
Index = Annotated[int, msgspec.Meta(ge=0, le=999, examples=[1])]
IndexKey = Annotated[str, msgspec.Meta(pattern=r"^\d{1,3}$")]
Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Fa-f]{2} ?)*$", description="bytes in hex", examples=["42 4D"])]
Byte = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{2}$", description="one byte in hex", examples=["7E"])]
Wait = Annotated[float, msgspec.Meta(ge=0, le=60)]

TEXT_TYPES: tuple[TextType, ...] = ("f64", "i64", "string")
BINARY_TYPES: tuple[BinaryType, ...] = ("u8", "i8", "u16", "i16", "u24", "u32", "i32", "f32", "hex")
PER_UNIT = "{unit}"
"""In a request, its reply and its steps: the address of the device on its bus."""
ADDRESSES = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Unit 0 to 61 as one character, as SDI-12 counts them."""


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
    and empty is not valid. `invalid`: the field must be none of these. `quality`: what each text of a field says
    about the values. `marks`: what a text anywhere in a line says about the values of that line.
    """

    valid: dict[IndexKey, tuple[str, ...]] = {}
    valid_if_sent: dict[IndexKey, tuple[str, ...]] = {}
    invalid: dict[IndexKey, tuple[str, ...]] = {}
    quality: dict[IndexKey, dict[str, Quality]] = {}
    marks: dict[str, Quality] = {}


class ChecksumPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checksum that does not stand where its name lets expect.

    `skip` bytes at the start are not covered; `marker` is the text before the checksum, `behind` the number of bytes
    after it (in a line, before its end). `covers = "all_else"`: what stands behind it is covered too.
    """

    name: ChecksumName
    skip: Index = 0
    marker: str = ""
    behind: Index = 0
    covers: Literal["before", "all_else"] = "before"


class Stuffing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frame stands between two bytes `flag`; in it, `escape` and a byte xor `xor` stand for that byte (HDLC)."""

    flag: Byte = "7E"
    escape: Byte = "7D"
    xor: Byte = "20"


class Refusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole frame that is no answer but a refusal: a pattern, and what it means.

    `again_s`: nothing is wrong, the instrument only wants to be asked again after so many seconds.
    """

    reply: str
    means: str
    again_s: Annotated[float, msgspec.Meta(gt=0, le=10)] | None = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """How bytes become frames.

    `mode`: the instrument sends by itself, or is asked with the requests of the profile.
    `line`: one of the characters `start`, then text, then `end`; at most `max_length` bytes in all. Its
    fields stand between `separator`s and count from 0. `talker`: so many letters before the name of a sentence say
    who talks; names that begin with P have none (NMEA 0183).
    `length`: `header` in hex, then a length field. `fixed`: `header`, `size` bytes in all, the last of them `trailer`.
    `stuffed`: see `Stuffing`; `header` and `length` are those of the frame without its flags.
    `warming_up = "all_zero"`: such a payload means no value yet. `warm_up_s`: for so many seconds after the
    instrument was switched on its values settle. It is taken as switched on after a silence of more than
    `timeout_s` of the link, and when the link is opened.
    `max_pause_s`: no frame has such a pause in it, in seconds; what came before it is not joined to what follows.
    `alone`: a frame has such a pause before and after it; bytes that are stuck to it break it.
    """

    mode: Literal["stream", "poll"] = "stream"
    framing: Annotated[Literal["line", "length", "fixed", "stuffed"], msgspec.Meta(examples=["line"])]
    checksum: ChecksumName | ChecksumPlace = "none"
    start: str = ""
    end: str = "\r\n"
    max_length: Annotated[int, msgspec.Meta(ge=4, le=4096)] = 128
    separator: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    talker: Annotated[int, msgspec.Meta(ge=0, le=8)] = 0
    header: Hex = ""
    length: Length | None = None
    size: Annotated[int, msgspec.Meta(ge=2, le=4096)] | None = None
    trailer: Hex = ""
    stuffing: Stuffing = Stuffing()
    byte_order: Order = "big"
    warming_up: Literal["", "all_zero"] = ""
    warm_up_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    max_pause_s: Annotated[float, msgspec.Meta(gt=0, le=60)] | None = None
    alone: bool = False
    flags: Flags = Flags()
    sentences: dict[str, Flags] = {}
    refusals: tuple[Refusal, ...] = ()

    @property
    def is_text(self) -> bool:
        """Are its frames lines?"""
        return self.framing == "line"

    @property
    def checked(self) -> PlacedChecksum:
        """The checksum in its place."""
        end = len(self.end.encode("latin-1")) if self.is_text else 0
        if isinstance(self.checksum, ChecksumPlace):
            place = self.checksum
            return PlacedChecksum(
                CHECKSUMS[place.name],
                place.skip,
                place.marker.encode("latin-1"),
                place.behind + end,
                place.covers == "all_else",
            )
        if self.checksum == "xor_hex":
            return PlacedChecksum(CHECKSUMS["xor_hex"], skip=1, marker=b"*", behind=end)
        return PlacedChecksum(CHECKSUMS[self.checksum], behind=end)


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is said to the instrument before or between requests.

    `send` as text or `send_hex`; then `expect`, a pattern over the bytes that come back, is waited for within
    `within_s` (default: the link's `timeout_s`), at most `tries` times; then `pause_s` of silence from us.
    `wait_group`: this group of `expect` is a number of seconds to wait, which the pattern `ready` ends early.
    `starts`: the instrument warms up after this, except where the answer fits `unless`.
    """

    send: str = ""
    send_hex: Hex = ""
    expect: str = ""
    within_s: Annotated[float, msgspec.Meta(gt=0, le=60)] | None = None
    tries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    pause_s: Wait = 0.0
    wait_group: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = None
    ready: str = ""
    starts: bool = False
    unless: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question. `send` (text) or `send_hex`, then its `check`sum, then `end`; the frame that answers fits `reply`.

    `before`: steps that lead to it. `confirm`: it is asked again until two answers say the same, at most four times,
    for instruments that send no checksum.
    """

    name: str = ""
    send: str = ""
    send_hex: Hex = ""
    check: ChecksumName = "none"
    end: str = ""
    reply: str = ""
    before: tuple[Step, ...] = ()
    confirm: bool = False


class Duty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An instrument that sleeps between two readings: `wake`, `warm_up_s` of the frame, the requests, `sleep`."""

    wake: tuple[Step, ...]
    sleep: tuple[Step, ...]


Factor = float | tuple[float, float]
"""To the point's unit: a factor, or a factor and what is added then."""


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value stands in a line, and how it is written there.

    `field` of the sentence `sentence`, in lines whose fields equal `where`; or `pattern`, a regular expression with
    a group `value` and maybe a group `unit`. `units` gives, for each text of the field `unit_field` or the group
    `unit`, the factor to the point's unit; `factor` is for sentences that name no unit. `not_valid`: units that say
    that the number is no value. `ddmm`: degrees and minutes as one number, 4807.038 is 48° 7.038' (NMEA 0183).
    `hemisphere` is the field with N, E (positive) or S, W (negative). `repeats`: the sentence has several groups of
    so many fields; the one whose fields equal `where`, counted from its first, counts.
    """

    sentence: str = ""
    field: Index | None = None
    pattern: str = ""
    where: dict[IndexKey, str] = {}
    repeats: Index | None = None
    format: Literal["number", "ddmm"] = "number"
    hemisphere: Index | None = None
    unit_field: Index | None = None
    factor: float = 1.0
    units: dict[str, Factor] = {}
    not_valid: tuple[str, ...] = ()


class SerialPoint(Point, frozen=True, kw_only=True):
    """One value: in binary frames `at` (offset from the first byte of the frame), in text the keys of `Place`.

    `request` is the name of the request that brings it, where the profile has several. `length` is the number of
    bytes of a `hex` text; `not_available` holds raw numbers that mean no value; `byte_order` replaces the frame's.
    `also` holds further places, for instruments that say the same in several sentences; the first that gives a
    value wins. `flagged = false`: the flags of the frame say nothing about this point. `every_s` is how often the
    instrument sends it, in seconds.
    """

    type: TextType | BinaryType = "f64"
    request: str = ""
    at: Index | None = None
    length: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    not_available: tuple[int, ...] = ()
    byte_order: Order | None = None
    sentence: str = ""
    field: Index | None = None
    pattern: str = ""
    where: dict[IndexKey, str] = msgspec.field(default_factory=dict)
    repeats: Index | None = None
    format: Literal["number", "ddmm"] = "number"
    hemisphere: Index | None = None
    unit_field: Index | None = None
    factor: float = 1.0
    units: dict[str, Factor] = msgspec.field(default_factory=dict)
    not_valid: tuple[str, ...] = ()
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
        whole = self.type not in ("f64", "f32") and self.scale == 1.0 and self.offset == 0.0
        return "i64" if whole else "f64"


class SerialProfile(Profile, frozen=True, kw_only=True):
    """A model of instrument: its frame, how it is asked, and its points.

    `settings` are sent when the link was opened and after the instrument did not answer: it may have been off.
    """

    frame: Frame
    request: tuple[Request, ...] = ()
    settings: tuple[Step, ...] = ()
    duty: Duty | None = None

    @property
    def is_asked(self) -> bool:
        """Does it answer, in place of sending by itself?"""
        return self.frame.mode == "poll"

    @property
    def has_address(self) -> bool:
        """May several of them be on one line?"""
        return any(PER_UNIT in request.send for request in self.request)
