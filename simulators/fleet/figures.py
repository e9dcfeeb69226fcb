"""What the gateways have done together, as figures for the reports. Pure."""

from collections import Counter

from simulators.latencies import Latencies

STEP_MS = 0.1
"""PUBACKs are counted by the tenth of a millisecond, up to 6 s; the acknowledgements of the IOC by the millisecond."""


class Figures:
    """Counts since the start; the latencies of `take_latencies` since it was called last."""

    def __init__(self) -> None:
        self.published = 0
        self.acknowledged = 0
        self.connections = 0
        self.outages = 0
        self.not_understood = 0
        self.refused = Counter[str]()
        self.faults = Counter[str]()
        self.last_error = ""
        self._puback, self._ack = Latencies(), Latencies()

    def puback(self, latency_s: float) -> None:
        """From the publish to the broker's word."""
        self._puback.add(round(latency_s * 1_000 / STEP_MS))

    def acked(self, latency_s: float) -> None:
        """From the first publish to delivered."""
        self.acknowledged += 1
        self._ack.add(round(latency_s * 1_000))

    def take_latencies(self) -> dict[str, dict[str, float | None]]:
        """p50 and p95 in milliseconds; then it begins anew."""
        puback, ack = self._puback, self._ack
        self._puback, self._ack = Latencies(), Latencies()
        return {"puback_ms": _percentiles(puback, STEP_MS), "ack_ms": _percentiles(ack, 1.0)}


def _percentiles(latencies: Latencies, step_ms: float) -> dict[str, float | None]:
    found = {name: latencies.percentile(percent) for name, percent in (("p50", 50), ("p95", 95))}
    return {name: None if steps is None else round(steps * step_ms, 1) for name, steps in found.items()}
