"""The agent of this checkout, or of the wheel, at the plain work of `bench/`: with an IOC that acknowledges what it hears.

For tests in `tests/bench`, whose conftest finds the bench.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from gateways.rig import Rig
from gateways.subjects import Site
from gateways.subjects.api import Launch
from gateways.subjects.oc_agent import OcAgent

import agent
from agent.packing import plain
from agent.ranges import RangeSet

SUPPORT = Path(__file__).parent
IMPORTED_FROM = Path(agent.__file__).parents[1]
NUMBERED = ("/up/data", "/up/backfill", "/up/event", "/up/result")
ACK_EACH_S = 1.0


class AgentUnderTest(OcAgent):
    """`oc-agent run`, under a shell command where `prefix` is one; counted where `counts` names a file for it."""

    def __init__(self, counts: Path | None = None, prefix: Sequence[str] = ()) -> None:
        super().__init__()
        self._program = Path("oc-agent")
        self._counts, self._prefix = counts, prefix
        self._heard: dict[str, RangeSet] = {}
        self._acked_s = 0.0

    def configure(self, site: Site) -> Launch:
        arguments = super().configure(site).command[1:]
        module = ["agent"] if self._counts is None else ["counted_agent", str(self._counts)]
        environment = {"PYTHONPATH": os.pathsep.join(map(str, (SUPPORT, IMPORTED_FROM)))}
        return Launch([*self._prefix, sys.executable, "-m", *module, *arguments], environment)

    def retained(self) -> Sequence[tuple[str, bytes]]:
        state = {"v": 1, "online": True, "time_ms": time.time_ns() // 1_000_000, "ack": True}
        return (("ocg/v1/ioc/state", msgspec.json.encode(state)),)

    def answers(self, topic: str, payload: bytes) -> Sequence[tuple[str, bytes]]:
        """All that was heard of this epoch so far, at most once a second."""
        if not topic.endswith(NUMBERED):
            return ()
        head = msgspec.json.decode(plain(payload), type=_Head)
        heard = self._heard.setdefault(head.epoch, RangeSet())
        heard.add(0, max(0, head.low - 1))
        heard.add(head.seq)
        if time.monotonic() - self._acked_s < ACK_EACH_S:
            return ()
        self._acked_s = time.monotonic()
        (_, cumulative), *selective = heard.ranges()
        said = {"v": 1, "epoch": head.epoch, "cumulative": cumulative, "selective": selective}
        ack = msgspec.json.encode({**said, "time_ms": time.time_ns() // 1_000_000})
        return ((topic.replace(topic[topic.index("/up/") :], "/down/ack"), ack),)


class _Head(msgspec.Struct):
    epoch: str
    seq: int
    low: int


class Look(NamedTuple):
    """At the process, from outside."""

    at_s: float
    rss_mb: float
    pss_mb: float
    files: int
    threads: int


def look(rig: Rig) -> Look:
    """At the agent now; where it counts, it does so as well."""
    used, process = rig.usage(), Path(f"/proc/{rig.pid}")
    status = (process / "status").read_text()
    threads = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))
    return Look(time.monotonic(), used.rss_mb, used.pss_mb, len(list((process / "fd").iterdir())), threads)


def ask_for_counts(rig: Rig) -> None:
    """It writes them as soon as its loop comes round."""
    os.kill(rig.pid, signal.SIGUSR1)


def account_at_the_end(rig: Rig) -> dict[str, Any]:
    """Stop the agent; gives what it accounts for."""
    rig.stop()
    account: dict[str, Any] = json.loads(rig.said().splitlines()[-1])
    return account
