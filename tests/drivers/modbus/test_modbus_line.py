"""Never a wrong value: late, broken and foreign replies on a pty, RTU over TCP and TCP."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from drivers.errors import BadReply, DriverError, LinkDown, NoReply
from drivers.modbus import line as line_module
from drivers.modbus.barrier import barrier
from drivers.modbus.line import Line, open_line
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Identify, Request

KINDS = ("rtu", "rtu-over-tcp", "ascii", "tcp", "udp")
UNNUMBERED = KINDS[:3]
T = 0.1
SLOW_T = 2 * T
"""For replies that must come just in time: a busy machine may be late by some tens of milliseconds."""


async def ask(line: Line, slave: Any, address: int, count: int = 2, unit: int = 1) -> bool:
    """Ask, and check each word against the place where it should stand. False where there was no value."""
    try:
        found, mono_ns = await line.request(Request(unit, "holding", address, count))
    except (NoReply, BadReply):
        return False
    assert found.words == tuple(slave.word(unit, 3, a) for a in range(address, address + count))
    assert 0 <= time.monotonic_ns() - mono_ns < 1_000_000_000
    return True


def keep_the_bound(line: Line, slave: Any) -> None:
    """Of a device that answers out of order only time tells: let none of its replies come later than is promised.

    The device is in this process: where the machine is busy, it gets the request late and its timers are late.
    """
    send = line._wire.send

    async def noting(request: Any) -> bytes:
        slave.asked_at.append(asyncio.get_running_loop().time())
        return await send(request)

    line._wire.send = noting  # type: ignore[method-assign]
    slave.latest_s = (line_module.LATE_MAX - 1) * T


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_gets_its_words(kind: str, slave: Any, serving: Any) -> None:
    async with serving(slave, kind) as served, open_line(served.options) as line:
        assert [await ask(line, slave, address, count) for address, count in ((0, 1), (500, 125), (65_534, 2))] == [
            True
        ] * 3
        bits, _ = await line.request(Request(3, "coil", 7, 11))
        assert bits.words == tuple(slave.word(3, 1, a) & 1 for a in range(7, 18))
        assert line.stats.requests == 4
        assert (line.stats.no_reply, line.stats.bad_reply, line.stats.late_bytes) == (0, 0, 0)
        assert line.stats.busy_s > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_says_what_it_is(kind: str, slave: Any, serving: Any) -> None:
    async with serving(slave, kind) as served, open_line(served.options) as line:
        found, _ = await line.request(Identify(1))
        assert found.objects == ((0, b"Acme"), (1, b"X1"))
        assert found.next_object is None
        assert await ask(line, slave, 7)


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_late_identification_harms_no_read(kind: str, slave: Any, serving: Any) -> None:
    slave.script = lambda n, _request, reply: [(1.5 * SLOW_T if n == 0 else 0.0, reply)]
    async with serving(slave, kind, SLOW_T) as served, open_line(served.options) as line:
        with pytest.raises(NoReply):
            await line.request(Identify(1))
        assert [await ask(line, slave, n) for n in range(5)] == [True] * 5
        assert line.stats.late_bytes > 0


async def test_a_datagram_is_one_frame_and_a_doubled_one_is_counted(slave: Any, serving: Any) -> None:
    slave.script = lambda _n, _request, reply: [(0.0, reply[:9]), (0.0, reply + b"x"), (0.0, reply), (0.0, reply)]
    async with serving(slave, "udp") as served, open_line(served.options) as line:
        assert [await ask(line, slave, n) for n in range(5)] == [True] * 5
        assert line.stats.late_bytes > 0


async def late_by(offset_s: float, kind: str, serving: Any, slave: Any, fifo: bool) -> tuple[int, int]:
    """Thirteen reads back to back, the third reply `offset_s` later; (values, late bytes)."""
    slave.fifo = fifo
    slave.script = lambda n, _request, reply: [(offset_s if n == 2 else 0.0, reply)]
    async with serving(slave, kind, T) as served, open_line(served.options) as line:
        if not fifo:
            keep_the_bound(line, slave)
        good = [await ask(line, slave, 10 * n, unit=1 + n % 4 // 3) for n in range(13)]
        if good[2]:
            assert offset_s < 3 * T
        return sum(good), line.stats.late_bytes


@pytest.mark.parametrize("fifo", [True, False], ids=["in-order", "out-of-order"])
@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_late_reply_never_becomes_a_value(kind: str, fifo: bool, serving: Any, new_slave: Any) -> None:
    offsets = [3 * T * n / 40 for n in range(41)]
    jobs = (late_by(offset, kind, serving, new_slave(), fifo) for offset in offsets)
    outcomes = await asyncio.gather(*jobs)
    assert min(good for good, _ in outcomes) >= 9
    assert sum(late > 0 for _, late in outcomes) >= 10


@pytest.mark.parametrize("patience", [1, 4])
async def test_many_late_replies_never_become_values(
    patience: int, serving: Any, new_slave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "PATIENCE_MAX", patience)

    async def one(seed: int, kind: str, fifo: bool) -> int:
        dice = random.Random(seed)
        slave = new_slave()
        slave.fifo = fifo
        slave.script = lambda _n, _request, reply: [(dice.choice((0.0, 0.0, dice.uniform(0, 3 * T))), reply)]
        async with serving(slave, kind, T) as served, open_line(served.options) as line:
            if not fifo:
                keep_the_bound(line, slave)
            asks = [(dice.randrange(900), dice.choice((2, 2, 4)), dice.choice((1, 2))) for _ in range(12)]
            return sum([await ask(line, slave, *it) for it in asks])

    runs = [one(seed, kind, fifo) for seed in range(15) for kind in UNNUMBERED for fifo in (True, False)]
    assert sum(await asyncio.gather(*runs)) > len(runs) * 12 * 0.3


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
async def test_a_reply_that_came_late_while_the_agent_stood_still_is_no_value(
    kind: str, slave: Any, serving: Any
) -> None:
    """The device keeps its time, the agent does not: what lies in the port is read before a timer is believed."""
    replies: list[bytes] = []

    def script(n: int, _request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
        replies.append(reply)
        return [(0.0, reply)] if n else []

    slave.script = script
    async with serving(slave, kind, T) as served, open_line(served.options) as line:
        assert not await ask(line, slave, 0)
        late = threading.Timer(2 * T, lambda: served.send(replies[0]))
        late.start()
        asyncio.get_running_loop().call_later(T, time.sleep, line_module.LATE_MAX * T)
        assert await ask(line, slave, 40)
        assert line.stats.late_bytes > 0
        late.join()


async def test_a_late_reply_on_tcp_is_known_by_its_number(slave: Any, serving: Any) -> None:
    slave.fifo = False
    slave.script = lambda n, _request, reply: [(1.5 * T if n == 0 else 0.0, reply)]
    async with serving(slave, "tcp", T) as served, open_line(served.options) as line:
        assert not await ask(line, slave, 0)
        started = time.monotonic()
        while line.stats.late_bytes == 0:
            assert await ask(line, slave, 10)
            assert time.monotonic() - started < 5
        assert line.stats.late_bytes == 13


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_after_a_timeout_the_line_is_quiet_and_a_barrier_comes_first(kind: str, slave: Any, serving: Any) -> None:
    at: list[float] = []

    def script(n: int, _request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
        at.append(time.monotonic())
        return [] if n == 0 else [(0.0, reply)]

    slave.script = script
    async with serving(slave, kind, T) as served, open_line(served.options) as line:
        assert [await ask(line, slave, 0, 4), await ask(line, slave, 40, 4)] == [False, True]
        counts = [request[5] for request in slave.requests]
        assert (counts[0], counts[2]) == (4, 4)
        assert counts[1] != 4
        assert at[1] - at[0] >= 2 * T


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_device_that_was_seen_late_gets_more_time(kind: str, slave: Any, serving: Any) -> None:
    slave.script = lambda _n, _request, reply: [(1.4 * SLOW_T, reply)]
    async with serving(slave, kind, SLOW_T) as served, open_line(served.options) as line:
        outcomes = [await ask(line, slave, 10 * n) for n in range(6)]
        assert outcomes[0] is False
        assert outcomes[-3:] == [True] * 3


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_late_refusal_never_passes_for_the_refusal_of_another_read(kind: str, slave: Any, serving: Any) -> None:
    slave.script = lambda n, _request, reply: [((2.5 * SLOW_T, 0.5 * SLOW_T, 0.2 * SLOW_T)[n], reply)]
    slave.refused = {0, 1, 44, 45}
    async with serving(slave, kind, SLOW_T) as served, open_line(served.options) as line:
        assert not await ask(line, slave, 0)
        assert await ask(line, slave, 40, 4)
        assert [int.from_bytes(r[2:6], "big") for r in slave.requests] == [2, 40 << 16 | 6, 40 << 16 | 4]


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_barrier_proves_nothing_about_a_device_that_answers_out_of_order(
    kind: str, slave: Any, serving: Any
) -> None:
    slave.fifo = False
    slave.script = lambda n, request, reply: [
        (2.4 * SLOW_T if n == 0 else 0.8 * SLOW_T if request[5] == 2 else 0.0, reply)
    ]
    async with serving(slave, kind, SLOW_T) as served, open_line(served.options) as line:
        assert not await ask(line, slave, 0)
        assert await ask(line, slave, 50, 4)
        assert await ask(line, slave, 100)


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_device_that_is_silent_on_the_barrier_comes_back(
    kind: str, slave: Any, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "FORGIVE_S", 6 * T)
    slave.script = lambda n, request, reply: [(0.0, reply)] if n and request[5] == 2 else []
    async with serving(slave, kind, T) as served, open_line(served.options) as line:
        outcomes = [await ask(line, slave, 0) for _ in range(12)]
        assert outcomes[:3] == [False] * 3
        assert outcomes[-1] is True


def broken(reply: bytes, seal: Callable[[bytes], bytes]) -> dict[str, list[tuple[float, bytes]]]:
    """Replies that no good device gives."""
    other_unit = seal(bytes((9,)) + reply[1:-2])
    less = seal(reply[:2] + bytes((2,)) + reply[3:5])
    more = seal(reply[:2] + bytes((6,)) + reply[3:-2] + b"\1\2")
    return {
        "wrong checksum": [(0, reply[:-1] + bytes((reply[-1] ^ 1,)))],
        "truncated": [(0, reply[:-2])],
        "another unit": [(0, other_unit)],
        "another function": [(0, seal(reply[:1] + b"\x04" + reply[2:-2]))],
        "fewer registers": [(0, less)],
        "more registers": [(0, more)],
        "a banner": [(0, b"Relay V1.2 ready\r\n")],
        "random": [(0, random.Random(7).randbytes(60))],
        "in halves, the second too late": [(0, reply[:4]), (4 * T, reply[4:])],
    }


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_broken_reply_gives_an_error_and_the_line_recovers(
    kind: str, serving: Any, new_slave: Any, seal: Any
) -> None:
    async def one(name: str) -> tuple[str, list[bool]]:
        slave = new_slave()
        slave.script = lambda n, _request, reply: broken(reply, seal)[name] if n == 1 else [(0.0, reply)]
        async with serving(slave, kind, T) as served, open_line(served.options) as line:
            outcomes = [await ask(line, slave, 10 * n) for n in range(5)]
            assert line.stats.bad_reply >= 1, name
            return name, outcomes

    outcomes = await asyncio.gather(*(one(name) for name in broken(seal(b"\1\3\4abcd"), seal)))
    for name, good in outcomes:
        assert good[0], name
        assert not good[1], name
        assert good[-1], name


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_noise_echo_and_split_bytes_do_no_harm(kind: str, serving: Any, new_slave: Any) -> None:
    wild: dict[str, Callable[[bytes, bytes], list[tuple[float, bytes]]]] = {
        "echo": lambda request, reply: [(0, request), (0, reply)],
        "echo in one": lambda request, reply: [(0, request + reply)],
        "noise before": lambda _request, reply: [(0, b"\0\xff" + reply)],
        "noise after": lambda _request, reply: [(0, reply + b"\0\0")],
        "byte by byte": lambda _request, reply: [(0.0005 * n, reply[n : n + 1]) for n in range(len(reply))],
    }

    async def one(name: str) -> tuple[str, bool, int]:
        slave = new_slave()
        slave.script = lambda _n, request, reply: wild[name](request, reply)
        async with serving(slave, kind, 4 * T) as served, open_line(served.options) as line:
            good = [await ask(line, slave, 10 * n) for n in range(6)]
            return name, all(good), line.stats.no_reply + line.stats.bad_reply

    assert await asyncio.gather(*map(one, wild)) == [(name, True, 0) for name in wild]


@pytest.mark.parametrize("kind", KINDS)
async def test_random_bytes_at_any_time_never_become_a_value(kind: str, serving: Any, new_slave: Any) -> None:
    async def one(seed: int) -> None:
        dice = random.Random(seed)
        slave = new_slave()

        def script(_n: int, _request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
            junk = dice.randbytes(dice.randrange(40))
            cut = dice.randrange(5 if kind in ("tcp", "udp") else len(reply))  # MBAP has no checksum of its own
            choices = ([(0.0, reply)], [(0.0, junk)], [(0.0, reply[:cut] + junk)], [(0.0, junk + reply)], [])
            return dice.choice(choices)

        slave.script = script
        async with serving(slave, kind, 0.02) as served:
            with contextlib.suppress(LinkDown):
                async with open_line(served.options) as line:
                    for n in range(8):
                        await ask(line, slave, n)

    await asyncio.gather(*(one(seed) for seed in range(20)))


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_bytes_that_nobody_asked_for_are_counted_and_waited_out(kind: str, slave: Any, serving: Any) -> None:
    async with serving(slave, kind, T) as served, open_line(served.options) as line:
        assert await ask(line, slave, 0)
        served.send(b"hello")
        async with asyncio.timeout(5):
            while line.stats.late_bytes < 5:
                await asyncio.sleep(0.001)
        started = time.monotonic()
        assert await ask(line, slave, 10)
        assert time.monotonic() - started >= T * 0.9
        assert line.stats.late_bytes == 5


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_babbling_line_is_given_up_in_bounded_time(kind: str, slave: Any, serving: Any) -> None:
    async with serving(slave, kind, T) as served, open_line(served.options) as line, asyncio.TaskGroup() as group:

        async def babble() -> None:
            while True:
                served.send(b"UUUU")
                await asyncio.sleep(T / 4)

        babbler = group.create_task(babble())
        with pytest.raises(NoReply, match="never quiet"):
            async with asyncio.timeout(20 * T):
                await line.request(Request(1, "holding", 0, 1))
        babbler.cancel()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_read_leaves_no_wrong_value_behind(kind: str, slave: Any, serving: Any) -> None:
    slave.script = lambda n, _request, reply: [(2 * T if n == 0 else 0.0, reply)]
    async with serving(slave, kind, 3 * T) as served, open_line(served.options) as line:
        asking = asyncio.create_task(line.request(Request(1, "holding", 0, 2)), name="a read to be cancelled")
        async with asyncio.timeout(3):
            while not slave.requests:
                await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await ask(line, slave, 100)


@pytest.mark.parametrize("kind", KINDS[:4])
async def test_a_path_that_goes_away_is_told_at_once(kind: str, slave: Any, serving: Any) -> None:
    slave.script = lambda n, _request, reply: [] if n else [(0.0, reply)]
    async with serving(slave, kind, 5.0) as served:
        served.options = _with_timeout(served.options, T)
        async with open_line(served.options) as line:
            assert await ask(line, slave, 0)
            asking = asyncio.ensure_future(line.request(Request(1, "holding", 0, 1), timeout_s=5.0))
            async with asyncio.timeout(3):
                while len(slave.requests) < 2:
                    await asyncio.sleep(0.001)
                served.vanish()
                with pytest.raises(LinkDown):
                    await asking


async def test_a_serial_port_that_vanished_costs_no_cpu(slave: Any, serving: Any) -> None:
    async with serving(slave, "rtu", T) as served, open_line(served.options) as line:
        assert await ask(line, slave, 0)
        served.vanish()
        before = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - before < 0.1
        with pytest.raises(LinkDown):
            await line.request(Request(1, "holding", 0, 1))


async def test_a_connection_that_the_device_closed_while_idle_is_opened_again(slave: Any, serving: Any) -> None:
    async with serving(slave, "tcp", T) as served, open_line(served.options) as line:
        for address in (0, 10, 20):
            assert await ask(line, slave, address)
            served.vanish()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (ModbusOptions(transport="rtu", port="/dev/no-such-port"), "no such port"),
        (ModbusOptions(transport="rtu", port="/dev/null"), "cannot be opened"),
        (ModbusOptions(transport="tcp", host="127.0.0.1", given_port=1), "refused|[Cc]onnect call failed"),
    ],
)
async def test_a_path_that_cannot_be_opened_says_why(options: ModbusOptions, why: str) -> None:
    with pytest.raises(LinkDown, match=why):
        async with open_line(options):
            pass


async def test_a_cancellation_that_the_library_swallows_while_it_connects_still_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connecting = asyncio.Event()

    async def swallow(*_: Any) -> bool:
        connecting.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return False

    monkeypatch.setattr("pymodbus.client.AsyncModbusTcpClient.connect", swallow)
    task = asyncio.create_task(Line(ModbusOptions(transport="tcp", host="127.0.0.1", given_port=1)).open())
    await connecting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_serial_port_is_ours_alone(slave: Any, serving: Any) -> None:
    async with serving(slave, "rtu", T) as served, open_line(served.options):
        with pytest.raises(LinkDown, match="another program"):
            async with open_line(served.options):
                pass


async def test_a_tcp_device_that_talks_rtu_is_told_so(slave: Any, serving: Any, seal: Any) -> None:
    slave.script = lambda _n, _request, _reply: [(0.0, seal(b"\1\3\4abcd"))]
    async with serving(slave, "tcp", T) as served, open_line(served.options) as line:
        with pytest.raises(LinkDown, match="RTU over TCP"):
            await line.request(Request(1, "holding", 0, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda reply: reply[:6] + b"\x09" + reply[7:],
        lambda reply: reply[:7] + b"\x04" + reply[8:],
        lambda reply: reply[:5] + b"\x05" + reply[6:9] + b"\0\1",
        lambda reply: reply[:5] + b"\x05" + reply[6:8] + b"\2\0\1",
        lambda reply: reply[:5] + b"\x09" + reply[6:] + b"\0\1",
    ],
    ids=["unit", "function", "length", "count", "too much"],
)
async def test_a_tcp_reply_that_does_not_match_is_an_error(wrong: Any, slave: Any, serving: Any) -> None:
    slave.script = lambda n, _request, reply: [(0.0, reply if n else wrong(reply))]
    async with serving(slave, "tcp", T) as served, open_line(served.options) as line:
        assert [await ask(line, slave, 0), await ask(line, slave, 0)] == [False, True]
        assert line.stats.bad_reply == 1


@pytest.mark.parametrize("table", ["holding", "input", "coil", "discrete"])
@pytest.mark.parametrize("count", [1, 2, 8, 9, 40, 125])
def test_a_barrier_cannot_be_confused_with_what_is_owed(table: Any, count: int) -> None:
    request = Request(1, table, 65_535 - count, count)
    owed: list[Request] = []
    for _ in range(16):
        found = barrier(request, owed)
        assert found.unit == request.unit
        assert found.address + found.count <= 65_536
        assert found.reply_bytes not in {r.reply_bytes for r in (request, *owed)}
        owed.append(found)


def test_every_failure_of_a_line_is_a_driver_error() -> None:
    assert all(issubclass(kind, DriverError) for kind in (LinkDown, NoReply, BadReply))


def _with_timeout(options: ModbusOptions, timeout_s: float) -> ModbusOptions:
    kept = {"host": options.host, "given_port": options.tcp_port, "port": options.port, "baud": options.baud}
    return ModbusOptions(transport=options.transport, given_timeout_s=timeout_s, **kept)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def going_deaf(port: int, after: int, connections_deaf: int = 1) -> AsyncIterator[tuple[int, list[int]]]:
    """A port before `port`, on which the first connections give no byte any more after so many requests."""
    connections: list[int] = []
    tasks: list[asyncio.Task[None]] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        mine, first = len(connections) - 1, len(connections) <= connections_deaf
        from_slave, to_slave = await asyncio.open_connection("127.0.0.1", port)
        try:
            while data := await reader.read(1_000):
                connections[mine] += 1
                if first and connections[mine] > after:
                    continue
                to_slave.write(data)
                with contextlib.suppress(TimeoutError):
                    writer.write(await asyncio.wait_for(from_slave.read(1_000), T / 2))
        finally:
            to_slave.transport.abort()
            writer.transport.abort()

    async with await asyncio.start_server(
        lambda reader, writer: tasks.append(asyncio.create_task(pass_on(reader, writer))), "127.0.0.1", 0
    ) as server:
        try:
            yield server.sockets[0].getsockname()[1], connections
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["tcp", "rtu-over-tcp"])
async def test_a_connection_on_which_nothing_comes_any_more_is_given_up_for_a_new_one(
    kind: str, slave: Any, serving: Any
) -> None:
    async with serving(slave, kind, T) as served, going_deaf(served.options.tcp_port, 2) as (port, connections):
        async with open_line(msgspec.structs.replace(served.options, given_port=port)) as line:
            assert await ask(line, slave, 0)
            assert await ask(line, slave, 10)
            deaf = [await ask(line, slave, 20 * n, n) for n in range(1, line_module.DEAF_AFTER + 1)]
            assert deaf == [False] * line_module.DEAF_AFTER
            assert len(connections) == 1
            assert await ask(line, slave, 70, 5)
            assert len(connections) == 2


async def test_a_new_connection_that_gives_nothing_either_is_left_after_one_request(slave: Any, serving: Any) -> None:
    async with serving(slave, "tcp", T) as served, going_deaf(served.options.tcp_port, 0, 3) as (port, connections):
        async with open_line(msgspec.structs.replace(served.options, given_port=port)) as line:
            found = [await ask(line, slave, 10 * n) for n in range(line_module.DEAF_AFTER + 3)]
            assert found == [False] * (line_module.DEAF_AFTER + 2) + [True]
            assert len(connections) == 4


async def test_a_unit_that_is_dead_costs_no_connection_while_others_answer(slave: Any, serving: Any) -> None:
    slave.dead_units = {9}
    async with serving(slave, "tcp", T) as served, going_deaf(served.options.tcp_port, 1_000) as (port, connections):
        async with open_line(msgspec.structs.replace(served.options, given_port=port)) as line:
            for n in range(line_module.DEAF_AFTER + 1):
                assert await ask(line, slave, n)
                assert not await ask(line, slave, 0, unit=9)
            assert len(connections) == 1
