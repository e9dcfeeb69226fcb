"""Never a wrong value: late, broken and foreign replies on a pty, RTU over TCP and TCP."""

import asyncio
import contextlib
import random
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from numbered import MakeNumbered, asked, options, words

from drivers.errors import BadReply, DriverError, LinkDown, NoReply
from drivers.modbus import line as line_module
from drivers.modbus.barrier import barrier
from drivers.modbus.line import Line, open_line
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Identify, Request
from simulators.faults.scripts import NotAfter, Say, at_any_time
from simulators.modbus.framing import rtu_frame
from simulators.modbus.image import numbered_word
from simulators.testing import SimulatedDevice

KINDS = ("rtu", "rtu-over-tcp", "ascii", "tcp", "udp")
UNNUMBERED = KINDS[:3]
T = 0.1
SLOW_T = 4 * T
"""For replies that must come just in time: a busy machine may be late by some tens of milliseconds."""
Reply = list[tuple[float, bytes]]


async def ask(line: Line, address: int, count: int = 2, unit: int = 1) -> bool:
    """Ask, and check each word against the place where it should stand. False where there was no value."""
    try:
        found, mono_ns = await line.request(Request(unit, "holding", address, count))
    except (NoReply, BadReply):
        return False
    assert found.words == words(unit, address, count)
    assert 0 <= time.monotonic_ns() - mono_ns < 1_000_000_000
    return True


def note_sending(line: Line, also: Callable[[], None] = lambda: None) -> list[float]:
    """When each request goes out from now on; `also` is called then."""
    sent_at: list[float] = []
    send = line._wire.send

    def noting(request: Any) -> bytes:
        sent_at.append(time.monotonic())
        also()
        return send(request)

    line._wire.send = noting  # type: ignore[method-assign]
    return sent_at


def kept_bound(line: Line) -> NotAfter:
    """Of a device that answers out of order only time tells: let none of its replies come later than is promised.

    The device is in this process: where the machine is busy, it gets the request late and its timers are late.
    """
    asked_at = note_sending(line)
    return lambda number: asked_at[number] + (line_module.LATE_MAX - 1) * T


def answer(device: SimulatedDevice, line: Line, say: Say, *, in_order: bool) -> None:
    """Let the units on a line answer as `say` says; a device that answers out of order keeps its bound."""
    not_after = at_any_time if in_order else kept_bound(line)
    device.line.script(say, in_order=in_order, not_after=not_after)


def two_units(numbered: MakeNumbered, kind: str) -> SimulatedDevice:
    """Units 1 and 2 on one line; gives the first."""
    first = numbered(kind)
    numbered(kind, 2, on=first)
    return first


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_gets_its_words(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    numbered(kind, 3, on=device)
    async with open_line(options(device)) as line:
        assert [await ask(line, address, count) for address, count in ((0, 1), (500, 125), (65_534, 2))] == [True] * 3
        bits, _ = await line.request(Request(3, "coil", 7, 11))
        assert bits.words == tuple(numbered_word(3, "coil", a) for a in range(7, 18))
        assert line.stats.requests == 4
        assert (line.stats.no_reply, line.stats.bad_reply, line.stats.late_bytes) == (0, 0, 0)
        assert line.stats.busy_s > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_says_what_it_is(kind: str, numbered: MakeNumbered) -> None:
    async with open_line(options(numbered(kind))) as line:
        found, _ = await line.request(Identify(1))
        assert found.objects == ((0, b"Acme"), (1, b"X1"))
        assert found.next_object is None
        assert await ask(line, 7)


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_late_identification_harms_no_read(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    device.script(lambda n, _request, reply: [(1.5 * SLOW_T if n == 0 else 0.0, reply)])
    async with open_line(options(device, SLOW_T)) as line:
        with pytest.raises(NoReply):
            await line.request(Identify(1))
        assert [await ask(line, n) for n in range(5)] == [True] * 5
        assert line.stats.late_bytes > 0


async def test_a_datagram_is_one_frame_and_a_doubled_one_is_counted(numbered: MakeNumbered) -> None:
    device = numbered("udp")
    device.script(lambda _n, _request, reply: [(0.0, reply[:9]), (0.0, reply + b"x"), (0.0, reply), (0.0, reply)])
    async with open_line(options(device)) as line:
        assert [await ask(line, n) for n in range(5)] == [True] * 5
        assert line.stats.late_bytes > 0


async def late_by(offset_s: float, device: SimulatedDevice, in_order: bool) -> tuple[int, int]:
    """Thirteen reads back to back, the third reply `offset_s` later; (values, late bytes)."""

    def say(n: int, _request: bytes, reply: bytes) -> Reply:
        return [(offset_s if n == 2 else 0.0, reply)]

    async with open_line(options(device, T)) as line:
        answer(device, line, say, in_order=in_order)
        good = [await ask(line, 10 * n, unit=1 + n % 4 // 3) for n in range(13)]
        if good[2]:
            assert offset_s < 3 * T
        return sum(good), line.stats.late_bytes


@pytest.mark.parametrize("in_order", [True, False], ids=["in-order", "out-of-order"])
@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_late_reply_never_becomes_a_value(kind: str, in_order: bool, numbered: MakeNumbered) -> None:
    offsets = [3 * T * n / 40 for n in range(41)]
    jobs = [late_by(offset, two_units(numbered, kind), in_order) for offset in offsets]
    outcomes = await asyncio.gather(*jobs)
    assert min(good for good, _ in outcomes) >= 9
    assert sum(late > 0 for _, late in outcomes) >= 10


@pytest.mark.parametrize("patience", [1, 4])
async def test_many_late_replies_never_become_values(
    patience: int, numbered: MakeNumbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "PATIENCE_MAX", patience)

    async def one(seed: int, device: SimulatedDevice, in_order: bool) -> int:
        dice = random.Random(seed)

        def say(_n: int, _request: bytes, reply: bytes) -> Reply:
            return [(dice.choice((0.0, 0.0, dice.uniform(0, 3 * T))), reply)]

        async with open_line(options(device, T)) as line:
            answer(device, line, say, in_order=in_order)
            asks = [(dice.randrange(900), dice.choice((2, 2, 4)), dice.choice((1, 2))) for _ in range(12)]
            return sum([await ask(line, *it) for it in asks])

    cases = [(seed, kind, in_order) for seed in range(15) for kind in UNNUMBERED for in_order in (True, False)]
    runs = [one(seed, two_units(numbered, kind), in_order) for seed, kind, in_order in cases]
    assert sum(await asyncio.gather(*runs)) > len(runs) * 12 * 0.3


@pytest.mark.parametrize("kind", ["rtu", "ascii"])
async def test_a_reply_that_came_late_while_the_agent_stood_still_is_no_value(
    kind: str, numbered: MakeNumbered
) -> None:
    """The device keeps its time, the agent does not: what lies in the port is read before a timer is believed."""
    replies: list[bytes] = []

    def script(n: int, _request: bytes, reply: bytes) -> Reply:
        replies.append(reply)
        return [(0.0, reply)] if n else []

    device = numbered(kind)
    device.script(script)
    async with open_line(options(device, SLOW_T)) as line:
        assert not await ask(line, 0)
        late = threading.Timer(2 * SLOW_T, lambda: device.line.say(replies[0]))
        late.start()
        asyncio.get_running_loop().call_later(SLOW_T, time.sleep, line_module.LATE_MAX * SLOW_T)
        assert await ask(line, 40)
        assert line.stats.late_bytes > 0
        late.join()


async def test_a_stray_byte_in_the_silence_begins_it_anew(numbered: MakeNumbered) -> None:
    """The driver of a device that lets go of the line makes one; devices see a frame that begins too early."""
    slow = msgspec.structs.replace(options(numbered("rtu"), SLOW_T), baud=300)
    async with open_line(slow) as line:
        sent_at = note_sending(line)
        assert await ask(line, 0)
        stray_at: list[float] = []

        def stray() -> None:
            line._on_bytes(b"\0")
            stray_at.append(time.monotonic())

        asyncio.get_running_loop().call_later(slow.silence_s / 2, stray)
        assert await ask(line, 10)
        assert sent_at[1] - stray_at[0] >= slow.silence_s


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_what_came_while_the_agent_was_busy_is_heard_before_the_next_request(
    kind: str, numbered: MakeNumbered
) -> None:
    device = numbered(kind)
    async with open_line(options(device, SLOW_T)) as line:
        assert await ask(line, 0)
        late_bytes: list[int] = []
        note_sending(line, lambda: late_bytes.append(line.stats.late_bytes))
        device.line.say(b"late")
        arrives = line._wire._client.ctx.transport  # type: ignore[union-attr]
        file = arrives.sync_serial if device.link["transport"] != "rtu-over-tcp" else arrives.get_extra_info("socket")
        assert select.select([file], [], [], 10)[0]
        time.sleep(0.01)  # the silence is over now
        assert await ask(line, 10)
        assert late_bytes == [4]


async def test_a_late_reply_on_tcp_is_known_by_its_number(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    device.script(lambda n, _request, reply: [(1.5 * T if n == 0 else 0.0, reply)], in_order=False)
    async with open_line(options(device, T)) as line:
        assert not await ask(line, 0)
        started = time.monotonic()
        while line.stats.late_bytes == 0:
            assert await ask(line, 10)
            assert time.monotonic() - started < 5
        assert line.stats.late_bytes == 13


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_after_a_timeout_the_line_is_quiet_and_a_barrier_comes_first(kind: str, numbered: MakeNumbered) -> None:
    at: list[float] = []

    def script(n: int, _request: bytes, reply: bytes) -> Reply:
        at.append(time.monotonic())
        return [] if n == 0 else [(0.0, reply)]

    device = numbered(kind)
    device.script(script)
    async with open_line(options(device, T)) as line:
        assert [await ask(line, 0, 4), await ask(line, 40, 4)] == [False, True]
        counts = [asked(kind, request).count for request in device.requests]
        assert (counts[0], counts[2]) == (4, 4)
        assert counts[1] != 4
        assert at[1] - at[0] >= 2 * T


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_device_that_was_seen_late_gets_more_time(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    device.script(lambda _n, _request, reply: [(1.4 * SLOW_T, reply)])
    async with open_line(options(device, SLOW_T)) as line:
        outcomes = [await ask(line, 10 * n) for n in range(6)]
        assert outcomes[0] is False
        assert outcomes[-3:] == [True] * 3


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_late_refusal_never_passes_for_the_refusal_of_another_read(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    device.script(lambda n, _request, reply: [((2.5 * SLOW_T, 0.5 * SLOW_T, 0.2 * SLOW_T)[n], reply)])
    device.image.fail(2, addresses={0, 1, 44, 45})
    async with open_line(options(device, SLOW_T)) as line:
        assert not await ask(line, 0)
        assert await ask(line, 40, 4)
        assert [asked(kind, r)[2:] for r in device.requests] == [(0, 2), (40, 6), (40, 4)]


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_barrier_proves_nothing_about_a_device_that_answers_out_of_order(
    kind: str, numbered: MakeNumbered
) -> None:
    device = numbered(kind)

    def say(n: int, request: bytes, reply: bytes) -> Reply:
        return [(2.4 * SLOW_T if n == 0 else 0.8 * SLOW_T if asked(kind, request).count == 2 else 0.0, reply)]

    device.script(say, in_order=False)
    async with open_line(options(device, SLOW_T)) as line:
        assert not await ask(line, 0)
        assert await ask(line, 50, 4)
        assert await ask(line, 100)


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_device_that_is_silent_on_the_barrier_comes_back(
    kind: str, numbered: MakeNumbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "FORGIVE_S", 6 * T)
    device = numbered(kind)
    device.script(lambda n, request, reply: [(0.0, reply)] if n and asked(kind, request).count == 2 else [])
    async with open_line(options(device, T)) as line:
        outcomes = [await ask(line, 0) for _ in range(12)]
        assert outcomes[:3] == [False] * 3
        assert outcomes[-1] is True


def broken(reply: bytes) -> dict[str, Reply]:
    """Replies that no good device gives."""
    other_unit = rtu_frame(9, reply[1:-2])
    less = rtu_frame(reply[0], reply[1:2] + bytes((2,)) + reply[3:5])
    more = rtu_frame(reply[0], reply[1:2] + bytes((6,)) + reply[3:-2] + b"\1\2")
    return {
        "wrong checksum": [(0, reply[:-1] + bytes((reply[-1] ^ 1,)))],
        "truncated": [(0, reply[:-2])],
        "another unit": [(0, other_unit)],
        "another function": [(0, rtu_frame(reply[0], b"\x04" + reply[2:-2]))],
        "fewer registers": [(0, less)],
        "more registers": [(0, more)],
        "a banner": [(0, b"Relay V1.2 ready\r\n")],
        "random": [(0, random.Random(7).randbytes(60))],
        "in halves, the second too late": [(0, reply[:4]), (4 * T, reply[4:])],
    }


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_broken_reply_gives_an_error_and_the_line_recovers(kind: str, numbered: MakeNumbered) -> None:
    async def one(name: str) -> tuple[str, list[bool]]:
        device = numbered(kind)
        device.script(lambda n, _request, reply: broken(reply)[name] if n == 1 else [(0.0, reply)])
        async with open_line(options(device, T)) as line:
            outcomes = [await ask(line, 10 * n) for n in range(5)]
            assert line.stats.bad_reply >= 1, name
            return name, outcomes

    outcomes = await asyncio.gather(*(one(name) for name in broken(rtu_frame(1, b"\3\4abcd"))))
    for name, good in outcomes:
        assert good[0], name
        assert not good[1], name
        assert good[-1], name


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_noise_echo_and_split_bytes_do_no_harm(kind: str, numbered: MakeNumbered) -> None:
    wild: dict[str, Callable[[bytes, bytes], Reply]] = {
        "echo": lambda request, reply: [(0, request), (0, reply)],
        "echo in one": lambda request, reply: [(0, request + reply)],
        "noise before": lambda _request, reply: [(0, b"\0\xff" + reply)],
        "noise after": lambda _request, reply: [(0, reply + b"\0\0")],
        "byte by byte": lambda _request, reply: [(0.0005 * n, reply[n : n + 1]) for n in range(len(reply))],
    }

    async def one(name: str) -> tuple[str, bool, int]:
        device = numbered(kind)
        device.script(lambda _n, request, reply: wild[name](request, reply))
        async with open_line(options(device, 4 * T)) as line:
            good = [await ask(line, 10 * n) for n in range(6)]
            return name, all(good), line.stats.no_reply + line.stats.bad_reply

    assert await asyncio.gather(*map(one, wild)) == [(name, True, 0) for name in wild]


@pytest.mark.parametrize("kind", KINDS)
async def test_random_bytes_at_any_time_never_become_a_value(kind: str, numbered: MakeNumbered) -> None:
    async def one(seed: int) -> None:
        dice = random.Random(seed)
        device = numbered(kind)

        def script(_n: int, _request: bytes, reply: bytes) -> Reply:
            junk = dice.randbytes(dice.randrange(40))
            cut = dice.randrange(5 if kind in ("tcp", "udp") else len(reply))  # MBAP has no checksum of its own
            choices = ([(0.0, reply)], [(0.0, junk)], [(0.0, reply[:cut] + junk)], [(0.0, junk + reply)], [])
            return dice.choice(choices)

        device.script(script)
        with contextlib.suppress(LinkDown):
            async with open_line(options(device, 0.02)) as line:
                for n in range(8):
                    await ask(line, n)

    await asyncio.gather(*(one(seed) for seed in range(20)))


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_bytes_that_nobody_asked_for_are_counted_and_waited_out(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    async with open_line(options(device, T)) as line:
        assert await ask(line, 0)
        device.line.say(b"hello")
        async with asyncio.timeout(5):
            while line.stats.late_bytes < 5:
                await asyncio.sleep(0.001)
        started = time.monotonic()
        assert await ask(line, 10)
        assert time.monotonic() - started >= T * 0.9
        assert line.stats.late_bytes == 5


@pytest.mark.parametrize("kind", UNNUMBERED)
async def test_a_babbling_line_is_given_up_in_bounded_time(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    async with open_line(options(device, T)) as line, asyncio.TaskGroup() as group:

        async def babble() -> None:
            while True:
                device.line.say(b"UUUU")
                await asyncio.sleep(T / 4)

        babbler = group.create_task(babble())
        with pytest.raises(NoReply, match="never quiet"):
            async with asyncio.timeout(20 * T):
                await line.request(Request(1, "holding", 0, 1))
        babbler.cancel()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_read_leaves_no_wrong_value_behind(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    device.script(lambda n, _request, reply: [(2 * T if n == 0 else 0.0, reply)])
    async with open_line(options(device, 3 * T)) as line:
        asking = asyncio.create_task(line.request(Request(1, "holding", 0, 2)), name="a read to be cancelled")
        async with asyncio.timeout(3):
            while not device.requests:
                await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await ask(line, 100)


@pytest.mark.parametrize("kind", KINDS[:4])
async def test_a_path_that_goes_away_is_told_at_once(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    device.script(lambda n, _request, reply: [] if n else [(0.0, reply)])
    async with open_line(options(device, T)) as line:
        assert await ask(line, 0)
        asking = asyncio.ensure_future(line.request(Request(1, "holding", 0, 1), timeout_s=5.0))
        async with asyncio.timeout(3):
            while len(device.requests) < 2:
                await asyncio.sleep(0.001)
            device.fault("unplug" if kind in ("rtu", "ascii") else "cut")
            with pytest.raises(LinkDown):
                await asking


async def test_a_serial_port_that_vanished_costs_no_cpu(numbered: MakeNumbered) -> None:
    device = numbered("rtu")
    async with open_line(options(device, T)) as line:
        assert await ask(line, 0)
        device.fault("unplug")
        before = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - before < 0.1
        with pytest.raises(LinkDown):
            await line.request(Request(1, "holding", 0, 1))


async def test_a_connection_that_the_device_closed_while_idle_is_opened_again(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    async with open_line(options(device, T)) as line:
        for address in (0, 10, 20):
            assert await ask(line, address)
            device.fault("cut")
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


async def test_a_serial_port_is_ours_alone(numbered: MakeNumbered) -> None:
    at = options(numbered("rtu"), T)
    async with open_line(at):
        with pytest.raises(LinkDown, match="another program"):
            async with open_line(at):
                pass


async def test_a_tcp_device_that_talks_rtu_is_told_so(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    device.script(lambda _n, _request, _reply: [(0.0, rtu_frame(1, b"\3\4abcd"))])
    async with open_line(options(device, T)) as line:
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
async def test_a_tcp_reply_that_does_not_match_is_an_error(wrong: Any, numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    device.script(lambda n, _request, reply: [(0.0, reply if n else wrong(reply))])
    async with open_line(options(device, T)) as line:
        assert [await ask(line, 0), await ask(line, 0)] == [False, True]
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
