"""What all connections of one uplink share."""

from random import Random
from typing import NamedTuple

from agent.clock import Clock
from agent.model import BatchSource
from agent.uplink.downlink.peer import Peer
from agent.uplink.formats import Format
from agent.uplink.lanes.payload_limit import PayloadLimit
from agent.uplink.lanes.progress import Pace, Progress
from agent.uplink.lanes.suspicion import Suspicion
from agent.uplink.replay.replays import Replays


class Route(NamedTuple):
    """Where batches come from, how they are said, to whom, and what is known of that. Outlives every connection."""

    source: BatchSource
    format: Format
    clock: Clock
    peer: Peer
    replays: Replays
    pace: Pace
    progress: Progress
    random: Random
    suspicion: Suspicion
    payload_limit: PayloadLimit

    def may_send(self) -> bool:
        """Whether the IOC takes anything now, as far as it has said."""
        return self.peer.online is not False

    def backfill_rate(self) -> float:
        """In readings a second: what the configuration says, and no more than the IOC wants."""
        state = self.peer.state
        wanted = state.backfill_readings_per_s if state else None
        return min(self.pace.backfill_readings_per_s, wanted or self.pace.backfill_readings_per_s)
