"""Single-board computers that gateways run on, as a share of one core of this machine.

Found with one benchmark of Python, because that is what the agent is: the time that ten thousand rounds of plain
arithmetic take, from the public list of github.com/alexdedyura/cpu-benchmark (README, entries of January and June 2024:
Raspberry Pi 4, Ubuntu 22.04; Raspberry Pi 3B, Docker). The list has a Cortex-A53 at 1.2 GHz; the two others with that
core are taken to differ by their clocks. bench/README.md says how far to trust it.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from gateways.processes import cores

ROUNDS_OF_LIST = 10_000
A53_S, A53_GHZ = 126.469, 1.2
A72_S = 79.216


class Board(NamedTuple):
    """`rounds_s`: what the benchmark takes on one of its cores."""

    name: str
    core: str
    rounds_s: float

    def share(self, here_s: float) -> float:
        """Of a core here, on which the benchmark takes `here_s`; at most all of it."""
        return min(1.0, here_s / self.rounds_s)


BOARDS = {
    "zero2": Board("Pi Zero 2 W", "Cortex-A53, 1.0 GHz", A53_S * A53_GHZ / 1.0),
    "3": Board("Pi 3B+", "Cortex-A53, 1.4 GHz", A53_S * A53_GHZ / 1.4),
    "4": Board("Pi 4B", "Cortex-A72", A72_S),
}


def rounds_s(rounds: int) -> float:
    """Processor time of so many rounds: 999 powers of two, and 19,998 divisions of floats."""
    began_s = time.process_time()
    for _ in range(rounds):
        for n in range(1, 1_000):
            3.141592 * 2**n
        for n in range(1, 10_000):
            float(n) / 3.141592
        for n in range(1, 10_000):
            3.141592 / n
    return time.process_time() - began_s


def here_s(python: Path, rounds: int = 500, runs: int = 5) -> float:
    """What the whole benchmark would take with this Python on the gateway's core: median of some short runs."""
    code = f"from gateways.boards import rounds_s; print(rounds_s({rounds}))"
    command = ["taskset", "-c", str(cores()[0]), str(python), "-c", code]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    taken = [
        float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        for _ in range(runs)
    ]
    return median(taken) * ROUNDS_OF_LIST / rounds


if __name__ == "__main__":
    print(f"{here_s(Path(sys.executable)):.1f} s")
