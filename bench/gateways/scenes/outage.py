"""The broker goes away and comes back: what is lost, how soon values come again, what the waiting costs."""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.recorder import Work
from gateways.rig import Rig, rig
from gateways.scenes.api import Effort, account
from gateways.scenes.steady import spent, started
from gateways.subjects import OURS, Subject

BEFORE_S = 4.0
RESUME_S = 45.0
SETTLE_S = 24.0


class Outage:
    name = "outage"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return not subject.variant

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        with rig(subject, Work(), prefix) as ready:
            started(ready)
            time.sleep(BEFORE_S)
            ready.line.cut()
            before, read = ready.usage(), ready.truth.total()
            time.sleep(effort.outage_s)
            after, read = ready.usage(), ready.truth.total() - read
            resume_s = resumed(ready)
            found = account(ready, max(SETTLE_S, effort.outage_s))
            back = ready.usage()
            ours = subject.name.startswith(OURS)  # `card` also counts what SQLite moves into the file later
            return found | {
                "lost_share": min(1.0, found["lost"] / max(1, read)),
                "resume_s": resume_s,
                "rss_growth_mb": max(after.rss_mb, back.rss_mb) - before.rss_mb,
                **({} if ours else {"offline_card_bytes": spent(before, after, max(1, read))["card_bytes"]}),
                "offline_cpu_s": spent(before, after, max(1, read))["cpu_s"],
            }


def resumed(ready: Rig) -> float:
    """Mend the line; gives the seconds until the first value was there, infinity where none came."""
    began_ns = time.monotonic_ns()
    ready.line.mend()
    while ready.recorder.last_ns < began_ns:
        if time.monotonic_ns() - began_ns > RESUME_S * 1e9:
            return float("inf")
        time.sleep(0.01)
    return (ready.recorder.last_ns - began_ns) / 1e9
