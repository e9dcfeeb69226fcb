"""One RS-485 bus with ten devices, one dead, one slow, one babbling: wrong values, lateness, bus time.

The poller and the Modbus driver of the agent, as shipped; the devices are another process behind a paced pty.
Exit 1 where a wrong value came through.
"""

import argparse
import asyncio
import dataclasses
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from bus_device import word

from agent.clock import NS_PER_S, SystemClock
from agent.configuration import load_configuration
from agent.model import Scan
from agent.polling.poller import LinkPoller

DEVICES = range(1, 11)
POINTS = 10
TIMEOUT_S = 0.3
PROFILE = 'vendor = "Bench"\nmodel = "B"\nkind = "modbus"\nsource = "bench"\n' + "".join(
    f'[[point]]\nname = "p{n}"\ntable = "holding"\naddress = {100 + n}\ntype = "u16"\n' for n in range(POINTS)
)
CASES = (
    ("all healthy", []),
    ("one dead", ["--dead", "3"]),
    ("one slow", ["--slow", "5"]),
    ("one babbling", ["--babble"]),
    ("dead, slow, babbling", ["--dead", "3", "--slow", "5", "--babble"]),
)

HEADS = (
    "bus", "baud", "good", "wrong", "no value", "lateness p50 / p99 ms", "missed slots", "bus time", "of unit 3",
    "of unit 5", "late bytes",
)  # fmt: skip
SETTLING_S = 2.0
"""The first polls are made at once and not at a tick; they say nothing of lateness."""


class Watch:
    """What came of each device, checked register by register, and what it cost."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.late_s: list[float] = []
        self.busy_s: dict[int, float] = defaultdict(float)
        self._started = time.monotonic()

    def scan(self, scan: Scan) -> None:
        unit = int(scan.device[1:])
        for reading in scan.readings:
            if reading.value is None:
                self.seen["none"] += 1
            else:
                right = reading.value == word(unit, 100 + int(reading.point[1:]))
                self.seen["good" if right else "WRONG"] += 1
        settled = time.monotonic() - self._started > SETTLING_S
        if settled and unit not in (3, 5) and scan.readings[0].value is not None:
            self.late_s.append(scan.mono_ns % NS_PER_S / NS_PER_S)

    def timed(self, spec: Any) -> Any:
        """The driver, with a clock at its reads."""

        @asynccontextmanager
        async def open_link(options: Any) -> AsyncIterator[Any]:
            async with spec.open_link(options) as link:
                read = link.read

                async def timed_read(unit: int, plan: Any) -> Any:
                    started = time.monotonic()
                    try:
                        return await read(unit, plan)
                    finally:
                        self.busy_s[unit] += time.monotonic() - started

                link.read = timed_read
                yield link

        return dataclasses.replace(spec, open_link=open_link)


async def run(port: str, baud: int, seconds: float) -> tuple[Watch, LinkPoller]:
    watch = Watch()
    with TemporaryDirectory() as folder:
        settings = load_configuration(_configuration(Path(folder), port, baud)).settings
    link = msgspec.structs.replace(settings.links[0], spec=watch.timed(settings.links[0].spec))
    poller = LinkPoller(link, settings.devices, SystemClock(), Random(1), watch.scan, lambda _event: None)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await poller.run()
    return watch, poller


def _configuration(folder: Path, port: str, baud: int) -> Path:
    (folder / "bench.toml").write_text(PROFILE, encoding="utf-8")
    devices = (
        f'[[device]]\nname = "d{n}"\nlink = "bus"\nunit = {n}\nprofile = "./bench.toml"\ninterval_s = 1.0\n'
        for n in DEVICES
    )
    file = folder / "agent.toml"
    file.write_text(
        '[gateway]\nid = "bench"\n[site]\noc = "bench"\n[uplink]\nhost = "127.0.0.1"\ntls = false\n'
        f'[[link]]\nname = "bus"\nkind = "modbus"\ntransport = "rtu"\nport = "{port}"\nbaud = {baud}\n'
        f"timeout_s = {TIMEOUT_S}\n" + "".join(devices),
        encoding="utf-8",
    )
    return file


def measure(name: str, bad: list[str], baud: int, seconds: float) -> bool:
    """Run one case and print its row; True where no value was wrong."""
    script = Path(__file__).with_name("bus_device.py")
    command = [sys.executable, script, "--baud", str(baud), "--timeout", str(TIMEOUT_S), *bad]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as devices:
        try:
            assert devices.stdout
            watch, poller = asyncio.run(run(devices.stdout.readline().strip(), baud, seconds))
        finally:
            devices.terminate()
    late_ms = sorted(1_000 * late for late in watch.late_s)
    p50, p99 = (late_ms[len(late_ms) * part // 100] if late_ms else float("nan") for part in (50, 99))
    shares = {unit: busy / seconds for unit, busy in watch.busy_s.items()}
    seen, stats = watch.seen, poller.stats
    cells = [
        name, baud, seen["good"], seen["WRONG"], seen["none"], f"{p50:.0f} / {p99:.0f}", poller.schedule.missed,
        f"{sum(shares.values()):.0%}", f"{shares.get(3, 0):.1%}", f"{shares.get(5, 0):.1%}", stats.late_bytes,
    ]  # fmt: skip
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return not watch.seen["WRONG"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each case")
    parser.add_argument("--baud", type=int, nargs="*", default=[9_600])
    args = parser.parse_args()
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    rows = [measure(name, bad, baud, args.seconds) for baud in args.baud for name, bad in CASES]
    return 0 if all(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
