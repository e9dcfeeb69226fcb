"""Modbus devices of the bench in which every register says where it stands, so that a value at the wrong place is seen."""

from collections.abc import Callable
from typing import NamedTuple

from drivers.modbus.options import ModbusOptions
from simulators.modbus.image import numbered_word
from simulators.testing import MakeModbusDevice, RegisterImage, SimulatedDevice

MakeNumbered = Callable[..., SimulatedDevice]
IDENTIFICATION = {0: "Acme", 1: "X1"}


def maker(modbus_device: MakeModbusDevice) -> MakeNumbered:
    """Make them with this fixture: `numbered("rtu")`, and `numbered("rtu", 2, on=first)` on its line."""

    def numbered(kind: str, unit: int = 1, on: SimulatedDevice | None = None) -> SimulatedDevice:
        image = RegisterImage.numbered(unit, identification=IDENTIFICATION)
        return modbus_device(transport=kind, unit=unit, on=on, image=image)  # type: ignore[arg-type]

    return numbered


def words(unit: int, address: int, count: int) -> tuple[int, ...]:
    """What stands in holding registers of such a device."""
    return tuple(numbered_word(unit, "holding", place) for place in range(address, address + count))


def options(device: SimulatedDevice, timeout_s: float = 0.3) -> ModbusOptions:
    """How a driver finds a device. It answers from another thread: a busy machine may take some tens of ms for that."""
    link = device.link
    kind = link["transport"]
    if kind in ("rtu", "ascii"):
        return ModbusOptions(transport=kind, port=device.port, baud=115200, given_timeout_s=timeout_s)
    return ModbusOptions(transport=kind, host=device.host, given_port=device.tcp_port, given_timeout_s=timeout_s)


class Asked(NamedTuple):
    """What stands in a request."""

    unit: int
    function: int
    address: int
    count: int


def body(kind: str, request: bytes) -> bytes:
    """Unit and PDU of a request on the wire."""
    match kind:
        case "rtu" | "rtu-over-tcp":
            return request[:-2]
        case "ascii":
            return bytes.fromhex(request[1:-2].decode())[:-1]
        case _:
            return request[6:]


def asked(kind: str, request: bytes) -> Asked:
    """What a request for registers or bits wants."""
    unit, function, *rest = body(kind, request)
    return Asked(unit, function, rest[0] << 8 | rest[1], rest[2] << 8 | rest[3])
