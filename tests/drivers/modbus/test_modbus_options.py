"""What people write in a link, a device and a profile: good, or every mistake with its place."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

import drivers.modbus
from drivers.catalogue import ProfileError, load_profile
from drivers.modbus.driver import SPEC
from drivers.modbus.options import ModbusOptions, check_device, parse_link
from drivers.tomlfile import Problem, Section, Tree

SAMPLE = Path(drivers.modbus.__file__).with_name("sample.toml")
HEAD = 'vendor = "V"\nmodel = "M"\nkind = "modbus"\nsource = "tests"\n'


def link(**keys: Any) -> tuple[ModbusOptions | None, list[Problem]]:
    problems: list[Problem] = []
    places = {(key,): ("agent.toml", line) for line, key in enumerate(keys, 1)}
    return parse_link(Section.root(Tree(keys, places, "agent.toml"), problems)), problems  # type: ignore[arg-type]


def profile_problems(path: Path, *lines: str, head: str = HEAD) -> list[Problem]:
    text = head + "[[point]]\n" + "\n".join(('name = "p"', *lines)) + "\n"
    path.write_text(text, encoding="utf-8")
    try:
        load_profile(path, {"modbus": SPEC})
    except ProfileError as err:
        return list(err.problems)
    return []


def test_the_sample_loads_without_a_problem() -> None:
    sample = tomllib.loads(SAMPLE.read_text(encoding="utf-8"))
    for table in sample["link"]:
        options, problems = link(**table)
        assert problems == []
        assert options is not None
    assert [*{d["profile"] for d in sample["device"]}]


def test_a_link_needs_little_and_says_where_it_goes() -> None:
    serial, _ = link(name="a", kind="modbus", transport="rtu", port="/dev/ttyUSB0")
    net, _ = link(name="a", kind="modbus", transport="tcp", host="192.0.2.10")
    raw, _ = link(name="a", kind="modbus", transport="rtu-over-tcp", host="192.0.2.10", timeout_s=2.5)
    assert serial
    assert net
    assert raw
    assert (serial.endpoint, serial.timeout_s, serial.baud) == ("/dev/ttyUSB0", 0.5, 9600)
    assert (net.endpoint, net.timeout_s) == ("tcp://192.0.2.10:502", 1.0)
    assert (raw.endpoint, raw.timeout_s) == (net.endpoint, 2.5)
    assert serial.silence_s == pytest.approx(0.00401, abs=1e-5)


@pytest.mark.parametrize(
    ("keys", "key", "what"),
    [
        ({"transport": "rtu"}, "port", "is missing"),
        ({"transport": "tcp"}, "host", "is missing"),
        ({"transport": "tcp", "host": "h", "baud": 9600}, "baud", "means nothing"),
        ({"transport": "rtu", "port": "/dev/x", "tcp_port": 1}, "tcp_port", "means nothing"),
        ({"transport": "rtu", "port": "/dev/x", "parity": "X"}, "parity", "invalid"),
        ({"transport": "rtu", "port": "/dev/x", "stop_bits": 3}, "stop_bits", "invalid"),
        ({"transport": "rtu", "port": "/dev/x", "bauds": 3}, "bauds", "not a known key"),
        ({"transport": "tcp", "host": "h", "timeout_s": 0}, "timeout_s", "0"),
        ({"transport": "tls", "host": "h", "ca_file": "/no/such"}, "ca_file", "no file"),
        ({"transport": "tls", "host": "h", "cert_file": "/etc/hostname"}, "key_file", "missing"),
        ({"transport": "tcp", "host": "h", "ca_file": "/etc/hostname"}, "ca_file", "means nothing"),
        ({"transport": "udp", "host": "h", "baud": 9600}, "baud", "means nothing"),
        ({"transport": "ascii"}, "port", "is missing"),
        ({"transport": "rtu", "port": "/dev/x", "data_bits": 7}, "data_bits", "means nothing"),
        ({"transport": "zigbee"}, "transport", "invalid"),
        ({}, "transport", "is missing"),
    ],
)
def test_a_wrong_key_of_a_link_is_named_with_its_line(keys: dict[str, Any], key: str, what: str) -> None:
    options, problems = link(name="a", kind="modbus", **keys)
    assert options is None
    found = {p.key: p for p in problems}
    assert what in found[key].what
    if key in keys:
        assert found[key].line == 3 + [*keys].index(key)


@pytest.mark.parametrize(
    ("transport", "unit", "good"),
    [("rtu", 1, True), ("rtu", 247, True), ("rtu", 0, False), ("rtu", 248, False), ("rtu", None, False),
     ("rtu-over-tcp", 0, False), ("tcp", 0, True), ("tcp", 255, True), ("tcp", 256, False), ("tcp", None, False)],
)  # fmt: skip
def test_a_unit_id_must_be_possible_on_its_link(transport: Any, unit: int | None, good: bool) -> None:
    problems: list[Problem] = []
    section = Section.root(Tree({"unit": unit}, {("unit",): ("agent.toml", 7)}, "agent.toml"), problems)
    check_device(ModbusOptions(transport=transport, host="h", port="/dev/x"), None, unit, section)
    assert (problems == []) == good
    assert all((p.line, p.key) == (7, "unit") for p in problems)


@pytest.mark.parametrize(
    ("lines", "key", "what", "fix"),
    [
        (('table = "holding"', "address = 40001", 'type = "u16"'), "address", "manual", "address = 0`"),
        (('table = "input"', "address = 30010", 'type = "u16"'), "address", "manual", "address = 9`"),
        (('table = "holding"', "address = 400011", 'type = "u16"'), "address", "no such address", "address = 10`"),
        (('table = "holding"', 'address = "40001"', 'type = "u16"'), "address", "`40001` of a manual is holding 0", "address = 0`"),
        (('table = "holding"', "address = 65535", 'type = "u32"'), "address", "past address", "type"),
        (('table = "coil"', "address = 0", 'type = "u16"'), "type", "one bit", "bool"),
        (('table = "coil"', "address = 0", 'type = "bool"', "bits = [0, 0]"), "bits", "nothing", "remove"),
        (('table = "holding"', "address = 0", 'type = "string"'), "length", "missing", "length = 8"),
        (('table = "holding"', "address = 0", 'type = "u16"', "length = 2"), "length", "its own", "type"),
        (('table = "holding"', "address = 0", 'type = "bits"', "length = 5"), "length", "at most 4", "each"),
        (('table = "holding"', "address = 0", 'type = "u16"', "bits = [3, 16]"), "bits", "16 bits", "lowest"),
        (('table = "holding"', "address = 0", 'type = "i16"', "bits = [0, 1]"), "bits", "i16", "u16"),
        (('table = "holding"', "address = 0", 'type = "bool"', "bits = [0, 1]"), "bits", "one bit", "bits"),
        (('table = "holding"', "address = 0", 'type = "u32"', "not_available = [[1]]"), "not_available", "2 w", "one"),
        (('table = "holding"', "address = 0", 'type = "bool"', "scale = 2.0"), "scale", "nothing", "remove"),
        (('table = "holding"', "address = 0", 'type = "f32"', 'enum = { 0 = "x" }'), "enum", "whole", "whole"),
        (('table = "holding"', "address = 0", 'type = "u16"', 'enum = { off = "x" }'), "enum.off", "number", "0"),
        (('table = "register"', "address = 0", 'type = "u16"'), "table", "invalid", "table"),
        (('table = "holding"', "address = 0", 'type = "u16"', 'layout = "low"'), "layout", "nothing", "type"),
        (('table = "holding"', "address = 0", 'type = "f32"', "fraction_bits = 8"), "fraction_bits", "nothing", "type"),
        (('table = "holding"', "address = 0", 'type = "i16"', "counter = true"), "counter", "nothing", "type"),
        (('table = "holding"', "address = 0", 'type = "sum"', "weights = [1, 1]"), "part", "missing", "u16"),
        (('table = "holding"', "address = 0", 'type = "sum"', 'part = "string"'), "part", "no number", "u16"),
        (('table = "holding"', "address = 0", 'type = "sum"', 'part = "u16"'), "weights", "missing", "each"),
        (('table = "holding"', "address = 0", 'type = "date6"', "scale = 2.0"), "scale", "nothing", "remove"),
    ],
)  # fmt: skip
def test_a_point_that_cannot_be_read_is_explained(
    tmp_path: Path, lines: tuple[str, ...], key: str, what: str, fix: str
) -> None:
    problems = profile_problems(tmp_path / "p.toml", *lines)
    found = [p for p in problems if p.key == f"point[1].{key}"]
    assert found, problems
    assert what in found[0].what.lower()
    assert fix in found[0].fix
    assert found[0].line >= 5


def test_a_device_that_really_wants_40050_can_say_so(tmp_path: Path) -> None:
    lines = ('table = "holding"', "address = 40050", 'type = "string"', "length = 8")
    assert profile_problems(tmp_path / "p.toml", *lines)
    assert profile_problems(tmp_path / "p.toml", *lines, head=HEAD + "literal_addresses = true\n") == []


def test_a_value_wider_than_a_request_is_reported(tmp_path: Path) -> None:
    lines = ('table = "holding"', "address = 0", 'type = "u64"')
    [problem] = profile_problems(tmp_path / "p.toml", *lines, head=HEAD + "max_registers = 2\n")
    assert (problem.key, "4 registers" in problem.what) == ("point[1].type", True)


def test_a_point_outside_of_what_is_readable_is_reported(tmp_path: Path) -> None:
    head = HEAD + "readable = { holding = [[0, 9], [20, 30]] }\n"
    for address, good in ((8, True), (9, False), (15, False), (29, True), (30, False)):
        lines = ('table = "holding"', f"address = {address}", 'type = "u32"')
        problems = profile_problems(tmp_path / "p.toml", *lines, head=head)
        assert [p.what for p in problems] == ([] if good else ["is not wholly in what is `readable`: 0 to 9, 20 to 30"])


def test_a_probe_of_a_point_that_is_not_there_is_reported(tmp_path: Path) -> None:
    lines = ('table = "holding"', "address = 1", 'type = "u16"', "[[probe]]", 'point = "nope"', "expect = [1]")
    [problem] = profile_problems(tmp_path / "p.toml", *lines)
    assert (problem.key, "no point" in problem.what) == ("probe[1].point", True)
