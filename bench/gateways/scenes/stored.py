"""With ten million readings that wait for the broker: how soon the first value comes, and how much memory they take."""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.rig import rig
from gateways.scenes.api import Effort
from gateways.scenes.backlog import filled
from gateways.scenes.ramp import work_of
from gateways.scenes.steady import started
from gateways.subjects import OURS, Subject

RATE = 40_000.0
AT_WORK_S = 20.0


class Stored:
    name = "stored"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS and not effort.quick

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        with rig(subject, work_of(RATE), prefix) as ready:
            started(ready)
            before = ready.usage()
            ready.line.cut()
            filled(ready, effort.stored)
            grown = ready.usage().rss_mb - before.rss_mb
            ready.stop()
            ready.record_anew()
            ready.line.mend()
            first_s = started(ready)
            time.sleep(AT_WORK_S)
            return {
                "stored_first_s": first_s,
                "stored_rss_growth_mb": max(grown, ready.usage().rss_mb - before.rss_mb),
            }
