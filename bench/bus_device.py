"""Ten devices on one paced RS-485 bus, some of them bad: the far end of `modbus_bus.py`, in a process of its own.

Prints the path of its pty. Every register says where it stands, so that a value at a wrong place is seen.
"""

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from simulators.lines.pty import Pty, open_pty
from simulators.modbus.framing import RtuRequests, rtu_frame

CHARS_AT_ONCE = 8
BABBLE_EVERY_S = 2.5


def word(unit: int, address: int) -> int:
    """What stands in a register."""
    return (unit * 7_919 + address * 31) & 0xFFFF


class Bus:
    """The devices; one wire, so one answer at a time."""

    def __init__(self, pty: Pty, args: argparse.Namespace, random: Random) -> None:
        self._pty = pty
        self._args = args
        self._random = random
        self._char_s = 10 / args.baud
        self._requests = RtuRequests()
        self._free_at = 0.0

    def heard(self) -> None:
        for unit, pdu in self._requests.feed(self._pty.read()):
            if unit in self._args.dead:
                continue
            delay_s = (8 + 4) * self._char_s + 0.005
            if unit in self._args.slow:
                delay_s += self._random.uniform(0.3, 3.0) * self._args.timeout
            first, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
            data = b"".join(word(unit, first + index).to_bytes(2, "big") for index in range(count))
            self._send_after(delay_s, rtu_frame(unit, bytes((pdu[0], len(data))) + data))

    def babble(self) -> None:
        """Rubbish that nobody asked for, at any moment."""
        self._send_after(0.0, self._random.randbytes(self._random.randrange(1, 12)))
        asyncio.get_running_loop().call_later(self._random.expovariate(1 / BABBLE_EVERY_S), self.babble)

    def _send_after(self, delay_s: float, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        at = max(loop.time() + delay_s, self._free_at)
        for start in range(0, len(data), CHARS_AT_ONCE):
            chunk = data[start : start + CHARS_AT_ONCE]
            at += len(chunk) * self._char_s
            loop.call_at(at, self._writer(chunk))
        if delay_s < self._args.timeout:  # a late answer does not hold the wire before it begins
            self._free_at = at

    def _writer(self, chunk: bytes) -> Callable[[], None]:
        return lambda: self._pty.write(chunk)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--baud", type=int, default=9_600)
    parser.add_argument("--timeout", type=float, default=0.3)
    parser.add_argument("--dead", type=int, nargs="*", default=[])
    parser.add_argument("--slow", type=int, nargs="*", default=[])
    parser.add_argument("--babble", action="store_true")
    args = parser.parse_args()
    with open_pty(Path(mkdtemp()) / "bus") as pty:
        bus = Bus(pty, args, Random(1))
        asyncio.get_running_loop().add_reader(pty.fd, bus.heard)
        if args.babble:
            bus.babble()
        print(pty_path(pty), flush=True)
        await asyncio.Event().wait()


def pty_path(pty: Pty) -> str:
    return str(Path(f"/proc/self/fd/{pty.device_fd}").resolve())


if __name__ == "__main__":
    asyncio.run(main())
