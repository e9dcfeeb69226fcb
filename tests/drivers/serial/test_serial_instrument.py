"""What belongs together in time, and what does not."""

from serial_profiles import shipped

from drivers.serial.framing import Framer, with_checksum
from drivers.serial.instrument import Instrument
from drivers.serial.newest import SerialPlan
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile

MS = 1_000_000


def dust(profile: SerialProfile, payload: bytes) -> bytes:
    return with_checksum(profile.frame, b"BM\0\x1c" + payload + b"\0\0")


def test_bytes_before_a_pause_are_never_joined_to_those_after_it(pms: SerialProfile) -> None:
    """One lost byte, and the first byte of the next frame makes the checksum fit: only the pause tells."""
    whole = dust(pms, bytes([221]) + bytes([150]) * 24 + bytes([119]))
    broken = whole[:4] + whole[5:]
    following = dust(pms, bytes([0, 35] * 12 + [0x97, 0]))
    assert Framer(pms.frame).feed(broken + following) == [broken + b"B"]

    instrument = Instrument(pms, SerialOptions(port="x", warm_up_s=0), 0)
    instrument.hear(broken, 1_000 * MS)
    instrument.hear(following, 1_170 * MS)
    readings = {r.point: r for r in instrument.newest.news(SerialPlan(pms, pms.point), 1_170 * MS)}
    assert (readings["pm25"].value, readings["pm25"].mono_ns) == (35, 1_170 * MS)
    assert (instrument.frames, instrument.framer.bad_frames) == (1, 1)


def test_a_whole_frame_right_behind_a_broken_beginning_has_its_own_time(pms: SerialProfile) -> None:
    instrument = Instrument(pms, SerialOptions(port="x", warm_up_s=0), 0)
    instrument.hear(dust(pms, bytes([0, 35] * 12 + [0x97, 0]))[:20], 1_000 * MS)
    instrument.hear(dust(pms, bytes([0, 7] * 12 + [0x97, 0]))[:-1], 1_010 * MS)
    instrument.hear(dust(pms, bytes([0, 7] * 12 + [0x97, 0]))[-1:], 1_020 * MS)
    readings = {r.point: r for r in instrument.newest.news(SerialPlan(pms, pms.point), 1_300 * MS)}
    assert (readings["pm25"].value, readings["pm25"].mono_ns) == (7, 1_020 * MS)


def test_a_short_pause_inside_a_frame_is_none(pms: SerialProfile) -> None:
    instrument = Instrument(pms, SerialOptions(port="x", warm_up_s=0), 0)
    frame = dust(pms, bytes([0, 35] * 12 + [0x97, 0]))
    instrument.hear(frame[:9], 1_000 * MS)
    instrument.hear(frame[9:], 1_100 * MS)
    assert (instrument.frames, instrument.framer.bad_frames) == (1, 0)


def test_a_frame_that_must_stand_alone_is_refused_where_a_byte_came_twice() -> None:
    """FF 07 07 0D has a right checksum; only the fifth byte of its burst tells that something is wrong."""
    sonar = shipped("dfrobot/a01nyub")
    plan = SerialPlan(sonar, sonar.point)
    instrument = Instrument(sonar, SerialOptions(port="x"), 0)
    for number, burst in enumerate((b"\xff\x07\x07\x0d\x0d", b"\xff\x07\xa1\xa7"), 1):
        assert not instrument.waits_for_a_pause
        instrument.hear(burst, number * 1_000 * MS)
        assert instrument.waits_for_a_pause
        instrument.hear(b"", number * 1_000 * MS + 41 * MS)
    readings = instrument.newest.news(plan, 3_000 * MS)
    assert [(r.value, r.mono_ns) for r in readings] == [(1953, 2_000 * MS)]
    assert instrument.bad_frames == 1
    assert "FF 07 07 0D" in instrument.problem


def test_values_are_ini_until_an_instrument_that_may_have_been_off_has_settled(pms: SerialProfile) -> None:
    instrument = Instrument(pms, SerialOptions(port="x", timeout_s=5.0), 0)
    plan = SerialPlan(pms, [p for p in pms.point if p.name == "pm25"])
    frame = dust(pms, bytes([0, 35] * 12 + [0x97, 0]))

    def value_at(second: int) -> object:
        instrument.hear(frame, second * 1_000 * MS)
        (reading,) = instrument.newest.news(plan, second * 1_000 * MS)
        return reading.value if reading.value is not None else str(reading.quality)

    assert [value_at(second) for second in range(1, 34, 4)] == ["ini"] * 8 + [35]
    assert value_at(37) == 35
    assert value_at(60) == "ini", "it was silent for longer than the timeout: it may have been off"
