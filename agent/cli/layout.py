"""Text on a terminal of 80 columns: widths of cells, lines that are wrapped, columns that fit. Pure.

Promises: nothing is cut off. A word that is longer than its column is broken, except in `wrapped`: a path that
somebody copies stays whole.
"""

import textwrap
import unicodedata
from collections.abc import Sequence

WIDTH = 80
"""Columns of the terminals that technicians have: a serial console, a telephone held sideways."""
GAP = 2
_NO_BREAK = "\u00a0"
_LEAST = 8


def cell_width(text: str) -> int:
    """How many columns `text` takes on a terminal."""
    if text.isascii():  # as most cells are
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, *, first: str = "", rest: str = "", width: int = WIDTH) -> list[str]:
    """`text` in lines of at most `width`, behind `first`, then `rest`; a longer word has a line of its own."""
    lines = textwrap.wrap(
        unicodedata.normalize("NFC", text),
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines] or [first.rstrip()]


def unbroken(text: str) -> str:
    """`text` for `wrapped` with blanks at which no line is broken, unless it is half a line or more."""
    return text.replace(" ", _NO_BREAK) if cell_width(text) < WIDTH // 2 else text


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> list[list[str]]:
    """The lines of each row of a table, the head first; the widest columns are wrapped where it exceeds `width`."""
    cells = [[unicodedata.normalize("NFC", cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(cell_width, column)) for column in zip(*cells, strict=True)]
    if width is not None:
        widths = _fitting(widths, width)
    return [_lines(row, widths) for row in cells]


def _fitting(widths: Sequence[int], width: int) -> list[int]:
    """The widths with the widest made narrower, one column at a time, until they fit or all are narrow."""
    found = list(widths)
    while sum(found) + GAP * (len(found) - 1) > width and max(found) > _LEAST:
        found[found.index(max(found))] -= 1
    return found


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    parts = [
        [cell] if cell_width(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)
        for cell, width in zip(row, widths, strict=True)
    ]
    lines = []
    for i in range(max(map(len, parts))):
        cells = [part[i] if i < len(part) else "" for part in parts]
        padded = (cell + " " * (width - cell_width(cell)) for cell, width in zip(cells, widths, strict=True))
        lines.append((" " * GAP).join(padded).rstrip())
    return lines
