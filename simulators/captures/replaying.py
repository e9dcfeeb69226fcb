"""A capture served byte for byte. Pure.

Promises: what is sent is what the capture holds, nothing is computed; a request that it shows several times gets its
answers in turn; bytes that are no request of it are passed over, and never answered.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle

from simulators.captures.reading import Exchange
from simulators.lines.speaking import Answer


class Replaying:
    """The exchanges of one capture. `streams` is what the device sends without being asked, in order."""

    silence_s = 0.0

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.streams = [one.response for one in exchanges if one.request is None and one.response]
        answers: dict[bytes, list[bytes]] = {}
        for one in exchanges:
            if one.request:
                answers.setdefault(one.request, []).append(one.response)
        self._answers = {request: cycle(responses) for request, responses in answers.items()}
        self._longest = max(map(len, answers), default=0)
        self._heard = b""

    @property
    def requests(self) -> list[bytes]:
        """What it answers."""
        return list(self._answers)

    def feed(self, data: bytes) -> Iterator[Answer]:
        """What comes back for what was heard now, and before."""
        self._heard += data
        while (found := self._first()) is not None:
            at, request = found
            self._heard = self._heard[at + len(request) :]
            if answer := next(self._answers[request]):
                yield Answer("capture", answer, request)
        self._heard = self._heard[-self._longest :] if self._longest else b""

    def silence(self) -> Iterable[Answer]:
        return ()

    def _first(self) -> tuple[int, bytes] | None:
        """Where the first request of the capture stands in what was heard; of two at one place the longer one."""
        places = ((self._heard.find(request), -len(request), request) for request in self._answers)
        found = min((place for place in places if place[0] >= 0), default=None)
        return None if found is None else (found[0], found[2])
