"""Texts for people, in English in the code and in Vietnamese by a catalogue beside this file.

A text without a translation is shown in English. `messages.vi.toml` maps English to Vietnamese.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from drivers.profile import Language

_CATALOGUE = Path(__file__).with_name("messages.vi.toml")
_texts: dict[str, str] = {}


def set_language(language: str | None) -> None:
    """Use `vi` or `en`; None takes what the locale of the environment says."""
    locale = next((os.environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(key)), "")
    _texts.clear()
    if (language or locale)[:2] == "vi":
        _texts.update(tomllib.loads(_CATALOGUE.read_text(encoding="utf-8")))


def language() -> Language:
    """The chosen language."""
    return "vi" if _texts else "en"


def tr(text: str, /, **values: object) -> str:
    """`text` in the chosen language, with `values` put into its braces."""
    return translated(text).format(**values)


def translated(text: str) -> str:
    """`text` in the chosen language, braces and all; for texts that stand in a table elsewhere."""
    return _texts.get(text, text)


def in_language(label: Mapping[Language, str]) -> str:
    """The label of a profile, device or point in the chosen language, else in the other; "" where it has none."""
    return label.get(language()) or next(iter(label.values()), "")
