"""How to stamp readings that earlier boots have left: by what their clocks said, as far as that is known. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from agent.clock import ClockState
from agent.store.journal import OldSegment
from agent.store.ledger import Ledger
from agent.store.records import Anchor, RecordType, parse_anchor
from agent.store.sealing import Stamp
from agent.store.timekeeper import best, stamp_of


class Stamps:
    """How to stamp the readings of each boot."""

    def __init__(self, ledger: Ledger | None, segments: Iterable[OldSegment], boot_id: str, now: Anchor) -> None:
        self._anchors: defaultdict[str, list[Anchor]] = defaultdict(list)
        for boot, anchor in ledger.anchors.items() if ledger else ():
            self._anchors[boot].append(anchor)
        for segment in segments:
            anchors = (parse_anchor(r) for r in segment.records if r.type == RecordType.ANCHOR)
            self._anchors[segment.head.boot_id].extend(anchors)
        self._anchors[boot_id] = [now]
        self._unknown = stamp_of(now)._replace(state=ClockState.UNSYNC)

    def of(self, boot_id: str) -> Stamp:
        anchor = best(self._anchors[boot_id])
        return stamp_of(anchor) if anchor else self._unknown
