"""The help of every verb and the errors of its arguments are in Vietnamese where the reader is."""

import string
import tomllib
from pathlib import Path

import pytest

import agent.cli
from agent.cli import main, make_parser
from agent.cli.messages import set_language
from agent.cli.parser import asked_language, texts

CATALOGUE = tomllib.loads((Path(agent.cli.__file__).parent / "help.vi.toml").read_text(encoding="utf-8"))
OF_ARGPARSE = {
    "the following arguments are required: {}",
    "unrecognized arguments: {}",
    "ambiguous option: {} could match {}",
    "argument {}: {}",
    "invalid choice: {} (choose from {})",
    "invalid {} value: {}",
    "expected one argument",
    "expected at least one argument",
    "expected {} arguments",
    "ignored explicit argument {}",
    "not allowed with argument {}",
    "one of the arguments {} is required",
}
OF_VERBS = {"must not be empty"}


@pytest.fixture(autouse=True)
def _english_afterwards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    yield
    set_language("en")


def test_every_text_of_the_help_has_its_vietnamese_and_no_translation_is_left_over() -> None:
    assert set(texts(make_parser())) | OF_ARGPARSE | OF_VERBS == CATALOGUE.keys()


def test_translations_keep_what_argparse_fills_in() -> None:
    def fields(text: str) -> set[str]:
        return {word for word in text.split() if word.startswith("%(")} | {
            str(field) for _, field, _, _ in string.Formatter().parse(text) if field is not None
        }

    assert {en: fields(vi) for en, vi in CATALOGUE.items()} == {en: fields(en) for en in CATALOGUE}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--help"], ["cách dùng: oc-agent", "Đưa số đo", "tùy chọn:", "hiện phần trợ giúp", "mặc định /etc/oc-agent"]),
        (["outbox", "show", "--help"], ["cách dùng: oc-agent outbox show", "Liệt kê các gói", "chỉ những gì đang chờ"]),
    ],
)
def test_help_is_vietnamese_with_the_option(argv: list[str], said: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--lang", "vi", *argv])
    assert caught.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert [text for text in said if text not in out] == []


def test_help_follows_the_locale_and_the_option_wins(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    for option, said in (([], "cách dùng: "), (["--lang", "en"], "usage: ")):
        with pytest.raises(SystemExit):
            main([*option, "check", "--help"])
        assert capsys.readouterr().out.startswith(said)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["read"], "oc-agent read: lỗi: còn thiếu: device"),
        (["check", "--jsn"], "lỗi: không hiểu: --jsn"),
        (["completion", "fish"], "lỗi: shell: không có lựa chọn 'fish' (chọn một trong"),
        (["outbox", "show", "--limit", "x"], "lỗi: --limit: không phải giá trị kiểu"),
        (["outbox", "show", "--limit"], "lỗi: --limit: cần một giá trị"),
        (["check", "--json=1"], "lỗi: --json: tùy chọn này không nhận giá trị '1'"),
    ],
)
def test_wrong_arguments_are_told_in_vietnamese(argv: list[str], said: str, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--lang", "vi", *argv])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_the_language_is_known_before_the_rest_is_understood() -> None:
    assert asked_language(["--lang", "vi", "nonsense", "--what"]) == "vi"
    assert asked_language(["--lang=en", "--help"]) == "en"
    assert asked_language(["--lang"]) is None
    assert asked_language(["check"]) is None
