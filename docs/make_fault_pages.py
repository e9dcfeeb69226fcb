"""Write into docs/faults what the code knows: the table of all faults, the head of each page, bytes of the examples.

Run it after a change of `simulators/faults`: `python docs/make_fault_pages.py`. Everything else on the pages is written
by hand and stays as it is. A test compares.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

from simulators.faults.answers import SPOILS, Dialect, Part, Spoken, meet
from simulators.faults.catalogue import FAULTS, FaultKind, Place
from simulators.faults.fault import parse_fault
from simulators.modbus.dialects import RTU, TCP

FOLDER: Final = Path(__file__).with_name("faults")
README: Final = FOLDER / "README.md"
PLACES: Final[Sequence[Place]] = ("answer", "device", "line", "uplink", "host")
DIALECTS: Final[Mapping[str, Dialect]] = {"Modbus RTU": RTU, "Modbus TCP": TCP}
_TRANSPORTS: Final = {"rtu": "Modbus RTU", "ascii": "Modbus ASCII", "tcp": "Modbus TCP", "bytes": "other protocols"}
_TABLE: Final = re.compile(r"^\| Fault \|.*?(?=^$)", re.DOTALL | re.MULTILINE)
_HEAD: Final = re.compile(r"\A# .*?^Place: .*?\n", re.DOTALL | re.MULTILINE)
EXAMPLE: Final = re.compile(
    r"^```wire\n(?P<fault>[^,\n]+), seed (?P<seed>\d+), on (?P<how>Modbus \w+)\n"
    r"asked {5}(?P<asked>[\dA-F ]+)\n"
    r"normally {2}(?P<normally>[\dA-F ]+)\n"
    r"now {7}(?P<now>.*?)\n```$",
    re.DOTALL | re.MULTILINE,
)


def table() -> str:
    """The table of the README: a row for each fault, by place."""
    rows = sorted(FAULTS.values(), key=lambda kind: PLACES.index(places(kind)[0]))
    return "| Fault | Place | What happens | Parameters |\n|---|---|---|---|\n" + "".join(map(_row, rows))


def head(kind: FaultKind) -> str:
    """Title, first sentence, and where it can be, of one page."""
    facts = [f"Place: {' and '.join(places(kind))}."]
    if kind.only:
        facts.append(f"Only on {_listed([name for key, name in _TRANSPORTS.items() if key in kind.only])}.")
    if kind.moment:
        facts.append("A moment: it has no `for_s`.")
    if kind.name in SPOILS:
        facts.append("Recorded as spoilt.")
    return f"# {kind.name}\n\n{sentence(kind)}\n\n{' '.join(facts)}\n"


def sentence(kind: FaultKind) -> str:
    """What happens, as a sentence."""
    return kind.what[0].upper() + kind.what[1:] + "."


def places(kind: FaultKind) -> list[Place]:
    """Where it can be, always in the same order."""
    return [place for place in PLACES if place in kind.places]


def example(match: re.Match[str]) -> str:
    """A block with the bytes that the code gives."""
    asked, normally = (bytes.fromhex(match[name]) for name in ("asked", "normally"))
    parts, _ = meet(
        [parse_fault(match["fault"])], Spoken(asked, normally), DIALECTS[match["how"]], Random(int(match["seed"]))
    )
    lines = f"\n{' ' * 10}".join(map(_part, parts)) or "nothing"
    return match[0][: match.start("now") - match.start()] + lines + "\n```"


def renewed(name: str, text: str) -> str:
    """The page of a fault with what the code says now; `text` may have no head yet."""
    return _with_examples(head(FAULTS[name]) + _HEAD.sub("", text, count=1))


def renewed_readme(text: str) -> str:
    """The README with the table as it is now."""
    return _TABLE.sub(lambda _: table(), text, count=1)


def _with_examples(text: str) -> str:
    return EXAMPLE.sub(example, text)


def _row(kind: FaultKind) -> str:
    told = ", ".join(f"`{name}`" for name in kind.parameters)
    return f"| [`{kind.name}`]({kind.name}.md) | {', '.join(places(kind))} | {kind.what} | {told} |\n"


def _part(part: Part) -> str:
    return (f"after {part.wait_s:.3f} s: " if part.wait_s else "") + part.data.hex(" ").upper()


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def main() -> None:
    """Write them all."""
    README.write_text(renewed_readme(README.read_text(encoding="utf-8")), encoding="utf-8")
    for name in FAULTS:
        file = FOLDER / f"{name}.md"
        file.write_text(renewed(name, file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
