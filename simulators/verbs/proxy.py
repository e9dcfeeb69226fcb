"""Stand before a broker on 127.0.0.1 and let the connections to it go wrong, by a seed.

Each connection meets one of --faults that ends it, drawn anew each time, and sometimes one that only disturbs it:
cut, rst, half_open, refuse, blackhole end it; stall, slow, split disturb. A name that stands twice is drawn twice as
often. Without --faults everything passes. The same seed gives the same faults to the first, the second, the n-th
connection. The first line on stdout is JSON and says where to connect; at the end another one says what was done.
SIGTERM and SIGINT end it; SIGUSR1 lets nothing else go wrong from then on.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence

from simulators.output import show_line, stop_signal
from simulators.proxy.faults import NAMES, FaultName, drawn
from simulators.proxy.proxy import Proxy, proxy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--broker-port", type=int, required=True, metavar="PORT", help="the broker's port of 127.0.0.1")
    parser.add_argument("--faults", type=_faults, default=(), metavar="LIST", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--longest", type=float, default=1.0, metavar="S", help="no fault waits longer; default 1 s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other faults for another seed; default 0")


def main(args: argparse.Namespace) -> int:
    asyncio.run(_serve(args))
    return 0


async def _serve(args: argparse.Namespace) -> None:
    async with stop_signal() as stop, proxy(args.broker_port, seed=args.seed) as way:
        if args.faults:
            way.faults = drawn(args.seed, args.faults, max_s=args.longest)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, way.heal)
        show_line({"ready": True, "pid": os.getpid(), "port": way.port, "broker_port": args.broker_port})
        await stop.wait()
        show_line(_report(way))


def _report(way: Proxy) -> dict[str, object]:
    return {"connections": way.connections, "done": {name: count for name, count in way.done.items() if count}}


def _faults(text: str) -> Sequence[FaultName]:
    found: list[FaultName] = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        known = next((one for one in NAMES if one == name), None)
        if known is None:
            raise argparse.ArgumentTypeError(f'"{name}" is no fault: write some of {", ".join(NAMES)}')
        found.append(known)
    return found
