"""What was measured, as one table: a row a gateway, each figure with how many times ours it is. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateways.figures import Figure, shown
from gateways.goals import Verdict


class Column(NamedTuple):
    figure: str
    head: str
    factor: float = 1.0
    ratio: bool = True


COLUMNS = (
    Column("cpu_s", "CPU s per 1,000"),
    Column("rss_mb", "RSS MB"),
    Column("pss_mb", "PSS MB"),
    Column("first_s", "first value s"),
    Column("latency_p50_ms", "latency p50 ms"),
    Column("latency_p99_ms", "latency p99 ms"),
    Column("wire_bytes", "wire B"),
    Column("card_bytes", "card B online"),
    Column("offline_card_bytes", "card B offline"),
    Column("lost_share", "outage: lost %", 100, ratio=False),
    Column("resume_s", "resumes after s"),
    Column("killed_share", "kill -9: lost %", 100, ratio=False),
    Column("sustained", "registers/s at most"),
)


BOARD_COLUMNS = (
    Column("share", "of a core here", ratio=False),
    Column("cpu_s", "CPU s per 1,000", ratio=False),
    Column("rss_mb", "RSS MB", ratio=False),
    Column("first_s", "first value s", ratio=False),
    Column("latency_p99_ms", "latency p99 ms", ratio=False),
    Column("idle_share", "idle: % of a core here", 100, ratio=False),
    Column("lost_share", "outage: lost %", 100, ratio=False),
    Column("resume_s", "resumes after s", ratio=False),
    Column("drain_s", "a million of backlog: s", ratio=False),
    Column("live_p95_ms", "live p95 meanwhile ms", ratio=False),
    Column("sustained", "registers/s at most", ratio=False),
)


def table(figures: Mapping[str, Mapping[str, Figure]], ours: str, columns: Sequence[Column] = COLUMNS) -> str:
    """Markdown. In brackets: how many times the figure of ours."""
    heads = ["", *(column.head for column in columns)]
    rows = [_line(heads), "|" + "---|" * len(heads)]
    for name, row in figures.items():
        base = {} if name == ours else figures.get(ours, {})
        rows.append(_line([name, *(_cell(column, row, base) for column in columns)]))
    return "\n".join(rows)


def goals(verdicts: Sequence[Verdict]) -> str:
    """Markdown, a row a goal. `!` stands behind a figure that is past its limit."""
    lines = [_line(["", "goal", "", "measured"]), "|---|---|---|---|"]
    return "\n".join([*lines, *(_line([v.name, v.goal, v.word, v.measured]) for v in verdicts)])


def _cell(column: Column, row: Mapping[str, Figure], base: Mapping[str, Figure]) -> str:
    figure = row.get(column.figure)
    if figure is None:
        return "-"
    if figure.median == float("inf"):
        return "never"
    text = shown(figure.median * column.factor)
    if figure.spread > 1.1:
        text += f" [{shown(figure.low * column.factor)}-{shown(figure.high * column.factor)}]"
    ours = base.get(column.figure)
    if column.ratio and ours and ours.median > 0:
        text += f" (x{shown(figure.median / ours.median)})"
    return text


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
