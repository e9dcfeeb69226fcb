"""The read that tells whether older answers are through: its answer can be no other one's. Pure.

Source: two late replies of one count cannot be told apart on RTU (home-assistant/core#138077, libmodbus#135).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from drivers.modbus.pdu import Identify, Request
from drivers.modbus.profile import BIT_TABLES

_STEPS = (-2, 2, -1, 1, 4, -4, 3)
"""Even steps first: meters of 32-bit values refuse half a value."""


def barrier(request: Request, owed: Iterable[Request | Identify]) -> Request:
    """A read near `request` whose answer has another size than that of `request` and of everything `owed`."""
    sizes = {other.reply_bytes for other in (*owed, request)}
    return next(candidate for candidate in _candidates(request) if candidate.reply_bytes not in sizes)


def _candidates(request: Request) -> Iterator[Request]:
    step, most = (8, 2_000) if request.table in BIT_TABLES else (1, 125)
    near = (request.count + n * step for n in _STEPS)
    for count in (*near, *range(step, most + 1, step)):
        if 1 <= count <= most:
            yield replace(request, count=count, address=min(request.address, 0x10000 - count))
