"""Which batch it may be that ends connections. Pure; time is passed in. Lives as long as the process.

A broker that does not say how much it takes may cut the connection at a message that is too large, and the backlog
would send the same one first on the next connection, for ever. A network may do the same without a word: a black hole
for long packets lets short ones pass and hangs the long ones.

Promises:
* a batch that was in flight at two ends in a row is a suspect, and is sent alone from then on: others go before it;
* it is refused for good only where it was alone, and the broker's DISCONNECT says that the message is at fault;
* a silent cut condemns nobody, for it may be the network: after `CUTS` of them, each with the suspect alone, it is put
  off for `POSTPONED_S` and then tried once more, again and again;
* whatever the broker answers clears it.
"""

from collections.abc import Collection
from typing import Final

from agent.clock import NS_PER_S
from agent.uplink.reasons import REFUSE_A_MESSAGE

CUTS: Final = 3
POSTPONED_S: Final = 600.0
MAX_SUSPECTS: Final = 200
"""More can be in flight at two ends only where the line itself is bad; the rest goes as usual."""


class Suspicion:
    """What the ends of connections say about the batches that were in flight."""

    def __init__(self) -> None:
        self._before: frozenset[int] = frozenset()
        self._cuts: dict[int, int] = {}
        self._not_before_ns: dict[int, int] = {}

    def __contains__(self, seq: int) -> bool:
        return seq in self._cuts

    def __bool__(self) -> bool:
        return bool(self._cuts)

    def next(self, now_ns: int) -> int | None:
        """The suspect that may be tried now: one that was cut less often goes before, and then the lowest."""
        due = [(cuts, seq) for seq, cuts in self._cuts.items() if self._not_before_ns.get(seq, now_ns) <= now_ns]
        return min(due)[1] if due else None

    def clear(self, seq: int) -> None:
        """The broker has answered it, or it need not be sent any more."""
        self._before -= {seq}
        self._cuts.pop(seq, None)
        self._not_before_ns.pop(seq, None)

    def ended(self, in_flight: Collection[int], code: int | None, now_ns: int, *, alone: bool) -> int | None:
        """A connection ended with these unanswered; gives the one that the broker refuses for good.

        `code` is that of its DISCONNECT; `alone`: nothing else at all was in flight.
        """
        seqs = frozenset(in_flight)
        if not seqs:
            return None
        refused = code in REFUSE_A_MESSAGE
        if alone and len(seqs) == 1:
            (seq,) = seqs
            if refused:
                self.clear(seq)
                return seq
            self._cut_alone(seq, now_ns)
        for seq in sorted(seqs if refused else seqs & self._before):
            if len(self._cuts) < MAX_SUSPECTS:
                self._cuts.setdefault(seq, 0)
        self._before = seqs
        return None

    def _cut_alone(self, seq: int, now_ns: int) -> None:
        if seq in self._cuts:
            self._cuts[seq] += 1
            if self._cuts[seq] >= CUTS:
                self._not_before_ns[seq] = now_ns + round(POSTPONED_S * NS_PER_S)
