"""What goes to the card while the broker is there, for so long that the store has moved its WAL into its file twice."""

import time
from collections.abc import Mapping
from pathlib import Path

from gateways.recorder import Work
from gateways.rig import rig
from gateways.scenes.api import Effort, account
from gateways.scenes.steady import SETTLE_S, spent, started
from gateways.subjects import OURS, Subject


class Card:
    name = "card"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS and not effort.quick

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        with rig(subject, Work(), prefix) as ready:
            started(ready)
            before, read = ready.usage(), ready.truth.total()
            time.sleep(effort.card_s)
            after, read = ready.usage(), ready.truth.total() - read
            return account(ready, SETTLE_S) | {
                "card_bytes": spent(before, after, read)["card_bytes"],
                "long_rss_growth_mb": after.rss_mb - before.rss_mb,
            }
