"""A table of registers as people have it in a spreadsheet (CSV): from its text to the points of a Modbus profile. Pure.

Promises: every problem is named with its line; a cell that is not understood is passed on as text, for the loader of
profiles to refuse. Must not know: files, how a profile is written.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from io import StringIO
from typing import Any

import msgspec

from agent.cli.messages import tr
from drivers.tomlfile import Problem

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_PRINTED = re.compile(r"([0134])(\d{4,5})")
_TABLE_OF_DIGIT = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_FLAGS = {"yes": True, "true": True, "1": True, "có": True, "no": False, "false": False, "0": False, "không": False}


def _text(cell: str) -> Any:
    return cell


def _number(cell: str) -> Any:
    """The number, or the cell itself where it is none."""
    if _HEX.fullmatch(cell):
        return int(cell, 16)
    if cell.removeprefix("-").isascii() and cell.removeprefix("-").isdigit():
        return int(cell)
    return float(cell) if _NUMBER.fullmatch(cell) else cell


def _flag(cell: str) -> Any:
    return _FLAGS.get(cell.casefold(), cell)


def _bits(cell: str) -> Any:
    lowest, dash, highest = cell.partition("-")
    return [_number(lowest.strip()), _number(highest.strip() if dash else lowest.strip())]


def _numbers(cell: str) -> Any:
    return [_number(part) for part in re.split(r"[;|\s]+", cell)]


def _names(cell: str) -> Any:
    pairs = [part.partition("=") for part in re.split(r"[;|]", cell) if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        return cell
    return {raw.strip(): name.strip() for raw, _, name in pairs}


COLUMNS: Mapping[str, Callable[[str], Any]] = {
    "name": _text, "table": _text, "address": _number, "type": _text, "unit": _text,
    "scale": _number, "offset": _number, "decimals": _number, "min": _number, "max": _number,
    "interval_s": _number, "word_order": _text, "byte_order": _text, "bits": _bits, "length": _number,
    "layout": _text, "fraction_bits": _number, "counter": _flag, "optional": _flag, "valid_if": _text,
    "not_available": _numbers, "enum": _names, "label_vi": _text, "label_en": _text,
}  # fmt: skip
"""The columns that there may be, and what their cells mean. Most are keys of a `[[point]]`."""
NEEDED = ("name", "table", "address", "type")


class Registers(msgspec.Struct):
    """The points as a profile file would have them, the line of each, and what is wrong with the table."""

    points: list[dict[str, Any]]
    lines: list[int]
    missing: list[str]
    problems: list[Problem]


def read_registers(text: str, file: str, *, literal_addresses: bool = False) -> Registers:
    """The points of a CSV `text` with a head of column names; `file` is its name in problems.

    The cells stand between commas, semicolons or tabs, as its first line has them. Empty lines, and those that
    begin with #, are skipped. `literal_addresses`: 40001 is meant to be 40001 on the wire.
    """
    rows = list(_rows(text))
    head_line, head = rows[0] if rows else (1, [])
    names = [cell.strip().casefold() for cell in head]
    found = Registers([], [], [name for name in NEEDED if name not in names], [])
    found.problems += _of_head(names, found.missing, file, head_line)
    for line, cells in rows[1:]:
        found.problems += _of_row(names, cells, file, line)
        row = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
        found.problems += _of_cells(row, file, line, literal_addresses=literal_addresses)
        found.points.append(_point(row))
        found.lines.append(line)
    return found


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line that it begins on, from 1."""
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    reader = csv.reader(StringIO(text), delimiter=max(",;\t", key=first.count))
    line = 1
    for cells in reader:
        if any(cell.strip() for cell in cells) and not cells[0].startswith("#"):
            yield line, cells
        line = reader.line_num + 1


def _of_head(names: Sequence[str], missing: Sequence[str], file: str, line: int) -> Iterator[Problem]:
    for name in missing:
        what = tr("there is no such column")
        yield Problem(
            file, line, name, what, tr("the first line names the columns: {names} …", names=", ".join(NEEDED))
        )
    for i, name in enumerate(names):
        if name in names[:i]:
            yield Problem(file, line, name, tr("two columns have this name"), tr("remove one of them"))
        elif name not in COLUMNS:
            close = get_close_matches(name, COLUMNS, 1)
            known = tr("known are: {names}", names=", ".join(COLUMNS))
            fix = tr("did you mean `{name}`?", name=close[0]) if close else known
            yield Problem(file, line, name or "—", tr("is not a known column"), fix)


def _of_row(names: Sequence[str], cells: Sequence[str], file: str, line: int) -> Iterator[Problem]:
    if any(cell.strip() for cell in cells[len(names) :]):
        what = tr("has {cells} cells, and there are {columns} columns", cells=len(cells), columns=len(names))
        yield Problem(file, line, "(line)", what, tr('write "quotes" around a cell that has a comma in it'))


def _of_cells(row: Mapping[str, str], file: str, line: int, *, literal_addresses: bool) -> Iterator[Problem]:
    def problem(key: str, what: str, fix: str) -> Problem:
        return Problem(file, line, key, what, fix)

    if ("min" in row) != ("max" in row):
        yield problem("range", tr("has one end only"), tr("write both `min` and `max`, or neither"))
    for name, cell in row.items():
        if COLUMNS.get(name) is _number and _COMMA.fullmatch(cell):
            what = tr("is {cell}: a comma in a number may be either", cell=cell)
            yield problem(_key(name), what, tr("write a decimal point, and nothing between thousands"))
    if printed := _printed(row):
        address, table, wire = printed
        if wire > 0xFFFF or not literal_addresses:
            what = tr("is {address}: a number of the manual, not of the wire", address=address)
            convert = tr("write table {table}, address {wire}", table=table, wire=wire)
            really = tr("if the device really wants {address}: --literal-addresses", address=address)
            yield problem("address", what, convert if len(address) > 5 else f"{convert}; {really}")


def _printed(row: Mapping[str, str]) -> tuple[str, str, int] | None:
    """An address as manuals print it: itself, the table that its first digit means, and the address on the wire."""
    address, said = row.get("address", ""), row.get("table", "")
    match = _PRINTED.fullmatch(address)
    if match is None or int(match[2]) == 0:
        return None
    table = _TABLE_OF_DIGIT[match[1]]
    certain = len(address) > 5 or match[1] == "0" or said not in _TABLE_OF_DIGIT.values()
    return (address, table, int(match[2]) - 1) if certain or table == said else None


def _point(row: Mapping[str, str]) -> dict[str, Any]:
    cells = {name: COLUMNS[name](cell) for name, cell in row.items() if name in COLUMNS}
    label = {language: cells.pop(f"label_{language}") for language in ("vi", "en") if f"label_{language}" in cells}
    ends = [cells.pop(name) for name in ("min", "max") if name in cells]
    return cells | ({"range": ends} if len(ends) == 2 else {}) | ({"label": label} if label else {})


def _key(column: str) -> str:
    return "range" if column in ("min", "max") else column
