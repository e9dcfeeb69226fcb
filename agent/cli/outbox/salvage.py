"""Save what can still be read of a damaged outbox, or one from a dead card, into a new sound file.

NEW must not exist. A gateway that finds NEW as its outbox.db sends what is undelivered in it to the IOC: stop the
agent, put NEW in the place of outbox.db (owned by the user of the service), start the agent.
"""

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

from agent.cli.messages import tr
from agent.cli.outbox.target import explained
from agent.cli.outbox.texts import ranges_text
from agent.cli.output import Failed, say, show_json, show_line
from agent.store.damage.rescue import NothingLeft, Rescued, rescue
from agent.store.inspection.outbox_file import UnreadableFile
from agent.store.opening import OUTBOX_NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the damaged outbox.db, or the folder it is in")
    parser.add_argument("new", type=Path, metavar="NEW", help="the file to be made")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    old: Path = args.file / OUTBOX_NAME if args.file.is_dir() else args.file
    say(tr("reading {file}; this takes a while", file=old))
    try:
        found = asyncio.run(rescue(old, args.new))
    except UnreadableFile as err:
        raise Failed(explained(err)) from err
    except NothingLeft as err:
        raise Failed(tr("{file}: not one batch of it can be read", file=old)) from err
    except FileExistsError as err:
        raise Failed(tr("{file} is there already: write another name", file=args.new)) from err
    except OSError as err:
        raise Failed(tr("{file}: it cannot be written: {why}", file=args.new, why=err.strerror or err)) from err
    if args.json:
        show_json(found)
    else:
        for text in _texts(found, args.new):
            show_line(text)
    return 0


def _texts(found: Rescued, new: Path) -> Iterator[str]:
    yield tr("saved: {batches} batches with {readings} readings", batches=found.batches, readings=found.readings)
    yield tr(
        "of them undelivered: {batches} batches with {readings} readings",
        batches=found.undelivered,
        readings=found.undelivered_readings,
    )
    if found.unsealed:
        yield tr("and {readings} readings that were not in a batch yet", readings=found.unsealed)
    if not found.trusted:
        yield tr("what the file says of itself cannot be believed; what is undelivered is told by its batches")
    if found.damaged:
        yield tr("not saved, their bytes have changed: {ranges}", ranges=ranges_text(found.damaged))
    if found.unreadable:
        yield tr("not saved, their pages cannot be read: {ranges}", ranges=ranges_text(found.unreadable))
    if found.missing:
        yield tr("lost, because they were undelivered: batches {ranges}", ranges=ranges_text(found.missing))
    if found.lost and found.missing:
        yield tr("lost: {readings} readings", readings=found.lost)
    elif found.lost:
        yield tr("lost: {readings} readings, which were on the RAM disk only", readings=found.lost)
    if not found.missing and not found.lost:
        yield tr("nothing undelivered is lost")
    yield tr("{file} is made: sound, for its owner only", file=new)
