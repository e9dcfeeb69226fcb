"""The ear of a line or of a connection: bytes in, answers on their way."""

import asyncio
from collections.abc import Callable

from simulators.lines.speaking import Answer, Hearing


class Ear:
    """Passes on what was heard, and looks again when it has been quiet for as long as the protocol wants."""

    def __init__(self, hearing: Hearing, say: Callable[[Answer], None]) -> None:
        self._hearing = hearing
        self._say = say
        self._quiet: asyncio.TimerHandle | None = None

    def hear(self, data: bytes) -> None:
        """Answer every request in `data`; raises `NotUnderstood`."""
        self.close()
        for answer in self._hearing.feed(data):
            self._say(answer)
        if self._hearing.silence_s:
            self._quiet = asyncio.get_running_loop().call_later(self._hearing.silence_s, self._silence)

    def close(self) -> None:
        """Forget the pending look."""
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None

    def _silence(self) -> None:
        self._quiet = None
        for answer in self._hearing.silence():
            self._say(answer)
