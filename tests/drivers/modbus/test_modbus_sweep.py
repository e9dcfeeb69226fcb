"""Never a wrong value: late replies at every offset, on lines that are paced like real ones."""

import asyncio
import random
from collections import Counter

from numbered import MakeNumbered, options, words

from drivers.errors import BadReply, NoReply
from drivers.modbus.line import Line, open_line
from drivers.modbus.pdu import Request
from simulators.testing import SimulatedDevice

TIMEOUT_S = 0.15
OFFSETS = 13
UNITS = (1, 2, 17)
READS = 100
CHARS_AT_ONCE = 4


class LateDevice:
    """Delays some replies, and sends all of them a few characters at a time, as fast as the baud rate allows."""

    def __init__(self, baud: int, late: frozenset[int], offset_s: float) -> None:
        self._char_s = 11 / baud
        self._late = late
        self._offset_s = offset_s

    def __call__(self, number: int, request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
        start_s = len(request) * self._char_s + (self._offset_s if number in self._late else 0.0)
        return [
            (start_s + (at + CHARS_AT_ONCE) * self._char_s, reply[at : at + CHARS_AT_ONCE])
            for at in range(0, len(reply), CHARS_AT_ONCE)
        ]


async def read_back_to_back(line: Line, rng: random.Random, reads: int) -> Counter[str]:
    """Random places and units; every word says where it should stand."""
    seen: Counter[str] = Counter()
    for _ in range(reads):
        unit, address, count = rng.choice(UNITS), rng.randrange(0, 60_000), rng.choice((1, 2, 2, 2, 4))
        try:
            found, _ = await line.request(Request(unit, "holding", address, count))
        except (NoReply, BadReply):
            seen["none"] += 1
        else:
            seen["good" if found.words == words(unit, address, count) else "WRONG"] += 1
    return seen


def line_of_units(numbered: MakeNumbered, kind: str) -> SimulatedDevice:
    """All units on a line of their own; gives the first."""
    first = numbered(kind, UNITS[0])
    for unit in UNITS[1:]:
        numbered(kind, unit, on=first)
    return first


async def one_line(device: SimulatedDevice, baud: int, offset_s: float, many: bool, seed: int) -> Counter[str]:
    """After the late replies the devices of a line answer in time again."""
    rng = random.Random(seed)
    late = frozenset(rng.sample(range(2, READS // 2), 8) if many else (rng.randrange(2, 10),))
    device.line.script(LateDevice(baud, late, offset_s))
    async with open_line(options(device, TIMEOUT_S)) as line:
        return await read_back_to_back(line, rng, READS)


async def test_late_replies_at_every_offset_give_no_wrong_value_in_ten_thousand_reads(
    numbered: MakeNumbered,
) -> None:
    offsets = [3 * TIMEOUT_S * n / (OFFSETS - 1) for n in range(OFFSETS)]
    places = [(kind, baud) for kind in ("rtu", "rtu-over-tcp") for baud in (9_600, 115_200)]
    cases = [(kind, baud, offset, many) for kind, baud in places for offset in offsets for many in (False, True)]
    lines = [one_line(line_of_units(numbered, kind), *case, seed) for seed, (kind, *case) in enumerate(cases)]
    for case, seen in zip(cases, found := await asyncio.gather(*lines), strict=True):
        assert not seen["WRONG"], f"{case}: {dict(seen)}"
    total = sum(found, Counter[str]())
    print(f"seeds 0 to {len(cases) - 1}: {dict(total)}")
    assert total.total() >= 10_000
    assert total["good"] > 0.9 * total.total()
