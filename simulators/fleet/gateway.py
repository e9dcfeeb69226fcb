"""One simulated gateway, without its network: what it reads, says, hears and keeps. Pure.

Promises: `seq` has no holes that are not declared; a batch never changes; every reading is delivered, kept, or lost by
a reason that the IOC is told. Time and epoch come from the caller.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from simulators.fleet import payloads
from simulators.fleet.delivery import Delivery
from simulators.fleet.device import COUNTER, DEVICE, Device, points_of
from simulators.fleet.faults import ON_THE_WIRE, FaultName, MessageFaults, spoiled
from simulators.fleet.figures import Figures
from simulators.fleet.lanes import Lanes, Sending
from simulators.fleet.outbox import Batch, Outbox
from simulators.fleet.pace import Bucket
from simulators.fleet.payloads import Ack, Command, Identity, IocState, ReplayRequest, Result, Scan, Status, heard
from simulators.fleet.presence import Presence
from simulators.fleet.replays import Replays
from simulators.fleet.sealing import SKEW_MS, Now, Sealer
from simulators.fleet.trust import Trust, Wanted
from simulators.mqtt.address import Protocol

QUIET_S = 600.0
REMEMBERED_COMMANDS = 32


@dataclass(frozen=True)
class Plan:
    """What all gateways of a fleet have in common. `room`: how many batches that are not delivered one may keep."""

    rate: float = 1.0
    points: int = 10
    room: int = 3_600
    backfill_per_s: float = 500.0
    ack: Wanted = "auto"
    protocol: Protocol = "5"
    faults: MessageFaults = field(default_factory=MessageFaults)
    seed: int = 0
    oc: str = "oc-sim"
    version: str = "0"


class Gateway:
    """One gateway; the caller moves what `take` gives to a broker, and tells what came back."""

    def __init__(self, name: str, epoch: str, plan: Plan, figures: Figures, clock: Callable[[], Now]) -> None:
        self.name = name
        self.epoch = epoch
        self.online = False
        self.outbox = Outbox(plan.room)
        self.device = Device(plan.seed, name, plan.points)
        points = points_of(plan.points, max(1, round(1_000 / plan.rate)))
        who = Identity(name, epoch, 1, payloads.config_of(name, plan.oc, points))
        self.presence = Presence(who, plan.oc, plan.version, DEVICE, points)
        self.random = Random(f"{plan.seed}/{name}")
        self._sealer = Sealer(who, self.outbox, clock, self.random)
        self._begun_s = clock().mono_s
        self._replays = Replays(epoch, self.outbox.kept, self._answer)
        self.lanes = Lanes(Bucket(plan.backfill_per_s, self._begun_s), self._replays)
        self._trust = Trust(plan.ack, plan.protocol)
        self._delivery = Delivery(self.outbox, self.lanes, self._replays, self._trust, figures, self._dead)
        self._plan = plan
        self._figures = figures
        self._clock = clock
        self._newest_ms = 0
        self._held: Sending | None = None
        self._commands: deque[str] = deque(maxlen=REMEMBERED_COMMANDS)
        self._stopping = False

    @property
    def seq(self) -> int:
        """The highest number that was used."""
        return self._sealer.seq

    @property
    def backlog(self) -> int:
        """How many batches wait to be sent, or to be sent again."""
        return self.lanes.backlog if self.online else len(self.outbox.undelivered)

    @property
    def settled(self) -> bool:
        """Everything is delivered or lost, and nothing is on its way."""
        return not self.outbox.undelivered and self.lanes.empty and self._replays.idle

    # What it reads

    def read(self) -> None:
        """One reading of the device, sealed at once, with the fault that the seed draws."""
        now = self._clock()
        fault = self._plan.faults.draw(self.random)
        if fault in ON_THE_WIRE and (not self.online or self._trust.ioc_offline):
            fault = None
        time_ms = self._newest_ms = max(now.wall_ms, self._newest_ms + 1)
        values = self.device.read(now.mono_s - self._begun_s)
        quality: dict[str, str] = {}
        if fault == "no_answer":
            quality = dict.fromkeys((point for point in values if point != COUNTER), "com")
            values = values | dict.fromkeys(quality)
        batch = self._sealer.scan(Scan(DEVICE, time_ms, values, quality), unsync=fault == "unsync")
        if fault is not None:
            self._with_fault(batch, fault)
        else:
            self._queue(batch)

    def tell(self, kind: str, severity: payloads.Severity, text: str, **more: Any) -> None:
        """An event of the gateway."""
        self._queue(self._sealer.event(kind, severity, text, **more))

    def release(self) -> None:
        """No reading follows: send what is held back for the next one."""
        self._put()

    def _with_fault(self, batch: Batch, fault: FaultName) -> None:
        """Queue a reading, and what its fault does beside it. Faults on the wire are counted when they are there."""
        true = Sending("data", batch.payload, batch=batch)
        beside = Sending("data", batch.payload, fault=fault)
        if fault == "doubled":
            self._put(true, beside)
        elif fault == "reorder":
            self._put()
            self._held = Sending("data", batch.payload, batch=batch, fault=fault)
        elif fault in ON_THE_WIRE:
            beside.payload = spoiled(fault, payloads.plain(batch.payload))
            self._put(beside, true)
        elif fault == "gap":
            self._figures.faults[fault] += 1
            self._give_up([batch], "simulated", "left out on purpose")
        else:
            self._figures.faults[fault] += fault != "lost_ack"
            batch.deaf = fault == "lost_ack"
            self._queue(batch)
            if fault == "unsync":
                ranges = [(batch.seq, batch.seq)]
                self.tell("clock.step", "minor", "the clock was set", ranges=ranges, offset_ms=SKEW_MS)

    def _queue(self, batch: Batch) -> None:
        self._put(Sending(batch.lane, batch.payload, batch=batch))

    def _put(self, *sendings: Sending) -> None:
        """Live where there is a connection, and then what was held back; else it is late when there is one again."""
        held, self._held = self._held, None
        if self.online:
            for sending in (*sendings, *((held,) if held is not None else ())):
                self.lanes.put_live(sending)

    def _give_up(self, batches: Sequence[Batch], reason: str, text: str) -> None:
        self.outbox.lose(batches, reason)
        self._queue(self._sealer.loss(batches, reason, text))

    def _dead(self, batch: Batch) -> None:
        self._give_up([batch], "dead", "refused by the broker for what it is")

    def _answer(self, result: Result) -> None:
        now_ms = self._clock().wall_ms
        result = Result(result.id, now_ms, result.ok, result.error, result.readings, result.ranges, result.missing)
        self._queue(self._sealer.result(result))

    def say_low(self) -> None:
        """Seal figures of its own, so that `low` moves on: what is lost below it is then known to be lost."""
        own = Scan("_gateway", self._clock().wall_ms, {"undelivered": len(self.outbox.undelivered)})
        self._queue(self._sealer.scan(own))

    # Its connection

    def will(self) -> bytes:
        """What the broker shall say when the next connection ends without a word."""
        return self.presence.will(self._clock().wall_ms)

    def connected(self, receive_maximum: int) -> None:
        """A new connection: say who is there, then send everything that is not delivered."""
        now = self._clock()
        self.presence.connection += 1
        self.online = True
        self._held = None
        self._delivery.rewind(now.mono_s)
        self.lanes.open(receive_maximum, self.outbox.undelivered.values())
        for birth in self.presence.births(now.wall_ms):
            self.lanes.put_retained(birth)
        self._say_online()

    def disconnected(self) -> None:
        self.online = False

    def stop(self) -> None:
        """Say goodbye."""
        self._stopping = True
        self.lanes.put_retained(self.presence.status(self._clock().wall_ms, online=False))

    def health(self) -> bytes:
        """Its own figures."""
        return self.presence.health(self.outbox, self.seq, self._begun_s, self.lanes.forbidden, self._clock())

    def take(self) -> Sending | None:
        """What is published now."""
        if not self.online:
            return None
        now_s = self._clock().mono_s
        sending = self.lanes.take(now_s, only_retained=self._trust.ioc_offline)
        if sending is not None:
            self._figures.published += 1
            if sending.fault:
                self._figures.faults[sending.fault] += 1
            if sending.batch is not None:
                sending.batch.in_flight = True
                sending.batch.sent_s = sending.batch.sent_s or now_s
        return sending

    def landed(self, sending: Sending, code: int) -> None:
        """The broker has answered with this reason code; 0: it has the message."""
        self._delivery.landed(sending, code, self._clock().mono_s)

    def tick(self) -> None:
        """Call it about once a second."""
        now = self._clock()
        self._delivery.tick(now.mono_s)
        if full := self.outbox.overflow():
            self._give_up(full, "outbox_limit", "no more room")
        if now.mono_s - self._sealer.sealed_s >= QUIET_S:
            self.say_low()

    # What it hears

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """One message, by what stands behind the gateway's name; `state` is the IOC's."""
        now_s = self._clock().mono_s
        if topic == "down/ack" and (ack := heard(Ack, payload)):
            self._delivery.acked(ack, self.epoch, self.seq, now_s)
        elif topic == "state" and (state := heard(IocState, payload)):
            self.lanes.bucket.per_s = min(self._plan.backfill_per_s, state.backfill_readings_per_s or float("inf"))
            self._delivery.ioc_said(state, now_s)
        elif topic == "down/replay" and (request := heard(ReplayRequest, payload)):
            self._replays.ask(request)
        elif topic == "down/cmd":
            self._refuse(heard(Command, payload))
        elif topic == "up/status" and (status := heard(Status, payload)):
            self._hear_of_itself(status, retained=retained)
        else:
            self._figures.not_understood += 1

    def _refuse(self, command: Command | None) -> None:
        """The birth names no commands, so there is none that is known. The same command twice has one result."""
        if command is not None:
            if command.id in self._commands:
                return
            self._commands.append(command.id)
            expired = command.expires_ms is not None and command.expires_ms <= self._clock().wall_ms
            self._answer(Result(command.id, 0, ok=False, error="expired" if expired else "unknown command"))
        self.tell("security.bad_command", "minor", "a command that this gateway does not know")

    def _hear_of_itself(self, status: Status, *, retained: bool) -> None:
        """A late Will is gainsaid; somebody else under this name is told."""
        mine = (status.epoch, status.connection) == (self.epoch, self.presence.connection)
        if not status.online and not self._stopping:
            self._say_online()
        elif status.online and not mine and not retained:
            self.tell("security.takeover", "critical", "another client says that it is this gateway")

    def _say_online(self) -> None:
        self.lanes.put_retained(self.presence.status(self._clock().wall_ms, online=True))
