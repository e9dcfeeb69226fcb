"""The agent takes no more memory after an hour than before it: `make soak SOAK_SECONDS=3600`; ten minutes otherwise.

The plain work of the bench, 2,000 readings a second, while its uplink flaps: cut, reset, half-open, for a second to a
minute. Every 10 s it is looked at from outside (RSS, PSS, descriptors, threads) and inside (objects, blocks, what malloc
gave out). What is read is accounted for to the last number.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest
from gateways.recorder import Work
from gateways.rig import Rig, build, rig
from gateways.scenes.steady import started
from growth import Growth, growth
from plain_work import AgentUnderTest, Look, account_at_the_end, ask_for_counts, look

LOOK_EACH_S = 10.0
WARM_UP = 1 / 6
"""Of the whole time: caches, the first hole that a backlog leaves in the heap, the WAL at its full length."""
SETTLE_S = 120.0
OUTAGE_MB = 6.0
GROWTHS = {
    "rss_mb": 0.5,
    "pss_mb": 0.5,
    "files": 1.0,
    "threads": 1.0,
    "objects": 300,
    "blocks": 1_000,
    "c_bytes": 300_000,
}
"""What may be between the beginning and the end, beside what chance makes of it."""


class Uplink:
    """Flaps; each fault lasts a second to a minute, and as long again it is well."""

    def __init__(self, ready: Rig, random: Random) -> None:
        self._line, self._random = ready.line, random
        self.done: dict[str, int] = {}

    def flap(self, until_s: float, wait: Callable[[float], None]) -> None:
        """Until that time, and mend it then."""
        faults: Sequence[tuple[str, Callable[[], None], Callable[[], None]]] = (
            ("cut", self._line.cut, self._line.mend),
            ("reset", self._line.cut, self._line.mend),
            ("half-open", self._line.stall, self._line.flow),
        )
        while time.monotonic() < until_s:
            name, begin, end = self._random.choice(faults)
            self.done[name] = self.done.get(name, 0) + 1
            begin()
            try:
                wait(0.1 if name == "reset" else self._lasts())
            finally:
                end()
            wait(self._lasts())

    def _lasts(self) -> float:
        return float(60 ** self._random.random())


class Watch:
    """Looks at the agent each 10 s while time passes."""

    def __init__(self, ready: Rig, counts: Path) -> None:
        self._ready, self._counts = ready, counts
        self.looks: list[Look] = []
        self._next_s = time.monotonic()

    def wait(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            if now_s >= self._next_s:
                ask_for_counts(self._ready)
                self.looks.append(look(self._ready))
                print(*(f"{name} {figure:.4g}" for name, figure in self.looks[-1]._asdict().items()), flush=True)
                self._next_s = now_s + LOOK_EACH_S
            time.sleep(max(0.0, min(until_s, self._next_s) - time.monotonic()))

    def growths(self, since_s: float) -> dict[str, Growth]:
        """Of everything that was looked at since then."""
        looks = [one for one in self.looks if one.at_s >= since_s]
        counts = [one for one in self.counts() if one["at_s"] >= since_s]
        seconds = [one.at_s for one in looks]
        outside = {name: growth(seconds, [getattr(one, name) for one in looks]) for name in Look._fields[1:]}
        seconds = [one["at_s"] for one in counts]
        inside = {name: growth(seconds, [one[name] for one in counts]) for name in ("objects", "blocks", "c_bytes")}
        return outside | inside

    def counts(self) -> list[dict]:
        return [json.loads(line) for line in self._counts.read_text().splitlines()]

    def types(self, since_s: float) -> dict[str, int]:
        """Which types there are more of at the end."""
        first, *_, last = (one["types"] for one in self.counts() if one["at_s"] >= since_s)
        more = {name: count - first.get(name, 0) for name, count in last.items()}
        return dict(sorted(((name, one) for name, one in more.items() if one > 10), key=lambda pair: -pair[1]))


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler: apt-get install gcc")
def test_memory_does_not_grow_while_the_uplink_flaps(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    options = request.config.option
    seed = options.soak_seed or int(time.time())
    print(f"\nseed {seed}, {options.soak_seconds:g} s")
    build(tmp_path)
    subject = AgentUnderTest(tmp_path / "counts")
    with rig(subject, Work(), tmp_path) as ready:
        started(ready)
        began_s, watch, uplink = time.monotonic(), Watch(ready, tmp_path / "counts"), Uplink(ready, Random(seed))
        watch.wait(min(60.0, WARM_UP * options.soak_seconds))
        before = watch.looks[-1]
        uplink.flap(began_s + options.soak_seconds, watch.wait)
        reads = ready.truth.snapshot()
        lost = ready.recorder.settle(reads, SETTLE_S)
        account = account_at_the_end(ready)
        print(f"faults {uplink.done}; account {account}; duplicates {ready.recorder.account.duplicates}")
        assert not lost, f"{len(lost)} readings have not arrived, as {lost[:3]}"
        assert (ready.recorder.account.wrong, ready.recorder.account.without_value) == (0, 0)
        assert account["accepted"] == account["delivered"] + account["stored"] + sum(account["lost"].values())
        assert account["accepted"] >= sum(map(sum, reads))
        assert not account["lost"]
    since_s = began_s + WARM_UP * options.soak_seconds
    found = watch.growths(since_s)
    print(f"grown since {since_s - began_s:.0f} s: { {name: str(one) for name, one in found.items()} }")
    grown = {name: str(one) for name, most in GROWTHS.items() if (one := found[name]).grown > one.by_chance + most}
    assert not grown, f"growing: {grown}; more than before: {watch.types(since_s)}"
    largest = max(watch.looks, key=lambda one: one.rss_mb)
    assert largest.rss_mb - before.rss_mb <= OUTAGE_MB


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("slope", [0.0, -3.0, 3.0])
def test_a_slope_is_found_in_what_comes_and_goes(seed: int, slope: float) -> None:
    """An hour of looks: each minute is either well or an outage with its backlog, whose size is chance."""
    random = Random(seed)
    backlogs = [random.choice((0.0, random.uniform(0.0, 4.0))) for _ in range(60)]
    seconds = [10.0 * n for n in range(360)]
    found = growth(seconds, [40 + backlogs[n // 6] + random.gauss(0, 0.1) + slope * n / 359 for n in range(360)])
    assert abs(found.grown - slope) <= found.by_chance < 3.0


def test_a_stair_of_single_descriptors_is_seen() -> None:
    found = growth([10.0 * n for n in range(60)], [30.0 + n // 10 + n % 2 for n in range(60)])
    assert found.grown > found.by_chance + GROWTHS["files"]


def test_what_stands_still_has_not_grown() -> None:
    assert growth([0.0, 10.0, 20.0, 30.0], [9.0, 9.0, 9.0, 9.0]) == (0.0, 0.0)
