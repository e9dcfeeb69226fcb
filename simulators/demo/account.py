"""The account of a demonstration: what was read, what arrived, what was lost, and whether any value is wrong.

A value is wrong where the IOC has it and the device never served it within `CLOSE_MS` of the reading's time.
"""

import hashlib
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from simulators.ioc.report import Report
from simulators.world import Served

CLOSE_MS = 5_000
MAX_SHOWN = 10
_READINGS = """
SELECT device, point, time_ms, value FROM reading WHERE value <> 'null' AND device <> '_gateway' ORDER BY time_ms
"""

Key = tuple[str, str, bool, Any]


class AgentAccount(msgspec.Struct, frozen=True):
    """The agent's own account, in readings, as it prints it when it stops."""

    accepted: int = 0
    delivered: int = 0
    stored: int = 0
    lost: dict[str, int] = {}


class Account(msgspec.Struct, frozen=True):
    """Everything that the demonstration ends with. `checked` readings had a value; `wrong` ones were never served.

    `pictures` are those at the IOC; `wrong_pictures` of them no camera took.
    """

    read: int
    delivered: int
    at_ioc: int
    stored: int
    lost: int
    duplicates: int
    changed: int
    checked: int
    wrong: int
    latency_p50_ms: int | None
    latency_p99_ms: int | None
    examples: list[str]
    pictures: int = 0
    wrong_pictures: int = 0

    @property
    def good(self) -> bool:
        """read = delivered = at the IOC, and nothing was lost, wrong or changed."""
        everything = self.read == self.delivered == self.at_ioc > 0
        return (
            everything
            and self.checked > 0
            and not (self.lost or self.wrong or self.changed or self.stored or self.wrong_pictures)
        )


def account(agent: AgentAccount, ioc: Report, truth: Path, database: Path, pictures: Path) -> Account:
    """Put the three accounts side by side: the agent's, the IOC's, and what the devices served."""
    rows = _rows(database)
    wrong = wrong_values(rows, read_truth(truth))
    taken = {one.value for one in read_truth(truth) if one.point == "picture"}
    arrived = [hashlib.sha256(file.read_bytes()).hexdigest() for file in pictures.glob("*/*/*.jpg")]
    return Account(
        read=agent.accepted,
        delivered=agent.delivered,
        at_ioc=ioc.readings,
        stored=agent.stored,
        lost=sum(agent.lost.values()) + ioc.lost,
        duplicates=ioc.duplicates,
        changed=sum(gateway.changed for gateway in ioc.gateways),
        checked=len(rows),
        wrong=len(wrong),
        latency_p50_ms=ioc.latency_p50_ms,
        latency_p99_ms=ioc.latency_p99_ms,
        examples=wrong[:MAX_SHOWN],
        pictures=len(arrived),
        wrong_pictures=sum(one not in taken for one in arrived),
    )


def as_text(result: Account) -> str:
    """The account for a person."""
    lines = [
        f"read by the agent     {result.read:>8}",
        f"delivered             {result.delivered:>8}",
        f"at the IOC            {result.at_ioc:>8}",
        f"still stored          {result.stored:>8}",
        f"lost                  {result.lost:>8}",
        f"wrong                 {result.wrong:>8}   of {result.checked} values compared with what the devices served",
        f"pictures at the IOC   {result.pictures:>8}   {result.wrong_pictures} of them not what the camera took",
        f"duplicate messages    {result.duplicates:>8}   recognised, stored once",
        f"latency, live data    p50 {result.latency_p50_ms} ms, p99 {result.latency_p99_ms} ms",
        *(f"  wrong: {example}" for example in result.examples),
        "OK: read = delivered, 0 lost, 0 wrong" if result.good else "FAILED: the account does not balance",
    ]
    return "\n".join(lines)


def read_truth(file: Path) -> Iterable[Served]:
    """What the devices served, from `oc-sim run --truth FILE`."""
    decoder = msgspec.json.Decoder(Served)
    with file.open("rb") as lines:
        for line in lines:
            yield decoder.decode(line)


def wrong_values(rows: Iterable[tuple[str, str, int, Any]], truth: Iterable[Served]) -> list[str]:
    """The readings (device, point, time_ms, value) that nobody served near their time, in words."""
    served: dict[Key, list[int]] = {}
    for one in truth:
        served.setdefault(_key(one.device, one.point, one.value), []).append(one.time_ms)
    for times in served.values():
        times.sort()
    return [
        f"{device}.{point} = {value!r} at {time_ms}"
        for device, point, time_ms, value in rows
        if not _near(served.get(_key(device, point, value), ()), time_ms)
    ]


def _near(times: Any, time_ms: int) -> bool:
    index = bisect_left(times, time_ms - CLOSE_MS)
    return index < len(times) and times[index] <= time_ms + CLOSE_MS


def _key(device: str, point: str, value: Any) -> Key:
    """True is not 1, but 1 is 1.0: JSON does not tell them apart."""
    return device, point, isinstance(value, bool), value


def _rows(database: Path) -> list[tuple[str, str, int, Any]]:
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return [(*key, msgspec.json.decode(value)) for *key, value in db.execute(_READINGS)]
    finally:
        db.close()
