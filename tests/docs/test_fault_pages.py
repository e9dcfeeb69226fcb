"""docs/faults says what the catalogue and the code say: names, sentences, parameters, examples, bytes."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from simulators.faults.answers import SPOILS
from simulators.faults.catalogue import FAULTS, Place
from simulators.faults.fault import Fault, check_place, make_fault, parse_fault, parse_faults
from simulators.lines.line import BANNER
from simulators.modbus.framing import crc16
from simulators.proxy.connection import MAX_QUEUED_BYTES
from simulators.proxy.meddling import REMEMBERED
from simulators.proxy.packets import puback
from simulators.scenario.placeholders import Places
from simulators.scenario.reading import read_scenario

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "faults"
PAGES = {file.stem: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.md")}
README = PAGES.pop("README", "")
SITE: tuple[Place, ...] = ("answer", "device", "line")
WHERE: dict[str, tuple[Place, ...]] = {"uplink": ("uplink",), "host": ("host",)}

pytestmark = pytest.mark.skipif(not README, reason="no checkout")
each_page = pytest.mark.parametrize("name", FAULTS)


@pytest.fixture(scope="module")
def maker() -> dict[str, Any]:
    """What is in docs/make_fault_pages.py."""
    return runpy.run_path(str(DOCS / "make_fault_pages.py"))


def test_every_fault_has_a_page_and_no_page_is_without_a_fault() -> None:
    assert set(PAGES) == set(FAULTS)


def test_what_is_made_from_the_code_is_not_stale(maker: dict[str, Any]) -> None:
    stale = [name for name, text in PAGES.items() if maker["renewed"](name, text) != text]
    if maker["renewed_readme"](README) != README:
        stale.append("README")
    assert not stale, "run `python docs/make_fault_pages.py`"


@each_page
def test_title_sentence_and_place_are_those_of_the_catalogue(name: str) -> None:
    kind, (title, _, sentence, _, place, *_) = FAULTS[name], PAGES[name].splitlines()
    assert title == f"# {name}"
    assert sentence == f"{kind.what[0].upper()}{kind.what[1:]}."
    where, *facts = place.rstrip(".").split(". ")
    assert set(where.removeprefix("Place: ").split(" and ")) == kind.places
    assert ("Recorded as spoilt" in facts) is (name in SPOILS)
    assert any(fact.startswith("A moment") for fact in facts) is kind.moment
    assert any(fact.startswith("Only on") for fact in facts) is bool(kind.only)


@each_page
def test_parameters_have_the_defaults_and_limits_of_the_catalogue(name: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \| (\S+) \| (\S.*?) \|$", PAGES[name], re.MULTILINE)
    told = {key: tuple(map(_number, numbers)) for key, *numbers, _ in rows}
    assert told == {key: (one.default, one.low, one.high) for key, one in FAULTS[name].parameters.items()}


def _number(text: str) -> float:
    return float(int(text, 0)) if text.startswith("0x") else float(text)


@each_page
def test_every_example_can_be_written_and_each_place_has_one(name: str) -> None:
    tables, lines = [one for one in _tables(PAGES[name]) if one.name == name], _lines(name)
    assert tables
    assert lines
    for fault in (*tables, *lines):
        check_place(fault, *WHERE.get(fault.on, SITE))
    shown = {frozenset(WHERE.get(fault.on, SITE)) & FAULTS[name].places for fault in (*tables, *lines)}
    assert frozenset[str]().union(*shown) == FAULTS[name].places
    for one in tables:
        same = [other for other in lines if other.on == one.on]
        assert not same or one in same, "the table and the line say the same"


def _tables(text: str) -> list[Fault]:
    blocks = [tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    return [make_fault(keys) for block in blocks for keys in block.get("fault", ())]


def _lines(name: str) -> list[Fault]:
    """All code spans of the paragraph on how to write it that begin with the name."""
    (paragraph,) = re.findall(r"^\*\*Write it\.\*\* .*?\n\n", PAGES[name], re.DOTALL | re.MULTILINE)
    return [parse_fault(text) for text in re.findall(rf"`({name}\b[^`]*)`", paragraph)]


def test_every_option_that_is_shown_is_understood() -> None:
    text = "\n".join((README, *PAGES.values()))
    options = re.findall(r"--faults (\w+=[\w=.,]+)", text)
    assert len(options) >= 3
    for option in options:
        assert parse_faults(option)
    ones = re.findall(r'(?:--fault|SOCKET fault|device\.fault\()\s?"([^"]+)"', text)
    assert len(ones) >= 3
    for one in ones:
        parse_fault(one)
    assert _tables(README) == [parse_fault("no_reply on=meter-1 from=10 for=5 share=0.5")]


@each_page
def test_an_example_in_hex_begins_with_sound_frames(name: str, maker: dict[str, Any]) -> None:
    """That what follows is what the code gives, see above: what is made is not stale."""
    text = PAGES[name]
    examples = list(maker["EXAMPLE"].finditer(text))
    assert len(examples) == text.count("```wire")
    assert bool(examples) is ("answer" in FAULTS[name].places)
    for one in examples:
        assert parse_fault(one["fault"]).name == name
        for frame in (bytes.fromhex(one["asked"]), bytes.fromhex(one["normally"])):
            if one["how"] == "Modbus RTU":
                assert crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")
            else:
                assert int.from_bytes(frame[4:6], "big") == len(frame) - 6
        assert one["now"] != one["normally"]


def test_bytes_and_numbers_in_the_text_are_those_of_the_code() -> None:
    assert puback(7, int(FAULTS["nack"].parameters["code"].default)).hex(" ") in PAGES["nack"]
    assert repr(BANNER.decode())[1:-1] in PAGES["reboot"]
    assert f"{MAX_QUEUED_BYTES // 1024} KiB ahead" in PAGES["stall"]
    assert f"the last {REMEMBERED} of" in PAGES["ack_stale"]
    assert parse_fault("unplug every=60").for_s == 1.5
    assert parse_fault("reboot every=60").for_s == 3.0
    assert parse_fault("refuse every=60").for_s == parse_fault("no_reply every=60").for_s == 1.0
    assert "(1 s where that is not written; `unplug` 1.5 s, `reboot` 3 s)" in README
    for name in ("wrong_crc", "wrong_unit", "wrong_count", "lost", "truncated", "exception", "no_reply"):
        assert f"`{name}`" in README.partition("## What was spoilt")[2].partition("## All faults")[0]


def test_every_link_leads_somewhere() -> None:
    for name, text in (("README", README), *PAGES.items()):
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (FOLDER / link).is_file(), f"{name}: {link}"
    assert "faults/README.md" in (DOCS / "tester" / "README.md").read_text(encoding="utf-8")


SITE_OF_THE_PAGES = """
[scenario]
name = "A page"
seconds = 60

[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"

[[link]]
name = "lan-1"
kind = "modbus"
transport = "tcp"

[[link]]
name = "cams"
kind = "camera"

[[device]]
name = "meter-1"
link = "bus-1"
unit = 1
profile = "eastron/sdm120"
interval_s = 2.0

[[device]]
name = "meter-2"
link = "bus-1"
unit = 2
profile = "eastron/sdm120"
interval_s = 2.0

[[device]]
name = "meter-3"
link = "lan-1"
unit = 1
profile = "eastron/sdm120"
interval_s = 2.0

[[device]]
name = "cam-1"
link = "cams"
profile = "vimicro/vc0706"
interval_s = 10.0
"""


@each_page
def test_a_page_is_a_scenario(name: str, tmp_path: Path) -> None:
    """Its names, places and expectations are those of scenarios, and what is to recover has an end."""
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGES[name], re.DOTALL | re.MULTILINE)
    file = tmp_path / f"{name}.toml"
    file.write_text(SITE_OF_THE_PAGES + "".join(blocks), encoding="utf-8")
    scenario = read_scenario(file, Places.nowhere())
    written = [one for one in scenario.expect if f'that = "{one.that}"' in PAGES[name]]
    assert written
    ends = {
        where: [one for one in faults if one.until_s < 60 or one.every_s] for where, faults in scenario.faults.items()
    }
    for one in written:
        if one.that == "recovers":
            assert any(one.fault in ("", fault.name) for fault in ends[one.on or "site"])
