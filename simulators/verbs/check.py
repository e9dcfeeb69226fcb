"""Run a gateway under scripted faults, and say whether what came of it is what the scenario expects.

COMMAND is any gateway. In COMMAND, and in files of the scenario, {config} is an agent.toml for the devices of the
scenario, {broker_host} {broker_port} {broker_url} the way to the broker, {address:LINK} where a link is, {data} {run}
{folder} folders of its own; the same stand in its environment as OC_SIM_CONFIG, OC_SIM_BROKER_PORT, …

SCENARIO is a file, or the name of one that came with oc-sim (--list). stdout is the report, stderr says what goes on.
Exit codes: 0 all is as expected, 1 it is not, 2 usage, 78 a scenario that cannot be understood.
"""

import argparse
import asyncio
import sys
from collections.abc import Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from drivers.tomlfile import Problem
from simulators.faults.catalogue import FAULTS
from simulators.output import show_text, stop_signal
from simulators.problems import SiteError
from simulators.scenario.junit import as_junit
from simulators.scenario.placeholders import Places
from simulators.scenario.report import CheckReport, ScenarioReport, as_json, as_text
from simulators.scenario.running import Options, read, run_scenario
from simulators.scenario.shipped import scenario_file, scenario_names

TAKES_COMMAND = True
INTERRUPTED = 130
APART_S = 0.8
"""Scenarios that run at once begin so long after one another: a start takes more of the CPU than all that follows."""
KINDS = ("text", "json", "junit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "oc-sim check [options] SCENARIO… -- COMMAND…"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help="a .toml file, or a name of --list")
    what = "a report into FILE (- : stdout), more than once for more than one; default: text on stdout"
    parser.add_argument(
        "--report", nargs=2, action="append", default=[], metavar=("text|json|junit", "FILE"), help=what
    )
    parser.add_argument("--seed", type=int, metavar="N", help="in place of the seed of the file")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--speed", type=_positive, default=1.0, metavar="X", help="X times as fast: divides all times")
    length.add_argument("--seconds", type=_positive, metavar="N", help="as fast as it must be to last N seconds")
    length.add_argument("--short", action="store_true", help="each as short as it says that it still means something")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at once; they mostly wait")
    parser.add_argument("--keep", action="store_true", help="keep the work folders, with logs and databases")
    parser.add_argument("--strict", action="store_true", help="a scenario that is skipped is a failure")
    parser.add_argument("--list", action="store_true", help="the scenarios that came with oc-sim")
    parser.add_argument("--list-faults", action="store_true", help="every fault: where it can be, and what it does")


def main(args: argparse.Namespace) -> int:
    if args.list_faults or args.list:
        show_text("\n".join(_faults() if args.list_faults else scenario_names()))
        return 0
    if not args.scenario or not args.command or any(kind not in KINDS for kind, _ in args.report):
        print("usage: oc-sim check [--report text|json|junit FILE] SCENARIO… -- COMMAND…", file=sys.stderr)
        return 2
    options = Options(seed=args.seed, seconds=args.seconds, speed=args.speed, short=args.short, keep=args.keep)
    files = _readable(args.scenario, options)
    scenarios = asyncio.run(_until_stopped(_check(files, args.command, options, max(1, args.jobs))))
    if scenarios is None:
        return INTERRUPTED
    report = CheckReport(command=args.command, scenarios=scenarios)
    for kind, file in args.report or [("text", "-")]:
        _write(report, kind, file)
    return 0 if report.good(strict=args.strict) else 1


async def _until_stopped(checking: Coroutine[Any, Any, Sequence[ScenarioReport]]) -> Sequence[ScenarioReport] | None:
    async with stop_signal() as stop:
        check = asyncio.create_task(checking, name="check")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait((check, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not check.done():
            check.cancel()
            await asyncio.wait((check,))
        return None if check.cancelled() else check.result()


async def _check(
    files: Sequence[Path], command: Sequence[str], options: Options, jobs: int
) -> Sequence[ScenarioReport]:
    """In the order of the files, `jobs` of them at once, the longest first."""
    places, starts = asyncio.Semaphore(jobs), asyncio.Lock()

    async def one(number: int, file: Path) -> ScenarioReport:
        who = f"[{number}/{len(files)}] {file.stem}"
        async with places:
            async with starts:
                await asyncio.sleep(APART_S if jobs > 1 else 0.0)
            _say(who)
            report = await run_scenario(file, command, options, partial(_say_of, who) if jobs > 1 else _say)
            _say(f"{who}: {report.outcome}")
        return report

    numbered = list(enumerate(files, 1))
    if jobs > 1:
        numbered.sort(key=lambda one: read(one[1], Places.nowhere(), options).keys.length_s, reverse=True)
    async with asyncio.TaskGroup() as tasks:
        running = {number: tasks.create_task(one(number, file), name=file.stem) for number, file in numbered}
    return [running[number].result() for number in sorted(running)]


def _say_of(who: str, text: str) -> None:
    _say(f"{who} {text}")


def _readable(names: Sequence[str], options: Options) -> list[Path]:
    """The files, all read once: nothing runs for an hour before the last is found wrong. Raises `SiteError`."""
    problems: list[Problem] = []
    files = []
    for name in names:
        try:
            file = scenario_file(name)
            read(file, Places.nowhere(), options)
            files.append(file)
        except SiteError as err:
            problems.extend(err.problems)
    if problems:
        raise SiteError(problems)
    return files


def _write(report: CheckReport, kind: str, file: str) -> None:
    data = {"text": lambda: (as_text(report) + "\n").encode(), "json": lambda: as_json(report) + b"\n"}
    content = data.get(kind, lambda: as_junit(report))()
    if file == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        Path(file).write_bytes(content)


def _faults() -> Iterator[str]:
    for kind in sorted(FAULTS.values(), key=lambda one: (sorted(one.places), one.name)):
        told = ", ".join(f"{name} = {one.default:g}" for name, one in kind.parameters.items())
        yield f"{kind.name:<15} {'/'.join(sorted(kind.places)):<13} {kind.what}" + (f"   ({told})" if told else "")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError("write a number above 0")
    return number
