"""Simulated Modbus links answer clients that were written by others: pymodbus, and a small one of the tests."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.framer import FramerType

from drivers.catalogue import load_profile
from drivers.modbus.driver import SPEC
from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import ModbusProfile
from simulators.endpoints import CannotServe, free_port
from simulators.modbus.framing import rtu_frame
from simulators.modbus.link import open_units
from simulators.modbus.registers import ProfileMemory
from simulators.modbus.units import Unit, Units
from simulators.world import Served, World

TIMEOUT_S = 3.0


@pytest.fixture
def units(meter_file: Path, moment: Any) -> Units:
    """Two meters, as units 1 and 7."""
    profile = load_profile(meter_file, {"modbus": SPEC})
    assert isinstance(profile, ModbusProfile)
    return {unit: _unit(f"m{unit}", profile, moment.world()) for unit in (1, 7)}


def _unit(name: str, profile: ModbusProfile, world: World) -> Unit:
    served: list[Served] = []
    return Unit(name, ProfileMemory(name, profile, replace(world, record=served.extend)), served)


@asynccontextmanager
async def serving(units: Units, world: World, transport: str = "tcp", **where: Any) -> AsyncIterator[str]:
    """At a free port of loopback where nothing else is said."""
    where = where or {"host": "127.0.0.1", "given_port": free_port()}
    async with open_units("bus", ModbusOptions(transport=transport, **where), units, world) as line:
        yield line.address


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.fixture(params=["tcp", "rtu-over-tcp", "rtu"])
async def client(request: pytest.FixtureRequest, units: Units, moment: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """A pymodbus client that is connected to `units` by each transport."""
    if request.param == "rtu":
        async with serving(units, moment.world(), "rtu", port=str(tmp_path / "bus")) as path:
            serial = AsyncModbusSerialClient(path, baudrate=9600, timeout=TIMEOUT_S, retries=0)
            assert await serial.connect()
            yield serial
            serial.close()
        return
    framer = FramerType.SOCKET if request.param == "tcp" else FramerType.RTU
    async with serving(units, moment.world(), request.param) as address:
        tcp = AsyncModbusTcpClient("127.0.0.1", port=port_of(address), framer=framer, timeout=TIMEOUT_S, retries=0)
        assert await tcp.connect()
        yield tcp
        tcp.close()


async def test_pymodbus_reads_what_was_recorded(client: Any, moment: Any) -> None:
    answer = await client.read_input_registers(0, count=2, device_id=7)
    (served,) = moment.served
    assert served.device == "m7"
    exact = struct.unpack(">f", struct.pack(">HH", *answer.registers))[0]
    assert served.value == pytest.approx(exact, rel=1e-6)


async def test_pymodbus_is_refused_as_by_a_real_device(client: Any) -> None:
    assert (await client.read_input_registers(100, count=1, device_id=1)).exception_code == 2
    assert (await client.read_input_registers(0, count=21, device_id=1)).exception_code == 3
    assert (await client.write_register(0, 1, device_id=1)).exception_code == 1
    assert (await client.read_coils(7, count=1, device_id=1)).bits[0] in (True, False)


async def test_many_reads_in_a_row_are_answered_in_order(client: Any, moment: Any) -> None:
    for number in range(50):
        moment.elapsed_s = float(number)
        moment.served.clear()
        answer = await client.read_input_registers(4, count=1, device_id=1)
        assert round(moment.served[0].value * 10) & 0xFFFF == answer.registers[0]


async def test_requests_that_come_together_are_all_answered(units: Units, moment: Any) -> None:
    async with serving(units, moment.world()) as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(address))
        one = struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 0, 2)
        two = struct.pack(">HHHBBHH", 2, 0, 6, 9, 4, 0, 2)
        writer.write(one + two)
        async with asyncio.timeout(TIMEOUT_S):
            assert (await reader.readexactly(7 + 6))[:2] == b"\x00\x01"
            assert await reader.readexactly(9) == bytes.fromhex("0002000000030984" + "0b")
        writer.close()


async def test_a_client_that_does_not_speak_modbus_is_cut_off(units: Units, moment: Any) -> None:
    async with serving(units, moment.world()) as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(address))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(TIMEOUT_S):
            assert await reader.read() == b""
        writer.close()


async def test_a_unit_that_is_not_on_the_line_is_silent_and_the_next_one_answers(units: Units, moment: Any) -> None:
    async with serving(units, moment.world(), "rtu-over-tcp") as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(address))
        for unit in (3, 1):
            writer.write(rtu_frame(unit, bytes.fromhex("0400000002")))
        async with asyncio.timeout(TIMEOUT_S):
            assert (await reader.read(100))[:3] == b"\x01\x04\x04"
        writer.close()


async def test_noise_before_a_request_costs_that_request_only(units: Units, moment: Any) -> None:
    request = bytes.fromhex("010400040001") + b"\x70\x0b"
    async with serving(units, moment.world(), "rtu-over-tcp") as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(address))
        async with asyncio.timeout(TIMEOUT_S):
            for data in (b"\x00\xff\x00", request):
                writer.write(data)
                await asyncio.sleep(0.1)
            assert (await reader.readexactly(7))[:3] == b"\x01\x04\x02"
        writer.close()


async def test_a_port_that_is_taken_is_said_with_what_to_try(units: Units, moment: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=f":{port}: .* that nothing else uses"):
            async with serving(units, moment.world(), host="127.0.0.1", given_port=port):
                pass


async def test_an_address_of_another_machine_is_said_with_what_to_try(units: Units, moment: Any) -> None:
    with pytest.raises(CannotServe, match=r"192\.0\.2\.1.*127\.0\.0\.1"):
        async with serving(units, moment.world(), host="192.0.2.1", given_port=free_port()):
            pass


async def test_when_the_server_ends_its_clients_are_cut_off(
    units: Units, moment: Any, mbap_request: Callable[[socket.socket, int, bytes], bytes]
) -> None:
    async with serving(units, moment.world()) as address:
        sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port_of(address)), TIMEOUT_S)
        assert (await asyncio.to_thread(mbap_request, sock, 1, bytes.fromhex("0400000002")))[:2] == b"\x04\x04"
    with sock:
        assert await asyncio.to_thread(sock.recv, 1) == b""


def test_a_free_port_is_none_that_whoever_connects_could_be_given_and_none_comes_twice() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [free_port() for _ in range(300)]
    assert len(set(ports)) == len(ports)
    assert all(1_023 < port < first for port in ports)
