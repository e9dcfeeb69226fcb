"""A serial line that ends in a pty. A line that nobody reads keeps nothing; a cable that is pulled comes back as
another pty behind the same link, as a USB adapter does behind `/dev/serial/by-id`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from simulators.faults.answers import Part
from simulators.faults.fault import Fault
from simulators.lines.babbling import Babbling
from simulators.lines.delivery import Delivery, Sequencer
from simulators.lines.following import following
from simulators.lines.hearing import Ear
from simulators.lines.line import BANNER, Line, Members
from simulators.lines.pty import Pty, open_pty
from simulators.lines.speaking import Answer


class PtyLine:
    """The line, and its one wire."""

    def __init__(self, port: Path, members: Members) -> None:
        self.address = str(port)
        self._members = members
        self._delivery = Delivery(members.link, members.world)
        self._sequencer = Sequencer(self._send)
        self._ear = Ear(members.make_hearing(), lambda answer: self._delivery.say(answer, self))
        self._babbling = Babbling(self, f"{members.world.seed}/{members.link}")
        self._pty: Pty | None = None
        self._plug = ExitStack()
        self._last_name = ""

    @property
    def connected(self) -> int:
        return 0

    @property
    def deaf(self) -> str:
        return "" if self._pty else "unplug"

    def make_room(self, size: int) -> None:
        """Where the last two answers were not read nobody is there, and a line keeps nothing."""
        if self._pty and size and not self._sequencer.is_behind and self._pty.unread_bytes() >= 2 * size:
            self._pty.forget_unread()

    def put(self, parts: Sequence[Part], *, in_order: bool = True) -> None:
        self._sequencer.put(parts, in_order=in_order)

    def say(self, answer: Answer) -> None:
        self._delivery.say(answer, self)

    def plug_in(self) -> None:
        """There is a pty at the address from now on; raises `CannotServe`."""
        self._pty = self._plug.enter_context(open_pty(Path(self.address), not_as=self._last_name))
        pty = self._pty
        asyncio.get_running_loop().add_reader(pty.fd, lambda: self._ear.hear(pty.read()))

    def pull(self) -> None:
        """Nothing is there any more."""
        if self._pty is not None:
            asyncio.get_running_loop().remove_reader(self._pty.fd)
            self._last_name = self._pty.name
            self._pty = None
            self._sequencer.close()
            self._ear.close()
            self._plug.close()

    async def begins(self, fault: Fault) -> None:
        if fault.name == "unplug":
            self.pull()
        elif fault.name == "babble":
            self._babbling.begin(fault)

    async def ends(self, fault: Fault) -> None:
        if fault.name == "unplug" and self._pty is None and not self._members.world.has("unplug", *self._members.names):
            self.plug_in()
        elif fault.name == "babble":
            self._babbling.end(fault)
        elif fault.name == "reboot":
            self.put((Part(0.0, BANNER),))

    async def close(self) -> None:
        await self._babbling.close()
        self.pull()

    def _send(self, data: bytes) -> None:
        if self._pty is not None:
            self._pty.write(data)


@asynccontextmanager
async def pty_line(port: Path, members: Members) -> AsyncIterator[Line]:
    """Serve a port until the context ends; raises `CannotServe`."""
    line = PtyLine(port, members)
    line.plug_in()
    try:
        async with following(members.world, members.names, line.begins, line.ends):
            yield line
    finally:
        await line.close()
