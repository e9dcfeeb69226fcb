"""What the uplink's tests share: a store in memory, settings, an IOC that a test plays."""

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from agent.clock import SystemClock
from agent.model import Batch, BatchKind, SeqRange
from agent.settings import (
    ClockSettings,
    GatewaySettings,
    LogSettings,
    OutboxSettings,
    Settings,
    SiteSettings,
    UplinkSettings,
)
from agent.uplink.pictures import Shelf
from agent.uplink.publisher import Publisher
from agent.uplink.state import Tuning
from simulators.testing import BenchBroker, BenchClient

GATEWAY = "dng-hc-01"
EPOCH = "9f3c1a7be2d04455"
SEALED_MS = 1_795_432_800_000


class MemorySource:
    """A `BatchSource` in a dict, with a list of what happened."""

    def __init__(self) -> None:
        self.epoch = EPOCH
        self.boot = 3
        self.high = 0
        self.connections = 0
        self.batches: dict[int, Batch] = {}
        self.archive: dict[int, Batch] = {}
        self.unreadable = False
        self.handed_on = 0
        self.delivered: list[int] = []
        self.dead: list[int] = []
        self.limit: int | None = None
        self.rows: bool | None = None
        self.on_sealed: Callable[[Batch], None] = lambda batch: None

    def new_connection(self) -> int:
        self.connections += 1
        return self.connections

    def is_undelivered(self, seq: int) -> bool:
        return seq in self.batches

    async def pending(self, after: int, max_batches: int, max_bytes: int) -> Sequence[Batch]:
        await asyncio.sleep(0)
        found: list[Batch] = []
        for seq in sorted(seq for seq in self.batches if seq > after)[:max_batches]:
            if found and sum(len(b.payload) for b in found) + len(self.batches[seq].payload) > max_bytes:
                break
            found.append(self.batches[seq])
        self.handed_on += len(found)
        return found

    async def window(self, from_ms: int, to_ms: int) -> Sequence[SeqRange] | None:
        await asyncio.sleep(0)
        return None if self.unreadable else [(seq, seq) for seq in self.archive]

    async def sealed(self, ranges: Sequence[SeqRange], max_batches: int, max_bytes: int) -> Sequence[Batch] | None:
        await asyncio.sleep(0)
        if self.unreadable:
            return None
        found = [b for seq, b in sorted(self.archive.items()) if any(first <= seq <= last for first, last in ranges)]
        return found[:max_batches]

    def mark_delivered(self, ranges: Sequence[SeqRange]) -> None:
        for first, last in ranges:
            for seq in [seq for seq in self.batches if first <= seq <= last]:
                del self.batches[seq]
                self.delivered.append(seq)

    def mark_dead(self, seq: int) -> None:
        if self.batches.pop(seq, None):
            self.dead.append(seq)

    def limit_payload(self, max_bytes: int | None) -> None:
        self.limit = max_bytes

    def allow_rows(self, *, allowed: bool) -> None:
        self.rows = allowed

    def seal(self, kind: BatchKind = "data", readings: int = 10, size: int = 0) -> Batch:
        """One more batch of the contract, at least `size` bytes long, handed on as the store does."""
        self.high += 1
        low = min(self.batches, default=self.high)
        payload = json.dumps(batch_message(kind, self.high, low, size)).encode()
        batch = Batch(seq=self.high, kind=kind, payload=payload, readings=readings, sealed_ms=SEALED_MS)
        self.batches[batch.seq] = self.archive[batch.seq] = batch
        self.on_sealed(batch)
        return batch


def batch_message(kind: BatchKind, seq: int, low: int, size: int = 0) -> dict[str, Any]:
    """A valid message of this kind, with so much text in it that it has at least `size` bytes."""
    message: dict[str, Any] = {"v": 1, "gateway": GATEWAY, "epoch": EPOCH, "seq": seq, "sealed_ms": SEALED_MS}
    message |= {"low": low, "config": "a1b2c3d4", "clock": "sync"}
    if kind == "data":
        values: dict[str, Any] = {"n": seq} | {f"pad_{i}": "x" * min(1_024, size - i) for i in range(0, size, 1_024)}
        return message | {"scans": [{"device": "aq-01", "time_ms": SEALED_MS, "values": values}]}
    body: dict[str, Any] = {"id": f"{seq:026d}", "time_ms": SEALED_MS}
    if kind == "event":
        body |= {
            "type": "device.down",
            "severity": "major",
            "device": "aq-01",
            "message": {"en": "No reply" + " " * size},
        }
    elif kind == "result":
        body |= {"ok": True}
    else:
        body |= {"device": "cam-01", "mime": "image/jpeg", "width": 1, "height": 1, "bytes": 1, "sha256": "0" * 64}
        body |= {"parts": 1, "why": "schedule", "privacy": {"class": "none", "purpose": "test", "keep_days": 1}}
    return message | {kind: body}


def settings(port: int, data_dir: Path, **uplink: Any) -> Settings:
    """Settings without devices, for a broker on loopback."""
    defaults: dict[str, Any] = {"host": "127.0.0.1", "port": port, "tls": False, "connect_timeout_s": 5.0}
    return Settings(
        gateway=GatewaySettings(id=GATEWAY, data_dir=str(data_dir), runtime_dir=str(data_dir)),
        site=SiteSettings(oc="oc-haichau"),
        uplink=UplinkSettings(**(defaults | uplink)),
        outbox=OutboxSettings(),
        clock=ClockSettings(),
        log=LogSettings(),
        links=(),
        devices=(),
        file=data_dir / "agent.toml",
    )


def quick() -> Iterator[float]:
    """Delays for tests: try again at once."""
    while True:
        yield 0.05


async def until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "the condition") -> Any:
    """Wait for something true without stopping the loop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within {seconds:g} s: {what}")


class Ioc:
    """A client beside the agent that a test plays: sees everything, may acknowledge."""

    def __init__(self, client: BenchClient) -> None:
        self._client = client

    @property
    def messages(self) -> list[tuple[str, bytes]]:
        """What came, in order of arrival: topic and payload."""
        return [(message.topic, message.payload) for message in self._client.messages]

    def say(self, topic: str, message: Any, *, retain: bool = True) -> None:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._client.publish(topic, payload, retain=retain)

    def state(self, *, online: bool = True, ack: bool = True, **more: Any) -> None:
        self.say("ocg/v1/ioc/state", {"v": 1, "online": online, "time_ms": 1, "ack": ack} | more)

    def ack(self, cumulative: int, selective: Sequence[SeqRange] = (), epoch: str = EPOCH) -> None:
        said = {"v": 1, "epoch": epoch, "cumulative": cumulative, "selective": list(selective), "time_ms": 1}
        self.say(f"ocg/v1/{GATEWAY}/down/ack", said)

    def seqs(self, *names: str) -> list[int]:
        """The numbers that came on `up/<name>`, in order of arrival."""
        topics = {f"ocg/v1/{GATEWAY}/up/{name}" for name in names}
        return [said(payload)["seq"] for topic, payload in self.messages if topic in topics]

    def said(self, name: str) -> list[dict[str, Any]]:
        """What came on `up/<name>`, in order of arrival."""
        topic = f"ocg/v1/{GATEWAY}/up/{name}"
        return [said(payload) for heard, payload in self.messages if heard == topic and payload]

    def close(self) -> None:
        self._client.stop()


def said(payload: bytes) -> dict[str, Any]:
    """A payload as JSON."""
    return dict(json.loads(zlib.decompress(payload) if payload[:1] == b"\x78" else payload))


class Listening(Protocol):
    """A broker that a client can connect to."""

    port: int


@asynccontextmanager
async def running(
    broker: Listening,
    source: MemorySource,
    folder: Path,
    *,
    decide_s: float = 0.0,
    silence_s: float = 5.0,
    shelf: Shelf | None = None,
    **uplink: Any,
) -> AsyncIterator[Publisher]:
    """A publisher that runs while the context is open."""
    tuning = Tuning(decide_s=decide_s, barrier_s=1.0, silence_s=silence_s)
    publisher = Publisher(
        settings(uplink.pop("port", broker.port), folder, **uplink),
        source,
        SystemClock(),
        quick,
        tuning=tuning,
        shelf=shelf,
    )
    async with at_work(publisher, source):
        yield publisher


@asynccontextmanager
async def at_work(publisher: Publisher, source: MemorySource) -> AsyncIterator[None]:
    """The publisher runs while the context is open; where it crashes the test fails."""
    source.on_sealed = publisher.on_sealed
    task = asyncio.create_task(publisher.run(), name="uplink")
    try:
        yield
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])


def ready(publisher: Publisher) -> bool:
    return publisher.state().connected and publisher._hearing.sender is not None


async def listener(broker: BenchBroker, *topics: str) -> Ioc:
    return Ioc(await asyncio.to_thread(broker.client, *(topics or ("ocg/v1/#",))))
