"""docs/en/add-a-device.md and its Vietnamese twin: every block runs against the meter that they tell of, and shows what they show."""

import os
import re
import select
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tester_desk import Desk

from simulators.modbus.image import RegisterImage
from simulators.testing import Bench

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"en": DOCS / "en" / "add-a-device.md", "vi": DOCS / "vi" / "them-thiet-bi.md"}
FOLDER = "/etc/oc-agent"
PORT = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10K1234-if00-port0"
METER = {0: [2304, 412, 9438, 0, *reversed(divmod(1_234_567, 0x1_0000))]}
"""230.4 V, 4.12 A, 943.8 W, 12345.67 kWh; the low word of a long number first."""
AGENT = """\
[gateway]
id = "dng-hc-12"
data_dir = "data"
runtime_dir = "run"

[site]
oc = "oc-haichau"

[uplink]
host = "ioc.example.vn"
"""
ENOUGH_S = 5.0

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no checkout")
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """One fenced block, and what is said of it in a comment before it."""

    mark: str
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    text = PAGES[language].read_text(encoding="utf-8")
    return [Block(one["mark"] or "", one["language"], one["text"]) for one in _BLOCK.finditer(text)]


class Technician:
    """Somebody who follows a page on a gateway whose `/etc/oc-agent` and whose port are elsewhere."""

    def __init__(self, folder: Path, language: str, port: str) -> None:
        self._really = {FOLDER: str(folder / "etc"), PORT: port}
        self._desk = Desk(folder)
        (folder / "etc" / "conf.d").mkdir(parents=True)
        (folder / "etc" / "agent.toml").write_text(AGENT, encoding="utf-8")
        shim = folder / ".bin" / "oc-agent"
        command = shim.read_text(encoding="utf-8")
        options = f"--lang {language} --config {folder}/etc/agent.toml"
        shim.write_text(command.replace("-m agent", f"-m agent {options}"), encoding="utf-8")
        self._shown = ""

    def do(self, block: Block) -> None:
        text = block.text
        for written, real in self._really.items():
            text = text.replace(written, real)
        if block.mark.startswith("file "):
            (self._desk.here / block.mark.removeprefix("file ")).write_text(text, encoding="utf-8")
        elif block.mark.startswith("captured in "):
            self._compare(block.mark.removeprefix("captured in "), text)
        elif block.mark == "shows":
            assert self._shown == block.text
        else:
            assert (block.language, block.mark) in {("sh", "")}
            code, self._shown = self._desk.follow(text)
            assert code == 0, f"{text}\n{self._shown}"

    def _compare(self, file: str, shown: str) -> None:
        """That what the page shows of a capture is what the file has."""
        (expected,), (found, *_) = (
            tomllib.loads(text)["exchange"] for text in (shown, (self._desk.here / file).read_text(encoding="utf-8"))
        )
        assert expected == {key: found[key] for key in expected}


@pytest.fixture(params=PAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def meter(bench: Bench) -> str:
    """The port of the meter that the pages tell of."""
    return bench.modbus_device(transport="rtu", image=RegisterImage(input=METER)).port


def test_every_block_of_the_page_runs_and_shows_what_it_says(tmp_path: Path, language: str, bench: Bench) -> None:
    technician = Technician(tmp_path, language, meter(bench))
    for block in blocks(language):
        technician.do(block)
    assert [block.mark for block in blocks(language)].count("shows") >= 3


def test_both_pages_do_the_same() -> None:
    """But for what the agent answers, and what a technician writes for people."""
    told = [[block for block in blocks(language) if block.mark != "shows"] for language in PAGES]
    assert told[0] == told[1]


def test_the_capture_of_the_page_is_what_the_meter_says(bench: Bench) -> None:
    (capture,) = [block.text for block in blocks("en") if "[[exchange]]" in block.text]
    request, response = (bytes.fromhex(found) for found in re.findall(r'^re\w+ = "(.*)"$', capture, re.MULTILINE))
    line = os.open(meter(bench), os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(line, request)
        assert b"".join(pieces(line, len(response))) == response
    finally:
        os.close(line)


def pieces(line: int, size: int) -> Iterator[bytes]:
    end_s = time.monotonic() + ENOUGH_S
    while size > 0 and select.select([line], [], [], max(0.0, end_s - time.monotonic()))[0]:
        piece = os.read(line, size)
        size -= len(piece)
        yield piece


def test_pages_that_lead_there_and_from_there() -> None:
    for page in (DOCS / "cli.md", DOCS.parent / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert {name for name in ("add-a-device.md", "them-thiet-bi.md") if name not in text} == set(), page
    for language, page in PAGES.items():
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        assert {link for link in links if not (page.parent / link).exists()} == set(), language
