"""Write the raw frames of a real device into a capture file, without what could tell whose it is. Only reads.

DEVICE is one of the configuration, also while the service runs. --port or --tcp is for a device without a profile:
--listen records what it sends by itself, --registers reads registers of a Modbus device.
"""

import argparse
from pathlib import Path

from agent.cli.messages import tr
from agent.cli.output import Failed, say, show_json, show_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("device", nargs="?", metavar="DEVICE", help="name of a [[device]] of the configuration")
    where.add_argument("--port", metavar="PORT", help="a serial port")
    where.add_argument("--tcp", metavar="HOST[:PORT]", help="a Modbus TCP device; with --registers")
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--rounds", type=int, default=3, metavar="N", help="of all points of DEVICE; default 3")
    much.add_argument("--seconds", type=float, metavar="S", help="so long, in the place of --rounds")
    parser.add_argument("--listen", type=float, metavar="S", help="record what comes by itself at --port")
    parser.add_argument("--registers", metavar="LIST", help="read like holding:0-20,input:0-9")
    parser.add_argument("--unit", type=int, default=1, metavar="N", help="for --registers; default 1")
    parser.add_argument("--baud", type=int, default=9600, metavar="N", help="of --port; default 9600")
    parser.add_argument("--parity", choices=("N", "E", "O"), default="N", help="of --port; default N")
    parser.add_argument("--stop-bits", type=int, choices=(1, 2), default=1, help="of --port; default 1")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default MODEL.capture.toml in this folder")
    parser.add_argument("--raw", action="store_true", help="keep everything, also names and serial numbers")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    from agent.cli.capture.sources import captured

    found = captured(args)
    file = args.output or Path(f"{found.model}.capture.toml")
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(found.text)
    except FileExistsError as err:
        raise Failed(tr("{file} is there already: write another name", file=str(file))) from err
    except OSError as err:
        raise Failed(f"{file}: {err.strerror}") from err
    for line in found.warnings:
        say(line)
    if args.json:
        show_json({"file": str(file), "exchanges": found.exchanges, "notes": found.notes, "registers": found.registers})
        return 0
    for line in found.lines:
        show_line(line)
    show_line(tr("{file}: {count} exchanges", file=str(file), count=found.exchanges))
    return 0
