"""The suspects of one connection: one at a time is read from the store, and sent when nothing else is in flight.

Others go before it: it has its turn when the broker took something else on this connection, or where there is nothing
else to send. So a batch that ends every connection does not keep the rest of the backlog from flowing.
"""

from collections.abc import Collection
from typing import Final

from agent.model import Batch, BatchSource
from agent.uplink.errors import UplinkDown
from agent.uplink.lanes.suspicion import Suspicion

READ_BYTES: Final = 256 * 1024


class Suspects:
    """What `suspicion` says, for one connection. `batch` is the one that waits for its turn, or has it."""

    def __init__(self, suspicion: Suspicion, source: BatchSource) -> None:
        self.batch: Batch | None = None
        self._suspicion = suspicion
        self._source = source
        self._others_flow = False

    def __contains__(self, seq: int) -> bool:
        return seq in self._suspicion

    def __bool__(self) -> bool:
        """Whether there is any, be it one that is put off."""
        return self.batch is not None or bool(self._suspicion)

    def hungry(self, now_ns: int) -> bool:
        """Whether one should be read from the store."""
        return self.batch is None and self._suspicion.next(now_ns) is not None

    async def read(self, now_ns: int) -> int | None:
        """Read one; gives the number of one that was none any more, or could not be read: the backlog shall look."""
        seq = self._suspicion.next(now_ns)
        if seq is None:
            return None
        found = await self._source.pending(seq - 1, 1, READ_BYTES)
        if found and found[0].seq == seq:
            self.batch = found[0]
            return None
        self._suspicion.clear(seq)
        return seq

    def has_turn(self, *, in_flight: bool, nothing_else: bool) -> bool:
        """Whether it goes before all others now. `in_flight`: it is on its way; then nothing else goes."""
        return self.batch is not None and (in_flight or self._others_flow or nothing_else)

    def sent(self) -> None:
        """It is on its way; the next one waits until something else was taken."""
        self._others_flow = False

    def ended(self, waiting: Collection[int], down: UplinkDown, now_ns: int) -> int | None:
        """The connection ended with these unanswered; gives the one that the broker refuses for good."""
        return self._suspicion.ended(waiting, down.code, now_ns, alone=down.in_flight == 1)

    def answered(self, seq: int) -> None:
        """The broker said something about a batch, or it need not be sent: it is none that ends connections."""
        if self.batch and self.batch.seq == seq:
            self.batch = None
        else:
            self._others_flow = True
        self._suspicion.clear(seq)
