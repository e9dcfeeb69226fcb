"""One line to cameras: say something, and wait for what fits. Counts what went wrong.

Must not know: what the messages mean.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from drivers.api import LinkStats
from drivers.byte_port import BytePort, read_within
from drivers.camera.options import CameraOptions
from drivers.errors import BadReply, NoReply

ResultT = TypeVar("ResultT")
QUIET_S = 0.1
"""How long the line must be silent before something is asked, where an answer was missing or broken."""
MAX_HEARD = 32_768
"""More is no answer of any camera, but a line that babbles."""


class Wire:
    """The line. `disturbed` is set where an answer may still be on its way, and cleared when the line was silent."""

    def __init__(self, port: BytePort, options: CameraOptions) -> None:
        self.options = options
        self.stats = LinkStats()
        self.disturbed = False
        self._port = port

    async def ask(
        self, message: bytes, take: Callable[[bytes], ResultT | None], within_s: float | None = None
    ) -> ResultT:
        """Send `message`, and give what `take` makes of everything that came; it gives None while that is too little.

        What waits from before is thrown away. Raises `LinkDown`, `NoReply`, `BadReply`.
        """
        await self.clear()
        self.stats.requests += 1
        within_s = self.options.timeout_s if within_s is None else within_s
        started = time.monotonic()
        heard = b""
        try:
            await self._port.write(message)
            while len(heard) < MAX_HEARD and (
                data := await read_within(self._port, started + within_s - time.monotonic())
            ):
                heard += data
                if (result := take(heard)) is not None:
                    return result
        finally:
            self.stats.busy_s += time.monotonic() - started
        raise self.nothing(heard)

    async def clear(self) -> None:
        """Throw away what nobody asked for; raises `BadReply` where that does not end."""
        deadline = time.monotonic() + self.options.timeout_s
        while data := await read_within(self._port, QUIET_S if self.disturbed else 0.0):
            self.stats.late_bytes += len(data)
            if time.monotonic() > deadline:
                raise self.bad("bytes come without end; is something else talking on this line?")
        self.disturbed = False

    async def quiet(self, seconds: float) -> bytes:
        """What comes until the line is silent for so long."""
        heard = b""
        while len(heard) < MAX_HEARD and (data := await read_within(self._port, seconds)):
            heard += data
        return heard

    def nothing(self, heard: bytes) -> NoReply | BadReply:
        """What to raise where no answer came, but `heard` did."""
        self.disturbed = True
        if heard:
            return self.bad(f"no answer in {len(heard)} bytes: {heard[:32].hex(' ').upper()}; check baud and protocol")
        self.stats.no_reply += 1
        return NoReply(f"{self.options.endpoint}, within {self.options.timeout_s:g} s: no answer; is the camera on?")

    def bad(self, why: str) -> BadReply:
        """An answer that is none."""
        self.disturbed = True
        self.stats.bad_reply += 1
        return BadReply(f"{self.options.endpoint}: {why}")
