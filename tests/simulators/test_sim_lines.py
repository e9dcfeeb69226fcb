"""Faults of lines and of devices, on real ptys and sockets, as a reader meets them."""

import asyncio
import os
import select
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus.options import ModbusOptions
from simulators.endpoints import free_port
from simulators.faults.answers import Part
from simulators.faults.fault import parse_fault
from simulators.faults.schedule import Schedule
from simulators.lines.delivery import paced
from simulators.lines.line import BANNER
from simulators.modbus.device import Memory
from simulators.modbus.framing import mbap_frame, rtu_frame
from simulators.modbus.link import open_units
from simulators.modbus.units import Unit
from simulators.world import Exchange, Served, World

TIMEOUT_S = 10.0
ASK = bytes.fromhex("0300000001")
ASKED = mbap_frame(1, 1, ASK)


class Counting(Memory):
    """A memory that serves how often it has been read."""

    def __init__(self, name: str, world: World) -> None:
        self.count = 0
        self.name = name
        self.world = world

    def read(self, table: Any, address: int, count: int) -> list[int]:
        self.count += 1
        self.world.record([Served(self.name, "n", self.count, 0)])
        return [self.count] * count


class Bench:
    """Two units, a and b, on a link, and all that was recorded of them."""

    def __init__(self, faults: str) -> None:
        self.served: list[Served] = []
        self.exchanges: list[Exchange] = []
        schedule = Schedule([parse_fault(one) for one in faults.split(";") if one], seed=1)
        self.world = World(seed=1, record=self.served.extend, watch=self.exchanges.append, faults=schedule)

    @property
    def spoilt(self) -> list[str]:
        return [one.fault for one in self.served]

    @asynccontextmanager
    async def serving(self, transport: str, *names: str, **where: Any) -> AsyncIterator[str]:
        units = {}
        for number, name in enumerate(names or ("a",), 1):
            served: list[Served] = []
            units[number] = Unit(name, Counting(name, replace(self.world, record=served.extend)), served)
        where = where or {"host": "127.0.0.1", "given_port": free_port()}
        async with open_units("link", ModbusOptions(transport=transport, **where), units, self.world) as line:
            yield line.address


class Client:
    """A TCP client that says what it gets, or None where nothing comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, wait_s: float = TIMEOUT_S) -> bytes | None:
        self.writer.write(ASKED)
        return await self.get(wait_s)

    async def get(self, wait_s: float = TIMEOUT_S) -> bytes | None:
        try:
            async with asyncio.timeout(wait_s):
                return await self.reader.read(1_000)
        except TimeoutError:
            return None


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Client]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], Any], what: str) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within {TIMEOUT_S:g} s: {what}")


def answer(number: int) -> bytes:
    return mbap_frame(1, 1, bytes((3, 2, 0, number)))


async def test_what_was_spoilt_is_recorded_with_what_has_spoilt_it() -> None:
    bench = Bench("no_reply on=a")
    async with bench.serving("tcp") as address, connected(address) as client:
        assert await client.ask(0.2) is None
        bench.world.faults.heal()
        assert await client.ask() == answer(2)
    assert bench.spoilt == ["no_reply", ""]
    assert [(one.device, one.link, one.faults) for one in bench.exchanges] == [
        ("a", "link", ("no_reply",)),
        ("a", "link", ()),
    ]
    assert bench.exchanges[0].request == ASKED


async def test_a_fault_on_one_device_leaves_its_neighbour_alone() -> None:
    bench = Bench("exception on=b")
    async with bench.serving("tcp", "a", "b") as address, connected(address) as client:
        assert await client.ask() == answer(1)
        client.writer.write(mbap_frame(2, 2, ASK))
        assert await client.get() == mbap_frame(2, 2, b"\x83\x04")


async def test_a_port_that_refuses_is_closed_and_open_again_and_who_is_there_stays() -> None:
    bench = Bench("")
    async with bench.serving("tcp") as address, connected(address) as client:
        bench.world.faults.add(parse_fault("refuse on=link"))
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            async with connected(address):
                pass
        assert await client.ask() == answer(1)
        bench.world.faults.heal()
        await asyncio.sleep(0.05)
        async with connected(address) as other:
            assert await other.ask() == answer(2)


async def test_connections_are_reset_once() -> None:
    bench = Bench("")
    async with bench.serving("tcp") as address:
        async with connected(address) as client:
            assert await client.ask() == answer(1)
            bench.world.faults.add(replace(parse_fault("reset"), from_s=bench.world.elapsed_s()))
            with pytest.raises(ConnectionResetError):
                await client.get()
        async with connected(address) as again:
            assert await again.ask() == answer(2)


async def test_a_half_open_connection_is_told_nothing_and_a_new_one_works() -> None:
    bench = Bench("")
    async with bench.serving("tcp") as address, connected(address) as client:
        assert await client.ask() == answer(1)
        bench.world.faults.add(replace(parse_fault("half_open"), from_s=bench.world.elapsed_s()))
        await asyncio.sleep(0.05)
        assert await client.ask(0.2) is None
        async with connected(address) as other:
            assert await other.ask() == answer(3)
        assert await client.ask(0.2) is None
    assert bench.spoilt == ["", "half_open", "", "half_open"]


async def test_a_black_hole_accepts_and_never_answers() -> None:
    bench = Bench("blackhole on=a")
    async with bench.serving("tcp") as address, connected(address) as client:
        assert await client.ask(0.2) is None
        assert bench.spoilt == ["blackhole"]
        bench.world.faults.heal()
        with pytest.raises(ConnectionResetError):
            await client.get()


async def test_a_second_connection_is_closed_at_once_and_the_first_stays() -> None:
    bench = Bench("one_connection")
    async with bench.serving("tcp") as address, connected(address) as client:
        assert await client.ask() == answer(1)
        async with connected(address) as other:
            assert await other.get() == b""
        assert await client.ask() == answer(2)


async def test_bytes_come_slowly() -> None:
    bench = Bench("slow on=link bytes_per_s=50")
    async with bench.serving("tcp") as address, connected(address) as client:
        began = time.monotonic()
        client.writer.write(ASKED)
        async with asyncio.timeout(TIMEOUT_S):
            assert await client.reader.readexactly(len(answer(1))) == answer(1)
        assert time.monotonic() - began >= (len(ASKED) + len(answer(1))) / 50 - 0.02


def test_a_line_is_as_slow_as_its_speed() -> None:
    parts = paced([Part(0.0, bytes(50)), Part(1.0, bytes(10))], 960.0, 8)
    assert b"".join(part.data for part in parts) == bytes(60)
    assert sum(part.wait_s for part in parts) == pytest.approx(1.0 + 68 / 960)
    assert max(len(part.data) for part in parts) <= 10


async def test_a_device_that_reboots_resets_its_connections_and_refuses_until_it_is_up() -> None:
    bench = Bench("")
    async with bench.serving("tcp") as address:
        async with connected(address) as client:
            assert await client.ask() == answer(1)
            bench.world.faults.add(replace(parse_fault("reboot on=a"), from_s=bench.world.elapsed_s(), for_s=0.5))
            with pytest.raises(ConnectionResetError):
                await client.get()
        with pytest.raises(ConnectionRefusedError):
            async with connected(address):
                pass
        await asyncio.sleep(0.6)
        async with connected(address) as again:
            assert await again.ask() == answer(2)


async def test_values_that_are_frozen_stand_still(moment: Any) -> None:
    world = replace(moment.world(), faults=Schedule([parse_fault("frozen on=a from=10 for=5")]))
    seen = []
    for moment.elapsed_s in (9.0, 10.0, 14.0, 15.0):
        seen.append((world.device_s("a"), world.device_s("b")))
    assert seen == [(9.0, 9.0), (10.0, 10.0), (10.0, 14.0), (15.0, 15.0)]


def port_read(fd: int, size: int) -> bytes:
    data, end = b"", time.monotonic() + TIMEOUT_S
    while len(data) < size and time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            data += os.read(fd, size - len(data))
    return data


async def test_a_cable_that_is_pulled_comes_back_as_another_pty_behind_the_same_link(tmp_path: Path) -> None:
    bench, port = Bench(""), tmp_path / "bus"
    async with bench.serving("rtu", port=str(port)):
        first = port.readlink()
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        bench.world.faults.add(parse_fault("unplug on=link"))
        await until(lambda: not port.is_symlink(), "the port is gone")
        with pytest.raises(OSError, match="Input/output error"):
            os.write(fd, b"x")
        os.close(fd)
        bench.world.faults.heal()
        await until(port.is_symlink, "the port is back")
        assert port.readlink() != first
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, rtu_frame(1, ASK))
        assert await asyncio.to_thread(port_read, fd, 7) == rtu_frame(1, b"\x03\x02\x00\x01")
        os.close(fd)


async def test_a_device_that_reboots_is_silent_and_prints_its_banner(tmp_path: Path) -> None:
    bench, port = Bench("reboot on=a for=0.4"), tmp_path / "bus"
    async with bench.serving("rtu", "a", "b", port=str(port)):
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, rtu_frame(1, ASK))
        os.write(fd, rtu_frame(2, ASK))
        assert await asyncio.to_thread(port_read, fd, 7) == rtu_frame(2, b"\x03\x02\x00\x01")
        assert await asyncio.to_thread(port_read, fd, len(BANNER)) == BANNER
        os.close(fd)
    assert bench.spoilt == ["reboot", ""]


async def test_a_line_babbles_and_answers_all_the_same(tmp_path: Path) -> None:
    bench, port = Bench("babble on=link gap_s=0.002 bytes=4"), tmp_path / "bus"
    async with bench.serving("rtu", port=str(port)):
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, rtu_frame(1, ASK))
        heard = await asyncio.to_thread(port_read, fd, 400)
        assert rtu_frame(1, b"\x03\x02\x00\x01") in heard
        assert len(heard) == 400
        os.close(fd)
    assert bench.spoilt == ["babble"]
