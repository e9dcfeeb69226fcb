"""Show one profile: the model, its source and caveats, how it is asked, and every point."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.layout import WIDTH, columns, unbroken, wrapped
from agent.cli.messages import in_language, tr
from agent.cli.output import show_json, show_line
from agent.cli.profiles.naming import found_profile
from drivers.profile import Point, Profile
from drivers.tomlfile import load_toml
from drivers.tomltext import toml_value

_SHOWN = frozenset(("name", "table", "address", "at", "type", "unit", "interval_s", "range", "label", "enum"))
"""Keys of a point that have a column or a line of their own."""
_INDENT = "    "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", metavar="PROFILE")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    path, profile = found_profile(args.profile, args.config.parent)
    if args.json:
        show_json({"profile": args.profile, "file": str(path), **msgspec.to_builtins(profile)})
        return 0
    written = load_toml(path).data
    for line in (*_head(path, profile, written), "", *_points(profile.point, written["point"])):
        show_line(line)
    return 0


def _head(path: Path, profile: Profile, written: Mapping[str, Any]) -> Iterator[str]:
    facts = [
        (tr("vendor"), [profile.vendor]),
        (tr("model"), [profile.model]),
        (tr("kind"), [profile.kind]),
        (tr("device"), list(profile.label.values())),
        (tr("source"), [profile.source]),
        (tr("caveats"), [f"* {caveat}" for caveat in profile.caveats]),
        (tr("settings"), list(_settings(written))),
        (tr("file"), [str(path)]),
    ]
    wide = 2 + max(len(name) for name, _ in facts)
    for name, texts in facts:
        for i, text in enumerate(texts):
            first = f"{'' if i else name:<{wide}}"
            yield from wrapped(text, first=first, rest=" " * (wide + 2))


def _settings(written: Mapping[str, Any]) -> Iterator[str]:
    """The keys of the kind, and how a link to the device is set, as the file says them."""
    for key, value in written.items():
        if key in Profile.__struct_fields__:
            continue
        if isinstance(value, dict):
            yield from (f"{key}.{inner} = {toml_value(one)}" for inner, one in value.items())
        else:
            yield f"{key} = {toml_value(value)}"


def _points(points: Sequence[Point], written: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    head = [tr("point"), tr("place"), tr("type"), tr("unit"), tr("every"), tr("range")]
    first, *rows = columns(head, [_row(point) for point in points], WIDTH)
    yield from first
    for point, lines, keys in zip(points, rows, written, strict=True):
        yield from lines
        for text in _beneath(point, keys):
            yield from wrapped(text, first=_INDENT, rest=_INDENT)


def _row(point: Point) -> list[str]:
    every = "—" if point.interval_s is None else f"{_number(point.interval_s)} s"
    extent = "—" if point.range is None else " … ".join(map(_number, point.range))
    return [point.name, _place(point), str(getattr(point, "type", point.wire_type)), point.unit, every, extent]


def _place(point: Point) -> str:
    """Table and address of Modbus, the byte of a frame; a dash where the kind says it in other keys."""
    if (address := getattr(point, "address", None)) is not None:
        return f"{getattr(point, 'table', '')} {address}".strip()
    at = getattr(point, "at", None)
    return "—" if at is None else tr("byte {number}", number=at)


def _beneath(point: Point, written: Mapping[str, Any]) -> Iterator[str]:
    """The labels, the names of raw numbers, and whatever else the file says of the point."""
    if point.label:
        yield " · ".join(dict.fromkeys((in_language(point.label), *point.label.values())))
    keys = [unbroken(f"{key} = {toml_value(value)}") for key, value in written.items() if key not in _SHOWN]
    if keys:
        yield ", ".join(keys)
    if point.enum:
        yield ", ".join(unbroken(f"{raw} = {name}") for raw, name in point.enum.items())


def _number(number: float) -> str:
    return f"{number:.12g}"
