"""What a Modbus link may say in a TOML file.

Promises: an options object that exists is possible. Must not know: sockets, frames, profiles.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from drivers.rs485 import Rs485
from drivers.tomlfile import Section

Transport = Literal["tcp", "rtu", "rtu-over-tcp", "ascii", "udp", "tls"]
Framing = Literal["mbap", "rtu", "ascii"]
"""How a request stands on the wire: with a number (MBAP), or with a checksum and no number."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=60)]

_FRAMINGS: dict[Transport, Framing] = {
    "tcp": "mbap", "udp": "mbap", "tls": "mbap", "rtu": "rtu", "rtu-over-tcp": "rtu", "ascii": "ascii",
}  # fmt: skip
_SERIAL: tuple[Transport, ...] = ("rtu", "ascii")
_SERIAL_KEYS = ("port", "baud", "parity", "stop_bits", "data_bits", "rs485")
_NET_KEYS = ("host", "tcp_port", "connect_timeout_s")
_TLS_KEYS = ("ca_file", "cert_file", "key_file")


class ModbusOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a Modbus `[[link]]`. A serial line has `port`, a network address has `host`."""

    transport: Transport
    port: str = ""
    baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000, examples=[9600])] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    data_bits: Literal[7, 8] = 8
    rs485: Rs485 | None = None
    host: str = ""
    given_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = msgspec.field(default=None, name="tcp_port")
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    given_timeout_s: Seconds | None = msgspec.field(default=None, name="timeout_s")
    connect_timeout_s: Seconds = 3.0
    delay_after_connect_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0

    @property
    def endpoint(self) -> str:
        """The port or address in words; TCP and RTU over TCP to one socket are one endpoint."""
        return (
            self.port
            if self.is_serial
            else f"{'udp' if self.transport == 'udp' else 'tcp'}://{self.host}:{self.tcp_port}"
        )

    @property
    def tcp_port(self) -> int:
        """As given, else 802 for TLS (Modbus/TCP Security V2.1) and 502."""
        return self.given_port or (802 if self.transport == "tls" else 502)

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
        return self.transport in _SERIAL

    @property
    def numbered(self) -> bool:
        """Do requests carry a number, so that a late reply is known by it?"""
        return self.framing == "mbap"

    @property
    def char_s(self) -> float:
        """One character on the wire in seconds, with start, parity and stop bits; 0 on a network."""
        bits = 1 + self.data_bits + (self.parity != "N") + self.stop_bits
        return bits / self.baud if self.is_serial else 0.0

    @property
    def silence_s(self) -> float:
        """The silence that ends an RTU frame: 3.5 characters of 11 bits, 1.75 ms above 19200 baud.

        Source: Modbus over Serial Line V1.02, 2.5.1.1. ASCII frames have an end of their own.
        """
        return max(3.5 * 11 / self.baud, 0.00175) if self.transport == "rtu" else 0.0


def parse_link(section: Section) -> ModbusOptions | None:
    """The keys of one `[[link]]`, or None when problems were reported."""
    before = section.problem_count
    options = section.convert(ModbusOptions, ignore=("name", "kind"))
    if options is None:
        return None
    needed, example = ("port", "/dev/serial/by-id/usb-…-port0") if options.is_serial else ("host", "192.0.2.10")
    if not section.data.get(needed):
        what = f'is missing: transport "{options.transport}" needs it'
        section.problem(needed, what, f'add `{needed} = "{example}"`')
    foreign = [*(_NET_KEYS if options.is_serial else _SERIAL_KEYS), *(() if options.transport == "tls" else _TLS_KEYS)]
    if options.transport == "rtu":
        foreign.append("data_bits")
    for key in foreign:
        if key in section.data:
            what = f'means nothing with transport "{options.transport}"'
            section.problem(key, what, "remove it, or change `transport`")
    _check_files(options, section)
    return options if section.problem_count == before else None


def _check_files(options: ModbusOptions, section: Section) -> None:
    for key in _TLS_KEYS:
        path = getattr(options, key)
        if path and not Path(path).is_file():
            section.problem(key, f"there is no file {path}", "write the whole path from the root")
    if bool(options.cert_file) != bool(options.key_file):
        missing = "key_file" if options.cert_file else "cert_file"
        section.problem(missing, "is missing: a certificate and its key go together", f"add `{missing}`")


def check_device(options: ModbusOptions, _profile: object, unit: int | None, section: Section) -> None:
    """Report a unit id that cannot be on this link: 1-247 on a bus, 0-255 behind a TCP port."""
    lowest, highest = (0, 255) if options.numbered else (1, 247)
    if unit is None:
        section.problem("unit", "is missing: a Modbus device has a unit id", f"add `unit = 1` ({lowest} to {highest})")
    elif not lowest <= unit <= highest:
        where = f'transport "{options.transport}"'
        section.problem("unit", f"is {unit}: not possible with {where}", f"write a number from {lowest} to {highest}")
