"""What was read, what passed, what the IOC has: and whether all of it agrees."""

import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final

from store_lab import decode

from agent.model import Account, Event, Scan
from agent.store import Store
from drivers.api import Reading
from simulators.ioc.report import Report
from simulators.proxy.faults import Direction
from simulators.proxy.packets import Publish
from simulators.testing import BenchIoc

GATEWAY: Final = "dng-hc-01"
COUNTED: Final = tuple(f"ocg/v1/{GATEWAY}/up/{lane}" for lane in ("data", "backfill", "event", "result"))
DEVICES: Final = 4
EVENT_EACH: Final = 97


class Truth:
    """Everything that was read: each value is known, by device, point and time.

    Reading `n` is its own number, `check` its complement; some scans have a long `text`, so that batches are cut in
    the middle. Time goes on by more than a millisecond between two readings of a device.
    """

    def __init__(self, random: Random, mono_ns: Callable[[], int], time_ms: Callable[[int], int]) -> None:
        self.values: dict[tuple[str, str, int], Any] = {}
        self.events: list[str] = []
        self._random = random
        self._mono_ns = mono_ns
        self._time_ms = time_ms
        self._number = 0

    def read(self, store: Store) -> None:
        """Read the next scan, and now and then an event."""
        self._number += 1
        now_ns, device = self._mono_ns(), f"c{self._number % DEVICES}"
        values: dict[str, Any] = {"n": self._number, "check": self._number ^ 0xFFFFFFFF}
        if self._random.random() < 0.2:
            values["text"] = self._random.randbytes(self._random.randrange(1, 500)).hex()
        store.append(Scan(device, now_ns, [Reading(point, value, now_ns) for point, value in values.items()]))
        time_ms = self._time_ms(now_ns)
        assert (device, "n", time_ms) not in self.values
        self.values.update({(device, point, time_ms): value for point, value in values.items()})
        if self._number % EVENT_EACH == 0:
            self._event(store, now_ns)

    def _event(self, store: Store, now_ns: int) -> None:
        name, message = f"event {self._number}", {"en": "No reply", "vi": "Mất liên lạc"}
        store.append_event(
            Event(type="device.down", severity="minor", mono_ns=now_ns, message=message, device="c1", reason=name)
        )
        self.events.append(name)


class Arrivals:
    """What passed one place of the way, by epoch and number; `changed` are those that came again with other bytes.

    It passes in the thread of the way.
    """

    def __init__(self, direction: Direction) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        self.changed: list[tuple[str, int]] = []
        self._direction = direction
        self._payloads: dict[tuple[str, int], bytes] = {}

    def watch(self, direction: Direction, message: Publish) -> None:
        if direction == self._direction and message.topic in COUNTED:
            said = decode(message.payload)
            key = (said["epoch"], said["seq"])
            self.counts[key] += 1
            if self._payloads.setdefault(key, message.payload) != message.payload:
                self.changed.append(key)

    @property
    def again(self) -> int:
        """How many messages were not the first with their number."""
        return self.counts.total() - len(self.counts)


class IocAccount:
    """What the IOC has in its database, and what it said last."""

    def __init__(self, ioc: BenchIoc, report: Report) -> None:
        self._ioc = ioc
        self._report = report
        [self._gateway] = report.gateways
        [self._epoch] = self._gateway.epochs

    def check_numbers(self, store: Store, *, lost: bool) -> None:
        """All numbers have arrived, and nothing that the IOC did not understand."""
        epoch = self._epoch
        assert (epoch.epoch, epoch.cumulative, epoch.gaps) == (store.epoch, store.high, [])
        assert lost or epoch.lost == 0
        assert (self._report.malformed, self._gateway.changed) == ({}, 0)

    def check_readings(self, truth: Truth, account: Account) -> None:
        """Each value that was read is there once and right; as many may be missing as are declared lost."""
        lost = sum(account.lost.values())
        rows = self._ioc.query("SELECT device, point, time_ms, value, quality FROM reading ORDER BY time_ms")
        found = {(device, point, time_ms): json.loads(value) for device, point, time_ms, value, _ in rows}
        wrong = {key: value for key, value in found.items() if truth.values.get(key) != value}
        missing = sorted(set(truth.values) - set(found), key=lambda key: key[2])
        assert not wrong, f"{len(wrong)} wrong, as {sorted(wrong.items())[:3]}"
        assert len(missing) <= lost, f"{len(missing)} missing, {lost} declared lost, as {missing[:3]}"
        assert not any(quality for *_, quality in rows)
        assert account.accepted == len(truth.values)

    def check_events(self, truth: Truth, *, lost: bool) -> None:
        """Each event is there once."""
        found = Counter(event["reason"] for event in self.events("device.down"))
        assert set(found) <= set(truth.events)
        assert lost or len(found) == len(truth.events), "an event is missing"
        assert all(count == 1 for count in found.values()), "an event came twice"

    def events(self, type_: str) -> list[dict[str, Any]]:
        """The events of one type."""
        return [
            json.loads(body)
            for (body,) in self._ioc.query(f"SELECT body FROM event WHERE type = '{type_}' ORDER BY id")
        ]

    def results(self) -> list[dict[str, Any]]:
        """What became of the replays that were asked for, in the order of the answers."""
        return [json.loads(body) for (body,) in self._ioc.query("SELECT body FROM result ORDER BY message")]

    def check_duplicates(self, arrived: Arrivals, *, uncut: bool) -> None:
        """What reached the IOC more than once is one message, and one duplicate for each time it came again.

        `uncut`: its own connection never ended; else what was on its way to it may have been lost there.
        """
        rows = messages(self._ioc)
        assert rows <= arrived.counts
        assert not uncut or rows == arrived.counts
        assert self._epoch.received == len(rows)
        assert self._epoch.duplicates == rows.total() - len(rows)


def messages(ioc: BenchIoc) -> Counter[tuple[str, int]]:
    """How often each message came, as the IOC has counted: one row, and one for each time that it came again."""
    once = [(epoch, seq) for epoch, seq in ioc.query("SELECT epoch, seq FROM message")]
    assert len(set(once)) == len(once)
    return Counter([*once, *((epoch, seq) for epoch, seq in ioc.query("SELECT epoch, seq FROM duplicate"))])
