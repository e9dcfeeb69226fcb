"""What the fixtures that make devices are, for type checkers."""

import ssl
from pathlib import Path
from typing import Protocol

from simulators.modbus.image import Contents, RegisterImage
from simulators.testing.bench import Transport
from simulators.testing.devices import SimulatedDevice


class MakeModbusDevice(Protocol):
    """`Bench.modbus_device`."""

    def __call__(
        self,
        profile: str | Path = "",
        *,
        name: str = "",
        unit: int = 1,
        transport: Transport = "tcp",
        on: SimulatedDevice | None = None,
        image: RegisterImage | None = None,
        holding: Contents | None = None,
        input: Contents | None = None,  # noqa: A002 - the table's name in the specification
        coil: Contents | None = None,
        discrete: Contents | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> SimulatedDevice: ...


class MakeSerialDevice(Protocol):
    """`Bench.serial_device` and `Bench.camera_device`."""

    def __call__(
        self, profile: str | Path, *, name: str = "", unit: int | None = None, tcp: bool = False
    ) -> SimulatedDevice: ...
