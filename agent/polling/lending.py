"""Lines that are lent: a technician's tool gets the port that the agent holds, and the agent gets it back.

Promises: a line has one user at a time; the poller finishes the request that it is in, and closes its port before the
borrower is told that it may open it; a borrower that dies has given back; who borrowed what is in the log.
A `Line` outlives its poller: one that crashed, or was made anew by a reload, finds it lent.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal

import msgspec

from agent.clock import NS_PER_S, Clock
from agent.control import Arguments, Peer

log = logging.getLogger(__name__)

VERB: Final = "lend"
HAND_OVER_S: Final = 240.0
"""A picture at 9600 baud takes two minutes; what takes longer is stuck in its driver."""


class LendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted: the line with this endpoint, and for what."""

    endpoint: str
    purpose: Annotated[str, msgspec.Meta(max_length=40)] = ""


class Borrower(msgspec.Struct, frozen=True):
    """Who has a line, since when on the monotonic clock, and for what."""

    pid: int
    uid: int
    purpose: str
    since_ns: int

    def __str__(self) -> str:
        return f"pid {self.pid} (uid {self.uid}{', ' if self.purpose else ''}{self.purpose})"


class LendAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`lent`: it is the borrower's until it closes the connection. `free`: no link of the agent uses this endpoint.

    `held`: another has it, who and since when is said. `busy`: the poller did not come to an end of its request.
    """

    state: Literal["lent", "free", "held", "busy"]
    link: str = ""
    pid: int = 0
    uid: int = 0
    purpose: str = ""
    for_s: float = 0.0


class Line:
    """The line of one link: its poller's, unless there is a `borrower`."""

    def __init__(self) -> None:
        self.borrower: Borrower | None = None
        self.wake: Callable[[], None] = lambda: None
        """Tells the poller that somebody wants the line."""
        self._closed = asyncio.Event()
        self._returned = asyncio.Event()

    @asynccontextmanager
    async def lent(self, borrower: Borrower) -> AsyncIterator[bool]:
        """Lend it while the context is open; False where the poller does not let go of it. Nobody may have it yet."""
        self.borrower = borrower
        self._closed.clear()
        self._returned.clear()
        self.wake()
        try:
            yield await self._is_closed()
        finally:
            self.borrower = None
            self._returned.set()

    async def _is_closed(self) -> bool:
        try:
            async with asyncio.timeout(HAND_OVER_S):
                return await self._closed.wait()
        except TimeoutError:
            return False

    async def hand_over(self) -> None:
        """The poller has closed its port: wait until it is its own again."""
        self._closed.set()
        await self._returned.wait()


class Lender:
    """All lines of the agent, by the names of their links."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[str, Line] = {}
        self.endpoints: Callable[[], dict[str, str]] = dict
        """The endpoints that are polled now, each with the name of its link."""

    def line(self, link: str) -> Line:
        """The line of this link, the same each time."""
        return self._lines.setdefault(link, Line())

    @asynccontextmanager
    async def lend(self, arguments: Arguments, peer: Peer) -> AsyncIterator[LendAnswer]:
        """The lease `lend` on the control socket."""
        request = msgspec.convert(arguments, LendRequest)
        link = self._link(request.endpoint)
        if link is None:
            yield LendAnswer(state="free")
            return
        line = self.line(link)
        if other := line.borrower:
            for_s = round((self._clock.mono_ns() - other.since_ns) / NS_PER_S, 1)
            yield LendAnswer(state="held", link=link, pid=other.pid, uid=other.uid, purpose=other.purpose, for_s=for_s)
            return
        borrower = Borrower(peer.pid, peer.uid, request.purpose, self._clock.mono_ns())
        async with line.lent(borrower) as closed:
            yield LendAnswer(state="lent" if closed else "busy", link=link)

    def _link(self, endpoint: str) -> str | None:
        wanted = _real(endpoint)
        return next((link for polled, link in self.endpoints().items() if _real(polled) == wanted), None)


def _real(endpoint: str) -> str:
    """A port has many names, in /dev/serial/by-id for one."""
    return os.path.realpath(endpoint) if endpoint.startswith("/") else endpoint
