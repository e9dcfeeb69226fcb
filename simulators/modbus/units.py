"""The units behind one Modbus line or connection: requests in, answers out. Pure.

A unit that is not there is silence on a serial line, and exception 0x0B from a TCP gateway (Application Protocol
V1.1b3, section 7).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from simulators.faults.answers import Dialect
from simulators.lines.speaking import Answer, NotUnderstood
from simulators.modbus.device import NO_TARGET, Memory, broadcast, respond
from simulators.modbus.dialects import ASCII, RTU, TCP
from simulators.modbus.framing import (
    AsciiRequests,
    MbapRequests,
    NotModbus,
    RtuRequests,
    ascii_frame,
    mbap_frame,
    rtu_frame,
)
from simulators.world import Served

SILENCE_S: Final = 0.03
"""Longer than 3.5 characters at 1200 baud: what has not become a frame by then never will."""
ASCII_SILENCE_S: Final = 1.0
"""How long an ASCII frame may pause (MODBUS over Serial Line V1.02, 2.5.2)."""
BROADCAST: Final = 0

Frame = Callable[[int, bytes], bytes]


@dataclass(frozen=True)
class Unit:
    """A device with a unit id. What `memory` serves it adds to `served`."""

    name: str
    memory: Memory
    served: list[Served] = field(default_factory=list)

    def respond(self, pdu: bytes) -> tuple[bytes, list[Served]]:
        """The answer to a request, and the values that it means."""
        self.served.clear()
        answer = respond(pdu, self.memory)
        return answer, list(self.served)


Units = Mapping[int, Unit]


class TcpUnits:
    """The units behind one Modbus TCP connection."""

    silence_s = 0.0

    def __init__(self, units: Units) -> None:
        self._units = units
        self._requests = MbapRequests()

    def feed(self, data: bytes) -> Iterator[Answer]:
        try:
            for transaction, unit, pdu in self._requests.feed(data):
                yield self._answer(transaction, unit, pdu)
        except NotModbus as err:
            raise NotUnderstood(str(err)) from err

    def silence(self) -> Iterable[Answer]:
        return ()

    def _answer(self, transaction: int, number: int, pdu: bytes) -> Answer:
        unit = self._units.get(number)
        if unit is None:
            return Answer("", mbap_frame(transaction, number, bytes((pdu[0] | 0x80, NO_TARGET))))
        answer, served = unit.respond(pdu)
        request = mbap_frame(transaction, number, pdu)
        return Answer(unit.name, mbap_frame(transaction, number, answer) if answer else b"", request, served, TCP)


class _LineUnits:
    """The units on one serial line, or behind one connection that carries what a serial line would."""

    silence_s = SILENCE_S

    def __init__(self, units: Units, requests: RtuRequests | AsciiRequests, frame: Frame, dialect: Dialect) -> None:
        self._units = units
        self._requests = requests
        self._frame = frame
        self._dialect = dialect

    def feed(self, data: bytes) -> Iterator[Answer]:
        yield from self._answers(self._requests.feed(data))

    def silence(self) -> Iterator[Answer]:
        yield from self._answers(self._requests.silence())

    def _answers(self, requests: Iterable[tuple[int, bytes]]) -> Iterator[Answer]:
        """Unit 0 is everybody, and nobody answers, unless a device has that number."""
        for number, pdu in requests:
            unit = self._units.get(number)
            if unit is not None:
                answer, served = unit.respond(pdu)
                asked = self._frame(number, pdu)
                said = self._frame(number, answer) if answer else b""
                yield Answer(unit.name, said, asked, served, self._dialect)
            elif number == BROADCAST:
                broadcast(pdu, (unit.memory for unit in self._units.values()))


class RtuUnits(_LineUnits):
    """The units on one RTU line, or behind one RTU over TCP connection."""

    def __init__(self, units: Units) -> None:
        super().__init__(units, RtuRequests(), rtu_frame, RTU)


class AsciiUnits(_LineUnits):
    """The units on one line in Modbus ASCII."""

    silence_s = ASCII_SILENCE_S

    def __init__(self, units: Units) -> None:
        super().__init__(units, AsciiRequests(), ascii_frame, ASCII)
