"""Problems of configurations and profiles in the language of the reader.

`drivers` and `agent.configuration` say them in English, as do JSON and the journal. `problems.vi.toml` has the English
texts with a `{}` for each value in them; a problem is recognised by its text, also one that came from another process,
and its values are put into the Vietnamese. What is not recognised stays English.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from agent.cli.messages import language
from drivers.tomlfile import Problem

_CATALOGUE = Path(__file__).with_name("problems.vi.toml")
_HOLE = re.compile(r"\{(\d*)\}")


class _Texts(msgspec.Struct, frozen=True):
    """The translations: of texts as they stand, and of those with values, the one with most words of its own first."""

    plain: Mapping[str, str]
    patterns: tuple[tuple[re.Pattern[str], str], ...]


def in_words(problem: Problem) -> Problem:
    """The problem with its texts in the chosen language."""
    return msgspec.structs.replace(problem, what=worded(problem.what), fix=worded(problem.fix))


def worded(text: str) -> str:
    """One text of a problem in the chosen language; values that are texts themselves (`a number`) as well."""
    return _vietnamese(text) if language() == "vi" else text


def _vietnamese(text: str) -> str:
    texts = _texts()
    if text in texts.plain:
        return texts.plain[text]
    for pattern, translation in texts.patterns:
        if found := pattern.fullmatch(text):
            return _filled(translation, [_vietnamese(value) for value in found.groups()])
    return text


def _filled(translation: str, values: list[str]) -> str:
    order = iter(values)
    return _HOLE.sub(lambda hole: values[int(hole[1])] if hole[1] else next(order), translation)


@cache
def _texts() -> _Texts:
    catalogue = tomllib.loads(_CATALOGUE.read_text(encoding="utf-8"))
    plain = {english: text for english, text in catalogue.items() if not _HOLE.search(english)}
    holed = sorted(catalogue.keys() - plain.keys(), key=lambda english: (-len(_HOLE.sub("", english)), english))
    return _Texts(plain, tuple((_pattern(english), catalogue[english]) for english in holed))


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.*?)".join(map(re.escape, english.split("{}"))), re.DOTALL)
