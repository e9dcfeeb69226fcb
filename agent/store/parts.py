"""What the parts of the store share: its configuration, its files, its ledger and its clock."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from agent.clock import NS_PER_S, Clock
from agent.model import BatchKind, Event, Result, Snapshot
from agent.settings import OutboxSettings
from agent.store.disk import Disk
from agent.store.journal import Journal
from agent.store.ledger import Ledger
from agent.store.losses import Loss, merged
from agent.store.numbers import Numbers
from agent.store.outbox import Outbox
from agent.store.records import KINDS, Anchor, RecordType, pack_anchor, pack_segment_head
from agent.store.sealing import Fragment, event_fragment, in_parts, result_fragment, snapshot_fragment
from agent.store.timekeeper import Timekeeper, anchor_now
from agent.supervise import Episode
from agent.waking import Alarm

log = logging.getLogger(__name__)


PACKET_ROOM_BYTES: Final = 128
"""What an uplink may need beside the payload: the longest topic of the contract has 82 bytes, a PUBLISH 18 more."""
MIN_PAYLOAD_BYTES: Final = 1_024
"""No batch is sealed shorter than this for anyone: the envelope alone has 300 bytes."""


class StoreError(Exception):
    """The store cannot be opened; the message says which file, why, and what to do."""


FIRST_BATCH_S: Final = 0.1
"""Somebody may be waiting to see them."""


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the store is told. `config_hash`: 8 hex digits of the birth that batches belong to.

    `first_batch_s`: the first readings after a start wait no longer than that for a whole batch.
    """

    gateway: str
    data_dir: Path
    runtime_dir: Path
    outbox: OutboxSettings
    hold_unsynced_s: float
    config_hash: str
    first_batch_s: float = FIRST_BATCH_S
    max_payload_bytes: int = 60 * 1024 - PACKET_ROOM_BYTES

    @property
    def held_s(self) -> float:
        """How long what is read may wait before it is on the card: so much a power cut may cost."""
        return self.outbox.commit_interval_s or self.outbox.batch_interval_s


def set_aside_event(name: str, reason: str, mono_ns: int) -> Event:
    """The outbox was set aside under `name`; what can be read of it is being brought over."""
    message = {
        "vi": f"Tệp lưu trữ không dùng được nữa, đã đổi tên: {name}; đang cứu dữ liệu",
        "en": f"The outbox cannot be used any more, it is now {name}; what can be read is being saved",
    }
    return Event(type="store.corrupt", severity="critical", mono_ns=mono_ns, message=message, reason=reason)


@dataclass(slots=True, kw_only=True)
class Parts:
    """The open store, without behaviour of its own but writing to the journal.

    `rows`: whoever gets what is sealed now reads rows.
    """

    config: StoreConfig
    clock: Clock
    random: Random
    journal: Journal
    ledger: Ledger
    keeper: Timekeeper
    outbox: Outbox
    numbers: Numbers
    disk: Disk
    ram_disk: bool
    journal_episode: Episode
    config_hash: str
    max_payload_bytes: int
    seal_wake: Alarm = field(default_factory=Alarm)
    commit_wake: Alarm = field(default_factory=Alarm)
    salvage_wake: asyncio.Event = field(default_factory=asyncio.Event)
    checkpoint_asked: bool = False
    damage_seen: bool = False
    rows: bool = False

    def begin_segment(self) -> None:
        """Write what every segment begins with; raises OSError."""
        now_ns = self.clock.mono_ns()
        self.journal.write(RecordType.SEGMENT, 0, now_ns, pack_segment_head(self.ledger.epoch, self.ledger.boot_id))
        if self.keeper.step_ms() is None and not self.keeper.state_changed():
            self.anchor_clock()
        else:
            self._write_anchor(self.keeper.anchor)  # what has changed is yet to be told
        self.journal.write(RecordType.CONNECTION, self.ledger.connection, now_ns, b"")

    def anchor_clock(self) -> None:
        """Write down what the wall clock says now; raises OSError."""
        anchor = anchor_now(self.clock)
        self._write_anchor(anchor)
        self.ledger.anchors[self.ledger.boot_id] = self.keeper.anchor = anchor

    def note(self, type_: RecordType, count: int, body: bytes) -> None:
        """Write a record that only spares work later; where the RAM disk is full, do without."""
        try:
            self.journal.write(type_, count, self.clock.mono_ns(), body)
        except OSError as err:
            self.journal_failed(err)

    def append_event(self, event: Event) -> None:
        """Write an event to the journal and wake the sealer."""
        for part in in_parts(event):
            if not self._append_single("event", part.mono_ns, event_fragment(part)):
                log.warning("event %s is lost: the journal cannot be written", part.type)

    def append_snapshot(self, snapshot: Snapshot) -> bool:
        """Write what is known of a picture to the journal; False where that cannot be written."""
        return self._append_single("snapshot", snapshot.mono_ns, snapshot_fragment(snapshot))

    def append_result(self, result: Result) -> None:
        """Write what became of a command to the journal."""
        if not self._append_single("result", result.mono_ns, result_fragment(result)):
            log.warning("the result of %s is lost: the journal cannot be written", result.id)

    def _write_anchor(self, anchor: Anchor) -> None:
        self.journal.write(RecordType.ANCHOR, 0, anchor.mono_ns, pack_anchor(anchor))

    def _append_single(self, kind: BatchKind, mono_ns: int, fragment: Fragment) -> bool:
        try:
            self.journal.write(RecordType.EVENT, KINDS.index(kind), mono_ns, fragment.body)
        except OSError as err:
            self.journal_failed(err)
            return False
        self.ledger.accept_event(mono_ns)
        self.seal_wake.set()
        return True

    def declare_later(self, loss: Loss) -> None:
        """Note a loss that the IOC is to be told of."""
        self.ledger.undeclared = merged([*self.ledger.undeclared, loss])
        self.commit_wake.set()

    def journal_failed(self, err: OSError) -> None:
        """The RAM disk is full or gone: ask for a checkpoint, which makes room."""
        self.journal_episode.failed(err)
        self.checkpoint_asked = True
        self.commit_wake.set()

    def damaged(self, err: Exception) -> None:
        """The outbox file cannot be read: ask for a new one."""
        log.error("%s: %s", self.outbox.path, err)
        self.damage_seen = True
        self.commit_wake.set()

    async def wait(self, wake: Alarm, due_ns: int | None) -> bool:
        """Sleep until `due_ns`, or until woken; True where woken."""
        in_time = await wake.wait(self._until_s(due_ns))
        wake.clear()
        return in_time

    def move(self, wake: Alarm, due_ns: int | None) -> None:
        """Whoever sleeps there shall sleep until `due_ns`."""
        wake.move(self._until_s(due_ns))

    def _until_s(self, due_ns: int | None) -> float | None:
        return None if due_ns is None else max(0, due_ns - self.clock.mono_ns()) / NS_PER_S
