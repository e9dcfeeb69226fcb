"""Be N gateways that publish contract v1: a load for a broker or an IOC, with outages and faults.

Each gateway reads a device with --points points, --rate times a second, and sends each reading as a message. Its
point `count` goes up by exactly 1 with every reading, so every reading that is lost or repeated shows at the IOC. What
was read in an outage follows as backfill. Nothing is on a disk: a fleet that ends takes along what it could not
deliver, and each run is a new epoch of its gateways.

The first line on stdout is JSON and comes when all are connected; from then on they read. A report follows every few
seconds, with --json as JSON lines. SIGTERM, SIGINT and --seconds end the readings; then what is kept is delivered, for
--drain seconds at the most, and all say that they are offline. The last line is the account: accepted = delivered +
stored + lost. Where it does not balance the exit code is 1.

Certificates: {gw} in --cert-file, --key-file and in the user of the URL stands for the gateway's name.
"""

import argparse
import asyncio
import os
import re
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from simulators.fleet.device import MAX_POINTS
from simulators.fleet.faults import MEANINGS, MessageFaults
from simulators.fleet.fleet import Course, Fleet, shared_tls
from simulators.fleet.gateway import Plan
from simulators.fleet.limits import TooManyConnections, allow_connections
from simulators.fleet.pace import Outages
from simulators.fleet.report import accounts, as_text, report
from simulators.output import SpareOutput, show_line, stop_signal, wait_for
from simulators.verbs.connecting import add_broker_arguments, broker_address

LAST_WORDS_S = 2.0
_PREFIX = re.compile(r"[a-z0-9][a-z0-9-]{0,50}")
_FAULTS = "; ".join(f"{name}: {meaning}" for name, meaning in MEANINGS.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("gateways", type=_count, metavar="N", help="how many gateways")
    add_broker_arguments(parser)
    load = parser.add_argument_group("load, of each gateway")
    load.add_argument("--rate", type=_above_0, default=1.0, metavar="R", help="messages a second; default 1")
    load.add_argument("--points", type=_points, default=10, metavar="P", help="readings in a message; default 10")
    load.add_argument("--events", type=float, default=0.0, metavar="S", help="an event every S seconds on average")
    load.add_argument(
        "--backfill", type=_above_0, default=500.0, metavar="R", help="late readings a second; default 500"
    )
    load.add_argument("--room", type=_count, default=3_600, metavar="N", help="messages kept undelivered; default 3600")
    wrong = parser.add_argument_group("what goes wrong")
    wrong.add_argument(
        "--outage", type=_outages, metavar="EVERY,FOR", help="seconds between outages of a gateway, and how long"
    )
    wrong.add_argument(
        "--faults", type=_faults, default=MessageFaults(), metavar="LIST", help=f"shares of the readings. {_FAULTS}"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other values and faults; default 0")
    parser.add_argument("--prefix", type=_prefix, default="sim-", help="of the gateways' names; default sim-")
    parser.add_argument(
        "--ack", choices=("auto", "ioc", "broker"), default="auto", help="whose word counts; default: the IOC's state"
    )
    parser.add_argument("--start-spread", type=float, default=1.0, metavar="S", help="connect within S; default 1")
    parser.add_argument("--seconds", type=float, metavar="N", help="read for N seconds; default: until SIGTERM")
    parser.add_argument("--drain", type=float, default=10.0, metavar="N", help="the end may take N seconds; default 10")
    parser.add_argument("--every", type=_above_0, default=5.0, metavar="N", help="a report every N s; default 5")
    parser.add_argument("--accounts", type=Path, metavar="FILE", help="write each gateway's account, one JSON a line")
    parser.add_argument("--json", action="store_true", help="reports as JSON lines")


def main(args: argparse.Namespace) -> int:
    if args.ack == "broker" and args.protocol == "3.1.1":
        print("error: with MQTT 3.1.1 a PUBACK says nothing: use --ack ioc, or --protocol 5", file=sys.stderr)
        return 2
    try:
        allow_connections(args.gateways)
        return asyncio.run(_run(args))
    except (OSError, TooManyConnections) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1


async def _run(args: argparse.Namespace) -> int:
    broker = broker_address(args)
    fleet = Fleet(_names(args), _plan(args), _course(args), broker, shared_tls(broker))
    output = SpareOutput()
    told = asyncio.Event()
    async with stop_signal() as stop, asyncio.TaskGroup() as group:
        reports = group.create_task(_report_for_ever(fleet, told, output, args), name="reports")
        end = group.create_task(_end(fleet, told, stop, args), name="end")
        await fleet.run()
        for task in (reports, end):
            task.cancel()
    output.finish(LAST_WORDS_S)
    last = report(fleet)
    if args.accounts:
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in accounts(fleet))
        args.accounts.write_bytes(lines)
    output.show(_shown("account", last, args))
    output.finish(LAST_WORDS_S)
    return 0 if last.balanced else 1


async def _end(fleet: Fleet, told: asyncio.Event, stop: asyncio.Event, args: argparse.Namespace) -> None:
    """Say when all is ready, which sets `told`, and end the readings when it is time."""
    begun_s = time.monotonic()
    ready = asyncio.ensure_future(fleet.ready.wait())
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((ready, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        head = {"ready": True, "pid": os.getpid(), "broker": str(fleet.broker), "gateways": args.gateways}
        took = {"first": fleet.gateways[0].name, "seed": args.seed, "connected_s": round(time.monotonic() - begun_s, 2)}
        show_line(head | took)
        told.set()
        await wait_for(stop, args.seconds)
    for task in (ready, stopped):
        task.cancel()
    fleet.ending.set()


async def _report_for_ever(fleet: Fleet, told: asyncio.Event, output: SpareOutput, args: argparse.Namespace) -> None:
    """Before all are connected a line on stderr says how far it is."""
    cpu_s, wall_s = time.process_time(), time.monotonic()
    while True:
        await asyncio.sleep(args.every)
        spent = 100 * (time.process_time() - cpu_s) / (time.monotonic() - wall_s)
        cpu_s, wall_s = time.process_time(), time.monotonic()
        if told.is_set():
            output.show(_shown("report", report(fleet), args, cpu_pct=round(spent, 1)))
        else:
            error = fleet.figures.last_error
            print(f"{fleet.connected} of {args.gateways} are connected{error and ': ' + error}", file=sys.stderr)


def _shown(name: str, one: Any, args: argparse.Namespace, **more: float) -> str:
    if args.json:
        return msgspec.json.encode({name: msgspec.structs.asdict(one) | more}).decode()
    return as_text(one) + "".join(f"; {key} {value:g}" for key, value in more.items())


def _names(args: argparse.Namespace) -> list[str]:
    width = max(4, len(str(args.gateways)))
    return [f"{args.prefix}{number:0{width}}" for number in range(1, args.gateways + 1)]


def _plan(args: argparse.Namespace) -> Plan:
    plan = Plan(args.rate, args.points, args.room, args.backfill, args.ack, args.protocol, args.faults, args.seed)
    return replace(plan, version=version("oc-agent"))


def _course(args: argparse.Namespace) -> Course:
    return Course(args.start_spread, args.outage, args.events, args.drain)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f'"{text}" is no number above 0')
    return int(text)


def _points(text: str) -> int:
    if _count(text) > MAX_POINTS:
        raise argparse.ArgumentTypeError(f"a message of this fleet has {MAX_POINTS} readings at the most")
    return int(text)


def _above_0(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f'"{text}" is no number above 0')
    return number


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise argparse.ArgumentTypeError(f'"{text}" begins no gateway id: write a-z, 0-9 and -, at most 51 of them')
    return text


def _outages(text: str) -> Outages:
    try:
        return Outages.parse(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def _faults(text: str) -> MessageFaults:
    try:
        return MessageFaults.parse(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from err
