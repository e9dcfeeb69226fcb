from agent.clock import NS_PER_S
from agent.polling.tally import Evidence, Tally
from drivers.api import Reading
from drivers.errors import BadReply, DeviceRefused, NoReply

MINUTE_NS = 60 * NS_PER_S


def test_polls_are_counted_by_what_they_came_to_and_forgotten_after_ten_minutes() -> None:
    tally = Tally()
    tally.failed(NoReply("silent"), 0)
    tally.failed(DeviceRefused("no such register", 2), MINUTE_NS)
    tally.failed(BadReply("crc", b"\x01\x04", b"\x01\x05"), MINUTE_NS)
    for second in range(100):
        tally.answered([Reading("power", 1.5, 0)], MINUTE_NS + second)
    told = tally.told(2 * MINUTE_NS)
    assert told["polls"] == {"silent": 1, "refused": 1, "garbage": 1, "ok": 100}
    assert told["evidence"] == {"refused": Evidence(code=2), "garbage": Evidence(asked="0104", heard="0105")}
    told = tally.told(11 * MINUTE_NS)
    assert told["polls"] == {"refused": 1, "garbage": 1, "ok": 100}
    told = tally.told(12 * MINUTE_NS)
    assert (told["polls"], told["evidence"]) == ({}, {})


def test_values_stand_still_while_no_measurement_moves() -> None:
    tally = Tally()
    assert tally.told(0)["still_s"] is None
    tally.answered([Reading("power", 1.5, 0), Reading("state", 1, 0)], 0)
    tally.answered([Reading("power", 1.5, 0), Reading("state", 2, 0)], 30 * NS_PER_S)
    assert tally.told(40 * NS_PER_S)["still_s"] == 40.0
    tally.answered([Reading("power", 1.6, 0)], 50 * NS_PER_S)
    assert tally.told(60 * NS_PER_S)["still_s"] == 10.0


def test_a_device_without_measurements_never_stands_still() -> None:
    tally = Tally()
    tally.answered([Reading("door", True, 0), Reading("power", None, 0)], 0)
    assert tally.told(NS_PER_S)["still_s"] is None
