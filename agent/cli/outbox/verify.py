"""Verify an outbox file: every checksum, and that the account fits what is there. Exits 1 where anything is wrong.

It also works while the agent runs. A large file takes minutes.
"""

import argparse
from collections.abc import Iterator

from agent.cli.messages import tr
from agent.cli.outbox.target import add_file, file_of, opened
from agent.cli.outbox.texts import ranges_text
from agent.cli.output import show_json, show_line
from agent.store.inspection.verification import (
    AccountCheck,
    Check,
    Payloads,
    Rows,
    Stored,
    Structure,
    Undelivered,
    Word,
    verify,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    checks: list[Check] = []
    with opened(file_of(args)) as file:
        for check in verify(file):
            checks.append(check)
            if not args.json:
                _show(check)
    good = all(check.ok for check in checks)
    if args.json:
        show_json({"ok": good, "checks": checks})
    else:
        show_line(tr("The file is sound.") if good else tr("THE FILE IS NOT SOUND."))
    return 0 if good else 1


def _show(check: Check) -> None:
    first, *more = _texts(check)
    mark = tr("ok") if check.ok else tr("FAIL")
    show_line(f"{mark:<5} {first}")
    for text in more:
        show_line(f"      {text}")


def _texts(check: Check) -> Iterator[str]:
    match check:
        case Structure():
            yield tr("pages: as SQLite sees them")
            yield from check.problems
        case Word():
            yield from _word(check)
        case Undelivered():
            yield from _undelivered(check)
        case AccountCheck():
            yield from _account(check)
        case Stored():
            yield _stored(check)
        case Rows():
            yield from _rows(check)
        case Payloads():
            yield tr("payloads: each against what its row says")
            if check.wrong:
                yield tr("not so: {ranges}", ranges=ranges_text(check.wrong))


def _word(check: Word) -> Iterator[str]:
    if not check.ok:
        yield tr("picture: what the file says of itself cannot be believed: {why}", why=check.why)
        yield tr("so the account and what is undelivered are not compared with it")
    elif check.checksum:
        yield tr("picture: what the file says of itself, against its checksum")
    else:
        yield tr("picture: the file has no checksum of it (version 1)")


def _undelivered(check: Undelivered) -> Iterator[str]:
    yield tr("undelivered: {count} batches, each against its row", count=check.batches)
    if check.in_journal:
        yield tr("{count} of them were in the journal only", count=check.in_journal)
    if check.in_salvage:
        yield tr("{count} of them are still in a file that was set aside", count=check.in_salvage)
    if not check.counted:
        yield tr("not to be counted: bad pages are among them")
    if check.absent:
        yield tr("without a row: {ranges}", ranges=ranges_text(check.absent))
    if check.beyond:
        yield tr("numbers that were never given out: {ranges}", ranges=ranges_text(check.beyond))


def _account(check: AccountCheck) -> Iterator[str]:
    yield tr(
        "account: {accepted} accepted = {delivered} delivered + {stored} stored + {lost} lost",
        accepted=check.accepted,
        delivered=check.delivered,
        stored=check.stored + check.unsealed,
        lost=check.lost,
    )
    if check.in_journal > 0 and check.ok:
        yield tr("+ {count} that were in the journal only", count=check.in_journal)
    elif check.in_journal > 0:
        yield tr("{count} are missing, and the agent was stopped in order", count=check.in_journal)
    elif check.in_journal < 0:
        yield tr("{count} more than were accepted", count=-check.in_journal)


def _stored(check: Stored) -> str:
    if check.found is None:
        return tr("stored: the account says {says} readings; bad pages are among them", says=check.says)
    there = check.found + check.in_salvage
    return tr("stored: the account says {says} readings, there are {there}", says=check.says, there=there)


def _rows(check: Rows) -> Iterator[str]:
    yield tr("rows: {count} batches, each against its checksum", count=check.batches)
    if check.unchecked:
        yield tr("{count} of version 1 have none: their payloads were looked at", count=check.unchecked)
    if check.damaged:
        yield tr("with other bytes than were written: {ranges}", ranges=ranges_text(check.damaged))
    if check.unreadable:
        yield tr("on pages that cannot be read: {ranges}", ranges=ranges_text(check.unreadable))
