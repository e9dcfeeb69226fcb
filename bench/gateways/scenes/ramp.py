"""How many registers a second a gateway carries on one core, for as long as one looks."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateways.figures import percentile
from gateways.processes import cores
from gateways.recorder import Work
from gateways.rig import Rig, Unfit, rig
from gateways.scenes.api import Effort
from gateways.scenes.steady import started
from gateways.subjects import OURS, Subject

DEVICES, REGISTERS = 20, 100
SHORTEST_S = 0.05
STEP, LEAST, LAST = 2.0, 500, 1_200_000
TRIES = 2
"""A rate that is not carried is tried again: something else may have been on the core."""
WARM_UP_S = 4.0
GOING_ON_S, SETTLE_S = 6.0, 15.0
SHARE = 0.97
"""Of what was asked for, so much must be read."""
BEHIND_S, LATE_MS = 2.5, 2_500.0
"""A gateway that sends once a second is a second behind, never more than two; one that does not keep up, ever more."""


@dataclass(frozen=True)
class Step:
    """What became of one rate. `shares`: of a core, by who used it; `load_busy`: by all on the core of the load."""

    asked: float
    read: float
    behind_s: float
    late_ms: float
    lost: int
    wrong: int
    load_busy: float
    shares: Mapping[str, float]

    @property
    def carried(self) -> bool:
        enough = self.read >= SHARE * self.asked and self.behind_s <= BEHIND_S and self.late_ms < LATE_MS
        return enough and not self.lost and not self.wrong

    def __str__(self) -> str:
        used = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return (
            f"{self.asked:,.0f}/s asked: {self.read:,.0f}/s read, {self.behind_s:.1f} s of them not yet there, p95 "
            f"{self.late_ms:.0f} ms, {self.lost} lost, {self.wrong} wrong; of a core: {used}; the load's core "
            f"{self.load_busy:.0%} busy{'' if self.carried else '; not carried'}"
        )


class Ramp:
    name = "ramp"
    repeated = False

    def fits(self, subject: Subject, effort: Effort) -> bool:
        return subject.name == OURS or not (effort.quick or subject.variant)

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        """The figures of the highest rate that is carried; lost and wrong are of all rates that were tried."""
        steps: list[Step] = []

        def carries(rate: float) -> bool:
            return any(tried(subject, prefix, rate, effort.ramp_s, steps) for _ in range(TRIES))

        best = highest(carries, effort.ramp_from, effort.ramp_close)
        found = {"ramp_lost": sum(step.lost for step in steps), "ramp_wrong": sum(step.wrong for step in steps)}
        for step in steps:
            if step.carried and step.asked == work_of(best).rate:
                shares = {f"ramp_{name}": share for name, share in step.shares.items()}
                return {"sustained": step.read, "load_busy": step.load_busy, **shares, **found}
        return {"sustained": 0.0, **found}


def highest(carries: Callable[[float], bool], start: float, close: float) -> float:
    """The highest rate that is carried, so that `close` times that is not; 0 where none is.

    Twice as much each time, or half as much where the first is too much; then the middle of the last two.
    """
    good, bad, rate = 0.0, float("inf"), start
    while LEAST <= rate <= LAST and not (good and bad < float("inf")):
        if carries(rate):
            good, rate = rate, rate * STEP
        else:
            bad, rate = rate, rate / STEP
    while good and bad < float("inf") and bad / good > close:
        middle = (good * bad) ** 0.5
        if carries(middle):
            good = middle
        else:
            bad = middle
    return good


def work_of(rate: float) -> Work:
    """20 devices, read more often; then, as nothing is read more often than each 50 ms, more devices."""
    interval_s = max(SHORTEST_S, DEVICES * REGISTERS / rate)
    return Work(max(DEVICES, round(rate * interval_s / REGISTERS)), REGISTERS, round(interval_s, 4))


def tried(subject: Subject, prefix: Path, rate: float, seconds: float, steps: list[Step]) -> bool:
    """Is it carried? A gateway that does not start, or ends by itself, does not carry it."""
    try:
        with rig(subject, work_of(rate), prefix) as ready:
            started(ready)
            time.sleep(WARM_UP_S)
            step = window(ready, seconds)
    except Unfit as err:
        print(f"    {rate:,.0f}/s asked: {err}", flush=True)
        return False
    steps.append(step)
    print(f"    {step}", flush=True)
    return step.carried


def window(ready: Rig, seconds: float) -> Step:
    """Look for so many seconds. What was read in them must come, at the latest when the devices have fallen silent.

    Not only then: collectd sends the last of it with the next that it reads.
    """
    began_ns, begun, before, busy_s = time.monotonic_ns(), ready.truth.snapshot(), _used_s(ready), _busy_s()
    time.sleep(seconds)
    elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
    reads, there = ready.truth.snapshot(), ready.recorder.account.good
    total = sum(map(sum, reads))
    busy_s, used_s = _busy_s() - busy_s, _used_s(ready)
    late_ms = percentile(ready.recorder.latencies_ms(began_ns), 0.95)
    lost = ready.recorder.settle(reads, GOING_ON_S)
    if lost:
        ready.silence_devices()
        lost = ready.recorder.settle(reads, SETTLE_S)
    return Step(
        asked=ready.work.rate,
        read=(total - sum(map(sum, begun))) / elapsed_s,
        behind_s=(total - there) / ready.work.rate,
        late_ms=late_ms,
        lost=sum(serial >= begun[device][register] for device, register, serial in lost),
        wrong=ready.recorder.account.wrong,
        load_busy=busy_s / elapsed_s,
        shares={name: (used - before[name]) / elapsed_s for name, used in used_s.items()},
    )


def _used_s(ready: Rig) -> dict[str, float]:
    return {"gateway": ready.usage().cpu_s, **ready.load_cpu_s()}


def _busy_s() -> float:
    """What the load's core has worked so far."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = next(line.split() for line in lines if line.startswith(f"cpu{cores()[1]} "))
    user, _nice, system, _idle, _waiting, *interrupts = map(int, fields[1:9])  # what is nice gives way
    return (user + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
