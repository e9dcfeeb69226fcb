"""From the command line to what is scanned and how."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, get_args

from agent.cli.borrowing import borrowed
from agent.cli.messages import tr
from agent.cli.output import Failed
from agent.cli.scan import hosts
from agent.cli.scan.bus import Terms
from agent.cli.scan.course import (
    ALL_UNITS,
    BAUDS,
    LIKELY_UNITS,
    PARITIES,
    QUICK,
    TIMEOUT_S,
    LineSetting,
    Parity,
    in_likely_order,
    unit_list,
)
from agent.cli.scan.targets import BusTarget, HostTarget, Profiles, SubnetTarget, Target
from agent.configuration import load_configuration
from agent.settings import LinkSettings
from drivers.catalogue import ProfileError, find_profile, load_profile, profile_folders, profile_names
from drivers.modbus.options import ModbusOptions
from drivers.profile import Profile
from drivers.registry import driver_specs
from drivers.serial_line import SerialLine

T = TypeVar("T")
Line = AbstractContextManager[object]
_TIMEOUT_MAX_S = 10.0


def all_profiles(beside: Path) -> dict[str, Profile]:
    """Every profile that can be read, by name."""
    folders = profile_folders(beside)
    found: dict[str, Profile] = {}
    for name in profile_names(folders):
        path = find_profile(name, beside, folders)
        try:
            if path is not None:
                found[name] = load_profile(path, driver_specs())
        except ProfileError:
            continue  # `oc-agent profiles list` tells of it
    return found


def chosen(args: argparse.Namespace, profiles: Profiles) -> tuple[Target, Line]:
    """What to scan, and the context in which the line is ours. Raises `Failed`, `ConfigError`."""
    if args.timeout is not None and not 0 < args.timeout <= _TIMEOUT_MAX_S:
        raise Failed(tr("--timeout: write seconds, at most {most}", most=f"{_TIMEOUT_MAX_S:g}"))
    if not 0 <= args.listen <= 600:
        raise Failed(tr("--listen: write seconds, at most {most}", most=600))
    if args.port:
        options = ModbusOptions(transport="rtu", port=args.port)
        return BusTarget(options, _terms(args, []), profiles, ask=args.ask), nullcontext()
    if args.link:
        return _of_link(args, profiles)
    if args.subnet:
        found = _parsed("--subnet", args.subnet, hosts.subnet_hosts)
        return SubnetTarget(args.subnet, found, args.tcp_port, profiles, _tcp_timeout(args)), nullcontext()
    host, colon, port = args.tcp.rpartition(":")
    tcp_port = _parsed("--tcp", port, int) if colon else args.tcp_port
    options = ModbusOptions(transport="tcp", host=host if colon else args.tcp, given_port=tcp_port)
    return HostTarget(options, profiles, _tcp_units(args), _tcp_timeout(args)), nullcontext()


def _of_link(args: argparse.Namespace, profiles: Profiles) -> tuple[Target, Line]:
    settings = load_configuration(args.config).settings
    link = next((one for one in settings.links if one.name == args.link), None)
    if link is None:
        known = ", ".join(one.name for one in settings.links)
        raise Failed(tr('there is no link "{name}"; there are: {known}', name=args.link, known=known))
    devices = {one.unit: one.name for one in settings.on_link(link.name) if one.unit is not None}
    return _target(args, profiles, link, devices), borrowed(settings, link, "scan")


def _target(args: argparse.Namespace, profiles: Profiles, link: LinkSettings, devices: dict[int, str]) -> Target:
    options = link.options
    if isinstance(options, ModbusOptions):
        if options.is_serial:
            own = LineSetting(options.baud, options.parity, options.stop_bits)
            return BusTarget(options, _terms(args, [own]), profiles, args.ask, link.name, devices)
        units = _tcp_units(args) if options.numbered else _units(args)
        return HostTarget(options, profiles, units, args.timeout or options.timeout_s, link.name, devices)
    if isinstance(options, SerialLine) and options.port:
        own = LineSetting(options.baud, options.parity, options.stop_bits)
        plain = ModbusOptions(transport="rtu", port=options.port)
        return BusTarget(plain, _terms(args, [own]), profiles, args.ask, link.name)
    raise Failed(tr('link "{name}": only serial ports and Modbus can be scanned', name=link.name))


def _terms(args: argparse.Namespace, first: Sequence[LineSetting]) -> Terms:
    """Those of a bus; the settings `first` go before all others."""
    given = args.baud or args.parity
    if args.quick and not given:
        settings = list(QUICK)
    else:
        bauds = _parsed("--baud", args.baud, _bauds) if args.baud else BAUDS
        parities = _parsed("--parity", args.parity, _parities) if args.parity else PARITIES
        settings = in_likely_order(bauds, parities, args.stop_bits)
    ordered = settings if given else list(dict.fromkeys([*first, *settings]))
    timeout_s = args.timeout or TIMEOUT_S
    return Terms(settings=ordered, units=_units(args), timeout_s=timeout_s, listen_s=args.listen, everything=args.all)


def _units(args: argparse.Namespace) -> tuple[int, ...]:
    if args.units:
        return _parsed("--units", args.units, unit_list)
    return tuple(LIKELY_UNITS) if args.quick else ALL_UNITS


def _tcp_units(args: argparse.Namespace) -> tuple[int, ...]:
    if args.units:
        return _parsed("--units", args.units, unit_list)
    return hosts.QUICK_UNITS if args.quick else hosts.UNITS


def _tcp_timeout(args: argparse.Namespace) -> float:
    return float(args.timeout or hosts.TIMEOUT_S)


def _bauds(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if not all(300 <= baud <= 4_000_000 for baud in found):
        raise ValueError(f"{text}: a baud rate is 300 to 4000000")
    return found


def _parities(text: str) -> list[Parity]:
    found: list[Any] = text.upper().split(",")
    if not set(found) <= set(get_args(Parity)):
        raise ValueError(f"{text}: a parity is N, E or O")
    return found


def _parsed(option: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as err:
        raise Failed(tr("{option}: {why}", option=option, why=err)) from err
