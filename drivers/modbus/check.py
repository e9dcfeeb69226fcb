"""What single keys of a Modbus profile cannot show: points that cannot be asked for, or cannot be decoded. Pure."""

from drivers.modbus.profile import BIT_TABLES, ModbusPoint, ModbusProfile, Table
from drivers.modbus.types import TYPES
from drivers.tomlfile import Section

_SLICEABLE = ("u16", "u32", "u64", "bits", "bool")
_PRINTED: dict[Table, tuple[int, int]] = {"holding": (40_001, 49_999), "input": (30_001, 39_999)}


def check_profile(profile: ModbusProfile, section: Section) -> None:
    """Report points that cannot be asked for or decoded."""
    _check_probes(profile, section)
    _check_guards(profile, section)
    for point, place in zip(profile.point, section.children("point"), strict=True):
        _check_address(profile, point, place)
        if point.table in profile.readable:
            _check_readable(profile, point, place)
        _check_type(profile, point, place)
        _check_bits(point, place)
        _check_special(point, place)
        _check_meaning(point, place)


def _check_probes(profile: ModbusProfile, section: Section) -> None:
    names = [point.name for point in profile.point]
    for probe, place in zip(profile.probe, section.children("probe"), strict=True):
        if probe.point not in names:
            place.problem("point", f'the profile has no point "{probe.point}"', f"write one of: {', '.join(names)}")


def _check_guards(profile: ModbusProfile, section: Section) -> None:
    by_name = {point.name: point for point in profile.point}
    for point, place in zip(profile.point, section.children("point"), strict=True):
        guard = by_name.get(point.valid_if)
        if not point.valid_if:
            continue
        if guard is None or guard is point:
            place.problem("valid_if", f'"{point.valid_if}" is no other point of this profile', "write its name")
        elif guard.valid_if:
            place.problem("valid_if", f'"{guard.name}" has a `valid_if` itself', "a guard must stand for itself")
        elif guard.wire_type == "string":
            place.problem("valid_if", f'"{guard.name}" is a text', "a guard is a bool or a number")


def _check_readable(profile: ModbusProfile, point: ModbusPoint, place: Section) -> None:
    found = profile.readable_range(point.table, point.address)
    if found is None or point.address + point.registers - 1 > found[1]:
        ranges = ", ".join(f"{first} to {last}" for first, last in profile.readable[point.table])
        place.problem("address", f"is not wholly in what is `readable`: {ranges}", "correct the address, or `readable`")


def _check_address(profile: ModbusProfile, point: ModbusPoint, place: Section) -> None:
    first, last = _PRINTED.get(point.table, (1, 0))
    address = point.address
    if address > 0xFFFF:
        fix = f"write `address = {max(0, address % 100_000 - 1)}`, zero-based"
        place.problem("address", f"is {address}: there is no such address on the wire", fix)
    elif first <= address <= last and not profile.literal_addresses:
        fix = f"write `address = {address - first}`; if the device really wants {address}: `literal_addresses = true`"
        place.problem("address", f"is {address}: a number of the manual, not of the wire", fix)
    elif address + point.registers > 0x10000:
        place.problem("address", "the value goes past address 65535", "check `address` and `type`")


def _check_type(profile: ModbusProfile, point: ModbusPoint, place: Section) -> None:
    if point.table in BIT_TABLES:
        if point.type != "bool":
            place.problem("type", f"a {point.table} is one bit", 'write `type = "bool"`')
        for key in ("bits", "length", "not_available", "word_order", "byte_order"):
            if key in place.data:
                place.problem(key, f"means nothing for a {point.table}", "remove it")
        return
    if point.type == "string" and point.length is None:
        place.problem("length", "is missing: a string needs its length in registers", "add `length = 8`")
    if point.length is not None and point.type not in ("string", "bits", "bool"):
        place.problem("length", f"the type {point.type} has its own length", "remove it, or change `type`")
    if point.length is not None and point.type in ("bits", "bool") and point.length > 4:
        place.problem("length", "a status word has at most 4 registers", "write one point for each 4 registers")
    width = point.registers
    if width > profile.max_registers:
        what = f"takes {width} registers; one request has {profile.max_registers}"
        place.problem("type", what, "check `max_registers`")
    for pattern in point.not_available:
        if isinstance(pattern, tuple) and len(pattern) != width:
            place.problem("not_available", f"a list needs {width} words here", "or write one number for all words")


def _check_bits(point: ModbusPoint, place: Section) -> None:
    if point.bits is None or point.table in BIT_TABLES:
        return
    width = 16 * point.registers
    lowest, highest = point.bits
    if point.type not in _SLICEABLE:
        place.problem("bits", f"cannot be taken from {point.type}", f"write `type` as one of: {', '.join(_SLICEABLE)}")
    elif not 0 <= lowest <= highest < width:
        place.problem("bits", f"has {width} bits, 0 to {width - 1}", "write `bits = [lowest, highest]`")
    elif point.type == "bool" and lowest != highest:
        place.problem("bits", "a bool is one bit", f'write `bits = [{lowest}, {lowest}]`, or `type = "bits"`')


def _check_special(point: ModbusPoint, place: Section) -> None:
    """Keys that belong to one type each."""
    form = TYPES[point.type].form
    belong = {
        "layout": form == "text",
        "part": form == "sum", "weights": form == "sum", "part_max": form == "sum",
        "fraction_bits": form in ("whole", "bcd") and not point.enum,
        "counter": form in ("whole", "bcd") and point.type[0] != "i" and not point.bits and not point.enum,
    }  # fmt: skip
    for key, allowed in belong.items():
        if key in place.data and not allowed:
            place.problem(key, f"means nothing for this {point.type}", "remove it, or change `type`")
    if form != "sum":
        return
    if point.part is None or TYPES[point.part].form not in ("whole", "bcd", "float"):
        place.problem("part", "is missing or no number type: a sum has parts of one type", 'write `part = "u16"`')
    if not point.weights:
        place.problem("weights", "is missing: what each part counts", "write `weights = [1000, 1]`, one for each part")


def _check_meaning(point: ModbusPoint, place: Section) -> None:
    if point.type == "bool" or TYPES[point.type].form in ("text", "date"):
        for key in ("scale", "offset", "range", "decimals", "fraction_bits"):
            if key in place.data:
                place.problem(key, f"means nothing for a {point.type}", "remove it")
    named = TYPES[point.type].form in ("whole", "bcd", "flags")
    if point.enum and (not named or "scale" in place.data or "offset" in place.data):
        place.problem("enum", "names whole raw numbers", "use a whole-number type without `scale` and `offset`")
    for key in point.enum:
        if not key.removeprefix("-").isascii() or not key.removeprefix("-").isdigit():
            place.problem(f"enum.{key}", "is not a number", 'write the raw numbers as keys: `0 = "off"`')
