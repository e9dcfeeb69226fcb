"""Stand up a simulated device for every device of an agent's configuration, at the address that the file names.

TCP ports are opened on the host of the file, serial ports are symlinks to ptys. When all is there, one JSON line on
stdout says so, with the real addresses. SIGTERM and SIGINT end everything.
"""

import argparse
import asyncio
import os
from contextlib import nullcontext
from pathlib import Path

from simulators.faults import Faults
from simulators.kinds import serve_site
from simulators.output import show_line, stop_signal, wait_for
from simulators.site import Site, load_site
from simulators.world import TruthFile, World, forget

FLUSH_EVERY_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the agent's agent.toml")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other values for another seed; default 0")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="append a JSON line for each value that was served")
    what = "what goes wrong on serial lines: lost=0.02,doubled=0.02,late=0.02 of the messages, unplug=60 s on average"
    parser.add_argument("--faults", type=_faults, default=Faults(), metavar="LIST", help=what)


def _faults(text: str) -> Faults:
    try:
        return Faults.parse(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def main(args: argparse.Namespace) -> int:
    site = load_site(args.config)
    with TruthFile(args.truth) if args.truth else nullcontext() as truth:
        world = World(seed=args.seed, record=truth.record if truth else forget, faults=args.faults)
        asyncio.run(_serve(site, world, truth))
    return 0


async def _serve(site: Site, world: World, truth: TruthFile | None) -> None:
    async with stop_signal() as stop, serve_site(site, world) as addresses:
        points = sum(len(device.profile.point) for device in site.devices)
        ready = {"ready": True, "pid": os.getpid(), "links": addresses, "devices": len(site.devices), "points": points}
        show_line(ready | {"seed": world.seed})
        while not await wait_for(stop, FLUSH_EVERY_S if truth else None):
            if truth:
                truth.flush()
