"""The plain work, with nothing in the way: processor, memory, start, latency, bytes on the wire and on the card."""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.figures import percentile
from gateways.processes import Usage
from gateways.recorder import Work
from gateways.rig import Rig, Unfit, rig
from gateways.scenes.api import Effort, account
from gateways.subjects import OURS, Subject

WARM_UP_S = 5.0
SETTLE_S = 5.0
FIRST_S = 30.0


class Steady:
    name = "steady"
    repeated = True

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return True

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        with rig(subject, Work(), prefix) as ready:
            first_s = started(ready)
            time.sleep(WARM_UP_S)
            found = window(ready, effort.steady_s) | {"first_s": first_s}
            if subject.name.startswith(OURS):
                found.pop("card_bytes")  # it goes to the card once a minute, and twice where SQLite moves its WAL
            return found | account(ready, SETTLE_S)


def started(ready: Rig, timeout_s: float = FIRST_S) -> float:
    """Start the gateway; gives the seconds until its first value was at the subscriber. Raises Unfit without one."""
    ready.start()
    if not ready.wait_first(timeout_s):
        raise Unfit(f"{ready.subject.name} sent no value: {ready.last_words()}")
    return (ready.recorder.first_ns - ready.started_ns) / 1e9


def window(ready: Rig, seconds: float) -> dict[str, float]:
    """What the gateway used for so many seconds, for each register that was read in them; on the wire, that arrived."""
    began_ns, before, wire, read = time.monotonic_ns(), ready.usage(), ready.line.bytes_up, ready.truth.total()
    received, good = ready.line.bytes_down, ready.recorder.account.good
    time.sleep(seconds)
    after, read = ready.usage(), ready.truth.total() - read
    elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
    arrived = max(1, ready.recorder.account.good - good)
    wire_up, wire_down = ready.line.bytes_up - wire, ready.line.bytes_down - received
    time.sleep(1.5)  # what was read last is still on its way
    latencies = ready.recorder.latencies_ms(began_ns, began_ns + round(elapsed_s * 1e9))
    if not read:
        raise Unfit(f"{ready.subject.name} read nothing for {seconds:g} s: {ready.last_words()}")
    return {
        **spent(before, after, read),
        "rss_mb": after.rss_mb,
        "pss_mb": after.pss_mb,
        "core_share": (after.cpu_s - before.cpu_s) / elapsed_s,
        "registers_per_s": read / elapsed_s,
        "latency_p50_ms": percentile(latencies, 0.50),
        "latency_p95_ms": percentile(latencies, 0.95),
        "latency_p99_ms": percentile(latencies, 0.99),
        "wire_bytes": wire_up / arrived,
        "wire_down_bytes": wire_down / arrived,
    }


def spent(before: Usage, after: Usage, read: int) -> dict[str, float]:
    """Processor seconds for 1,000 registers, card bytes for one."""
    return {
        "cpu_s": 1000 * (after.cpu_s - before.cpu_s) / read,
        "card_bytes": (after.card_bytes - before.card_bytes) / read,
    }
