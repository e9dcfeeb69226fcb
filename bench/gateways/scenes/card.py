"""What our agent writes to the card for a reading, with the broker there and without, until it is in the file.

SQLite writes everything twice: into the WAL, and into the file when the WAL has 4 MB or the agent stops. At the plain
work 4 MB take many minutes, so both windows end with a stop, and what the stop writes counts.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.recorder import Work
from gateways.rig import rig
from gateways.scenes.api import Effort
from gateways.scenes.steady import started
from gateways.subjects import OURS, Subject

LEAST_S = 20.0
"""In less the first pages of a new file count too much."""


class Card:
    name = "card"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        """With the broker there only where the window has the minutes in which the agent writes then."""
        offline_s = max(effort.outage_s, LEAST_S)
        offline = {"offline_card_bytes": written(subject, prefix, offline_s, cut=True)}
        return offline if effort.quick else offline | {"card_bytes": written(subject, prefix, effort.card_s, cut=False)}


def written(subject: Subject, prefix: Path, seconds: float, *, cut: bool) -> float:
    """Bytes on the card for each register that was read."""
    with rig(subject, Work(), prefix) as ready:
        started(ready)
        if cut:
            ready.line.cut()
        before, read = ready.usage().card_bytes, ready.truth.total()
        time.sleep(seconds)
        read = ready.truth.total() - read
        return (ready.stop_and_count() - before) / read
