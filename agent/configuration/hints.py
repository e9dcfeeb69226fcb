"""What to write instead, and text in one Unicode form."""

from collections.abc import Sequence
from typing import TypeVar

from drivers.tomlfile import nfc

KeyT = TypeVar("KeyT", bound=str)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The known name that looks most like `name`, or all of them."""
    from difflib import get_close_matches  # for a mistake only

    close = get_close_matches(name, known, 1)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(sorted(set(known)))}" if known else "there are none yet"


def nfc_values(label: dict[KeyT, str]) -> dict[KeyT, str]:
    """Texts by language, in normal form C."""
    return {language: nfc(text) for language, text in label.items()}
