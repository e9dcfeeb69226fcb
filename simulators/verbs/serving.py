"""What the verbs that serve devices share: their options, and serving until the signal to end."""

import argparse
import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import time
from pathlib import Path
from typing import Any

from drivers.api import Value
from drivers.tomlfile import Problem
from simulators.control.desk import Desk
from simulators.control.server import control_socket
from simulators.control.tally import Tally
from simulators.faults.fault import BadFault, Fault, parse_fault, parse_faults
from simulators.faults.schedule import Schedule
from simulators.kinds import serve_site
from simulators.output import show_line, stop_signal, wait_for
from simulators.problems import SiteError
from simulators.site.faults import check_on_site
from simulators.site.reading import Site
from simulators.values import BadValue
from simulators.values.script import follow_script
from simulators.world import Record, Served, TruthFile, World, forget, time_of_day_s

FLUSH_EVERY_S = 0.5

Ready = Callable[[Mapping[str, str]], dict[str, Any]]
"""What the first line says besides `ready`, `pid`, `seed` and `at`, from the real address of each link."""


def add_world_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, metavar="N", help="other values for another seed; default 0")
    at = "the time of day at the start, for light, warmth, tides; default: now"
    parser.add_argument("--at", type=_time_of_day, metavar="HH:MM", help=at)
    parser.add_argument("--truth", type=Path, metavar="FILE", help="append a JSON line for each value that was served")
    what = "what goes wrong: lost=0.02,late=0.02 of the answers, unplug=60 s apart on average; see docs/faults"
    parser.add_argument("--faults", type=_faults, default=[], metavar="LIST", help=what)
    one = 'one fault, like "no_reply on=meter-1 from=10 for=5"; may be given several times'
    parser.add_argument("--fault", type=_fault, action="append", default=[], metavar="TEXT", help=one)
    script = "values from a file: time_s,device,point,value or time_s,meter-1.voltage,…"
    parser.add_argument("--values", type=Path, metavar="FILE.csv", help=script)
    parser.add_argument("--interpolate", action="store_true", help="--values: straight lines between the numbers")
    parser.add_argument("--loop", action="store_true", help="--values: begin anew at the last time of the file")
    control = "a socket to set values and faults while it runs: see `oc-sim tell`"
    parser.add_argument("--control", type=Path, metavar="PATH", help=control)


@dataclass(frozen=True)
class Course:
    """What happens to the devices besides what the command line says: faults, and (at_s, device, point, value)."""

    faults: Sequence[Fault] = ()
    sets: Sequence[tuple[float, str, str, Value]] = ()


def serve(site: Site, args: argparse.Namespace, ready: Ready, course: Course = Course()) -> None:
    """Serve the devices of `site` until SIGTERM or SIGINT; raises `CannotServe` or `SiteError`."""
    faults = [*args.faults, *args.fault]
    _check_faults(faults, site)
    faults += course.faults
    args.seed = args.seed or 0
    with TruthFile(args.truth) if args.truth else nullcontext() as truth:
        start_s = time_of_day_s(World().wall_ms()) // 60 * 60 if args.at is None else args.at
        record = truth.record if truth else forget
        world = World(seed=args.seed, record=record, faults=Schedule(faults, args.seed), start_s=start_s)
        problem = asyncio.run(_serve(site, world, truth, args, ready, course))
    if problem is not None:
        raise problem


async def _serve(
    site: Site, world: World, truth: TruthFile | None, args: argparse.Namespace, ready: Ready, course: Course
) -> SiteError | None:
    """What is wrong in the script is given back: raised in here, it would come out of the lines' task groups."""
    tally = Tally()
    if args.control:
        world = replace(world, watch=tally.watch, record=_both(world.record, tally.record))
    async with stop_signal() as stop, AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(serve_site(site, world))
        try:
            scripted = _follow(args, world)
            _set_at(course, world)
        except SiteError as err:
            return err
        head = {"ready": True, "pid": os.getpid()} | ready(addresses) | {"seed": world.seed, "at": _hour(world)}
        if args.control:
            path = args.control.absolute()
            await stack.enter_async_context(control_socket(path, Desk(site, world, tally).answer))
            head["control"] = str(path)
        show_line(head | scripted)
        while not await wait_for(stop, FLUSH_EVERY_S if truth else None):
            if truth:
                truth.flush()
    return None


def _follow(args: argparse.Namespace, world: World) -> dict[str, int]:
    """Raises `SiteError`."""
    if args.values is None:
        return {}
    return {"scripted": follow_script(args.values, world.values, interpolate=args.interpolate, loop=args.loop)}


def _set_at(course: Course, world: World) -> None:
    """Raises `SiteError` where a value cannot be."""
    for at_s, device, point, value in course.sets:
        try:
            world.values.find(device, point).understand(value)
        except BadValue as err:
            raise SiteError([Problem("oc-sim", 0, "[[set]]", f"{device}.{point}", str(err))]) from err
        asyncio.get_running_loop().call_later(
            max(0.0, at_s - world.elapsed_s()), world.values.set, device, point, value
        )


def _both(one: Record, other: Record) -> Record:
    def record(served: Iterable[Served]) -> None:
        values = list(served)
        one(values)
        other(values)

    return record


def _hour(world: World) -> str:
    minutes = int(world.start_s or 0) // 60
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _check_faults(faults: Iterable[Fault], site: Site) -> None:
    for fault in faults:
        try:
            check_on_site(fault, site)
        except BadFault as err:
            raise SiteError([Problem("oc-sim", 0, "--fault", str(fault), str(err))]) from err


def _faults(text: str) -> list[Fault]:
    try:
        return parse_faults(text)
    except BadFault as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except BadFault as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def _time_of_day(text: str) -> float:
    try:
        at = time.fromisoformat(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(f'"{text}" is no time of day: write it like 12:30') from err
    return at.hour * 3_600 + at.minute * 60
