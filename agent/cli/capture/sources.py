"""From the command line to a capture: of a device of the configuration, or of one that nothing is known of."""

import argparse
import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from agent import __version__
from agent.cli.borrowing import borrowed
from agent.cli.capture.recording import Exchange
from agent.cli.capture.redaction import Redaction, step_of
from agent.cli.capture.taking import device_exchanges, heard_exchanges, register_exchanges
from agent.cli.capture.writing import Entry, bare_entry, capture_text, entry
from agent.cli.messages import tr
from agent.cli.output import Failed
from agent.configuration import load_configuration
from agent.settings import DeviceSettings, LinkSettings
from drivers.errors import LinkDown
from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import TABLES, Table
from drivers.profile import Profile
from drivers.serial.profile import SerialProfile
from drivers.serial_line import SerialLine

SECONDS_MAX = 3600.0
_AS_RTU = ("mbap", "ascii")
_BLOCK = re.compile(r"(\w+):(\d+)(?:-(\d+))?")
REGISTERS_MAX = 2000


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """A capture that is ready to be written. `lines` are for people, `warnings` for stderr."""

    model: str
    text: str
    exchanges: int
    notes: list[str]
    warnings: list[str]
    lines: list[str] = []
    registers: dict[str, dict[str, int]] = {}


def captured(args: argparse.Namespace) -> Captured:
    """Capture what the arguments say; raises `Failed`, `ConfigError`."""
    for option in ("seconds", "listen"):
        value = getattr(args, option)
        if value is not None and not 0 < value <= SECONDS_MAX:
            raise Failed(tr("--{option}: write seconds, at most {most}", option=option, most=f"{SECONDS_MAX:g}"))
    if not 1 <= args.rounds <= 1000:
        raise Failed(tr("--rounds: write 1 to {most}", most=1000))
    try:
        if args.device:
            return _of_device(args)
        if args.registers:
            return _of_registers(args)
        if args.port and args.listen:
            return _of_stream(args)
    except LinkDown as err:
        hint = tr("`oc-agent ports` says who holds a port; a device of the running agent is captured by its name")
        raise Failed(f"{err}\n  -> {hint}") from err
    raise Failed(tr("what of it? write --listen SECONDS, or --registers holding:0-20"))


def _of_device(args: argparse.Namespace) -> Captured:
    settings = load_configuration(args.config).settings
    device = next((one for one in settings.devices if one.name == args.device), None)
    if device is None:
        known = ", ".join(one.name for one in settings.devices)
        what = tr('there is no device "{name}" that is enabled; there are: {known}', name=args.device, known=known)
        raise Failed(what)
    link = next(one for one in settings.links if one.name == device.link)
    with borrowed(settings, link, "capture"):
        found = asyncio.run(device_exchanges(device, link, args.rounds, args.seconds))
    return _told(device, link, found, raw=args.raw)


def _told(device: DeviceSettings, link: LinkSettings, found: Sequence[Exchange], *, raw: bool) -> Captured:
    if not any(one.response for one in found):
        raise Failed(tr("{name} said nothing: try `oc-agent read {name}`", name=device.name))
    notes: Counter[str] = Counter()
    kept: list[Exchange] = []
    for one in found:
        if one.response or _is_step(device.profile, one):
            kept.append(one)
        else:
            notes["left out: requests without an answer"] += 1
    if not raw:
        redaction = Redaction(device.profile)
        kept = list(filter(None, map(redaction.redacted, kept)))
        notes += redaction.notes
    framed = ", framed as Modbus RTU" if getattr(link.options, "framing", "") in _AS_RTU else ""
    entries: list[Entry] = []
    for one in dict.fromkeys(kept):
        told = entry(one, _source(framed), link.spec, device.profile)
        if told is None and raw:
            told = {**bare_entry(one, _source(framed)), "error": True}
        if told is None:
            notes["left out: answers that the profile does not understand"] += 1
        else:
            entries.append(told)
    said = [f"{what} ({count})" for what, count in notes.items() if count]
    if not entries:
        raise Failed(tr("nothing of what came can be kept: {notes}", notes="; ".join(said)))
    return Captured(
        model=device.profile_name.rpartition("/")[2].removesuffix(".toml"),
        text=capture_text(entries, [*(["Not redacted."] if raw else []), *(f"{one}." for one in said)]),
        exchanges=len(entries),
        notes=said,
        warnings=[_unredacted()] if raw else [tr("redacted: {what}", what=one) for one in said],
    )


def _of_stream(args: argparse.Namespace) -> Captured:
    options = SerialLine(port=args.port, baud=args.baud, parity=args.parity, stop_bits=args.stop_bits)
    found = asyncio.run(heard_exchanges(options, args.listen))
    if not found:
        raise Failed(tr("nothing came in {seconds} s: another baud rate, or it must be asked", seconds=args.listen))
    setting = f", {args.baud} 8{args.parity}{args.stop_bits}"
    entries = [bare_entry(one, _source(setting)) for one in found]
    return Captured(
        model="unknown",
        text=capture_text(entries, ["Not redacted: its profile is not known."]),
        exchanges=len(entries),
        notes=[],
        warnings=[_unredacted()],
    )


def _of_registers(args: argparse.Namespace) -> Captured:
    if not 1 <= args.unit <= (247 if args.port else 255):
        raise Failed(tr("--unit: write 1 to {most}", most=247 if args.port else 255))
    blocks = _blocks(args.registers)
    found = asyncio.run(register_exchanges(_options(args), args.unit, blocks))
    if not found:
        raise Failed(tr("unit {unit} said nothing: try `oc-agent scan`", unit=args.unit))
    registers: dict[str, dict[str, int]] = {}
    for request, _, words in found:
        for at, word in enumerate(words or ()):
            registers.setdefault(request.table, {})[str(request.address + at)] = word
    entries = [bare_entry(one, _source(", read register by register")) for _, one, _ in found]
    return Captured(
        model="unknown",
        text=capture_text(entries, ["Not redacted: its profile is not known."]),
        exchanges=len(entries),
        notes=[],
        warnings=[_unredacted()],
        lines=[
            f"{table} {address:>5}  {word:04X}  {word:>5}"
            for table, words in registers.items()
            for address, word in words.items()
        ],
        registers=registers,
    )


def _options(args: argparse.Namespace) -> ModbusOptions:
    if args.port:
        return ModbusOptions(
            transport="rtu", port=args.port, baud=args.baud, parity=args.parity, stop_bits=args.stop_bits
        )
    host, colon, port = args.tcp.rpartition(":")
    if colon and not port.isdecimal():
        raise Failed(tr("{option}: {why}", option="--tcp", why=port))
    return ModbusOptions(transport="tcp", host=host if colon else args.tcp, given_port=int(port) if colon else None)


def _blocks(text: str) -> list[tuple[Table, int, int]]:
    blocks: list[tuple[Table, int, int]] = []
    for part in text.split(","):
        found = _BLOCK.fullmatch(part.strip())
        table = next((one for one in TABLES if found and one == found[1]), None)
        first = int(found[2]) if found else 0
        last = int(found[3] or first) if found else 0
        if table is None or not first <= last <= 0xFFFF or last - first >= REGISTERS_MAX:
            raise Failed(tr("--registers: {part} is none: write like holding:0-20,input:0-9", part=part))
        blocks.append((table, first, last - first + 1))
    return blocks


def _is_step(profile: Profile, exchange: Exchange) -> bool:
    return isinstance(profile, SerialProfile) and step_of(profile, exchange.request) is not None


def _source(more: str) -> str:
    """Never with an address, a name or a port: they would tell where it was."""
    return f"captured with oc-agent {__version__}, {datetime.now(UTC):%Y-%m-%d}{more}"


def _unredacted() -> str:
    return tr("nothing was redacted: look for names, serial numbers and places before you send the file to anybody")
