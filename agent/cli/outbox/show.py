"""List batches, the newest last; or, with --seq N --payload, the content of one.

What does not wait any more was delivered, or refused by the broker: the file does not keep which.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from agent.cli.messages import tr
from agent.cli.outbox.selection import Selection, add_selection, selection_of
from agent.cli.outbox.target import add_file, file_of, opened
from agent.cli.outbox.texts import ranges_text, time_text
from agent.cli.output import Failed, say, show_json, show_table
from agent.packing import NotPacked
from agent.ranges import RangeSet
from agent.store.damage.damaged_file import SavedRow
from agent.store.inspection.contents import content_of, decoded
from agent.store.inspection.outbox_file import OutboxFile

DEFAULT_LIMIT = 20


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One batch."""

    seq: int
    kind: str
    sealed_ms: int
    first_ms: int
    last_ms: int
    readings: int
    bytes: int
    waiting: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    add_selection(parser)
    what = f"so many, the newest; default {DEFAULT_LIMIT}, 0: all"
    parser.add_argument("--limit", type=int, default=DEFAULT_LIMIT, metavar="N", help=what)
    parser.add_argument("--payload", action="store_true", help="with --seq N: its content, as JSON")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    selection = selection_of(args)
    with opened(file_of(args)) as file:
        if args.payload:
            show_json(_payload(file, selection))
            return 0
        damaged = RangeSet()
        shown = list(islice(_newest_first(file, selection, damaged), args.limit if args.limit > 0 else None))[::-1]
    if args.json:
        show_json({"batches": shown, "damaged": damaged.ranges()})
    else:
        _show(shown)
    if damaged:
        say(tr("damaged, not shown: {ranges}; see `oc-agent outbox verify`", ranges=ranges_text(damaged.ranges())))
    return 1 if damaged else 0


def _newest_first(file: OutboxFile, selection: Selection, damaged: RangeSet) -> Iterator[Shown]:
    undelivered = RangeSet(file.undelivered()[1])
    for chunk in file.chunks_backwards(selection.ranges(file, undelivered)):
        for part in (*((seq, seq) for seq in chunk.damaged), *chunk.unreadable):
            damaged.add(*part)
        for row in reversed(chunk.rows):
            if selection.means_row(row) and _means_content(selection, row):
                yield _shown(row, waiting=row.seq in undelivered)


def _means_content(selection: Selection, row: SavedRow) -> bool:
    if not selection.devices:
        return True
    content = content_of(row.payload)
    return content is not None and selection.means_content(content)


def _shown(row: SavedRow, *, waiting: bool) -> Shown:
    return Shown(
        seq=row.seq,
        kind=row.kind,
        sealed_ms=row.sealed_ms,
        first_ms=row.first_ms,
        last_ms=row.last_ms,
        readings=row.readings,
        bytes=len(row.payload),
        waiting=waiting,
    )


def _payload(file: OutboxFile, selection: Selection) -> Any:
    if selection.seqs is None or selection.seqs[0][0] != selection.seqs[0][1]:
        raise Failed(tr("--payload shows one batch: write --seq N with it"))
    seq = selection.seqs[0][0]
    for chunk in file.chunks(selection.seqs):
        for row in chunk.rows:
            try:
                return decoded(row.payload)
            except (NotPacked, msgspec.MsgspecError) as err:
                raise Failed(tr("batch {seq} cannot be read: {why}", seq=seq, why=err)) from err
        if chunk.damaged or chunk.unreadable:
            raise Failed(tr("batch {seq} is damaged: it does not fit its checksum", seq=seq))
    raise Failed(tr("there is no batch {seq} in the file", seq=seq))


def _show(shown: list[Shown]) -> None:
    head = [tr("number"), tr("kind"), tr("sealed"), tr("times"), tr("readings"), tr("bytes"), ""]
    rows = [
        [
            str(batch.seq),
            batch.kind,
            time_text(batch.sealed_ms, "seconds")[:19],
            _span(batch),
            str(batch.readings),
            str(batch.bytes),
            tr("waits") if batch.waiting else tr("done"),
        ]
        for batch in shown
    ]
    show_table(head, rows)


def _span(batch: Shown) -> str:
    """Only what differs from the time of sealing."""
    sealed, first, last = (time_text(ms, "seconds")[:19] for ms in (batch.sealed_ms, batch.first_ms, batch.last_ms))
    if first[:10] != sealed[:10]:
        return first if first == last else f"{first}–{last[11:] if last[:10] == first[:10] else last}"
    return first[11:] if first == last else f"{first[11:]}–{last[11:] if last[:10] == first[:10] else last}"
