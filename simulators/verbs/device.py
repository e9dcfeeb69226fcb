"""Stand up one simulated device by its profile, without a configuration: on TCP, on RTU over TCP, or on a pty.

On TCP a Modbus device speaks Modbus TCP; a serial instrument or a camera is behind a serial server that passes bytes.
When it is there, one JSON line on stdout says where, and how to write that as a [[link]] of an agent.toml. SIGTERM and
SIGINT end it.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulators.site.one_device import HOST, Place, one_device
from simulators.site.reading import Site
from simulators.verbs.serving import add_world_arguments, serve

LINK = "simulated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", metavar="PROFILE", help="vendor/model, or a path ending in .toml")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--tcp", type=int, default=0, metavar="PORT", help=f"on {HOST}; default: a free port")
    where.add_argument("--rtu-over-tcp", type=int, metavar="PORT", help="RTU frames on TCP; 0: a free port")
    where.add_argument("--pty", type=Path, metavar="PATH", help="a serial port: a symlink to a pty")
    parser.add_argument("--unit", type=int, metavar="N", help="its address on the line; default 1 on Modbus")
    parser.add_argument("--name", default="device-1", help="its name in the truth; default device-1")
    add_world_arguments(parser)


def main(args: argparse.Namespace) -> int:
    site, link = site_of(args)
    (device,) = site.devices

    def ready(addresses: Mapping[str, str]) -> dict[str, Any]:
        about = {"device": device.name, "profile": args.profile, "unit": device.unit}
        return about | {"address": addresses[LINK], "link": link, "points": len(device.profile.point)}

    serve(site, args, ready)
    return 0


def site_of(args: argparse.Namespace) -> tuple[Site, dict[str, Any]]:
    """The site that is meant, and the keys of its link; raises `SiteError`."""
    return one_device(args.profile, args.name, args.unit, _place(args), link=LINK)


def _place(args: argparse.Namespace) -> Place:
    if args.pty is not None:
        return Place(port=args.pty)
    if args.rtu_over_tcp is not None:
        return Place(tcp_port=args.rtu_over_tcp, transport="rtu-over-tcp")
    return Place(tcp_port=args.tcp)
