"""Show where every reading is: accepted = delivered + waiting + lost; and what waits, how old, in how much room.

As the running agent says, or, where none runs or with FILE, as the file says.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.messages import tr
from agent.cli.outbox.target import add_file, file_of, opened, own_file
from agent.cli.outbox.texts import age_text, size_text
from agent.cli.output import Failed, show_json, show_line, show_table
from agent.configuration import load_configuration
from agent.control import AgentNotRunning, ask_agent
from agent.settings import OutboxSettings, Settings
from agent.store.inspection.overview import Overview, overview_of


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown. `source`: who says it; the limits are those of the configuration, where that is meant."""

    source: str
    file: str
    overview: Overview
    settings: OutboxSettings | None = None
    commit_failures: int | None = None
    ram_disk: bool | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    if args.file is None:
        settings = load_configuration(args.config).settings
        report = _running(settings) or _of_file(own_file(settings), settings.outbox)
    else:
        report = _of_file(file_of(args), None)
    if args.json:
        show_json(_flat(report))
    else:
        _show(report)
    return 0


def _running(settings: Settings) -> Report | None:
    try:
        found = ask_agent(Path(settings.gateway.runtime_dir), "outbox")
    except AgentNotRunning:
        return None
    except PermissionError as err:
        raise Failed(tr("you may not ask the agent: use sudo, or join its group")) from err
    if "error" in found:
        raise Failed(tr("the running agent does not understand this oc-agent: restart the service"))
    return Report(
        source="agent",
        file=str(own_file(settings)),
        overview=msgspec.convert(found["overview"], Overview),
        settings=settings.outbox,
        commit_failures=found["commit_failures"],
        ram_disk=found["ram_disk"],
    )


def _of_file(path: Path, settings: OutboxSettings | None) -> Report:
    with opened(path) as file:
        overview = overview_of(file, time.time_ns() // 1_000_000)
    return Report(source="file", file=str(path), overview=overview, settings=settings)


def _flat(report: Report) -> dict[str, Any]:
    settings = report.settings
    return {
        "source": report.source,
        "file": report.file,
        **msgspec.structs.asdict(report.overview),
        "limit_bytes": settings and settings.max_bytes,
        "retention_days": settings and settings.retention_days,
        "when_full": settings and settings.when_full,
        "commit_failures": report.commit_failures,
        "ram_disk": report.ram_disk,
    }


def _show(report: Report) -> None:
    found = report.overview
    if report.source == "agent":
        show_line(tr("{file}, as the running agent says", file=report.file))
    else:
        show_line(tr("{file}, as the file says; no agent was asked", file=report.file))
    show_line(tr("epoch {epoch}, numbers up to {high}", epoch=found.epoch or "—", high=found.high))
    rows = [*_account(found), *_waiting(found), *_room(report)]
    show_table(rows[0], rows[1:])


def _account(found: Overview) -> Iterator[list[str]]:
    account = found.account
    yield [tr("accepted"), tr("{count} readings since this outbox was made", count=account.accepted)]
    yield [tr("delivered"), str(account.delivered)]
    stored = str(account.stored)
    if account.waiting:
        stored = tr("{count}, {unsealed} of them not in a batch yet", count=stored, unsealed=account.waiting)
    yield [tr("waiting"), stored]
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(account.lost.items()) if count)
    lost = sum(account.lost.values())
    yield [tr("lost"), f"{lost} ({reasons})" if reasons else str(lost)]
    if found.in_journal > 0:
        what = tr("{count} were on the RAM disk only when this file was written", count=found.in_journal)
        yield [tr("elsewhere"), what]
    if account.accepted != account.delivered + account.stored + lost + max(0, found.in_journal):
        yield [tr("WRONG"), tr("this does not add up: run `oc-agent outbox verify`")]


def _waiting(found: Overview) -> Iterator[list[str]]:
    if found.undelivered:
        text = tr(
            "{count} wait, from number {low}; the oldest for {age}",
            count=found.undelivered,
            low=found.low,
            age=age_text(found.oldest_s),
        )
        yield [tr("batches"), text]
    else:
        yield [tr("batches"), tr("none waits")]
    if found.dead:
        yield ["", tr("{count} were refused by the broker", count=found.dead)]


def _room(report: Report) -> Iterator[list[str]]:
    found, settings = report.overview, report.settings
    size = size_text(found.bytes)
    if settings is None:
        yield [tr("file"), size]
    else:
        limit, share = size_text(settings.max_bytes), f"{100 * found.bytes / settings.max_bytes:.1f}"
        yield [tr("file"), tr("{size} of {limit} ({share} %)", size=size, limit=limit, share=share)]
        yield ["", tr("delivered batches are kept for {days} days", days=f"{settings.retention_days:g}")]
        yield ["", tr("when full: {policy}", policy=settings.when_full)]
    if report.commit_failures:
        yield ["", tr("{count} commits have failed since the agent was started", count=report.commit_failures)]
    if report.ram_disk is False:
        yield ["", tr("the journal is not on a RAM disk: each batch is committed")]
    for aside in found.aside:
        yield [tr("set aside"), f"{aside.name}, {size_text(aside.bytes)}"]
    for salvage in found.salvages:
        text = tr(
            "{name}: {wanted} batches to look for, {saved} saved, {missing} cannot be read",
            name=salvage.name,
            wanted=salvage.wanted,
            saved=salvage.saved,
            missing=salvage.missing,
        )
        yield [tr("salvage"), text]
