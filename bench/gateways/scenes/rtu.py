"""A serial line while it is at work: the share of that time which cannot be less, and the silence before each request.

The devices are due together, once a second; the time between the last answer and the next second is not counted, for
the agent refuses a configuration that a line cannot carry.
"""

import struct
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from gateways.processes import cores, end, serve, start
from gateways.rig import RAM_DISK, Unfit, broker
from gateways.scenes.api import Effort
from gateways.subjects import OURS, Subject
from gateways.subjects.oc_agent import OcAgent

UNITS = {9_600: 3, 19_200: 6, 115_200: 20}
"""By baud: so many devices with 100 registers each fit into a second."""
REGISTERS = 100
SETTLE_S = 6.0
FACTS = "5Q"


class Rtu:
    name = "rtu"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        assert isinstance(subject, OcAgent)
        found: dict[str, float] = {"rtu_too_early": 0}
        for baud in UNITS:
            share, too_early = used(subject, prefix, baud, effort.rtu_s)
            found[f"rtu_share_{baud}"] = share
            found["rtu_too_early"] += too_early
        return found


def used(subject: OcAgent, prefix: Path, baud: int, seconds: float) -> tuple[float, int]:
    """(share of the time at work that characters and silences take, requests within the silence)."""
    with tempfile.TemporaryDirectory(dir=RAM_DISK, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with broker(folder, cores()[1]) as (broker_port, _):
            line = serve([str(prefix / "bin" / "rtu_line"), str(baud), str(folder / "line")], cores()[1])
            assert line.stdout
            launch = subject.on_serial_line(
                folder, line.stdout.readline().strip(), baud, broker_port, UNITS[baud], REGISTERS
            )
            gateway = start(launch.command, cores()[0], folder, launch.environment)
            try:
                time.sleep(SETTLE_S)
                before = _facts(folder)
                time.sleep(seconds)
                after = _facts(folder)
            finally:
                end(gateway)
                end(line)
        if after[1] == before[1]:
            raise Unfit(f"nothing was read at {baud} baud: {(folder / 'output.log').read_text()[-300:]}")
        return (after[0] - before[0]) / (after[4] - before[4]), after[2] - before[2]


def _facts(folder: Path) -> tuple[int, ...]:
    """Ns used, requests, requests within the silence, shortest silence, ns at work (`native/rtu_line.c`)."""
    return struct.unpack(FACTS, (folder / "line").read_bytes())
