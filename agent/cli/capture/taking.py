"""Frames of a device of the configuration, or of one that nothing is known of. Only reads."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from agent.cli.capture.recording import Exchange, Recorder, as_rtu
from agent.configuration import by_interval
from agent.settings import DeviceSettings, LinkSettings
from drivers.byte_port import open_port, read_within
from drivers.errors import BadReply, DeviceRefused, NoReply
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Request
from drivers.modbus.profile import Table
from drivers.modbus.scanning import Ear, open_ear
from drivers.serial.profile import SerialProfile
from drivers.serial_line import SerialLine
from drivers.tap import tapped

BETWEEN_ROUNDS_S = 0.2
CHUNK = 16
UNKNOWN_TIMEOUT_S = 1.0
UNKNOWN_PAUSE_S = 0.05


async def device_exchanges(
    device: DeviceSettings, link: LinkSettings, rounds: int, seconds: float | None
) -> list[Exchange]:
    """What is said in so many rounds of all its points, or for so many seconds; raises `LinkDown`.

    A round that fails is captured like any other.
    """
    recorder = Recorder()
    until = None if seconds is None else time.monotonic() + seconds
    with tapped(recorder):
        async with link.spec.open_link(link.options) as opened:
            plans = [
                link.spec.compile_plan(device.profile, [one.point for one in points])
                for points in by_interval(device).values()
            ]
            done = 0
            while done < rounds if until is None else time.monotonic() < until:
                for plan in plans:
                    with suppress(NoReply, BadReply, DeviceRefused):
                        await opened.read(device.unit, plan)
                done += 1
                await asyncio.sleep(BETWEEN_ROUNDS_S)
    framing = getattr(link.options, "framing", "")
    found = recorder.exchanges(_pause_s(device))
    return [as_rtu(one, framing) for one in found] if framing else found


async def heard_exchanges(options: SerialLine, seconds: float) -> list[Exchange]:
    """What comes by itself in so many seconds; raises `LinkDown`."""
    recorder = Recorder()
    until = time.monotonic() + seconds
    with tapped(recorder):
        async with open_port(options) as port:
            while (rest_s := until - time.monotonic()) > 0:
                await read_within(port, rest_s)
    return recorder.exchanges()


async def register_exchanges(
    options: ModbusOptions, unit: int, blocks: Sequence[tuple[Table, int, int]]
) -> list[tuple[Request, Exchange, tuple[int, ...] | None]]:
    """What `unit` says to reads of table, address, count; what it refuses is halved. Raises `LinkDown`."""
    found: list[tuple[Request, Exchange, tuple[int, ...] | None]] = []
    async with open_ear(options) as ear:
        for table, address, count in blocks:
            for at in range(address, address + count, CHUNK):
                await _read(ear, Request(unit, table, at, min(CHUNK, address + count - at)), options.framing, found)
    return found


async def _read(
    ear: Ear, request: Request, framing: str, found: list[tuple[Request, Exchange, tuple[int, ...] | None]]
) -> None:
    await asyncio.sleep(UNKNOWN_PAUSE_S)
    heard = await ear.ask(request, UNKNOWN_TIMEOUT_S)
    words = heard.answer.words if heard.answer and not heard.answer.refused else None
    if heard.answer:
        found.append((request, as_rtu(Exchange(heard.sent, heard.data), framing), words))
    if heard.answer and words is None and request.count > 1:
        half = request.count // 2
        first = Request(request.unit, request.table, request.address, half)
        second = Request(request.unit, request.table, request.address + half, request.count - half)
        await _read(ear, first, framing, found)
        await _read(ear, second, framing, found)


def _pause_s(device: DeviceSettings) -> float:
    own = device.profile.frame.max_pause_s if isinstance(device.profile, SerialProfile) else None
    return own or 0.1
