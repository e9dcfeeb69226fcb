"""Serve a capture byte for byte: each request that it shows gets the answer that it shows, and nothing else.

On a pty, or on TCP as a serial server that passes bytes on (Modbus: RTU over TCP). What a device sends without being
asked comes in turn, one each --every seconds. The capture was made with a real device or after a document, so unlike
`oc-sim device` this does not believe the profile. One JSON line on stdout says where. SIGTERM and SIGINT end it.
"""

import argparse
import asyncio
import os
from itertools import cycle
from pathlib import Path

from drivers.serial_line import SerialLine
from simulators.captures.reading import capture_file, captured
from simulators.captures.replaying import Replaying
from simulators.endpoints import CannotServe, free_port
from simulators.lines.line import Line, Members
from simulators.lines.opening import open_line
from simulators.lines.speaking import Answer
from simulators.output import show_line, stop_signal
from simulators.site.profiles import profile_file
from simulators.world import World

HOST = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "capture", metavar="CAPTURE", help="a .capture.toml, or vendor/model for the one that is shipped"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--tcp", type=int, default=0, metavar="PORT", help=f"on {HOST}; default: a free port")
    where.add_argument("--pty", type=Path, metavar="PATH", help="a serial port: a symlink to a pty")
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="S", help="between what it sends unasked; default 1 s"
    )
    parser.add_argument("--sound", action="store_true", help="leave out what a reader must refuse")


def main(args: argparse.Namespace) -> int:
    is_file = args.capture.endswith(".capture.toml")
    file = Path(args.capture) if is_file else capture_file(profile_file(args.capture))
    replaying = Replaying(captured(file, refused=not args.sound))
    if not replaying.requests and not replaying.streams:
        raise CannotServe(f"{file} shows nothing that could be served")
    asyncio.run(_serve(replaying, file, args))
    return 0


async def _serve(replaying: Replaying, file: Path, args: argparse.Namespace) -> None:
    port = args.tcp or free_port(HOST)
    options = SerialLine(port=str(args.pty.absolute())) if args.pty else SerialLine(host=HOST, tcp_port=port)
    members = Members("replay", ("capture",), lambda: replaying, World())
    async with stop_signal() as stop, open_line(options, members) as line:
        counts = {"requests": len(replaying.requests), "streams": len(replaying.streams)}
        show_line({"ready": True, "pid": os.getpid(), "address": line.address, "capture": str(file)} | counts)
        sending = asyncio.create_task(_send_for_ever(line, replaying, args.every), name="streams")
        await stop.wait()
        sending.cancel()


async def _send_for_ever(line: Line, replaying: Replaying, every_s: float) -> None:
    for frame in cycle(replaying.streams):
        await asyncio.sleep(every_s)
        line.say(Answer("capture", frame))
