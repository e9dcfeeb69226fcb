import ast
import string
import tomllib
from pathlib import Path

import pytest

import agent.cli
from agent.cli import main
from agent.cli.doctor.devices.faults import FAULTS as WIRING
from agent.cli.messages import set_language, tr
from agent.clock import STATE_WORDS
from agent.uplink.faults import FAULTS

FOLDER = Path(agent.cli.__file__).parent
CATALOGUE = tomllib.loads((FOLDER / "messages.vi.toml").read_text(encoding="utf-8"))


def _texts() -> set[str]:
    texts = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr":
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), f"{path}:{node.lineno}: tr() wants the text itself"
                texts.add(argument.value)
    return (
        texts | {text for fault in (*FAULTS.values(), *WIRING.values()) for text in fault} | set(STATE_WORDS.values())
    )


def test_every_text_has_its_vietnamese_and_no_translation_is_left_over() -> None:
    assert _texts() == CATALOGUE.keys()


def test_translations_fill_the_same_braces() -> None:
    def names(text: str) -> set[str | None]:
        return {field for _, field, _, _ in string.Formatter().parse(text) if field}

    assert {en: names(vi) for en, vi in CATALOGUE.items()} == {en: names(en) for en in CATALOGUE}


def test_the_locale_chooses_the_language_and_the_option_wins(monkeypatch) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    set_language(None)
    assert tr("good") == "tốt"
    set_language("en")
    assert tr("good") == "good"
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    set_language(None)
    assert tr("good") == "good"


@pytest.mark.parametrize(
    ("locale", "option", "said"),
    [
        ("vi_VN.UTF-8", [], "lỗi: --response trống"),
        ("vi_VN.UTF-8", ["--lang", "en"], "error: --response is empty"),
        ("C.UTF-8", [], "error: --response is empty"),
        ("C.UTF-8", ["--lang", "vi"], "lỗi: --response trống"),
    ],
)
def test_a_verb_speaks_the_language_of_the_locale_or_of_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], locale: str, option: list[str], said: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    try:
        with pytest.raises(SystemExit):
            main([*option, "decode", "eastron/sdm120", "--response", ""])
        assert capsys.readouterr().err.startswith(said)
    finally:
        set_language("en")


def test_a_language_that_there_is_not_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--lang", "fr", "check"])
    assert caught.value.code == 2
    assert "fr" in capsys.readouterr().err
