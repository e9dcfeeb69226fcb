"""Modbus TCP devices of the bench that count their answers: each served number is seen at the IOC, or it is missing."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from simulators.testing import Counter, MakeModbusDevice, RegisterImage, SimulatedDevice

PROFILE = """\
vendor = "Test"
model = "Counter"
kind = "modbus"
source = "tests/support/counting.py"
[[point]]
name = "n"
table = "holding"
address = 0
type = "u32"
[[point]]
name = "mirrored"
table = "holding"
address = 2
type = "u32"
"""


class CountingDevices(NamedTuple):
    """Units behind one TCP port, and what they have served so far."""

    port: int
    counters: Mapping[int, Counter]


def counting_devices(modbus_device: MakeModbusDevice, units: Iterable[int]) -> CountingDevices:
    """Make them: each has a number in its registers 0 and 1, high word first, and its complement behind."""
    device: SimulatedDevice | None = None
    counters: dict[int, Counter] = {}
    for unit in units:
        image = RegisterImage()
        counters[unit] = image.count()
        device = modbus_device(unit=unit, image=image, on=device)
    assert device is not None, "no units"
    return CountingDevices(device.tcp_port, counters)
