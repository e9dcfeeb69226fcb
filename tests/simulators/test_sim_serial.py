"""Simulated stream instruments send frames that any reader understands, with values that move."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serial_profiles import profile_file, shipped, shipped_names

from drivers.registry import driver_specs
from drivers.serial.options import SerialOptions
from simulators.captures.reading import capture_file
from simulators.endpoints import CannotServe, free_port
from simulators.lines.line import Members
from simulators.lines.opening import open_line
from simulators.lines.speaking import Answer, Deaf
from simulators.serial.link import serve_serial
from simulators.serial.stream import Stream
from simulators.site.reading import SiteDevice, SiteLink
from simulators.values import is_counter
from simulators.world import World

TIMEOUT_S = 10.0
NOON_S = 43_200.0


def _stream(name: str, seed: int = 1) -> Stream:
    return Stream(
        "d", shipped(name), driver_specs()["serial"], capture_file(profile_file(name)), World(seed, start_s=NOON_S)
    )


@pytest.fixture(params=shipped_names(asked=False))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_frame_is_understood_and_its_values_move(name: str) -> None:
    stream = _stream(name)
    values: dict[str, list[Any]] = {}
    for second in range(0, 480, 4):
        for frame, readings in stream.frames(float(second)):
            good = [r for r in readings if r.value is not None and not r.quality]
            assert good, f"{frame!r} is not understood"
            for reading in good:
                values.setdefault(reading.point, []).append(reading.value)
    numbers = [p for p in shipped(name).point if p.wire_type in ("f64", "i64")]
    assert sum(len(set(seen)) > 10 for seen in values.values()) >= max(1, min(3, len(numbers) - 1))
    for point in shipped(name).point:
        if is_counter(point) and point.name in values:
            assert values[point.name] == sorted(values[point.name])


def test_the_same_seed_sends_the_same_bytes(name: str) -> None:
    one, again, other = (b"".join(f for f, _ in _stream(name, s).frames(7.5)) for s in (1, 1, 2))
    assert one == again != other


def test_all_frames_of_a_second_fit_on_the_line(name: str) -> None:
    assert sum(len(frame) for frame, _ in _stream(name).frames(0.0)) <= 480, "4800 baud carry 480 bytes a second"


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


async def _bytes_from(fd: int, count: int) -> bytes:
    data = b""
    async with asyncio.timeout(TIMEOUT_S):
        while len(data) < count:
            try:
                data += os.read(fd, 4_096)
            except BlockingIOError:
                await asyncio.sleep(0.02)
    return data


def _link(name: str, **options: Any) -> SiteLink:
    return SiteLink(
        "l", "serial", SerialOptions(**options), (SiteDevice("d", None, shipped(name), profile_file(name)),)
    )


async def test_what_a_reader_of_the_port_gets_is_what_was_recorded(name: str, moment: Any, tmp_path: Path) -> None:
    link = _link(name, port=str(tmp_path / "port"))
    async with serve_serial(link, moment.world()) as line:
        with _opened(line.address) as fd:
            one_second = sum(len(frame) for frame, _ in _stream(name).frames(0.0))
            data = await _bytes_from(fd, min(32, one_second))
    served = {(s.point, s.value) for s in moment.served}
    readings = driver_specs()["serial"].decode(shipped(name), None, data)
    assert {(r.point, r.value) for r in readings if r.value is not None} <= served


async def test_a_line_that_nobody_reads_keeps_at_most_two_bursts(moment: Any, tmp_path: Path) -> None:
    port = tmp_path / "port"
    async with open_line(SerialOptions(port=str(port)), Members("l", ("d",), Deaf, moment.world())) as line:
        for number in range(10):
            line.say(Answer("d", bytes([number]) * 100))
            await asyncio.sleep(0.01)
        with _opened(str(port)) as fd:
            assert await _bytes_from(fd, 200) == bytes([8]) * 100 + bytes([9]) * 100
            with pytest.raises(BlockingIOError):
                os.read(fd, 1)


async def test_every_client_of_a_serial_server_gets_the_frames(name: str, moment: Any) -> None:
    link = _link(name, host="127.0.0.1", tcp_port=free_port())
    async with serve_serial(link, moment.world()) as line:
        port = int(line.address.rpartition(":")[2])
        async with asyncio.timeout(TIMEOUT_S):
            clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            one, other = [await reader.read(4_096) for reader, _ in clients]
        assert one
        assert one == other
        for _, writer in clients:
            writer.close()


def test_a_profile_without_a_usable_capture_is_said(name: str, tmp_path: Path) -> None:
    for text in (None, "", '[[exchange]]\nstream = "00"\nerror = true\n'):
        capture = tmp_path / "x.capture.toml"
        if text is not None:
            capture.write_text(text, encoding="utf-8")
        with pytest.raises(CannotServe, match=r"x\.capture\.toml"):
            Stream("d", shipped(name), driver_specs()["serial"], capture, World())
