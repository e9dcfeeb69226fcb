"""An RTU bus in the hands of a test: devices at different bauds, slow ones, two with one address, an echo.

A real device at another baud hears no request; the port's own settings are looked at, as a pty keeps its baud.
"""

import os
import termios
from dataclasses import dataclass

from drivers.modbus.framing import crc_ok
from simulators.modbus.device import respond
from simulators.modbus.framing import rtu_frame
from simulators.modbus.image import RegisterImage
from simulators.testing import RawLine

SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in (2400, 4800, 9600, 19200, 38400, 57600, 115200)}


@dataclass(frozen=True, kw_only=True)
class BusDevice:
    """`wait_s` is how long it takes to answer; `spoilt`: its checksum is wrong."""

    unit: int
    image: RegisterImage
    baud: int = 9600
    wait_s: float = 0.0
    spoilt: bool = False

    def answer(self, request: bytes) -> bytes:
        frame = rtu_frame(self.unit, respond(request[1:-2], self.image))
        return frame[:-1] + bytes([frame[-1] ^ 0x55]) if self.spoilt else frame


class RtuBus:
    """Puts the devices on `line`. `asked` are all requests, at any baud, with the baud."""

    def __init__(self, line: RawLine, *devices: BusDevice, echo: bool = False, noise: bytes = b"") -> None:
        self.asked: list[tuple[int, bytes]] = []
        self._port = line.port
        self._devices = devices
        self._echo = echo
        self._noise = noise
        line.script(self._say, in_order=False)

    def baud(self) -> int:
        """At which the port is open now."""
        fd = os.open(self._port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            return SPEEDS[termios.tcgetattr(fd)[5]]
        finally:
            os.close(fd)

    def _say(self, _number: int, request: bytes, _meant: bytes) -> list[tuple[float, bytes]]:
        baud = self.baud()
        self.asked.append((baud, request))
        parts = [(0.0, request)] if self._echo else []
        parts += [(0.0, self._noise)] if self._noise else []
        if not crc_ok(request):
            return parts
        answers = [(d.wait_s, d.answer(request)) for d in self._devices if (d.unit, d.baud) == (request[0], baud)]
        return [*parts, *answers]
