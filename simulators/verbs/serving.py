"""What the verbs that serve devices share: their options, and serving until the signal to end."""

import argparse
import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from simulators.faults.fault import BadFault, Fault, parse_faults
from simulators.faults.schedule import Schedule
from simulators.kinds import serve_site
from simulators.output import show_line, stop_signal, wait_for
from simulators.site import Site
from simulators.world import TruthFile, World, forget

FLUSH_EVERY_S = 0.5

Ready = Callable[[Mapping[str, str]], dict[str, Any]]
"""What the first line says besides `ready`, `pid` and `seed`, from the real address of each link."""


def add_world_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other values for another seed; default 0")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="append a JSON line for each value that was served")
    what = "what goes wrong: lost=0.02,late=0.02 of the answers, unplug=60 s apart on average; see docs/faults"
    parser.add_argument("--faults", type=_faults, default=(), metavar="LIST", help=what)


def serve(site: Site, args: argparse.Namespace, ready: Ready) -> None:
    """Serve the devices of `site` until SIGTERM or SIGINT; raises `CannotServe`."""
    with TruthFile(args.truth) if args.truth else nullcontext() as truth:
        world = World(seed=args.seed, record=truth.record if truth else forget, faults=Schedule(args.faults, args.seed))
        asyncio.run(_serve(site, world, truth, ready))


async def _serve(site: Site, world: World, truth: TruthFile | None, ready: Ready) -> None:
    async with stop_signal() as stop, serve_site(site, world) as addresses:
        show_line({"ready": True, "pid": os.getpid()} | ready(addresses) | {"seed": world.seed})
        while not await wait_for(stop, FLUSH_EVERY_S if truth else None):
            if truth:
                truth.flush()


def _faults(text: str) -> list[Fault]:
    try:
        return parse_faults(text)
    except BadFault as err:
        raise argparse.ArgumentTypeError(str(err)) from err
