"""Every mistake in a serial link or profile is found at once, and says what to write."""

import tomllib
from pathlib import Path

import pytest

from drivers.catalogue import ProfileError, load_profile
from drivers.serial import driver
from drivers.serial.driver import SPEC
from drivers.serial.options import SerialOptions, check_device, parse_link
from drivers.serial.profile import SerialProfile
from drivers.tomlfile import Problem, Section, Tree

LINE_FRAME = '[frame]\nframing = "line"\nstart = "$"\nchecksum = "xor_hex"\n'
BINARY_FRAME = (
    '[frame]\nframing = "length"\nheader = "42 4D"\nchecksum = "sum16_be"\n'
    "length = { at = 2, size = 2, add = 4, min = 28, max = 28 }\n"
)
TEXT_POINT = '[[point]]\nname = "p"\nfield = 1\n'
BINARY_POINT = '[[point]]\nname = "p"\nat = 4\ntype = "u16"\n'
HEAD = 'vendor = "v"\nmodel = "m"\nkind = "serial"\nsource = "s"\n'


def link(text: str) -> tuple[SerialOptions | None, list[Problem]]:
    problems: list[Problem] = []
    section = Section.root(Tree(tomllib.loads(text), {}, "agent.toml"), problems)
    return parse_link(section), problems


def profile_problems(tmp_path: Path, text: str) -> list[Problem]:
    path = tmp_path / "p.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    try:
        load_profile(path, {"serial": SPEC})
    except ProfileError as err:
        return list(err.problems)
    return []


def test_a_port_has_the_usual_line_settings() -> None:
    options, problems = link('name = "x"\nkind = "serial"\nport = "/dev/ttyUSB1"\nbaud = 4800')
    assert problems == []
    assert options == SerialOptions(port="/dev/ttyUSB1", baud=4800, data_bits=8, parity="N", stop_bits=1, timeout_s=5.0)
    assert options.endpoint == "/dev/ttyUSB1"


def test_a_serial_server_is_an_address() -> None:
    options, problems = link('name = "x"\nkind = "serial"\nhost = "192.0.2.7"\ntcp_port = 4001')
    assert (options and options.endpoint, problems) == ("tcp://192.0.2.7:4001", [])


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ["port"]),
        ('port = "/dev/ttyUSB0"\nhost = "192.0.2.7"', ["host"]),
        ('host = "192.0.2.7"', ["tcp_port"]),
        ('host = "192.0.2.7"\ntcp_port = 4001\nbaud = 9600', ["baud"]),
        ('port = "/dev/ttyUSB0"\ntcp_port = 4001', ["tcp_port"]),
        ('port = "/dev/ttyUSB0"\nbaud = 1\nparity = "X"\nbauds = 9600', ["bauds", "baud", "parity"]),
    ],
)
def test_each_mistake_in_a_link_is_named(text: str, keys: list[str]) -> None:
    options, problems = link(f'name = "x"\nkind = "serial"\n{text}')
    assert options is None
    assert [p.key for p in problems] == keys
    assert all(p.what and p.fix for p in problems)


def test_a_unit_id_means_nothing_on_a_stream(nmea: SerialProfile) -> None:
    problems: list[Problem] = []
    section = Section.root(Tree({}, {}, "agent.toml"), problems)
    check_device(SerialOptions(port="x"), nmea, None, section)
    assert problems == []
    check_device(SerialOptions(port="x"), nmea, 1, section)
    assert [p.key for p in problems] == ["unit"]


@pytest.mark.parametrize("text", [LINE_FRAME + TEXT_POINT, BINARY_FRAME + BINARY_POINT])
def test_a_small_profile_is_enough(tmp_path: Path, text: str) -> None:
    assert profile_problems(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (TEXT_POINT, "frame"),
        (LINE_FRAME + 'mode = "poll"\n' + TEXT_POINT, "frame.mode"),
        (LINE_FRAME.replace('"$"', '""') + TEXT_POINT, "frame.start"),
        (LINE_FRAME + 'end = "x"\n' + TEXT_POINT, "frame.end"),
        (LINE_FRAME + 'header = "42"\n' + TEXT_POINT, "frame.header"),
        (LINE_FRAME.replace("xor_hex", "crc99") + TEXT_POINT, "frame.checksum"),
        (LINE_FRAME + "colour = 1\n" + TEXT_POINT, "frame.colour"),
        (LINE_FRAME + '[frame.sentences.RMC]\nvalid = { x = ["A"] }\n' + TEXT_POINT, "frame.sentences"),
        (BINARY_FRAME.replace("42 4D", "4Z") + BINARY_POINT, "frame.header"),
        (BINARY_FRAME.replace("min = 28", "min = 29") + BINARY_POINT, "frame.length"),
        (BINARY_FRAME.replace("min = 28", "min = 1") + BINARY_POINT, "frame.length"),
        (BINARY_FRAME.replace("size = 2, ", "size = 3, ") + BINARY_POINT, "frame.length"),
        ('[frame]\nframing = "length"\nheader = "42"\nchecksum = "none"\n' + BINARY_POINT, "frame.length"),
        (BINARY_FRAME + 'start = "$"\n' + BINARY_POINT, "frame.start"),
        (LINE_FRAME + '[[point]]\nname = "p"\n', "point[1].field"),
        (LINE_FRAME + TEXT_POINT + "at = 3\n", "point[1].at"),
        (LINE_FRAME + TEXT_POINT + 'type = "u16"\n', "point[1].type"),
        (LINE_FRAME + TEXT_POINT + "scale = 0.1\n", "point[1].decimals"),
        (LINE_FRAME + TEXT_POINT + "unit_field = 2\n", "point[1].units"),
        (LINE_FRAME + TEXT_POINT + "units = { M = 1.0 }\n", "point[1].units"),
        (LINE_FRAME + TEXT_POINT + "decimals = 1\nfactor = 0.0\n", "point[1].factor"),
        (LINE_FRAME + TEXT_POINT + 'type = "i64"\nformat = "ddmm"\n', "point[1].type"),
        (LINE_FRAME + TEXT_POINT + "enum = { 0 = 'off' }\n", "point[1].enum"),
        (LINE_FRAME + TEXT_POINT + "also = [{ sentence = 'X', feld = 2 }]\n", "point[1].also"),
        (LINE_FRAME + TEXT_POINT + "also = [{ sentence = 'X' }]\n", "point[1].field"),
        (BINARY_FRAME + BINARY_POINT + "field = 1\n", "point[1].field"),
        (BINARY_FRAME + '[[point]]\nname = "p"\nat = 1\n', "point[1].type"),
        (BINARY_FRAME + '[[point]]\nname = "p"\ntype = "u8"\n', "point[1].at"),
        (BINARY_FRAME + BINARY_POINT.replace("at = 4", "at = 29"), "point[1].at"),
    ],
)
def test_each_mistake_in_a_profile_is_named(tmp_path: Path, text: str, key: str) -> None:
    problems = profile_problems(tmp_path, text)
    assert [p.key for p in problems] == [key]
    assert all(p.line > 1 and p.what and p.fix for p in problems if key != "frame")


def test_the_sample_of_the_documentation_is_right() -> None:
    sample = Path(driver.__file__).with_name("sample.toml")
    data = tomllib.loads(sample.read_text(encoding="utf-8"))
    for one in data["link"]:
        problems: list[Problem] = []
        assert parse_link(Section(one, Tree(data, {}, str(sample)), (), problems)), problems
    assert {d["link"] for d in data["device"]} <= {one["name"] for one in data["link"]}
