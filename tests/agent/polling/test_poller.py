"""The poller with a driver in the hands of the test; the real drivers have tests of their own."""

from poller_bench import Answer, Bench
from poller_bench import fails as _fails
from poller_bench import good as _good

from agent.clock import SystemClock
from drivers.api import Identity, Quality, Reading
from drivers.errors import BadReply, DeviceRefused, LinkDown, NoReply


async def test_one_bad_device_never_stops_the_others() -> None:
    bench = Bench({1: _good, 2: _fails(NoReply("2: no answer")), 3: _fails(BadReply("3: CRC")), 4: _good})
    await bench.until(lambda: len(bench.of("d1")) >= 10 and len(bench.of("d4")) >= 10)
    assert {r.quality for r in bench.of("d1")} == {Quality.GOOD}
    assert len(bench.of("d2")) < len(bench.of("d1"))


async def test_a_silent_device_has_quality_com_and_one_event_for_each_end_of_the_episode() -> None:
    answers: dict[int, Answer] = {1: _fails(NoReply("no answer"))}
    bench = Bench(answers)
    bench.poller.devices[0].quarantine.rest_s = lambda *_: 0.0  # type: ignore[method-assign]
    await bench.until(lambda: len(bench.of("d1")) >= 5)
    assert all(r.value is None and r.quality is Quality.NO_ANSWER for r in bench.of("d1"))
    assert [e.type for e in bench.events] == ["device.down"]
    assert bench.poller.devices[0].state.error == "no answer"
    bench.link.answers[1] = _good
    await bench.until(lambda: len(bench.events) >= 2)
    assert [e.type for e in bench.events] == ["device.down", "device.up"]
    assert bench.poller.devices[0].state.error is None


async def test_points_that_a_device_may_not_have_are_not_reported_as_silent() -> None:
    bench = Bench({1: _fails(NoReply("no answer"))})
    await bench.until(lambda: len(bench.of("d1")) >= 1)
    assert {r.point for r in bench.of("d1")} == {"x"}


async def test_a_point_that_was_there_before_is_reported_as_silent() -> None:
    now_ns = SystemClock().mono_ns()
    answers: dict[int, Answer] = {1: lambda: [Reading("x", 1, now_ns), Reading("y", 2, now_ns)]}
    bench = Bench(answers)
    await bench.until(lambda: len(bench.scans) >= 1)
    answers[1] = _fails(NoReply("no answer"))
    await bench.until(lambda: any(r.quality is Quality.NO_ANSWER for r in bench.of("d1")))
    assert {r.point for r in bench.of("d1") if r.quality is Quality.NO_ANSWER} == {"x", "y"}


async def test_a_device_that_is_down_rests_with_all_its_polls() -> None:
    bench = Bench({1: _fails(NoReply("no answer"))})
    bench.poller.devices[0].quarantine.rest_s = lambda *_: 3_600.0 if bench.events else 0.0  # type: ignore[method-assign]
    await bench.until(lambda: bool(bench.events))
    down = bench.poller.devices[0]
    assert all(bench.poller.schedule.due_ns(poll) > SystemClock().mono_ns() + 3_000e9 for poll in down.polls)
    assert len(down.polls) == 2


async def test_a_link_that_goes_down_takes_its_devices_down_once_and_comes_back() -> None:
    ports = {"there": False}

    def opens() -> None:
        if not ports["there"]:
            raise LinkDown("/dev/ttyUSB0 is gone")

    bench = Bench({1: _good, 2: _good}, opens)
    await bench.until(lambda: len(bench.events) >= 2)
    assert [(e.type, e.device) for e in bench.events] == [("device.down", "d1"), ("device.down", "d2")]
    assert bench.poller.error == "/dev/ttyUSB0 is gone"
    ports["there"] = True
    await bench.until(lambda: len(bench.events) >= 4)
    assert [(e.type, e.device) for e in bench.events[2:]] == [("device.up", "d1"), ("device.up", "d2")]
    assert bench.poller.up


async def test_a_device_that_refuses_everything_is_up_and_its_points_are_cfg() -> None:
    bench = Bench({1: _fails(DeviceRefused("exception 2", 2))})
    await bench.until(lambda: len(bench.of("d1")) >= 2)
    assert {(r.point, r.value, r.quality) for r in bench.of("d1")} == {
        ("x", None, Quality.CONFIGURATION), ("y", None, Quality.CONFIGURATION)
    }  # fmt: skip
    assert bench.events == []


async def test_counters_go_on_when_a_link_is_opened_again() -> None:
    calls = iter(range(100))

    def answer() -> list[Reading]:
        if next(calls) % 3 == 2:
            raise LinkDown("unplugged")
        return _good()

    bench = Bench({1: answer})
    bench.poller._backoff.delay_s = lambda attempt: 0.0  # type: ignore[method-assign]
    await bench.until(lambda: bench.opened >= 3)
    assert bench.poller.stats.requests >= 4


async def test_answers_that_arrived_at_different_times_are_different_scans() -> None:
    now_ns = SystemClock().mono_ns()
    bench = Bench({1: lambda: [Reading("x", 1, now_ns), Reading("y", 2, now_ns + 1), Reading("z", 3, now_ns)]})
    await bench.until(lambda: len(bench.scans) >= 2)
    assert [[r.point for r in scan.readings] for scan in bench.scans[:2]] == [["x", "z"], ["y"]]


async def test_while_the_store_is_full_polls_are_skipped_and_counted_as_missed() -> None:
    bench = Bench({1: _good})
    bench.full = True
    await bench.until(lambda: bench.poller.schedule.missed >= 3)
    assert bench.scans == []
    bench.full = False
    await bench.until(lambda: len(bench.scans) >= 2)


async def test_a_device_that_does_not_look_like_its_profile_is_never_published_as_good() -> None:
    bench = Bench({1: _good})
    bench.link.identity = Identity("Acme", "its product is Y")
    await bench.until(lambda: len(bench.of("d1")) >= 5)
    assert {(r.value, r.quality) for r in bench.of("d1")} == {(None, Quality.CONFIGURATION)}
    assert [(e.type, "its product is Y" in e.message["en"]) for e in bench.events] == [("alarm.raise", True)]
    assert bench.poller.devices[0].state.error == "its product is Y"
    assert (bench.link.identified, bench.link.stats.requests) == (1, 0)


async def test_a_device_that_fits_again_is_read_again() -> None:
    bench = Bench({1: _good})
    bench.link.identity = Identity("Acme", "its product is Y")
    await bench.until(lambda: len(bench.of("d1")) >= 2)
    bench.link.identity = Identity("Acme", "")
    bench.poller.devices[0].recognition.forget()
    await bench.until(lambda: bool(bench.of("d1")) and bench.of("d1")[-1].quality is Quality.GOOD)
    assert [e.type for e in bench.events] == ["alarm.raise", "alarm.clear"]
    assert bench.poller.devices[0].state.error is None


async def test_a_device_is_asked_who_it_is_once_and_again_after_it_was_down() -> None:
    answers: dict[int, Answer] = {1: _good}
    bench = Bench(answers)
    bench.poller.devices[0].quarantine.rest_s = lambda *_: 0.0  # type: ignore[method-assign]
    await bench.until(lambda: len(bench.of("d1")) >= 5)
    assert bench.link.identified == 1
    answers[1] = _fails(NoReply("no answer"))
    await bench.until(lambda: [e.type for e in bench.events] == ["device.down"])
    answers[1] = _good
    await bench.until(lambda: [e.type for e in bench.events] == ["device.down", "device.up"])
    assert bench.link.identified >= 2
