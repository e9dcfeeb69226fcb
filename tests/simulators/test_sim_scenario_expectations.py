"""Each expectation on made-up evidence, both ways: what it must let pass, and what it must not."""

from collections.abc import Sequence
from typing import Any

import pytest

from simulators.faults.fault import Fault, make_fault
from simulators.scenario.evidence import (
    Account,
    Arrival,
    DeviceFacts,
    Event,
    Evidence,
    Exit,
    Failure,
    Line,
    Usage,
)
from simulators.scenario.expectations import EXPECTATIONS, Verdict
from simulators.scenario.timeline import Window, windows
from simulators.world import Served

START_MS = 1_000_000
SECONDS = 30.0


def ms(seconds: float) -> int:
    return START_MS + round(seconds * 1_000)


def judge(that: str, evidence: Evidence, **keys: Any) -> Verdict:
    return EXPECTATIONS[that](**keys).judge(evidence)


def counting(device: str = "meter", *, every_s: float = 1.0, until_s: float = SECONDS) -> list[Served]:
    """A device whose value says when it was served."""
    return [Served(device, "v", float(n), ms(n * every_s)) for n in range(3, int(until_s / every_s))]


def arrive(served: Sequence[Served], late_s: float = 0.5) -> list[Arrival]:
    return [Arrival(s.device, s.point, s.value, s.time_ms + 20, s.time_ms + round(late_s * 1_000)) for s in served]


def seen(served: Sequence[Served] = (), arrivals: Sequence[Arrival] = (), **more: Any) -> Evidence:
    facts = {name: DeviceFacts(name, "bus", frozenset(("v",)), 1.0) for name in ("meter", "other")}
    asked: dict[str, list[int]] = {}
    for one in served:
        asked.setdefault(one.device, []).append(one.time_ms)
    given: dict[str, Any] = {"devices": facts, "asked_ms": asked, "served": served, "arrivals": arrivals} | more
    return Evidence(start_ms=START_MS, stop_ms=ms(SECONDS), end_ms=ms(SECONDS + 1), **given)


def fault(name: str, on: str = "meter", from_s: float = 10, for_s: float | None = 5, **keys: Any) -> Window:
    lasts = {} if for_s is None else {"for_s": for_s}
    one = make_fault({"name": name, "on": on, "from_s": from_s, **lasts, **keys})
    (window,) = windows([one], SECONDS, 0)
    return window


# ---- nothing_missing ---------------------------------------------------------------------------------------------


def test_all_that_was_served_has_arrived() -> None:
    served = counting()
    verdict = judge("nothing_missing", seen(served, arrive(served)))
    assert (verdict.passed, verdict.seen, dict(verdict.excused)) == (True, "27 of 27 arrived", {})


def test_one_value_that_has_not_arrived_is_missing_and_named() -> None:
    served = counting()
    verdict = judge("nothing_missing", seen(served, arrive([s for s in served if s.value != 12.0])))
    assert (verdict.passed, verdict.seen) == (False, "1 of 27 are missing")
    assert verdict.examples == ("meter.v = 12.0, served at 12.000 s",)


def test_another_value_at_that_time_or_that_value_at_another_time_does_not_do() -> None:
    served = counting()
    for changes in ({"value": 77.0}, {"time_ms": ms(20)}, {"value": None, "quality": "com"}):
        arrivals = [changed(one, **changes) if one.value == 12.0 else one for one in arrive(served)]
        assert not judge("nothing_missing", seen(served, arrivals)).passed, changes


def changed(one: Arrival, **changes: Any) -> Arrival:
    fields = {name: getattr(one, name) for name in Arrival.__struct_fields__}
    return Arrival(**fields | changes)


def test_what_still_waits_at_the_gateway_has_not_arrived_and_is_said() -> None:
    served = counting()
    waiting = seen(served, arrive(served[:10]), account=Account(27, 10, 17))
    verdict = judge("nothing_missing", waiting)
    assert not verdict.passed
    assert "17 readings still wait at the gateway" in verdict.seen


def test_where_nothing_was_served_nothing_was_tested() -> None:
    verdict = judge("nothing_missing", seen())
    assert not verdict.passed
    assert "nothing was tested" in verdict.seen


def test_nothing_arriving_at_all_is_never_excused() -> None:
    served = counting()
    assert not judge("nothing_missing", seen(served, [])).passed


def test_what_a_fault_has_spoilt_need_not_arrive_but_what_it_only_touched_must() -> None:
    served = counting()
    spoilt = [Served(s.device, s.point, s.value, s.time_ms, "wrong_crc" if s.value == 12.0 else "") for s in served]
    arrivals = arrive([s for s in served if s.value != 12.0])
    assert judge("nothing_missing", seen(spoilt, arrivals)).passed
    touched = [Served(s.device, s.point, s.value, s.time_ms, "split" if s.value == 12.0 else "") for s in served]
    assert not judge("nothing_missing", seen(touched, arrivals)).passed


EXCUSES: list[tuple[str, float, dict[str, Any]]] = [
    ("the last 1 s before the stop", 29.5, {}),
    ("before a SIGKILL", 11.5, {"windows": [fault("sigkill", "host", 12, 2)]}),
    ("after a failure on the same link", 13.0, {"failures": [Failure("bus", "other", ms(12))]}),
    ("read again within", 12.05, {}),
    ("of the same round", 12.5, {"failures": [Failure("bus", "meter", ms(12.8))]}),
    ("after a failure on the same link", 16.0, {"windows": [fault("unplug", "bus", 10, 5)]}),
]


@pytest.mark.parametrize(("rule", "at_s", "more"), EXCUSES, ids=[rule for rule, _, _ in EXCUSES])
def test_a_rule_excuses_what_it_says_counts_it_and_nothing_else(rule: str, at_s: float, more: dict[str, Any]) -> None:
    lost = Served("meter", "v", 99.0, ms(at_s))
    served = sorted([*counting(), lost], key=lambda one: one.time_ms)
    arrivals = arrive([one for one in served if one is not lost])
    verdict = judge("nothing_missing", seen(served, arrivals, contract=False, **more))
    assert verdict.passed, verdict
    ((said, count),) = verdict.excused.items()
    assert rule in said
    assert count == 1
    if more:
        assert not judge("nothing_missing", seen(served, arrivals, contract=False)).passed


def test_what_was_read_once_more_in_an_interval_is_excused_and_one_for_an_interval_is_not() -> None:
    lost = Served("meter", "v", 99.0, ms(12.4))
    served = sorted([*counting(), lost], key=lambda one: one.time_ms)
    arrivals = arrive([one for one in served if one is not lost])
    verdict = judge("nothing_missing", seen(served, arrivals))
    assert dict(verdict.excused) == {"read more than once in an interval, of which one has arrived": 1}
    assert not judge("nothing_missing", seen(served, arrivals, contract=False)).passed
    neither = arrive([one for one in served if one.value not in (12.0, 99.0)])
    assert not judge("nothing_missing", seen(served, neither)).passed


def test_the_first_looks_at_a_device_are_excused_after_each_start_but_not_in_between() -> None:
    served = counting()
    kill = fault("sigkill", "host", 12, 2)
    alive = [s for s in served if not 11 < (s.time_ms - START_MS) / 1_000 < 14]
    arrivals = arrive([s for s in alive if s.value not in (4.0, 15.0)])
    verdict = judge("nothing_missing", seen(alive, arrivals, windows=[kill]))
    assert verdict.passed, verdict
    assert sum(count for rule, count in verdict.excused.items() if "of a start" in rule) == 2
    assert not judge("nothing_missing", seen(alive, arrivals, windows=[kill]), start_s=0.5).passed
    without_nine = [one for one in arrivals if one.value != 9.0]
    assert not judge("nothing_missing", seen(alive, without_nine, windows=[kill])).passed


def test_asking_to_see_whether_a_device_is_back_is_excused_only_where_it_then_comes_back() -> None:
    served = counting()
    failures = [Failure("bus", "meter", ms(at_s)) for at_s in (10, 13)]
    dead = [Served("meter", "v", s.value, s.time_ms, "no_reply") if 10 <= s.value <= 13 else s for s in served]
    back = arrive([s for s in served if not 10 <= s.value <= 17])
    verdict = judge("nothing_missing", seen(dead, back, failures=failures))
    excused = dict(verdict.excused)
    assert [count for rule, count in excused.items() if "is back" in rule] == [1]
    assert (verdict.passed, verdict.seen) == (False, "3 of 23 are missing")
    never = arrive([s for s in served if s.value < 10])
    assert not judge("nothing_missing", seen(dead, never, failures=failures)).passed


def test_that_there_is_no_value_may_stand_in_the_place_of_one_while_a_fault_is_on_the_link_and_only_then() -> None:
    served = counting()
    said = [changed(one, value=None, quality="com") if one.value == 12.0 else one for one in arrive(served)]
    silent = [one for one in said if one.good]
    babble = [fault("babble", "bus", 10, 5)]
    assert judge("nothing_missing", seen(served, said, windows=babble), unsure_s=0.0).passed
    for arrivals, windows_ in ((said, []), (silent, babble)):
        assert not judge("nothing_missing", seen(served, arrivals, windows=windows_), unsure_s=0.0).passed


def test_missing_values_that_were_declared_lost_are_accounted_for_and_no_more_than_those() -> None:
    served = counting()
    arrivals = arrive([s for s in served if s.value not in (12.0, 13.0)])
    for declared, passes in ((2, True), (1, False)):
        event = Event("data.lost", ms(20), reason="full", readings=declared)
        assert judge("nothing_missing", seen(served, arrivals, events=[event])).passed is passes


def test_a_loss_that_cannot_be_counted_covers_what_was_served_before_it_and_nothing_later() -> None:
    served = counting()
    arrivals = arrive([s for s in served if s.value not in (12.0, 13.0)])
    for at_s, missing in ((20.0, 0), (12.5, 1), (11.0, 2)):
        verdict = judge("nothing_missing", seen(served, arrivals, events=[Event("data.lost", ms(at_s))]))
        assert verdict.passed is (missing == 0), verdict
        assert verdict.passed or verdict.seen.startswith(f"{missing} of")
        assert sum(count for rule, count in verdict.excused.items() if "cannot say" in rule) == 2 - missing


def test_of_an_instrument_that_sends_by_itself_one_value_in_each_interval_will_do() -> None:
    served = counting()
    facts = {"meter": DeviceFacts("meter", "bus", frozenset(("v",)), 5.0, asked=False)}
    each_fifth = arrive([s for s in served if int(s.value) % 5 == 0])
    assert judge("nothing_missing", seen(served, each_fifth, devices=facts)).passed
    gap = [one for one in each_fifth if not 9 < float(one.value or 0) < 26]
    assert not judge("nothing_missing", seen(served, gap, devices=facts)).passed


def test_a_clock_that_was_wrong_for_a_time_loses_nothing() -> None:
    served = counting()
    arrivals = [changed(one, time_ms=one.time_ms + 3_600_000) for one in arrive(served)]
    assert judge("nothing_missing", seen(served, arrivals, shifts_ms=[0, 3_600_000])).passed
    assert judge("nothing_wrong", seen(served, arrivals, shifts_ms=[0, 3_600_000])).passed
    assert not judge("nothing_missing", seen(served, arrivals)).passed
    assert not judge("nothing_wrong", seen(served, arrivals)).passed


# ---- nothing_wrong -----------------------------------------------------------------------------------------------


def test_a_value_that_was_never_served_is_wrong_and_one_of_another_device_too() -> None:
    served = [*counting(), *counting("other")]
    assert judge("nothing_wrong", seen(served, arrive(served))).passed
    arrivals = [*arrive(served), Arrival("other", "v", 99.0, ms(12), ms(13))]
    verdict = judge("nothing_wrong", seen(served, arrivals))
    assert (verdict.passed, verdict.examples) == (False, ("other.v = 99.0 at 12.000 s: never served near that time",))


def test_a_gateway_that_rounds_in_its_own_way_is_told_of_the_tolerance() -> None:
    served = [Served("meter", "v", 226.35, ms(12))]
    rounded = [Arrival("meter", "v", 226.345245, ms(12), ms(13)), Arrival("meter", "v", 227.3, ms(12), ms(13))]
    verdict = judge("nothing_wrong", seen(served, rounded, contract=False))
    assert verdict.examples == (
        "meter.v = 226.345245 at 12.000 s: never served near that time, but 226.35 was: where that is the same, "
        "write a `tolerance` in [arrives]",
        "meter.v = 227.3 at 12.000 s: never served near that time",
    )
    assert "tolerance" not in "".join(judge("nothing_wrong", seen(served, rounded)).examples)
    assert judge("nothing_wrong", seen(served, rounded[:1], contract=False, tolerance=1e-3)).passed


def test_a_value_is_wrong_at_a_time_far_from_that_at_which_it_was_served() -> None:
    served = counting()
    stale = [changed(one, time_ms=ms(20)) if one.value == 4.0 else one for one in arrive(served)]
    assert not judge("nothing_wrong", seen(served, stale)).passed
    assert judge("nothing_wrong", seen(served, stale), close_s=20.0).passed


def test_a_value_out_of_an_answer_that_must_be_refused_is_wrong_but_out_of_a_late_one_it_is_not() -> None:
    served = counting()
    for name, passes in (("wrong_crc", False), ("late", True)):
        spoilt = [Served(s.device, s.point, s.value, s.time_ms, name if s.value == 12.0 else "") for s in served]
        assert judge("nothing_wrong", seen(spoilt, arrive(served))).passed is passes, name


def test_of_an_instrument_that_sends_several_frames_the_others_may_be_taken() -> None:
    served = [Served("meter", "v", 5.0, ms(5), "lost")]
    facts = {"meter": DeviceFacts("meter", "bus", frozenset(("v",)), 1.0, asked=False)}
    assert judge("nothing_wrong", seen(served, arrive(served), devices=facts)).passed
    assert not judge("nothing_wrong", seen(served, arrive(served))).passed


def test_true_is_not_one_and_a_float_of_32_bits_is_near_enough() -> None:
    served = [Served("meter", "v", True, ms(5)), Served("meter", "v", 231.10000610351562, ms(6))]
    assert not judge("nothing_wrong", seen(served, [Arrival("meter", "v", 1, ms(5), ms(6))])).passed
    near = [Arrival("meter", "v", 231.1, ms(6), ms(7))]
    assert judge("nothing_wrong", seen(served, near)).passed
    assert not judge("nothing_wrong", seen(served, [changed(near[0], value=231.2)])).passed


def test_where_nothing_arrived_nothing_is_known_to_be_right() -> None:
    assert not judge("nothing_wrong", seen(counting(), [])).passed


# ---- the others, each with evidence that passes and evidence that does not ------------------------------------------

GOOD = arrive(counting())
COM = [changed(one, value=None, quality="com") if 10 <= float(one.value or 0) <= 20 else one for one in GOOD]
GAP = [one for one in GOOD if not 12 <= float(one.value or 0) <= 14]
STOPS = [Usage(ms(n), 50_000_000 + (n % 2) * 1_000_000, n * 0.1, 20) for n in range(1, 30)]
GROWS = [Usage(ms(n), 50_000_000 + n * 1_000_000, n * 0.9, 20 + n) for n in range(1, 30)]
DIES = [Exit(ms(12), 3, asked=False)]
ENDS = [Exit(ms(31), 0, asked=True)]
UNPLUG = [fault("unplug", "bus", 10, 5)]
KILL = [fault("broker_kill", "uplink", 10, 5)]
ENDLESS = [fault("unplug", "bus", 10, None)]
LATE_LIVE = [changed(one, received_ms=one.time_ms + 9_000) if 10 < float(one.value or 0) < 15 else one for one in GOOD]
GATE = [
    changed(one, received_ms=max(one.received_ms, ms(15.5))) if float(one.value or 0) >= 10 else one for one in GOOD
]
DOWN = [Event("device.down", ms(12), "meter")]
LOST = [Event("data.lost", ms(20), reason="full", readings=7)]
BALANCED = Account(10, 8, 1, {"full": 1})
LINES = [Line(ms(12), "stderr", "ERROR: x [y]"), Line(ms(1), "stdout", "ready")]

SET = [Arrival("meter", "v", 231.5, ms(n), ms(n)) for n in (5, 10)]

CASES: list[tuple[str, dict[str, Any], Evidence, Evidence]] = [
    ("quality", {"device": "meter", "quality": "com", "from_s": 10, "to_s": 20, "within_s": 2}, seen((), COM), seen((), GOOD)),
    ("quality", {"device": "meter", "quality": "good", "within_s": 4}, seen((), GOOD), seen((), COM)),
    ("quality", {"device": "meter", "quality": "good", "within_s": 4}, seen((), GOOD), seen((), [])),
    ("interval", {"device": "meter", "at_most_s": 2}, seen((), GOOD), seen((), GAP)),
    ("interval", {"device": "meter", "at_most_s": 2}, seen((), GOOD), seen((), GOOD[:20])),
    ("interval", {"device": "meter", "at_most_s": 12}, seen((), GOOD), seen((), [])),
    ("interval", {"device": "meter", "at_most_s": 4, "from_s": 0}, seen((), GOOD), seen((), GOOD[3:])),
    ("interval", {"device": "meter", "at_most_s": 2, "from_s": 16}, seen((), GAP), seen((), GOOD[:-5])),
    ("value", {"point": "v", "equals": 231.5}, seen((), SET), seen((), [*SET, changed(SET[0], value=23.15)])),
    ("value", {"point": "v", "equals": 231.5, "from_s": 8}, seen((), SET), seen((), SET[:1])),
    ("value", {"point": "v", "at_least": 230, "at_most": 240}, seen((), SET), seen((), [changed(SET[0], value="high")])),
    ("polled", {"device": "meter", "at_most_s": 2}, seen(counting()), seen(counting(until_s=20))),
    ("polled", {"device": "meter", "at_most_per_s": 2}, seen(counting()), seen(counting(every_s=0.25))),
    ("polled", {"device": "meter", "at_most_s": 2}, seen(counting()), seen()),
    ("recovers", {"device": "meter", "within_s": 3}, seen((), GOOD, windows=UNPLUG), seen((), COM, windows=UNPLUG)),
    ("recovers", {"device": "meter", "within_s": 3}, seen((), GOOD, windows=UNPLUG), seen((), GOOD, windows=ENDLESS)),
    ("recovers", {"device": "meter", "within_s": 3}, seen((), GOOD, windows=UNPLUG + ENDLESS), seen((), GAP, windows=[*UNPLUG, fault("unplug", "bus", 8, 3.5)])),
    ("recovers", {"device": "meter", "within_s": 3, "fault": "unplug"}, seen((), GOOD, windows=UNPLUG), seen((), GOOD)),
    ("recovers", {"device": "meter", "within_s": 1, "on": "uplink"}, seen((), GATE, windows=KILL),
     seen((), [changed(one, received_ms=one.received_ms + 20_000) for one in GATE], windows=KILL)),
    ("event", {"name": "device.down", "device": "meter", "from_s": 10, "to_s": 15}, seen(events=DOWN), seen(events=[])),
    ("event", {"name": "device.down", "device": "meter"}, seen(events=DOWN), seen(events=[Event("device.down", ms(12), "other")])),
    ("event", {"name": "device.down", "at_most": 0}, seen(events=LOST), seen(events=DOWN)),
    ("event", {"name": "device.down", "from_s": 10}, seen(events=DOWN), seen(events=[Event("device.down", ms(9), "meter")])),
    ("online", {"from_s": 5, "within_s": 1}, seen(statuses=[(ms(1), True)]), seen(statuses=[(ms(1), True), (ms(9), False)])),
    ("online", {"online": False, "from_s": 10, "to_s": 20}, seen(statuses=[(ms(1), True), (ms(12), False)]), seen(statuses=[(ms(1), True)])),
    ("online", {"within_s": 2}, seen(statuses=[(ms(1), True)]), seen(statuses=[(ms(8), True)])),
    ("duplicates_recognised", {}, seen(duplicates=3), seen(duplicates=3, changed=["meter.v at 1 ms, 1 times"])),
    ("duplicates_recognised", {"at_least": 1, "at_most": 9}, seen(duplicates=3), seen(duplicates=0)),
    ("latency", {"p95_s": 2}, seen((), GOOD), seen((), LATE_LIVE)),
    ("latency", {"p50_s": 2, "max_s": 10}, seen((), LATE_LIVE), seen((), [])),
    ("latency", {"max_s": 2}, seen((), [changed(one, live=False) if one in LATE_LIVE and one not in GOOD else one for one in LATE_LIVE]), seen((), LATE_LIVE)),
    ("lost", {}, seen(events=DOWN), seen(events=LOST)),
    ("lost", {}, seen(events=[Event("data.lost", ms(20), readings=0)]), seen(events=[Event("data.lost", ms(20))])),
    ("lost", {"at_most": 7, "reasons": ("full",)}, seen(events=LOST), seen(events=[Event("data.lost", ms(20), reason="age", readings=1)])),
    ("lost", {"at_least": 5}, seen(events=LOST), seen()),
    ("account", {}, seen(account=BALANCED, at_ioc=8), seen(account=BALANCED, at_ioc=7)),
    ("account", {}, seen(account=BALANCED, at_ioc=9), seen(account=Account(11, 8, 1, {"full": 1}), at_ioc=8)),
    ("account", {"stored_at_most": 1}, seen(account=BALANCED, at_ioc=8), seen()),
    ("account", {"stored_at_most": 0}, seen(account=Account(8, 8), at_ioc=8), seen(account=BALANCED, at_ioc=8)),
    ("account", {}, seen(account=Account(8, 8), at_ioc=8), seen(account=Account(0, 0), at_ioc=0)),
    ("runs", {}, seen(exits=ENDS), seen(exits=DIES)),
    ("exit", {}, seen(exits=ENDS), seen(exits=[Exit(ms(31), 1, asked=True)])),
    ("exit", {"within_s": 1}, seen(exits=ENDS), seen()),
    ("exit", {"code": 3}, seen(exits=DIES), seen(exits=ENDS)),
    ("exit", {"code": 3, "by_itself": True}, seen(exits=DIES), seen(exits=ENDS)),
    ("exit", {"code": 3, "by_itself": True}, seen(exits=DIES), seen(exits=[Exit(ms(31), 3, asked=True)])),
    ("nothing_arrives", {}, seen(counting()), seen(arrivals=arrive(counting()))),
    ("nothing_arrives", {"to_s": 5}, seen(arrivals=arrive(counting(), late_s=9.0)), seen(arrivals=arrive(counting()))),
    ("nothing_arrives", {}, seen(), seen(events=[Event("device.down", ms(5))])),
    ("nothing_arrives", {}, seen(), seen(statuses=[(ms(5), True)])),
    ("output", {"text": r"ERROR.*\[y\]"}, seen(output=LINES), seen(output=LINES[1:])),
    ("output", {"text": "ERROR", "never": True}, seen(output=LINES[1:]), seen(output=LINES)),
    ("output", {"text": "ready", "stream": "stdout"}, seen(output=LINES), seen(output=[Line(ms(1), "stderr", "ready")])),
    ("output", {"text": "ERROR", "from_s": 10, "to_s": 15}, seen(output=LINES), seen(output=[Line(ms(20), "stderr", "ERROR")])),
    ("output", {"text": "e", "at_most": 1}, seen(output=LINES), seen(output=LINES * 2)),
    ("memory", {"at_most_mb": 60}, seen(usage=STOPS), seen(usage=GROWS)),
    ("memory", {"growth_mb": 5}, seen(usage=STOPS), seen(usage=GROWS)),
    ("memory", {"growth_mb": 5}, seen(usage=STOPS), seen()),
    ("files", {"growth": 2}, seen(usage=STOPS), seen(usage=GROWS)),
    ("files", {"at_most": 25}, seen(usage=STOPS), seen(usage=GROWS)),
    ("cpu", {"at_most_percent": 20}, seen(usage=STOPS), seen(usage=GROWS)),
    ("disk", {"at_most_mb": 2}, seen(bytes_in={"{data}": [(ms(5), 1_900_000)]}), seen(bytes_in={"{data}": [(ms(5), 2_100_000)]})),
    ("disk", {"at_most_mb": 2, "folder": "{run}"}, seen(bytes_in={"{run}": [(ms(5), 1)]}), seen()),
]  # fmt: skip


@pytest.mark.parametrize(("that", "keys", "good", "bad"), CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)])
def test_an_expectation_passes_and_fails(that: str, keys: dict[str, Any], good: Evidence, bad: Evidence) -> None:
    passed, failed = judge(that, good, **keys), judge(that, bad, **keys)
    assert passed.passed, passed
    assert not failed.passed, failed
    assert passed.expected == failed.expected
    assert failed.seen


def test_a_gateway_that_takes_too_long_to_end_has_not_ended_as_expected() -> None:
    assert judge("exit", seen(exits=ENDS), within_s=1.0).passed
    assert not judge("exit", seen(exits=ENDS), within_s=0.9).passed


def test_every_expectation_is_tried_here_and_says_in_its_docstring_what_it_means() -> None:
    tried = {that for that, *_ in CASES} | {"nothing_missing", "nothing_wrong"}
    assert tried == set(EXPECTATIONS)
    assert all(kind.__doc__ for kind in EXPECTATIONS.values())


# ---- the timeline ------------------------------------------------------------------------------------------------


def test_a_fault_that_comes_again_and_again_is_drawn_as_the_devices_draw_it() -> None:
    from simulators.faults.schedule import Schedule

    faults = [Fault(name="no_reply", on="meter"), make_fault({"name": "unplug", "on": "bus", "every_s": 3.0})]
    found = [one for one in windows(faults, 60.0, 5) if one.fault.name == "unplug"]
    schedule = Schedule(faults, 5)
    assert len(found) > 5
    for tenth in range(600):
        at_s = tenth / 10
        there = any(one.begin_s <= at_s < one.end_s for one in found)
        assert bool(schedule.active(("line",), at_s, "bus")) is there, at_s


def test_what_does_not_end_lasts_until_the_end() -> None:
    forever, moment = fault("unplug", "bus", 10, None), fault("cut", "uplink", 10, None)
    assert (forever.end_s, forever.lasts) == (SECONDS, True)
    assert (moment.begin_s, moment.end_s, moment.lasts) == (10, 10, False)
    (healed,) = windows([forever.fault], SECONDS, 0, heal=True)
    assert (healed.end_s, healed.lasts) == (SECONDS, False)
    assert windows([make_fault({"name": "stall", "on": "uplink", "from_s": 99})], SECONDS, 0) == []
