"""What a gateway says of itself by contract v1: `event`, `online`."""

from bisect import bisect_right
from typing import Annotated, ClassVar

import msgspec

from simulators.scenario.evidence import Event, Evidence
from simulators.scenario.expectations.verdict import Count, Names, Seconds, Timed, Verdict, bounds, listed, within


class EventSeen(Timed, frozen=True, kw_only=True):
    """Events of this `name` arrive, `at_least` and `at_most` so many; of these devices, and by their own times."""

    that: ClassVar[str] = "event"
    contract_only: ClassVar[bool] = True

    name: Annotated[str, msgspec.Meta(examples=["device.down"])]
    device: Names = ()
    at_least: Count | None = None
    at_most: Count | None = None

    def devices_named(self) -> list[str]:
        return listed(self.device)

    def judge(self, evidence: Evidence) -> Verdict:
        found = [one for one in evidence.events if one.name == self.name and self._wants(evidence, one)]
        low = 1 if self.at_least is None and self.at_most is None else self.at_least
        if self.at_most is not None and low is None:
            low = 0
        of = f" of {', '.join(listed(self.device))}" if self.device else ""
        return self.verdict(
            f"event {self.name}{of}{self.when()}: {bounds(low, self.at_most)}",
            f"{len(found)}",
            (
                f"{one.name} {one.device or ''} at {evidence.at_s(one.time_ms):.3f} s {one.reason}".rstrip()
                for one in found
            ),
            passed=within(len(found), low, self.at_most),
        )

    def _wants(self, evidence: Evidence, one: Event) -> bool:
        return (not self.device or one.device in listed(self.device)) and self.holds(evidence, one.time_ms)


class Online(Timed, frozen=True, kw_only=True):
    """The retained `status` says that the gateway is online, or not, from `from_s` to `to_s`; within `within_s`."""

    that: ClassVar[str] = "online"
    contract_only: ClassVar[bool] = True

    online: bool = True
    within_s: Seconds = 5.0

    def judge(self, evidence: Evidence) -> Verdict:
        settled_ms, until_ms = evidence.at_ms(self.begin_s() + self.within_s), evidence.at_ms(self.until_s(evidence))
        times = [at_ms for at_ms, _ in evidence.statuses]
        first, last = bisect_right(times, settled_ms), bisect_right(times, until_ms)
        looked_at = evidence.statuses[max(0, first - 1) : last]
        others = [at_ms for at_ms, online in looked_at if online is not self.online]
        unknown = not looked_at or looked_at[0][0] > settled_ms
        seen = (
            "nothing was said by then"
            if unknown
            else f"{len(others)} times it said otherwise"
            if others
            else "so it said"
        )
        return self.verdict(
            f"the gateway is {_word(self.online)}{self.when()}, shown within {self.within_s:g} s",
            seen,
            (f"{_word(not self.online)} at {evidence.at_s(at_ms):.3f} s" for at_ms in others),
            passed=not others and not unknown,
        )


def _word(online: bool) -> str:  # noqa: FBT001 # one word for one flag
    return "online" if online else "offline"
