"""Stand up a simulated device for every device of an agent's configuration, at the address that the file names.

TCP ports are opened on the host of the file, serial ports are symlinks to ptys. When all is there, one JSON line on
stdout says so, with the real addresses. SIGTERM and SIGINT end everything.
"""

import argparse
from pathlib import Path

from simulators.site import load_site
from simulators.verbs.serving import add_world_arguments, serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the agent's agent.toml")
    add_world_arguments(parser)


def main(args: argparse.Namespace) -> int:
    site = load_site(args.config)
    points = sum(len(device.profile.point) for device in site.devices)
    serve(site, args, lambda addresses: {"links": addresses, "devices": len(site.devices), "points": points})
    return 0
