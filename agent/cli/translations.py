"""Texts that are not written for `tr`: a catalogue of them, where `{}` in the English stands for a value.

A text is recognised as it is said, also one that came from another process; its values are put into the Vietnamese.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from agent.cli.messages import language

_HOLE = re.compile(r"\{(\d*)\}")


class Translations:
    """The texts of one file beside this one: English = Vietnamese, with {} where {0}, {1} are not needed."""

    def __init__(self, name: str) -> None:
        self._file = Path(__file__).with_name(name)

    def of(self, text: str) -> str:
        """`text` in the chosen language, and the values in it that are texts themselves; English where unknown."""
        return self._vietnamese(text) if language() == "vi" else text

    def _vietnamese(self, text: str) -> str:
        if text in self._catalogue:
            return self._catalogue[text]
        for pattern, translation in self._patterns:
            if found := pattern.fullmatch(text):
                return _filled(translation, [self._vietnamese(value) for value in found.groups()])
        return text

    @cached_property
    def _catalogue(self) -> Mapping[str, str]:
        return tomllib.loads(self._file.read_text(encoding="utf-8"))

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """Those with values, the one with most words of its own first."""
        holed = [english for english in self._catalogue if _HOLE.search(english)]
        holed.sort(key=lambda english: (-len(_HOLE.sub("", english)), english))
        return [(_pattern(english), self._catalogue[english]) for english in holed]


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.*?)".join(map(re.escape, english.split("{}"))), re.DOTALL)


def _filled(translation: str, values: list[str]) -> str:
    order = iter(values)
    return _HOLE.sub(lambda hole: values[int(hole[1])] if hole[1] else next(order), translation)
