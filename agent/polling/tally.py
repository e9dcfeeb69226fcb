"""What the last polls of one device came to, by kind of failure: what `oc-agent doctor` draws its conclusions from.

Pure: time is passed in. Promises: never more than `MINUTES` + 1 counters, however often the device is polled.
"""

from collections import Counter
from typing import Any, Literal

import msgspec

from agent.clock import NS_PER_S
from drivers.api import Reading
from drivers.errors import BadReply, DeviceRefused, DriverError

Outcome = Literal["ok", "silent", "garbage", "refused"]
MINUTES = 10
_MINUTE_NS = 60 * NS_PER_S
_SHOWN_BYTES = 64


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last reply that was none, in hex, or the last refusal: its Modbus exception code."""

    asked: str = ""
    heard: str = ""
    code: int = 0


class Tally:
    """Counts of the last `MINUTES` minutes, the last evidence, and since when its measured values stand still."""

    def __init__(self) -> None:
        self._minutes: dict[int, Counter[Outcome]] = {}
        self._evidence: dict[Outcome, Evidence] = {}
        self._values: dict[str, float] = {}
        self._still_since_ns: int | None = None

    def answered(self, readings: list[Reading], mono_ns: int) -> None:
        """Note an answer. Only measurements with a fraction count for standing still: states and counters may."""
        self._count("ok", mono_ns)
        measured = {r.point: r.value for r in readings if type(r.value) is float}
        if not measured.items() <= self._values.items():
            self._still_since_ns = mono_ns
            self._values.update(measured)

    def failed(self, err: DriverError, mono_ns: int) -> None:
        """Note a poll without an answer, or with a refusal."""
        if isinstance(err, DeviceRefused):
            outcome: Outcome = "refused"
            self._evidence[outcome] = Evidence(code=err.code)
        elif isinstance(err, BadReply):
            outcome = "garbage"
            self._evidence[outcome] = Evidence(err.asked[:_SHOWN_BYTES].hex(), err.heard[:_SHOWN_BYTES].hex())
        else:
            outcome = "silent"
        self._count(outcome, mono_ns)

    def told(self, mono_ns: int) -> dict[str, Any]:
        """For the report: counts by outcome, evidence by outcome, and for how many seconds its values stand still."""
        self._forget(mono_ns)
        total: Counter[Outcome] = sum(self._minutes.values(), Counter())
        still_ns = None if self._still_since_ns is None else mono_ns - self._still_since_ns
        return {
            "polls": dict(total),
            "evidence": {outcome: found for outcome, found in self._evidence.items() if total[outcome]},
            "still_s": None if still_ns is None else round(still_ns / NS_PER_S, 1),
        }

    def _count(self, outcome: Outcome, mono_ns: int) -> None:
        minute = mono_ns // _MINUTE_NS
        if minute not in self._minutes:
            self._forget(mono_ns)
            self._minutes[minute] = Counter()
        self._minutes[minute][outcome] += 1

    def _forget(self, mono_ns: int) -> None:
        oldest = mono_ns // _MINUTE_NS - MINUTES
        self._minutes = {minute: counts for minute, counts in self._minutes.items() if minute >= oldest}
