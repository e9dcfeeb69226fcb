"""The technician's guides as data: their blocks, what is said of each in comments before it, and what they show.

Marks, each in a comment of its own: `before: WHAT, WHAT` happens to the cabinet (`cabinet`), `not run: reason`, `exits 1`,
`until it shows` (again until it does), `asks` (on a terminal; the answers are in the next block, `dialogue`), `shows`
(what the block before printed), `file PATH`.
"""

import platform
import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = {
    "README.md": "README.md",
    "wiring.md": "dau-day.md",
    "install.md": "cai-dat.md",
    "first-device.md": "thiet-bi-dau-tien.md",
    "add-a-device.md": "them-thiet-bi.md",
    "faults.md": "tim-loi.md",
    "upkeep.md": "bao-tri.md",
}
"""English and Vietnamese."""
TOURS = (("upkeep.md",), ("README.md", "install.md", "first-device.md", "faults.md"))
"""Pages that are followed one after the other on one gateway. The two others have no block to run, or a test of their own."""
LANGUAGES = ("en", "vi")
REST = "…"
_BLOCK = re.compile(
    r"(?P<marks>(?:^<!-- [^\n]* -->\n)*)^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_NUMBER = re.compile(r"(?<![A-Za-z0-9_/-])\d+(?:[.,]\d+)*")


class Block(NamedTuple):
    """One fenced block with its marks."""

    language: str
    text: str
    marks: tuple[str, ...]

    def has(self, mark: str) -> bool:
        """Is this said of it, whatever else?"""
        return any(one == mark or one.startswith(f"{mark}: ") for one in self.marks)

    def value(self, mark: str) -> str:
        """What stands behind `mark`; empty where it does not."""
        return next((one[len(mark) :].lstrip(": ") for one in self.marks if one.startswith(mark)), "")


def path_of(page: str, language: str) -> Path:
    """The file of a page, by its English name."""
    return DOCS / language / (page if language == "en" else NAMES[page])


def text_of(page: str, language: str) -> str:
    """The whole page."""
    return path_of(page, language).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[Block]:
    """All of a page, from top to bottom."""
    found = _BLOCK.finditer(text_of(page, language))
    return [Block(one["language"], one["text"], tuple(re.findall(r"<!-- (.*) -->", one["marks"]))) for one in found]


def here(text: str) -> str:
    """What the page has for a Raspberry Pi, for the computer of the test."""
    return text.replace("aarch64", platform.machine())


def is_shown(shown: str, output: str) -> bool:
    """Is `output` what the page shows? `…` alone stands for any lines, else for the rest of a word or line.

    Numbers may differ, but 0 is 0, and versions are what they are; so may widths of columns.
    """
    lines = plain(here(shown)).splitlines()
    pattern = "".join("(?:.*\n)*?" if line == REST else f"{_any(line)}\n" for line in lines)
    return re.fullmatch(pattern, plain(output).rstrip("\n") + "\n") is not None


def plain(text: str) -> str:
    """Each number but 0 the same, each gap one blank, no blank lines."""
    lines = (re.sub(r"\s+", " ", _NUMBER.sub(_same, line)).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _same(number: re.Match[str]) -> str:
    if number[0].count(".") > 1:  # a version, an address
        return number[0]
    return "9" if re.search("[1-9]", number[0]) else "0"


def _any(line: str) -> str:
    return ".*".join(map(re.escape, line.split(REST)))


def questions(dialogue: str) -> list[tuple[str, str]]:
    """Each question of a dialogue, and what is answered."""
    lines = (line for line in dialogue.splitlines() if re.search(r":( |$)", line))
    return [(f"{question}:", answer) for question, _, answer in (f"{line} ".rpartition(": ") for line in lines)]
