"""Registers that count how often they were read, and the account of what arrived of them.

Each read of a register gives its next serial number, so for whoever gets the values loss, duplicates and order are
exact: nothing is sampled. Promises: every value is counted once, as good, duplicate or wrong. Must not know: formats,
sockets, gateways. `native/simulator.c` says `offset` in C.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WORDS = 65_536


class Block(NamedTuple):
    """Values that came together: of registers `first`, `first` + 1, ... of one device. None: a word without a value."""

    device: int
    first: int
    values: Sequence[int | None]


def offset(device: int, register: int) -> int:
    """Where a register begins to count. Neighbours are far apart: a value at another's place fits no read so far."""
    return (device * 1009 + register * 40_503) % WORDS


@dataclass
class Register:
    """What arrived of one register: serials below `expected` are there, but for those in `missing`."""

    offset: int
    expected: int = 0
    missing: set[int] = field(default_factory=set)


class Account:
    """What arrived of all registers. `good` counts each read once; `late`: after a younger one."""

    def __init__(self, devices: int, registers: int) -> None:
        self._registers = [[Register(offset(d, r)) for r in range(registers)] for d in range(devices)]
        self.good = self.duplicates = self.late = self.wrong = self.without_value = 0
        self.gaps = 0
        """Reads that have not arrived while a younger one has."""

    def begin(self, reads: Sequence[Sequence[int]]) -> None:
        """Expect nothing that is below `reads`; what comes of it counts as a duplicate."""
        for rows, counts in zip(self._registers, reads, strict=True):
            for register, count in zip(rows, counts, strict=True):
                register.expected = count

    def take(self, block: Block, reads: Sequence[int]) -> int | None:
        """Account for a block; `reads` says how often each of its registers was read so far. Gives a good serial.

        The serial is the oldest new one of the block, None where nothing in it was new.
        """
        oldest = None
        rows = self._registers[block.device]
        for at, value in enumerate(block.values, block.first):
            register = rows[at]
            if value is None:
                self.without_value += 1
                continue
            # 16 bits of the serial: the one nearest below what was read so far
            top = reads[at - block.first]
            serial = top - 1 - (top - 1 - (value - register.offset)) % WORDS
            if serial == register.expected < top:
                register.expected += 1
                self.good += 1
            elif serial < 0 or not 0 <= value < WORDS:
                self.wrong += 1
                continue
            elif serial > register.expected:
                register.missing.update(range(register.expected, serial))
                self.gaps += serial - register.expected
                register.expected = serial + 1
                self.good += 1
            elif serial in register.missing:
                register.missing.remove(serial)
                self.gaps -= 1
                self.good += 1
                self.late += 1
            else:
                self.duplicates += 1
                continue
            oldest = serial if oldest is None else min(oldest, serial)
        return oldest

    def lost(self, reads: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
        """(device, register, serial) of every read below `reads` that has not arrived."""
        return [
            (device, at, serial)
            for device, row in enumerate(self._registers)
            for at, register in enumerate(row)
            for serial in [
                *sorted(serial for serial in [*register.missing] if serial < reads[device][at]),
                *range(register.expected, reads[device][at]),
            ]
        ]
