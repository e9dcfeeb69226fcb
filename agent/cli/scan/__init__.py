"""Find what is on a serial bus or behind an address: bauds, parities, unit ids, and which profile fits. Only reads.

A serial port or --link is listened to and asked as Modbus RTU; --tcp asks the units behind one host; --subnet looks for
Modbus TCP hosts, and does so only when it is named. Ctrl-C shows what was found so far.
"""

import argparse
import asyncio
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.messages import tr
from agent.cli.output import Failed, say, show_json, show_line
from agent.logs import as_error

if TYPE_CHECKING:
    from agent.cli.scan.finding import ScanReport
    from agent.cli.scan.targets import Target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("port", nargs="?", metavar="PORT", help="a serial port, as `oc-agent ports` lists it")
    where.add_argument("--link", metavar="NAME", help="a link of the configuration, also while the service runs")
    where.add_argument("--tcp", metavar="HOST[:PORT]", help="the units behind one host")
    where.add_argument("--subnet", metavar="NETWORK", help="the Modbus TCP hosts of 192.168.1.0/24, at most a /22")
    parser.add_argument("--baud", metavar="LIST", help="like 9600,19200; default: six of them, the commonest first")
    parser.add_argument("--parity", metavar="LIST", help="of N, E, O; default N,E")
    parser.add_argument("--stop-bits", type=int, choices=(1, 2), default=1)
    parser.add_argument("--units", metavar="LIST", help="like 1-32,40; default 1-247")
    parser.add_argument("--tcp-port", type=int, default=502, metavar="PORT", help="for --tcp and --subnet; default 502")
    parser.add_argument("--timeout", type=float, metavar="S", help="until an answer begins; default 0.2, TCP 0.5")
    parser.add_argument("--listen", type=float, default=2.0, metavar="S", help="at each baud before asking; default 2")
    parser.add_argument("--quick", action="store_true", help="only 9600 8N1 and 19200 8E1, units 1 to 32")
    parser.add_argument("--all", action="store_true", help="every setting to the end, whatever was found at others")
    parser.add_argument(
        "--ask", action="store_true", help="then as instruments and cameras that are not Modbus; not on a Modbus bus"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the [[link]] and [[device]] there")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    from agent.cli.scan.choosing import all_profiles, chosen
    from agent.cli.scan.finding import ScanReport, plain
    from agent.cli.scan.progress import duration
    from agent.cli.scan.telling import end_lines

    if args.write and args.write.exists():
        raise Failed(tr("{file} is there already: write another name", file=str(args.write)))
    profiles = all_profiles(args.config.parent)
    target, line = chosen(args, profiles)
    say(tr("at most {time}, if nothing answers; Ctrl-C shows what was found", time=duration(target.longest_s)))
    report = ScanReport(target=target.where, longest_s=round(target.longest_s, 1))
    code = _scan(target, line, report, as_json=args.json)
    target.finish(report)
    if args.json:
        show_json(plain(report))
    else:
        for text in end_lines(report):
            show_line(text)
    if args.write and report.toml:
        args.write.write_text(report.toml, encoding="utf-8")
        say(tr("written: {file}", file=str(args.write)))
    return code or (0 if report.is_something else 1)


def _scan(target: "Target", line: AbstractContextManager[object], report: "ScanReport", *, as_json: bool) -> int:
    """Scan while `line` is ours; the exit code, 0 where it went to its end. Raises `Failed` where nothing was found."""
    from agent.cli.scan.progress import Progress
    from agent.cli.scan.targets import scanned

    progress = Progress(target.longest_s, as_json=as_json)
    try:
        with line:
            asyncio.run(scanned(target, report, progress))
    except KeyboardInterrupt:
        return 130
    except Failed as err:
        if not report.is_something:
            raise
        progress.close()
        say(as_error(tr("error: {what}", what=err)))
        return 1
    finally:
        progress.close()
    return 0
