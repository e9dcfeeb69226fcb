"""kill -9 in the middle of an outage, at phases spread over a second: what was read before and never arrives."""

import signal
import time
from collections.abc import Mapping
from pathlib import Path

from gateways.recorder import Work
from gateways.rig import rig
from gateways.scenes.api import Effort
from gateways.scenes.outage import resumed
from gateways.scenes.steady import started
from gateways.subjects import Subject

YOUNG_S = 0.05
"""What was read within this before a stop may be lost: it was on its way into the gateway."""
OFFLINE_S = 2.0
DOWN_S = 1.0
SETTLE_S = 24.0


class Kill:
    name = "kill"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return not subject.variant and (subject.keeps or not effort.quick)

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        found: dict[str, float] = {"lost_old": 0, "lost_young": 0, "kill_read": 0}
        with rig(subject, Work(), prefix) as ready:
            started(ready)
            time.sleep(2.0)
            kills = effort.kills if subject.keeps else 1
            for number in range(kills):
                known = {*ready.recorder.account.lost(ready.truth.snapshot())}
                ready.line.cut()
                time.sleep(OFFLINE_S + number / kills)
                old = ready.truth.snapshot()
                time.sleep(YOUNG_S)
                ready.stop(signal.SIGKILL)
                reads = ready.truth.snapshot()
                time.sleep(DOWN_S)
                ready.start()
                time.sleep(DOWN_S)
                resumed(ready)
                lost = {*ready.recorder.settle(reads, SETTLE_S)} - known
                lost_old = sum(serial < old[device][register] for device, register, serial in lost)
                found["lost_old"] += lost_old
                found["lost_young"] += len(lost) - lost_old
                found["kill_read"] += round((OFFLINE_S + number / kills) * ready.work.rate)
            account = ready.recorder.account
            found["killed_share"] = min(1.0, (found["lost_old"] + found["lost_young"]) / found["kill_read"])
            return found | {"wrong": account.wrong, "duplicates": account.duplicates}
