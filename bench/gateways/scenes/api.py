"""What every scene has: a name, whom it is for, and a run that gives figures by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from gateways.rig import Rig
from gateways.subjects import OURS, Subject


@dataclass(frozen=True)
class Effort:
    """How long things are looked at, in seconds, and how often."""

    runs: int = 3
    """Of the plain work; the other scenes are long, or are many runs in themselves."""
    steady_s: float = 60.0
    peer_s: float = 20.0
    """Of peers, at the plain work and in the outage."""
    card_s: float = 240.0
    outage_s: float = 60.0
    kills: int = 10
    ramp_s: float = 10.0
    ramp_from: float = 32_000.0
    ramp_close: float = 1.1
    """How far apart the highest rate that is carried and the lowest that is not may be."""
    backlog: int = 1_000_000
    stored: int = 10_000_000
    linearity_s: float = 20.0
    idle_s: float = 60.0
    rtu_s: float = 20.0
    quick: bool = False

    @classmethod
    def short(cls) -> "Effort":
        """Some minutes for all gateways; peers only at the plain work and in the outage."""
        return cls(
            runs=1,
            steady_s=10,
            outage_s=6,
            kills=3,
            ramp_s=4,
            ramp_from=64_000,
            ramp_close=1.2,
            backlog=100_000,
            linearity_s=6,
            idle_s=15,
            rtu_s=4,
            quick=True,
        )

    def scaled(self, seconds: float) -> "Effort":
        """With windows of so many seconds at the plain work and in the outage."""
        return replace(self, steady_s=seconds, outage_s=seconds, peer_s=seconds)

    def on_board(self) -> "Effort":
        """For a gateway with a share of a core: the plain work once, a smaller backlog, a lower rate to begin with."""
        return replace(
            self, runs=1, steady_s=min(self.steady_s, 30.0), outage_s=min(self.outage_s, 30.0), ramp_from=8_000.0,
            backlog=min(self.backlog, 200_000),
        )  # fmt: skip

    def of(self, subject: Subject) -> "Effort":
        """Peers do nothing once a minute, and are far from the limits: they are looked at for a shorter time."""
        if subject.name.startswith(OURS):
            return self
        return replace(
            self,
            steady_s=min(self.steady_s, self.peer_s),
            outage_s=min(self.outage_s, self.peer_s),
            kills=3,
            ramp_s=min(self.ramp_s, 5.0),
            ramp_from=4_000.0,
            ramp_close=max(self.ramp_close, 1.2),
            backlog=min(self.backlog, 100_000),
        )


class Scene(Protocol):
    """Measures one thing of one gateway."""

    name: str
    repeated: bool
    """Is it run several times, so that the table has medians?"""

    def fits(self, subject: Subject, effort: Effort) -> bool:
        """Is it measured of this gateway?"""

    def run(self, subject: Subject, prefix: Path, effort: Effort) -> Mapping[str, float]:
        """One run, from a start without anything stored; the figures by name. Raises Unfit, OSError."""


def account(rig: Rig, settle_s: float) -> dict[str, float]:
    """What became of everything that was read until now, when the gateway has had `settle_s` to send it."""
    reads = rig.truth.snapshot()
    lost = rig.recorder.settle(reads, settle_s)
    account = rig.recorder.account
    total = sum(map(sum, reads))
    return {
        "read": total,
        "lost": len(lost),
        "duplicates": account.duplicates,
        "wrong": account.wrong,
        "without_value": account.without_value,
    }
