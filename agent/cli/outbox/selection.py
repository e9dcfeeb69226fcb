"""Which batches and readings are meant: by number, device, time, and whether they still wait."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.cli.outbox.texts import seq_ranges, time_ms
from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.damage.damaged_file import SavedRow
from agent.store.inspection.contents import Content, Value
from agent.store.inspection.outbox_file import OutboxFile


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for; None and empty mean everything. `to_ms` itself is not meant any more."""

    seqs: Sequence[SeqRange] | None
    devices: frozenset[str]
    from_ms: int | None
    to_ms: int | None
    undelivered: bool

    def ranges(self, file: OutboxFile, undelivered: RangeSet) -> list[SeqRange]:
        """Numbers of all batches that may be meant, lowest first."""
        found = RangeSet(file.window(self.from_ms, self.to_ms))
        if self.seqs is not None:
            found = common(found, self.seqs)
        return (common(found, undelivered.ranges()) if self.undelivered else found).ranges()

    def means_row(self, row: SavedRow) -> bool:
        """Whether a batch has times that are meant."""
        after = self.from_ms is None or row.last_ms >= self.from_ms
        return after and (self.to_ms is None or row.first_ms < self.to_ms)

    def means_content(self, content: Content) -> bool:
        """Whether a batch has a device that is meant."""
        return not self.devices or not self.devices.isdisjoint(content.devices)

    def values(self, content: Content) -> Iterator[Value]:
        """The readings that are meant."""
        for value in content.values():
            if self.devices and value.device not in self.devices:
                continue
            if self.from_ms is not None and value.time_ms < self.from_ms:
                continue
            if self.to_ms is None or value.time_ms < self.to_ms:
                yield value


def add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seq", metavar="A[-B]", help="only these batches")
    parser.add_argument("--device", action="append", default=[], metavar="NAME", help="only this device; repeatable")
    what = "like 2026-11-23 or 2026-11-23T14:00; local time where there is no zone; or milliseconds since 1970"
    parser.add_argument("--from", dest="from_", metavar="TIME", help=f"only readings from then on, {what}")
    parser.add_argument("--to", metavar="TIME", help="only readings before then")
    parser.add_argument("--undelivered", action="store_true", help="only what waits")


def selection_of(args: argparse.Namespace) -> Selection:
    """What the arguments ask for; raises `Failed`."""
    return Selection(
        seqs=None if args.seq is None else seq_ranges(args.seq),
        devices=frozenset(args.device),
        from_ms=None if args.from_ is None else time_ms("--from", args.from_),
        to_ms=None if args.to is None else time_ms("--to", args.to),
        undelivered=args.undelivered,
    )


def common(numbers: RangeSet, ranges: Sequence[SeqRange]) -> RangeSet:
    """What of `ranges` is in `numbers`."""
    return RangeSet(part for one in ranges for part in numbers.overlap(*one))
