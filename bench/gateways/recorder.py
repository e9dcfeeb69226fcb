"""What arrives at the subscriber: each value accounted for, and how long after the device's answer it was there."""

import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gateways.serials import Account, Block

Decode = Callable[[str, bytes], Iterator[Block]]
RING = 64


@dataclass(frozen=True)
class Work:
    """What a gateway is to read: so many devices with so many registers, each so often."""

    devices: int = 20
    registers: int = 100
    interval_s: float = 1.0

    @property
    def rate(self) -> float:
        """Registers a second."""
        return self.devices * self.registers / self.interval_s


class Truth:
    """What the simulator has answered so far, in the file that it maps (`native/simulator.c`)."""

    def __init__(self, file: Path, work: Work) -> None:
        cells = work.devices * work.registers
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)
        self._view = memoryview(self._map)
        self._reads = self._view[: cells * 4].cast("I")
        self._answered_ns = self._view[cells * 4 + (cells & 1) * 4 :].cast("Q")
        self._registers = work.registers

    def reads(self, block: Block) -> Sequence[int]:
        """How often the registers of a block were read."""
        cell = block.device * self._registers + block.first
        return self._reads[cell : cell + len(block.values)]

    def answered_ns(self, device: int, register: int, serial: int) -> int | None:
        """When that read was answered; None where it is too long ago to be known."""
        cell = device * self._registers + register
        known = self._reads[cell] - RING <= serial < self._reads[cell]
        return self._answered_ns[cell * RING + serial % RING] if known else None

    def snapshot(self) -> list[list[int]]:
        """How often each register of each device was read."""
        flat = self._reads.tolist()
        return [flat[at : at + self._registers] for at in range(0, len(flat), self._registers)]

    def total(self) -> int:
        """Registers read so far."""
        return sum(self._reads)

    def close(self) -> None:
        for view in (self._reads, self._answered_ns, self._view):
            view.release()
        self._map.close()


class Arrival(NamedTuple):
    """A block with something new in it: when its device answered, and when it was at the subscriber."""

    answered_ns: int
    arrived_ns: int

    @property
    def latency_ms(self) -> float:
        return (self.arrived_ns - self.answered_ns) / 1e6


class Recorder:
    """Takes messages, as they come, from the subscriber's thread."""

    def __init__(self, work: Work, truth: Truth, decode: Decode) -> None:
        self._truth, self._decode = truth, decode
        self.account = Account(work.devices, work.registers)
        self.arrivals: list[Arrival] = []
        self.messages = 0
        self.first_ns = 0
        self.last_ns = 0

    def heard(self, at_ns: int, topic: str, payload: bytes) -> None:
        """Account for one message."""
        told = False
        for block in self._decode(topic, payload):
            told = True
            serial = self.account.take(block, self._truth.reads(block))
            if serial is not None:
                answered_ns = self._truth.answered_ns(block.device, block.first, serial)
                if answered_ns is not None:
                    self.arrivals.append(Arrival(answered_ns, at_ns))
        if told:
            self.messages += 1
            self.first_ns = self.first_ns or at_ns
            self.last_ns = at_ns

    def latencies_ms(self, since_ns: int = 0, until_ns: int = 1 << 63) -> list[float]:
        """Of what devices answered in that time."""
        return [a.latency_ms for a in self.arrivals.copy() if since_ns <= a.answered_ns < until_ns]

    def settle(self, reads: Sequence[Sequence[int]], timeout_s: float) -> list[tuple[int, int, int]]:
        """Wait until everything in `reads` has arrived; gives what has not after `timeout_s`.

        It gives up sooner where no gap was filled for a third of that.
        """
        now_s = time.monotonic()
        deadline_s, gaps, filled_s = now_s + timeout_s, self.account.gaps, now_s
        while (now_s := time.monotonic()) < deadline_s and now_s - filled_s < timeout_s / 3:
            if not self.account.gaps and not self.account.lost(reads):
                return []
            if self.account.gaps != gaps:
                gaps, filled_s = self.account.gaps, now_s
            time.sleep(0.1)
        return self.account.lost(reads)
