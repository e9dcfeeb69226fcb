"""A broker of one's own on a free port of 127.0.0.1: mosquitto where it is installed, else the embedded one.

The embedded one speaks MQTT 3.1.1 only. Nothing is stored: a broker that has ended has forgotten everything. When it
takes connections, one JSON line on stdout says where. SIGTERM and SIGINT end it.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from simulators.brokers.broker import broker
from simulators.output import show_line, stop_signal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--embedded", action="store_true", help="the embedded one, also where mosquitto is installed")


def main(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="oc-sim-broker-") as folder:
        asyncio.run(_serve(Path(folder), embedded=args.embedded))
    return 0


async def _serve(folder: Path, *, embedded: bool) -> None:
    async with stop_signal() as stop, broker(folder, embedded=embedded) as one:
        head = {"ready": True, "pid": os.getpid(), "broker": one.url, "port": one.port}
        show_line(head | {"program": one.name, "protocol": one.protocol})
        await stop.wait()
