"""The way from the gateway to the other end in a scenario: proxy, broker, IOC, and the faults of all three."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from simulators.brokers.broker import Broker
from simulators.faults.fault import Fault
from simulators.proxy.meddling import Meddling
from simulators.proxy.pace import Pace
from simulators.proxy.proxy import Proxy
from simulators.scenario.ioc_process import IocProcess
from simulators.scenario.recorder import Recorder
from simulators.scenario.timeline import Window

ACK_TOPIC: Final = "/down/ack"
RECORDER_S: Final = 5.0


@dataclass
class Uplink:
    """`begin` and `end` a fault, each once. Those that last are laid over one another: the worst of a kind counts."""

    proxy: Proxy
    broker: Broker
    recorder: Recorder
    ioc: IocProcess | None
    _now: list[Window] = field(default_factory=list)

    async def begin(self, window: Window) -> None:
        """The fault of this window is there from now on; one that is a moment has happened."""
        fault = window.fault
        match fault.name:
            case "cut" | "reset":
                self.proxy.cut(reset=fault.name == "reset")
            case "half_open":
                self.proxy.lose()
            case "refuse":
                self.proxy.refuse(window.end_s - window.begin_s)
            case "blackhole":
                self.proxy.swallows = True
                self.proxy.lose()
            case "broker_kill":
                self.proxy.refuse(window.end_s - window.begin_s + RECORDER_S + self.broker_start_s)
                await self.broker.kill()
            case "ioc_kill" if self.ioc is not None:
                await self.ioc.kill()
        if not fault.kind.moment:
            self._now.append(window)
            self._lay()

    async def end(self, window: Window) -> None:
        """It is over; raises `ChildFailed` where the broker or the IOC does not come back."""
        if window not in self._now:
            return
        self._now.remove(window)
        self._lay()
        match window.fault.name:
            case "refuse" if not self._is_there("refuse", "broker_kill"):
                self.proxy.admit()
            case "blackhole" if not self._is_there("blackhole"):
                self.proxy.swallows = False
                self.proxy.give_back()
            case "broker_kill" if not self._is_there("broker_kill"):
                await self._broker_back()
            case "ioc_kill" if self.ioc is not None and not self._is_there("ioc_kill"):
                await self.ioc.start()

    @property
    def broker_start_s(self) -> float:
        """How long a broker may take to come back."""
        return 15.0

    async def _broker_back(self) -> None:
        """Nobody is let in before our own subscriber is: what it has not heard would look lost."""
        await self.broker.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(RECORDER_S):
                await self.recorder.ready.wait()
        if not self._is_there("refuse"):
            self.proxy.admit()

    def _is_there(self, *names: str) -> bool:
        return any(one.fault.name in names for one in self._now)

    def _lay(self) -> None:
        faults = [one.fault for one in self._now]
        self.proxy.pacer.set(pace(faults))
        self.proxy.meddling = meddling(faults)


def pace(faults: Iterable[Fault]) -> Pace:
    """How fast bytes go on under these faults. Pure."""
    found = list(faults)
    return Pace(
        stands=any(one.name == "stall" for one in found),
        bytes_per_s=min((one["bytes_per_s"] for one in found if one.name == "slow"), default=float("inf")),
        gap_s=max((one["gap_s"] for one in found if one.name == "split"), default=None),
    )


def meddling(faults: Iterable[Fault]) -> Meddling | None:
    """What the proxy does to packets under these faults. Pure."""
    found = {one.name: one for one in faults}
    share = {name: one.share for name, one in found.items()}
    if not share.keys() & {"nack", "puback_lost", "ack_lost", "ack_late", "ack_doubled", "ack_stale"}:
        return None
    return Meddling(
        topic=ACK_TOPIC,
        lost=share.get("ack_lost", 0.0),
        late=share.get("ack_late", 0.0),
        max_late_s=found["ack_late"]["max_s"] if "ack_late" in found else 0.0,
        doubled=share.get("ack_doubled", 0.0),
        stale=share.get("ack_stale", 0.0),
        pubacks_lost=share.get("puback_lost", 0.0),
        refused=share.get("nack", 0.0),
        refused_topics=("",),
        codes=(int(found["nack"]["code"]),) if "nack" in found else (),
    )
