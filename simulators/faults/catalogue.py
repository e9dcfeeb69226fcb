"""Every fault by name: where it happens, what it can be told, and what it does, in one sentence. Pure.

A name means one thing; `places` says where it can be used. `docs/faults/` has a page for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Place = Literal["answer", "device", "line", "uplink", "host"]
"""`answer`: one message of a device. `device`: the instrument. `line`: the wire, or the TCP port, of a link."""

Transport = Literal["rtu", "ascii", "tcp", "bytes"]
"""How an answer is framed: Modbus RTU, Modbus ASCII, Modbus TCP, or a protocol of which only bytes are known."""

_OF_MESSAGES: Final = frozenset(("nack", "puback_lost", "ack_lost", "ack_late", "ack_doubled", "ack_stale"))
MODBUS: Final = frozenset[Transport](("rtu", "ascii", "tcp"))
FOREVER: Final = float("inf")


@dataclass(frozen=True)
class Parameter:
    """What a fault can be told: the default, and between which numbers; the unit is in its name."""

    default: float
    low: float
    high: float


@dataclass(frozen=True)
class FaultKind:
    """One name. `moment`: it has no length, it happens. `only`: on no other transports; `needs_tcp`: on no serial port.

    `shared`: it happens to messages, so that a share of them can meet it.
    """

    name: str
    places: frozenset[Place]
    what: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    only: frozenset[Transport] = frozenset()
    moment: bool = False
    needs_tcp: bool = False

    @property
    def shared(self) -> bool:
        return "answer" in self.places or self.name in _OF_MESSAGES


_DELAY: Final = {"min_s": Parameter(0.01, 0.0, 3_600.0), "max_s": Parameter(2.5, 0.0, 3_600.0)}
_REGISTER: Final = {"register": Parameter(-1, -1, 65_535)}
_COUNT: Final = {"bytes": Parameter(3, 1, 1_000)}
_TCP: Final[tuple[Place, ...]] = ("line", "uplink")


def _kind(
    name: str,
    places: Place | tuple[Place, ...],
    what: str,
    parameters: Mapping[str, Parameter] | None = None,
    *,
    only: frozenset[Transport] = frozenset(),
    moment: bool = False,
    needs_tcp: bool = False,
) -> FaultKind:
    everywhere = (places,) if isinstance(places, str) else places
    return FaultKind(name, frozenset(everywhere), what, parameters or {}, only, moment, needs_tcp)


_KINDS = (
    _kind("no_reply", "answer", "the answer never comes", _REGISTER),
    _kind(
        "exception",
        "answer",
        "a Modbus exception in its place",
        {"code": Parameter(4, 1, 255), **_REGISTER},
        only=MODBUS,
    ),
    _kind("wrong_crc", "answer", "the checksum is wrong", only=frozenset(("rtu", "ascii", "bytes"))),
    _kind("wrong_unit", "answer", "another unit seems to answer", only=MODBUS),
    _kind("wrong_count", "answer", "one register or byte more or less than asked for, well framed", only=MODBUS),
    _kind("lost", "answer", "one byte of the answer is missing"),
    _kind("doubled", "answer", "one byte of the answer comes twice"),
    _kind("truncated", "answer", "the end of the answer is missing"),
    _kind("echo", "answer", "the request comes back first, as from a half-duplex adapter"),
    _kind("noise_before", "answer", "stray 00 and FF bytes come first", _COUNT),
    _kind("noise_after", "answer", "stray 00 and FF bytes follow", _COUNT),
    _kind("late", "answer", "the answer comes late, in one piece", _DELAY),
    _kind("torn", "answer", "the first part of the answer comes at once, the rest late", _DELAY),
    _kind("split", ("answer", "uplink"), "bytes come one by one", {"gap_s": Parameter(0.005, 0.0, 10.0)}),
    _kind("frozen", "device", "the values stand still, the answers go on"),
    _kind("stuck_picture", "device", "a camera gives the same picture again"),
    _kind("reboot", "device", "silent for a while, then a banner on a serial line; a TCP port resets and refuses"),
    _kind("babble", "line", "bytes that nobody asked for", {"gap_s": Parameter(0.05, 0.001, 60.0), **_COUNT}),
    _kind("baud", "line", "bytes come as slowly as at this speed", {"baud": Parameter(9_600, 50, 4_000_000)}),
    _kind("unplug", "line", "the cable is pulled; a serial port comes back as another one behind the same link"),
    _kind("refuse", _TCP, "the TCP port is closed; connections that are there stay", needs_tcp=True),
    _kind("reset", _TCP, "connections are reset", moment=True, needs_tcp=True),
    _kind("half_open", _TCP, "open connections go nowhere, and nobody is told", moment=True, needs_tcp=True),
    _kind("blackhole", _TCP, "connections are accepted, nothing is ever answered", needs_tcp=True),
    _kind("slow", _TCP, "bytes come slowly", {"bytes_per_s": Parameter(20, 0.1, 10_000_000)}),
    _kind("one_connection", "line", "a second connection is closed at once", needs_tcp=True),
    _kind("cut", _TCP, "the connections are closed in order (FIN)", moment=True, needs_tcp=True),
    _kind("stall", "uplink", "nothing goes on until it is over"),
    _kind("broker_kill", "uplink", "the broker is killed, and started again when it is over"),
    _kind("ioc_kill", "uplink", "the IOC is killed, and started again when it is over"),
    _kind("nack", "uplink", "the broker refuses a message with a reason code", {"code": Parameter(0x97, 0, 255)}),
    _kind("puback_lost", "uplink", "the broker's acknowledgement does not arrive"),
    _kind("ack_lost", "uplink", "the IOC's acknowledgement does not arrive"),
    _kind("ack_late", "uplink", "the IOC's acknowledgement arrives late", {"max_s": Parameter(2.0, 0.0, 600.0)}),
    _kind("ack_doubled", "uplink", "the IOC's acknowledgement arrives twice"),
    _kind("ack_stale", "uplink", "an earlier acknowledgement of the IOC comes again"),
    _kind("disk_full", "host", "no byte more can be written to the gateway's disk"),
    _kind("read_only", "host", "the gateway's disk cannot be written to"),
    _kind("clock_jump", "host", "the wall clock jumps", {"seconds": Parameter(3_600, -4e9, 4e9)}, moment=True),
    _kind("sigkill", "host", "the gateway is killed, and started again when it is over"),
    _kind("sigterm", "host", "the gateway is told to end, and started again when it is over"),
    _kind("power_cut", "host", "the power fails, and the RAM disk is lost; the gateway starts when it is over"),
    _kind("sigstop", "host", "the gateway gets no CPU"),
)

FAULTS: Final[Mapping[str, FaultKind]] = {kind.name: kind for kind in _KINDS}
