"""Health each minute, and a batch of a gateway that has nothing else to say, so that `low` keeps moving at the IOC."""

import asyncio
from typing import Any

import pytest
from contract_check import decoded, validator
from fake_clock import FakeClock
from store_lab import Lab

from agent import app


class Told:
    """Stands for the reporter and the publisher: figures in, health messages out."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.at_s: list[float] = []

    async def health(self) -> dict[str, Any]:
        return {"uptime_s": 5}

    async def health_values(self) -> dict[str, float]:
        return {"uptime_s": 5, "cpu_pct": 3.5, "undelivered": 0}

    async def publish_health(self, figures: dict[str, Any]) -> None:
        self.at_s.append(self._clock.mono_ns() / 1e9)


@pytest.fixture
def minutes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the health task for so many minutes; the laboratory's clock moves when it sleeps."""

    async def run(store: Any, count: int, also: Any = None) -> Told:
        told, left = Told(lab.clock), count
        really = asyncio.sleep

        async def sleep(seconds: float) -> None:
            nonlocal left
            if seconds < 1:
                return await really(seconds)
            left -= 1
            if left < 0:
                raise asyncio.CancelledError
            lab.clock.advance(seconds)
            if also:
                also()
            await store.step()
            return None

        monkeypatch.setattr(app.asyncio, "sleep", sleep)
        try:
            with pytest.raises(asyncio.CancelledError):
                await app._health(told, store, told, lab.clock)  # type: ignore[arg-type]
        finally:
            monkeypatch.undo()
        return told

    return run


async def test_health_is_said_at_the_start_and_each_60_seconds(lab: Lab, minutes: Any) -> None:
    async with lab.open() as store:
        told = await minutes(store, 5)
    assert [round(b - a) for a, b in zip(told.at_s, told.at_s[1:], strict=False)] == [60] * 5


async def test_a_quiet_gateway_seals_its_health_as_device_gateway_every_ten_minutes(lab: Lab, minutes: Any) -> None:
    async with lab.open() as store:
        await minutes(store, 9)
        assert store.high == 0
        await minutes(store, 12)
        await lab.live(store, 2)
        assert store.high == 1
        (payload,) = lab.sent.values()
        batch = decoded(payload)
        validator("data").validate(batch)
        assert [(scan["device"], scan["values"]) for scan in batch["scans"]] == [
            ("_gateway", {"uptime_s": 5, "cpu_pct": 3.5, "undelivered": 0})
        ]
        assert batch["low"] == 1
        await minutes(store, 25)
        await lab.live(store, 2)
        assert store.high == 3


async def test_a_gateway_that_is_not_quiet_seals_none(lab: Lab, minutes: Any) -> None:
    async with lab.open() as store:
        await minutes(store, 30, also=lambda: lab.read(store))
        devices = {scan["device"] for payload in lab.sent.values() for scan in decoded(payload)["scans"]}
        assert devices == {"aq-01"}
