"""What the running agent says of itself: the answer to `oc-agent status` and the health message of the contract."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import msgspec

from agent import __version__
from agent.clock import NS_PER_S, Clock
from agent.configuration import forecast
from agent.event_loop import loop_name
from agent.health import system_figures, uptime_s
from agent.polling.device import DevicePolling
from agent.polling.lending import Borrower
from agent.polling.poller import LinkPoller
from agent.settings import Settings
from agent.store import Store
from agent.store.pictures import PictureShelf
from agent.uplink.expiry import ExpiryWatch
from agent.uplink.publisher import Publisher

QUIET_FIGURES = ("cpu_pct", "memory_pct", "disk_free_bytes")


class Seen(Protocol):
    """What runs now; after a reload other parts stand here."""

    settings: Settings
    loaded: Any
    publisher: Publisher
    expiry: ExpiryWatch

    @property
    def pollers(self) -> Sequence[LinkPoller]: ...


class Reporter:
    """Looks at both loops and the store; changes nothing."""

    def __init__(self, running: Seen, clock: Clock, store: Store, shelf: PictureShelf) -> None:
        self._running = running
        self._clock = clock
        self._store = store
        self._shelf = shelf
        self._loads: WeakKeyDictionary[LinkPoller, float] = WeakKeyDictionary()
        self._started_ns = clock.mono_ns()

    def status(self) -> dict[str, Any]:
        """Everything a technician wants to see: `live`, and the pictures, which are counted on the card."""
        return {**self.live(), "pictures": {"waiting": len(self._shelf.waiting()), "bytes": self._shelf.bytes()}}

    def live(self) -> dict[str, Any]:
        """Links, devices, last values and their ages, outbox, uplink; asked each second, so no card is read."""
        return {
            "gateway": self._running.settings.gateway.id,
            "version": __version__,
            "loop": loop_name(),
            "configuration": self._running.loaded,
            "running_s": self._age_s(self._started_ns),
            "time_ms": self._clock.wall_ms(),
            "clock": self._clock.state(),
            "hold_unsynced_s": self._running.settings.clock.hold_unsynced_s,
            "uplink": self._running.publisher.state(),
            "certificate": self._certificate(),
            "outbox": {
                **msgspec.structs.asdict(self._store.stats()),
                "max_bytes": self._running.settings.outbox.max_bytes,
                "ram_disk": self._store.ram_disk,
                "commit_failures": self._store.commit_failures,
            },
            "account": self._store.account(),
            "links": [self._link(poller) for poller in self._running.pollers],
        }

    def outbox(self) -> dict[str, Any]:
        """What the running store says of itself, for `oc-agent outbox status`."""
        return {
            "overview": self._store.overview(),
            "commit_failures": self._store.commit_failures,
            "ram_disk": self._store.ram_disk,
        }

    async def health(self) -> dict[str, Any]:
        """The health message without its envelope (contract, `up/health`)."""
        figures = await asyncio.to_thread(
            system_figures, Path(self._running.settings.gateway.data_dir)
        )  # a bad card may hang
        system = {key: value for key, value in msgspec.structs.asdict(figures).items() if value is not None}
        account = msgspec.structs.asdict(self._store.account())
        del account["waiting"]
        certificate = self._certificate()
        return {
            "uptime_s": uptime_s(),
            "clock": {"state": self._clock.state()},
            "outbox": {**msgspec.structs.asdict(self._store.stats()), "account": account},
            "uplink": self._running.publisher.figures(),
            **({"certificate": {"expires_ms": certificate["expires_ms"]}} if certificate else {}),
            "system": system,
            "links": [self._link_counters(poller) for poller in self._running.pollers],
        }

    async def health_values(self) -> dict[str, float | int]:
        """The few figures that a quiet gateway seals as readings of the device `_gateway`."""
        health = await self.health()
        system = {key: health["system"][key] for key in QUIET_FIGURES if key in health["system"]}
        return {"uptime_s": health["uptime_s"], **system, "undelivered": health["outbox"]["undelivered"]}

    def _certificate(self) -> dict[str, Any] | None:
        """That of this gateway; None where it shows none to the broker, or where it cannot be read."""
        certificate = self._running.expiry.certificate
        return {"file": self._running.expiry.file, "expires_ms": certificate.expires_ms} if certificate else None

    def _link_counters(self, poller: LinkPoller) -> dict[str, Any]:
        stats = poller.stats
        return {
            "link": poller.link.name,
            "up": poller.up,
            "requests": stats.requests,
            "no_reply": stats.no_reply,
            "bad_reply": stats.bad_reply,
            "refused": stats.refused,
            "late": stats.late_bytes,
            "busy_pct": poller.recent.rates(stats, self._clock.mono_ns()).busy_pct,
            "load_pct": self._load_pct(poller),
        }

    def _load_pct(self, poller: LinkPoller) -> float:
        """Forecast once: it means planning all polls anew."""
        if poller not in self._loads:
            self._loads[poller] = round(100 * forecast(poller.link, [d.settings for d in poller.devices]).load, 1)
        return self._loads[poller]

    def _link(self, poller: LinkPoller) -> dict[str, Any]:
        return {
            **self._link_counters(poller),
            "kind": poller.link.spec.kind,
            "endpoint": poller.link.options.endpoint,
            "error": poller.error,
            "lent": self._lent(poller.line.borrower),
            "answered_pct": poller.recent.rates(poller.stats, self._clock.mono_ns()).answered_pct,
            "missed": poller.schedule.missed,
            "busy_s": round(poller.stats.busy_s, 1),
            "devices": [self._device(device) for device in poller.devices],
        }

    def _device(self, device: DevicePolling) -> dict[str, Any]:
        state = device.state
        units = {p.point.name: p.point.unit for p in device.settings.points}
        return {
            "device": state.name,
            "up": state.up,
            "error": state.error,
            "unit": device.settings.unit,
            "told": device.recognition.told,
            "mismatch": device.recognition.mismatch,
            **device.tally.told(self._clock.mono_ns()),
            **self._pictures(device),
            "answered_s_ago": self._age_s(state.answered_mono_ns),
            "points": [
                {
                    "point": reading.point,
                    "value": reading.value,
                    "unit": units.get(reading.point, "1"),
                    "quality": reading.quality,
                    "age_s": self._age_s(reading.mono_ns),
                }
                for reading in state.readings.values()
            ],
        }

    def _lent(self, borrower: Borrower | None) -> dict[str, Any] | None:
        if borrower is None:
            return None
        who = {"pid": borrower.pid, "uid": borrower.uid, "purpose": borrower.purpose}
        return {**who, "for_s": self._age_s(borrower.since_ns)}

    @staticmethod
    def _pictures(device: DevicePolling) -> dict[str, int]:
        if device.settings.picture is None:
            return {}
        return {"pictures": device.state.pictures, "pictures_failed": device.state.pictures_failed}

    def _age_s(self, mono_ns: int | None) -> float | None:
        return None if mono_ns is None else round((self._clock.mono_ns() - mono_ns) / NS_PER_S, 1)
