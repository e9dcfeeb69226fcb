"""`oc-agent profiles`: what is listed, what is shown, on 80 columns and in both languages."""

import json
from pathlib import Path

import pytest

from agent.cli import main
from agent.cli.layout import cell_width, columns, wrapped
from agent.cli.messages import set_language
from drivers.catalogue import profile_names, shipped_profiles

NAMES = profile_names([shipped_profiles()])


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path, lang: str = "en") -> tuple[int, str, str]:
    try:
        with pytest.raises(SystemExit) as caught:
            main(["--lang", lang, "--config", "/nonexistent/agent.toml", *map(str, arguments)])
    finally:
        set_language("en")
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    return [one["profile"] for one in json.loads(run(capsys, "profiles", *arguments, "--json")[1])["profiles"]]


def test_every_shipped_profile_is_listed_and_needs_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "list") == NAMES
    code, out, err = run(capsys, "profiles", "list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:] if not line.startswith(" ")] == NAMES


def test_words_are_found_without_their_accents_and_all_must_stand_in_a_profile(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "eastron/sdm120" in listed(capsys, "search", "dien", "AP")
    assert "eastron/sdm120" in listed(capsys, "list", "Điện áp")
    assert listed(capsys, "search", "eastron", "bụi") == []
    modbus = listed(capsys, "list", "--kind", "modbus")
    assert "eastron/sdm120" in modbus
    assert "sony/visca" not in modbus


def test_a_search_that_finds_nothing_says_so_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "profiles", "search", "no-such-thing", lang="vi")
    assert (code, out) == (1, "")
    assert "không có hồ sơ nào" in err


def test_a_profile_beside_the_configuration_goes_first_and_a_broken_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "profiles" / "eastron"
    own.mkdir(parents=True)
    text = (shipped_profiles() / "eastron" / "sdm120.toml").read_text(encoding="utf-8")
    (own / "sdm120.toml").write_text(text, encoding="utf-8")
    (own / "broken.toml").write_text("vendor = 1\n", encoding="utf-8")
    verb = ["--config", tmp_path / "agent.toml", "profiles", "list", "eastron"]
    code, out, err = run(capsys, *verb)
    assert (code, out.count("eastron/sdm120")) == (0, 1)
    assert "eastron/broken cannot be read" in err
    report = json.loads(run(capsys, *verb, "--json")[1])
    assert report["profiles"][0]["file"] == str(own / "sdm120.toml")
    assert report["unreadable"] == ["eastron/broken"]
    assert run(capsys, *verb[:2], "profiles", "show", "eastron/broken")[0] == 78


def test_show_tells_everything_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "profiles", "show", "eastron/sdm120", lang="vi")
    assert code == 0
    for text in (
        "SDM120-Modbus protocol document", "kiểu máy", "inter_frame_delay_ms = 100", "2400 baud",
        "Điện năng nhận · Imported energy", "input 72", "kW.h", "60 s", "0 … 100000000", "decimals = 3",
    ):  # fmt: skip
        assert text in out
    report = json.loads(run(capsys, "profiles", "show", "eastron/sdm120", "--json")[1])
    assert (report["profile"], report["vendor"], report["inter_frame_delay_ms"]) == ("eastron/sdm120", "Eastron", 100)
    assert report["point"][0]["address"] == 0


def test_show_of_what_there_is_not_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "profiles", "show", "eastron/sdm999")
    assert code == 1
    assert "eastron/sdm120" in err


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_profile_is_shown_on_80_columns(capsys: pytest.CaptureFixture[str], lang: str) -> None:
    texts = [run(capsys, "profiles", "list", lang=lang)[1]]
    for name in NAMES:
        code, out, _ = run(capsys, "profiles", "show", name, lang=lang)
        assert code == 0
        texts.append(out)
    folder = str(shipped_profiles())
    wide = [line for text in texts for line in text.splitlines() if cell_width(line) > 80 and folder not in line]
    # a word that has no blank (a regular expression, a path) is kept whole, so that it can be copied
    assert [line for line in wide if " " in line.strip()] == []


def test_a_table_that_is_too_wide_is_wrapped_and_loses_nothing() -> None:
    rows = columns(["name", "what"], [["a" * 30, "điện áp " * 20]], 60)
    lines = [line for row in rows for line in row]
    assert max(map(cell_width, lines)) <= 60
    assert "".join(lines).count("điện") == 20
    assert columns(["a", "b"], [["1", "2"]]) == [["a  b"], ["1  2"]]


def test_a_path_is_never_broken() -> None:
    path = "/dev/serial/by-id/" + "x" * 90
    assert wrapped(f"see {path} now", first="  ", rest="  ") == ["  see", f"  {path}", "  now"]


def test_a_point_with_the_longest_name_is_shown_on_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (shipped_profiles() / "eastron" / "sdm120.toml").read_text(encoding="utf-8")
    file = tmp_path / "long.toml"
    file.write_text(text.replace('name = "voltage"', f'name = "{"v" * 63}"'), encoding="utf-8")
    code, out, _ = run(capsys, "profiles", "show", file)
    assert (code, out.count("v" * 20) > 0) == (0, True)
    wide = [line for line in out.splitlines() if cell_width(line) > 80 and str(file) not in line]
    assert wide == []
