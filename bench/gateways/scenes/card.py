"""What goes to the card while the broker is there, from the start until the store has moved its WAL into its file once.

SQLite moves a WAL of 4 MB, which the plain work fills in six minutes: each reading goes to the card twice, and a window
that ends elsewhere shows too much or too little of that.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.recorder import Work
from gateways.rig import rig
from gateways.scenes.api import Effort, account
from gateways.scenes.steady import SETTLE_S, spent, started
from gateways.subjects import OURS, Subject

MOVED_BYTES = 2_000_000
LOOK_S = 1.0
DONE_S = 3.0


class Card:
    name = "card"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS and not effort.quick

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        with rig(subject, Work(), prefix) as ready:
            started(ready)
            before, read, began_s, size = ready.usage(), ready.truth.total(), time.monotonic(), in_files(ready.card)
            while time.monotonic() - began_s < effort.card_s and in_files(ready.card) < size + MOVED_BYTES:
                time.sleep(LOOK_S)
            time.sleep(DONE_S)
            after, read, card_s = ready.usage(), ready.truth.total() - read, time.monotonic() - began_s
            return account(ready, SETTLE_S) | {
                "card_bytes": spent(before, after, read)["card_bytes"],
                "card_s": card_s,
                "long_rss_growth_mb": after.rss_mb - before.rss_mb,
            }


def in_files(folder: Path) -> int:
    """Bytes in the databases of a gateway, without what waits in a WAL."""
    return sum(file.stat().st_size for file in folder.rglob("*.db"))
