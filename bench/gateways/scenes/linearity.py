"""Does the work cost as much for each register with few devices as with many?"""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.recorder import Work
from gateways.rig import rig
from gateways.scenes.api import Effort
from gateways.scenes.steady import WARM_UP_S, started, window
from gateways.subjects import OURS, Subject

COUNTS = (1, 10, 100, 500)


class Linearity:
    name = "linearity"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        found = {}
        for devices in COUNTS:
            with rig(subject, Work(devices=devices), prefix) as ready:
                started(ready)
                time.sleep(WARM_UP_S)
                found[f"cpu_s_{devices}"] = window(ready, effort.linearity_s)["cpu_s"]
        return found | {"nonlinearity": max(found.values()) / min(found.values())}
