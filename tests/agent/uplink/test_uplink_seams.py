"""What comes later fits in as it is: another format, and a second uplink with its own cursor over the same outbox.

Both stand here as a test needs them, and show what a module of the product would have to be: a `Format`, and a
`BatchSource` that keeps what it has not delivered and reads the batches from the store.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from fake_clock import FakeClock
from store_lab import Lab
from uplink_helpers import Ioc, listener, quick, settings, until

from agent.clock import SystemClock
from agent.health import Hardware
from agent.model import Batch, Scan, SeqRange
from agent.packing import plain
from agent.ranges import RangeSet
from agent.settings import Settings
from agent.store import Store
from agent.uplink.downlink.messages import Down
from agent.uplink.formats import Lane, Message, Moment, Why
from agent.uplink.publisher import Publisher
from agent.uplink.state import Tuning
from drivers.api import Reading
from simulators.testing import Bench


class Lines:
    """A format of another kind: one line a value, its own topics, nothing to hear but its own status."""

    config = "none"
    subscriptions = ("other/status",)
    frequent = ("other/lines",)

    def describe(self, settings: Settings, commands: Sequence[str]) -> None:
        pass

    def encode(self, batch: Batch, lane: Lane) -> Message:
        content = msgspec.json.decode(plain(batch.payload))
        lines = [
            f"{scan['device']}.{point}={value}@{scan['time_ms']}"
            for scan in content.get("scans", ())
            for point, value in scan["values"].items()
        ]
        return Message("other/lines", "\n".join(lines).encode() or b"-")

    def status(self, moment: Moment, why: Why) -> Message:
        return Message("other/status", why.encode(), retain=True)

    def births(self, moment: Moment, hardware: Hardware, removed: Collection[str]) -> Iterator[Message]:
        yield Message("other/about", hardware.model.encode() or b"?", retain=True)

    def health(self, moment: Moment, figures: dict[str, Any]) -> Message:
        return Message("other/health", msgspec.json.encode(figures))

    def picture_part(self, picture: str, part: int, data: bytes) -> Message:
        return Message(f"other/{picture}/{part}", data)

    def read(self, topic: str, payload: bytes) -> Down | None:
        return None


class Follower:
    """A second cursor: what it has not delivered is its own, the batches are the store's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._undelivered = RangeSet([(1, store.high)])
        self._connections = 0

    @property
    def epoch(self) -> str:
        return self._store.epoch

    @property
    def boot(self) -> int:
        return self._store.boot

    @property
    def high(self) -> int:
        return self._store.high

    @property
    def undelivered(self) -> int:
        return self._undelivered.count

    def sealed_now(self, batch: Batch) -> None:
        self._undelivered.add(batch.seq)

    def new_connection(self) -> int:
        self._connections += 1
        return self._connections

    def is_undelivered(self, seq: int) -> bool:
        return seq in self._undelivered

    async def pending(self, after: int, max_batches: int, max_bytes: int) -> Sequence[Batch]:
        wanted = list(islice(self._undelivered.after(after), max_batches))
        return await self._store.sealed([(seq, seq) for seq in wanted], max_batches, max_bytes) or []

    async def window(self, from_ms: int, to_ms: int) -> Sequence[SeqRange] | None:
        return await self._store.window(from_ms, to_ms)

    async def sealed(self, ranges: Sequence[SeqRange], max_batches: int, max_bytes: int) -> Sequence[Batch] | None:
        return await self._store.sealed(ranges, max_batches, max_bytes)

    def mark_delivered(self, ranges: Sequence[SeqRange]) -> None:
        for first, last in ranges:
            self._undelivered.discard(first, last)

    def mark_dead(self, seq: int) -> None:
        self._undelivered.discard(seq)

    def limit_payload(self, max_bytes: int | None) -> None:
        """The first uplink says how long batches may be."""

    def allow_rows(self, *, allowed: bool) -> None:
        self._store.allow_rows(allowed=allowed, uplink="lines")


async def test_two_uplinks_with_two_formats_share_one_outbox_and_neither_waits_for_the_other(
    bench: Bench, lab: Lab, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    brokers = [bench.broker(start=False) for _ in range(2)]
    lab.clock = FakeClock()
    async with lab.open() as store, AsyncExitStack() as stack:
        follower = Follower(store)
        first = Publisher(settings(brokers[0].port, tmp_path / "one"), store, SystemClock(), quick, tuning=Tuning())
        second = Publisher(
            settings(brokers[1].port, tmp_path / "two", ack="broker"), follower, SystemClock(), quick,
            format_=Lines(), tuning=Tuning(barrier_s=0.1),
        )  # fmt: skip

        def sealed(batch: Batch) -> None:
            follower.sealed_now(batch)
            first.on_sealed(batch)
            second.on_sealed(batch)

        store.on_sealed = sealed
        brokers[1].start()
        lines = await listener(brokers[1], "other/lines")
        stack.callback(lines.close)
        tasks = [asyncio.create_task(uplink.run(), name="uplink") for uplink in (first, second)]
        try:
            await read_values(store, lab, range(1, 11))
            await until(lambda: follower.undelivered == 0, what="the second uplink, while the first has no broker")
            assert store.stats().undelivered == 10, "the first has its own cursor"
            # A broker that is killed may have said of a message that it has it, and not have passed it on.
            await until(lambda: len(arrived_lines(lines)) == 10, what="the broker has passed on what it has taken")
            brokers[1].kill()
            brokers[0].start()
            ioc = await listener(brokers[0])
            stack.callback(ioc.close)
            await asyncio.to_thread(ioc.state, ack=False, encodings=["json", "deflate", "rows"])
            await until(lambda: first.state().connected and first._peer.reads_rows)
            assert not store._parts.rows, "the second format reads no rows"
            await read_values(store, lab, range(11, 21))
            await until(lambda: store.stats().undelivered == 0, 20, what="the first uplink, while the second has none")
            assert follower.undelivered == 10
            brokers[1].start()
            await until(lambda: follower.undelivered == 0, 20, what="what the second lacked")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        wanted = {b"aq-01.n=%d" % number for number in range(1, 21)}
        await until(lambda: arrived_lines(lines) >= wanted, what="the broker passes on what it has taken")
        assert arrived_lines(lines) == wanted
        assert {v for _, payload in ioc.messages if b'"scans"' in plain(payload) for v in lab.values(payload)} == set(
            range(1, 21)
        )


def arrived_lines(ioc: Ioc) -> set[bytes]:
    """Device, point and value of each."""
    return {line.partition(b"@")[0] for _, payload in ioc.messages for line in payload.splitlines()}


async def read_values(store: Store, lab: Lab, values: Sequence[int]) -> None:
    for value in values:
        store.append(Scan("aq-01", lab.clock.mono_ns(), [Reading("n", value, lab.clock.mono_ns())]))
        await lab.live(store, 1.25)
