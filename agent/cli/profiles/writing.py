"""A Modbus profile as a file that people go on with: its keys in a good order, and comments. Pure."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from agent.cli.messages import tr
from drivers.tomltext import toml_value

_MANUAL = {"coil": 1, "discrete": 10_001, "input": 30_001, "holding": 40_001}
_LAST_PRINTED = 9_998
_COMMENT = "# "


def profile_name(vendor: str, model: str) -> str:
    """`vendor/model` as a profile is called: small letters, digits and hyphens."""
    return f"{_slug(vendor)}/{_slug(model)}"


def profile_text(data: Mapping[str, Any], table: str) -> str:
    """The file of a profile with these keys, made from the table of registers `table`."""
    return "\n".join((*_head(data, table), *(line for point in data["point"] for line in ("", *_point(point))))) + "\n"


def _head(data: Mapping[str, Any], table: str) -> Iterator[str]:
    name = profile_name(data["vendor"], data["model"])
    yield _COMMENT + tr("Made by `oc-agent profiles new` from {table}.", table=toml_value(table))
    yield _COMMENT + tr("Its place is profiles/{name}.toml beside agent.toml.", name=name)
    yield _COMMENT + tr('A device then says: profile = "{name}"', name=name)
    yield _COMMENT + tr("Before it is trusted: read the device, and compare each value with its display.")
    for key, value in data.items():
        if key not in ("point", "caveats"):
            yield f"{key} = {toml_value(value)}"
    yield "caveats = ["
    yield "  " + _COMMENT + tr("what the next person should know: factory baud rate and unit id, what must be set")
    yield from (f"  {toml_value(caveat)}," for caveat in data.get("caveats", ()))
    yield "]"
    yield from _further(data)


def _further(data: Mapping[str, Any]) -> Iterator[str]:
    """Keys that many devices need, as comments."""
    if "word_order" not in data:
        yield '# word_order = "little"  # ' + tr("where the low word of a long number comes first")
    yield "# max_registers = 125    # " + tr("the most that it answers at once")
    yield "# max_gap = 10           # " + tr("read over so many unused registers, where it answers for them")
    yield "# inter_frame_delay_ms = 50  # " + tr("where it needs a pause before the next request")


def _point(point: Mapping[str, Any]) -> Iterator[str]:
    yield "[[point]]"
    for key, value in point.items():
        line = f"{key} = {toml_value(value)}"
        first = _MANUAL.get(point["table"])
        if key == "address" and first and value <= _LAST_PRINTED:
            line += "  # " + tr("{number} in many manuals", number=f"{first + value:05}")
        yield line


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "x"
