"""Make a Modbus profile from a table of registers (CSV); it goes to stdout, or into a file with --save.

The first line of the CSV names its columns: name, table, address, type, and as needed unit, scale, offset, decimals,
min, max, interval_s, label_vi, label_en and others. Addresses are those of the wire: 40001 is table holding,
address 0. Cells with several values have semicolons: enum 0=off;1=on.
"""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.messages import tr
from agent.cli.output import Failed, say, show_json, show_problems
from agent.cli.profiles.registers import Registers, read_registers
from agent.cli.profiles.writing import profile_text
from drivers.catalogue import ProfileError, parse_profile
from drivers.registry import driver_specs
from drivers.tomlfile import Problem, Tree
from drivers.tomlplaces import Key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("csv", type=Path, metavar="CSV")
    parser.add_argument("--vendor", required=True, type=_named, metavar="TEXT")
    parser.add_argument("--model", required=True, type=_named, metavar="TEXT")
    parser.add_argument("--source", required=True, type=_named, metavar="TEXT", help="the document, with its revision")
    parser.add_argument("--label-vi", metavar="TEXT", help="what it is, in Vietnamese")
    parser.add_argument("--label-en", metavar="TEXT", help="what it is, in English")
    parser.add_argument("--caveat", action="append", default=[], metavar="TEXT", help="as often as wanted")
    parser.add_argument("--word-order", choices=("big", "little"), help="of numbers of several registers; default big")
    what = "addresses like 40001 are those of the wire"
    parser.add_argument("--literal-addresses", action="store_true", help=what)
    parser.add_argument("--save", type=Path, metavar="FILE.toml", help="write it there, in place of stdout")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    file = str(args.csv)
    registers = read_registers(_read(args.csv), file, literal_addresses=args.literal_addresses)
    data = _data(args, registers.points)
    problems = _problems(registers, data, file)
    if problems:
        title = tr("{count} problem(s) in {file}:", count=len(problems), file=file)
        show_problems(problems, as_json=args.json, title=title)
        return 1
    text = profile_text(data, args.csv.name)
    if args.save:
        _save(text, args.save)
    if args.json:
        saved = str(args.save) if args.save else None
        show_json({"ok": True, "file": saved, "points": len(registers.points), "profile": text})
    elif args.save:
        say(tr("{file}: {count} points; see `oc-agent profiles show {file}`", file=args.save, count=len(data["point"])))
    else:
        print(text, end="")
    return 0


def _data(args: argparse.Namespace, points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The profile as its file would have it."""
    named = f"{args.vendor} {args.model}"
    return {
        "vendor": args.vendor,
        "model": args.model,
        "kind": "modbus",
        "label": {"vi": args.label_vi or named, "en": args.label_en or named},
        "source": args.source,
        "caveats": args.caveat,
        **({"word_order": args.word_order} if args.word_order else {}),
        **({"literal_addresses": True} if args.literal_addresses else {}),
        "point": list(points),
    }


def _problems(registers: Registers, data: dict[str, Any], file: str) -> list[Problem]:
    """What is wrong with the table, and what the loader of profiles says; of one cell only the first."""
    found = {(problem.line, problem.key): problem for problem in registers.problems}
    rows = list(zip(registers.lines, registers.points, strict=True))
    for problem in _refused(data, rows, file):
        if problem.key not in registers.missing:
            found.setdefault((problem.line, problem.key), problem)
    if found and not registers.missing:  # the loader looks at how keys fit together only where each is good by itself
        wrong = {line for line, _ in found}
        sound = [(line, point) for line, point in rows if line not in wrong]
        names = {point["name"] for _, point in sound if "name" in point}
        alone = [(line, point) for line, point in sound if point.get("valid_if", "") in {"", *names}]
        if alone:
            found |= {(problem.line, problem.key): problem for problem in _refused(data, alone, file)}
    return sorted(found.values(), key=lambda problem: problem.line)


def _refused(data: dict[str, Any], rows: Sequence[tuple[int, dict[str, Any]]], file: str) -> list[Problem]:
    """What the loader says of a profile with these points; keys as the columns are called, lines of the CSV."""
    places: dict[Key, tuple[str, int]] = {("point", i): (file, line) for i, (line, _) in enumerate(rows)}
    try:
        parse_profile(Tree(data | {"point": [point for _, point in rows]}, places, file), driver_specs())
    except ProfileError as err:
        return [
            msgspec.structs.replace(problem, key=re.sub(r"^point\[\d+\]\.", "", problem.key))
            for problem in err.problems
        ]
    return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise Failed(tr("{file}: this is no UTF-8 text: save it as “CSV UTF-8”", file=path)) from err
    except OSError as err:
        raise Failed(f"{path}: {err.strerror}") from err


def _save(text: str, path: Path) -> None:
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except FileExistsError as err:
        raise Failed(tr("{file} is there already: write another name", file=str(path))) from err
    except OSError as err:
        raise Failed(tr("{file}: it cannot be written: {why}", file=path, why=err.strerror)) from err


def _named(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text.strip()
