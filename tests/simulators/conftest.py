"""What tests of the simulators share: profiles, and clients that know nothing of the code under test."""

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus.profile import ModbusPoint, ModbusProfile
from simulators.world import World

METER = """
vendor = "Test"
model = "Meter"
kind = "modbus"
source = "made for tests"
max_registers = 20
max_gap = 2

[[point]]
name = "voltage"
table = "input"
address = 0
type = "f32"
unit = "V"
range = [0, 500]

[[point]]
name = "temperature"
table = "input"
address = 4
type = "i16"
scale = 0.1
unit = "Cel"

[[point]]
name = "energy_import"
table = "input"
address = 5
type = "u32"
scale = 0.01
unit = "kW.h"

[[point]]
name = "far"
table = "input"
address = 30
type = "u16"

[[point]]
name = "on_line"
table = "holding"
address = 0
type = "bool"
bits = [1, 1]

[[point]]
name = "mode"
table = "holding"
address = 0
type = "u16"
bits = [4, 5]
enum = { 0 = "off", 1 = "auto", 2 = "manual" }

[[point]]
name = "model"
table = "holding"
address = 1
type = "string"
length = 4

[[point]]
name = "door"
table = "coil"
address = 7
type = "bool"
"""


class Moment:
    """Time in the hands of a test, and everything that was served."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.served: list[Any] = []

    def world(self, seed: int = 1) -> World:
        return World(seed, lambda: self.elapsed_s, lambda: 1_000 + int(self.elapsed_s * 1_000), self.served.extend)


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def make_profile() -> Callable[..., ModbusProfile]:
    def make(*points: ModbusPoint, **keys: Any) -> ModbusProfile:
        return ModbusProfile(vendor="Test", model="M", kind="modbus", source="made for tests", point=points, **keys)

    return make


@pytest.fixture
def meter_file(tmp_path: Path) -> Path:
    file = tmp_path / "profiles" / "test" / "meter.toml"
    file.parent.mkdir(parents=True)
    file.write_text(METER, encoding="utf-8")
    return file


@pytest.fixture
def wait_for() -> Callable[[Callable[[], Any], float], Any]:
    """Wait until a condition gives something true; the result, or a failure after so many seconds."""

    def wait(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        deadline_s = time.monotonic() + timeout_s
        while not (result := condition()):
            assert time.monotonic() < deadline_s, "the condition did not come true"
            time.sleep(0.02)
        return result

    return wait


@pytest.fixture
def mbap_request() -> Callable[[socket.socket, int, bytes], bytes]:
    """Ask one PDU over Modbus TCP, and give the PDU of the answer."""

    def ask(sock: socket.socket, unit: int, pdu: bytes) -> bytes:
        sock.sendall(struct.pack(">HHHB", 77, 0, len(pdu) + 1, unit) + pdu)
        head = sock.recv(7, socket.MSG_WAITALL)
        transaction, protocol, length, answered = struct.unpack(">HHHB", head)
        assert (transaction, protocol, answered) == (77, 0, unit)
        return sock.recv(length - 1, socket.MSG_WAITALL)

    return ask
