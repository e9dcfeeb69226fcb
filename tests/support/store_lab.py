"""A laboratory for the store: real files, fake time, and ends of every kind."""

import asyncio
import shutil
import sqlite3
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from contract_check import with_names
from fake_clock import FakeClock

from agent.clock import NS_PER_S
from agent.model import Batch, Event, Scan
from agent.settings import OutboxSettings
from agent.store import Store, StoreConfig, open_store
from agent.store.numbers import Numbers, file_identity
from drivers.api import Reading

HANGS_S = 60.0


def decode(payload: bytes) -> dict[str, Any]:
    """A payload as the IOC reads it."""
    plain = zlib.decompress(payload) if payload[:1] == b"\x78" else payload
    return with_names(msgspec.json.decode(plain))


def values(payload: bytes) -> list[int]:
    """The values of the point `n` in a payload: each reading of the laboratory has its own."""
    return [scan["values"]["n"] for scan in decode(payload).get("scans", ()) if "n" in scan["values"]]


@dataclass
class Lab:
    """One gateway's folders and clock. Everything it ever handed on is in `sent`, by epoch and number.

    `rows`: whether its IOC reads them; None where it has not said so.
    """

    folder: Path
    ram: Path
    clock: FakeClock
    random: Random = field(default_factory=lambda: Random(1))
    outbox: OutboxSettings = field(default_factory=OutboxSettings)
    hold_unsynced_s: float = 900.0
    first_batch_s: float = inf
    max_payload_bytes: int = 60 * 1024
    rows: bool | None = True
    sent: dict[tuple[str, int], bytes] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    read_at_ns: dict[int, int] = field(default_factory=dict)
    generation: int = 0

    @property
    def data(self) -> Path:
        return self.folder / f"data-{self.generation}"

    @property
    def runtime(self) -> Path:
        return self.ram / f"run-{self.generation}"

    @property
    def database(self) -> Path:
        return self.data / "outbox.db"

    def config(self) -> StoreConfig:
        return StoreConfig(
            gateway="dng-hc-01",
            data_dir=self.data,
            runtime_dir=self.runtime,
            outbox=self.outbox,
            hold_unsynced_s=self.hold_unsynced_s,
            config_hash="a1b2c3d4",
            first_batch_s=self.first_batch_s,
            max_payload_bytes=self.max_payload_bytes,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        """Open the store, for no longer than no test takes: what waits for ever fails."""
        async with asyncio.timeout(HANGS_S), open_store(self.config(), self.clock, self.random) as store:
            generation = self.generation

            def sealed(batch: Batch) -> None:
                if generation == self.generation:  # what a killed store does at its end nobody sees
                    self.note(store, batch, handed_on=True)

            store.on_sealed = sealed
            if self.rows is not None:
                store.allow_rows(allowed=self.rows)
            yield store

    def note(self, store: Store, batch: Batch, *, handed_on: bool = False) -> None:
        """Remember a batch that has left the store; the same number must have the same bytes."""
        assert self.sent.setdefault((store.epoch, batch.seq), batch.payload) == batch.payload
        if handed_on:
            self.order.append(batch.seq)

    def read(self, store: Store, count: int = 1, device: str = "aq-01") -> list[int]:
        """Read so many values and give them to the store."""
        numbers = list(range(len(self.read_at_ns) + 1, len(self.read_at_ns) + 1 + count))
        for number in numbers:
            self.read_at_ns[number] = self.clock.mono_ns()
            store.append(Scan(device, self.clock.mono_ns(), [Reading("n", number, self.clock.mono_ns())]))
        return numbers

    def event(self, store: Store) -> None:
        message = {"en": "No reply", "vi": "Mất liên lạc"}
        mono_ns = self.clock.mono_ns()
        store.append_event(
            Event(type="device.down", severity="major", mono_ns=mono_ns, message=message, device="aq-01")
        )

    async def live(self, store: Store, seconds: float, step_s: float = 0.25) -> None:
        """Let time pass."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            await store.step()

    async def undelivered(self, store: Store) -> list[Batch]:
        """Everything that would be sent after a reconnect, in order; asked for in small portions."""
        found: list[Batch] = []
        while batches := await store.pending(found[-1].seq if found else 0, 7, 20_000):
            found.extend(batches)
        for batch in found:
            self.note(store, batch)
        assert [batch.seq for batch in found] == sorted({batch.seq for batch in found})
        return found

    async def stored(self, store: Store) -> list[int]:
        return [n for batch in await self.undelivered(store) for n in values(batch.payload)]

    def kill(self) -> None:
        """End here as after kill -9: whatever the old store does from now on is not in these files."""
        old = (self.data, self.runtime)
        self.generation += 1
        shutil.copytree(old[0], self.data, ignore=shutil.ignore_patterns("*-shm"))
        shutil.copytree(old[1], self.runtime)
        self._same_file(old[0])

    def cut_power(self, *, keep_runtime: bool = False) -> None:
        """End here as after a power cut: what is on the card stays, the RAM disk is empty, the next boot begins."""
        old = (self.data, self.runtime)
        self.generation += 1
        shutil.copytree(old[0], self.data, ignore=shutil.ignore_patterns("*-shm"))
        if keep_runtime:
            shutil.copytree(old[1], self.runtime)
        self._same_file(old[0])
        self.boot()

    def _same_file(self, old: Path) -> None:
        """A copy stands for what is still the same file after a real end: let the numbers file say so."""
        numbers = Numbers(self.data)
        if numbers.known and numbers.is_of(numbers.epoch, file_identity(old / "outbox.db")):
            numbers.write(numbers.epoch, numbers.bound_of(numbers.epoch), [file_identity(self.database)])

    def boot(self) -> None:
        self.clock.boot_id = f"00000000-0000-0000-0000-{self.random.getrandbits(48):012x}"
        wall_ms = self.clock.wall_ms()
        self.clock.now_ns = 20 * NS_PER_S
        self.clock.wall_at_zero_ms += wall_ms - self.clock.wall_ms()

    def sql(self, query: str, *parameters: Any) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query, parameters).fetchall()

    async def check_account(self, store: Store) -> None:
        """accepted = delivered + stored + lost, and stored is what is really there."""
        await self.settle(store)
        account = store.account()
        assert account.balanced, account
        batches = await self.undelivered(store)
        assert account.stored == account.waiting + sum(batch.readings for batch in batches), account

    def values(self, payload: bytes) -> list[int]:
        return values(payload)

    def decoded(self, batch: Batch) -> dict[str, Any]:
        return decode(batch.payload)

    async def events(self, store: Store, type_: str) -> list[dict[str, Any]]:
        """The undelivered events of one type."""
        found = [self.decoded(batch)["event"] for batch in await self.undelivered(store) if batch.kind == "event"]
        return [event for event in found if event["type"] == type_]

    def numbers(self, batch: Batch) -> list[int]:
        return values(batch.payload)

    async def drain(self, store: Store) -> None:
        """Wait, in real time, until the readings of everything that was marked are counted."""
        async with asyncio.timeout(10):
            await store._committer._settle()

    async def salvaged(self, store: Store) -> None:
        """Let time pass until everything that can be read of files set aside is brought over."""
        before, still = list(store._ledger.salvages), 0
        while before and still < 20:  # files with numbers far apart take a step for each place; they end all the same
            await self.live(store, 0.25)
            still = still + 1 if store._ledger.salvages == before else 0
            before = list(store._ledger.salvages)
        assert not before, f"the salvage does not go on: {before}"

    async def settle(self, store: Store) -> None:
        """Let the readings of what was marked delivered be counted."""
        self.clock.advance(1.1)
        await store.step()
