"""How many registers a second a gateway carries on one core, for as long as one looks."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from gateways.figures import percentile
from gateways.processes import cores
from gateways.recorder import Work
from gateways.rig import Unfit, rig
from gateways.scenes.api import Effort
from gateways.scenes.steady import started
from gateways.subjects import OURS, Subject

DEVICES, REGISTERS = 20, 100
SHORTEST_S = 0.05
STEP, LAST = 2.0, 1_200_000
WARM_UP_S = 4.0
SHARE = 0.97
"""Of what was asked for, so much must be read."""
BEHIND_S, LATE_MS = 2.5, 2_500.0
"""A gateway that sends once a second is a second behind, never more than two; one that does not keep up, ever more."""


class Ramp:
    name = "ramp"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS or not (effort.quick or subject.variant)

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        """Twice as much each time until it is too much, then once the middle."""
        best: Mapping[str, float] = {"sustained": 0.0, "load_busy": 0.0}
        rate = effort.ramp_from
        while rate <= LAST and (found := tried(subject, prefix, rate, effort.ramp_s)):
            best, rate = found, rate * STEP
        middle = tried(subject, prefix, rate / STEP**0.5, effort.ramp_s) if rate <= LAST else None
        return middle or best


def work_of(rate: float) -> Work:
    """20 devices, read more often; then, as nothing is read more often than each 50 ms, more devices."""
    interval_s = max(SHORTEST_S, DEVICES * REGISTERS / rate)
    return Work(max(DEVICES, round(rate * interval_s / REGISTERS)), REGISTERS, round(interval_s, 4))


def tried(subject: Subject, prefix: Path, rate: float, seconds: float) -> dict[str, float] | None:
    """What was carried, None where that was not all."""
    work = work_of(rate)
    with rig(subject, work, prefix) as ready:
        try:
            started(ready)
            time.sleep(WARM_UP_S)
            began_ns, read, busy_s = time.monotonic_ns(), ready.truth.total(), _busy_s()
            time.sleep(seconds)
            elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
            behind, read = ready.truth.total() - ready.recorder.account.good, ready.truth.total() - read
            busy = (_busy_s() - busy_s) / elapsed_s
            ready.usage()
        except Unfit:
            return None
        late_ms = percentile(ready.recorder.latencies_ms(began_ns), 0.95)
        carried = read >= SHARE * work.rate * elapsed_s and behind <= BEHIND_S * work.rate and late_ms < LATE_MS
        print(
            f"    {work.rate:,.0f}/s asked: {read / elapsed_s:,.0f}/s read, {behind / work.rate:.1f} s of them not yet "
            f"there, p95 {late_ms:.0f} ms, the load's core {busy:.0%} busy",
            flush=True,
        )
        return {"sustained": read / elapsed_s, "load_busy": busy} if carried else None


def _busy_s() -> float:
    """What the load's core has worked so far."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = next(line.split() for line in lines if line.startswith(f"cpu{cores()[1]} "))
    user, _nice, system, _idle, _waiting, *interrupts = map(int, fields[1:9])  # what is nice gives way
    return (user + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
