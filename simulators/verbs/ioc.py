"""Be the IOC: receive, check, store and acknowledge what gateways publish, as the contract says.

Prints a report every few seconds and one at the end; with --json each is one JSON line. The first line on stdout is
always JSON and comes when the broker has accepted the connection.

With --pictures DIR the parts of pictures are put together. A picture stands in DIR/GATEWAY/DEVICE/TIME-ID.jpg when all
its bytes are there and agree with its SHA-256, and beside it a .json that says what it is of and when it expires. What
has expired is deleted at the start and each hour, whether complete or not. A picture that does not say its purpose and
for how many days it may be kept is refused. Nobody but the user of this program can read the files.
"""

import argparse
import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from simulators.ioc.db import Database
from simulators.ioc.ingest import Ingest
from simulators.ioc.picture_files import PictureFiles
from simulators.ioc.pictures import Pictures
from simulators.ioc.report import as_text, report
from simulators.ioc.service import ACK_EVERY_S, IocService
from simulators.output import SpareOutput, show_line, stop_signal, wait_for
from simulators.verbs.connecting import add_broker_arguments, broker_address

LAST_WORDS_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_broker_arguments(parser)
    parser.add_argument("--db", type=Path, metavar="FILE", help="keep what was received; default: in memory")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="keep pictures here; default: only count them")
    parser.add_argument("--json", action="store_true", help="reports as JSON lines")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after N seconds; default: at SIGTERM")
    parser.add_argument("--every", type=float, default=5.0, metavar="N", help="a report every N seconds; default 5")
    parser.add_argument(
        "--ack-every", type=float, default=ACK_EVERY_S, metavar="N", help="acknowledge every N s; default 1"
    )
    parser.add_argument("--no-ack", action="store_true", help="do not acknowledge: the broker's word counts")
    parser.add_argument("--no-rows", action="store_true", help="do not say that rows are read: no gateway sends any")


def main(args: argparse.Namespace) -> int:
    database = Database(args.db)
    try:
        database.open()
        ingest = Ingest(database, pictures=_pictures(args.pictures))
        service = IocService(
            ingest,
            broker_address(args),
            protocol=args.protocol,
            ack=not args.no_ack,
            ack_every_s=args.ack_every,
            rows=not args.no_rows,
        )
        asyncio.run(_serve(service, args))
    except sqlite3.Error as err:
        print(f"error: the database {args.db or 'in memory'} failed: {err}", file=sys.stderr)
        return 1
    except OSError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    finally:
        database.close()
    return 0


async def _serve(service: IocService, args: argparse.Namespace) -> None:
    output = SpareOutput()
    show = partial(_show, service, output, as_json=args.json)
    async with stop_signal() as stop:
        run = asyncio.create_task(service.run(lambda: _ready(service, args)), name="ioc")
        reports = asyncio.create_task(_report_for_ever(show, args.every), name="reports")
        ended = asyncio.create_task(wait_for(stop, args.seconds), name="end")
        try:
            await asyncio.wait((run, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (run, reports, ended):
                task.cancel()
            results = await asyncio.gather(run, reports, ended, return_exceptions=True)
    output.finish(LAST_WORDS_S)
    show()
    output.finish(LAST_WORDS_S)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _report_for_ever(show: Callable[[], None], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        show()


def _show(service: IocService, output: SpareOutput, *, as_json: bool) -> None:
    """Show a report; a reader who does not take it holds nothing up."""
    snapshot = report(service.ingest)
    if as_json:
        output.show(msgspec.json.encode({"report": snapshot}).decode())
    else:
        output.show(as_text(snapshot) + (f"\n  not connected: {service.error}" if service.error else ""))


def _ready(service: IocService, args: argparse.Namespace) -> None:
    if service.connections == 1:
        kept = {"db": str(args.db) if args.db else None, "pictures": str(args.pictures) if args.pictures else None}
        head = {"ready": True, "pid": os.getpid(), "broker": str(service.broker), "ack": not args.no_ack}
        show_line(head | kept)


def _pictures(folder: Path | None) -> Pictures | None:
    if folder is None:
        return None
    pictures = Pictures(PictureFiles(folder))
    pictures.open()
    return pictures
