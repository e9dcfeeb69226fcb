"""`oc-agent capture`: raw frames of a device in a file that others read back, without what tells whose it is."""

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_config import HEAD
from rtu_bus import BusDevice, RtuBus

from agent.cli import main
from agent.cli.capture import sources
from agent.cli.capture.pseudonyms import Pseudonyms, identifies
from agent.cli.capture.recording import Exchange, Recorder, as_rtu, in_exchanges, rtu
from agent.cli.capture.redaction import Redaction
from agent.cli.scan.choosing import all_profiles
from drivers.catalogue import shipped_profiles
from drivers.errors import DeviceRefused
from drivers.modbus.decode import decode
from drivers.registry import driver_specs
from drivers.serial.framing import with_checksum
from drivers.serial.profile import SerialProfile
from drivers.tap import current_tap, tapped
from simulators.captures.reading import captured
from simulators.captures.replaying import Replaying
from simulators.testing import MakeModbusDevice, MakeSerialDevice, RawLine, RegisterImage, SimulatedDevice

PROFILES = all_profiles(Path("/nonexistent"))
RAIN = tomllib.loads((shipped_profiles() / "hydreon/rg-15.capture.toml").read_text(encoding="utf-8"))["exchange"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def capture(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, device: SimulatedDevice | None = None) -> tuple[int, str, str]:
        config = tmp_path / "agent.toml"
        if device:
            config.write_text(HEAD + device.toml(), encoding="utf-8")
        with pytest.raises(SystemExit) as caught:
            main(["--lang", "en", "--config", str(config), "capture", *map(str, arguments)])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


def entries(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["exchange"]
    return found


def check_meanings(file: Path, profile: str) -> set[str]:
    """As the tests of the profiles do: each exchange means what it says. Gives the points that have a value."""
    found = PROFILES[profile]
    shown: set[str] = set()
    for one in entries(file):
        request = _bytes(one, "request", "request_text")
        response = _bytes(one, "response", "text") or _bytes(one, "stream", "text") or b""
        assert one["source"]
        assert one["origin"] == "device"
        if one.get("step"):
            continue
        if one.get("error"):
            with pytest.raises(DeviceRefused):
                driver_specs()[found.kind].decode(found, request, response)
            continue
        readings = list(driver_specs()[found.kind].decode(found, request, response))
        assert {r.point: r.value for r in readings if r.value is not None} == one["values"]
        assert {r.point: str(r.quality) for r in readings if r.quality} == one.get("quality", {})
        shown |= one["values"].keys()
    return shown


def _bytes(one: dict[str, Any], in_hex: str, as_text: str) -> bytes | None:
    return (
        str(one[as_text]).encode("latin-1") if as_text in one else bytes.fromhex(one[in_hex]) if in_hex in one else None
    )


@pytest.mark.parametrize("transport", ["rtu", "tcp", "ascii"])
def test_a_capture_of_a_modbus_device_means_what_it_says_and_is_replayed(
    transport: str, modbus_device: MakeModbusDevice, capture: Run, tmp_path: Path
) -> None:
    device = modbus_device("eastron/sdm120", name="meter-1", transport=transport)
    code, out, err = capture("meter-1", "--rounds", "1", device=device)
    assert code == 0, err
    file = tmp_path / "sdm120.capture.toml"
    assert out == f"{file.name}: {len(entries(file))} exchanges\n"
    assert check_meanings(file, "eastron/sdm120") == {point.name for point in PROFILES["eastron/sdm120"].point}
    replaying = Replaying(captured(file))
    for one in captured(file):
        (answer,) = replaying.feed(one.request or b"")
        assert answer.data == one.response
    assert "127.0.0.1" not in file.read_text(encoding="utf-8")


def test_names_and_serial_numbers_are_replaced_and_the_same_one_by_the_same(
    modbus_device: MakeModbusDevice, capture: Run, tmp_path: Path
) -> None:
    device = modbus_device("schneider/pm5000", name="meter-1")
    device.set("name", "Pump house Hoa Xuan")
    device.set("serial", 4711234)
    code, _, err = capture("meter-1", "--rounds", "2", device=device)
    assert code == 0
    text = (tmp_path / "pm5000.capture.toml").read_text(encoding="utf-8")
    shown = check_meanings(tmp_path / "pm5000.capture.toml", "schneider/pm5000")
    assert {"name", "serial", "manufacturer"} <= shown
    values = [one.get("values", {}) for one in entries(tmp_path / "pm5000.capture.toml")]
    assert len({one["name"] for one in values if "name" in one}) == 1
    assert {one["manufacturer"] for one in values if "manufacturer" in one} == {"Schneider"}
    assert "Pump" not in text
    assert "50 75 6D 70" not in text, "Pump, in hex"
    assert "4711234" not in text
    assert "00 47 E3 42" not in text, "4711234, in hex"
    assert "# replaced: serial" in text
    assert "redacted: replaced: serial" in err


def test_raw_keeps_everything_and_warns(modbus_device: MakeModbusDevice, capture: Run, tmp_path: Path) -> None:
    device = modbus_device("schneider/pm5000", name="meter-1")
    device.set("serial", 4711234)
    code, _, err = capture("meter-1", "--rounds", "1", "--raw", "--output", "raw.toml", device=device)
    assert code == 0
    assert any(one.get("values", {}).get("serial") == 4711234 for one in entries(tmp_path / "raw.toml"))
    assert "nothing was redacted" in err
    assert "# Not redacted." in (tmp_path / "raw.toml").read_text(encoding="utf-8")


def test_an_instrument_that_sends_by_itself(serial_device: MakeSerialDevice, capture: Run, tmp_path: Path) -> None:
    device = serial_device("plantower/pms5003", name="dust-1")
    assert capture("dust-1", "--rounds", "1", device=device)[0] == 0
    assert "pm25" in check_meanings(tmp_path / "pms5003.capture.toml", "plantower/pms5003")
    assert all(one.request is None for one in captured(tmp_path / "pms5003.capture.toml"))


def test_an_instrument_that_is_asked(serial_device: MakeSerialDevice, capture: Run, tmp_path: Path) -> None:
    device = serial_device("senseair/s8", name="co2-1")
    assert capture("co2-1", "--rounds", "1", device=device)[0] == 0
    assert check_meanings(tmp_path / "s8.capture.toml", "senseair/s8") == {"co2"}


def test_a_camera(camera_device: MakeSerialDevice, capture: Run, tmp_path: Path) -> None:
    device = camera_device("sony/visca", name="cam-1", unit=1)
    assert capture("cam-1", "--rounds", "1", device=device)[0] == 0
    assert check_meanings(tmp_path / "visca.capture.toml", "sony/visca")


def test_where_an_instrument_stands_is_taken_out(serial_device: MakeSerialDevice, capture: Run, tmp_path: Path) -> None:
    device = serial_device("nmea/weather-station", name="mast-1")
    device.set("latitude", 16.0678)
    assert capture("mast-1", "--rounds", "1", device=device)[0] == 0
    file = tmp_path / "weather-station.capture.toml"
    shown = check_meanings(file, "nmea/weather-station")
    assert "wind_speed" in shown
    assert "1604" not in file.read_text(encoding="utf-8")
    places = {one["values"]["latitude"] for one in entries(file) if "latitude" in one.get("values", {})}
    assert places == {0.0}


def test_an_unknown_device_is_listened_to(serial_line: Callable[..., RawLine], capture: Run, tmp_path: Path) -> None:
    line = serial_line()
    line.script(lambda _number, _request, _meant: [])
    line.fault("babble gap_s=0.01 bytes=20")
    code, _, err = capture("--port", line.port, "--listen", "0.5", "--output", "new.capture.toml")
    assert code == 0, err
    assert captured(tmp_path / "new.capture.toml")
    assert "nothing was redacted" in err


def test_registers_of_an_unknown_device_are_read_around_what_it_refuses(
    serial_line: Callable[..., RawLine], capture: Run, tmp_path: Path
) -> None:
    line = serial_line()
    bus = RtuBus(line, BusDevice(unit=3, image=RegisterImage(holding={0: [231, 5], 6: 7})))
    code, out, err = capture("--port", line.port, "--unit", "3", "--registers", "holding:0-7", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["registers"] == {"holding": {"0": 231, "1": 5, "6": 7}}
    assert len(captured(tmp_path / "unknown.capture.toml")) == report["exchanges"]
    assert {request[1] for _, request in bus.asked} == {3}


def test_the_line_is_borrowed_and_given_back(
    modbus_device: MakeModbusDevice, capture: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = modbus_device("eastron/sdm120", name="meter-1", transport="rtu")
    seen: list[str] = []

    @contextmanager
    def borrowed(_settings: object, link: Any, _purpose: str) -> Iterator[bool]:
        seen.append(f"{link.name} {len(device.requests)}")
        yield True
        seen.append(f"back {len(device.requests) > 0}")

    monkeypatch.setattr(sources, "borrowed", borrowed)
    assert capture("meter-1", "--rounds", "1", device=device)[0] == 0
    assert seen == [f"{device.link['name']} 0", "back True"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nobody"], "there is no device"),
        (["--port", "/dev/null"], "--registers"),
        (["--port", "/dev/nothing-there", "--listen", "1"], "/dev/nothing-there"),
        (["--port", "/dev/null", "--registers", "flags:0-3"], "write like"),
        (["--port", "/dev/null", "--registers", "holding:5-3"], "write like"),
        (["--port", "/dev/null", "--registers", "holding:0", "--unit", "0"], "1 to 247"),
        (["--port", "/dev/null", "--listen", "0"], "--listen"),
        (["meter-1", "--rounds", "0"], "--rounds"),
    ],
)
def test_what_cannot_be_captured_is_refused_with_the_reason(
    arguments: list[str], why: str, modbus_device: MakeModbusDevice, capture: Run, tmp_path: Path
) -> None:
    code, out, err = capture(*arguments, device=modbus_device("eastron/sdm120", name="meter-1"))
    assert (code, out) == (1, "")
    assert why in err
    assert not list(tmp_path.glob("*.capture.toml"))


def test_a_file_that_is_there_is_not_overwritten(modbus_device: MakeModbusDevice, capture: Run, tmp_path: Path) -> None:
    device = modbus_device("eastron/sdm120", name="meter-1")
    (tmp_path / "sdm120.capture.toml").write_text("precious", encoding="utf-8")
    code, _, err = capture("meter-1", "--rounds", "1", device=device)
    assert code == 1
    assert "is there already" in err
    assert (tmp_path / "sdm120.capture.toml").read_text(encoding="utf-8") == "precious"


def test_what_no_point_names_is_zero_and_the_checksum_right() -> None:
    profile = PROFILES["eastron/sdm120"]
    request = bytes.fromhex("01 04 00 00 00 04 F1 C9")
    answer = rtu(1, bytes.fromhex("04 08 43 66 33 34 53 4E 31 32"))
    redaction = Redaction(profile)
    found = redaction.redacted(Exchange(request, answer))
    assert found is not None
    assert found.response == rtu(1, bytes.fromhex("04 08 43 66 33 34 00 00 00 00"))
    assert [one.value for one in decode(profile, request, found.response)] == [230.2]  # type: ignore[arg-type]
    assert list(redaction.notes) == ["set to 0: registers that the profile does not name"]


def test_sentences_keep_their_values_and_lose_their_place() -> None:
    wind = b"$WIMWV,045.0,R,02.5,M,A*2A\r\n"
    place = b"$GPRMC,101530.00,A,1604.068,N,10813.248,E,0.0,0.0,271126,,,A*5C\r\n"
    strange = b"$PSTI,SERIAL,4711*00\r\n"
    data = b"".join(_checked(one) for one in (wind, place, strange))
    redaction = Redaction(PROFILES["nmea/weather-station"])
    found = redaction.redacted(Exchange(None, data))
    assert found is not None
    assert _checked(wind) in found.response
    assert b"1604" not in found.response
    assert b"10813" not in found.response
    assert b"4711" not in found.response
    assert "left out: frames of which the profile has no point" in redaction.notes


def _checked(line: bytes) -> bytes:
    return line[:-4] + b"%02X" % reduce(xor, line[1:-5]) + line[-2:]


def test_identification_and_broken_answers_are_left_out() -> None:
    redaction = Redaction(PROFILES["eastron/sdm120"])
    assert redaction.redacted(Exchange(bytes.fromhex("01 2B 0E 01 00 70 77"), b"\x01\x2b\x0e")) is None
    assert redaction.redacted(Exchange(bytes.fromhex("01 04 00 00 00 02 71 CB"), b"\x01\x04\x04\x43")) is None
    assert sum(redaction.notes.values()) == 2


def test_the_number_of_a_dust_sensor_that_no_point_names_is_taken_out() -> None:
    profile = PROFILES["nova/sds011"]
    frame = bytes.fromhex("AA C0 D4 04 3A 0A A1 60 1D AB")
    found = Redaction(profile).redacted(Exchange(None, frame))
    assert found is not None
    assert found.response == bytes.fromhex("AA C0 D4 04 3A 0A 00 00 1C AB")


def test_places_are_taken_out_also_where_no_point_is_a_place() -> None:
    mast = PROFILES["nmea/weather-station"]
    points = tuple(point for point in mast.point if point.name not in ("latitude", "longitude"))
    place = _checked(b"$GPRMC,101530.00,A,1604.068,N,10813.248,E,5.5,90.0,271126,,,A*5C\r\n")
    redaction = Redaction(msgspec.structs.replace(mast, point=points))
    found = redaction.redacted(Exchange(None, place))
    assert found is not None
    assert b",0000.000,N,00000.000,E,5.5," in found.response
    assert redaction.notes == {"set to 0: latitude and longitude": 1}


def test_a_line_in_which_a_name_may_stand_anywhere_is_left_out() -> None:
    rain = PROFILES["hydreon/rg-15"]
    (point, *_) = rain.point
    named = msgspec.structs.replace(point, name="serial")
    line = next(_bytes(one, "response", "text") for one in RAIN if one.get("values"))
    exchange = Exchange(b"R\n", line or b"")
    assert Redaction(rain).redacted(exchange) == exchange
    assert Redaction(msgspec.structs.replace(rain, point=(named, *rain.point[1:]))).redacted(exchange) is None


def test_bytes_that_no_point_names_are_taken_out() -> None:
    profile = PROFILES["winsen/mh-z19b"]
    assert isinstance(profile, SerialProfile)
    request = bytes.fromhex("FF 01 86 00 00 00 00 00 79")
    answer = with_checksum(profile.frame, bytes.fromhex("FF 86 02 7C 42 12 34 56 00"))
    found = Redaction(profile).redacted(Exchange(request, answer))
    assert found == Exchange(request, bytes.fromhex("FF 86 02 7C 42 00 00 00 BA"))


@pytest.mark.parametrize(
    ("profile", "point", "telling"),
    [
        ("schneider/pm5000", "serial", True),
        ("schneider/pm5000", "name", True),
        ("schneider/pm5000", "manufacturer", False),
        ("schneider/pm5000", "model", False),
        ("schneider/pm5000", "voltage_l1_l2", False),
        ("geolux/rss-2-300w", "sensor_id", True),
        ("nmea/weather-station", "longitude", True),
    ],
)
def test_which_points_tell_whose_a_device_is(profile: str, point: str, telling: bool) -> None:
    found = PROFILES[profile]
    (one,) = [p for p in found.point if p.name == point] or [None]
    assert one is not None
    assert identifies(one, found) is telling


def test_a_pseudonym_is_the_same_for_the_same_and_another_for_another() -> None:
    names = Pseudonyms()
    assert [names.number(one) for one in ("a", "b", "a")] == [1, 2, 1]


def test_what_was_sent_and_heard_becomes_exchanges() -> None:
    events: list[Any] = [
        (0.0, "heard", b"a"), (0.01, "heard", b"b"), (0.5, "heard", b"c"),
        (1.0, "sent", b"Q"), (1.2, "heard", b"x"), (1.9, "heard", b"y"), (2.0, "sent", b"R"),
    ]  # fmt: skip
    found = list(in_exchanges(events, 0.1))
    assert found == [Exchange(None, b"ab"), Exchange(None, b"c"), Exchange(b"Q", b"xy"), Exchange(b"R", b"")]


def test_an_echo_is_no_part_of_an_answer() -> None:
    request = bytes.fromhex("01 04 00 00 00 02 71 CB")
    assert as_rtu(Exchange(request, request + b"x"), "rtu") == Exchange(request, b"x")


async def test_a_line_is_tapped_only_while_somebody_listens(modbus_device: MakeModbusDevice) -> None:
    from drivers.modbus.line import open_line
    from drivers.modbus.options import ModbusOptions
    from drivers.modbus.pdu import Request

    device = modbus_device(holding={0: 1})
    options = ModbusOptions(transport="tcp", host=device.host, given_port=device.tcp_port)
    recorder = Recorder()
    with tapped(recorder):
        async with open_line(options) as line:
            await line.request(Request(1, "holding", 0, 1))
    assert current_tap() is None
    async with open_line(options) as line:
        await line.request(Request(1, "holding", 0, 1))
    (one,) = recorder.exchanges()
    assert one.request == device.requests[0]
