"""Every frame of the specification, of manuals and of other libraries is answered byte for byte, on every transport.

Requests are played on real sockets and ptys; checksums and headers are made here, apart from the code under test.
"""

import asyncio
import os
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from modbus_lines import SERIAL, SPEAKS, port_of, units_on

from simulators.modbus.framing import AsciiRequests, RtuRequests, ascii_frame, mbap_frame, rtu_frame
from simulators.modbus.identification import Identification
from simulators.modbus.image import RegisterImage
from simulators.modbus.units import Unit

HERE = Path(__file__).parent
TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input", 5: "coil", 6: "holding", 15: "coil", 16: "holding"}
TIMEOUT_S = 5.0


def frames() -> list[Any]:
    files = (HERE.parent / "drivers" / "modbus" / "conformance.toml", HERE / "conformance_writes.toml")
    return [f for file in files for f in tomllib.loads(file.read_text(encoding="utf-8"))["frame"]]


ASKED = [f for f in frames() if "request" in f]


def crc(body: bytes) -> bytes:
    """Bit by bit, from the polynomial x16 + x15 + x2 + 1."""
    value = 0xFFFF
    for byte in body:
        for bit in range(8):
            value = value >> 1 ^ 0xA001 * ((value ^ byte >> bit) & 1)
    return bytes((value & 0xFF, value >> 8))


def bare(frame: dict[str, Any], key: str) -> bytes:
    """Unit and PDU, whatever the frame was printed as."""
    data = bytes.fromhex(frame[key])
    match frame["transport"]:
        case "rtu":
            return data[:-2]
        case "ascii":
            return bytes.fromhex(data[1:-4].decode())
        case "tcp":
            return data[6:]
        case _:
            return bytes((frame["unit"],)) + data


def on_the_wire(transport: str, frame: dict[str, Any], key: str) -> bytes:
    """The frame as it is printed where it was printed for this transport, and else as it is made from its PDU."""
    if frame["transport"] == transport.removesuffix("-over-tcp"):
        return bytes.fromhex(frame[key])
    body = bare(frame, key)
    if transport == "tcp":
        return b"\x12\x34\0\0" + len(body).to_bytes(2, "big") + body
    if transport == "ascii":
        return b":" + (body + bytes((-sum(body) & 0xFF,))).hex().upper().encode() + b"\r\n"
    return body + crc(body)


def image_of(frame: dict[str, Any]) -> RegisterImage:
    """A memory in which the answer can be what the frame says."""
    pdu = bare(frame, "request")[1:]
    if pdu[0] == 0x2B:
        objects = {int(number): text for number, text in frame["objects"].items()}
        return RegisterImage(identification=Identification(objects, conformity=0x83))
    image = RegisterImage(exception_status=frame.get("status", 0))
    code = frame.get("exception", 0)
    if pdu[0] in (7, 8) or code == 2:
        return image
    table, address = TABLES[pdu[0]], int.from_bytes(pdu[1:3], "big")
    given = frame.get("registers") or frame.get("bits") or [0]
    image.set(table, address, given if pdu[0] < 5 else [1] * 16)
    if code:
        image.fail_functions(1, pdu[0]) if code == 1 else image.fail(code, table, [address])
    return image


@asynccontextmanager
async def asking(transport: str, unit: int, image: RegisterImage, folder: Path) -> AsyncIterator[Callable[..., Any]]:
    """Serve the image as that unit; gives a function that sends bytes and collects so many."""
    async with units_on(transport, {unit: Unit("d", image)}, folder) as line:
        if transport in SERIAL:
            fd = os.open(line.address, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                yield lambda data, size: _from_pty(fd, data, size)
            finally:
                os.close(fd)
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(line))
        try:
            yield lambda data, size: _from_socket(reader, writer, data, size)
        finally:
            writer.close()
            await writer.wait_closed()


async def _from_socket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, size: int) -> bytes:
    writer.write(data)
    async with asyncio.timeout(TIMEOUT_S):
        return await reader.readexactly(size)


async def _from_pty(fd: int, data: bytes, size: int) -> bytes:
    os.write(fd, data)
    heard = b""
    async with asyncio.timeout(TIMEOUT_S):
        while len(heard) < size:
            await asyncio.sleep(0.002)
            try:
                heard += os.read(fd, 4_096)
            except BlockingIOError:
                continue
    return heard


@pytest.mark.parametrize("transport", SPEAKS)
@pytest.mark.parametrize("frame", ASKED, ids=lambda f: f["name"])
async def test_every_conformance_request_is_answered_byte_for_byte(
    frame: dict[str, Any], transport: str, tmp_path: Path
) -> None:
    image = image_of(frame)
    expected = on_the_wire(transport, frame, "response")
    async with asking(transport, bare(frame, "request")[0], image, tmp_path) as ask:
        assert (await ask(on_the_wire(transport, frame, "request"), len(expected))).hex() == expected.hex()
    for table, key in (("coil", "coils"), ("holding", "registers")):
        if key in frame and bare(frame, "request")[1] > 4:
            address = int.from_bytes(bare(frame, "request")[2:4], "big")
            assert list(image.get(table, address, len(frame[key]))) == frame[key]


@pytest.mark.parametrize("frame", frames(), ids=lambda f: f["name"])
def test_every_frame_is_framed_as_it_is_printed(frame: dict[str, Any]) -> None:
    for key in ("request", "response"):
        if key in frame and frame.get("valid", True):
            data, body = bytes.fromhex(frame[key]), bare(frame, key)
            made = {
                "rtu": rtu_frame(body[0], body[1:]),
                "ascii": ascii_frame(body[0], body[1:]),
                "tcp": mbap_frame(int.from_bytes(data[:2], "big"), body[0], body[1:]),
                "pdu": body[1:],
            }[frame["transport"]]
            assert made.hex() == data.hex()


@pytest.mark.parametrize("frame", [f for f in ASKED if f["transport"] in ("rtu", "ascii")], ids=lambda f: f["name"])
def test_every_request_of_a_serial_line_is_understood_as_it_is_printed(frame: dict[str, Any]) -> None:
    line = RtuRequests() if frame["transport"] == "rtu" else AsciiRequests()
    body = bare(frame, "request")
    assert list(line.feed(bytes.fromhex(frame["request"]))) == [(body[0], body[1:])]


async def test_a_frame_with_another_protocol_id_is_discarded_with_its_connection(tmp_path: Path) -> None:
    (frame,) = (f for f in frames() if f.get("valid") is False)
    async with asking("tcp", frame["unit"], RegisterImage.numbered(), tmp_path) as ask:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await ask(bytes.fromhex(frame["response"]), 1)


@pytest.mark.parametrize("transport", ["rtu", "ascii"])
async def test_a_broadcast_is_done_by_all_and_answered_by_none(transport: str, tmp_path: Path) -> None:
    image = RegisterImage(holding={1: 0})
    written = {"transport": "pdu", "unit": 0, "request": "0600010003", "response": ""}
    read = {"transport": "pdu", "unit": 0, "request": "0300010001", "response": ""}
    asked = {"transport": "pdu", "unit": 17, "request": "0300010001", "response": "03020003"}
    expected = on_the_wire(transport, asked, "response")
    data = b"".join(on_the_wire(transport, frame, "request") for frame in (written, read, asked))
    async with asking(transport, 17, image, tmp_path) as ask:
        assert await ask(data, len(expected)) == expected
    assert image.get("holding", 1) == (3,)
