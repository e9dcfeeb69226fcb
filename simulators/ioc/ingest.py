"""The IOC without its network: a topic and a payload in, rows and ledgers changed; acks and replays out.

Promises: what an ack names is committed; a malformed message is counted by reason and changes nothing; a message
under another gateway's name is refused; a new epoch of a known gateway is a notice to the operator; a picture
that does not say why it was taken and how long it may be kept is refused.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from simulators.ioc.db import Database
from simulators.ioc.messages import (
    LANES,
    Malformed,
    Sealed,
    Snapshot,
    Value,
    lacks,
    parse_blob,
    parse_retained,
    parse_sealed,
    parse_topic,
    plain,
)
from simulators.ioc.pictures import Pictures
from simulators.ioc.rules import Ledger, SeqRange
from simulators.latencies import Latencies

MAX_GATEWAYS = 100_000
MAX_NOTICES = 100
SWEEP_EVERY_S = 3_600.0


@dataclass
class Gateway:
    """What the IOC knows of one gateway, beside its readings."""

    ledgers: dict[str, Ledger] = field(default_factory=dict)
    unacked: set[str] = field(default_factory=set)
    online: bool | None = None
    readings: int = 0
    changed: int = 0
    lanes: Counter[str] = field(default_factory=Counter)
    declared: dict[str, list[SeqRange]] = field(default_factory=dict)
    declared_readings: int = 0
    newest: dict[str, dict[str, Value]] = field(default_factory=dict)
    newest_ms: dict[str, int] = field(default_factory=dict)


class Ingest:
    """Every message passes here once, in one thread."""

    def __init__(
        self,
        db: Database,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        mono_s: Callable[[], float] = time.monotonic,
        pictures: Pictures | None = None,
    ) -> None:
        self.gateways: dict[str, Gateway] = {}
        self.malformed: Counter[str] = Counter()
        self.last_malformed = ""
        self.notices: deque[str] = deque(maxlen=MAX_NOTICES)
        self.latencies = Latencies()
        """From the wire to the commit, of live data, in milliseconds."""
        self.pictures = pictures
        self.pictures_not_kept = 0
        self._db = db
        self._wall_ms = wall_ms
        self._mono_s = mono_s
        self._swept_s = mono_s()
        self._rebuild()

    def take(self, topic: str, payload: bytes) -> None:
        """One message from the broker. Never raises for what is in it; raises `sqlite3.Error` and `OSError`."""
        try:
            name, lane = parse_topic(topic)
            if lane in LANES:
                self._sealed(lane, parse_sealed(name, lane, payload))
            elif lane.startswith("blob/"):
                self._blob(name, lane, payload)
            else:
                self._retained(topic, name, lane, payload)
        except Malformed as err:
            self.malformed[err.reason] += 1
            self.last_malformed = f"{topic[:100]}: {err}"[:300]

    def tidy(self) -> None:
        """Call it often: once an hour it deletes the pictures that may not be kept any longer."""
        if self.pictures is not None and self._mono_s() - self._swept_s >= SWEEP_EVERY_S:
            self._swept_s = self._mono_s()
            self.pictures.sweep()

    def acks(self) -> Iterator[tuple[str, bytes]]:
        """(topic, payload) for every epoch with something new; each is given once."""
        for name, gateway in self.gateways.items():
            for epoch in sorted(gateway.unacked):
                ledger = gateway.ledgers[epoch]
                ack = {"v": 1, "epoch": epoch, "cumulative": ledger.cumulative, "selective": ledger.selective()}
                yield f"ocg/v1/{name}/down/ack", msgspec.json.encode(ack | {"time_ms": self._wall_ms()})
            gateway.unacked.clear()

    def replays(self) -> Iterator[tuple[str, bytes]]:
        """(topic, payload) for every gateway whose gaps are due."""
        now_s = self._mono_s()
        for name, gateway in self.gateways.items():
            for epoch, ledger in gateway.ledgers.items():
                ranges = ledger.to_ask(now_s)
                if ranges:
                    yield f"ocg/v1/{name}/down/replay", self._replay(epoch, ranges)

    def _replay(self, epoch: str, ranges: list[SeqRange]) -> bytes:
        now_ms = self._wall_ms()
        name = {"v": 1, "id": f"{now_ms}-{ranges[0][0]}", "time_ms": now_ms}
        return msgspec.json.encode(name | {"epoch": epoch, "ranges": ranges})

    def _sealed(self, lane: str, message: Sealed) -> None:
        if message.snapshot is not None:
            self._expect(message, message.snapshot)
        received_ms = self._wall_ms()
        stored = self._db.store(lane, message, received_ms)
        gateway = self._gateway(message.gateway)
        self._ledger(gateway, message.gateway, message.epoch).receive(message.seq, message.low, self._mono_s())
        gateway.unacked.add(message.epoch)
        if stored.new:
            gateway.lanes[lane] += 1
            gateway.readings += stored.readings
            gateway.changed += stored.changed
            self.pictures_not_kept += message.snapshot is not None and self.pictures is None
            self._note(gateway, lane, message, received_ms)

    def _expect(self, message: Sealed, snapshot: Snapshot) -> None:
        """Before the commit, and for a duplicate too: what an ack names is on the disk."""
        lacking = lacks(snapshot)
        if lacking or snapshot.privacy is None or snapshot.privacy.keep_days is None:
            notice = f"{message.gateway}: picture {snapshot.id} of {snapshot.device} is refused: no {lacking}"
            if notice not in self.notices:
                self.notices.append(notice)
            if self.pictures is not None:
                self.pictures.refuse(message.gateway, snapshot.id)
            raise Malformed("privacy", notice)
        if self.pictures is not None:
            sure_of_time = message.clock != "unsync"
            self.pictures.expect(message.gateway, snapshot, snapshot.privacy.keep_days, sure_of_time=sure_of_time)

    def _blob(self, name: str, lane: str, payload: bytes) -> None:
        picture, part = parse_blob(lane)
        if self.pictures is not None:
            self._gateway(name)
            self.pictures.part(name, picture, part, payload)

    def _note(self, gateway: Gateway, lane: str, message: Sealed, received_ms: int) -> None:
        for scan in message.scans or ():
            if lane == "data":
                self.latencies.add(received_ms - scan.time_ms, len(scan.values))
            if scan.time_ms >= gateway.newest_ms.get(scan.device, 0):
                gateway.newest_ms[scan.device] = scan.time_ms
                gateway.newest.setdefault(scan.device, {}).update(scan.values)
        event = message.event
        if event is not None and event.type == "data.lost":
            gateway.declared.setdefault(message.epoch, []).extend(event.ranges)
            gateway.declared_readings += event.readings or 0

    def _retained(self, topic: str, name: str, lane: str, payload: bytes) -> None:
        if lane.partition("/")[0] not in ("birth", "status", "health"):
            raise Malformed("topic", topic[:100])
        if payload:
            message = parse_retained(name, payload)
            if lane == "status":
                self._gateway(name).online = message.online
        self._db.keep_retained(topic, plain(payload) if payload else "", self._wall_ms())

    def _gateway(self, name: str) -> Gateway:
        if name not in self.gateways and len(self.gateways) >= MAX_GATEWAYS:
            raise Malformed("gateways", f"more than {MAX_GATEWAYS}")
        return self.gateways.setdefault(name, Gateway())

    def _ledger(self, gateway: Gateway, name: str, epoch: str) -> Ledger:
        if epoch not in gateway.ledgers:
            if gateway.ledgers:
                self.notices.append(f"{name}: new epoch {epoch}: its card was replaced, or its store was lost")
            gateway.ledgers[epoch] = Ledger()
        return gateway.ledgers[epoch]

    def _rebuild(self) -> None:
        """Take up a database that was used before; gaps count as seen now."""
        for name, epoch, seq, low, _ in self._db.history():
            self._ledger(self._gateway(name), name, epoch).receive(seq, low, self._mono_s())
            self._gateway(name).unacked.add(epoch)
        for name, readings, changed in self._db.counts():
            self._gateway(name).readings = readings
            self._gateway(name).changed = changed
        self.notices.clear()
