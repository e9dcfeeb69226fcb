"""A backlog from a long outage, after a new start: how soon values come, how long it takes, how late live is."""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.figures import percentile
from gateways.recorder import Work
from gateways.rig import Rig, rig
from gateways.scenes.api import Effort
from gateways.scenes.kill import YOUNG_S
from gateways.scenes.outage import resumed
from gateways.scenes.ramp import work_of
from gateways.scenes.steady import started
from gateways.subjects import OURS, Subject

RATE = 20_000.0
DRAIN_S = 180.0
HELD_S = 3.0


class Backlog:
    name = "backlog"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS or (subject.keeps and not effort.quick and not subject.variant)

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        """Filled at ten times the rate of the plain work, then the same devices at the plain rate."""
        with rig(subject, work_of(RATE), prefix) as ready:
            started(ready)
            time.sleep(2.0)
            before = ready.usage()
            ready.line.cut()
            filled(ready, effort.backlog)
            reads = ready.truth.snapshot()
            time.sleep(YOUNG_S)
            ready.stop()
            waiting = len(ready.recorder.account.lost(reads))
            ready.configure(Work())
            ready.start()
            time.sleep(HELD_S)
            began_ns = time.monotonic_ns()
            resume_s = resumed(ready)
            lost = ready.recorder.settle(reads, DRAIN_S)
            drained_s = (time.monotonic_ns() - began_ns) / 1e9
            connected_ns = began_ns + round(resume_s * 1e9)  # what was read before is part of the backlog, and its end
            late_ms = ready.recorder.latencies_ms(connected_ns)
            return {
                "backlog": waiting,
                "backlog_lost": len(lost),
                "backlog_resume_s": resume_s,
                "drain_s": drained_s * 1_000_000 / waiting if waiting and not lost else float("inf"),
                "live_p95_ms": percentile(late_ms, 0.95),
                "backlog_rss_growth_mb": ready.usage().rss_mb - before.rss_mb,
                "wrong": ready.recorder.account.wrong,
            }


def filled(ready: Rig, readings: int) -> None:
    """Wait until so many registers were read."""
    until = ready.truth.total() + readings
    deadline_s = time.monotonic() + 4 * readings / ready.work.rate + 10
    while ready.truth.total() < until and time.monotonic() < deadline_s:
        time.sleep(0.2)
