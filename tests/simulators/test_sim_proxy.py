"""The proxy on real sockets: each fault as the client and the broker see it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from simulators.proxy.faults import Fault, FaultName
from simulators.proxy.meddling import Meddling
from simulators.proxy.packets import Packets, Publish, puback, publish, read_publish
from simulators.proxy.proxy import Proxy, proxy

DATA = bytes(index % 251 for index in range(20_000))
CONNECT = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03gw1"
CONNACK = b"\x20\x03\x00\x00\x00"
TIMEOUT_S = 10.0


class Server:
    """Keeps what it is sent, by connection, and sends what it is told; `ended` says how each connection ended."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []
        self.ended: dict[int, str] = {}
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.received)
        self.received.append(bytearray())
        self.writers.append(writer)
        try:
            while data := await reader.read(65_536):
                self.received[number] += data
            self.ended[number] = "fin"
        except ConnectionError:
            self.ended[number] = "rst"
        writer.close()


class Client:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self, count: int) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._reader.readexactly(count)

    async def end(self) -> tuple[bytes, str]:
        """What still comes, and how it ends."""
        data = bytearray()
        async with asyncio.timeout(TIMEOUT_S):
            try:
                while piece := await self._reader.read(65_536):
                    data += piece
            except ConnectionError:
                return bytes(data), "rst"
        return bytes(data), "fin"

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(0.1):
                await self._reader.read(1)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self._writer.transport.abort()


async def _until(condition: object, what: str = "the condition") -> None:
    end_s = time.monotonic() + TIMEOUT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end_s, what
        await asyncio.sleep(0.005)


class Bench:
    """A server, a proxy before it, and clients."""

    def __init__(self, server: Server, way: Proxy) -> None:
        self.server = server
        self.way = way
        self.clients: list[Client] = []

    async def client(self, *faults: Fault) -> Client:
        self.way.faults = iter([faults]) if faults else None
        one = await Client.open(self.way.port)
        self.clients.append(one)
        return one


@asynccontextmanager
async def _bench(*, mqtt: bool) -> AsyncIterator[Bench]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with proxy(listening.sockets[0].getsockname()[1], mqtt=mqtt) as way:
        bench = Bench(server, way)
        try:
            yield bench
        finally:
            for client in bench.clients:
                client.close()
    listening.close()
    await _until(lambda: len(server.ended) == len(server.received), "the broker's side is closed too")
    await asyncio.sleep(0.01)  # the sockets are closed in the next round of the loop


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with _bench(mqtt=False) as one:
        yield one


@pytest.fixture
async def mqtt_bench() -> AsyncIterator[Bench]:
    async with _bench(mqtt=True) as one:
        yield one


async def test_without_faults_bytes_and_ends_cross_in_both_directions(bench: Bench) -> None:
    client = await bench.client()
    client.send(DATA)
    await _until(lambda: bench.server.received == [bytearray(DATA)])
    bench.server.writers[0].write(DATA[::-1])
    assert await client.read(len(DATA)) == DATA[::-1]
    bench.server.writers[0].write(b"bye")
    bench.server.writers[0].close()
    assert await client.end() == (b"bye", "fin")
    assert not bench.way.done


@pytest.mark.parametrize(("name", "how"), [("cut", "fin"), ("rst", "rst"), ("refuse", "fin")])
async def test_an_end_comes_after_exactly_its_bytes_on_both_sides(bench: Bench, name: FaultName, how: str) -> None:
    client = await bench.client(Fault(name=name, at_byte=1_234, seconds=0.05))
    client.send(DATA[:1_000])
    await _until(lambda: bench.server.received == [bytearray(DATA[:1_000])])
    client.send(DATA[1_000:])
    assert await client.end() == (b"", how)
    await _until(lambda: bench.server.ended == {0: how})
    if how == "fin":  # a reset takes with it what was not read yet
        assert bench.server.received == [bytearray(DATA[:1_234])]
    assert (bench.way.done, bench.way.cuts) == ({name: 1}, 1)


async def test_a_cut_of_what_the_broker_sends(bench: Bench) -> None:
    client = await bench.client(Fault(name="cut", direction="down", at_byte=7))
    client.send(b"hello")
    await _until(lambda: bench.server.received == [bytearray(b"hello")])
    bench.server.writers[0].write(DATA)
    assert await client.end() == (DATA[:7], "fin")


async def test_half_open_swallows_one_direction_and_tells_nobody(bench: Bench) -> None:
    client = await bench.client(Fault(name="half_open", at_byte=100))
    client.send(DATA[:500])
    await _until(lambda: bench.server.received == [bytearray(DATA[:100])])
    bench.server.writers[0].write(b"other way")
    assert await client.read(9) == b"other way"
    client.send(DATA)
    assert await client.is_silent()
    client.close()
    await asyncio.sleep(0.05)
    assert (bench.server.received, bench.server.ended) == ([bytearray(DATA[:100])], {})
    bench.server.writers[0].close()


async def test_half_open_keeps_from_the_client_that_the_broker_has_gone(bench: Bench) -> None:
    client = await bench.client(Fault(name="half_open", direction="down"))
    client.send(b"hello")
    await _until(lambda: bench.server.received == [bytearray(b"hello")])
    bench.server.writers[0].write(DATA)
    bench.server.writers[0].close()
    assert await client.is_silent()
    bench.way.heal()
    assert (await client.end())[0] == b""


async def test_a_blackhole_accepts_and_never_answers(bench: Bench) -> None:
    client = await bench.client(Fault(name="blackhole"))
    client.send(DATA)
    assert await client.is_silent()
    assert not bench.server.received
    bench.way.heal()
    assert (await client.end())[0] == b""


async def test_a_refused_port_is_closed_for_a_while_and_stays_ours(bench: Bench) -> None:
    await bench.client()
    bench.way.refuse(0.2)
    with pytest.raises(ConnectionRefusedError):
        await Client.open(bench.way.port)
    began_s = time.monotonic()
    while True:
        try:
            bench.clients.append(await Client.open(bench.way.port))
            break
        except ConnectionRefusedError:
            assert time.monotonic() < began_s + TIMEOUT_S
            await asyncio.sleep(0.01)
    await _until(lambda: len(bench.server.received) == 2)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(name="stall", at_byte=50, seconds=0.2),
        Fault(name="slow", at_byte=50, length=200, bytes_per_s=1_000.0),
        Fault(name="split", at_byte=50, length=200),
    ],
    ids=lambda fault: fault.name,
)
async def test_what_only_disturbs_changes_no_byte(bench: Bench, fault: Fault) -> None:
    began_s = time.monotonic()
    client = await bench.client(fault)
    client.send(DATA)
    await _until(lambda: bench.server.received == [bytearray(DATA)])
    assert fault.name == "split" or time.monotonic() - began_s >= 0.19
    assert (bench.way.done, bench.way.cuts) == ({fault.name: 1}, 0)


async def test_healing_ends_a_stall_at_once(bench: Bench) -> None:
    client = await bench.client(Fault(name="stall", at_byte=50, seconds=3_600.0))
    client.send(DATA)
    await _until(lambda: bench.server.received == [bytearray(DATA[:50])])
    bench.way.heal()
    await _until(lambda: bench.server.received == [bytearray(DATA)])


async def test_when_the_broker_is_away_the_client_is_reset(bench: Bench) -> None:
    async with proxy(bench.way.port) as before:
        bench.way.refuse(5.0)
        client = await Client.open(before.port)
        assert await client.end() == (b"", "rst")
        client.close()


@pytest.mark.parametrize(("reset", "how"), [(False, "fin"), (True, "rst")])
async def test_all_connections_can_be_cut_now(bench: Bench, reset: bool, how: str) -> None:
    clients = [await bench.client() for _ in range(3)]
    await _until(lambda: len(bench.server.received) == 3)
    assert bench.way.cut(reset=reset) == 3
    assert [await client.end() for client in clients] == [(b"", how)] * 3


async def test_the_faults_of_a_seed_meet_the_connections_in_order(bench: Bench) -> None:
    faults: Sequence[tuple[Fault, ...]] = [(Fault(name="cut", at_byte=number),) for number in (3, 1, 2)]
    bench.way.faults = iter(faults)
    for _ in range(4):
        client = await Client.open(bench.way.port)
        bench.clients.append(client)
        client.send(DATA[:10])
        await _until(lambda: len(bench.server.received) == len(bench.clients) and bench.server.received[-1])
    await _until(lambda: [len(data) for data in bench.server.received] == [3, 1, 2, 10])


async def test_a_proxy_that_knows_mqtt_passes_it_on_byte_by_byte_the_same(mqtt_bench: Bench) -> None:
    client = await mqtt_bench.client(
        Fault(name="split", length=10_000), Fault(name="split", length=500, direction="down")
    )
    stream = CONNECT + publish(Publish("a/b", DATA[:3_000], qos=1, packet_id=7), 5)
    client.send(stream)
    await _until(lambda: mqtt_bench.server.received == [bytearray(stream)])
    mqtt_bench.server.writers[0].write(CONNACK + puback(7))
    assert await client.read(len(CONNACK) + 4) == CONNACK + puback(7)


async def test_messages_are_injected_between_packets_never_in_one(mqtt_bench: Bench) -> None:
    client = await mqtt_bench.client(Fault(name="slow", direction="down", length=5_000, bytes_per_s=20_000.0))
    assert not mqtt_bench.way.inject("a", b"too early")
    client.send(CONNECT)
    await _until(lambda: mqtt_bench.server.received == [bytearray(CONNECT)])
    long = publish(Publish("long", DATA[:2_000]), 5)
    mqtt_bench.server.writers[0].write(CONNACK + long)
    await client.read(len(CONNACK))
    for number in range(5):
        assert mqtt_bench.way.inject("a", b"%d" % number)
        await asyncio.sleep(0.01)
    packets, found = Packets(), list[bytes]()
    while len(found) < 6:
        found += [read_publish(packet, 5).payload for packet in packets.feed(await client.read(1))]
    assert found[0] == DATA[:2_000]
    assert found[1:] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_late_message_is_overtaken_and_a_lost_one_confirmed_for_the_client(mqtt_bench: Bench) -> None:
    client = await mqtt_bench.client()
    client.send(CONNECT)
    await _until(lambda: mqtt_bench.server.received == [bytearray(CONNECT)])
    writer = mqtt_bench.server.writers[0]
    writer.write(CONNACK)
    await client.read(len(CONNACK))
    ack = publish(Publish("down/ack", b"1", qos=1, packet_id=1), 5)
    other = publish(Publish("down/cmd", b"2"), 5)
    mqtt_bench.way.meddling = Meddling(topic="down/ack", late=1.0, max_late_s=0.2)
    writer.write(ack + other)
    assert await client.read(len(ack + other)) == other + ack
    mqtt_bench.way.meddling = Meddling(topic="down/ack", lost=1.0)
    writer.write(ack + other)
    assert await client.read(len(other)) == other
    await _until(lambda: mqtt_bench.server.received[0][len(CONNECT) :] == puback(1))


async def test_what_is_no_mqtt_ends_the_connection(mqtt_bench: Bench) -> None:
    client = await mqtt_bench.client()
    client.send(b"\x10\xff\xff\xff\xff\xff GET / HTTP/1.1")
    assert await client.end() == (b"", "rst")


async def test_closing_ends_what_hangs(bench: Bench) -> None:
    bench.way.faults = repeat((Fault(name="blackhole"),))
    hanging = await Client.open(bench.way.port)
    await _until(lambda: bench.way.done["blackhole"] == 1)
    await bench.way.close()
    assert (await hanging.end())[0] == b""
    hanging.close()
