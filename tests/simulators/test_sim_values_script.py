"""Values from a file: what it says is given at its time, and everything that is wrong in it is said at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.api import Value
from simulators.problems import SiteError
from simulators.values import Channel, Flag, Values
from simulators.values.script import follow_script

Write = Callable[[str], Path]
BEFORE = 5.0


def _carries(value: Value) -> Value:
    if isinstance(value, float | int) and abs(value) > 1_000:
        raise ValueError("it carries -1000 to 1000")
    return value


@pytest.fixture
def values() -> Values:
    board = Values()
    for name, wire_type, names in (
        ("voltage", "f64", {}),
        ("current", "f64", {}),
        ("on_line", "bool", {}),
        ("mode", "string", {"0": "off", "1": "auto"}),
        ("serial", "string", {}),
    ):
        board.channel("meter-1", Flag(name, enum=names, wire_type=wire_type), lambda _s: BEFORE, _carries)
    return board


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "values.csv"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def _given(channel: Channel, *times_s: float) -> list[Value]:
    return [channel.at(time_s) for time_s in times_s]


def test_a_row_holds_until_the_next_one_and_the_last_one_for_ever(values: Values, write: Write) -> None:
    file = write("time_s,device,point,value\n10,meter-1,voltage,230\n12.5,meter-1,voltage,0\n\n")
    assert follow_script(file, values) == 1
    channel = values.find("meter-1", "voltage")
    assert _given(channel, 0, 9.99, 10, 12.4, 12.5, 1e6) == [BEFORE, BEFORE, 230, 230, 0, 0]
    assert channel.origin == "script"
    assert values.find("meter-1", "current").origin == "waveform"


def test_the_wide_form_has_a_column_for_each_point_and_an_empty_cell_says_nothing(values: Values, write: Write) -> None:
    file = write("time_s,meter-1.voltage,meter-1.current\n0,1,10\n1,,11\n2,3,\n")
    assert follow_script(file, values) == 2
    assert _given(values.find("meter-1", "voltage"), 0, 1, 2) == [1, 1, 3]
    assert _given(values.find("meter-1", "current"), 0, 1, 2) == [10, 11, 11]


def test_numbers_go_in_a_straight_line_where_that_is_wanted_and_nothing_else_does(values: Values, write: Write) -> None:
    file = write("time_s,meter-1.voltage,meter-1.on_line\n0,0,true\n10,100,false\n")
    follow_script(file, values, interpolate=True)
    assert _given(values.find("meter-1", "voltage"), 0, 2.5, 9, 10, 11) == [0, 25, 90, 100, 100]
    assert _given(values.find("meter-1", "on_line"), 0, 9.9, 10) == [True, True, False]


def test_a_file_that_loops_begins_anew_at_its_last_time(values: Values, write: Write) -> None:
    file = write("time_s,meter-1.voltage\n0,1\n5,2\n10,1\n")
    follow_script(file, values, loop=True)
    assert _given(values.find("meter-1", "voltage"), 0, 5, 10, 14, 15, 1_005) == [1, 2, 1, 1, 2, 2]


def test_rows_may_stand_in_any_order_and_excel_may_have_written_them(values: Values, write: Write) -> None:
    follow_script(write("\ufefftime_s;device;point;value\r\n9;meter-1;voltage;2\r\n3;meter-1;voltage;1\r\n"), values)
    assert _given(values.find("meter-1", "voltage"), 3, 8, 9) == [1, 1, 2]


def test_every_kind_of_point_has_its_own_words(values: Values, write: Write) -> None:
    head = "time_s,meter-1.on_line,meter-1.mode,meter-1.serial,meter-1.voltage\n"
    follow_script(write(f'{head}0,off,auto,007,-1.5e2\n1,1,0,"a, b",7\n'), values)
    said = [_given(values.find("meter-1", name), 0, 1) for name in ("on_line", "mode", "serial", "voltage")]
    assert said == [[False, True], ["auto", "off"], ["007", "a, b"], [-150, 7]]


def test_all_that_is_wrong_is_said_at_once_each_with_its_line_and_nothing_is_followed(
    values: Values, write: Write
) -> None:
    rows = (
        "0,meter-1,voltage,230",
        "one,meter-1,voltage,230",
        "-1,meter-1,voltage,230",
        "2,meter-1,voltage",
        "3,meter-1,voltag,1",
        "4,meter-2,voltage,1",
        "5,meter-1,voltage,a lot",
        "6,meter-1,voltage,1001",
        "7,meter-1,on_line,perhaps",
        "8,meter-1,mode,aut",
        "0,meter-1,voltage,231",
        "9,meter-1,voltage,nan",
    )
    file = write("\n".join(("time_s,device,point,value", *rows)))
    with pytest.raises(SiteError) as raised:
        follow_script(file, values)
    said = {problem.line: f"{problem.key}: {problem.what}; {problem.fix}" for problem in raised.value.problems}
    assert list(said) == list(range(3, 14))
    assert said[3] == 'time_s: "one" is no time; write seconds since the start, like 12.5'
    assert '"-1" is no time' in said[4]
    assert said[5] == "(row): has 3 cells, the head has 4; write one cell for each"
    assert said[6] == 'meter-1.voltag: device "meter-1" has no point "voltag"; did you mean voltage?'
    assert said[7].endswith("did you mean meter-1?")
    assert said[8] == 'meter-1.voltage: cannot give "a lot"; write a number, like 231.5'
    assert said[9] == 'meter-1.voltage: cannot give "1001"; it carries -1000 to 1000'
    assert said[10].endswith("write true or false")
    assert said[11].endswith("did you mean auto?")
    assert said[12] == "meter-1.voltage: has two values at 0 s; leave one"
    assert said[13].endswith("write a number, like 231.5")
    assert str(raised.value).startswith(f"{file}:3: time_s: ")
    assert not any(channel.told for channel in values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "(head)"),
        ("time_s,device,point,value\n", "has no values"),
        (
            "time,device,point,value\n0,meter-1,voltage,1\n",
            "write time_s,device,point,value, or time_s,meter-1.voltage",
        ),
        ("time_s,voltage\n0,1\n", "write device.point, like meter-1.voltage"),
        ("time_s,meter-1.voltage,meter-1.voltage\n0,1,2\n", "has two columns"),
        ('time_s,meter-1.voltage\n0,"1\n2', "is not CSV"),
    ],
)
def test_a_file_that_is_none_is_said(text: str, said: str, values: Values, write: Write) -> None:
    with pytest.raises(SiteError) as raised:
        follow_script(write(text), values)
    assert said in str(raised.value)


def test_a_file_that_is_not_there_or_not_text_is_said(values: Values, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="cannot be read"):
        follow_script(tmp_path / "none.csv", values)
    (tmp_path / "bytes.csv").write_bytes(b"time_s\xff")
    with pytest.raises(SiteError, match="is not UTF-8"):
        follow_script(tmp_path / "bytes.csv", values)


def test_a_loop_of_no_length_is_said(values: Values, write: Write) -> None:
    with pytest.raises(SiteError, match="say when it begins anew"):
        follow_script(write("time_s,meter-1.voltage\n0,1\n"), values, loop=True)
