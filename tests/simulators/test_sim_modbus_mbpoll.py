"""The Modbus simulator before a client that shares nothing with us: Debian's mbpoll, and libmodbus beneath it."""

import asyncio
import contextlib
import ctypes
import os
import re
import shutil
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from modbus_lines import port_of, units_on

from simulators.modbus.device import Table
from simulators.modbus.image import RegisterImage
from simulators.modbus.units import Unit

INSTALL = "mbpoll is not installed: sudo apt-get install mbpoll"
TIMEOUT_S = 20.0
UNIT = 17
TYPES: dict[Table, str] = {"coil": "0", "discrete": "1", "input": "3", "holding": "4"}
LIBMODBUS_EXCEPTIONS = 112_345_678
"""MODBUS_ENOBASE of modbus.h: errno of an exception is this plus its code."""


class Told(NamedTuple):
    """How mbpoll has ended, what values it has read by address, and everything it said."""

    code: int
    values: dict[int, int]
    text: str


Poll = Callable[..., Awaitable[Told]]


@pytest.fixture(scope="session")
def mbpoll() -> str:
    """Where it is; on a machine without it these tests are skipped by name, and fail in CI."""
    path = shutil.which("mbpoll")
    if path is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(INSTALL)
    return path


@pytest.fixture
def image() -> RegisterImage:
    return RegisterImage(
        holding={0: [0x1234, 0, 0xFFFF], 3: [7] * 122, 0xFFFF: 9},
        input={0: [0xABCD, 1, 2]},
        coil={0: [1, 0, 0, 1, 1, 0, 1, 0, 1, 1], 2_000: 1},
        discrete={5: [0, 1, 1]},
        server_id=b"\x11\xffPump 3",
    )


@contextlib.asynccontextmanager
async def port_before(tcp_port: int) -> AsyncIterator[str]:
    """A serial port whose bytes go to a serial server, and come from it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port)
    fd, device_fd = os.openpty()
    tty.setraw(device_fd)

    async def listen() -> None:
        while data := await reader.read(4_096):
            os.write(fd, data)

    asyncio.get_running_loop().add_reader(fd, lambda: writer.write(os.read(fd, 4_096)))
    listening = asyncio.create_task(listen())
    try:
        yield os.ttyname(device_fd)
    finally:
        asyncio.get_running_loop().remove_reader(fd)
        listening.cancel()
        writer.close()
        os.close(fd)
        os.close(device_fd)


async def run(*command: str) -> Told:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(TIMEOUT_S):
        output = (await process.communicate())[0].decode()
    values = {int(address): int(value) for address, value in re.findall(r"^\[(\d+)\]:\s+(\d+)", output, re.MULTILINE)}
    return Told(process.returncode or 0, values, output)


@pytest.fixture(params=["tcp", "rtu", "rtu-over-tcp"])
async def poll(
    request: pytest.FixtureRequest, mbpoll: str, image: RegisterImage, tmp_path: Path
) -> AsyncIterator[Poll]:
    """Run mbpoll against the image by each transport: `await poll(table, address, …)`."""
    async with (
        units_on(request.param, {UNIT: Unit("d", image)}, tmp_path) as line,
        contextlib.AsyncExitStack() as stack,
    ):
        if request.param == "tcp":
            target = ["-m", "tcp", "-p", str(port_of(line)), "127.0.0.1"]
        else:
            port = line.address
            if request.param == "rtu-over-tcp":
                port = await stack.enter_async_context(port_before(port_of(line)))
            target = ["-m", "rtu", "-b", "9600", "-P", "none", port]

        async def ask(table: Table, address: int, *values: int, count: int = 1) -> Told:
            what = ["-a", str(UNIT), "-0", "-r", str(address), "-t", TYPES[table], "-o", "5"]
            what += [] if values else ["-c", str(count), "-1"]
            return await run(mbpoll, *what, *target, *map(str, values))

        yield ask


@pytest.mark.parametrize(
    ("table", "address", "count"), [("coil", 0, 10), ("discrete", 5, 3), ("input", 0, 3), ("holding", 0, 125)]
)
async def test_mbpoll_reads_every_table(
    poll: Poll, image: RegisterImage, table: Table, address: int, count: int
) -> None:
    told = await poll(table, address, count=count)
    assert told.values == dict(enumerate(image.get(table, address, count), address)), told.text
    assert told.code == 0


@pytest.mark.parametrize(
    ("table", "address", "values"),
    [
        ("coil", 1, (1,)),
        ("coil", 0, (0, 1, 1, 0, 0, 1, 0, 1, 0, 1)),
        ("holding", 2, (7,)),
        ("holding", 0, (5, 65_535, 0)),
    ],
)
async def test_what_mbpoll_writes_stands_there(
    poll: Poll, image: RegisterImage, table: Table, address: int, values: tuple[int, ...]
) -> None:
    told = await poll(table, address, *values)
    assert told.code == 0, told.text
    assert image.get(table, address, len(values)) == values


async def test_mbpoll_understands_each_refusal(poll: Poll, image: RegisterImage) -> None:
    assert "Illegal data address" in (await poll("holding", 125, count=2)).text
    assert "Illegal data address" in (await poll("coil", 10, 1)).text
    image.fail_functions(1, 4)
    assert "Illegal function" in (await poll("input", 0)).text
    image.fail(3, "holding", [1])
    assert "Illegal data value" in (await poll("holding", 0, count=2)).text


class Libmodbus:
    """A few functions of libmodbus 3, over TCP; a negative result is an exception code."""

    def __init__(self, port: int) -> None:
        self._lib = ctypes.CDLL("libmodbus.so.5", use_errno=True)
        self._lib.modbus_new_tcp.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._lib.modbus_new_tcp(b"127.0.0.1", port))

    def __enter__(self) -> Self:
        self._call("modbus_set_slave", UNIT)
        self._call("modbus_set_response_timeout", 5, 0)
        assert self._call("modbus_connect") == 0
        return self

    def __exit__(self, *_: object) -> None:
        self._call("modbus_close")
        self._call("modbus_free")

    def mask(self, address: int, kept: int, added: int) -> int:
        return self._call("modbus_mask_write_register", address, kept, added)

    def write_and_read(self, write_at: int, values: list[int], read_at: int, count: int) -> list[int] | int:
        source, found = (ctypes.c_uint16 * len(values))(*values), (ctypes.c_uint16 * count)()
        result = self._call("modbus_write_and_read_registers", write_at, len(values), source, read_at, count, found)
        return list(found) if result == count else result

    def server_id(self) -> bytes:
        found = (ctypes.c_uint8 * 260)()
        return bytes(found[: self._call("modbus_report_slave_id", 260, found)])

    def raw(self, pdu: bytes) -> bytes:
        """The PDU of the answer to what libmodbus would not ask by itself."""
        request, heard = bytes((UNIT,)) + pdu, (ctypes.c_uint8 * 260)()
        self._call("modbus_send_raw_request", request, len(request))
        return bytes(heard[7 : self._call("modbus_receive_confirmation", heard)])

    def _call(self, name: str, *args: Any) -> int:
        result: int = getattr(self._lib, name)(self._context, *args)
        return result if result >= 0 else LIBMODBUS_EXCEPTIONS - ctypes.get_errno()


def _as_libmodbus(port: int) -> dict[str, Any]:
    with Libmodbus(port) as client:
        return {
            "masked": client.mask(0, 0x00F2, 0x0025),
            "no register to mask": client.mask(0x4000, 0, 0),
            "written, then read": client.write_and_read(1, [0xAAAA, 0xBBBB], 0, 4),
            "no register to read": client.write_and_read(1, [1], 0x4000, 1),
            "server id": client.server_id(),
            "none asked for": client.raw(bytes.fromhex("0300000000")),
            "more than there may be": client.raw(bytes.fromhex("0400000100")),
            "no function": client.raw(bytes.fromhex("6500000001")),
        }


@pytest.mark.usefixtures("mbpoll")
async def test_libmodbus_masks_exchanges_and_identifies(image: RegisterImage, tmp_path: Path) -> None:
    async with units_on("tcp", {UNIT: Unit("d", image)}, tmp_path) as line:
        told = await asyncio.to_thread(_as_libmodbus, port_of(line))
    assert told == {
        "masked": 1,
        "no register to mask": -2,
        "written, then read": [0x1234 & 0xF2 | 0x25 & ~0xF2, 0xAAAA, 0xBBBB, 7],
        "no register to read": -2,
        "server id": b"\x11\xffPump 3",
        "none asked for": b"\x83\3",
        "more than there may be": b"\x84\3",
        "no function": b"\xe5\1",
    }
    assert image.get("holding", 1) == (0xAAAA,)
