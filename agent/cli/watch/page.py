"""A report as lines of a terminal: how wide, how high, and what is said of that for which there is no room. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.cli.layout import WIDTH, columns, wrapped
from agent.cli.messages import tr
from agent.cli.outbox.texts import age_text, size_text
from agent.cli.state import gateway_text, head, link_text, rows, uplink_text

_PERCENT = "\u00a0%"


@dataclass(frozen=True)
class Line:
    """One line. `of_row`: how many points end with it; `bad`: it says that something is wrong."""

    text: str
    bad: bool = False
    strong: bool = False
    of_row: int = 0


@dataclass(frozen=True)
class Block:
    """A text, or with `cells` a table below it; each row with whether it says that something is wrong."""

    text: str
    bad: bool = False
    cells: Sequence[tuple[Sequence[str], bool]] = ()

    def lines(self, width: int) -> Iterator[Line]:
        """The lines at this width; a table stands apart."""
        if self.cells:
            yield Line("")
        for text in wrapped(self.text.replace(" %", _PERCENT), rest="  ", width=width):
            yield from _cut(Line(text, self.bad, strong=bool(self.cells)), width)
        if not self.cells:
            return
        title, *body = columns(head(), [row for row, _ in self.cells], width)
        for text in title:
            yield from _cut(Line(text, strong=True), width)
        for texts, (_, bad) in zip(body, self.cells, strict=True):
            for number, text in enumerate(texts, 1):
                yield from _cut(Line(text, bad, of_row=int(number == len(texts))), width)


class Page:
    """What there is to show."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = tuple(blocks)

    def lines(self, width: int = WIDTH, height: int | None = None) -> list[Line]:
        """All lines, or as many as there is room for, and then how many points more there are."""
        lines = [line for block in self._blocks for line in block.lines(width)]
        if height is None or len(lines) <= height:
            return lines
        room = max(height - 1, 0)
        hidden = sum(line.of_row for line in lines[room:]) or len(lines) - room
        more = tr("… {count} more: a higher window, --device NAME or --bad", count=hidden)
        return [*lines[:room], *_cut(Line(more, strong=True), width)][:height]


def page_of(report: dict[str, Any]) -> Page:
    """The page of a report."""
    links = [_link(link) for link in report["links"]]
    return Page([*_heading(report), *(links or [Block(tr("nothing of what was asked for is bad"))])])


def said(text: str) -> Page:
    """A page on which only this stands, something that is wrong."""
    return Page([Block(line, bad=True) for line in text.splitlines()])


def _heading(report: dict[str, Any]) -> Iterator[Block]:
    uplink, outbox = report["uplink"], report["outbox"]
    time = datetime.fromtimestamp(report["time_ms"] / 1000).astimezone()
    yield Block(f"{time:%H:%M:%S}  {gateway_text(report)}")
    yield Block(uplink_text(report), bad=not uplink["connected"])
    if uplink["alarm"]:
        yield Block(uplink["alarm"], bad=True)
    values = {
        "batches": outbox["undelivered"],
        "readings": report["account"]["stored"],
        "age": age_text(outbox["oldest_s"]),
        "size": size_text(outbox["bytes"]),
        "most": size_text(outbox["max_bytes"]),
    }
    text = tr("outbox: {batches} batches wait, {readings} readings, the oldest for {age}; {size} of {most}", **values)
    yield Block(text)
    if lost := sum(report["account"]["lost"].values()):
        yield Block(tr("lost since the outbox was made: {count} readings", count=lost))


def _link(link: dict[str, Any]) -> Block:
    cells = [(cells, _is_bad(cells)) for device in link["devices"] for cells in rows(device)]
    return Block(link_text(link), not link["up"], cells)


def _is_bad(cells: Sequence[str]) -> bool:
    return cells[4] != tr("good")


def _cut(line: Line, width: int) -> Iterator[Line]:
    """The line in pieces: a word that is longer than the window goes on below."""
    text = line.text
    while len(text) > width:
        yield Line(text[:width], line.bad, line.strong)
        text = text[width:]
    yield Line(text, line.bad, line.strong, line.of_row)
