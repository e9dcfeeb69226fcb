"""The figures as a picture: for each measure a bar a gateway on a logarithmic axis. SVG, pure."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from gateways.figures import Figure, shown
from gateways.table import COLUMNS, Column

WIDTH, NAMES, BAR, GAP, HEAD = 760, 190, 15, 6, 24
FIGURE_ROOM = 70
COLORS = {True: "#1b6ac9", False: "#b8c0cc"}


def plot(figures: Mapping[str, Mapping[str, Figure]], ours: str, columns: Sequence[Column] = COLUMNS) -> str:
    """An SVG document. Measures that only one gateway has are left out."""
    parts, y = [], 10
    for column in columns:
        values = {
            name: row[column.figure].median * column.factor for name, row in figures.items() if column.figure in row
        }
        if len(values) < 2 or not _on_axis(values):
            continue
        parts += _group(column, values, ours, y)
        y += HEAD + len(values) * (BAR + GAP) + 2 * GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{y}" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _group(column: Column, values: Mapping[str, float], ours: str, y: int) -> list[str]:
    """One measure: its head, and for each gateway a bar from the decade below the smallest; none for 0 and never."""
    on_axis = _on_axis(values)
    low, high = floor(log10(min(on_axis))), ceil(log10(max(on_axis)) + 1e-9)
    scale = (WIDTH - NAMES - FIGURE_ROOM) / max(1, high - low)
    parts = [f'<text x="4" y="{y + 14}" font-weight="bold">{escape(column.head)}, logarithmic</text>']
    for number, (name, value) in enumerate(values.items()):
        top = y + HEAD + number * (BAR + GAP)
        length = max(1.0, (log10(value) - low) * scale) if value in on_axis else 0.0
        said = shown(value) if value < float("inf") else "never"
        parts.append(
            f'<text x="{NAMES - 6}" y="{top + 12}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{NAMES}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{COLORS[name.startswith(ours)]}"/>'
            f'<text x="{NAMES + length + 4:.1f}" y="{top + 12}">{said}</text>'
        )
    return parts


def _on_axis(values: Mapping[str, float]) -> list[float]:
    return [value for value in values.values() if 0 < value < float("inf")]
