"""A connection that goes nowhere, and of which nobody is told, is opened anew; values flow again."""

from pathlib import Path

import pytest

from drivers.byte_port import UNANSWERED_MAX, open_port
from drivers.errors import LinkDown, NoReply
from drivers.modbus.line import DEAF_AFTER, DEAF_AFTER_NUMBERED, open_line
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Request
from drivers.serial.options import SerialOptions
from simulators.modbus.image import RegisterImage, numbered_word
from simulators.testing import Bench, MakeModbusDevice, RawLine

T = 0.1


def options(device: object, transport: str) -> ModbusOptions:
    host, port = device.host, device.tcp_port  # type: ignore[attr-defined]
    return ModbusOptions(transport=transport, host=host, given_port=port, given_timeout_s=T)  # type: ignore[arg-type]


@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp"])
async def test_a_half_open_modbus_connection_is_opened_anew_after_some_silent_requests(
    modbus_device: MakeModbusDevice, transport: str
) -> None:
    device = modbus_device(image=RegisterImage.numbered(), transport=transport)  # type: ignore[arg-type]
    request = Request(1, "holding", 10, 2)
    async with open_line(options(device, transport)) as line:
        first, _ = await line.request(request)
        device.fault("half_open")
        for _ in range(DEAF_AFTER_NUMBERED if transport == "tcp" else DEAF_AFTER):
            with pytest.raises(NoReply):
                await line.request(request)
        again, _ = await line.request(request)
    assert first.words == again.words == (numbered_word(1, "holding", 10), numbered_word(1, "holding", 11))


async def test_a_new_connection_that_is_silent_too_is_left_after_one_request(modbus_device: MakeModbusDevice) -> None:
    """Else one that was made while the device was away is asked for two rests of a device that is down."""
    device = modbus_device(image=RegisterImage.numbered())
    request = Request(1, "holding", 10, 2)
    async with open_line(options(device, "tcp")) as line:
        device.fault("blackhole")
        for _ in range(DEAF_AFTER_NUMBERED + 1):
            with pytest.raises(NoReply):
                await line.request(request)
        device.heal("blackhole")
        again, _ = await line.request(request)
    assert again.words == (numbered_word(1, "holding", 10), numbered_word(1, "holding", 11))


async def test_one_silent_unit_among_others_costs_no_connection(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device(image=RegisterImage.numbered())
    dead = modbus_device(image=RegisterImage.numbered(2), on=device, unit=2)
    dead.fault("no_reply")
    device.fault("one_connection")
    async with open_line(options(device, "tcp")) as line:
        for _ in range(DEAF_AFTER_NUMBERED):
            with pytest.raises(NoReply):
                await line.request(Request(2, "holding", 0, 1))
            await line.request(Request(1, "holding", 0, 1))
        await line.request(Request(1, "holding", 0, 1))


async def test_where_nobody_listens_any_more_the_link_is_down(modbus_device: MakeModbusDevice) -> None:
    device = modbus_device(image=RegisterImage.numbered())
    async with open_line(options(device, "tcp")) as line:
        await line.request(Request(1, "holding", 0, 1))
        device.fault("half_open")
        device.fault("refuse")
        for _ in range(DEAF_AFTER_NUMBERED):
            with pytest.raises(NoReply):
                await line.request(Request(1, "holding", 0, 1))
        with pytest.raises(LinkDown):
            await line.request(Request(1, "holding", 0, 1))


async def test_a_serial_server_that_says_nothing_to_many_requests_is_connected_anew(
    bench: Bench, tmp_path: Path
) -> None:
    line = bench.serial_line(tcp=True)
    assert isinstance(line, RawLine)
    where = SerialOptions(host=str(line.link["host"]), tcp_port=int(line.link["tcp_port"]))
    async with open_port(where) as port:
        for _ in range(UNANSWERED_MAX):
            await port.write(b"ask")
        with pytest.raises(LinkDown, match="not said a byte"):
            await port.write(b"ask")
    async with open_port(where) as port:
        for _ in range(UNANSWERED_MAX):
            await port.write(b"ask")
        line.wait_to_hear(b"ask" * 2 * UNANSWERED_MAX)
        line.say(b"answer")
        assert await port.read() == b"answer"
        await port.write(b"ask")
