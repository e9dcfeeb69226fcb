"""The keys of a `[[link]]` that is a serial line: a port here, or a serial server that passes bytes on as they are.

Promises: an options object that exists is possible. Must not know: what is said on the line.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

from drivers.tomlfile import Section

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
_SERIAL_KEYS = ("port", "baud", "data_bits", "parity", "stop_bits")
_NET_KEYS = ("host", "tcp_port", "connect_timeout_s")


class SerialLine(msgspec.Struct, frozen=True, kw_only=True):
    """A `port`, or `host` and `tcp_port`. `timeout_s` is how long an answer or a frame may take, in seconds."""

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

    def wire_s(self, size: int) -> float:
        """How long `size` bytes are on the wire, in seconds; a serial server's own line is not known here."""
        bits = 1 + self.data_bits + (self.parity != "N") + self.stop_bits
        return size * bits / self.baud


OptionsT = TypeVar("OptionsT", bound=SerialLine)


def parse_line(section: Section, cls: type[OptionsT]) -> OptionsT | None:
    """The keys of one `[[link]]`, or None when problems were reported."""
    before = section.problem_count
    options = section.convert(cls, ignore=("name", "kind"))
    data = section.data
    if not data.get("port") and not data.get("host"):
        fix = 'add `port = "/dev/serial/by-id/usb-…-port0"`, or `host` and `tcp_port` of a serial server'
        section.problem("port", "is missing: where is the instrument?", fix)
    elif data.get("port") and data.get("host"):
        section.problem("host", "a link is a port or an address, not both", "remove `host` or `port`")
    elif data.get("host") and "tcp_port" not in data:
        section.problem("tcp_port", "is missing: `host` needs it", "add `tcp_port = 4001`")
    else:
        used = "port" if data.get("port") else "host"
        for key in _NET_KEYS if data.get("port") else _SERIAL_KEYS:
            if data.get(key):
                section.problem(
                    key, f"means nothing beside `{used}`", "remove it; a serial server has its own settings"
                )
    return options if section.problem_count == before else None
