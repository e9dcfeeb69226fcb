"""What comes of a read of many blocks, whatever becomes of each."""

from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from drivers.api import LinkStats, Quality
from drivers.errors import DriverError, NoReply
from drivers.modbus.driver import ModbusLink
from drivers.modbus.line import Line
from drivers.modbus.pdu import Answer, Request
from drivers.modbus.plan import compile_plan
from drivers.modbus.profile import ModbusPoint, ModbusProfile

FATES = st.sampled_from(("answer", "answer", "answer", "silence", 2, 4))
"""Of a request: an answer, none, or a refusal with this exception."""


class FakeLine:
    """Answers each register with its address, or not, as it was told."""

    def __init__(self) -> None:
        self.stats = LinkStats()
        self.fates: list[Any] = []
        self.now_ns = 0
        self.answered: dict[int, int] = {}

    async def request(self, request: Request, *_: float) -> tuple[Answer, int]:
        fate = self.fates.pop() if self.fates else "answer"
        if fate == "silence":
            raise NoReply("silent")
        if fate != "answer":
            return Answer((), refused=fate), 0
        self.now_ns += 1
        places = range(request.address, request.address + request.count)
        self.answered.update(dict.fromkeys(places, self.now_ns))
        return Answer(tuple(places)), self.now_ns


@given(
    addresses=st.lists(st.integers(0, 15), min_size=1, max_size=12, unique=True),
    rounds=st.lists(st.lists(FATES, max_size=6), min_size=1, max_size=4),
    guarded=st.booleans(),
)
@example(addresses=[0, 1], rounds=[["silence"], []], guarded=False)
@example(addresses=[0, 1, 2], rounds=[[]], guarded=True)
async def test_each_point_is_there_once_in_order_with_what_was_read_of_it(
    addresses: list[int], rounds: list[list[Any]], guarded: bool
) -> None:
    keys = {"valid_if": f"p{addresses[0]}"} if guarded else {}
    some = [
        ModbusPoint(name=f"p{at}", table="holding", address=at, type="u16", **(keys if at != addresses[0] else {}))  # type: ignore[arg-type]
        for at in addresses
    ]
    profile = ModbusProfile(vendor="V", model="M", kind="modbus", source="tests", point=tuple(some))
    plan = compile_plan(profile, some)
    line = FakeLine()
    link = ModbusLink(cast("Line", line))
    for fates in rounds:
        line.fates, line.answered = fates, {}
        try:
            found = await link.read(1, plan)
        except DriverError:
            continue
        assert [one.point for one in found] == [point.name for point in plan.points]
        for one, point in zip(found, plan.points, strict=True):
            if point.address not in line.answered:
                assert one.value is None
                assert one.quality in (Quality.NO_ANSWER, Quality.CONFIGURATION, Quality.FAULT)
            elif guarded and point.valid_if and addresses[0] not in line.answered:
                assert one.value is None
            elif point.valid_if == "p0":  # its guard says no
                assert (one.value, one.quality) == (None, Quality.SWITCHED_OFF)
            else:
                assert (one.value, one.mono_ns) == (point.address, line.answered[point.address])
