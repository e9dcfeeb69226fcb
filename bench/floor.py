"""What one device costs, and how much of that is not ours: our agent beside the least gateway of the same libraries.

Both read 1, 10, 100 and 500 devices of 100 registers once a second, with the devices, the broker and the recorder of
`make bench`. The last column is highest over lowest: a loop that wakes once a second finds nothing of itself in the
caches of the processor, one that is busy does. Wants cc and mosquitto.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from floor_probe import TOPIC
from gateways.recorder import Work
from gateways.rig import Unfit, build, rig
from gateways.scenes.linearity import COUNTS
from gateways.scenes.steady import WARM_UP_S, started, window
from gateways.serials import Block
from gateways.subjects.api import Launch, Missing, Place, Site, Subject
from gateways.subjects.oc_agent import OcAgent


class Probe:
    """`floor_probe.py`."""

    name, note, variant, optional, keeps = "probe", "pymodbus, paho, asyncio", False, False, False

    def install(self, place: Place) -> str:
        return ""

    def configure(self, site: Site) -> Launch:
        file = site.ram / "probe.json"
        ports = list(site.device_ports[: site.work.devices])
        file.write_text(json.dumps({"ports": ports, "registers": site.work.registers, "broker": site.broker_port}))
        return Launch([sys.executable, str(Path(__file__).with_name("floor_probe.py")), str(file)])

    def decode(self, topic: str, payload: bytes) -> Iterator[Block]:
        if topic == TOPIC:
            for device, values in msgspec.json.decode(zlib.decompress(payload)):
                yield Block(device, 0, values)

    def retained(self) -> Sequence[tuple[str, bytes]]:
        return ()

    def answers(self, topic: str, payload: bytes) -> Sequence[tuple[str, bytes]]:
        return ()


def measured(subject: Subject, devices: int, prefix: Path, seconds: float) -> float:
    """Processor seconds for 1,000 registers."""
    with rig(subject, Work(devices=devices), prefix) as ready:
        started(ready)
        time.sleep(WARM_UP_S)
        return window(ready, seconds)["cpu_s"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a window")
    parser.add_argument("--runs", type=int, default=3, help="in turn; the table has medians")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            table(Path(folder), options.seconds, options.runs)
    except (Unfit, Missing) as err:
        print(f"floor.py: skipped: {err}")


def table(prefix: Path, seconds: float, runs: int) -> None:
    """Measure and print."""
    build(prefix)
    agent, probe = OcAgent(), Probe()
    agent.install(Place(prefix, Path(sys.prefix)))
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(runs):
        for devices in COUNTS:
            for subject in (agent, probe):
                found.setdefault((subject.name, devices), []).append(measured(subject, devices, prefix, seconds))
    print(f"| s for 1,000 registers | {' | '.join(map(str, COUNTS))} | highest over lowest |")
    print(f"|---|{'---|' * len(COUNTS)}---|")
    medians = {key: statistics.median(values) for key, values in found.items()}
    for subject in (agent, probe):
        row = [medians[subject.name, devices] for devices in COUNTS]
        print(f"| {subject.name} | {' | '.join(f'{cpu_s:.5f}' for cpu_s in row)} | {max(row) / min(row):.1f} |")
    row = [medians[agent.name, devices] / medians[probe.name, devices] for devices in COUNTS]
    print(f"| ratio | {' | '.join(f'{ratio:.1f}' for ratio in row)} | |")


if __name__ == "__main__":
    main()
