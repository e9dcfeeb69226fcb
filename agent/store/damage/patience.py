"""Patience with a file that cannot be read: when to look again, and when what is missing is given up.

SQLite's "malformed" can be a card that does not answer just now. So nothing is given up at the first look: some more
follow at once, and go on for an hour where the card, not the file, is what does not let itself be read. Counted in
looks, so that an agent that is started again and again has no more patience than one that runs.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from agent.clock import NS_PER_S, Clock
from agent.store.damage.damaged_file import reads_through
from agent.store.damage.salvage import Salvage

PAUSES_S: Final = (0.5, 1.0, 2.0)
LATER_S: Final = 60.0
MOST_LOOKS: Final = 63
"""Three at once, then one a minute for an hour."""
OPENING_PAUSES_S: Final = (0.1, 0.4)
SILENT_PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""While a file is opened that is not set aside yet: where the card gives an error in reading it, for half a minute."""


class Patience:
    """With the files of all salvages. Which of them are not to blame is known to this process only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_ns: dict[str, int] = {}
        self._passing: set[str] = set()
        self._silent: set[str] = set()

    def looked(self, name: str, *, passing: bool) -> None:
        """A look at the file is over; `passing`: it met something that says nothing about the file."""
        self._looked_ns[name] = self._clock.mono_ns()
        if passing:
            self._passing.add(name)

    def silent(self, name: str) -> None:
        """The card gives an error where the file is: whatever SQLite says may be the card's fault."""
        self._silent.add(name)

    def is_due(self, salvage: Salvage) -> bool:
        """Whether it is time to look again, or to decide whether to give up."""
        at_ns = self._looked_ns.get(salvage.name)
        if self.again(salvage) is not True:
            return True
        pause_s = PAUSES_S[salvage.looks] if salvage.looks < len(PAUSES_S) else LATER_S
        return at_ns is None or self._clock.mono_ns() >= at_ns + round(pause_s * NS_PER_S)

    def again(self, salvage: Salvage) -> bool | None:
        """Whether another look is worth while; None where that depends on whether the card can be read."""
        if salvage.looks < len(PAUSES_S):
            return True
        if salvage.looks >= MOST_LOOKS:
            return False
        return True if salvage.name in self._passing | self._silent else None

    def begin(self, name: str) -> None:
        """Another look begins."""
        self._passing.discard(name)


async def looks(path: Path) -> AsyncIterator[None]:
    """So many looks at a file that is being opened are worth while; whoever has seen enough stops asking."""
    for pause_s in OPENING_PAUSES_S:
        yield
        await asyncio.sleep(pause_s)
    yield
    for pause_s in SILENT_PAUSES_S:
        if await asyncio.to_thread(reads_through, path):
            return
        await asyncio.sleep(pause_s)
        yield
