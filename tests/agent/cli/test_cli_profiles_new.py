"""`oc-agent profiles new`: from a table of registers to a profile that the loader takes, or to every problem of it."""

import csv
import io
import json
import tomllib
from pathlib import Path

import pytest

from agent.cli import main
from agent.cli.messages import set_language
from agent.cli.profiles.registers import COLUMNS, read_registers
from agent.cli.profiles.writing import profile_name
from drivers.catalogue import load_profile, shipped_profiles
from drivers.registry import driver_specs
from drivers.tomltext import toml_value

NAMED = ("--vendor", "Hãng Á", "--model", 'X "1"', "--source", "manual V2, page 7")
GOOD = """\
name,table,address,type,unit,scale,min,max,interval_s,bits,not_available,enum,label_vi,label_en
voltage,input,0x10,i32,V,0.1,0,300,60,,0x8000;65535,,Điện áp,Voltage

# a comment, then a text with a comma in it
mode,holding,7,u16,,,,,,,,0=off;1=on,"Chế độ, máy",Mode
alarm,holding,8,bool,,,,,,3,,,Báo động,Alarm
"""


def run(
    capsys: pytest.CaptureFixture[str], folder: Path, text: str, *arguments: str, lang: str = "en"
) -> tuple[int, str, str]:
    file = folder / "registers.csv"
    file.write_text(text, encoding="utf-8")
    try:
        with pytest.raises(SystemExit) as caught:
            main(["--lang", lang, "profiles", "new", str(file), *NAMED, *arguments])
    finally:
        set_language("en")
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def problems(
    capsys: pytest.CaptureFixture[str], folder: Path, text: str, *arguments: str
) -> dict[tuple[int, str], str]:
    code, out, _ = run(capsys, folder, text, *arguments, "--json")
    report = json.loads(out)
    assert (code, report["ok"]) == (1, False)
    assert {problem["file"] for problem in report["problems"]} == {str(folder / "registers.csv")}
    return {(one["line"], one["key"]): f"{one['what']}; {one['fix']}" for one in report["problems"]}


def test_a_table_becomes_a_profile_that_the_loader_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "x-1.toml"
    code, out, err = run(capsys, tmp_path, GOOD, "--save", str(saved), "--caveat", "9600 8N1", "--word-order", "little")
    assert (code, out) == (0, "")
    assert "3 points" in err
    profile = load_profile(saved, driver_specs())
    assert (profile.vendor, profile.model, profile.source) == ("Hãng Á", 'X "1"', "manual V2, page 7")
    assert (profile.word_order, profile.caveats) == ("little", ("9600 8N1",))
    voltage, mode, alarm = profile.point
    assert (voltage.address, voltage.type, voltage.scale, voltage.range) == (16, "i32", 0.1, (0, 300))
    assert (voltage.interval_s, voltage.not_available) == (60, ((0x8000, 0xFFFF)))
    assert (mode.enum, mode.label["vi"], alarm.bits) == ({"0": "off", "1": "on"}, "Chế độ, máy", (3, 3))
    assert "is there already" in run(capsys, tmp_path, GOOD, "--save", str(saved))[2]


def test_without_save_the_same_text_is_on_stdout_with_comments_in_the_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, tmp_path, GOOD, lang="vi")
    assert (code, err) == (0, "")
    assert "# Trước khi tin: hãy đọc thiết bị" in out
    assert "profiles/hang-a/x-1.toml" in out
    assert "address = 7  # 40008 trong nhiều tài liệu" in out
    report = json.loads(run(capsys, tmp_path, GOOD, "--json", lang="vi")[1])
    assert (report["ok"], report["points"], report["file"], report["profile"]) == (True, 3, None, out)


def test_a_shipped_profile_comes_back_from_its_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = shipped_profiles() / "eastron" / "sdm120.toml"
    rows = io.StringIO()
    writer = csv.DictWriter(rows, COLUMNS)
    writer.writeheader()
    for point in tomllib.loads(shipped.read_text(encoding="utf-8"))["point"]:
        label, (low, high) = point.pop("label"), point.pop("range")
        writer.writerow(point | {"min": low, "max": high, "label_vi": label["vi"], "label_en": label["en"]})
    code, _, _ = run(capsys, tmp_path, rows.getvalue(), "--save", str(tmp_path / "new.toml"))
    assert code == 0
    made, meant = (load_profile(path, driver_specs()) for path in (tmp_path / "new.toml", shipped))
    assert made.point == meant.point


def test_every_problem_is_named_with_its_line_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "name,table,address,type,scale,min,max,bits,lable_vi\n"
        'Voltage,input,3,u16,"0,1",,,,\n'  # line 2
        "b,coil,1,u16,,,,,\n"  # 3: fits together only by itself
        '"c",holding,x,u99,abc,,300,,\n'
        "d,holding,1,u16,0,9,1,,,more\n"
        "e,holding,1,f32,,,,5,\n"  # 6
        ",holding,,u16,,,,,\n"
        "d,holding,65535,u32,,,,,\n"
    )
    found = problems(capsys, tmp_path, text)
    assert found.keys() == {
        (1, "lable_vi"), (2, "name"), (2, "scale"), (3, "type"), (4, "address"), (4, "type"), (4, "scale"),
        (4, "range"), (5, "(line)"), (5, "scale"), (5, "range"), (6, "bits"), (7, "name"), (7, "address"), (8, "name"),
    }  # fmt: skip
    assert "label_vi" in found[1, "lable_vi"]
    assert "decimal point" in found[2, "scale"]
    code, out, err = run(capsys, tmp_path, text, lang="vi")
    assert (code, out) == (1, "")
    assert "15 lỗi trong" in err
    assert "registers.csv:2  scale: là 0,1" in err


@pytest.mark.parametrize(
    ("table", "address", "fix"),
    [
        ("holding", "40001", "write table holding, address 0;"),
        ("input", "30013", "write table input, address 12;"),
        ("discrete", "10005", "write table discrete, address 4;"),
        ("coil", "00017", "write table coil, address 16;"),
        ("holding", "400101", "write table holding, address 100"),
        ("", "40003", "write table holding, address 2;"),
    ],
)
def test_an_address_of_the_manual_is_refused_with_that_of_the_wire(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, address: str, fix: str
) -> None:
    type_ = "bool" if table in ("coil", "discrete") else "u16"
    found = problems(capsys, tmp_path, f"name,table,address,type\na,{table},{address},{type_}\n")
    assert fix in found[2, "address"]


def test_an_address_that_looks_so_is_taken_where_the_device_really_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "name,table,address,type\na,holding,40001,u16\n"
    assert run(capsys, tmp_path, text, "--literal-addresses")[0] == 0
    assert run(capsys, tmp_path, text.replace("40001", "32080"))[0] == 0
    assert problems(capsys, tmp_path, text.replace("40001", "400001"), "--literal-addresses").keys() == {(2, "address")}


def test_a_head_without_a_needed_column_is_one_problem_not_one_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert problems(capsys, tmp_path, "name,address,type\na,1,u16\nb,2,u16\n").keys() == {(1, "table")}
    assert problems(capsys, tmp_path, "").keys() == {
        (1, "name"),
        (1, "table"),
        (1, "address"),
        (1, "type"),
        (1, "point"),
    }


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_of_spreadsheets_are_told_by_the_head(separator: str) -> None:
    found = read_registers(f"\nname{separator}scale\na{separator}0.1\n", "x.csv")
    assert (found.points, found.lines) == ([{"name": "a", "scale": 0.1}], [3])


def test_lines_are_those_of_the_file_also_after_a_cell_of_two_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'name,table,address,type,label_en\na,holding,1,u16,"two\nlines"\nb,holding,x,u16,\n'
    assert problems(capsys, tmp_path, text).keys() == {(4, "address")}


def test_a_file_that_is_no_utf8_says_how_to_save_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "old.csv"
    file.write_bytes(b"name,label_vi\na,\xd0i\xean\n")
    with pytest.raises(SystemExit):
        main(["--lang", "en", "profiles", "new", str(file), *NAMED])
    assert "save it as" in capsys.readouterr().err


def test_toml_values_are_read_back_as_they_were() -> None:
    values = {"a b": [1, -2.5, 1e-09, True, 'say "x"\\\n\x7f\t', {"vi": "Điện", "0": ["x"]}], "é": []}
    assert tomllib.loads("x = " + toml_value(values))["x"] == values


def test_a_profile_is_named_in_letters_that_a_path_can_have() -> None:
    assert profile_name("Điện Quang (VN)", "ĐK-01/2") == "dien-quang-vn/dk-01-2"
