"""A laboratory for the store on a faulty card: what the world outside has seen is dated by operations of the card, so
that the power can be cut at any of them afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from card_model import OperationLog, Survive
from faulty_card import Faults, FaultyCard
from store_lab import Lab, decode, values

from agent.clock import NS_PER_S, ClockState
from agent.model import Batch, Scan
from agent.ranges import RangeSet
from agent.store import Store
from agent.store.timetable import RAW_INTERVAL_S
from drivers.api import Reading

GRAIN_S = 0.25
"""Time moves by so much at once; a commit may be late by as much."""
RETRY_S = 1.0 + GRAIN_S
"""So soon after a failure the store tries again."""

Key = tuple[str, int]
"""Epoch and number of a batch."""


@dataclass
class World:
    """What is known outside the gateway.

    `young`: readings that need not be on the card yet, and when they were read; `lost`: those that a cut found young.
    `good_ns`: since when the card has been good, None while it is not.
    """

    epoch: str = ""
    good_ns: int | None = 0
    read: set[int] = field(default_factory=set)
    young: dict[int, int] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    sent: dict[Key, bytes] = field(default_factory=dict)
    delivered: set[Key] = field(default_factory=set)

    def copy(self) -> "World":
        return World(**{name: copy(value) for name, value in vars(self).items()})

    def grow_older(self, now_ns: int, kept_s: float, *, good: bool) -> None:
        """What has been read, or found a good card, for longer than `kept_s` must be on the card."""
        if not good:
            self.good_ns = None
        elif self.good_ns is None:
            self.good_ns = now_ns + round(RETRY_S * NS_PER_S)
        if self.good_ns is not None:
            before_ns = now_ns - round(kept_s * NS_PER_S)
            self.young = {n: at for n, at in self.young.items() if max(at, self.good_ns) > before_ns}

    def arrived(self) -> set[int]:
        """The readings in the batches that were acknowledged."""
        return {number for key in self.delivered for number in values(self.sent[key])}


class Fact(NamedTuple):
    """Something that happened when so many operations had been done on the card."""

    operation: int
    now_ns: int
    epoch: str
    good: bool
    read: tuple[int, ...] = ()
    sent: tuple[Key, bytes] | None = None
    delivered: Key | None = None

    def happen(self, world: World, kept_s: float) -> None:
        world.epoch = self.epoch
        world.grow_older(self.now_ns, kept_s, good=self.good)
        world.read.update(self.read)
        world.young.update(dict.fromkeys(self.read, self.now_ns))
        if self.sent is not None:
            world.sent[self.sent[0]] = self.sent[1]
        if self.delivered is not None:
            world.delivered.add(self.delivered)


@dataclass
class CardLab(Lab):
    """A laboratory whose data folder is on a card; `strict`: see `card_model`. `world` is brought up to date by `cut`."""

    world: World = field(default_factory=World)
    log: OperationLog = field(default_factory=OperationLog)
    history: list[Fact] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    inserted: bool = False
    strict: bool = False

    @property
    def kept_s(self) -> float:
        """What is undelivered and older than this survives a power cut."""
        return (self.outbox.commit_interval_s or RAW_INTERVAL_S) + GRAIN_S

    @contextmanager
    def card(self) -> Iterator[FaultyCard]:
        """A card in the gateway, from now on until the power is cut."""
        self.log, self.history = OperationLog(strict=self.strict), []
        with FaultyCard(self.data, self.log, syncs_journals=not self.strict).inserted() as card:
            self.faults, self.inserted = card.faults, True
            yield card
        self.inserted = False

    async def live(self, store: Store, seconds: float, step_s: float = GRAIN_S) -> None:
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            self.happened(store)
            await store.step()
        self.happened(store)

    def read(self, store: Store, count: int = 1, device: str = "aq-01") -> list[int]:
        numbers = super().read(store, count, device)
        self.happened(store, read=tuple(numbers))
        return numbers

    async def fill(self, store: Store, count: int) -> None:
        """Readings that do not compress: a few of these, and a small file is full."""
        now_ns = self.clock.mono_ns()
        for _ in self.read(store, count):
            texts = [Reading(f"p{k}", self.random.randbytes(500).hex(), now_ns) for k in range(4)]
            store.append(Scan("pad", now_ns, texts))
        await self.live(store, 1.0)

    def note(self, store: Store, batch: Batch, *, handed_on: bool = False) -> None:
        super().note(store, batch, handed_on=handed_on)
        self.happened(store, sent=((store.epoch, batch.seq), batch.payload))

    def deliver(self, store: Store, batch: Batch) -> None:
        """The IOC acknowledges a batch."""
        self.happened(store, delivered=(store.epoch, batch.seq))
        store.mark_delivered([(batch.seq, batch.seq)])

    def now(self) -> World:
        """The world as it is now."""
        return self._world_at(len(self.log.operations))

    def cut(self, operation: int, survive: Survive, seed: int) -> World:
        """Cut the power when so many operations were done on the card; gives the world as it is then.

        The RAM disk is empty, the next boot begins. The same run may be cut again, at another operation.
        """
        world = self._world_at(operation)
        self.generation += 1
        self.log.state_after(operation, survive, seed, self.data)
        world.lost.update(world.young)
        world.young, world.good_ns = {}, 0
        self.read_at_ns, self.sent, self.order = dict.fromkeys(world.read, 0), dict(world.sent), []
        self.boot()
        return world

    async def check(self, store: Store, world: World) -> None:
        """After a cut: what had to survive did, once; nothing has changed; what is missing is declared."""
        stored = await self.check_runs_on(store)
        missing = world.read - set(stored) - world.arrived() - world.lost
        assert len(missing) <= store.account().lost.get("outbox_full", 0), missing
        await self._check_declared(store, world)

    async def check_runs_on(self, store: Store) -> list[int]:
        """What is read from now on is there, each reading once, and the account is right; gives what is stored."""
        self.clock.clock_state = ClockState.SYNC
        fresh = self.read(store, 3)
        await self.live(store, 2.0)
        assert await store.flush()
        await self.salvaged(store)
        stored = await self.stored(store)
        assert len(stored) == len(set(stored)), "a reading is in two undelivered batches"
        assert set(fresh) <= set(stored)
        await self.check_account(store)
        return stored

    async def _check_declared(self, store: Store, world: World) -> None:
        """Every number of this epoch was acknowledged, or waits, or is declared lost."""
        known = RangeSet((seq, seq) for epoch, seq in world.delivered if epoch == store.epoch)
        for batch in await self.undelivered(store):
            known.add(batch.seq)
        for payload in self.sent.values():
            for first, last in decode(payload).get("event", {}).get("ranges", ()):
                known.add(first, last)
        for loss in store._parts.ledger.undeclared:
            for first, last in loss.ranges:
                known.add(first, last)
        missing = known.missing(1, store.high)
        assert not missing

    def _world_at(self, operation: int) -> World:
        world = self.world.copy()
        for fact in takewhile(lambda fact: fact.operation <= operation, self.history):
            fact.happen(world, self.kept_s)
        return world

    def happened(self, store: Store, **what: object) -> None:
        """Date what the world outside sees now; nothing but the time where there is no `what`."""
        if self.inserted:
            now = (len(self.log.operations), self.clock.mono_ns(), store.epoch, self.faults == Faults())
            self.history.append(Fact(*now, **what))
