"""A UDP port: each datagram is a request, and its answer goes to who has asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from simulators.endpoints import CannotServe
from simulators.faults.answers import Part
from simulators.lines.delivery import Delivery, Sequencer
from simulators.lines.line import Line, Members
from simulators.lines.speaking import Answer, NotUnderstood

_NOTHING_PASSES: Final = ("blackhole", "unplug", "reboot")


class UdpLine(asyncio.DatagramProtocol):
    """The port. What nobody asked for goes to who has asked last."""

    def __init__(self, members: Members) -> None:
        self.address = ""
        self._members = members
        self._delivery = Delivery(members.link, members.world)
        self._sequencer = Sequencer(self._send)
        self._peer: Any = None

    @property
    def connected(self) -> int:
        return 0

    @property
    def deaf(self) -> str:
        """The fault that lets nothing pass now."""
        has = self._members.world.has
        return next((name for name in _NOTHING_PASSES if has(name, *self._members.names)), "")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # before Python 3.12 it is not said to be one
        host, port = transport.get_extra_info("sockname")[:2]
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._peer = addr
        try:
            for answer in self._members.make_hearing().feed(data):
                self._delivery.say(answer, self)
        except NotUnderstood:
            return

    def say(self, answer: Answer) -> None:
        self._delivery.say(answer, self)

    def make_room(self, size: int) -> None:
        """A datagram that nobody reads is lost at the reader's."""
        del size

    def put(self, parts: Sequence[Part], *, in_order: bool = True) -> None:
        self._sequencer.put(parts, in_order=in_order)

    def close(self) -> None:
        self._sequencer.close()
        self._transport.abort()

    def _send(self, data: bytes) -> None:
        if self._peer is not None and not self._transport.is_closing():
            self._transport.sendto(data, self._peer)


@asynccontextmanager
async def udp_line(host: str, port: int, members: Members) -> AsyncIterator[Line]:
    """Serve a UDP port (0: any free one) until the context ends; raises `CannotServe`."""
    loop = asyncio.get_running_loop()
    try:
        _, line = await loop.create_datagram_endpoint(lambda: UdpLine(members), local_addr=(host, port))
    except OSError as err:
        raise CannotServe(f"cannot listen on {host}:{port} (UDP): {err.strerror or err}. Write another port") from err
    try:
        yield line
    finally:
        line.close()
        await asyncio.sleep(0)  # the transport closes its socket in the next round of the loop
