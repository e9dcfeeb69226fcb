"""Write the manual pages in docs/man from the parser of the command line: English, and Vietnamese in docs/man/vi.

Run it after a change of any verb's help: `python docs/make_man.py`. A test compares. The source of the pages is the
man(7) macros of roff, UTF-8.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from agent.cli import make_parser
from agent.cli.messages import set_language
from agent.cli.parser import paragraphs, translate, verbs_of

Language = Literal["en", "vi"]
FOLDER: Final = Path(__file__).with_name("man")
PAGES: Final[Mapping[Language, Path]] = {
    "en": FOLDER / "man1" / "oc-agent.1",
    "vi": FOLDER / "vi" / "man1" / "oc-agent.1",
}
Texts = Mapping[Language, str]
NAME: Final[Texts] = {"en": "NAME", "vi": "TÊN"}
SYNOPSIS: Final[Texts] = {"en": "SYNOPSIS", "vi": "CÚ PHÁP"}
DESCRIPTION: Final[Texts] = {"en": "DESCRIPTION", "vi": "MÔ TẢ"}
OPTIONS: Final[Texts] = {"en": "OPTIONS", "vi": "TÙY CHỌN CHUNG"}
COMMANDS: Final[Texts] = {"en": "COMMANDS", "vi": "CÁC LỆNH"}
ABOUT: Final[Texts] = {
    "en": "edge gateway agent: sensors and cameras to the IOC",
    "vi": "chương trình gateway: đưa số đo của cảm biến và hình ảnh camera về IOC",
}
WHAT: Final[Texts] = {
    "en": "oc-agent reads sensors and cameras over Modbus and serial lines, keeps what it read, and sends it to the "
    "IOC over MQTT. `run` does that; the other commands are for the technician. Data goes to stdout, talk to stderr.",
    "vi": "oc-agent đọc cảm biến và camera qua Modbus và cổng nối tiếp, giữ lại những gì đã đọc, và gửi về IOC qua "
    "MQTT. `run` làm việc đó; các lệnh khác dành cho kỹ thuật viên. Dữ liệu ra stdout, lời nhắn ra stderr.",
}
REST: Final[tuple[tuple[Texts, tuple[tuple[str, Texts], ...]], ...]] = (
    ({"en": "EXIT STATUS", "vi": "MÃ THOÁT"}, (
        ("0", {"en": "good", "vi": "tốt"}),
        ("1", {"en": "failed; stderr says what, and what to try", "vi": "không được; stderr nói vì sao và nên thử gì"}),
        ("2", {"en": "the arguments are wrong", "vi": "tham số sai"}),
        ("78", {"en": "the configuration is wrong", "vi": "cấu hình sai"}),
        ("130", {"en": "ended by Ctrl-C", "vi": "bị ngắt bằng Ctrl-C"}),
    )),
    ({"en": "ENVIRONMENT", "vi": "BIẾN MÔI TRƯỜNG"}, (
        ("LC_ALL, LC_MESSAGES, LANG", {
            "en": "language of messages where `--lang` does not say it; the journal is English",
            "vi": "ngôn ngữ hiển thị khi không có `--lang`; nhật ký luôn là tiếng Anh"}),
    )),
    ({"en": "FILES", "vi": "CÁC TỆP"}, (
        ("/etc/oc-agent/agent.toml", {"en": "the configuration", "vi": "cấu hình"}),
        ("/etc/oc-agent/conf.d/*.toml", {"en": "laid over it, in order of name",
                                         "vi": "chồng thêm lên, theo thứ tự tên"}),
        ("/etc/oc-agent/profiles/VENDOR/MODEL.toml", {"en": "profiles of your own", "vi": "hồ sơ của riêng bạn"}),
        ("/var/lib/oc-agent/outbox.db", {"en": "what was read, until the IOC has it",
                                         "vi": "những gì đã đọc, cho đến khi IOC nhận được"}),
        ("/run/oc-agent/control.sock", {"en": "where the running agent is asked",
                                        "vi": "nơi hỏi oc-agent đang chạy"}),
    )),
)  # fmt: skip


def page(language: Language) -> str:
    """The page in one language."""
    set_language(language)
    try:
        parser = make_parser()
        translate(parser)
        return "\n".join(_page(parser, language)) + "\n"
    finally:
        set_language("en")


def _page(parser: argparse.ArgumentParser, language: Language) -> Iterator[str]:
    yield r".\" Made by docs/make_man.py from the parser: change the help of the verb, not this file."
    yield '.TH OC\\-AGENT 1 "" "oc\\-agent"'
    yield from (f".SH {NAME[language]}", f"oc\\-agent \\- {_text(ABOUT[language])}")
    yield from (f".SH {SYNOPSIS[language]}", *_synopsis(parser))
    yield from (f".SH {DESCRIPTION[language]}", _text(WHAT[language]))
    yield f".SH {OPTIONS[language]}"
    yield from _arguments(parser)
    yield f".SH {COMMANDS[language]}"
    for sub in _verbs(parser):
        yield from _verb(sub)
    for title, rows in REST:
        yield f".SH {title[language]}"
        for term, what in rows:
            yield from (".TP", f".B {_text(term)}", _text(what[language]))


def _verb(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from (f".SS {_text(parser.prog)}", *_synopsis(parser))
    for paragraph in paragraphs(parser.description):
        yield from (".PP", _text(paragraph))
    yield from _arguments(parser)
    for sub in _verbs(parser):
        yield from _verb(sub)


def _verbs(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in verbs_of(parser):
        yield from dict.fromkeys(action.choices.values())


def _synopsis(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Not argparse's own: that differs between versions of Python."""
    optional = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    words = [f"\\fB{_text(parser.prog)}\\fR"]
    words += [_bracketed(_option(action), action.required) for action in optional]
    words += [_positional(action) for action in parser._actions if not action.option_strings]
    yield " ".join(words)


def _option(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return f"\\fB{_text(action.option_strings[-1])}\\fR{value}"


def _positional(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return f"\\fI{_text(str(action.metavar))}\\fR ..."
    many = " ..." if action.nargs in ("*", "+") else ""
    return _bracketed(_value(action) + many, action.nargs not in ("*", "?"))


def _value(action: argparse.Action) -> str:
    if action.metavar is None and action.choices:
        return "|".join(f"\\fB{_text(str(choice))}\\fR" for choice in action.choices)
    return f"\\fI{_text(str(action.metavar or action.dest))}\\fR"


def _bracketed(text: str, required: bool) -> str:  # noqa: FBT001 # a predicate of the text
    return text if required else f"[{text}]"


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Those that say anything; `--help` is everywhere."""
    for action in parser._actions:
        if action.help and action.dest != "help" and not isinstance(action, argparse._SubParsersAction):
            values = {**vars(action), "prog": parser.prog}
            term = _option(action) if action.option_strings else _value(action)
            yield from (".TP", term, _text(action.help % values))


def _text(text: str) -> str:
    """Text for roff: hyphens stay hyphens for who copies a command, `code` is bold, no line is a request."""
    plain = text.replace("\\", r"\e").replace("-", r"\-")
    plain = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", plain)
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    for language, path in PAGES.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(language), encoding="utf-8")
