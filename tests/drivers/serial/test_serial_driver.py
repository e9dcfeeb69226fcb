"""The serial link on real ptys and sockets: news, silence, rubbish, and ports that vanish."""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serial

from drivers.api import Quality, Reading
from drivers.byte_port import _open_tcp
from drivers.errors import BadReply, LinkDown, NoReply
from drivers.serial.driver import SerialLink, bus_time_s, compile_plan, open_link, probe_plan
from drivers.serial.framing import with_checksum
from drivers.serial.newest import SerialPlan
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile
from simulators.testing import RawLine

WIND = b"$IIMWV,271.0,R,000.2,N,A*3B\r\n"
AIR = b"$WIMTA,010.0,C*2A\r\n"
DEPTH = b"$SDDBT,7.8,f,2.4,M,1.3,F*0D\r\n"
WRONG_DEPTH = b"$SDDBT,50.0,f,15.24,M,8.33,F*2A\r\n"


def plan(profile: SerialProfile, *names: str) -> SerialPlan:
    return compile_plan(profile, [p for p in profile.point if p.name in names])


def shown(readings: list[Reading]) -> dict[str, Any]:
    return {r.point: r.value if r.value is not None else str(r.quality) for r in readings}


def options(line: RawLine, timeout_s: float = 5.0) -> SerialOptions:
    where = {key: line.link[key] for key in ("port", "host", "tcp_port") if key in line.link}
    return SerialOptions(**where, timeout_s=timeout_s)


async def begin(link: SerialLink, line: RawLine, wanted: SerialPlan, *data: bytes) -> dict[str, Any]:
    """The first read, and what the instrument says once somebody listens to it."""
    reading = asyncio.create_task(link.read(None, wanted))
    await asyncio.sleep(LISTENS_S)
    for part in data:
        line.say(part)
    return shown(await reading)


LISTENS_S = 0.02
"""What came before the first read is thrown away when it begins."""


async def heard(link: SerialLink, frames: int) -> None:
    """Wait until so many frames were taken in."""
    async with asyncio.timeout(5):
        while link._listening is None or link._listening._instrument.frames < frames:
            await asyncio.sleep(0.005)


async def test_a_read_gives_what_the_instrument_said(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line)) as link:
        before_ns = time.monotonic_ns()
        wanted = plan(nmea, "wind_angle", "wind_speed")
        assert await begin(link, line, wanted, WIND) == {"wind_angle": 271.0, "wind_speed": 0.103}
        line.say(WIND)
        readings = await link.read(None, wanted)
        assert before_ns < readings[0].mono_ns <= time.monotonic_ns()
        assert len({r.mono_ns for r in readings}) == 1


async def test_each_read_gives_only_what_is_new(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line)) as link:
        wanted = plan(nmea, "wind_angle", "air_temperature", "depth")
        assert await begin(link, line, wanted, WIND + AIR + DEPTH) == {
            "wind_angle": 271.0,
            "air_temperature": 10.0,
            "depth": 2.4,
        }
        line.say(AIR)
        assert shown(await link.read(None, wanted)) == {"air_temperature": 10.0}


async def test_the_first_read_listens_to_a_whole_cycle(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line)) as link:
        wanted = plan(nmea, "wind_angle", "air_temperature", "depth")
        reading = asyncio.create_task(link.read(None, wanted))
        await asyncio.sleep(LISTENS_S)
        for number, part in enumerate((AIR, WIND), 1):
            line.say(part)
            await heard(link, number)
            assert not reading.done()
        line.say(AIR)
        assert shown(await reading) == {"wind_angle": 271.0, "air_temperature": 10.0}


async def test_two_plans_of_one_instrument_are_each_told_everything(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line)) as link:
        wind, air = plan(nmea, "wind_angle"), plan(nmea, "air_temperature")
        assert await begin(link, line, wind, WIND + AIR) == {"wind_angle": 271.0}
        assert shown(await link.read(None, air)) == {"air_temperature": 10.0}


async def test_what_was_said_before_anybody_listened_is_not_a_reading(line: RawLine, nmea: SerialProfile) -> None:
    line.say(WIND)
    async with open_link(options(line, 0.3)) as link:
        line.say(WIND)
        with pytest.raises(NoReply):
            await link.read(None, plan(nmea, "wind_angle"))
        assert await begin(link, line, plan(nmea, "wind_angle"), WIND) == {"wind_angle": 271.0}


async def test_silence_is_no_reply(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line, 0.1)) as link:
        with pytest.raises(NoReply, match="nothing came"):
            await link.read(None, plan(nmea, "wind_angle"))
        assert (link.stats.requests, link.stats.no_reply) == (1, 1)


async def test_frames_of_another_kind_are_no_reply(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line, 0.3)) as link:
        with pytest.raises(NoReply, match="none has a value"):
            await begin(link, line, plan(nmea, "wind_angle"), DEPTH)


@pytest.mark.parametrize(
    ("data", "why"), [(WRONG_DEPTH, "'09' would fit"), (b"\x80\x00\xfe" * 9, "27 bytes came, no frame")]
)
async def test_rubbish_is_a_bad_reply_that_says_what_came(
    line: RawLine, nmea: SerialProfile, data: bytes, why: str
) -> None:
    async with open_link(options(line, 0.3)) as link:
        with pytest.raises(BadReply, match=why):
            await begin(link, line, plan(nmea, "depth"), data)


async def test_a_broken_frame_is_counted_and_the_next_one_is_read(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line)) as link:
        assert await begin(link, line, plan(nmea, "depth"), WRONG_DEPTH + DEPTH) == {"depth": 2.4}
        assert link.stats.bad_reply == 1


async def test_an_instrument_that_warms_up_has_no_values_yet(line: RawLine, pms: SerialProfile) -> None:
    zeros = with_checksum(pms.frame, b"BM\0\x1c" + bytes(28))
    async with open_link(options(line)) as link:
        assert await begin(link, line, plan(pms, "pm25"), zeros) == {"pm25": str(Quality.WARMING_UP)}


async def test_a_frame_that_comes_in_pieces_is_read(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line)) as link:
        reading = asyncio.create_task(link.read(None, plan(nmea, "depth")))
        await asyncio.sleep(LISTENS_S)
        for byte in DEPTH:
            line.say(bytes([byte]))
            await asyncio.sleep(0.001)
        assert shown(await reading) == {"depth": 2.4}


async def test_a_port_that_vanishes_raises_at_once_and_does_not_spin(line: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(line)) as link:
        reading = asyncio.create_task(link.read(None, plan(nmea, "wind_angle")))
        await asyncio.sleep(LISTENS_S)
        cpu_s = time.process_time()
        line.fault("unplug")
        with pytest.raises(LinkDown, match="unplugged"):
            await asyncio.wait_for(reading, 2)
        with pytest.raises(LinkDown):
            await link.read(None, plan(nmea, "wind_angle"))
        await asyncio.sleep(0.2)
        assert time.process_time() - cpu_s < 0.15


async def test_a_port_may_come_back_as_another_device(line: RawLine, nmea: SerialProfile) -> None:
    wanted = plan(nmea, "depth")
    for _ in range(2):
        async with open_link(options(line)) as link:
            assert await begin(link, line, wanted, DEPTH) == {"depth": 2.4}
            line.fault("unplug")
            with pytest.raises(LinkDown):
                await link.read(None, wanted)
        line.heal()


async def test_a_port_that_is_not_there_is_link_down(tmp_path: Path) -> None:
    with pytest.raises(LinkDown, match="is it plugged in"):
        async with open_link(SerialOptions(port=str(tmp_path / "none"))):
            pass


async def test_a_file_that_is_no_port_is_link_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LinkDown, match="cannot be opened"):
        async with open_link(SerialOptions(port=str(tmp_path / "file"))):
            pass


async def test_a_port_that_another_process_holds_is_link_down(line: RawLine) -> None:
    with serial.Serial(line.port, exclusive=True), pytest.raises(LinkDown, match="another process"):
        async with open_link(options(line)):
            pass


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_closing_a_link_frees_its_port(line: RawLine) -> None:
    open_before = open_files()
    for _ in range(3):
        async with open_link(options(line)):
            pass
    assert open_files() == open_before
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_inside_the_link_is_passed_on_as_it_is(line: RawLine) -> None:
    with pytest.raises(LinkDown, match=r"^as it is$"):
        async with open_link(options(line)):
            raise LinkDown("as it is")


@pytest.fixture
def server(serial_line: Callable[..., RawLine]) -> RawLine:
    """A serial server: what is said on its line goes to whoever is connected."""
    return serial_line(tcp=True)


async def test_a_serial_server_is_read_like_a_port(server: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(server)) as link:
        server.wait_for_connections()
        assert await begin(link, server, plan(nmea, "depth"), DEPTH[:7], DEPTH[7:]) == {"depth": 2.4}


async def test_a_serial_server_that_hangs_up_is_link_down(server: RawLine, nmea: SerialProfile) -> None:
    async with open_link(options(server)) as link:
        server.wait_for_connections()
        server.fault("cut")
        with pytest.raises(LinkDown, match="closed the connection"):
            await link.read(None, plan(nmea, "depth"))


async def test_a_dead_connection_is_noticed_by_keepalive(server: RawLine) -> None:
    async with _open_tcp(options(server)) as port:
        sock = port._reader._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 30


async def test_nobody_at_the_address_is_link_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        at = SerialOptions(host="127.0.0.1", tcp_port=taken.getsockname()[1])
        with pytest.raises(LinkDown, match="check the address"):
            async with open_link(at):
                pass


def test_listening_keeps_no_wire_busy(nmea: SerialProfile) -> None:
    probe = probe_plan(nmea)
    assert [p.name for p in probe.points] == [p.name for p in nmea.point]
    assert bus_time_s(SerialOptions(port="x"), probe) == 0.0
