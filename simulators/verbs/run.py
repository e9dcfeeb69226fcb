"""Stand up a simulated device for every device of an agent's configuration, or of a scenario.

TCP ports are opened on the host of the file, serial ports are symlinks to ptys. When all is there, one JSON line on
stdout says so, with the real addresses. SIGTERM and SIGINT end everything.

Of a scenario its devices stand up, with their faults and values, at its times from now on; what happens to the uplink
and the host of a gateway is left out, for there is none: `oc-sim check` has both.
"""

import argparse
import tempfile
from pathlib import Path

from simulators.scenario.placeholders import Places
from simulators.scenario.reading import read_scenario
from simulators.scenario.shipped import scenario_file
from simulators.site.reading import load_site
from simulators.verbs.serving import Course, add_world_arguments, serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, metavar="FILE", help="the agent's agent.toml")
    what.add_argument("--scenario", metavar="SCENARIO", help="a .toml file, or a name of `oc-sim check --list`")
    add_world_arguments(parser)


def main(args: argparse.Namespace) -> int:
    if args.scenario:
        return _scenario(args)
    site = load_site(args.config)
    points = sum(len(device.profile.point) for device in site.devices)
    serve(site, args, lambda addresses: {"links": addresses, "devices": len(site.devices), "points": points})
    return 0


def _scenario(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="oc-sim-run-") as text:
        folder = Path(text)
        places = Places(folder, folder / "data", folder / "run")
        scenario = read_scenario(scenario_file(args.scenario), places, seed=args.seed)
        args.seed = scenario.keys.seed
        about = {
            "scenario": scenario.name,
            "devices": [device.name for device in scenario.site.devices],
            "left_out": [str(fault) for where in ("uplink", "host") for fault in scenario.on(where)],
        }
        told = scenario.values
        if told is not None:
            args.values = args.values or scenario.file.parent / told.file
            args.interpolate, args.loop = told.interpolate, told.loop
        course = Course(scenario.on("site"), [(one.at_s, one.device, one.name, one.value) for one in scenario.sets])
        serve(scenario.site, args, lambda addresses: about | {"links": addresses}, course)
    return 0
