"""Export readings as CSV or JSON lines: one a line, oldest batch first; damaged batches are left out, and counted.

Columns: time (ISO 8601, local, to the millisecond), device, point, value, quality (empty: good), status (the raw
status word), seq (the batch), clock (sync, hold, unsync: how far the time may be believed).
"""

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import msgspec

from agent.cli.messages import tr
from agent.cli.outbox.selection import Selection, add_selection, selection_of
from agent.cli.outbox.target import add_file, file_of, opened
from agent.cli.outbox.texts import ranges_text, time_text
from agent.cli.output import Failed, say
from agent.ranges import RangeSet
from agent.store.inspection.contents import Value, content_of
from agent.store.inspection.outbox_file import OutboxFile

COLUMNS = ("time", "device", "point", "value", "quality", "status", "seq", "clock")
_time_text = lru_cache(maxsize=64)(time_text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    add_selection(parser)
    parser.add_argument("--format", choices=("csv", "jsonl"), default="csv")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there; default: stdout")
    parser.add_argument("--json", action="store_const", dest="format", const="jsonl", help="the same as --format jsonl")


def main(args: argparse.Namespace) -> int:
    selection, count = selection_of(args), 0
    damaged = RangeSet()
    with opened(file_of(args)) as file, _output(args.output) as out:
        write = _lines(out) if args.format == "jsonl" else _rows(out)
        for value in _values(file, selection, damaged):
            write(value)
            count += 1
    say(tr("{count} readings", count=count))
    if damaged:
        say(
            tr(
                "{count} batches are damaged and left out: {ranges}",
                count=damaged.count,
                ranges=ranges_text(damaged.ranges()),
            )
        )
    return 1 if damaged else 0


def _values(file: OutboxFile, selection: Selection, damaged: RangeSet) -> Iterator[Value]:
    for chunk in file.chunks(selection.ranges(file, RangeSet(file.undelivered()[1]))):
        for part in (*((seq, seq) for seq in chunk.damaged), *chunk.unreadable):
            damaged.add(*part)
        for row in chunk.rows:
            if row.kind != "data" or not selection.means_row(row):
                continue
            content = content_of(row.payload)
            if content is None:
                damaged.add(row.seq)
            else:
                yield from selection.values(content)


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Only its owner may read the file."""
    if path is None:
        yield sys.stdout
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as err:
        raise Failed(tr("{file} is there already: write another name", file=str(path))) from err
    except OSError as err:
        raise Failed(tr("{file}: it cannot be written: {why}", file=path, why=err.strerror)) from err
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as out:
            yield out
    except OSError as err:
        raise Failed(tr("{file}: it cannot be written: {why}", file=path, why=err.strerror)) from err


def _rows(out: TextIO) -> Callable[[Value], object]:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    return lambda value: writer.writerow(_cells(value))


def _cells(value: Value) -> tuple[object, ...]:
    given = value.value
    text = "" if given is None else str(given).lower() if isinstance(given, bool) else given
    time = _time_text(value.time_ms)
    return time, value.device, value.point, text, value.quality, value.status, value.seq, value.clock


def _lines(out: TextIO) -> Callable[[Value], object]:
    encode = msgspec.json.Encoder().encode
    return lambda value: out.write(encode(_object(value)).decode() + "\n")


def _object(value: Value) -> dict[str, object]:
    return {"time": _time_text(value.time_ms), **msgspec.structs.asdict(value)}
