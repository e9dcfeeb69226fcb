"""Stand up one simulated device by its profile, without a configuration: on TCP, on RTU over TCP, or on a pty.

On TCP a Modbus device speaks Modbus TCP; a serial instrument or a camera is behind a serial server that passes bytes.
When it is there, one JSON line on stdout says where, and how to write that as a [[link]] of an agent.toml. SIGTERM and
SIGINT end it.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.catalogue import ProfileError, load_profile
from drivers.registry import driver_specs
from simulators.endpoints import free_port
from simulators.site import Site, SiteError, load_site
from simulators.verbs.profiles import profile_file
from simulators.verbs.serving import add_world_arguments, serve

HOST = "127.0.0.1"
LINK = "simulated"
DEFAULT_UNITS = {"modbus": 1}
"""Others have an address of their own where nothing is said."""


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
    site, link = one_device(args)
    (device,) = site.devices

    def ready(addresses: Mapping[str, str]) -> dict[str, Any]:
        about = {"device": device.name, "profile": args.profile, "unit": device.unit}
        return about | {"address": addresses[LINK], "link": link, "points": len(device.profile.point)}

    serve(site, args, ready)
    return 0


def one_device(args: argparse.Namespace) -> tuple[Site, dict[str, Any]]:
    """A site with this device only, and the keys of its link; raises `SiteError`."""
    file, kind = _profile(args.profile)
    link = {"name": LINK, "kind": kind, **_address(kind, args)}
    unit = args.unit if args.unit is not None else DEFAULT_UNITS.get(kind)
    device = {"name": args.name, "link": LINK, "profile": str(file)} | ({} if unit is None else {"unit": unit})
    return _read(f"[[link]]\n{_toml(link)}[[device]]\n{_toml(device)}"), link


def _profile(name: str) -> tuple[Path, str]:
    """The file of a profile, and the kind of driver that it is for; raises `SiteError`."""
    file = profile_file(name)
    try:
        return file, load_profile(file, driver_specs()).kind
    except ProfileError as err:
        raise SiteError(err.problems) from err


def _address(kind: str, args: argparse.Namespace) -> dict[str, Any]:
    if args.pty is not None:
        line = {"port": str(args.pty.absolute()), "baud": 9600}
        return ({"transport": "rtu"} if kind == "modbus" else {}) | line
    over_tcp = args.rtu_over_tcp is not None
    port = (args.rtu_over_tcp if over_tcp else args.tcp) or free_port(HOST)
    transport = {"transport": "rtu-over-tcp" if over_tcp else "tcp"} if kind == "modbus" else {}
    return transport | {"host": HOST, "tcp_port": port}


def _read(text: str) -> Site:
    """As `oc-sim run` reads it from a file."""
    with tempfile.TemporaryDirectory(prefix="oc-sim-device-") as folder:
        file = Path(folder) / "site.toml"
        file.write_text(text, encoding="utf-8")
        return load_site(file)


def _toml(keys: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_quoted(value) if isinstance(value, str) else value}\n" for key, value in keys.items())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
