"""What one gateway says of itself: births, status, Will and health. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from simulators.fleet import payloads
from simulators.fleet.lanes import Sending
from simulators.fleet.outbox import Outbox
from simulators.fleet.payloads import Identity, Point
from simulators.fleet.sealing import Now


class Presence:
    """`connection` counts the connections of this process."""

    def __init__(self, who: Identity, oc: str, version: str, device: str, points: Sequence[Point]) -> None:
        self.connection = 0
        self._who = who
        self._oc = oc
        self._version = version
        self._device = device
        self._points = points

    def births(self, ms: int) -> Iterator[Sending]:
        """The gateway and its device."""
        birth = payloads.birth(self._who, self._oc, self._version, [self._device], ms)
        yield Sending("birth", birth, retain=True)
        device = payloads.device_birth(self._who, self._device, self._points, ms)
        yield Sending(f"birth/{self._device}", device, retain=True)

    def status(self, ms: int, *, online: bool) -> Sending:
        """It is here; or it goes in order."""
        why: Literal["connect", "stop"] = "connect" if online else "stop"
        said = payloads.status(self._who, online=online, why=why, connection=self.connection, ms=ms)
        return Sending("status", said, retain=True)

    def will(self, ms: int) -> bytes:
        """What the broker shall say when the next connection ends without a word."""
        return payloads.status(self._who, online=False, why="will", connection=self.connection + 1, ms=ms)

    def health(self, outbox: Outbox, seq: int, begun_s: float, forbidden: Mapping[str, int], now: Now) -> bytes:
        """Its own figures; `seq` is the highest number, `forbidden` the topics that the broker refuses."""
        waiting = outbox.undelivered
        oldest_s = now.mono_s - next(iter(waiting.values())).sealed_s if waiting else 0.0
        account = outbox.account()
        figures = {
            "undelivered": len(waiting),
            "low": outbox.low(seq),
            "high": seq,
            "oldest_s": round(oldest_s, 1),
            "bytes": sum(len(batch.payload) for batch in waiting.values()),
            "dead": outbox.lost["dead"],
            "dropped": sum(account.lost.values()),
            "account": account,
        }
        alarms = [f"{topic}: 0x{code:02X}" for topic, code in forbidden.items()]
        uplink = {"alarms": alarms} if alarms else {}
        return payloads.health(self._who, round(now.mono_s - begun_s, 1), figures, uplink, now.wall_ms)
