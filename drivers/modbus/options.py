"""What a Modbus link may say in a TOML file.

Promises: an options object that exists is possible. Must not know: sockets, frames, profiles.
"""

from typing import Annotated, Literal

import msgspec

from drivers.tomlfile import Section

Transport = Literal["tcp", "rtu", "rtu-over-tcp", "ascii", "udp", "tls"]
Framing = Literal["mbap", "rtu", "ascii"]
"""How a request stands on the wire: with a number (MBAP), or with a checksum and no number."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=60)]

_FRAMINGS: dict[Transport, Framing] = {
    "tcp": "mbap", "udp": "mbap", "tls": "mbap", "rtu": "rtu", "rtu-over-tcp": "rtu", "ascii": "ascii",
}  # fmt: skip
_READY: tuple[Transport, ...] = ("tcp", "rtu", "rtu-over-tcp")
_SERIAL_KEYS = ("port", "baud", "parity", "stop_bits")
_NET_KEYS = ("host", "tcp_port", "connect_timeout_s")


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
        return self.port if self.is_serial else f"tcp://{self.host}:{self.tcp_port}"

    @property
    def timeout_s(self) -> float:
        """How long a reply may take to begin, in seconds: as given, else 0.5 on a serial port and 1.0 on a network."""
        if self.given_timeout_s is not None:
            return self.given_timeout_s
        return 0.5 if self.is_serial else 1.0

    @property
    def framing(self) -> Framing:
        """How a request stands on the wire."""
        return _FRAMINGS[self.transport]

    @property
    def is_serial(self) -> bool:
        """Is it a serial port of this machine, with a baud rate?"""
        return self.transport in ("rtu", "ascii")

    @property
    def numbered(self) -> bool:
        """Do requests carry a number, so that a late reply is known by it?"""
        return self.framing == "mbap"

    @property
    def char_s(self) -> float:
        """One character on the wire in seconds, 11 bits (Modbus over Serial Line V1.02, 2.5.1); 0 on a network."""
        return 11 / self.baud if self.is_serial else 0.0

    @property
    def silence_s(self) -> float:
        """The silence that ends a frame: 3.5 characters, 1.75 ms above 19200 baud (Serial Line V1.02, 2.5.1.1)."""
        return max(3.5 * self.char_s, 0.00175) if self.is_serial else 0.0


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
