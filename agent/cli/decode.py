"""Show what bytes mean under a profile; needs no hardware and no configuration.

PROFILE is `vendor/model` or a path ending in .toml. Bytes are hexadecimal; blanks between them do not matter.
"""

import argparse

from agent.cli.messages import tr
from agent.cli.output import Failed, show_json, show_table, value_text, values_and_quality
from agent.cli.profiles.naming import found_profile
from drivers.errors import DriverError
from drivers.registry import driver_specs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", metavar="PROFILE")
    parser.add_argument("--request", metavar="HEX", help="the request that was answered: tells the addresses")
    parser.add_argument("--response", metavar="HEX", required=True)
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    _, profile = found_profile(args.profile, args.config.parent)
    request = None if args.request is None else _bytes("--request", args.request)
    response = _bytes("--response", args.response)
    try:
        readings = list(driver_specs()[profile.kind].decode(profile, request, response))
    except DriverError as err:
        if not args.json:
            raise Failed(str(err)) from err
        show_json({"error": {"kind": type(err).__name__, "message": str(err)}})
        return 1
    if args.json:
        show_json(values_and_quality(readings))
        return 0
    units = {point.name: point.unit for point in profile.point}
    rows = [[r.point, value_text(r.value), units[r.point], r.quality or tr("good")] for r in readings]
    show_table([tr("point"), tr("value"), tr("unit"), tr("quality")], rows)
    return 0


def _bytes(option: str, text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError as err:
        raise Failed(tr("{option} is not hexadecimal: write pairs like 01 04 00 0A", option=option)) from err
    if not data:
        raise Failed(tr("{option} is empty: write pairs like 01 04 00 0A", option=option))
    return data
