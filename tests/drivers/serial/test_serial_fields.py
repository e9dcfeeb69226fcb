"""Values come only from frames that say that they are valid; patching is the inverse of reading."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Quality, Value
from drivers.serial.fields import FieldReader, Found, patch
from drivers.serial.framing import Framer, with_checksum
from drivers.serial.profile import Frame, Length, SerialPoint, SerialProfile

Q = Quality


def sentence(profile: SerialProfile, text: str) -> bytes:
    return with_checksum(profile.frame, f"${text}*00\r\n".encode())


def found(profile: SerialProfile, text: str) -> dict[str, Found]:
    return {one.point.name: one for one in FieldReader(profile).read(sentence(profile, text))}


def values(profile: SerialProfile, text: str) -> dict[str, Value | None]:
    return {name: one.value for name, one in found(profile, text).items()}


def one_point(point: SerialPoint, **frame: Any) -> SerialProfile:
    lines = Frame(framing="line", checksum="xor_hex", start="$", **frame)
    return SerialProfile(vendor="", model="m", kind="serial", source="", frame=lines, point=(point,))


def point_of(profile: SerialProfile, name: str) -> SerialPoint:
    return next(p for p in profile.point if p.name == name)


def test_the_talker_does_not_matter(nmea: SerialProfile) -> None:
    for talker in ("WI", "II", "SD", "GN"):
        assert values(nmea, f"{talker}MTA,10.0,C") == {"air_temperature": 10.0}


def test_a_proprietary_sentence_is_matched_by_its_whole_name(nmea: SerialProfile) -> None:
    assert values(nmea, "PMTA,10.0,C") == {}
    assert values(nmea, "PXMWV,1.0,R,2.0,M,A") == {}


def test_another_reference_is_another_point(nmea: SerialProfile) -> None:
    assert values(nmea, "WIMWV,10.0,R,2.5,M,A") == {"wind_angle": 10.0, "wind_speed": 2.5}
    assert values(nmea, "WIMWV,10.0,T,2.5,M,A") == {"true_wind_angle": 10.0, "true_wind_speed": 2.5}
    assert values(nmea, "WIMWV,10.0,X,2.5,M,A") == {}


@pytest.mark.parametrize(("unit", "speed"), [("M", 10.0), ("N", 5.144), ("K", 2.778), ("S", 4.47)])
def test_the_unit_letter_sets_the_unit(nmea: SerialProfile, unit: str, speed: float) -> None:
    assert values(nmea, f"WIMWV,10.0,R,10.0,{unit},A")["wind_speed"] == speed


def test_an_unknown_unit_letter_gives_no_value(nmea: SerialProfile) -> None:
    for unit in ("B", "", "n"):
        speed = found(nmea, f"WIMWV,10.0,R,10.0,{unit},A")["wind_speed"]
        assert (speed.value, speed.quality, speed.status) == (None, Q.CONFIGURATION, unit)


@pytest.mark.parametrize("flag", ["V", "", "a", "A ", "AA"])
def test_a_frame_that_says_it_is_not_valid_gives_no_value(nmea: SerialProfile, flag: str) -> None:
    speed = found(nmea, f"WIMWV,10.0,R,10.0,M,{flag}")["wind_speed"]
    assert (speed.value, speed.quality, speed.status) == (None, Q.FAULT, flag or None)


def test_a_frame_that_leaves_out_its_validity_gives_no_value(nmea: SerialProfile) -> None:
    assert set(values(nmea, "WIMWV,10.0,R,10.0,M").values()) == {None}


def test_the_flags_of_a_frame_may_lower_the_quality(nmea: SerialProfile) -> None:
    place = "GPRMC,123519.00,A,4807.038,N,01131.000,E,,,230394,,"
    for mode, quality in (("A", Q.GOOD), ("D", Q.GOOD), ("E", Q.UNCERTAIN), ("S", Q.SUBSTITUTED)):
        latitude = found(nmea, f"{place},{mode}")["latitude"]
        assert (latitude.value, latitude.quality) == (48.1173, quality)


def test_an_empty_field_is_no_value(nmea: SerialProfile) -> None:
    humidity = found(nmea, "WIMDA,29.4473,I,0.9972,B,17.2,C,,,,,,,,,,,,,,")["humidity"]
    assert (humidity.value, humidity.empty) == (None, True)


@pytest.mark.parametrize("text", ["nan", "inf", "1e3", "1_0", "--", "12.3.4", " 12", "0x10"])
def test_text_that_is_no_plain_number_is_no_value(nmea: SerialProfile, text: str) -> None:
    temperature = found(nmea, f"WIMTA,{text},C")["air_temperature"]
    assert (temperature.value, temperature.quality) == (None, Q.FAULT)


@pytest.mark.parametrize(
    ("degrees", "letter", "value"),
    [
        ("4807.038", "N", 48.1173),
        ("4807.038", "S", -48.1173),
        ("0000.0001", "S", -0.000002),
        ("4860.000", "N", None),
        ("4807.038", "", None),
        ("4807.038", "X", None),
        ("7.5", "N", None),
        ("9959.9", "N", 99.998333),
    ],
)
def test_degrees_and_minutes_become_degrees(nmea: SerialProfile, degrees: str, letter: str, value: float) -> None:
    text = f"GPRMC,123519.00,A,{degrees},{letter},01131.000,E,,,230394,,"
    latitude = found(nmea, text)["latitude"]
    assert latitude.value == value
    assert latitude.quality == (Q.FAULT if value is None else Q.OUT_OF_RANGE if value > 90 else Q.GOOD)


def test_every_known_place_of_a_point_is_read_and_ranked(nmea: SerialProfile) -> None:
    assert found(nmea, "WIMTA,10.0,C")["air_temperature"].rank == 1
    assert found(nmea, "WIMDA,,,,,10.0,C")["air_temperature"].rank == 0


def test_dust_values_stand_at_their_offsets(pms: SerialProfile) -> None:
    payload = b"".join(n.to_bytes(2, "big") for n in range(1, 13)) + b"\x97\0"
    frame = with_checksum(pms.frame, b"BM\0\x1c" + payload + b"\0\0")
    got = [one.value for one in FieldReader(pms).read(frame)]
    assert got == [4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 11, 12, "97", "00"]


def test_an_instrument_that_reports_an_error_gives_no_values_but_its_code(pms: SerialProfile) -> None:
    frame = with_checksum(pms.frame, b"BM\0\x1c" + bytes(range(24)) + b"\x97\x04\0\0")
    by_name = {one.point.name: one for one in FieldReader(pms).read(frame)}
    assert (by_name["pm25"].value, by_name["pm25"].quality, by_name["pm25"].status) == (None, Q.FAULT, "04")
    assert by_name["error_code"].value == "04"


def test_nothing_but_zeros_is_warming_up(pms: SerialProfile) -> None:
    got = FieldReader(pms).read(with_checksum(pms.frame, b"BM\0\x1c" + bytes(28)))
    assert {(one.value, one.quality) for one in got} == {(None, Q.WARMING_UP)}


@pytest.mark.parametrize("kind", ["u8", "i8", "u16", "i16", "u32", "i32"])
@pytest.mark.parametrize("order", ["big", "little"])
@given(data=st.data())
def test_patching_a_binary_frame_is_the_inverse_of_reading(kind: Any, order: Any, data: st.DataObject) -> None:
    size = int(kind[1:])
    low = -(1 << size - 1) if kind[0] == "i" else 0
    number = data.draw(st.integers(low, low + (1 << size) - 1))
    pms_like = Frame(
        framing="length", checksum="sum8", header="AA", byte_order=order,
        length=Length(at=1, add=3, min=8, max=8),
    )  # fmt: skip
    point = SerialPoint(name="p", at=3, type=kind, scale=0.5)
    profile = SerialProfile(vendor="", model="", kind="serial", source="", frame=pms_like, point=(point,))
    template = bytes([0xAA, 8, *range(1, 9), 0])
    changed = patch(pms_like, point, template, number * 0.5)
    assert len(changed) == len(template)
    assert changed[-1] == sum(changed[:-1]) & 0xFF
    assert [one.value for one in FieldReader(profile).read(changed)] == [number * 0.5]


@given(value=st.floats(0, 50))
@pytest.mark.parametrize("unit", ["M", "N", "K", "S"])
def test_patching_a_line_is_the_inverse_of_reading(nmea: SerialProfile, unit: str, value: float) -> None:
    point = point_of(nmea, "wind_speed")
    changed = patch(nmea.frame, point, sentence(nmea, f"WIMWV,271.0,R,000.20,{unit},A"), value)
    assert Framer(nmea.frame).feed(changed) == [changed]
    by_name = {one.point.name: one.value for one in FieldReader(nmea).read(changed)}
    assert by_name["wind_angle"] == 271.0
    assert math.isclose(float(by_name["wind_speed"] or 0), value, abs_tol=0.006)


@given(value=st.floats(-89.999, 89.999))
@pytest.mark.parametrize("minutes", ["07", "07.0", "07.03800"])
def test_patched_degrees_are_the_degrees_that_are_read(nmea: SerialProfile, minutes: str, value: float) -> None:
    template = sentence(nmea, f"GPGGA,1,48{minutes},N,01131.000,E,1,8,0.9,5.4,M,46.9,M,,")
    changed = patch(nmea.frame, point_of(nmea, "latitude"), template, value)
    assert Framer(nmea.frame).feed(changed) == [changed]
    latitude = {one.point.name: one.value for one in FieldReader(nmea).read(changed)}["latitude"]
    places = len(minutes.partition(".")[2])
    assert math.isclose(float(latitude or 0), value, abs_tol=0.5 / 60 / 10**places + 2e-6)


def test_a_patched_number_keeps_the_form_of_its_field(nmea: SerialProfile) -> None:
    changed = patch(nmea.frame, point_of(nmea, "wind_speed"), sentence(nmea, "IIMWV,271.0,R,000.2,N,A"), 4.3217)
    assert changed.startswith(b"$IIMWV,271.0,R,008.4,N,A*")


def test_what_a_field_cannot_hold_is_refused(nmea: SerialProfile, pms: SerialProfile) -> None:
    dust = with_checksum(pms.frame, b"BM\0\x1c" + bytes(28))
    for name, value in (("pm25", 65_536), ("pm25", -1), ("version", "6.3"), ("version", "ABCD")):
        with pytest.raises(ValueError, match=r"."):
            patch(pms.frame, point_of(pms, name), dust, value)
    with pytest.raises(ValueError, match="has no place in WIMTA"):
        patch(nmea.frame, point_of(nmea, "depth"), sentence(nmea, "WIMTA,10.0,C"), 1.0)


@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=10))
def test_text_goes_in_and_out_unchanged(text: str) -> None:
    point = SerialPoint(name="state", field=1, type="string")
    profile = one_point(point)
    template = with_checksum(profile.frame, b"$X,old*00\r\n")
    reserved = set(text) & set(",*$!\\")
    if reserved:
        with pytest.raises(ValueError, match="cannot stand"):
            patch(profile.frame, point, template, text)
        return
    assert [one.value for one in FieldReader(profile).read(patch(profile.frame, point, template, text))] == [text]


def test_names_stand_for_texts_and_numbers() -> None:
    for kind in ("string", "i64"):
        point = SerialPoint(name="state", field=1, type=kind, enum={"0": "off", "1": "on"})  # type: ignore[arg-type]
        profile = one_point(point)
        template = with_checksum(profile.frame, b"$X,0*00\r\n")
        changed = patch(profile.frame, point, template, "on")
        assert [(one.value, one.quality) for one in FieldReader(profile).read(changed)] == [("on", Q.GOOD)]
        unknown = with_checksum(profile.frame, b"$X,7*00\r\n")
        assert [(one.value, one.quality) for one in FieldReader(profile).read(unknown)] == [("7", Q.OUT_OF_RANGE)]
