"""One device, read once a minute: what a gateway costs that has nothing to do."""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.recorder import Work
from gateways.rig import rig
from gateways.scenes.api import Effort
from gateways.scenes.steady import started
from gateways.subjects import OURS, Subject

INTERVAL_S = 60.0
SETTLE_S = 10.0


class Idle:
    name = "idle"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        with rig(subject, Work(devices=1, registers=10, interval_s=INTERVAL_S), prefix) as ready:
            started(ready, INTERVAL_S + SETTLE_S)  # some read for the first time after an interval
            time.sleep(SETTLE_S)
            before, began_s = ready.usage(), time.monotonic()
            time.sleep(effort.idle_s)
            after = ready.usage()
            share = (after.cpu_s - before.cpu_s) / (time.monotonic() - began_s)
            return {"idle_share": share, "idle_rss_mb": after.rss_mb}
