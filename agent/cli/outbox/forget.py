"""Give data up on purpose: batches by number or age, or files that were set aside. Without --yes only says what.

Undelivered readings that are forgotten count as lost, and the IOC is told. Only the owner of the outbox changes it: the
running agent does it, or, where none runs, this command opens the outbox itself.
"""

import argparse
from collections.abc import Sequence

import msgspec

from agent.cli.messages import tr
from agent.cli.outbox.owner import carried_out
from agent.cli.outbox.selection import common
from agent.cli.outbox.target import opened, own_file
from agent.cli.outbox.texts import ranges_text, seq_ranges, size_text, time_ms
from agent.cli.output import Failed, say, show_json, show_line
from agent.configuration import load_configuration
from agent.forgetting import ForgetOrder, Given
from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.inspection.outbox_file import OutboxFile
from agent.store.inspection.overview import Aside, overview_of

RANGES_AN_ORDER = 1_000
"""So many fit into one request on the control socket."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would go. `undelivered`: of the `batches`, with the readings that would be lost."""

    ranges: Sequence[SeqRange] = ()
    batches: int = 0
    undelivered: int = 0
    readings: int = 0
    files: Sequence[Aside] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seq", metavar="A[-B]", help="these batches")
    parser.add_argument("--before", metavar="TIME", help="batches with no reading from then or later")
    parser.add_argument("--undelivered", action="store_true", help="of them what waits")
    parser.add_argument("--delivered", action="store_true", help="of them what does not wait any more: the archive")
    parser.add_argument("--aside", action="store_true", help="the files that were set aside")
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    _check(args)
    settings = load_configuration(args.config).settings
    with opened(own_file(settings)) as file:
        plan = _plan(file, args)
    if not args.yes:
        _show_plan(plan, as_json=args.json)
        return 1
    if not plan.batches and not plan.files:
        say(tr("there is nothing like that"))
    given = carried_out(settings, _orders(plan))
    if args.json:
        show_json({"forgotten": given})
    else:
        _show_given(given, plan)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.aside and (args.seq or args.before or args.undelivered or args.delivered):
        raise Failed(tr("--aside goes alone"))
    if not args.aside and not args.seq and not args.before:
        raise Failed(tr("say what: --seq A-B, or --before TIME with --undelivered or --delivered, or --aside"))
    if args.before and not args.undelivered and not args.delivered:
        raise Failed(tr("with --before say --undelivered or --delivered, or both"))


def _plan(file: OutboxFile, args: argparse.Namespace) -> Plan:
    overview = overview_of(file, 0)
    if args.aside:
        needed = tuple(salvage.name for salvage in overview.salvages)
        return Plan(files=[aside for aside in overview.aside if not aside.name.startswith(needed or "\0")])
    found = RangeSet([(1, overview.high)])  # what was sealed since the file was written is not in its table yet
    if args.seq:
        found = common(found, seq_ranges(args.seq))
    if args.before:
        found = common(found, file.older(time_ms("--before", args.before)).ranges())
    undelivered = common(found, file.picture().undelivered)
    if args.undelivered and not args.delivered:
        found = undelivered
    elif args.delivered and not args.undelivered:
        for part in undelivered.ranges():
            found.discard(*part)
        undelivered = RangeSet()
    batches, _ = file.count(found.ranges())
    waiting, readings = file.count(undelivered.ranges())
    return Plan(ranges=found.ranges(), batches=batches, undelivered=waiting, readings=readings)


def _orders(plan: Plan) -> list[ForgetOrder]:
    ranges = plan.ranges
    parts = [ranges[at : at + RANGES_AN_ORDER] for at in range(0, len(ranges), RANGES_AN_ORDER)]
    return [*([ForgetOrder(aside=True)] if plan.files else []), *(ForgetOrder(ranges=part) for part in parts)]


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        show_json({"would_forget": plan})
        return
    for file in plan.files:
        show_line(tr("would be deleted: {name}, {size}", name=file.name, size=size_text(file.bytes)))
    if plan.batches:
        text = tr("would be forgotten: {count} batches: {ranges}", count=plan.batches, ranges=ranges_text(plan.ranges))
        show_line(text)
    if plan.undelivered:
        show_line(
            tr(
                "{count} of them wait for the IOC: their {readings} readings would be LOST",
                count=plan.undelivered,
                readings=plan.readings,
            )
        )
    if plan.batches or plan.files:
        say(tr("nothing was done: it is done with --yes"))
    else:
        say(tr("there is nothing like that"))


def _show_given(given: Given, plan: Plan) -> None:
    for name in given.files:
        show_line(tr("deleted: {name}", name=name))
    if plan.ranges:
        show_line(tr("forgotten: {count} batches", count=given.batches.batches))
    if given.batches.undelivered:
        show_line(
            tr(
                "{count} of them waited: their {readings} readings are lost, and the IOC is told",
                count=given.batches.undelivered,
                readings=given.batches.readings,
            )
        )
